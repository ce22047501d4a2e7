"""The life of a table: created, described, listed, changed, deleted; and every reason to refuse one."""

from __future__ import annotations

import re
from typing import Any

import pytest

from conftest import MakeTable, active, create_table, unused_name
from errors import BAD_TABLE_NAME, NOTHING_TO_UPDATE, SERVICE, accepted, not_found, refused
from raw import RawClient

PK = {"AttributeName": "pk", "AttributeType": "S"}
SK = {"AttributeName": "sk", "AttributeType": "N"}
HASH = {"AttributeName": "pk", "KeyType": "HASH"}
RANGE = {"AttributeName": "sk", "KeyType": "RANGE"}


def definition(**changes: Any) -> dict[str, Any]:
    """A valid CreateTable request with a name of its own; a change to None drops the member."""
    request = {
        "TableName": unused_name(),
        "AttributeDefinitions": [PK],
        "KeySchema": [HASH],
        "BillingMode": "PAY_PER_REQUEST",
        **changes,
    }
    return {name: value for name, value in request.items() if value is not None}


def test_a_table_is_created_described_and_deleted(dynamodb: Any) -> None:
    name = unused_name()
    created = dynamodb.create_table(
        TableName=name,
        AttributeDefinitions=[PK, SK],
        KeySchema=[HASH, RANGE],
        BillingMode="PAY_PER_REQUEST",
    )["TableDescription"]
    assert created["TableName"] == name
    assert created["TableStatus"] in {"CREATING", "ACTIVE"}

    table = active(dynamodb, name)
    assert sorted(table["AttributeDefinitions"], key=lambda a: a["AttributeName"]) == [PK, SK]
    assert table["KeySchema"] == [HASH, RANGE]
    assert table["BillingModeSummary"]["BillingMode"] == "PAY_PER_REQUEST"
    throughput = table["ProvisionedThroughput"]
    assert (throughput["ReadCapacityUnits"], throughput["WriteCapacityUnits"]) == (0, 0)
    assert (table["ItemCount"], table["TableSizeBytes"]) == (0, 0)
    assert re.fullmatch(r"arn:aws:dynamodb:[a-z0-9-]+:\d{12}:table/" + re.escape(name), table["TableArn"])
    assert table["CreationDateTime"].timestamp() > 1_700_000_000
    assert table["DeletionProtectionEnabled"] is False

    deleted = dynamodb.delete_table(TableName=name)["TableDescription"]
    assert deleted["TableName"] == name
    dynamodb.get_waiter("table_not_exists").wait(
        TableName=name, WaiterConfig={"Delay": 0, "MaxAttempts": 2000}
    )


@pytest.mark.differs_from_dynamodb_local("it skips CREATING and DELETING, and gives no TableId")
def test_the_answers_say_creating_and_deleting_and_carry_a_table_id(dynamodb: Any) -> None:
    name = unused_name()
    created = dynamodb.create_table(
        TableName=name, AttributeDefinitions=[PK], KeySchema=[HASH], BillingMode="PAY_PER_REQUEST"
    )["TableDescription"]
    assert created["TableStatus"] == "CREATING"
    table = active(dynamodb, name)
    assert re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", table["TableId"])
    assert table["TableId"] == created["TableId"]
    assert dynamodb.delete_table(TableName=name)["TableDescription"]["TableStatus"] == "DELETING"


def test_a_table_made_again_under_an_old_name_is_empty(dynamodb: Any, make_table: MakeTable) -> None:
    name = make_table()
    dynamodb.put_item(TableName=name, Item={"pk": {"S": "a"}, "v": {"S": "old"}})
    dynamodb.delete_table(TableName=name)
    dynamodb.get_waiter("table_not_exists").wait(
        TableName=name, WaiterConfig={"Delay": 0, "MaxAttempts": 2000}
    )
    create_table(dynamodb, name)
    assert "Item" not in dynamodb.get_item(TableName=name, Key={"pk": {"S": "a"}}, ConsistentRead=True)
    assert dynamodb.scan(TableName=name)["Count"] == 0


def test_a_provisioned_table_keeps_its_throughput(dynamodb: Any, make_table: MakeTable) -> None:
    name = make_table(
        BillingMode="PROVISIONED", ProvisionedThroughput={"ReadCapacityUnits": 5, "WriteCapacityUnits": 6}
    )
    throughput = dynamodb.describe_table(TableName=name)["Table"]["ProvisionedThroughput"]
    assert (throughput["ReadCapacityUnits"], throughput["WriteCapacityUnits"]) == (5, 6)
    assert throughput["NumberOfDecreasesToday"] == 0


def test_throughput_without_a_billing_mode_means_provisioned(raw: RawClient, dynamodb: Any) -> None:
    request = definition(
        BillingMode=None, ProvisionedThroughput={"ReadCapacityUnits": 1, "WriteCapacityUnits": 2}
    )
    accepted(raw.call("CreateTable", request))
    table = active(dynamodb, request["TableName"])
    throughput = table["ProvisionedThroughput"]
    assert (throughput["ReadCapacityUnits"], throughput["WriteCapacityUnits"]) == (1, 2)
    assert table.get("BillingModeSummary", {}).get("BillingMode", "PROVISIONED") == "PROVISIONED"
    dynamodb.delete_table(TableName=request["TableName"])


def test_a_name_in_use_is_refused(raw: RawClient, make_table: MakeTable) -> None:
    name = make_table()
    answer = raw.call("CreateTable", definition(TableName=name))
    refused(answer, f"Table already exists: {name}", f"{SERVICE}#ResourceInUseException")


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        pytest.param(
            {"AttributeDefinitions": [PK, SK]},
            "One or more parameter values were invalid: Number of attributes in KeySchema does not "
            "exactly match "
            "number of attributes defined in AttributeDefinitions",
            id="an attribute is defined that no key uses",
        ),
        pytest.param(
            {"AttributeDefinitions": [SK]},
            "One or more parameter values were invalid: Some index key attributes are not defined in "
            "AttributeDefinitions. Keys: [pk], AttributeDefinitions: [sk]",
            id="a key is not defined",
        ),
        pytest.param(
            {"AttributeDefinitions": [PK, SK], "KeySchema": [RANGE, HASH]},
            "Invalid KeySchema: The first KeySchemaElement is not a HASH key type",
            id="the sort key stands first",
        ),
        pytest.param(
            {"KeySchema": [{"AttributeName": "pk", "KeyType": "RANGE"}]},
            "Invalid KeySchema: The first KeySchemaElement is not a HASH key type",
            id="there is only a sort key",
        ),
        pytest.param(
            {
                "AttributeDefinitions": [PK, SK],
                "KeySchema": [HASH, {"AttributeName": "sk", "KeyType": "HASH"}],
            },
            "Invalid KeySchema: The second KeySchemaElement is not a RANGE key type",
            id="there are two partition keys",
        ),
        pytest.param(
            {"KeySchema": [HASH, {"AttributeName": "pk", "KeyType": "RANGE"}]},
            "Both the Hash Key and the Range Key element in the KeySchema have the same name",
            id="both keys have one name",
        ),
        pytest.param(
            {"BillingMode": "PROVISIONED"},
            "One or more parameter values were invalid: ReadCapacityUnits and WriteCapacityUnits must "
            "both be "
            "specified when BillingMode is PROVISIONED",
            id="provisioned without throughput",
        ),
        pytest.param(
            {"KeySchema": []},
            "1 validation error detected: Value '[]' at 'keySchema' failed to satisfy constraint: "
            "Member must have length greater than or equal to 1",
            id="no keys",
        ),
        pytest.param(
            {"KeySchema": [HASH, {"AttributeName": "sk", "KeyType": "RANGE"}, RANGE]},
            "1 validation error detected: Value '[KeySchemaElement(attributeName=pk, keyType=HASH), "
            "KeySchemaElement(attributeName=sk, keyType=RANGE), KeySchemaElement(attributeName=sk, "
            "keyType=RANGE)]' at 'keySchema' failed to satisfy constraint: Member must have length less than or "
            "equal to 2",
            id="three keys",
        ),
        pytest.param(
            {"AttributeDefinitions": []},
            "Invalid KeySchema: Some index key attribute have no definition",
            id="no definitions",
        ),
        pytest.param(
            {"AttributeDefinitions": [PK, PK]}, "Attribute Name is duplicated: pk", id="a definition twice"
        ),
        pytest.param(
            {"AttributeDefinitions": [{"AttributeName": "pk", "AttributeType": "BOOL"}]},
            "1 validation error detected: Value 'BOOL' at 'attributeDefinitions.1.member.attributeType' "
            "failed to "
            "satisfy constraint: Member must satisfy enum value set: [B, N, S]",
            id="a key of a type that cannot be a key",
        ),
        pytest.param(
            {"KeySchema": [{"AttributeName": "pk", "KeyType": "x"}]},
            "1 validation error detected: Value 'x' at 'keySchema.1.member.keyType' failed to satisfy "
            "constraint: "
            "Member must satisfy enum value set: [HASH, RANGE]",
            id="a key of an unknown role",
        ),
        pytest.param(
            {
                "BillingMode": "PROVISIONED",
                "ProvisionedThroughput": {"ReadCapacityUnits": 0, "WriteCapacityUnits": 1},
            },
            "1 validation error detected: Value '0' at 'provisionedThroughput.readCapacityUnits' failed "
            "to satisfy "
            "constraint: Member must have value greater than or equal to 1",
            id="no read units",
        ),
    ],
)
def test_an_impossible_table_is_refused(raw: RawClient, changes: dict[str, Any], sentence: str) -> None:
    request = definition(**changes)
    refused(raw.call("CreateTable", request), sentence)
    not_found(
        raw.call("DescribeTable", {"TableName": request["TableName"]}),
        f"Requested resource not found: Table: {request['TableName']} not found",
    )


@pytest.mark.differs_from_dynamodb_local("it ignores throughput that is given together with PAY_PER_REQUEST")
def test_throughput_on_an_on_demand_table_is_refused(raw: RawClient) -> None:
    request = definition(ProvisionedThroughput={"ReadCapacityUnits": 5, "WriteCapacityUnits": 5})
    refused(
        raw.call("CreateTable", request),
        "One or more parameter values were invalid: Neither ReadCapacityUnits nor WriteCapacityUnits can be "
        "specified when BillingMode is PAY_PER_REQUEST",
    )


PATTERN = "Member must satisfy regular expression pattern: [a-zA-Z0-9_.-]+"


@pytest.mark.parametrize(
    ("name", "constraint"),
    [
        ("ab", "Member must have length greater than or equal to 3"),
        ("a" * 256, "Member must have length less than or equal to 255"),
        ("with space", PATTERN),
        ("no;semicolon", PATTERN),
        ("ééé", PATTERN),
        ("slash/ed", PATTERN),
    ],
)
def test_a_bad_table_name_is_refused(raw: RawClient, name: str, constraint: str) -> None:
    sentence = (
        f"1 validation error detected: Value '{name}' at 'tableName' failed to satisfy constraint: {constraint}"
    )
    for operation in ("DescribeTable", "DeleteTable", "DescribeTimeToLive"):
        refused(raw.call(operation, {"TableName": name}), sentence)
    refused(raw.call("CreateTable", definition(TableName=name)), sentence)


def test_an_empty_table_name_is_refused(raw: RawClient) -> None:
    answer = raw.call("CreateTable", definition(TableName=""))
    assert (answer.status, answer.type) == (400, "com.amazon.coral.validate#ValidationException")
    assert "tableName" in (answer.message or "") or "TableName" in (answer.message or "")


@pytest.mark.parametrize("length", [3, 255])
def test_the_shortest_and_the_longest_name_are_accepted(raw: RawClient, dynamodb: Any, length: int) -> None:
    name = unused_name("n")[: max(length, 3)].ljust(length, "x")
    accepted(raw.call("CreateTable", definition(TableName=name)))
    active(dynamodb, name)
    dynamodb.delete_table(TableName=name)


def test_an_unknown_table_is_named_by_the_table_operations(raw: RawClient) -> None:
    name = unused_name()
    sentence = f"Requested resource not found: Table: {name} not found"
    not_found(raw.call("DescribeTable", {"TableName": name}), sentence)
    not_found(raw.call("DeleteTable", {"TableName": name}), sentence)
    not_found(raw.call("UpdateTable", {"TableName": name, "BillingMode": "PAY_PER_REQUEST"}), sentence)


@pytest.mark.parametrize(
    ("operation", "request_"),
    [
        ("PutItem", {"Item": {"pk": {"S": "a"}}}),
        ("GetItem", {"Key": {"pk": {"S": "a"}}}),
        ("UpdateItem", {"Key": {"pk": {"S": "a"}}}),
        ("DeleteItem", {"Key": {"pk": {"S": "a"}}}),
        ("Query", {"KeyConditionExpression": "pk = :a", "ExpressionAttributeValues": {":a": {"S": "a"}}}),
        ("Scan", {}),
    ],
)
def test_an_unknown_table_is_not_named_by_the_item_operations(
    raw: RawClient, operation: str, request_: dict[str, Any]
) -> None:
    not_found(raw.call(operation, {"TableName": unused_name(), **request_}))
    answer = raw.call(operation, {"TableName": "ab;", **request_})
    refused(answer, BAD_TABLE_NAME)


def test_a_table_goes_from_on_demand_to_provisioned_and_back(dynamodb: Any, make_table: MakeTable) -> None:
    name = make_table()
    dynamodb.update_table(
        TableName=name,
        BillingMode="PROVISIONED",
        ProvisionedThroughput={"ReadCapacityUnits": 7, "WriteCapacityUnits": 3},
    )
    table = active(dynamodb, name)
    assert table["ProvisionedThroughput"]["ReadCapacityUnits"] == 7
    assert table.get("BillingModeSummary", {}).get("BillingMode", "PROVISIONED") == "PROVISIONED"

    dynamodb.update_table(
        TableName=name, ProvisionedThroughput={"ReadCapacityUnits": 8, "WriteCapacityUnits": 3}
    )
    assert active(dynamodb, name)["ProvisionedThroughput"]["ReadCapacityUnits"] == 8

    dynamodb.update_table(TableName=name, BillingMode="PAY_PER_REQUEST")
    table = active(dynamodb, name)
    assert table["BillingModeSummary"]["BillingMode"] == "PAY_PER_REQUEST"
    assert table["ProvisionedThroughput"]["ReadCapacityUnits"] == 0


def test_an_update_that_changes_nothing_is_refused(raw: RawClient, make_table: MakeTable) -> None:
    throughput = {"ReadCapacityUnits": 5, "WriteCapacityUnits": 6}
    name = make_table(BillingMode="PROVISIONED", ProvisionedThroughput=throughput)
    refused(
        raw.call("UpdateTable", {"TableName": name, "ProvisionedThroughput": throughput}),
        "The provisioned throughput for the table will not change. The requested value equals the "
        "current value. "
        "Current ReadCapacityUnits provisioned for the table: 5. Requested ReadCapacityUnits: 5. Current "
        "WriteCapacityUnits provisioned for the table: 6. Requested WriteCapacityUnits: 6. Refer to the "
        "Amazon "
        "DynamoDB Developer Guide for current limits and how to request higher limits.",
    )
    refused(
        raw.call("UpdateTable", {"TableName": name}),
        NOTHING_TO_UPDATE,
    )


def test_provisioning_without_throughput_is_refused(raw: RawClient, make_table: MakeTable) -> None:
    refused(
        raw.call("UpdateTable", {"TableName": make_table(), "BillingMode": "PROVISIONED"}),
        "One or more parameter values were invalid: ProvisionedThroughput must be specified when BillingMode "
        "is PROVISIONED",
    )


def test_tables_are_listed_by_name_in_pages(dynamodb: Any, make_table: MakeTable) -> None:
    mine = sorted(make_table() for _ in range(5))
    listed: list[str] = []
    for page in dynamodb.get_paginator("list_tables").paginate(PaginationConfig={"PageSize": 2}):
        assert len(page["TableNames"]) <= 2
        listed += page["TableNames"]
    assert listed == sorted(listed)
    assert [name for name in listed if name in mine] == mine


def test_a_list_starts_after_a_name_that_need_not_exist(dynamodb: Any, make_table: MakeTable) -> None:
    name = make_table()
    before = name[:-1]
    page = dynamodb.list_tables(ExclusiveStartTableName=before, Limit=1)
    assert page["TableNames"] == [name]
    assert name not in dynamodb.list_tables(ExclusiveStartTableName=name)["TableNames"]
    last = dynamodb.list_tables(ExclusiveStartTableName="zzzzzz")
    assert last["TableNames"] == [] and "LastEvaluatedTableName" not in last


@pytest.mark.parametrize(
    ("limit", "constraint"), [(0, "greater than or equal to 1"), (101, "less than or equal to 100")]
)
def test_a_list_is_of_1_to_100_names(raw: RawClient, limit: int, constraint: str) -> None:
    refused(
        raw.call("ListTables", {"Limit": limit}),
        f"1 validation error detected: Value '{limit}' at 'limit' failed to satisfy constraint: "
        f"Member must have value {constraint}",
    )


def test_deletion_protection_keeps_a_table(dynamodb: Any, raw: RawClient, make_table: MakeTable) -> None:
    name = make_table(DeletionProtectionEnabled=True)
    assert dynamodb.describe_table(TableName=name)["Table"]["DeletionProtectionEnabled"] is True
    refused(
        raw.call("DeleteTable", {"TableName": name}),
        "Resource cannot be deleted as it is currently protected against deletion. "
        "Disable deletion protection first.",
    )
    dynamodb.update_table(TableName=name, DeletionProtectionEnabled=False)
    assert active(dynamodb, name)["DeletionProtectionEnabled"] is False


def test_item_count_and_size_are_counted(dynamodb: Any, make_table: MakeTable) -> None:
    name = make_table()
    for i in range(3):
        dynamodb.put_item(TableName=name, Item={"pk": {"S": f"{i}"}, "v": {"S": "x" * 97}})
    table = dynamodb.describe_table(TableName=name)["Table"]
    assert table["ItemCount"] == 3
    assert table["TableSizeBytes"] >= 300
    dynamodb.delete_item(TableName=name, Key={"pk": {"S": "0"}})
    assert dynamodb.describe_table(TableName=name)["Table"]["ItemCount"] == 2


def test_a_table_may_be_named_by_its_arn(dynamodb: Any, make_table: MakeTable) -> None:
    name = make_table()
    arn = dynamodb.describe_table(TableName=name)["Table"]["TableArn"]
    dynamodb.put_item(TableName=arn, Item={"pk": {"S": "a"}})
    assert dynamodb.get_item(TableName=name, Key={"pk": {"S": "a"}})["Item"] == {"pk": {"S": "a"}}
    assert dynamodb.describe_table(TableName=arn)["Table"]["TableName"] == name


def test_the_limits_of_the_account_are_told(dynamodb: Any) -> None:
    limits = dynamodb.describe_limits()
    for name in ("AccountMax", "TableMax"):
        for kind in ("Read", "Write"):
            assert limits[f"{name}{kind}CapacityUnits"] >= 40_000


@pytest.mark.differs_from_dynamodb_local("it has no DescribeEndpoints")
def test_the_endpoint_tells_of_itself(dynamodb: Any) -> None:
    (endpoint,) = dynamodb.describe_endpoints()["Endpoints"]
    assert endpoint["Address"]
    assert endpoint["CachePeriodInMinutes"] > 0

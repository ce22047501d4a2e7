"""docs/compatibility.md says the truth, of every operation and every member of a request in the service model.

What the document says is accepted, a request of these tests has; what it says is refused, is refused by name. A new
botocore with a new member fails here until the document speaks of it.
"""

from __future__ import annotations

import base64
import json
import uuid
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest

import surface
from conftest import (
    active,
    create_table,
    definitions,
    index,
    index_active,
    index_gone,
    keys_of,
    unused_name,
    wait_for,
)
from errors import CORAL_SERVICE, VALIDATION
from raw import RawClient

pytestmark = pytest.mark.differs_from_dynamodb_local("it is not what the document is about")

OPERATIONS = surface.operations()
DOCUMENTED = surface.documented()
NOT_BUILT = surface.not_built()

KEY = {"pk": {"S": "a"}}
ITEM = KEY | {"n": {"N": "1"}, "g": {"S": "g"}}
TOLD = {"ReturnConsumedCapacity": "INDEXES"}
MEASURED = TOLD | {"ReturnItemCollectionMetrics": "SIZE"}
FAILURE = {"ReturnValuesOnConditionCheckFailure": "ALL_OLD"}
CONDITION = {
    "ConditionExpression": "attribute_not_exists(#x) OR #x <> :x",
    "ExpressionAttributeNames": {"#x": "x"},
    "ExpressionAttributeValues": {":x": {"S": "none"}},
}
PROVISIONED = {"ReadCapacityUnits": 5, "WriteCapacityUnits": 5}
ON_DEMAND = {"MaxReadRequestUnits": 100, "MaxWriteRequestUnits": 100}
WARM = {"ReadUnitsPerSecond": 13_000, "WriteUnitsPerSecond": 5_000}
LOWER_WARM = {"ReadUnitsPerSecond": 20, "WriteUnitsPerSecond": 20}


class Caller:
    """Sends requests with boto3 and remembers which members they had."""

    def __init__(self, dynamodb: Any, streams: Any) -> None:
        self.clients = [dynamodb, streams]
        self.given: dict[str, set[str]] = {name: set() for name in OPERATIONS}
        self.tables: list[str] = []
        self.arns: dict[str, str] = {}
        self.by_arn = False

    @property
    def dynamodb(self) -> Any:
        """The client without the memory."""
        return self.clients[0]

    def __call__(self, operation: str, **request: Any) -> dict[str, Any]:
        if self.by_arn:
            request = self._by_arn(request)
        for client in self.clients:
            if operation in client.meta.service_model.operation_names:
                names = {wire: name for name, wire in client.meta.method_to_api_mapping.items()}
                answer: dict[str, Any] = getattr(client, names[operation])(**request)
                if OPERATIONS[operation] is not None:
                    self.given[operation].update(surface.given(OPERATIONS[operation], request))
                return answer
        raise AssertionError(f"no service has {operation}")

    def _by_arn(self, value: Any) -> Any:
        """A part of a request with ARNs for the names of tables."""
        if isinstance(value, dict):
            return {self.arns.get(name, name): self._by_arn(member) for name, member in value.items()}
        if isinstance(value, list):
            return [self._by_arn(element) for element in value]
        return self.arns.get(value, value) if isinstance(value, str) else value

    def table(self, **more: Any) -> str:
        """A table with the key `pk` and an item."""
        name = unused_name()
        self.arns[name] = create_table(self.dynamodb, name, **more)["TableArn"]
        self.tables.append(name)
        self.dynamodb.put_item(TableName=name, Item=ITEM)
        return name


@pytest.fixture
def call(dynamodb: Any, streams: Any) -> Iterator[Caller]:
    """What the requests go out with; its tables go with it."""
    caller = Caller(dynamodb, streams)
    yield caller
    for name in caller.tables:
        dynamodb.delete_table(TableName=name)


# One function an operation: together its requests have every member that the document says is accepted.


def put_item(call: Caller) -> None:
    table = call.table()
    call("PutItem", TableName=table, Item=ITEM, ReturnValues="ALL_OLD", **MEASURED, **CONDITION, **FAILURE)
    for request in expected():
        call("PutItem", TableName=table, Item=ITEM, **request)


def expected() -> list[dict[str, Any]]:
    """Conditions from before expressions, which hold."""
    one = {"n": {"Value": {"N": "1"}, "Exists": True}}
    two = one | {"n": {"ComparisonOperator": "EQ", "AttributeValueList": [{"N": "1"}]}}
    return [{"Expected": one}, {"Expected": two | {"x": {"Exists": False}}, "ConditionalOperator": "AND"}]


def update_item(call: Caller) -> None:
    table = call.table()
    values = CONDITION["ExpressionAttributeValues"] | {":n": {"N": "1"}}
    call(
        "UpdateItem",
        TableName=table,
        Key=KEY,
        UpdateExpression="SET m = :n",
        ReturnValues="ALL_NEW",
        **{**CONDITION, "ExpressionAttributeValues": values},
        **MEASURED,
        **FAILURE,
    )
    for request in expected():
        updates = {"m": {"Value": {"N": "1"}, "Action": "ADD"}}
        call("UpdateItem", TableName=table, Key=KEY, AttributeUpdates=updates, **request)


def delete_item(call: Caller) -> None:
    table = call.table()
    for request in expected():
        call("DeleteItem", TableName=table, Key=KEY, **request)
        call.dynamodb.put_item(TableName=table, Item=ITEM)
    call("DeleteItem", TableName=table, Key=KEY, ReturnValues="ALL_OLD", **MEASURED, **CONDITION, **FAILURE)


def get_item(call: Caller) -> None:
    table = call.table()
    names = {"ProjectionExpression": "#x", "ExpressionAttributeNames": {"#x": "n"}}
    call("GetItem", TableName=table, Key=KEY, ConsistentRead=True, **names, **TOLD)
    call("GetItem", TableName=table, Key=KEY, AttributesToGet=["n"])


INDEX = {
    "IndexName": "by-g",
    "KeySchema": keys_of("g"),
    "Projection": {"ProjectionType": "INCLUDE", "NonKeyAttributes": ["n"]},
}


def indexed(call: Caller) -> str:
    """A table with a global index."""
    return call.table(
        AttributeDefinitions=definitions("pk:S", "g:S"),
        GlobalSecondaryIndexes=[INDEX | {"Projection": {"ProjectionType": "ALL"}}],
    )


def query(call: Caller) -> None:
    table = indexed(call)
    call(
        "Query",
        TableName=table,
        IndexName="by-g",
        KeyConditionExpression="g = :g",
        FilterExpression="#n = :n",
        ProjectionExpression="#n",
        ExpressionAttributeNames={"#n": "n"},
        ExpressionAttributeValues={":g": {"S": "g"}, ":n": {"N": "1"}},
        Select="SPECIFIC_ATTRIBUTES",
        Limit=1,
        ScanIndexForward=False,
        ConsistentRead=False,
        ExclusiveStartKey=KEY | {"g": {"S": "g"}},
        **TOLD,
    )
    condition = {"ComparisonOperator": "EQ", "AttributeValueList": [{"S": "a"}]}
    call(
        "Query",
        TableName=table,
        KeyConditions={"pk": condition},
        QueryFilter={
            "n": {"ComparisonOperator": "EQ", "AttributeValueList": [{"N": "1"}]},
            "x": {"ComparisonOperator": "NULL"},
        },
        ConditionalOperator="OR",
        AttributesToGet=["n"],
        ConsistentRead=True,
    )


def scan(call: Caller) -> None:
    table = indexed(call)
    first = call("Scan", TableName=table, TotalSegments=1, Segment=0, Limit=1)
    call(
        "Scan",
        TableName=table,
        FilterExpression="#n = :n",
        ProjectionExpression="#n",
        ExpressionAttributeNames={"#n": "n"},
        ExpressionAttributeValues={":n": {"N": "1"}},
        Select="SPECIFIC_ATTRIBUTES",
        ConsistentRead=True,
        ExclusiveStartKey=first["LastEvaluatedKey"],
        **TOLD,
    )
    call(
        "Scan",
        TableName=table,
        IndexName="by-g",
        ScanFilter={
            "n": {"ComparisonOperator": "EQ", "AttributeValueList": [{"N": "1"}]},
            "x": {"ComparisonOperator": "NULL"},
        },
        ConditionalOperator="AND",
        AttributesToGet=["n"],
    )


def batch_get_item(call: Caller) -> None:
    table = call.table()
    names = {"ProjectionExpression": "#x", "ExpressionAttributeNames": {"#x": "n"}}
    call("BatchGetItem", RequestItems={table: {"Keys": [KEY], "ConsistentRead": True, **names}}, **TOLD)
    call("BatchGetItem", RequestItems={table: {"Keys": [KEY], "AttributesToGet": ["n"]}})


def batch_write_item(call: Caller) -> None:
    table = call.table()
    other = {"pk": {"S": "b"}}
    writes = [{"PutRequest": {"Item": ITEM}}, {"DeleteRequest": {"Key": other}}]
    call("BatchWriteItem", RequestItems={table: writes}, **MEASURED)


def transact_get_items(call: Caller) -> None:
    names = {"ProjectionExpression": "#x", "ExpressionAttributeNames": {"#x": "n"}}
    get = {"TableName": call.table(), "Key": KEY, **names}
    call("TransactGetItems", TransactItems=[{"Get": get}], **TOLD)


def transact_write_items(call: Caller) -> None:
    more: dict[str, Any] = {"TableName": call.table(), **CONDITION, **FAILURE}

    def key(text: str) -> dict[str, Any]:
        return {"pk": {"S": text}}

    call(
        "TransactWriteItems",
        TransactItems=[
            {"Put": {"Item": key("b"), **more}},
            {"Delete": {"Key": key("c"), **more}},
            {"ConditionCheck": {"Key": key("d"), **more}},
            {"Update": {"Key": key("e"), "UpdateExpression": "SET y = :x", **more}},
        ],
        ClientRequestToken=uuid.uuid4().hex,
        **MEASURED,
    )


def execute_statement(call: Caller) -> None:
    table = call.table()
    for number in range(3):
        call.dynamodb.put_item(TableName=table, Item={"pk": {"S": f"{number}"}})
    scan = {"Statement": f'SELECT * FROM "{table}"', "Limit": 1, "ConsistentRead": True}
    first = call("ExecuteStatement", **scan, **TOLD)
    call("ExecuteStatement", **scan, NextToken=first["NextToken"])
    update = f"UPDATE \"{table}\" SET n = ? WHERE pk = 'a'"
    call("ExecuteStatement", Statement=update, Parameters=[{"N": "2"}], **FAILURE)


def batch_execute_statement(call: Caller) -> None:
    table = call.table()
    select = {"Statement": f'SELECT * FROM "{table}" WHERE pk = ?', "Parameters": [{"S": "a"}]}
    call("BatchExecuteStatement", Statements=[select | {"ConsistentRead": True}], **TOLD)
    update = {"Statement": f"UPDATE \"{table}\" SET n = 2 WHERE pk = 'a'", **FAILURE}
    call("BatchExecuteStatement", Statements=[update])


def execute_transaction(call: Caller) -> None:
    table = call.table()
    update = {"Statement": f'UPDATE "{table}" SET n = 2 WHERE pk = ?', "Parameters": [{"S": "a"}], **FAILURE}
    call("ExecuteTransaction", TransactStatements=[update], ClientRequestToken=uuid.uuid4().hex, **TOLD)


def creation(name: str, **more: Any) -> dict[str, Any]:
    """A CreateTable request."""
    return {
        "TableName": name,
        "AttributeDefinitions": definitions("pk:S"),
        "KeySchema": keys_of("pk"),
        "BillingMode": "PAY_PER_REQUEST",
        **more,
    }


def create_table_(call: Caller) -> None:
    projection = {"ProjectionType": "INCLUDE", "NonKeyAttributes": ["n"]}
    indexes = {
        "AttributeDefinitions": definitions("pk:S", "sk:S", "a:S"),
        "KeySchema": keys_of("pk", "sk"),
        "LocalSecondaryIndexes": [
            {"IndexName": "local", "KeySchema": keys_of("pk", "a"), "Projection": projection}
        ],
    }
    of_index = {"IndexName": "global", "KeySchema": keys_of("a"), "Projection": projection}
    settings = [
        {
            "GlobalSecondaryIndexes": [of_index | {"OnDemandThroughput": ON_DEMAND, "WarmThroughput": WARM}],
            "OnDemandThroughput": ON_DEMAND,
            "WarmThroughput": WARM,
            "StreamSpecification": {"StreamEnabled": True, "StreamViewType": "KEYS_ONLY"},
            "SSESpecification": {"Enabled": True, "SSEType": "KMS"},
            "Tags": [{"Key": "k", "Value": "v"}],
            "ResourcePolicy": POLICY,
            "TableClass": "STANDARD_INFREQUENT_ACCESS",
            "DeletionProtectionEnabled": False,
        },
        {
            "BillingMode": "PROVISIONED",
            "ProvisionedThroughput": PROVISIONED,
            "GlobalSecondaryIndexes": [of_index | {"ProvisionedThroughput": PROVISIONED}],
        },
    ]
    for setting in settings:
        name = unused_name()
        call("CreateTable", **creation(name, **indexes) | setting)
        call.tables.append(name)
        described = active(call.dynamodb, name)
        if "OnDemandThroughput" in setting:
            check_stored(described)


def check_stored(table: dict[str, Any]) -> None:
    """What is accepted without an effect is told again."""
    assert table["TableClassSummary"]["TableClass"] == "STANDARD_INFREQUENT_ACCESS"
    assert WARM.items() <= table["WarmThroughput"].items()
    assert WARM.items() <= table["GlobalSecondaryIndexes"][0]["WarmThroughput"].items()
    encryption = table["SSEDescription"]
    assert (encryption["Status"], encryption["SSEType"]) == ("ENABLED", "KMS")
    assert encryption["KMSMasterKeyArn"].startswith("arn:aws:kms:")


def update_table(call: Caller) -> None:
    client, table = call.dynamodb, call.table()
    create = {"Create": INDEX | {"OnDemandThroughput": ON_DEMAND, "WarmThroughput": WARM}}
    call(
        "UpdateTable",
        TableName=table,
        AttributeDefinitions=definitions("pk:S", "g:S"),
        GlobalSecondaryIndexUpdates=[create],
    )
    index_active(client, table, "by-g")
    update = {"IndexName": "by-g", "OnDemandThroughput": ON_DEMAND, "WarmThroughput": WARM}
    call("UpdateTable", TableName=table, GlobalSecondaryIndexUpdates=[{"Update": update}])
    # Most of them come alone.
    changes: list[dict[str, Any]] = [
        {"OnDemandThroughput": ON_DEMAND},
        {"WarmThroughput": WARM},
        {"TableClass": "STANDARD_INFREQUENT_ACCESS"},
        {"DeletionProtectionEnabled": False},
        {"SSESpecification": {"Enabled": True, "SSEType": "KMS"}},
        {"StreamSpecification": {"StreamEnabled": True, "StreamViewType": "KEYS_ONLY"}},
    ]
    for change in changes:
        call("UpdateTable", TableName=table, **change)
    check_stored(wait_for("the stream", lambda: settled(client, table)))
    call("UpdateTable", TableName=table, SSESpecification={"Enabled": False})
    assert "SSEDescription" not in active(client, table)
    call("UpdateTable", TableName=table, GlobalSecondaryIndexUpdates=[{"Delete": {"IndexName": "by-g"}}])
    index_gone(client, table, "by-g")
    call("UpdateTable", TableName=table, BillingMode="PROVISIONED", ProvisionedThroughput=PROVISIONED)
    create = {"Create": INDEX | {"ProvisionedThroughput": PROVISIONED}}
    call(
        "UpdateTable",
        TableName=table,
        AttributeDefinitions=definitions("g:S"),
        GlobalSecondaryIndexUpdates=[create],
    )
    index_active(client, table, "by-g")
    update = {"IndexName": "by-g", "ProvisionedThroughput": PROVISIONED | {"ReadCapacityUnits": 6}}
    call("UpdateTable", TableName=table, GlobalSecondaryIndexUpdates=[{"Update": update}])


def settled(client: Any, table: str) -> dict[str, Any] | None:
    """The table, once nothing of it is changing."""
    described: dict[str, Any] = client.describe_table(TableName=table)["Table"]
    return described if described["TableStatus"] == "ACTIVE" else None


def of_table(operation: str) -> Callable[[Caller], None]:
    """An operation that takes the name of a table and nothing else."""

    def run(call: Caller) -> None:
        call(operation, TableName=call.table())

    return run


def delete_table(call: Caller) -> None:
    name = call.table()
    call("DeleteTable", TableName=name)
    call.tables.remove(name)


def list_tables(call: Caller) -> None:
    table = call.table()
    assert call("ListTables", ExclusiveStartTableName=table[:-1], Limit=1)["TableNames"] == [table]


def tags(call: Caller) -> None:
    arn = call.dynamodb.describe_table(TableName=call.table())["Table"]["TableArn"]
    call("TagResource", ResourceArn=arn, Tags=[{"Key": f"{number:02}", "Value": ""} for number in range(15)])
    assert "NextToken" not in call("ListTagsOfResource", ResourceArn=arn)
    # One page has all tags of a table; a token is the last key of a page in base64.
    behind = base64.urlsafe_b64encode(b"04").decode().rstrip("=")
    assert len(call("ListTagsOfResource", ResourceArn=arn, NextToken=behind)["Tags"]) == 10
    call("UntagResource", ResourceArn=arn, TagKeys=["01"])


def backups(call: Caller) -> None:
    projection = {"ProjectionType": "INCLUDE", "NonKeyAttributes": ["n"]}
    local = {"IndexName": "local", "KeySchema": keys_of("pk", "a"), "Projection": projection}
    of_index = {"IndexName": "global", "KeySchema": keys_of("a"), "Projection": projection}
    name = unused_name()
    settings = {
        "AttributeDefinitions": definitions("pk:S", "sk:S", "a:S"),
        "KeySchema": keys_of("pk", "sk"),
        "LocalSecondaryIndexes": [local],
        "GlobalSecondaryIndexes": [of_index],
    }
    call.arns[name] = call.dynamodb.create_table(**creation(name, **settings))["TableDescription"]["TableArn"]
    call.tables.append(name)
    active(call.dynamodb, name)
    arn = call("CreateBackup", TableName=name, BackupName="nightly")["BackupDetails"]["BackupArn"]
    backup_available(call, arn)
    times = {"TimeRangeLowerBound": 0, "TimeRangeUpperBound": 4_000_000_000}
    listed = call("ListBackups", TableName=name, Limit=1, BackupType="ALL", **times)["BackupSummaries"]
    assert [backup["BackupArn"] for backup in listed] == [arn]
    assert not call("ListBackups", TableName=name, ExclusiveStartBackupArn=arn)["BackupSummaries"]
    overrides = [
        {
            "BillingModeOverride": "PAY_PER_REQUEST",
            "GlobalSecondaryIndexOverride": [
                of_index | {"OnDemandThroughput": ON_DEMAND, "WarmThroughput": WARM}
            ],
            "LocalSecondaryIndexOverride": [local],
            "OnDemandThroughputOverride": ON_DEMAND,
            "SSESpecificationOverride": {"Enabled": True, "SSEType": "KMS"},
        },
        {
            "BillingModeOverride": "PROVISIONED",
            "ProvisionedThroughputOverride": PROVISIONED,
            "GlobalSecondaryIndexOverride": [of_index | {"ProvisionedThroughput": PROVISIONED}],
        },
    ]
    for override in overrides:
        restored = unused_name()
        call("RestoreTableFromBackup", TargetTableName=restored, BackupArn=arn, **override)
        call.tables.append(restored)
        described = active(call.dynamodb, restored)
        assert described["RestoreSummary"]["SourceBackupArn"] == arn
    call("DeleteBackup", BackupArn=arn)


def point_in_time(call: Caller) -> None:
    projection = {"ProjectionType": "INCLUDE", "NonKeyAttributes": ["n"]}
    local = index("local", "pk", "a") | {"Projection": projection}
    of_index = index("global", "a") | {"Projection": projection}
    name = unused_name()
    settings = {
        "AttributeDefinitions": definitions("pk:S", "sk:S", "a:S"),
        "KeySchema": keys_of("pk", "sk"),
        "LocalSecondaryIndexes": [local],
        "GlobalSecondaryIndexes": [of_index],
    }
    call.arns[name] = call.dynamodb.create_table(**creation(name, **settings))["TableDescription"]["TableArn"]
    call.tables.append(name)
    active(call.dynamodb, name)
    keep(call, name)
    overrides = [
        {
            "SourceTableArn": call.arns[name],
            "BillingModeOverride": "PAY_PER_REQUEST",
            "GlobalSecondaryIndexOverride": [
                of_index | {"OnDemandThroughput": ON_DEMAND, "WarmThroughput": WARM}
            ],
            "LocalSecondaryIndexOverride": [local],
            "OnDemandThroughputOverride": ON_DEMAND,
            "SSESpecificationOverride": {"Enabled": True, "SSEType": "KMS"},
            "UseLatestRestorableTime": True,
        },
        {
            "SourceTableName": name,
            "BillingModeOverride": "PROVISIONED",
            "ProvisionedThroughputOverride": PROVISIONED,
            "GlobalSecondaryIndexOverride": [of_index | {"ProvisionedThroughput": PROVISIONED}],
            "RestoreDateTime": keep(call, name),
        },
    ]
    for override in overrides:
        restored = unused_name()
        call("RestoreTableToPointInTime", TargetTableName=restored, **override)
        call.tables.append(restored)
        described = active(call.dynamodb, restored)
        assert described["RestoreSummary"]["SourceTableArn"] == call.arns[name]


def keep(call: Caller, name: str) -> datetime:
    """Turns point-in-time recovery on, and waits for the first moment that can be restored."""
    specification = {"PointInTimeRecoveryEnabled": True, "RecoveryPeriodInDays": 35}
    call("UpdateContinuousBackups", TableName=name, PointInTimeRecoverySpecification=specification)

    def first() -> datetime | None:
        described = call("DescribeContinuousBackups", TableName=name)["ContinuousBackupsDescription"]
        found: datetime | None = described["PointInTimeRecoveryDescription"].get("EarliestRestorableDateTime")
        return found

    earliest: datetime = wait_for(f"the history of {name}", first, 60)
    return earliest


def kept(call: Caller) -> str:
    """A table with point-in-time recovery."""
    name = call.table()
    keep(call, name)
    return name


def continuous_backups(call: Caller) -> None:
    keep(call, call.table())


def backup_of(call: Caller) -> str:
    """The ARN of a backup of a table."""
    arn: str = call("CreateBackup", TableName=call.table(), BackupName="nightly")["BackupDetails"][
        "BackupArn"
    ]
    backup_available(call, arn)
    return arn


def backup_available(call: Caller, arn: str) -> None:
    """Waits until a backup is complete."""

    def look() -> bool:
        details = call("DescribeBackup", BackupArn=arn)["BackupDescription"]["BackupDetails"]
        return bool(details["BackupStatus"] == "AVAILABLE")

    wait_for(f"the backup {arn}", look)


def importing(name: str, **more: Any) -> dict[str, Any]:
    """The request to import into a new table; there need not be anything to import."""
    return {
        "S3BucketSource": {"S3Bucket": "bucket"},
        "InputFormat": "CSV",
        "TableCreationParameters": {
            "TableName": name,
            "AttributeDefinitions": definitions("pk:S", "a:S"),
            "KeySchema": keys_of("pk"),
            "BillingMode": "PAY_PER_REQUEST",
            "GlobalSecondaryIndexes": [of_import(OnDemandThroughput=ON_DEMAND, WarmThroughput=WARM)],
            **more,
        },
    }


def of_import(**more: Any) -> dict[str, Any]:
    """An index of a table that is imported."""
    projection = {"ProjectionType": "INCLUDE", "NonKeyAttributes": ["n"]}
    return {"IndexName": "of_a", "KeySchema": keys_of("a"), "Projection": projection, **more}


def imports(call: Caller) -> None:
    source = {"S3Bucket": "bucket", "S3BucketOwner": "000000000000", "S3KeyPrefix": "none/"}
    on_demand = {"OnDemandThroughput": ON_DEMAND, "SSESpecification": {"Enabled": True, "SSEType": "KMS"}}
    provisioned = {
        "BillingMode": "PROVISIONED",
        "ProvisionedThroughput": PROVISIONED,
        "GlobalSecondaryIndexes": [of_import(ProvisionedThroughput=PROVISIONED)],
    }
    for more in (on_demand, provisioned):
        name = unused_name()
        request = importing(name, **more) | {
            "ClientToken": name,
            "S3BucketSource": source,
            "InputFormatOptions": {"Csv": {"Delimiter": ";", "HeaderList": ["pk", "a"]}},
            "InputCompressionType": "GZIP",
        }
        asked = call("ImportTable", **request)["ImportTableDescription"]
        call.tables.append(name)
        described = call("DescribeImport", ImportArn=asked["ImportArn"])["ImportTableDescription"]
        assert described["S3BucketSource"] == source
        active(call.dynamodb, name)
    page = call("ListImports", PageSize=1)
    assert page["ImportSummaryList"]
    call("ListImports", NextToken=page["NextToken"], TableArn=asked["TableArn"])


def exports(call: Caller) -> None:
    table = kept(call)
    more = {"S3SseAlgorithm": "KMS", "S3SseKmsKeyId": "key", "ExportFormat": "ION", "ExportType": "FULL_EXPORT"}
    more |= {"S3BucketOwner": "000000000000", "S3Prefix": "a", "TableArn": call.arns[table]}
    for _ in range(2):
        token = unused_name()
        asked = call("ExportTableToPointInTime", S3Bucket="bucket", ClientToken=token, **more)
        described = call("DescribeExport", ExportArn=asked["ExportDescription"]["ExportArn"])
        assert described["ExportDescription"]["S3SseKmsKeyId"] == "key"
        backups = call.dynamodb.describe_continuous_backups(TableName=table)["ContinuousBackupsDescription"]
        more["ExportTime"] = backups["PointInTimeRecoveryDescription"]["LatestRestorableDateTime"]
    # A period is shorter than any whose changes can be exported: the table would have to be kept for so long.
    moment = more.pop("ExportTime")
    period = {
        "ExportFromTime": moment,
        "ExportToTime": moment + timedelta(minutes=14),
        "ExportViewType": "NEW_IMAGE",
    }
    more |= {"ExportType": "INCREMENTAL_EXPORT", "IncrementalExportSpecification": period}
    with pytest.raises(call.dynamodb.exceptions.InvalidExportTimeException, match="15 minutes"):
        call("ExportTableToPointInTime", S3Bucket="bucket", **more)
    operation = OPERATIONS["ExportTableToPointInTime"]
    call.given["ExportTableToPointInTime"].update(surface.given(operation, more))
    page = call("ListExports", MaxResults=1, TableArn=call.arns[table])
    assert call("ListExports", NextToken=page["NextToken"], TableArn=call.arns[table])["ExportSummaries"]


def bulk_operations(call: Caller) -> None:
    """Of objects that are not there: how they are put is for `test_bulk.py`."""
    request = {
        "TableName": call.table(),
        "InputS3Configuration": {
            "S3BucketOwner": "000000000000",
            "S3Bucket": "bucket",
            "S3KeyPrefix": "none/",
            "InputFormat": "ION",
            "InputCompressionType": "ZSTD",
        },
        "OutputS3Configuration": {
            "S3BucketOwner": "000000000000",
            "S3Bucket": "bucket",
            "S3KeyPrefix": "reports",
            "S3SseAlgorithm": "KMS",
            "S3SseKmsKeyId": "key",
            "OutputType": ["ERROR", "CONDITION_CHECK_FAILURE"],
        },
        "MaxWriteRequestUnits": 1024,
        "PerformanceTier": "ACCELERATED",
    }
    told = ("InputS3Configuration", "OutputS3Configuration", "MaxWriteRequestUnits", "PerformanceTier")
    for _ in range(2):
        started = call("StartBulkPutItems", ClientToken=unused_name(), **request)["BulkOperationDescription"]
        assert {name: started[name] for name in told} == {name: request[name] for name in told}
        arn = {"BulkOperationArn": started["BulkOperationArn"]}
        call("CancelBulkOperation", **arn)
        assert call("DescribeBulkOperation", **arn)["BulkOperationDescription"]["TableDetails"]
    page = call("ListBulkOperations", MaxResults=1)
    assert call("ListBulkOperations", NextToken=page["NextToken"])["BulkOperationsSummaryList"]


NOBODY = {"Effect": "Deny", "Principal": {"AWS": "123456789012"}, "Action": "dynamodb:*", "Resource": "*"}
POLICY = json.dumps({"Version": "2012-10-17", "Statement": NOBODY})


def resource_policies(call: Caller) -> None:
    arn = call.dynamodb.describe_table(TableName=call.table())["Table"]["TableArn"]
    expected = {"ExpectedRevisionId": "NO_POLICY", "ConfirmRemoveSelfResourceAccess": True}
    revision = call("PutResourcePolicy", ResourceArn=arn, Policy=POLICY, **expected)["RevisionId"]
    assert call("GetResourcePolicy", ResourceArn=arn)["Policy"] == POLICY
    call("DeleteResourcePolicy", ResourceArn=arn, ExpectedRevisionId=revision)


def time_to_live(call: Caller) -> None:
    table = call.table()
    call(
        "UpdateTimeToLive",
        TableName=table,
        TimeToLiveSpecification={"Enabled": True, "AttributeName": "due"},
    )
    call("DescribeTimeToLive", TableName=table)


def streams_(call: Caller) -> None:
    table = call.table(StreamSpecification={"StreamEnabled": True, "StreamViewType": "KEYS_ONLY"})
    [listed] = call("ListStreams", TableName=table, Limit=1)["Streams"]
    arn = listed["StreamArn"]
    call("ListStreams", TableName=table, ExclusiveStartStreamArn=arn)
    shards = call("DescribeStream", StreamArn=arn, Limit=1)["StreamDescription"]["Shards"]
    shard = shards[0]["ShardId"]
    call("DescribeStream", StreamArn=arn, ExclusiveStartShardId=shard)
    call("DescribeStream", StreamArn=arn, ShardFilter={"Type": "CHILD_SHARDS", "ShardId": shard})
    start = call.clients[1].describe_stream(StreamArn=arn)["StreamDescription"]["Shards"][0]
    number = start["SequenceNumberRange"]["StartingSequenceNumber"]
    at = {"StreamArn": arn, "ShardId": shard, "ShardIteratorType": "AT_SEQUENCE_NUMBER"}
    iterator = call("GetShardIterator", **at, SequenceNumber=number)["ShardIterator"]
    call("GetRecords", ShardIterator=iterator, Limit=1)
    beginning = {"ShardIteratorType": "AT_TIMESTAMP", "Timestamp": 0}
    call("GetShardIterator", StreamArn=arn, ShardId=shard, **beginning)


SAMPLES: dict[str, Callable[[Caller], None]] = {
    "BatchExecuteStatement": batch_execute_statement,
    "BatchGetItem": batch_get_item,
    "BatchWriteItem": batch_write_item,
    "CancelBulkOperation": bulk_operations,
    "CreateBackup": backups,
    "CreateTable": create_table_,
    "DeleteBackup": backups,
    "DeleteItem": delete_item,
    "DeleteResourcePolicy": resource_policies,
    "DeleteTable": delete_table,
    "DescribeBackup": backups,
    "DescribeBulkOperation": bulk_operations,
    "DescribeContinuousBackups": of_table("DescribeContinuousBackups"),
    "DescribeEndpoints": lambda call: check(call("DescribeEndpoints")["Endpoints"]),
    "DescribeExport": exports,
    "DescribeImport": imports,
    "DescribeLimits": lambda call: check(call("DescribeLimits")["TableMaxReadCapacityUnits"]),
    "DescribeStream": streams_,
    "DescribeTable": of_table("DescribeTable"),
    "DescribeTimeToLive": time_to_live,
    "ExecuteStatement": execute_statement,
    "ExecuteTransaction": execute_transaction,
    "ExportTableToPointInTime": exports,
    "GetItem": get_item,
    "GetRecords": streams_,
    "GetResourcePolicy": resource_policies,
    "GetShardIterator": streams_,
    "ImportTable": imports,
    "ListBackups": backups,
    "ListBulkOperations": bulk_operations,
    "ListExports": exports,
    "ListImports": imports,
    "ListStreams": streams_,
    "ListTables": list_tables,
    "ListTagsOfResource": tags,
    "PutItem": put_item,
    "PutResourcePolicy": resource_policies,
    "Query": query,
    "RestoreTableFromBackup": backups,
    "RestoreTableToPointInTime": point_in_time,
    "Scan": scan,
    "StartBulkPutItems": bulk_operations,
    "TagResource": tags,
    "TransactGetItems": transact_get_items,
    "TransactWriteItems": transact_write_items,
    "UntagResource": tags,
    "UpdateContinuousBackups": continuous_backups,
    "UpdateItem": update_item,
    "UpdateTable": update_table,
    "UpdateTimeToLive": time_to_live,
}


def check(value: Any) -> None:
    """Something has to be there."""
    assert value


def test_the_document_knows_every_operation_and_no_other() -> None:
    assert len(NOT_BUILT) == len(set(NOT_BUILT))
    assert not set(NOT_BUILT) & set(DOCUMENTED)
    assert set(NOT_BUILT) | set(DOCUMENTED) == set(OPERATIONS)
    assert set(SAMPLES) == set(DOCUMENTED)


@pytest.mark.parametrize("operation", DOCUMENTED)
def test_the_document_knows_every_member_and_no_other(operation: str) -> None:
    known = dict(surface.members(OPERATIONS[operation]))
    said = DOCUMENTED[operation]
    assert set(said) <= set(known)
    for path in known:
        surface.status(said, path)
    for path, status in said.items():
        parent = path.rpartition(".")[0]
        assert not parent or surface.status(said, parent) != status, f"{path} says what {parent} says"


@pytest.mark.parametrize("operation", DOCUMENTED)
def test_what_is_accepted_is(operation: str, call: Caller) -> None:
    SAMPLES[operation](call)
    said = DOCUMENTED[operation]
    known = [path for path, _ in surface.members(OPERATIONS[operation])]
    accepted = {path for path in known if surface.status(said, path) != surface.REFUSED}
    untried = accepted - call.given[operation]
    assert not untried, f"no request of {operation} has these"
    assert not {path for path in call.given[operation] if surface.status(said, path) == surface.REFUSED}


NAMING_TABLES = [
    operation
    for operation in DOCUMENTED
    if {"TableName", "RequestItems", "TransactItems"}
    & {path for path, _ in surface.members(OPERATIONS[operation])}
]


# A table that is made has no ARN yet, and the service model of streams takes a name only.
@pytest.mark.parametrize(
    "operation", [name for name in NAMING_TABLES if name not in ("CreateTable", "ListStreams")]
)
def test_a_table_is_named_by_its_arn(operation: str, call: Caller) -> None:
    call.by_arn = True
    SAMPLES[operation](call)


REFUSED = [
    (operation, path)
    for operation, said in DOCUMENTED.items()
    for path, status in said.items()
    if status == surface.REFUSED
]


@pytest.mark.parametrize(("operation", "path"), REFUSED)
def test_what_is_refused_is_refused_by_its_name(operation: str, path: str, call: Caller) -> None:
    request = {
        "CreateTable": lambda: creation(unused_name()),
        "ExportTableToPointInTime": lambda: {"TableArn": call.arns[kept(call)], "S3Bucket": "bucket"},
        "ImportTable": lambda: importing(unused_name()),
        "RestoreTableToPointInTime": lambda: {
            "SourceTableName": kept(call),
            "TargetTableName": unused_name(),
            "UseLatestRestorableTime": True,
        },
        "RestoreTableFromBackup": lambda: {"TargetTableName": unused_name(), "BackupArn": backup_of(call)},
        "UpdateTable": lambda: {"TableName": call.table()},
    }
    body = surface.with_member(request[operation](), OPERATIONS[operation], path)
    with pytest.raises(call.dynamodb.exceptions.ClientError) as refusal:
        call(operation, **body)
    error = refusal.value.response["Error"]
    assert error["Code"] == VALIDATION.split("#")[1]
    assert error["Message"].endswith(f"not supported yet by this version of Stator: {path}"), error


@pytest.mark.parametrize("operation", NOT_BUILT)
def test_what_is_not_built_is_unknown(operation: str, raw: RawClient) -> None:
    answer = raw.call(operation, {})
    assert (answer.status, answer.type) == (400, f"{CORAL_SERVICE}#UnknownOperationException")

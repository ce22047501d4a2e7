"""Secondary indexes: what they hold, how they are read, and how they are made and given up while in use."""

from __future__ import annotations

from typing import Any

import pytest

from conftest import MakeTable, active, unused_name
from errors import accepted, refused
from raw import RawClient
from waiting import until, until_equal

ATTRIBUTES = [
    {"AttributeName": "pk", "AttributeType": "S"},
    {"AttributeName": "sk", "AttributeType": "N"},
    {"AttributeName": "a", "AttributeType": "S"},
    {"AttributeName": "b", "AttributeType": "N"},
]


def keys(*names: str) -> list[dict[str, str]]:
    """A key schema of `name:ROLE`."""
    return [{"AttributeName": n, "KeyType": role} for n, role in (name.split(":") for name in names)]


def index(name: str, *names: str, **projection: Any) -> dict[str, Any]:
    return {
        "IndexName": name,
        "KeySchema": keys(*names),
        "Projection": projection or {"ProjectionType": "ALL"},
    }


LOCAL = [
    index("local", "pk:HASH", "b:RANGE", ProjectionType="KEYS_ONLY"),
]
GLOBAL = [
    index("all", "a:HASH", "b:RANGE"),
    index("keys", "a:HASH", ProjectionType="KEYS_ONLY"),
    index("some", "b:HASH", "a:RANGE", ProjectionType="INCLUDE", NonKeyAttributes=["x"]),
]


def definition(**more: Any) -> dict[str, Any]:
    return {
        "AttributeDefinitions": ATTRIBUTES,
        "KeySchema": keys("pk:HASH", "sk:RANGE"),
        "LocalSecondaryIndexes": LOCAL,
        "GlobalSecondaryIndexes": GLOBAL,
        **more,
    }


@pytest.fixture
def indexed(make_table: MakeTable) -> str:
    return make_table(**definition())


def item(pk: str, sk: int, **more: Any) -> dict[str, Any]:
    return {"pk": {"S": pk}, "sk": {"N": str(sk)}, **more}


def put(dynamodb: Any, table: str, *items: dict[str, Any]) -> None:
    for one in items:
        dynamodb.put_item(TableName=table, Item=one)


def scanned(dynamodb: Any, table: str, name: str) -> list[dict[str, Any]]:
    """All rows of an index, in an order of their own."""
    pages = dynamodb.get_paginator("scan").paginate(TableName=table, IndexName=name)
    return in_order([row for page in pages for row in page["Items"]])


def in_order(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(rows, key=lambda row: (row["pk"]["S"], int(row["sk"]["N"])))


def queried(dynamodb: Any, table: str, name: str, condition: str, **more: Any) -> dict[str, Any]:
    values = more.pop("values", {})
    answer: dict[str, Any] = dynamodb.query(
        TableName=table,
        IndexName=name,
        KeyConditionExpression=condition,
        ExpressionAttributeValues=values,
        **more,
    )
    return answer


def test_indexes_are_described(dynamodb: Any, indexed: str) -> None:
    table = dynamodb.describe_table(TableName=indexed)["Table"]
    described = {one["IndexName"]: one for one in table["GlobalSecondaryIndexes"]}
    assert set(described) == {"all", "keys", "some"}
    assert described["some"]["Projection"] == {"ProjectionType": "INCLUDE", "NonKeyAttributes": ["x"]}
    assert described["all"]["KeySchema"] == keys("a:HASH", "b:RANGE")
    assert {one["IndexStatus"] for one in described.values()} == {"ACTIVE"}
    assert described["all"]["IndexArn"] == table["TableArn"] + "/index/all"
    [local] = table["LocalSecondaryIndexes"]
    assert (local["IndexName"], local["KeySchema"]) == ("local", keys("pk:HASH", "b:RANGE"))
    assert "IndexStatus" not in local
    names = {one["AttributeName"] for one in table["AttributeDefinitions"]}
    assert names == {"pk", "sk", "a", "b"}


def test_rows_have_what_the_projection_says_and_are_sparse(dynamodb: Any, indexed: str) -> None:
    both = item("p", 1, a={"S": "a"}, b={"N": "1"}, x={"S": "x"}, y={"S": "y"})
    only_a = item("p", 2, a={"S": "a"}, y={"S": "y"})
    neither = item("p", 3, y={"S": "y"})
    put(dynamodb, indexed, both, only_a, neither)
    until_equal(lambda: scanned(dynamodb, indexed, "all"), [both])
    key_names = ("pk", "sk", "a")
    of_keys = [{name: one[name] for name in key_names} for one in (both, only_a)]
    until_equal(lambda: scanned(dynamodb, indexed, "keys"), of_keys)
    some = [{name: value for name, value in both.items() if name != "y"}]
    until_equal(lambda: scanned(dynamodb, indexed, "some"), some)
    local = [{name: both[name] for name in ("pk", "sk", "b")}]
    assert scanned(dynamodb, indexed, "local") == local


def test_rows_follow_their_items(dynamodb: Any, indexed: str) -> None:
    put(dynamodb, indexed, item("p", 1, a={"S": "a"}, b={"N": "1"}))
    dynamodb.update_item(
        TableName=indexed,
        Key=item("p", 1),
        UpdateExpression="SET a = :a, x = :x",
        ExpressionAttributeValues={":a": {"S": "z"}, ":x": {"S": "x"}},
    )
    moved = item("p", 1, a={"S": "z"}, b={"N": "1"}, x={"S": "x"})
    until_equal(lambda: scanned(dynamodb, indexed, "all"), [moved])
    until_equal(lambda: scanned(dynamodb, indexed, "some"), [moved])
    dynamodb.update_item(TableName=indexed, Key=item("p", 1), UpdateExpression="REMOVE b")
    until_equal(lambda: scanned(dynamodb, indexed, "all"), [])
    until_equal(lambda: len(scanned(dynamodb, indexed, "keys")), 1)
    assert scanned(dynamodb, indexed, "local") == []
    dynamodb.delete_item(TableName=indexed, Key=item("p", 1))
    until_equal(lambda: scanned(dynamodb, indexed, "keys"), [])


def test_a_batch_is_indexed(dynamodb: Any, indexed: str) -> None:
    items = [item("p", n, a={"S": "a"}, b={"N": str(n)}) for n in range(25)]
    dynamodb.batch_write_item(RequestItems={indexed: [{"PutRequest": {"Item": one}} for one in items]})
    until_equal(lambda: scanned(dynamodb, indexed, "all"), items)


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ("a = :a", [1, 2, 3, 4, 5]),
        ("a = :a AND b = :3", [3]),
        ("a = :a AND b < :3", [1, 2]),
        ("a = :a AND b <= :3", [1, 2, 3]),
        ("a = :a AND b > :3", [4, 5]),
        ("a = :a AND b >= :3", [3, 4, 5]),
        ("a = :a AND b BETWEEN :2 AND :3", [2, 3]),
    ],
)
@pytest.mark.parametrize("forward", [True, False])
def test_a_query_reads_a_range_of_an_index(
    dynamodb: Any, make_table: MakeTable, condition: str, expected: list[int], forward: bool
) -> None:
    table = make_table(**definition())
    put(dynamodb, table, *(item("p", n, a={"S": "a"}, b={"N": str(n)}) for n in range(1, 6)))
    put(dynamodb, table, item("p", 9, a={"S": "ab"}, b={"N": "3"}))
    until_equal(lambda: len(scanned(dynamodb, table, "all")), 6)
    values = {":a": {"S": "a"}, ":2": {"N": "2"}, ":3": {"N": "3"}}
    used = {name: value for name, value in values.items() if name in condition}
    rows = queried(dynamodb, table, "all", condition, values=used, ScanIndexForward=forward)["Items"]
    assert [int(row["b"]["N"]) for row in rows] == (expected if forward else expected[::-1])


def test_pages_of_equal_keys_lose_nothing(dynamodb: Any, indexed: str) -> None:
    items = [item(f"p{n}", n, a={"S": "same"}, b={"N": "7"}) for n in range(11)]
    put(dynamodb, indexed, *items)
    until_equal(lambda: len(scanned(dynamodb, indexed, "all")), 11)
    seen, start = [], {}
    while True:
        page = queried(dynamodb, indexed, "all", "a = :a", values={":a": {"S": "same"}}, Limit=3, **start)
        seen += page["Items"]
        if "LastEvaluatedKey" not in page:
            break
        assert set(page["LastEvaluatedKey"]) == {"pk", "sk", "a", "b"}
        start = {"ExclusiveStartKey": page["LastEvaluatedKey"]}
    assert in_order(seen) == in_order(items)


def test_a_local_index_is_read_strongly_and_fetches_what_it_lacks(dynamodb: Any, indexed: str) -> None:
    for n in range(20):
        one = item("p", n, b={"N": str(-n)}, x={"S": f"x{n}"})
        put(dynamodb, indexed, one)
        values = {":p": {"S": "p"}, ":b": {"N": str(-n)}}
        found = queried(
            dynamodb,
            indexed,
            "local",
            "pk = :p AND b = :b",
            values=values,
            ConsistentRead=True,
            Select="ALL_ATTRIBUTES",
        )
        assert found["Items"] == [one]
    of_x = queried(
        dynamodb, indexed, "local", "pk = :p", values={":p": {"S": "p"}}, ProjectionExpression="x", Limit=2
    )
    assert of_x["Items"] == [{"x": {"S": "x19"}}, {"x": {"S": "x18"}}]


def test_what_an_index_cannot_give_is_refused(raw: RawClient, indexed: str) -> None:
    def query(name: str, **more: Any) -> Any:
        request = {
            "TableName": indexed,
            "IndexName": name,
            "KeyConditionExpression": "a = :a",
            "ExpressionAttributeValues": {":a": {"S": "a"}},
            **more,
        }
        return raw.call("Query", request)

    refused(query("nobody"), "The table does not have the specified index: nobody")
    refused(
        query("all", ConsistentRead=True), "Consistent reads are not supported on global secondary indexes"
    )
    refused(
        query("keys", Select="ALL_ATTRIBUTES"),
        "One or more parameter values were invalid: Select type ALL_ATTRIBUTES is not supported for global "
        "secondary index keys because its projection type is not ALL",
    )
    accepted(query("all", Select="ALL_ATTRIBUTES"))
    accepted(query("keys", Select="ALL_PROJECTED_ATTRIBUTES"))


def test_an_item_that_does_not_fit_is_refused(raw: RawClient, dynamodb: Any, indexed: str) -> None:
    put_item = {"TableName": indexed, "Item": item("p", 1, a={"N": "1"})}
    refused(
        raw.call("PutItem", put_item),
        "One or more parameter values were invalid: Type mismatch for Index Key a Expected: S Actual: N "
        "IndexName: all",
    )
    batch = {"RequestItems": {indexed: [{"PutRequest": {"Item": put_item["Item"]}}]}}
    assert raw.call("BatchWriteItem", batch).status == 400
    update = {
        "TableName": indexed,
        "Key": item("p", 1),
        "UpdateExpression": "SET b = :b",
        "ExpressionAttributeValues": {":b": {"S": "text"}},
    }
    assert raw.call("UpdateItem", update).status == 400
    assert "Item" not in dynamodb.get_item(TableName=indexed, Key=item("p", 1))


def test_capacity_is_told_by_index(dynamodb: Any, indexed: str) -> None:
    def written(**more: Any) -> dict[str, Any]:
        answer = dynamodb.put_item(
            TableName=indexed, Item=item("p", 1, **more), ReturnConsumedCapacity="INDEXES"
        )
        capacity: dict[str, Any] = answer["ConsumedCapacity"]
        return capacity

    def units(capacity: dict[str, Any]) -> dict[str, float]:
        by_name = {**capacity.get("GlobalSecondaryIndexes", {}), **capacity.get("LocalSecondaryIndexes", {})}
        return {name: one["CapacityUnits"] for name, one in by_name.items()}

    first = written(a={"S": "a"}, b={"N": "1"})
    assert units(first) == {"all": 1, "keys": 1, "some": 1, "local": 1}
    assert (first["Table"]["CapacityUnits"], first["CapacityUnits"]) == (1, 5)
    other = written(a={"S": "a"}, b={"N": "1"}, y={"S": "y"})
    assert units(other) == {"all": 1}
    moved = written(a={"S": "z"}, b={"N": "1"}, y={"S": "y"})
    assert units(moved) == {"all": 2, "keys": 2, "some": 2}
    gone = written()
    assert units(gone) == {"all": 1, "keys": 1, "some": 1, "local": 1}
    until_equal(lambda: scanned(dynamodb, indexed, "all"), [])
    read = queried(
        dynamodb, indexed, "all", "a = :a", values={":a": {"S": "a"}}, ReturnConsumedCapacity="INDEXES"
    )["ConsumedCapacity"]
    assert read["GlobalSecondaryIndexes"] == {"all": {"CapacityUnits": 0.5}}
    assert (read["Table"]["CapacityUnits"], read["CapacityUnits"]) == (0, 0.5)


def test_several_attributes_make_a_key(dynamodb: Any, make_table: MakeTable) -> None:
    names = ["h1", "h2", "r1", "r2"]
    table = make_table(
        AttributeDefinitions=[{"AttributeName": n, "AttributeType": "S"} for n in ["pk", *names]],
        KeySchema=keys("pk:HASH"),
        GlobalSecondaryIndexes=[index("wide", "h1:HASH", "h2:HASH", "r1:RANGE", "r2:RANGE")],
    )
    for n in range(27):
        row = {"h1": "h", "h2": "hh"[: n % 2 + 1], "r1": f"r{n // 9}", "r2": f"s{n % 9}"}
        put(dynamodb, table, {"pk": {"S": str(n)}, **{name: {"S": value} for name, value in row.items()}})
    until_equal(lambda: dynamodb.scan(TableName=table, IndexName="wide")["Count"], 27)

    def found(condition: str, **values: str) -> list[int]:
        attributes = {f":{name}": {"S": value} for name, value in values.items()}
        rows = queried(dynamodb, table, "wide", condition, values=attributes)["Items"]
        return [int(row["pk"]["S"]) for row in rows]

    assert found("h1 = :a AND h2 = :b", a="h", b="h") == list(range(0, 27, 2))
    assert found("h1 = :a AND h2 = :b AND r1 = :c", a="h", b="h", c="r1") == [10, 12, 14, 16]
    assert found("h1 = :a AND h2 = :b AND r1 = :c AND r2 > :d", a="h", b="h", c="r1", d="s3") == [14, 16]
    assert found("h1 = :a AND h2 = :b AND begins_with(r1, :c)", a="h", b="hh", c="r") == list(range(1, 27, 2))


test_several_attributes_make_a_key = pytest.mark.differs_from_dynamodb_local(
    "it may be older than keys of several attributes"
)(test_several_attributes_make_a_key)


def test_an_index_is_made_of_items_that_were_there_and_given_up_again(
    dynamodb: Any, make_table: MakeTable
) -> None:
    table = make_table("pk:S", "sk:N")
    items = [item(f"p{n}", n, a={"S": f"a{n % 5}"}, x={"S": "x"}) for n in range(100)]
    put(dynamodb, table, *items, item("p", 1, a={"BOOL": True}), item("p", 2))
    dynamodb.update_table(
        TableName=table,
        AttributeDefinitions=[{"AttributeName": "a", "AttributeType": "S"}],
        GlobalSecondaryIndexUpdates=[{"Create": index("late", "a:HASH")}],
    )
    # Whatever is written now has its row, whether before or behind the filling.
    later = item("later", 1, a={"S": "a1"})
    put(dynamodb, table, later)
    dynamodb.delete_item(TableName=table, Key=item("p0", 0))

    def status() -> bool:
        described = dynamodb.describe_table(TableName=table)["Table"]
        [late] = described["GlobalSecondaryIndexes"]
        return bool(late["IndexStatus"] == "ACTIVE")

    until(status)
    assert scanned(dynamodb, table, "late") == in_order([*items[1:], later])
    dynamodb.update_table(TableName=table, GlobalSecondaryIndexUpdates=[{"Delete": {"IndexName": "late"}}])
    until(lambda: "GlobalSecondaryIndexes" not in dynamodb.describe_table(TableName=table)["Table"])
    active(dynamodb, table)
    # What was its key is an attribute like others again.
    put(dynamodb, table, item("p", 1, a={"N": "1"}))


def test_one_index_is_made_at_a_time(raw: RawClient, make_table: MakeTable) -> None:
    table = make_table("pk:S")
    create = [{"Create": index(name, "pk:HASH")} for name in ("one", "two")]
    answer = raw.call("UpdateTable", {"TableName": table, "GlobalSecondaryIndexUpdates": create})
    assert (answer.status, (answer.type or "").split("#")[-1]) == (400, "LimitExceededException")
    missing = [{"Delete": {"IndexName": "nobody"}}]
    answer = raw.call("UpdateTable", {"TableName": table, "GlobalSecondaryIndexUpdates": missing})
    assert (answer.status, (answer.type or "").split("#")[-1]) == (400, "ResourceNotFoundException")


def test_a_table_without_a_sort_key_has_no_local_index(raw: RawClient) -> None:
    request = {
        "TableName": unused_name(),
        "BillingMode": "PAY_PER_REQUEST",
        "AttributeDefinitions": [ATTRIBUTES[0], ATTRIBUTES[3]],
        "KeySchema": keys("pk:HASH"),
        "LocalSecondaryIndexes": [index("local", "pk:HASH", "b:RANGE")],
    }
    refused(
        raw.call("CreateTable", request),
        "One or more parameter values were invalid: Table KeySchema does not have a range key, which is "
        "required when specifying a LocalSecondaryIndex",
    )

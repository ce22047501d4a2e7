"""ReturnConsumedCapacity: read units of 4 KB, write units of 1 KB, and how they are told."""

from __future__ import annotations

from typing import Any

import pytest

from errors import accepted, refused
from raw import RawClient

Item = dict[str, Any]

FRAME = len("pk") + 32 + len("v")
"""What the items of these tests weigh without the text in `v`; the `key` fixture gives 32 letters."""


def item(key: str, size: int) -> Item:
    """An item of exactly `size` bytes."""
    return {"pk": {"S": key}, "v": {"S": "x" * (size - FRAME)}}


def units(raw: RawClient, operation: str, request: Item, mode: str = "TOTAL") -> float:
    """The capacity units that a request tells of."""
    answer = accepted(raw.call(operation, {**request, "ReturnConsumedCapacity": mode}))
    consumed: Any = answer["ConsumedCapacity"]
    assert consumed["TableName"] == request["TableName"]
    assert consumed.keys() == (
        {"TableName", "CapacityUnits", "Table"} if mode == "INDEXES" else {"TableName", "CapacityUnits"}
    )
    if mode == "INDEXES":
        assert consumed["Table"] == {"CapacityUnits": consumed["CapacityUnits"]}
    return float(consumed["CapacityUnits"])


@pytest.mark.parametrize("mode", ["TOTAL", "INDEXES"])
def test_every_operation_tells_its_units(raw: RawClient, table: str, key: str, mode: str) -> None:
    put = {"TableName": table, "Item": item(key, 500)}
    one = {"TableName": table, "Key": {"pk": {"S": key}}}
    query = {
        "TableName": table,
        "KeyConditionExpression": "pk = :a",
        "ExpressionAttributeValues": {":a": {"S": key}},
    }
    assert units(raw, "PutItem", put, mode) == 1
    assert units(raw, "GetItem", one, mode) == 0.5
    assert units(raw, "GetItem", {**one, "ConsistentRead": True}, mode) == 1
    assert units(raw, "Query", query, mode) == 0.5
    assert units(raw, "Query", {**query, "ConsistentRead": True}, mode) == 1
    assert units(raw, "UpdateItem", {**one, "UpdateExpression": "REMOVE nope"}, mode) == 1
    assert units(raw, "DeleteItem", one, mode) == 1


def test_nothing_is_told_unless_asked(raw: RawClient, table: str, key: str) -> None:
    request = {"TableName": table, "Item": item(key, 100)}
    assert accepted(raw.call("PutItem", request)) == {}
    assert accepted(raw.call("PutItem", {**request, "ReturnConsumedCapacity": "NONE"})) == {}


@pytest.mark.parametrize(("size", "write"), [(1024, 1), (1025, 2), (4096, 4), (4097, 5), (10_240, 10)])
def test_a_write_costs_a_unit_for_each_begun_kilobyte(
    raw: RawClient, table: str, key: str, size: int, write: int
) -> None:
    put = {"TableName": table, "Item": item(key, size)}
    assert units(raw, "PutItem", put) == write
    assert units(raw, "DeleteItem", {"TableName": table, "Key": {"pk": {"S": key}}}) == write


@pytest.mark.parametrize(("size", "read"), [(4096, 1), (4097, 2), (8192, 2), (8193, 3)])
def test_a_read_costs_a_unit_for_each_begun_four_kilobytes(
    raw: RawClient, table: str, key: str, size: int, read: int
) -> None:
    accepted(raw.call("PutItem", {"TableName": table, "Item": item(key, size)}))
    get = {"TableName": table, "Key": {"pk": {"S": key}}, "ProjectionExpression": "pk"}
    assert units(raw, "GetItem", {**get, "ConsistentRead": True}) == read
    assert units(raw, "GetItem", get) == read / 2


def test_a_write_is_charged_by_the_larger_of_before_and_after(raw: RawClient, table: str, key: str) -> None:
    assert units(raw, "PutItem", {"TableName": table, "Item": item(key, 3000)}) == 3
    assert units(raw, "PutItem", {"TableName": table, "Item": item(key, 100)}) == 3
    update = {
        "TableName": table,
        "Key": {"pk": {"S": key}},
        "UpdateExpression": "SET v = :v",
        "ExpressionAttributeValues": {":v": {"S": "x" * 2500}},
    }
    assert units(raw, "UpdateItem", update) == 3


def test_what_is_not_there_costs_the_least(raw: RawClient, table: str, key: str) -> None:
    one = {"TableName": table, "Key": {"pk": {"S": key}}}
    assert units(raw, "GetItem", one) == 0.5
    assert units(raw, "GetItem", {**one, "ConsistentRead": True}) == 1
    assert units(raw, "DeleteItem", one) == 1


def test_a_query_is_charged_by_the_sum_of_what_it_read(
    dynamodb: Any, raw: RawClient, ranged: str, key: str
) -> None:
    for i in range(10):
        dynamodb.put_item(
            TableName=ranged, Item={"pk": {"S": key}, "sk": {"S": f"{i}"}, "v": {"S": "x" * 1000}}
        )
    query = {
        "TableName": ranged,
        "KeyConditionExpression": "pk = :a",
        "ExpressionAttributeValues": {":a": {"S": key}, ":none": {"S": "-"}},
        "FilterExpression": "v = :none",
        "ProjectionExpression": "sk",
    }
    assert units(raw, "Query", query) == 1.5, "10,400 bytes are three times four kilobytes, read eventually"
    assert units(raw, "Query", {**query, "ConsistentRead": True}) == 3
    assert units(raw, "Query", {**query, "Limit": 2, "ConsistentRead": True}) == 1


def test_a_batch_tells_the_units_of_each_table(raw: RawClient, table: str, ranged: str, key: str) -> None:
    writes = {
        table: [{"PutRequest": {"Item": item(key, 1500)}}],
        ranged: [{"PutRequest": {"Item": {"pk": {"S": key}, "sk": {"S": "a"}}}}],
    }
    answer: Any = accepted(
        raw.call("BatchWriteItem", {"RequestItems": writes, "ReturnConsumedCapacity": "TOTAL"})
    )
    told = {one["TableName"]: one["CapacityUnits"] for one in answer["ConsumedCapacity"]}
    assert told == {table: 2, ranged: 1}
    keys = {table: {"Keys": [{"pk": {"S": key}}], "ConsistentRead": True}}
    answer = accepted(raw.call("BatchGetItem", {"RequestItems": keys, "ReturnConsumedCapacity": "INDEXES"}))
    assert answer["ConsumedCapacity"] == [
        {"TableName": table, "CapacityUnits": 1, "Table": {"CapacityUnits": 1}}
    ]


@pytest.mark.differs_from_dynamodb_local("it tells the name")
def test_a_table_is_told_as_the_request_names_it(raw: RawClient, table: str, key: str) -> None:
    """Service model, ConsumedCapacity.TableName: of an ARN the ARN is told."""
    arn = f"arn:aws:dynamodb:us-east-1:000000000000:table/{table}"
    one: Item = {"TableName": arn, "Key": {"pk": {"S": key}}}
    query = {
        "TableName": arn,
        "KeyConditionExpression": "pk = :a",
        "ExpressionAttributeValues": {":a": {"S": key}},
    }
    requests: list[tuple[str, Item]] = [
        ("PutItem", {"TableName": arn, "Item": item(key, 100)}),
        ("UpdateItem", {**one, "UpdateExpression": "REMOVE nope"}),
        ("GetItem", one),
        ("Query", query),
        ("Scan", {"TableName": arn}),
        ("DeleteItem", one),
        ("BatchWriteItem", {"RequestItems": {arn: [{"PutRequest": {"Item": item(key, 100)}}]}}),
        ("BatchGetItem", {"RequestItems": {arn: {"Keys": [{"pk": {"S": key}}]}}}),
        ("TransactWriteItems", {"TransactItems": [{"Delete": one}]}),
        ("TransactGetItems", {"TransactItems": [{"Get": one}]}),
    ]
    for operation, request in requests:
        answer = accepted(raw.call(operation, {**request, "ReturnConsumedCapacity": "TOTAL"}))
        consumed: Any = answer["ConsumedCapacity"]
        for told in consumed if isinstance(consumed, list) else [consumed]:
            assert told["TableName"] == arn, operation


@pytest.mark.differs_from_dynamodb_local("it takes any word for NONE")
def test_another_word_is_refused(raw: RawClient, table: str) -> None:
    request = {"TableName": table, "Key": {"pk": {"S": "a"}}, "ReturnConsumedCapacity": "SOME"}
    refused(
        raw.call("GetItem", request),
        "1 validation error detected: Value 'SOME' at 'returnConsumedCapacity' failed to satisfy constraint: "
        "Member must satisfy enum value set: [INDEXES, TOTAL, NONE]",
    )


@pytest.mark.parametrize(
    ("value", "size"),
    [
        ({"N": "1"}, 2),
        ({"N": "-1"}, 3),
        ({"N": "12"}, 2),
        ({"N": "123"}, 3),
        ({"N": "12000000"}, 2),
        ({"N": "0.0012"}, 2),
        ({"N": "1.5"}, 3),
        ({"N": "-123.456"}, 6),
        ({"N": "9" * 38}, 20),
        ({"BOOL": False}, 1),
        ({"NULL": True}, 1),
        ({"S": "é"}, 2),
        ({"B": "YWJj"}, 3),
        ({"L": []}, 3),
        ({"L": [{"S": "ab"}, {"L": []}]}, 10),
        ({"M": {}}, 3),
        ({"M": {"name": {"S": "ab"}}}, 10),
        ({"SS": ["a", "bc"]}, 3),
        ({"NS": ["1", "-22"]}, 5),
        ({"BS": ["YWJj"]}, 3),
    ],
)
def test_values_have_their_documented_size(
    raw: RawClient, table: str, key: str, value: dict[str, Any], size: int
) -> None:
    """Amazon DynamoDB Developer Guide, "DynamoDB item sizes and formats"."""
    others = len("pk" + key + "v" + "fill") + size
    for more, write in [(0, 1), (1, 2)]:
        fill = {"S": "x" * (1024 - others + more)}
        put = {"TableName": table, "Item": {"pk": {"S": key}, "v": value, "fill": fill}}
        assert units(raw, "PutItem", put) == write

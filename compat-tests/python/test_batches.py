"""BatchWriteItem and BatchGetItem: many at once, all checked before any is done."""

from __future__ import annotations

from typing import Any

import pytest

from conftest import MakeTable, unused_name
from errors import BAD_TABLE_NAME, KEY_MISMATCH, not_found, refused
from raw import RawClient

Item = dict[str, Any]

DUPLICATES = "Provided list of item keys contains duplicates"
NOT_1_TO_25 = (
    "1 validation error detected: Value '{{{}}}' at 'requestItems' failed to satisfy constraint: Map value must satisfy "
    "constraint: [Member must have length less than or equal to 25, Member must have length greater than or equal to 1]"
)


def put(key: str, **more: Item) -> Item:
    """One put of a batch."""
    return {"PutRequest": {"Item": {"pk": {"S": key}, **more}}}


def delete(key: str) -> Item:
    """One delete of a batch."""
    return {"DeleteRequest": {"Key": {"pk": {"S": key}}}}


def found(answer: Any, table: str) -> list[str]:
    """The sorted keys of a batch's answer."""
    return sorted(item["pk"]["S"] for item in answer["Responses"][table])


def test_a_batch_puts_deletes_and_gets_over_several_tables(dynamodb: Any, make_table: MakeTable) -> None:
    one, other = make_table(), make_table()
    dynamodb.put_item(TableName=other, Item={"pk": {"S": "old"}})
    written = dynamodb.batch_write_item(
        RequestItems={one: [put(f"k{i}") for i in range(20)], other: [delete("old"), put("new")]}
    )
    assert written["UnprocessedItems"] == {}
    got = dynamodb.batch_get_item(
        RequestItems={
            one: {"Keys": [{"pk": {"S": f"k{i}"}} for i in range(15, 25)], "ConsistentRead": True},
            other: {"Keys": [{"pk": {"S": key}} for key in ("old", "new")]},
        }
    )
    assert found(got, one) == ["k15", "k16", "k17", "k18", "k19"]
    assert found(got, other) == ["new"]
    assert got["UnprocessedKeys"] == {}


def test_a_table_with_nothing_found_is_an_empty_list(dynamodb: Any, table: str, key: str) -> None:
    got = dynamodb.batch_get_item(RequestItems={table: {"Keys": [{"pk": {"S": key}}]}})
    assert got["Responses"] == {table: []}


def test_a_batch_projects_its_items(dynamodb: Any, table: str, key: str) -> None:
    dynamodb.put_item(TableName=table, Item={"pk": {"S": key}, "year": {"N": "1"}, "other": {"N": "2"}})
    got = dynamodb.batch_get_item(
        RequestItems={
            table: {
                "Keys": [{"pk": {"S": key}}],
                "ProjectionExpression": "#y",
                "ExpressionAttributeNames": {"#y": "year"},
            }
        }
    )
    assert got["Responses"][table] == [{"year": {"N": "1"}}]


def test_25_writes_and_100_keys_are_the_most(dynamodb: Any, raw: RawClient, make_table: MakeTable) -> None:
    name = make_table()
    for start in range(0, 100, 25):
        dynamodb.batch_write_item(RequestItems={name: [put(f"{i}") for i in range(start, start + 25)]})
    keys = [{"pk": {"S": f"{i}"}} for i in range(101)]
    assert len(found(dynamodb.batch_get_item(RequestItems={name: {"Keys": keys[:100]}}), name)) == 100

    refused(
        raw.call("BatchWriteItem", {"RequestItems": {name: [put(f"{i}") for i in range(26)]}}),
        NOT_1_TO_25.format(f"{name}=[...]"),
    )
    answer = raw.call("BatchGetItem", {"RequestItems": {name: {"Keys": keys}}})
    assert (answer.status, answer.type) == (400, "com.amazon.coral.validate#ValidationException")


def test_the_most_is_counted_over_all_tables(raw: RawClient, make_table: MakeTable) -> None:
    one, other = make_table(), make_table()
    writes = [put(f"{i}") for i in range(13)]
    refused(
        raw.call("BatchWriteItem", {"RequestItems": {one: writes, other: writes}}),
        "Too many items requested for the BatchWriteItem call",
    )
    keys = {"Keys": [{"pk": {"S": f"{i}"}} for i in range(51)]}
    refused(
        raw.call("BatchGetItem", {"RequestItems": {one: keys, other: keys}}),
        "Too many items requested for the BatchGetItem call",
    )


@pytest.mark.parametrize("twice", [[put("a"), put("a")], [put("a"), delete("a")], [delete("a"), delete("a")]])
def test_one_item_is_written_once_in_a_batch(raw: RawClient, table: str, twice: list[Item]) -> None:
    refused(raw.call("BatchWriteItem", {"RequestItems": {table: [put("other"), *twice]}}), DUPLICATES)


def test_one_item_is_read_once_in_a_batch(raw: RawClient, table: str) -> None:
    keys = [{"pk": {"S": "a"}}, {"pk": {"S": "b"}}, {"pk": {"S": "a"}}]
    refused(raw.call("BatchGetItem", {"RequestItems": {table: {"Keys": keys}}}), DUPLICATES)


@pytest.mark.parametrize(
    ("bad", "sentence"),
    [
        (
            {"PutRequest": {"Item": {"other": {"S": "a"}}}},
            "One or more parameter values were invalid: Missing the key pk in the item",
        ),
        (
            {"PutRequest": {"Item": {"pk": {"N": "1"}}}},
            "One or more parameter values were invalid: Type mismatch for key pk expected: S actual: N",
        ),
        (
            put("a", v={"SS": []}),
            "One or more parameter values were invalid: An string set  may not be empty",
        ),
        (put("a", v={"N": "x"}), "The parameter cannot be converted to a numeric value: x"),
        (put("a", v={"S": "x" * 409_600}), "Item size has exceeded the maximum allowed size"),
        (
            put(""),
            "One or more parameter values are not valid. "
            "The AttributeValue for a key attribute cannot contain an empty string value. Key: pk",
        ),
        ({"DeleteRequest": {"Key": {"other": {"S": "a"}}}}, KEY_MISMATCH),
        ({"DeleteRequest": {"Key": {"pk": {"S": "a"}, "other": {"S": "a"}}}}, KEY_MISMATCH),
    ],
)
def test_one_bad_write_stops_the_whole_batch(
    dynamodb: Any, raw: RawClient, table: str, key: str, bad: Item, sentence: str
) -> None:
    refused(raw.call("BatchWriteItem", {"RequestItems": {table: [put(key), bad]}}), sentence)
    assert "Item" not in dynamodb.get_item(TableName=table, Key={"pk": {"S": key}})


@pytest.mark.parametrize(
    "bad", [{"other": {"S": "a"}}, {"pk": {"S": "a"}, "other": {"S": "a"}}, {"pk": {"N": "1"}}, {}]
)
def test_one_bad_key_stops_the_whole_batch(raw: RawClient, table: str, bad: Item) -> None:
    answer = raw.call("BatchGetItem", {"RequestItems": {table: {"Keys": [{"pk": {"S": "a"}}, bad]}}})
    if bad:
        refused(answer, KEY_MISMATCH)
    else:
        assert (answer.status, answer.type) == (400, "com.amazon.coral.validate#ValidationException")


def test_an_unknown_table_stops_the_whole_batch(dynamodb: Any, raw: RawClient, table: str, key: str) -> None:
    unknown = unused_name()
    not_found(raw.call("BatchWriteItem", {"RequestItems": {table: [put(key)], unknown: [put("a")]}}))
    assert "Item" not in dynamodb.get_item(TableName=table, Key={"pk": {"S": key}})
    keys = {"Keys": [{"pk": {"S": "a"}}]}
    not_found(raw.call("BatchGetItem", {"RequestItems": {table: keys, unknown: keys}}))
    refused(raw.call("BatchGetItem", {"RequestItems": {"no;table": keys}}), BAD_TABLE_NAME)


@pytest.mark.parametrize("operation", ["BatchWriteItem", "BatchGetItem"])
def test_an_empty_batch_is_refused(raw: RawClient, operation: str) -> None:
    refused(
        raw.call(operation, {"RequestItems": {}}),
        "1 validation error detected: Value '{}' at 'requestItems' failed to satisfy constraint: "
        "Member must have length greater than or equal to 1",
    )


@pytest.mark.differs_from_dynamodb_local("it has a sentence of its own")
def test_a_table_without_writes_is_told_of_the_map_of_tables(raw: RawClient, table: str) -> None:
    refused(raw.call("BatchWriteItem", {"RequestItems": {table: []}}), NOT_1_TO_25.format(f"{table}=[]"))


def test_a_write_is_a_put_or_a_delete(raw: RawClient, table: str) -> None:
    for write in ({}, {**put("a"), **delete("b")}):
        answer = raw.call("BatchWriteItem", {"RequestItems": {table: [write]}})
        assert (answer.status, answer.type) == (400, "com.amazon.coral.validate#ValidationException")


def test_a_malformed_projection_stops_the_batch(raw: RawClient, table: str) -> None:
    keys = {"Keys": [{"pk": {"S": "a"}}]}
    refused(
        raw.call("BatchGetItem", {"RequestItems": {table: {**keys, "ProjectionExpression": "a,,"}}}),
        'Invalid ProjectionExpression: Syntax error; token: ",", near: ",,"',
    )
    unused = {**keys, "ProjectionExpression": "a", "ExpressionAttributeNames": {"#b": "b"}}
    refused(
        raw.call("BatchGetItem", {"RequestItems": {table: unused}}),
        "Value provided in ExpressionAttributeNames unused in expressions: keys: {#b}",
    )


def test_a_batch_of_large_items_comes_back_over_several_answers(dynamodb: Any, make_table: MakeTable) -> None:
    name = make_table()
    for i in range(50):
        dynamodb.put_item(TableName=name, Item={"pk": {"S": f"{i}"}, "v": {"S": "x" * 390_000}})
    wanted = {name: {"Keys": [{"pk": {"S": f"{i}"}} for i in range(50)]}}
    rounds, keys = 0, []
    while wanted:
        answer = dynamodb.batch_get_item(RequestItems=wanted)
        assert answer["Responses"][name], "every round brings something"
        keys += found(answer, name)
        wanted = answer["UnprocessedKeys"]
        rounds += 1
    assert sorted(keys, key=int) == [f"{i}" for i in range(50)]
    assert rounds == 2, "16 MB come at once"

"""TransactGetItems: items of any tables as they were at one moment."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from botocore.exceptions import ClientError

from conftest import MakeTable, connect, unused_name
from errors import KEY_MISMATCH, accepted, not_found, refused
from raw import RawClient
from server import Target
from transactions import NONE, cancelled, get, invalid, key_of, read, update

Item = dict[str, Any]

ONE_ERROR = "1 validation error detected: Value "
NULL = " failed to satisfy constraint: Member must not be null"


def test_items_come_in_the_order_of_the_request(dynamodb: Any, make_table: MakeTable) -> None:
    one, other = make_table(), make_table()
    for table, key in ((one, "a"), (other, "a"), (one, "b")):
        dynamodb.put_item(TableName=table, Item={**key_of(key), "table": {"S": table}})
    answer = dynamodb.transact_get_items(
        TransactItems=[get(one, "b"), get(other, "missing"), get(other, "a"), get(one, "a")]
    )
    assert answer["Responses"] == [
        {"Item": {**key_of("b"), "table": {"S": one}}},
        {},
        {"Item": {**key_of("a"), "table": {"S": other}}},
        {"Item": {**key_of("a"), "table": {"S": one}}},
    ]
    assert "ConsumedCapacity" not in answer


def test_each_read_has_a_projection_of_its_own(dynamodb: Any, raw: RawClient, table: str, key: str) -> None:
    dynamodb.put_item(
        TableName=table,
        Item={**key_of(key), "year": {"N": "1"}, "m": {"M": {"a": {"N": "1"}, "b": {"N": "2"}}}},
    )
    dynamodb.put_item(TableName=table, Item={**key_of(f"{key}1"), "year": {"N": "2"}})
    answer = read(
        raw,
        get(table, key, ProjectionExpression="#y, m.b", ExpressionAttributeNames={"#y": "year"}),
        get(table, f"{key}1", ProjectionExpression="pk"),
        get(table, f"{key}2", ProjectionExpression="pk"),
    )
    assert accepted(answer)["Responses"] == [
        {"Item": {"year": {"N": "1"}, "m": {"M": {"b": {"N": "2"}}}}},
        {"Item": key_of(f"{key}1")},
        {},
    ]


@pytest.mark.differs_from_dynamodb_local("it shows an empty item")
def test_an_item_of_which_nothing_is_projected_is_an_empty_object(
    dynamodb: Any, raw: RawClient, table: str, key: str
) -> None:
    dynamodb.put_item(TableName=table, Item=key_of(key))
    assert accepted(read(raw, get(table, key, ProjectionExpression="nope")))["Responses"] == [{}]


def test_units_are_doubled_and_sized_before_projection(
    dynamodb: Any, raw: RawClient, make_table: MakeTable
) -> None:
    one, other = make_table(), make_table()
    dynamodb.put_item(TableName=one, Item={**key_of("a"), "v": {"S": "x" * 5000}})
    gets = [get(one, "a", ProjectionExpression="pk"), get(other, "missing"), get(one, "missing")]
    told: Any = accepted(read(raw, *gets, ReturnConsumedCapacity="TOTAL"))["ConsumedCapacity"]
    assert {entry["TableName"]: entry["CapacityUnits"] for entry in told} == {one: 6.0, other: 2.0}
    if not raw.target.is_dynamodb_local:
        assert told[0] == {"TableName": one, "CapacityUnits": 6.0, "ReadCapacityUnits": 6.0}
    told = accepted(read(raw, gets[0], ReturnConsumedCapacity="INDEXES"))["ConsumedCapacity"]
    assert told[0]["Table"]["CapacityUnits"] == 4.0


def test_100_reads_are_the_most(raw: RawClient, table: str, key: str) -> None:
    gets = [get(table, f"{key}{place}") for place in range(101)]
    assert accepted(read(raw, *gets[:100]))["Responses"] == [{}] * 100
    most = "Member must have length less than or equal to 100"
    refused(read(raw, *gets), f"{ONE_ERROR}'[...]' at 'transactItems' failed to satisfy constraint: {most}")
    refused(raw.call("TransactGetItems", {}), f"{ONE_ERROR}null at 'transactItems'{NULL}")


def test_4_mb_are_the_most(dynamodb: Any, raw: RawClient, table: str, key: str) -> None:
    keys = [f"{key}{place:02}" for place in range(11)]
    for name in keys:
        dynamodb.put_item(TableName=table, Item={**key_of(name), "v": {"S": "x" * 390_000}})
    size = 11 * (390_000 + len(key) + len("pk00v"))
    refused(
        read(raw, *[get(table, name) for name in keys]),
        f"Transaction payload size cannot exceed 4MB. Payload Size: {size}",
    )
    responses: Any = accepted(read(raw, *[get(table, name) for name in keys[:10]]))["Responses"]
    assert len(responses) == 10


def test_two_reads_of_one_item_are_refused(raw: RawClient, table: str, key: str) -> None:
    refused(
        read(raw, get(table, key), get(table, key)),
        "Transaction request cannot include multiple operations on one item",
    )


def test_reads_are_checked_before_anything_is_read(raw: RawClient, table: str, key: str) -> None:
    refused(
        read(raw, get(table, key), get(table, f"{key}1", ProjectionExpression="v v")),
        'Invalid ProjectionExpression: Syntax error; token: "v", near: "v v"',
    )
    refused(
        read(raw, get(table, key, ExpressionAttributeNames={"#a": "b"})),
        "ExpressionAttributeNames can only be specified when using expressions",
    )
    not_found(read(raw, get(table, key), get(unused_name(), key)))


@pytest.mark.differs_from_dynamodb_local("it cancels without reasons, or words them in its own way")
def test_what_does_not_fit_is_told_with_its_place(raw: RawClient, table: str, key: str) -> None:
    wrong = {"Get": {"TableName": table, "Key": {"pk": {"N": "1"}}}}
    cancelled(read(raw, get(table, key), wrong), NONE, invalid(KEY_MISMATCH))
    refused(read(raw, get(table, key), {}), f"{ONE_ERROR}null at 'transactItems.2.member.get'{NULL}")
    refused(
        read(raw, {"Get": {"Key": key_of(key)}}),
        f"{ONE_ERROR}null at 'transactItems.1.member.get.tableName'{NULL}",
    )
    refused(
        read(raw, {"Get": {"TableName": table}}), f"{ONE_ERROR}null at 'transactItems.1.member.get.key'{NULL}"
    )


def test_items_that_are_written_together_are_read_together(
    target: Target, dynamodb: Any, make_table: MakeTable
) -> None:
    """One client raises two counters of two tables together; another never sees them differ."""
    one, other = make_table(), make_table()
    keys = [(one, "a"), (other, "b")]
    for table, key in keys:
        dynamodb.put_item(TableName=table, Item={**key_of(key), "n": {"N": "0"}})
    done = threading.Event()
    failures: list[BaseException] = []

    def raise_both() -> None:
        client = connect(target)
        raised = 0
        try:
            while raised < 40:
                try:
                    client.transact_write_items(
                        TransactItems=[
                            update(table, key, "ADD n :n", {"n": {"N": "1"}}) for table, key in keys
                        ]
                    )
                    raised += 1
                except client.exceptions.TransactionCanceledException:
                    pass  # The reader was there; once more.
        except ClientError as error:
            failures.append(error)
        finally:
            done.set()

    writer = threading.Thread(target=raise_both)
    writer.start()
    seen = 0
    while not done.is_set():
        try:
            answer = dynamodb.transact_get_items(TransactItems=[get(table, key) for table, key in keys])
        except dynamodb.exceptions.TransactionCanceledException as error:
            codes = {reason["Code"] for reason in error.response["CancellationReasons"]}
            assert codes <= {"None", "TransactionConflict"}
            continue
        first, second = (int(response["Item"]["n"]["N"]) for response in answer["Responses"])
        assert first == second
        assert first >= seen
        seen = first
    writer.join()
    assert not failures, failures[0]
    answer = dynamodb.transact_get_items(TransactItems=[get(table, key) for table, key in keys])
    assert [response["Item"]["n"] for response in answer["Responses"]] == [{"N": "40"}, {"N": "40"}]

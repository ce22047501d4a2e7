"""ClientRequestToken: a transaction that is sent again takes effect once."""

from __future__ import annotations

import threading
import uuid
from typing import Any

import pytest
from botocore.exceptions import ClientError

from conftest import MakeTable, connect
from errors import SERVICE, accepted, refused
from raw import RawClient
from server import Target
from transactions import cancelled, check, failed, key_of, put, update, write

Item = dict[str, Any]

MISMATCH = (
    "DynamoDB rejected the request because you retried a request with a different payload but with an "
    "idempotent token that was already used."
)
ONE = {"one": {"N": "1"}}


@pytest.fixture
def token() -> str:
    """A token that nobody else uses."""
    return str(uuid.uuid4())


def raised(table: str, key: str) -> Item:
    """An update that raises a counter."""
    return update(table, key, "ADD n :one", ONE)


def count(dynamodb: Any, table: str, key: str) -> int:
    """What the counter has come to."""
    item = dynamodb.get_item(TableName=table, Key=key_of(key), ConsistentRead=True)["Item"]
    return int(item["n"]["N"])


def mismatched(raw: RawClient, token: str, *actions: Item) -> None:
    """Asserts that other actions under a token are refused."""
    answer = write(raw, *actions, ClientRequestToken=token)
    assert (answer.status, answer.type) == (400, f"{SERVICE}#IdempotentParameterMismatchException")
    if not raw.target.is_dynamodb_local:  # which says nothing
        assert answer.json["Message"] == MISMATCH


def test_a_request_that_is_sent_again_takes_effect_once(
    dynamodb: Any, raw: RawClient, make_table: MakeTable, token: str
) -> None:
    one, other = make_table(), make_table()
    actions = [raised(one, "a"), raised(other, "b"), raised(one, "c")]
    for _ in range(3):
        accepted(write(raw, *actions, ClientRequestToken=token))
    assert [count(dynamodb, table, key) for table, key in ((one, "a"), (other, "b"), (one, "c"))] == [1, 1, 1]
    accepted(write(raw, *actions, ClientRequestToken=str(uuid.uuid4())))
    assert count(dynamodb, one, "a") == 2


def test_one_item_alone_is_written_once_too(
    dynamodb: Any, raw: RawClient, table: str, key: str, token: str
) -> None:
    for _ in range(3):
        accepted(write(raw, raised(table, key), ClientRequestToken=token))
    assert count(dynamodb, table, key) == 1


def test_other_actions_under_a_token_are_refused(raw: RawClient, table: str, key: str, token: str) -> None:
    first, second = raised(table, key), raised(table, f"{key}1")
    accepted(write(raw, first, second, ClientRequestToken=token))
    mismatched(raw, token, first)
    mismatched(raw, token, second, first)
    mismatched(raw, token, first, put(table, f"{key}1"))
    mismatched(raw, token, first, update(table, f"{key}1", "ADD n :one", {"one": {"N": "2"}}))
    accepted(write(raw, first, second, ClientRequestToken=token, ReturnConsumedCapacity="TOTAL"))


def test_a_transaction_that_was_cancelled_is_decided_anew_under_its_token(
    dynamodb: Any, raw: RawClient, table: str, key: str, token: str
) -> None:
    actions = [raised(table, key), check(table, f"{key}1")]
    for _ in range(2):
        answer = write(raw, *actions, ClientRequestToken=token)
        cancelled(answer, {"Code": "None"}, failed())
    dynamodb.put_item(TableName=table, Item=key_of(f"{key}1"))
    for _ in range(2):
        accepted(write(raw, *actions, ClientRequestToken=token))
    assert count(dynamodb, table, key) == 1


def test_the_answer_to_a_repeated_request_does_not_depend_on_what_came_between(
    dynamodb: Any, raw: RawClient, table: str, key: str, token: str
) -> None:
    action = put(table, key, ConditionExpression="attribute_not_exists(pk)")
    accepted(write(raw, action, ClientRequestToken=token))
    dynamodb.put_item(TableName=table, Item={**key_of(key), "v": {"S": "later"}})
    accepted(write(raw, action, ClientRequestToken=token))
    item = dynamodb.get_item(TableName=table, Key=key_of(key), ConsistentRead=True)["Item"]
    assert item == {**key_of(key), "v": {"S": "later"}}


def test_a_repeated_request_costs_reads(raw: RawClient, table: str, key: str, token: str) -> None:
    action = put(table, key, {"v": {"S": "x" * 3000}})

    def told() -> Item:
        answer = accepted(write(raw, action, ClientRequestToken=token, ReturnConsumedCapacity="TOTAL"))
        consumed: Any = answer["ConsumedCapacity"]
        assert len(consumed) == 1
        entry: Item = consumed[0]
        return entry

    first, second = told(), told()
    assert (first["CapacityUnits"], second["CapacityUnits"]) == (6.0, 2.0)
    if not raw.target.is_dynamodb_local:
        assert first["WriteCapacityUnits"] == 6.0
        assert second == {"TableName": table, "CapacityUnits": 2.0, "ReadCapacityUnits": 2.0}


@pytest.mark.differs_from_dynamodb_local("it tells requests apart by the bytes of their values")
def test_equal_requests_may_be_spelled_differently(raw: RawClient, table: str, key: str, token: str) -> None:
    accepted(
        write(raw, put(table, key, {"a": {"N": "1.0"}, "b": {"SS": ["x", "y"]}}), ClientRequestToken=token)
    )
    again = {"Put": {"Item": {"b": {"SS": ["y", "x"]}, "a": {"N": "1"}, **key_of(key)}, "TableName": table}}
    accepted(write(raw, again, ClientRequestToken=token))


def test_a_token_has_1_to_36_characters(raw: RawClient, table: str, key: str) -> None:
    place = "at 'clientRequestToken' failed to satisfy constraint: Member must have length"
    refused(
        write(raw, put(table, key), ClientRequestToken="x" * 37),
        f"1 validation error detected: Value '{'x' * 37}' {place} less than or equal to 36",
    )
    if not raw.target.is_dynamodb_local:
        refused(
            write(raw, put(table, key), ClientRequestToken=""),
            f"1 validation error detected: Value '' {place} greater than or equal to 1",
        )


def test_equal_requests_at_once_take_effect_once(
    target: Target, dynamodb: Any, make_table: MakeTable, token: str
) -> None:
    """Eight clients send one transaction at once; whoever is refused is told why."""
    one, other = make_table(), make_table()
    actions = [raised(one, "a"), raised(other, "b")]
    codes: list[str] = []

    def send() -> None:
        try:
            connect(target).transact_write_items(TransactItems=actions, ClientRequestToken=token)
            codes.append("done")
        except ClientError as error:
            codes.append(error.response["Error"]["Code"])

    threads = [threading.Thread(target=send) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert "done" in codes
    assert set(codes) <= {"done", "TransactionInProgressException", "TransactionCanceledException"}
    dynamodb.transact_write_items(TransactItems=actions, ClientRequestToken=token)
    assert (count(dynamodb, one, "a"), count(dynamodb, other, "b")) == (1, 1)

"""What a request with two things wrong is refused for: the order in which DynamoDB looks at its parts."""

from __future__ import annotations

from typing import Any

import pytest

from errors import VALIDATION, refused
from raw import RawClient

INVALID = "One or more parameter values were invalid: "
EMPTY = "Supplied AttributeValue is empty, must contain exactly one of the supported datatypes"
OVERLAP = (
    "Invalid ProjectionExpression: Two document paths overlap with each other; must remove or rewrite one of these "
    "paths; path one: [a], path two: [a]"
)
NOT_ALLOWED = "ReturnValues can only be ALL_OLD or NONE"
NO_EXPRESSION = "ExpressionAttributeNames can only be specified when using expressions"
ONLY_DELETE = f"{INVALID}Only DELETE action is allowed when no attribute value is specified"
EXISTS_ALONE = f"{INVALID}Value must be provided when Exists is null for Attribute: b"
SYNTAX = 'Invalid {}: Syntax error; token: "<EOF>", near: "="'
NO_KEY = {"pk": {}}
KEY = {"pk": {"S": "a"}}


@pytest.mark.parametrize(
    ("operation", "members", "sentence"),
    [
        ("PutItem", {"Item": NO_KEY, "ReturnValues": "ALL_NEW"}, NOT_ALLOWED),
        (
            "DeleteItem",
            {"Key": KEY, "ReturnValues": "ALL_NEW", "ExpressionAttributeNames": {"#a": "a"}},
            NOT_ALLOWED,
        ),
        ("PutItem", {"Item": NO_KEY, "ExpressionAttributeNames": {"#a": "a"}}, NO_EXPRESSION),
        (
            "PutItem",
            {"Item": NO_KEY, "ConditionExpression": "a = :a", "ExpressionAttributeValues": {":a": {}}},
            EMPTY,
        ),
        ("DeleteItem", {"Key": NO_KEY, "ConditionExpression": "a ="}, EMPTY),
        ("PutItem", {"Item": NO_KEY, "Expected": {"b": {}}}, EMPTY),
        ("DeleteItem", {"Key": NO_KEY, "Expected": {"b": {}}}, EXISTS_ALONE),
        (
            "UpdateItem",
            {"Key": NO_KEY, "Expected": {"b": {}}, "AttributeUpdates": {"c": {"Action": "PUT"}}},
            EXISTS_ALONE,
        ),
        ("UpdateItem", {"Key": NO_KEY, "AttributeUpdates": {"c": {"Action": "PUT"}}}, EMPTY),
        ("UpdateItem", {"Key": KEY, "AttributeUpdates": {"c": {"Action": "PUT"}}}, ONLY_DELETE),
        ("PutItem", {"Item": KEY, "Expected": {"b": {}, "a": {}}}, EXISTS_ALONE),
        ("GetItem", {"Key": NO_KEY, "ProjectionExpression": "a, a"}, OVERLAP),
        (
            "UpdateItem",
            {
                "Key": KEY,
                "UpdateExpression": "SET b =",
                "ExpressionAttributeNames": {"#a": ""},
                "ExpressionAttributeValues": {":a": {}},
            },
            f"ExpressionAttributeValues contains invalid value: {EMPTY} for key :a",
        ),
        (
            "Scan",
            {
                "FilterExpression": "a =",
                "ExpressionAttributeValues": {":a": {}, "b": {"S": "x"}},
            },
            'ExpressionAttributeValues contains invalid key: Syntax error; key: "b"',
        ),
        (
            "Scan",
            {"FilterExpression": "a =", "Segment": 1, "Select": "SPECIFIC_ATTRIBUTES"},
            SYNTAX.format("FilterExpression"),
        ),
        (
            "Scan",
            {"Select": "SPECIFIC_ATTRIBUTES", "Segment": 1},
            "Must specify the AttributesToGet or ProjectionExpression when choosing to get SPECIFIC_ATTRIBUTES",
        ),
        ("Scan", {"ExclusiveStartKey": NO_KEY, "Select": "SPECIFIC_ATTRIBUTES", "Segment": 1}, EMPTY),
        (
            "Query",
            {"KeyConditionExpression": "a =", "Select": "SPECIFIC_ATTRIBUTES"},
            SYNTAX.format("KeyConditionExpression"),
        ),
    ],
)
def test_the_first_thing_that_is_wrong_is_told(
    raw: RawClient, table: str, operation: str, members: dict[str, Any], sentence: str
) -> None:
    refused(raw.call(operation, {"TableName": table, **members}), sentence)


@pytest.mark.parametrize(
    "update", ["SET m.x = nope", "SET y = nope, m.x = pk", "SET y = pk + :one REMOVE m.x"]
)
def test_a_path_into_an_item_that_is_not_there_is_told_before_an_operand(
    raw: RawClient, table: str, key: str, update: str
) -> None:
    members = {"UpdateExpression": update}
    if ":one" in update:
        members["ExpressionAttributeValues"] = {":one": {"N": "1"}}
    answer = raw.call("UpdateItem", {"TableName": table, "Key": {"pk": {"S": key}}, **members})
    refused(answer, "The document path provided in the update expression is invalid for update")


def test_writes_of_a_batch_are_puts_or_deletions(raw: RawClient, table: str) -> None:
    two = "Supplied AttributeValue has more than one datatypes set, must contain exactly one of the supported datatypes"
    refused(raw.call("BatchWriteItem", {"RequestItems": {table: [{}]}}), two)
    both = {"PutRequest": {"Item": KEY}, "DeleteRequest": {"Key": KEY}}
    refused(raw.call("BatchWriteItem", {"RequestItems": {table: [both]}}), two)


@pytest.mark.differs_from_dynamodb_local("it has another sentence for both")
def test_a_put_or_deletion_of_nothing_breaks_the_service_model(raw: RawClient, table: str) -> None:
    answer = raw.call(
        "BatchWriteItem", {"RequestItems": {table: [{"PutRequest": {}}, {"DeleteRequest": {}}]}}
    )
    member = f"Value null at 'requestItems.{table}.member"
    rule = "failed to satisfy constraint: Member must not be null"
    assert (answer.status, answer.type) == (400, VALIDATION)
    assert answer.message == (
        f"2 validation errors detected: {member}.1.member.putRequest.item' {rule}; "
        f"{member}.2.member.deleteRequest.key' {rule}"
    )


@pytest.mark.differs_from_dynamodb_local("it does not check the name of an index")
@pytest.mark.parametrize("operation", ["Query", "Scan"])
def test_the_name_of_an_index_is_checked_with_the_service_model(
    raw: RawClient, table: str, operation: str
) -> None:
    answer = raw.call(operation, {"TableName": table, "IndexName": "a b"})
    refused(
        answer,
        "1 validation error detected: Value 'a b' at 'indexName' failed to satisfy constraint: Member must satisfy "
        "regular expression pattern: [a-zA-Z0-9_.-]+",
    )

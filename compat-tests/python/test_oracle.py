"""The oracle's own parts: comparing, the service model, shrinking, judgements. No server is asked."""

from __future__ import annotations

import json
import random
import sys
import zlib
from pathlib import Path
from typing import Any

import pytest

from raw import Answer

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "oracle"))

import compare  # noqa: E402
import generate  # noqa: E402
import judged  # noqa: E402
import service  # noqa: E402
import shrink  # noqa: E402


def answer(body: Any, status: int = 200) -> Answer:
    """An answer as DynamoDB gives it."""
    payload = json.dumps(body).encode()
    headers = {
        "content-type": "application/x-amz-json-1.0",
        "x-amzn-requestid": "A" * 52,
        "x-amz-crc32": str(zlib.crc32(payload)),
    }
    return Answer(status, headers, payload)


def places(operation: str, one: Any, other: Any, status: int = 200) -> list[str]:
    """Where two bodies differ."""
    found = compare.differences(operation, answer(one, status), answer(other, status))
    return [difference.place for difference in found]


def test_what_has_no_order_is_compared_without() -> None:
    assert places("GetItem", {"Item": {"a": {"SS": ["x", "y"]}}}, {"Item": {"a": {"SS": ["y", "x"]}}}) == []
    assert places("GetItem", {"Item": {"a": {"L": [1, 2]}}}, {"Item": {"a": {"L": [2, 1]}}}) != []
    one, two = {"a": {"S": "1"}}, {"a": {"S": "2"}}
    assert places("Scan", {"Items": [one, two]}, {"Items": [two, one]}) == []
    assert places("Query", {"Items": [one, two]}, {"Items": [two, one]}) != []


def test_what_servers_make_up_is_compared_by_its_form() -> None:
    ids = ["01234567-89ab-cdef-0123-456789abcdef", "fedcba98-7654-3210-fedc-ba9876543210"]
    assert places("DescribeTable", {"TableId": ids[0]}, {"TableId": ids[1]}) == []
    assert places("DescribeTable", {"TableId": ids[0]}, {"TableId": "x"}) == ["body.TableId"]
    arns = [f"arn:aws:dynamodb:{region}:000000000000:table/x" for region in ("us-east-1", "ddblocal")]
    assert places("DescribeTable", {"TableArn": arns[0]}, {"TableArn": arns[1]}) == []
    assert places("DescribeTable", {"TableArn": arns[0]}, {"TableArn": arns[1] + "y"}) == ["body.TableArn"]


def test_errors_differ_by_type_and_sentence() -> None:
    refusals = [{"__type": "a#B", "message": message} for message in ("no", "never")]
    assert places("GetItem", refusals[0], refusals[0], 400) == []
    assert places("GetItem", refusals[0], refusals[1], 400) == ["error"]
    found = compare.differences("GetItem", answer({}), answer(refusals[0], 400))
    assert [(found[0].place, found[0].stator, found[0].local)] == [("status", "200", "400 a#B: no")]


@pytest.mark.parametrize(
    ("operation", "body", "broken"),
    [
        ("GetItem", {"TableName": "abc", "Key": {}}, set()),
        ("GetItem", {"Key": {}}, {"tableName"}),
        ("GetItem", {"TableName": "", "Key": None}, {"tableName", "key"}),
        ("Scan", {"TableName": "abc", "Limit": 0, "IndexName": "a b"}, {"limit", "indexName"}),
        (
            "CreateTable",
            {"TableName": "abc", "KeySchema": [{"AttributeName": "a", "KeyType": "x"}]},
            {"keySchema.1.member.keyType"},
        ),
        (
            "Query",
            {"TableName": "abc", "KeyConditions": {"a": {}}},
            {"keyConditions.a.member.comparisonOperator"},
        ),
        ("BatchWriteItem", {"RequestItems": {"abc": [], "xyz": [{}]}}, {"requestItems"}),
        ("BatchGetItem", {"RequestItems": {"abc": {"Keys": []}}}, {"requestItems.abc.member.keys"}),
    ],
)
def test_the_model_says_which_constraints_are_broken(operation: str, body: Any, broken: set[str]) -> None:
    assert service.broken_constraints(operation, body) == broken


def test_the_model_says_which_types_are_wrong() -> None:
    assert not service.is_mistyped("PutItem", {"TableName": "a", "Item": {"a": {"B": "AA=="}}, "Unknown": 1})
    for item in ([], {"a": {"N": 1}}, {"a": {"B": "A"}}, {"a": {"BOOL": "true"}}):
        assert service.is_mistyped("PutItem", {"TableName": "a", "Item": item}), item


def test_a_request_is_shrunk_to_what_shows_the_difference() -> None:
    body = {"a": 1, "b": {"c": [1, 2, {"bad": 1}], "d": 2}}
    assert shrink.shrunk(body, lambda smaller: "bad" in str(smaller)) == {"b": {"c": [{"bad": 1}]}}


def test_a_seed_makes_the_same_requests_again() -> None:
    def made() -> list[Any]:
        maker = generate.Generator(random.Random(7))
        return [maker.request(name) for name in ("Query", "PutItem", "CreateTable", "TagResource") * 20]

    assert made() == made()


def test_judgements_speak_of_what_they_name() -> None:
    judge = judged.Judge(judged.read())
    assert judge.useless() == judge.entries
    unknown = compare.Difference("body.Item.a", "1", "2")
    assert judge.unjudged("GetItem", {}, [unknown]) == [unknown]
    sentence = (
        "400 com.amazon.coral.validate#ValidationException: 1 validation error detected: Value '0' at 'limit'"
    )
    sentence += " failed to satisfy constraint: Member must have value greater than or equal to 1"
    refusal = compare.Difference("error", sentence, "400 x#ValidationException: Limit must be greater than 0")
    assert judge.unjudged("Scan", {"TableName": "abc", "Limit": 0}, [refusal]) == []
    # The sentence names a member that breaks nothing.
    assert judge.unjudged("Scan", {"TableName": "abc", "Limit": 1}, [refusal]) == [refusal]

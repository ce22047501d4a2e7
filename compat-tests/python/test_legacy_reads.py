"""KeyConditions, QueryFilter, ScanFilter, ConditionalOperator and AttributesToGet: reads of the API before expressions.

The rules are those of the developer guide's "Legacy conditional parameters".
"""

from __future__ import annotations

from typing import Any

import pytest

from conftest import MakeTable
from errors import accepted, not_found, refused
from raw import RawClient

Values = dict[str, Any]

INVALID = "One or more parameter values were invalid: "
MIXED = "Can not use both expression and non-expression parameters in the same request: "
ONE_ERROR = "1 validation error detected: Value "
SIZES = range(6)


def compared(operator: str, *values: Values) -> Values:
    """A `Condition`."""
    return {"ComparisonOperator": operator, **({"AttributeValueList": list(values)} if values else {})}


def n(number: float) -> Values:
    """A number."""
    return {"N": str(number)}


ITS = compared("EQ", {"S": "p"})
EXPRESSION = {"KeyConditionExpression": "pk = :p", "ExpressionAttributeValues": {":p": {"S": "p"}}}


@pytest.fixture(scope="module")
def numbered(make_shared_table: MakeTable, raw: RawClient) -> str:
    """Six items of one partition; those with an odd sort key have no `half`."""
    name = make_shared_table("pk:S", "sk:N")
    for size in SIZES:
        item = {"pk": {"S": "p"}, "sk": n(size), "word": {"S": "abcdef"[size:]}}
        if size % 2 == 0:
            item["half"] = n(size / 2)
        accepted(raw.call("PutItem", {"TableName": name, "Item": item}))
    return name


@pytest.fixture
def query(raw: RawClient, numbered: str) -> Any:
    """Sends a Query of the table with these members."""
    return lambda **members: raw.call("Query", {"TableName": numbered, **members})


@pytest.fixture
def scan(raw: RawClient, numbered: str) -> Any:
    """Sends a Scan of the table with these members."""
    return lambda **members: raw.call("Scan", {"TableName": numbered, **members})


def sizes(answer: Any) -> list[int]:
    """The sort keys of the items."""
    items: Any = accepted(answer)["Items"]
    return [int(item["sk"]["N"]) for item in items]


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        (compared("EQ", n(2)), [2]),
        (compared("LT", n(2)), [0, 1]),
        (compared("LE", n(2)), [0, 1, 2]),
        (compared("GT", n(3)), [4, 5]),
        (compared("GE", n(3)), [3, 4, 5]),
        (compared("BETWEEN", n(1), n(3)), [1, 2, 3]),
    ],
)
def test_key_conditions_find_what_expressions_find(
    query: Any, condition: Values, expected: list[int]
) -> None:
    assert sizes(query(KeyConditions={"pk": ITS, "sk": condition})) == expected
    assert sizes(query(KeyConditions={"pk": ITS, "sk": condition}, ScanIndexForward=False)) == expected[::-1]


def test_the_partition_key_alone_finds_all(query: Any) -> None:
    assert sizes(query(KeyConditions={"pk": ITS})) == list(SIZES)
    assert accepted(query(KeyConditions={"pk": compared("EQ", {"S": "q"})}))["Count"] == 0


@pytest.mark.parametrize(
    ("conditions", "sentence"),
    [
        ({}, "Conditions must be at least length 1"),
        ({"sk": compared("EQ", n(1))}, "Query condition missed key schema element: pk"),
        ({"pk": ITS, "word": compared("EQ", n(1))}, "Query condition missed key schema element: sk"),
        (
            {"pk": ITS, "sk": compared("EQ", n(1)), "word": compared("EQ", n(1))},
            "Conditions can be of length 1 or 2 only",
        ),
        ({"pk": compared("GT", {"S": "p"})}, "Query key condition not supported"),
        ({"pk": compared("NULL")}, "Only scalar types can be used as Hash Key values"),
        ({"pk": ITS, "sk": compared("NOT_NULL")}, "Only scalar types can be used as Range Key values"),
        (
            {"pk": ITS, "sk": compared("IN", n(1))},
            "Attempted conditional constraint is not an indexable operation",
        ),
        (
            {"pk": ITS, "sk": compared("EQ", {"S": "1"})},
            f"{INVALID}Condition parameter type does not match schema type",
        ),
        ({"pk": compared("EQ")}, f"{INVALID}Invalid number of argument(s) for the EQ ComparisonOperator"),
        (
            {"pk": ITS, "sk": compared("BETWEEN", n(3), n(1))},
            "The BETWEEN condition was provided a range where the lower bound is greater than the upper bound",
        ),
        ({"pk": None}, "The filter condition for an attribute cannot be null: pk"),
        ({"": ITS}, "Empty attribute name"),
    ],
)
def test_key_conditions_that_cannot_be(query: Any, conditions: Values, sentence: str) -> None:
    refused(query(KeyConditions=conditions), sentence)


@pytest.mark.differs_from_dynamodb_local("it has a sentence of its own for a missing or unknown operator")
def test_an_operator_has_to_be_there_and_known(query: Any, scan: Any) -> None:
    place = "member.comparisonOperator' failed to satisfy constraint: Member must "
    missing = {"AttributeValueList": [{"S": "p"}]}
    refused(query(KeyConditions={"pk": missing}), f"{ONE_ERROR}null at 'keyConditions.pk.{place}not be null")
    unknown = scan(ScanFilter={"word": compared("eq", {"S": "p"})})
    known = "IN, NULL, BETWEEN, LT, NOT_CONTAINS, EQ, GT, NOT_NULL, NE, LE, BEGINS_WITH, GE, CONTAINS"
    refused(unknown, f"{ONE_ERROR}'eq' at 'scanFilter.word.{place}satisfy enum value set: [{known}]")


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        (compared("NULL"), [1, 3, 5]),
        (compared("NOT_NULL"), [0, 2, 4]),
        (compared("EQ", n(1)), [2]),
        (compared("NE", n(1)), [0, 1, 3, 4, 5]),
        (compared("GE", n(1)), [2, 4]),
        (compared("IN", n(0), n(2)), [0, 4]),
        (compared("BETWEEN", n(0), n(1)), [0, 2]),
    ],
)
def test_filters_choose_among_what_was_found(
    query: Any, scan: Any, condition: Values, expected: list[int]
) -> None:
    answer = query(KeyConditions={"pk": ITS}, QueryFilter={"half": condition})
    assert sizes(answer) == expected
    assert (answer.json["Count"], answer.json["ScannedCount"]) == (len(expected), len(SIZES))
    assert sorted(sizes(scan(ScanFilter={"half": condition}))) == expected


def test_text_is_filtered_too(scan: Any) -> None:
    found = lambda condition: sorted(sizes(scan(ScanFilter={"word": condition})))  # noqa: E731
    assert found(compared("BEGINS_WITH", {"S": "c"})) == [2]
    assert found(compared("CONTAINS", {"S": "de"})) == [0, 1, 2, 3]
    assert found(compared("NOT_CONTAINS", {"S": "de"})) == [4, 5]


def test_filters_are_joined_by_and_unless_told_otherwise(query: Any) -> None:
    both = {"half": compared("NULL"), "word": compared("CONTAINS", {"S": "d"})}
    ask = lambda **more: sizes(query(KeyConditions={"pk": ITS}, QueryFilter=both, **more))  # noqa: E731
    assert ask() == ask(ConditionalOperator="AND") == [1, 3]
    assert ask(ConditionalOperator="OR") == [0, 1, 2, 3, 5]


@pytest.mark.parametrize(
    ("members", "sentence"),
    [
        (
            {"QueryFilter": {"sk": compared("NOT_NULL")}},
            "QueryFilter can only contain non-primary key attributes: Primary key attribute: sk",
        ),
        ({"ConditionalOperator": "OR"}, "ConditionalOperator cannot be used without Filter or Expected"),
        (
            {"QueryFilter": {"a": compared("NULL")}, "ConditionalOperator": "OR"},
            "ConditionalOperator can only be used when Filter or Expected has two or more elements",
        ),
        (
            {"QueryFilter": {"a": compared("LT", {"BOOL": True})}},
            f"{INVALID}ComparisonOperator LT is not valid for BOOL AttributeValue type",
        ),
        (
            {"QueryFilter": {"a": compared("IN", {"S": "a"}, n(1))}},
            f"{INVALID}AttributeValues inside AttributeValueList must be of same type",
        ),
        ({"AttributesToGet": ["a", "a"]}, "Cannot have two attributes with the same name"),
        ({"AttributesToGet": [""]}, "Empty attribute name"),
        (
            {"AttributesToGet": ["a"], "Select": "COUNT"},
            "Cannot specify the AttributesToGet when choosing to get only the Count",
        ),
        (
            {"AttributesToGet": ["a"], "Select": "ALL_ATTRIBUTES"},
            "Cannot specify the AttributesToGet when choosing to get ALL_ATTRIBUTES",
        ),
    ],
)
def test_what_makes_no_sense_is_refused(query: Any, members: Values, sentence: str) -> None:
    refused(query(KeyConditions={"pk": ITS}, **members), sentence)


def test_attributes_to_get_are_top_level_names(raw: RawClient, numbered: str, query: Any) -> None:
    key = {"pk": {"S": "p"}, "sk": n(4)}
    got = accepted(
        raw.call("GetItem", {"TableName": numbered, "Key": key, "AttributesToGet": ["half", "no"]})
    )
    assert got["Item"] == {"half": n(2)}
    batch = {"RequestItems": {numbered: {"Keys": [key], "AttributesToGet": ["word"]}}}
    responses: Any = accepted(raw.call("BatchGetItem", batch))["Responses"]
    assert responses[numbered] == [{"word": {"S": "ef"}}]
    items: Any = accepted(query(KeyConditions={"pk": ITS}, AttributesToGet=["half"]))["Items"]
    assert items == [{"half": n(0)}, {}, {"half": n(1)}, {}, {"half": n(2)}, {}]
    assert accepted(query(KeyConditions={"pk": ITS}, AttributesToGet=["a.b"]))["Items"] == [{}] * 6
    repeated = {"RequestItems": {numbered: {"Keys": [key], "AttributesToGet": ["a", "a"]}}}
    refused(raw.call("BatchGetItem", repeated), f"{INVALID}Duplicate value in attribute name: a")


def test_both_ways_at_once_are_refused(raw: RawClient, numbered: str, query: Any, scan: Any) -> None:
    mixed = f"{MIXED}Non-expression parameters: {{%s}} Expression parameters: {{%s}}"
    keys = {"KeyConditions": {"pk": ITS}}
    refused(query(**keys, **EXPRESSION), mixed % ("KeyConditions", "KeyConditionExpression"))
    refused(
        query(
            **EXPRESSION, QueryFilter={"a": compared("NULL")}, AttributesToGet=["a"], ConditionalOperator="OR"
        ),
        mixed % ("AttributesToGet, QueryFilter, ConditionalOperator", "KeyConditionExpression"),
    )
    refused(
        scan(AttributesToGet=["a"], FilterExpression="attribute_exists(a)"),
        mixed % ("AttributesToGet", "FilterExpression"),
    )
    get = {"TableName": numbered, "Key": {"pk": {"S": "p"}, "sk": n(1)}}
    refused(
        raw.call("GetItem", {**get, "AttributesToGet": ["a"], "ProjectionExpression": "a"}),
        mixed % ("AttributesToGet", "ProjectionExpression"),
    )


def test_key_conditions_may_stand_beside_other_expressions(query: Any) -> None:
    keys = {"KeyConditions": {"pk": ITS}}
    assert sizes(query(**keys, FilterExpression="attribute_exists(half)")) == [0, 2, 4]
    items: Any = accepted(query(**keys, ProjectionExpression="half", Limit=1))["Items"]
    assert items == [{"half": n(0)}]
    assert sizes(query(KeyConditions={}, **EXPRESSION)) == list(SIZES)


def test_a_query_needs_a_key_condition(query: Any) -> None:
    sentence = (
        "Either the KeyConditions or KeyConditionExpression parameter must be specified in the request."
    )
    refused(query(), sentence)
    refused(query(QueryFilter={"a": compared("NULL")}), sentence)


def test_a_table_that_is_not_there(raw: RawClient) -> None:
    not_found(raw.call("Query", {"TableName": "no.such.table", "KeyConditions": {"pk": ITS}}))

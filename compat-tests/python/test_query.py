"""Query: ranges of the sort key in both directions, pages, limits, filters, and what a key condition may not
say.
"""

from __future__ import annotations

from typing import Any

import pytest

from conftest import MakeTable
from errors import BAD_TABLE_NAME, accepted, not_found, refused
from raw import RawClient

Item = dict[str, Any]

A = {":a": {"S": "a"}}


@pytest.fixture(scope="module")
def numbered(dynamodb: Any, make_shared_table: MakeTable) -> str:
    """A table with ten items `sk` 0..9 (and `v` ten times as much) under `pk` "a", and one under "b"."""
    name = make_shared_table("pk:S", "sk:N")
    for i in range(10):
        dynamodb.put_item(
            TableName=name, Item={"pk": {"S": "a"}, "sk": {"N": str(i)}, "v": {"N": str(10 * i)}}
        )
    dynamodb.put_item(TableName=name, Item={"pk": {"S": "b"}, "sk": {"N": "0"}})
    return name


def sorts(page: Any) -> list[Any]:
    """The sort keys of a page, in its order."""
    return [next(iter(item["sk"].values())) for item in page["Items"]]


def query(client: Any, table: str, condition: str, values: Item | None = None, **more: Any) -> Any:
    """A Query under the partition "a"."""
    return client.query(
        TableName=table,
        KeyConditionExpression=condition,
        ExpressionAttributeValues={**A, **(values or {})},
        **more,
    )


@pytest.mark.parametrize(
    ("condition", "values", "found"),
    [
        ("pk = :a", {}, "0123456789"),
        (":a = pk", {}, "0123456789"),
        ("pk = :a AND sk = :x", {":x": "3"}, "3"),
        ("sk = :x AND pk = :a", {":x": "3"}, "3"),
        ("pk = :a AND sk = :x", {":x": "3.0"}, "3"),
        ("pk = :a AND sk = :x", {":x": "3.5"}, ""),
        ("pk = :a and sk < :x", {":x": "3"}, "012"),
        ("pk = :a AND sk <= :x", {":x": "3"}, "0123"),
        ("pk = :a AND sk > :x", {":x": "6"}, "789"),
        ("pk = :a AND sk >= :x", {":x": "6"}, "6789"),
        ("pk = :a AND :x < sk", {":x": "6"}, "789"),
        ("pk = :a AND sk BETWEEN :x AND :y", {":x": "3", ":y": "5"}, "345"),
        ("pk = :a AND sk BETWEEN :x AND :y", {":x": "3", ":y": "3"}, "3"),
        ("(pk = :a) AND (sk > :x)", {":x": "8"}, "9"),
        ("(pk = :a AND sk > :x)", {":x": "8"}, "9"),
    ],
)
def test_a_range_is_found_forward_and_backward(
    dynamodb: Any, numbered: str, condition: str, values: dict[str, str], found: str
) -> None:
    typed = {name: {"N": value} for name, value in values.items()}
    page = query(dynamodb, numbered, condition, typed)
    assert sorts(page) == list(found)
    assert (page["Count"], page["ScannedCount"]) == (len(found), len(found))
    assert "LastEvaluatedKey" not in page
    backward = query(dynamodb, numbered, condition, typed, ScanIndexForward=False)
    assert sorts(backward) == list(reversed(found))


def test_numbers_are_in_the_order_of_numbers(dynamodb: Any, make_table: MakeTable) -> None:
    name = make_table("pk:S", "sk:N")
    ordered = ["-9" + "9" * 37 + "0" * 88, "-100", "-1.5", "-1", "-0.001", "-0." + "0" * 129 + "1", "0"]
    ordered += ["0." + "0" * 129 + "1", "0.001", "0.5", "1", "1.5", "2", "10", "99.9", "100", "1" + "0" * 125]
    for number in reversed(ordered):
        dynamodb.put_item(TableName=name, Item={"pk": {"S": "a"}, "sk": {"N": number}})
    assert sorts(query(dynamodb, name, "pk = :a")) == ordered
    assert sorts(query(dynamodb, name, "pk = :a", ScanIndexForward=False)) == ordered[::-1]
    for i, number in enumerate(ordered):
        assert sorts(query(dynamodb, name, "pk = :a AND sk < :n", {":n": {"N": number}})) == ordered[:i]


def test_strings_are_in_the_order_of_their_utf_8_bytes(dynamodb: Any, make_table: MakeTable) -> None:
    name = make_table("pk:S", "sk:S")
    texts = ["A", "Z", "a", "a\u0000", "a\u0001", "aa", "ab", "b", "é", "z", "\uffff", "😀"]
    for text in texts:
        dynamodb.put_item(TableName=name, Item={"pk": {"S": "a"}, "sk": {"S": text}})
    assert sorts(query(dynamodb, name, "pk = :a")) == sorted(texts, key=str.encode)


def test_binaries_are_in_the_order_of_unsigned_bytes(dynamodb: Any, make_table: MakeTable) -> None:
    name = make_table("pk:S", "sk:B")
    values = [b"\x00", b"\x00\x00", b"\x00\x01", b"\x01", b"\x7f", b"\x80", b"\xff", b"\xff\x00", b"\xff\xff"]
    for value in reversed(values):
        dynamodb.put_item(TableName=name, Item={"pk": {"S": "a"}, "sk": {"B": value}})
    assert sorts(query(dynamodb, name, "pk = :a")) == values
    begun = query(dynamodb, name, "pk = :a AND begins_with(sk, :p)", {":p": {"B": b"\xff"}})
    assert sorts(begun) == [b"\xff", b"\xff\x00", b"\xff\xff"]


def test_a_prefix_is_found(dynamodb: Any, make_table: MakeTable) -> None:
    name = make_table("pk:S", "sk:S")
    for text in ("a", "ab", "abc", "ab\uffff", "ac", "b"):
        dynamodb.put_item(TableName=name, Item={"pk": {"S": "a"}, "sk": {"S": text}})
    condition = "pk = :a AND begins_with(sk, :p)"
    assert sorts(query(dynamodb, name, condition, {":p": {"S": "ab"}})) == ["ab", "abc", "ab\uffff"]
    assert sorts(query(dynamodb, name, condition, {":p": {"S": "ab"}}, ScanIndexForward=False)) == [
        "ab\uffff",
        "abc",
        "ab",
    ]
    assert sorts(query(dynamodb, name, condition, {":p": {"S": "abcd"}})) == []


class TestPages:
    """Limit, the 1 MB page, and the key to go on from."""

    @pytest.mark.parametrize("limit", [1, 2, 3, 7, 9])
    @pytest.mark.parametrize("forward", [True, False])
    def test_pages_put_together_are_the_whole(
        self, dynamodb: Any, numbered: str, limit: int, forward: bool
    ) -> None:
        pages = dynamodb.get_paginator("query").paginate(
            TableName=numbered,
            KeyConditionExpression="pk = :a AND sk > :x",
            ExpressionAttributeValues={**A, ":x": {"N": "0"}},
            ScanIndexForward=forward,
            PaginationConfig={"PageSize": limit},
        )
        collected: list[str] = []
        for page in pages:
            assert page["Count"] <= limit
            collected += sorts(page)
        assert collected == (list("123456789") if forward else list("987654321"))

    def test_a_limit_at_the_very_end_still_gives_a_key(self, dynamodb: Any, numbered: str) -> None:
        page = query(dynamodb, numbered, "pk = :a", Limit=10)
        assert page["Count"] == 10
        assert page["LastEvaluatedKey"] == {"pk": {"S": "a"}, "sk": {"N": "9"}}
        rest = query(dynamodb, numbered, "pk = :a", ExclusiveStartKey=page["LastEvaluatedKey"])
        assert (rest["Items"], rest["Count"]) == ([], 0) and "LastEvaluatedKey" not in rest
        assert "LastEvaluatedKey" not in query(dynamodb, numbered, "pk = :a", Limit=11)

    def test_a_start_key_need_not_exist(self, dynamodb: Any, numbered: str) -> None:
        start = {"pk": {"S": "a"}, "sk": {"N": "4.5"}}
        assert sorts(query(dynamodb, numbered, "pk = :a", ExclusiveStartKey=start)) == list("56789")
        backward = query(dynamodb, numbered, "pk = :a", ExclusiveStartKey=start, ScanIndexForward=False)
        assert sorts(backward) == list("43210")

    def test_a_page_holds_one_megabyte(self, dynamodb: Any, make_table: MakeTable) -> None:
        name = make_table("pk:S", "sk:N")
        for i in range(6):
            item = {"pk": {"S": "a"}, "sk": {"N": str(i)}, "v": {"S": "x" * 300_000}}
            dynamodb.put_item(TableName=name, Item=item)
        sizes = [
            page["Count"]
            for page in dynamodb.get_paginator("query").paginate(
                TableName=name, KeyConditionExpression="pk = :a", ExpressionAttributeValues=A
            )
        ]
        assert sizes[0] in (3, 4) and sum(sizes) == 6

    @pytest.mark.differs_from_dynamodb_local("it cuts the page after the projection")
    def test_the_page_is_cut_before_filter_and_projection(self, dynamodb: Any, make_table: MakeTable) -> None:
        name = make_table("pk:S", "sk:N")
        for i in range(6):
            item = {"pk": {"S": "a"}, "sk": {"N": str(i)}, "v": {"S": "x" * 300_000}}
            dynamodb.put_item(TableName=name, Item=item)
        whole = query(dynamodb, name, "pk = :a")
        none = {":none": {"S": "-"}}
        page = query(dynamodb, name, "pk = :a", none, FilterExpression="v = :none", ProjectionExpression="sk")
        assert page["Items"] == []
        assert page["ScannedCount"] == whole["ScannedCount"] < 6
        assert page["LastEvaluatedKey"] == whole["LastEvaluatedKey"]


class TestFilters:
    """A filter drops items after they were read and counted."""

    def test_the_counts_differ(self, dynamodb: Any, numbered: str) -> None:
        page = query(dynamodb, numbered, "pk = :a", {":v": {"N": "70"}}, FilterExpression="v > :v")
        assert (sorts(page), page["Count"], page["ScannedCount"]) == (["8", "9"], 2, 10)

    def test_the_limit_counts_what_is_read(self, dynamodb: Any, numbered: str) -> None:
        page = query(dynamodb, numbered, "pk = :a", {":v": {"N": "10"}}, FilterExpression="v > :v", Limit=3)
        assert (sorts(page), page["ScannedCount"]) == (["2"], 3)
        assert page["LastEvaluatedKey"] == {"pk": {"S": "a"}, "sk": {"N": "2"}}

    @pytest.mark.parametrize(
        ("filter_", "culprit"),
        [("pk = :a", "pk"), ("v > :a OR attribute_exists(sk)", "sk"), ("v = sk", "sk")],
    )
    def test_a_key_is_not_filtered(self, raw: RawClient, numbered: str, filter_: str, culprit: str) -> None:
        request = {
            "TableName": numbered,
            "KeyConditionExpression": "pk = :a",
            "FilterExpression": filter_,
            "ExpressionAttributeValues": A,
        }
        refused(
            raw.call("Query", request),
            "Filter Expression can only contain non-primary key attributes: "
            f"Primary key attribute: {culprit}",
        )


class TestSelect:
    """What of each item comes back."""

    def test_a_count_has_no_items(self, dynamodb: Any, numbered: str) -> None:
        page = query(dynamodb, numbered, "pk = :a", Select="COUNT")
        assert (page["Count"], page["ScannedCount"]) == (10, 10) and "Items" not in page

    def test_a_projection_is_applied_to_each_item(self, dynamodb: Any, numbered: str) -> None:
        page = query(
            dynamodb, numbered, "pk = :a", ProjectionExpression="v", Limit=2, Select="SPECIFIC_ATTRIBUTES"
        )
        assert page["Items"] == [{"v": {"N": "0"}}, {"v": {"N": "10"}}]
        assert page["LastEvaluatedKey"] == {"pk": {"S": "a"}, "sk": {"N": "1"}}

    @pytest.mark.parametrize("operation", ["Query", "Scan"])
    @pytest.mark.parametrize(
        ("parameters", "sentence"),
        [
            (
                {"Select": "ALL_ATTRIBUTES", "ProjectionExpression": "v"},
                "Cannot specify the ProjectionExpression when choosing to get ALL_ATTRIBUTES",
            ),
            (
                {"Select": "COUNT", "ProjectionExpression": "v"},
                "Cannot specify the ProjectionExpression when choosing to get only the Count",
            ),
            (
                {"Select": "SPECIFIC_ATTRIBUTES"},
                "Must specify the AttributesToGet or ProjectionExpression when choosing to get "
                "SPECIFIC_ATTRIBUTES",
            ),
            (
                {"Select": "ALL_PROJECTED_ATTRIBUTES"},
                "ALL_PROJECTED_ATTRIBUTES can be used only when Querying using an IndexName",
            ),
        ],
    )
    def test_select_and_projection_agree(
        self, raw: RawClient, numbered: str, operation: str, parameters: Item, sentence: str
    ) -> None:
        key_ = {"KeyConditionExpression": "pk = :a", "ExpressionAttributeValues": A}
        request = {"TableName": numbered, **parameters, **(key_ if operation == "Query" else {})}
        refused(raw.call(operation, request), sentence)


MISSED = "Query condition missed key schema element: "
UNSUPPORTED = "Query key condition not supported"
OPERATOR = "Invalid operator used in KeyConditionExpression: "
ONE_EACH = "KeyConditionExpressions must only contain one condition per key"
TYPE = "One or more parameter values were invalid: Condition parameter type does not match schema type"
INVALID = "Invalid KeyConditionExpression: "
NESTED = f"{INVALID}KeyConditionExpressions cannot have conditions on nested attributes"
NO_NAME = "An expression attribute name used in the document path is not defined; attribute name: "
NO_VALUE = "An expression attribute value used in expression is not defined; attribute value: "
OPERAND = "Incorrect operand type for operator or function; operator or function: "
BOUNDS = (
    "The BETWEEN operator requires upper bound to be greater than or equal to lower bound; "
    "lower bound operand: "
)
NESTED_DIFFERS = pytest.mark.differs_from_dynamodb_local("it says that key attributes must be scalars")


@pytest.mark.parametrize(
    ("condition", "sentence"),
    [
        ("", f"{INVALID}The expression can not be empty;"),
        ("pk", f'{INVALID}Syntax error; token: "<EOF>", near: "pk"'),
        ("pk = :a AND", f'{INVALID}Syntax error; token: "<EOF>", near: "AND"'),
        ("((pk = :a))", f"{INVALID}The expression has redundant parentheses;"),
        ("pk = :undefined", f"{INVALID}{NO_VALUE}:undefined"),
        ("#x = :a", f"{INVALID}{NO_NAME}#x"),
        ("pk = :a AND name = :n", f"{INVALID}Attribute name is a reserved keyword; reserved keyword: name"),
        ("sk = :n", f"{MISSED}pk"),
        ("x = :a", f"{MISSED}pk"),
        ("pk = :a AND x = :n", f"{MISSED}sk"),
        ("pk = :a AND sk = :n AND x = :n", "Conditions can be of length 1 or 2 only"),
        ("pk = :a AND pk = :a", ONE_EACH),
        ("pk = :a AND sk > :n AND sk < :m", ONE_EACH),
        ("pk = :a OR sk = :n", f"{OPERATOR}OR"),
        ("NOT pk = :a", f"{OPERATOR}NOT"),
        ("pk <> :a", f"{OPERATOR}<>"),
        ("pk IN (:a)", f"{OPERATOR}IN"),
        ("pk = :a AND sk <> :n", f"{OPERATOR}<>"),
        ("pk < :a", UNSUPPORTED),
        ("pk BETWEEN :a AND :a", UNSUPPORTED),
        ("begins_with(pk, :a)", UNSUPPORTED),
        ("pk = :n", TYPE),
        ("pk = :a AND sk = :a", TYPE),
        ("pk = :a AND begins_with(sk, :a)", TYPE),
        ("pk = :a AND begins_with(sk, :n)", f"{INVALID}{OPERAND}begins_with, operand type: N"),
        (
            "pk = :a AND sk BETWEEN :m AND :n",
            f"{INVALID}{BOUNDS}AttributeValue: {{N:7}}, upper bound operand: AttributeValue: {{N:3}}",
        ),
        ("pk = :a AND foo(sk)", f"{INVALID}Invalid function name; function: foo"),
        pytest.param("pk.a = :a", NESTED, marks=NESTED_DIFFERS),
        pytest.param("x.a = :a", NESTED, marks=NESTED_DIFFERS),
        pytest.param("pk = :a AND sk[0] = :n", NESTED, marks=NESTED_DIFFERS),
        ("pk = :a AND sk = size(pk)", "KeyConditionExpressions cannot contain nested operations"),
    ],
)
def test_an_impossible_key_condition_is_refused(
    raw: RawClient, numbered: str, condition: str, sentence: str
) -> None:
    values = {**A, ":n": {"N": "3"}, ":m": {"N": "7"}}
    words = condition.replace("(", " ").replace(")", " ").split()
    used = {name: value for name, value in values.items() if name in words}
    request: Item = {"TableName": numbered, "KeyConditionExpression": condition}
    if used:
        request["ExpressionAttributeValues"] = used
    refused(raw.call("Query", request), sentence)


def test_a_table_without_sort_key_has_no_range(raw: RawClient, table: str) -> None:
    request = {
        "TableName": table,
        "KeyConditionExpression": "pk = :a AND sk = :a",
        "ExpressionAttributeValues": A,
    }
    refused(raw.call("Query", request), UNSUPPORTED)


def test_a_query_needs_a_key_condition(raw: RawClient, numbered: str) -> None:
    refused(
        raw.call("Query", {"TableName": numbered}),
        "Either the KeyConditions or KeyConditionExpression parameter must be specified in the request.",
    )


def test_an_empty_key_cannot_be_looked_for(raw: RawClient, ranged: str) -> None:
    request = {
        "TableName": ranged,
        "KeyConditionExpression": "pk = :a AND begins_with(sk, :e)",
        "ExpressionAttributeValues": {**A, ":e": {"S": ""}},
    }
    refused(
        raw.call("Query", request),
        "One or more parameter values are not valid. "
        "The AttributeValue for a key attribute cannot contain an empty string value. Key: sk",
    )


@pytest.mark.parametrize("limit", [0, -1])
@pytest.mark.parametrize("operation", ["Query", "Scan"])
def test_a_limit_is_at_least_one(raw: RawClient, numbered: str, operation: str, limit: int) -> None:
    key_ = {"KeyConditionExpression": "pk = :a", "ExpressionAttributeValues": A}
    request = {"TableName": numbered, "Limit": limit, **(key_ if operation == "Query" else {})}
    refused(
        raw.call(operation, request),
        f"1 validation error detected: Value '{limit}' at 'limit' failed to satisfy constraint: "
        "Member must have value greater than or equal to 1",
    )


@pytest.mark.parametrize("operation", ["Query", "Scan"])
def test_an_unknown_index_is_refused(raw: RawClient, numbered: str, operation: str) -> None:
    key_ = {"KeyConditionExpression": "pk = :a", "ExpressionAttributeValues": A}
    request = {"TableName": numbered, "IndexName": "no-such", **(key_ if operation == "Query" else {})}
    refused(raw.call(operation, request), "The table does not have the specified index: no-such")


@pytest.mark.parametrize("operation", ["Query", "Scan"])
@pytest.mark.parametrize(
    "start",
    [
        pytest.param({"pk": {"S": "a"}}, id="the sort key is missing"),
        pytest.param({"sk": {"N": "1"}}, id="the partition key is missing"),
        pytest.param({"pk": {"S": "a"}, "sk": {"N": "1"}, "x": {"S": "a"}}, id="one too many"),
        pytest.param({"pk": {"S": "a"}, "x": {"N": "1"}}, id="another name"),
        pytest.param({"pk": {"S": "a"}, "sk": {"S": "1"}}, id="another type"),
    ],
)
def test_a_start_key_matches_the_schema(raw: RawClient, numbered: str, operation: str, start: Item) -> None:
    key_ = {"KeyConditionExpression": "pk = :a", "ExpressionAttributeValues": A}
    request = {"TableName": numbered, "ExclusiveStartKey": start, **(key_ if operation == "Query" else {})}
    scan_says_why = ": The provided key element does not match the schema"
    refused(
        raw.call(operation, request),
        "The provided starting key is invalid" + (scan_says_why if operation == "Scan" else ""),
    )


@pytest.mark.parametrize(
    ("condition", "start", "sentence"),
    [
        (
            "pk = :a",
            {"pk": {"S": "b"}, "sk": {"N": "1"}},
            "The provided starting key is outside query boundaries based on provided conditions",
        ),
        (
            "pk = :a AND sk < :n",
            {"pk": {"S": "a"}, "sk": {"N": "9"}},
            "The provided starting key does not match the range key predicate",
        ),
        (
            "pk = :a AND sk > :n",
            {"pk": {"S": "a"}, "sk": {"N": "1"}},
            "The provided starting key does not match the range key predicate",
        ),
    ],
)
def test_a_start_key_lies_within_the_query(
    raw: RawClient, numbered: str, condition: str, start: Item, sentence: str
) -> None:
    values = {**A, ":n": {"N": "3"}} if ":n" in condition else A
    request = {
        "TableName": numbered,
        "KeyConditionExpression": condition,
        "ExpressionAttributeValues": values,
        "ExclusiveStartKey": start,
    }
    refused(raw.call("Query", request), sentence)


def test_a_query_of_no_table_is_refused(raw: RawClient) -> None:
    request = {"KeyConditionExpression": "pk = :a", "ExpressionAttributeValues": A}
    not_found(raw.call("Query", {"TableName": "no.such.table", **request}))
    refused(raw.call("Query", {"TableName": "a b c", **request}), BAD_TABLE_NAME)


def test_an_empty_partition_is_an_empty_page(raw: RawClient, numbered: str) -> None:
    request = {
        "TableName": numbered,
        "KeyConditionExpression": "pk = :a",
        "ExpressionAttributeValues": {":a": {"S": "nobody"}},
    }
    assert accepted(raw.call("Query", request)) == {"Items": [], "Count": 0, "ScannedCount": 0}

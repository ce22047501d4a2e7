"""ProjectionExpression: which parts of an item come back, and in what shape."""

from __future__ import annotations

from typing import Any

import pytest

from errors import accepted, refused
from raw import RawClient

Item = dict[str, Any]

KEY = {"pk": {"S": "the item"}}
ITEM: Item = {
    **KEY,
    "s": {"S": "abc"},
    "n": {"N": "5"},
    "l": {"L": [{"S": letter} for letter in "abcde"]},
    "m": {"M": {"a": {"N": "1"}, "b": {"N": "2"}, "year": {"N": "3"}}},
    "d": {
        "M": {
            "x": {"M": {"y": {"N": "1"}, "z": {"N": "2"}}},
            "k": {"L": [{"M": {"p": {"N": "1"}, "q": {"N": "2"}}}, {"M": {"p": {"N": "3"}}}]},
        }
    },
}


@pytest.fixture(scope="module")
def item(dynamodb: Any, table: str) -> str:
    """A table that holds `ITEM`; returns its name."""
    dynamodb.put_item(TableName=table, Item=ITEM)
    return table


@pytest.mark.parametrize(
    ("expression", "projected"),
    [
        ("pk", KEY),
        ("s", {"s": ITEM["s"]}),
        ("s,n", {"s": ITEM["s"], "n": ITEM["n"]}),
        (" s , pk ", {"s": ITEM["s"], **KEY}),
        ("s, nope", {"s": ITEM["s"]}),
        ("nope", {}),
        ("m.nope", {}),
        ("m.a.b", {}),
        ("s.a", {}),
        ("s[0]", {}),
        ("l[9]", {}),
        ("m.a", {"m": {"M": {"a": {"N": "1"}}}}),
        ("m.b, m.a", {"m": {"M": {"a": {"N": "1"}, "b": {"N": "2"}}}}),
        ("l[3], l[1]", {"l": {"L": [{"S": "b"}, {"S": "d"}]}}),
        ("l[1], l[9]", {"l": {"L": [{"S": "b"}]}}),
        ("d.x.y, d.x.z", {"d": {"M": {"x": {"M": {"y": {"N": "1"}, "z": {"N": "2"}}}}}}),
        (
            "d.k[1].p, d.k[0].q",
            {"d": {"M": {"k": {"L": [{"M": {"q": {"N": "2"}}}, {"M": {"p": {"N": "3"}}}]}}}},
        ),
        (
            "d.x.y, d.k[1]",
            {"d": {"M": {"x": {"M": {"y": {"N": "1"}}}, "k": {"L": [{"M": {"p": {"N": "3"}}}]}}}},
        ),
    ],
)
def test_a_projection_keeps_the_shape_of_the_item(
    raw: RawClient, item: str, expression: str, projected: Item
) -> None:
    request = {"TableName": item, "Key": KEY, "ProjectionExpression": expression}
    assert accepted(raw.call("GetItem", request)) == {"Item": projected}


def test_names_stand_for_reserved_words(dynamodb: Any, item: str) -> None:
    got = dynamodb.get_item(
        TableName=item,
        Key=KEY,
        ProjectionExpression="m.#y, #s",
        ExpressionAttributeNames={"#y": "year", "#s": "s"},
    )
    assert got["Item"] == {"m": {"M": {"year": {"N": "3"}}}, "s": {"S": "abc"}}


def test_of_an_absent_item_nothing_is_projected(raw: RawClient, item: str) -> None:
    request = {"TableName": item, "Key": {"pk": {"S": "nope"}}, "ProjectionExpression": "s"}
    assert accepted(raw.call("GetItem", request)) == {}


OVERLAP = "Two document paths overlap with each other; must remove or rewrite one of these paths; path one: "
CONFLICT = (
    "Two document paths conflict with each other; must remove or rewrite one of these paths; path one: "
)


@pytest.mark.parametrize(
    ("expression", "sentence"),
    [
        ("", "The expression can not be empty;"),
        (" ", 'Syntax error; token: "<EOF>", near: " "'),
        ("s,", 'Syntax error; token: "<EOF>", near: ","'),
        (",s", 'Syntax error; token: ",", near: ",s"'),
        ("s,,n", 'Syntax error; token: ",", near: ",,n"'),
        ("s n", 'Syntax error; token: "n", near: "s n"'),
        (":s", 'Syntax error; token: ":s", near: ":s"'),
        ("*", 'Syntax error; token: "*", near: "*"'),
        ("(s)", 'Syntax error; token: "(", near: "(s"'),
        ("size(s)", 'Syntax error; token: "(", near: "size(s"'),
        ("l[0", 'Syntax error; token: "<EOF>", near: "0"'),
        ("l[x]", 'Syntax error; token: "x", near: "[x]"'),
        ("name", "Attribute name is a reserved keyword; reserved keyword: name"),
        (
            "#undefined",
            "An expression attribute name used in the document path is not defined; attribute name: "
            "#undefined",
        ),
        ("s,s", f"{OVERLAP}[s], path two: [s]"),
        ("m,m.a", f"{OVERLAP}[m], path two: [m, a]"),
        ("m.a,m", f"{OVERLAP}[m, a], path two: [m]"),
        ("l[0],l[0]", f"{OVERLAP}[l, [0]], path two: [l, [0]]"),
        ("d.k[0],d.k[0].p", f"{OVERLAP}[d, k, [0]], path two: [d, k, [0], p]"),
        ("m.a, m[0]", f"{CONFLICT}[m, a], path two: [m, [0]]"),
        ("l[0], l.a", f"{CONFLICT}[l, [0]], path two: [l, a]"),
    ],
)
@pytest.mark.parametrize("operation", ["GetItem", "Scan"])
def test_a_malformed_projection_is_refused(
    raw: RawClient, item: str, operation: str, expression: str, sentence: str
) -> None:
    key_ = {"Key": KEY} if operation == "GetItem" else {}
    request = {"TableName": item, "ProjectionExpression": expression, **key_}
    refused(raw.call(operation, request), f"Invalid ProjectionExpression: {sentence}")

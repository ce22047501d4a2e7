"""PutItem: values, keys, conditions, what is returned, and what is refused."""

from __future__ import annotations

from typing import Any

import fixtures
from trial import Case, Step, variants

TABLE = [Step("CreateTable", fixtures.table("$T", "pk:S", "sk:N"))]
ITEM = {"pk": {"S": "a"}, "sk": {"N": "1"}}
BASE: dict[str, Any] = {"TableName": "$T", "Item": ITEM}


def value(attribute: Any) -> dict[str, Any]:
    """The change by which the item has this value."""
    return {"Item": {**ITEM, "v": attribute}}


NUMBERS = [
    "0",
    "-0",
    "01",
    "1.0",
    "1.10",
    "10e-1",
    "+5",
    ".5",
    "5.",
    "1e125",
    "9.9e125",
    "1e126",
    "-1e126",
    "1e-130",
]
NUMBERS += [
    "1e-131",
    "0e999",
    "1" * 38,
    "1" * 39,
    "0." + "1" * 38,
    "1e5",
    "1E5",
    "1e+5",
    "1e",
    "e1",
    "1_0",
    "1,0",
    "--1",
]
NUMBERS += ["0x1", "Infinity", "NaN", "1 ", " 1", "\u0661", "123456789012345678901234567890123456780"]

CASES = [
    Case("numbers", variants("PutItem", BASE, *(value({"N": text}) for text in NUMBERS)), TABLE),
    Case(
        "numbers are read as they are stored",
        [
            step
            for text in NUMBERS[:11] + ["123456.78900", "-0.000", "100", "1e2", "1e20", "1e-7", "12e37"]
            for step in (
                *variants("PutItem", BASE, value({"N": text})),
                Step("GetItem", {"TableName": "$T", "Key": ITEM}),
            )
        ],
        TABLE,
    ),
    Case(
        "values of every kind",
        [
            *variants(
                "PutItem",
                BASE,
                value({"S": ""}),
                value({"B": ""}),
                value({"B": "AA"}),
                value({"B": "AA=="}),
                value({"B": "A"}),
                value({"B": "AAA*"}),
                value({"NULL": True}),
                value({"NULL": False}),
                value({"BOOL": False}),
                value({"SS": []}),
                value({"SS": [""]}),
                value({"SS": ["b", "a"]}),
                value({"SS": ["a", "b", "a"]}),
                value({"NS": ["1", "01"]}),
                value({"NS": ["2", "1"]}),
                value({"NS": ["1", "x"]}),
                value({"BS": ["AA==", "AA=="]}),
                value({"BS": [""]}),
                value({"L": []}),
                value({"L": [{"L": [{"M": {}}]}]}),
                value({"L": [{"S": "a", "N": "1"}]}),
                value({"L": [None]}),
                value({"M": {}}),
                value({"M": {"": {"S": "a"}}}),
                value({"M": {"a": {"NS": []}}}),
                value({}),
                value({"S": "a", "N": "1"}),
                value({"Q": "a"}),
                value(None),
                value({"S": None}),
                value({"SS": None, "S": "a"}),
                value({"SS": ["a", None]}),
                {"Item": {**ITEM, "": {"S": "a"}}},
                {"Item": {**ITEM, "n" * 70000: {"S": "a"}}},
                {"Item": {}},
                {"Item": None},
                {"Item": ...},
            ),
            Step("GetItem", {"TableName": "$T", "Key": ITEM}),
        ],
        TABLE,
    ),
    Case(
        "keys",
        variants(
            "PutItem",
            BASE,
            {"Item": {"pk": {"S": "a"}}},
            {"Item": {"sk": {"N": "1"}}},
            {"Item": {"pk": {"N": "1"}, "sk": {"N": "1"}}},
            {"Item": {"pk": {"S": "a"}, "sk": {"S": "1"}}},
            {"Item": {"pk": {"S": ""}, "sk": {"N": "1"}}},
            {"Item": {"pk": {"S": "k" * 2048}, "sk": {"N": "1"}}},
            {"Item": {"pk": {"S": "k" * 2049}, "sk": {"N": "1"}}},
            {"Item": {"pk": {"SS": ["a"]}, "sk": {"N": "1"}}},
            {"Item": {"pk": {"M": {}}, "sk": {"N": "1"}}},
            {"Item": {"pk": {"NULL": True}, "sk": {"N": "1"}}},
        ),
        TABLE,
    ),
    Case(
        "sizes",
        variants(
            "PutItem",
            BASE,
            value({"S": "x" * (409600 - 8)}),
            value({"S": "x" * (409600 - 7)}),
            value({"S": "x" * 409600}),
            value({"L": [{"N": "1"}] * 40000}),
        ),
        TABLE,
    ),
    Case(
        "conditions and what is returned",
        variants(
            "PutItem",
            BASE,
            {"ReturnValues": "ALL_OLD"},
            {"ReturnValues": "ALL_OLD", "ReturnConsumedCapacity": "TOTAL"},
            {"ReturnValues": "NONE", "ReturnConsumedCapacity": "INDEXES"},
            {"ReturnValues": "ALL_NEW"},
            {"ReturnValues": "UPDATED_OLD"},
            {"ReturnValues": "nope"},
            {"ReturnConsumedCapacity": "nope"},
            {"ReturnItemCollectionMetrics": "SIZE"},
            {"ReturnItemCollectionMetrics": "nope"},
            {"ConditionExpression": "attribute_not_exists(pk)"},
            {"ConditionExpression": "attribute_exists(pk)"},
            {
                "ConditionExpression": "attribute_not_exists(pk)",
                "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
            },
            {
                "ConditionExpression": "attribute_not_exists(pk)",
                "ReturnValuesOnConditionCheckFailure": "nope",
            },
            {"ConditionExpression": ""},
            {"ConditionExpression": "x" * 4097},
            {"ConditionExpression": "sk = :a", "ExpressionAttributeValues": {":a": {"N": "1.0"}}},
            {"ConditionExpression": "sk = :a", "ExpressionAttributeValues": {":b": {"N": "1"}}},
            {"ConditionExpression": "sk = :a", "ExpressionAttributeValues": {}},
            {"ConditionExpression": "sk = :a", "ExpressionAttributeValues": {"a": {"N": "1"}}},
            {"ConditionExpression": "sk = :a", "ExpressionAttributeValues": {":a": {"N": "x"}}},
            {"ConditionExpression": "sk = :a", "ExpressionAttributeValues": {":a": {}}},
            {"ConditionExpression": "sk = :a", "ExpressionAttributeValues": {":a": None}},
            {"ConditionExpression": "#s = #s", "ExpressionAttributeNames": {"#s": "sk"}},
            {"ConditionExpression": "#s = sk", "ExpressionAttributeNames": {"#s": ""}},
            {"ConditionExpression": "#s = sk", "ExpressionAttributeNames": {"s": "sk"}},
            {"ConditionExpression": "#s = sk", "ExpressionAttributeNames": {}},
            {"ConditionExpression": "attribute_exists(pk)", "ExpressionAttributeNames": {"#s": "sk"}},
            {"ExpressionAttributeNames": {"#s": "sk"}},
            {"ExpressionAttributeValues": {":s": {"S": "a"}}},
            {"Expected": {"sk": {"Exists": False}}},
            {"Expected": {"sk": {"Value": {"N": "1"}}}},
            {"Expected": {"sk": {"Value": {"N": "1"}}}, "ConditionExpression": "attribute_exists(pk)"},
            {"Expected": {"sk": {"Value": {"N": "1"}}}, "ConditionalOperator": "OR"},
            {"ConditionalOperator": "OR"},
        ),
        TABLE,
    ),
    Case(
        "tables",
        variants(
            "PutItem",
            BASE,
            {"TableName": "oracle.none"},
            {"TableName": ...},
            {"TableName": ""},
            {"TableName": "ab"},
            {"TableName": "a b c"},
            {"TableName": "x" * 256},
            {"TableName": "x" * 1025},
            {"TableName": "$TableArn"},
            {"TableName": "arn:aws:dynamodb:us-east-1:000000000000:table/oracle.none"},
            {"TableName": "arn:aws:s3:::bucket"},
            {"TableName": 5},
        ),
        TABLE,
    ),
    Case(
        "indexes",
        variants(
            "PutItem",
            {
                "TableName": "$T",
                "Item": {"pk": {"S": "a"}, "g": {"S": "b"}},
                "ReturnConsumedCapacity": "INDEXES",
            },
            {},
            {"Item": {"pk": {"S": "a"}, "g": {"S": "c"}}},
            {"Item": {"pk": {"S": "a"}, "g": {"S": "c"}, "x": {"S": "y"}}},
            {"Item": {"pk": {"S": "a"}}},
            {"Item": {"pk": {"S": "a"}, "g": {"N": "1"}}},
            {"Item": {"pk": {"S": "a"}, "g": {"S": ""}}},
            {"Item": {"pk": {"S": "a"}, "g": {"NULL": True}}},
            {"Item": {"pk": {"S": "a"}, "g": {"S": "x" * 2049}}},
        ),
        [
            Step(
                "CreateTable",
                fixtures.table(
                    "$T",
                    "pk:S",
                    defined=["g:S"],
                    GlobalSecondaryIndexes=[
                        fixtures.index("one", "g"),
                        fixtures.index("two", "pk", "g", kind="KEYS_ONLY"),
                    ],
                ),
            )
        ],
    ),
    Case(
        "no JSON and other JSON",
        [
            Step("PutItem", body)
            for body in (
                b"",
                b"{",
                b"[]",
                b"null",
                b'{"TableName":"oracle.none","Item":[]}',
                b'{"Item":"a"}',
                b"{}{}",
            )
        ],
    ),
]

"""DeleteItem: conditions, what is returned, and what is refused."""

from __future__ import annotations

from typing import Any

import fixtures
from trial import Case, Step, variants

ITEM = {"pk": {"S": "d"}, "a": {"S": "x"}, "n": {"N": "5"}, "g": {"S": "g"}}
BASE: dict[str, Any] = {"TableName": "$T", "Key": {"pk": {"S": "d"}}}
TABLE = [
    Step(
        "CreateTable",
        fixtures.table("$T", "pk:S", defined=["g:S"], GlobalSecondaryIndexes=[fixtures.index("one", "g")]),
    )
]
PUT = Step("PutItem", {"TableName": "$T", "Item": ITEM})

CASES = [
    Case(
        "DeleteItem",
        [
            step
            for change in variants(
                "DeleteItem",
                BASE,
                {},
                {"ReturnValues": "ALL_OLD"},
                {"ReturnValues": "ALL_NEW"},
                {"ReturnValues": "nope"},
                {"ReturnConsumedCapacity": "INDEXES"},
                {"ReturnConsumedCapacity": "TOTAL", "ReturnItemCollectionMetrics": "SIZE"},
                {"ConditionExpression": "attribute_exists(pk)"},
                {"ConditionExpression": "attribute_not_exists(pk)"},
                {
                    "ConditionExpression": "attribute_not_exists(pk)",
                    "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
                },
                {"ConditionExpression": "n = :n", "ExpressionAttributeValues": {":n": {"N": "5.0"}}},
                {"ConditionExpression": "n = :n", "ExpressionAttributeValues": {":m": {"N": "5.0"}}},
                {"ConditionExpression": "n ="},
                {"ConditionExpression": ""},
                {"Expected": {"n": {"Value": {"N": "5"}}}},
                {"Expected": {"n": {"Value": {"N": "6"}}}},
                {"Expected": {"n": {"ComparisonOperator": "GT", "AttributeValueList": [{"N": "4"}]}}},
                {
                    "Expected": {
                        "n": {"ComparisonOperator": "GT", "AttributeValueList": [{"N": "4"}], "Exists": True}
                    }
                },
                {"Expected": {"n": {"Exists": True}}},
                {"Expected": {"n": {}}},
                {"Expected": {"n": None}},
                {"Expected": {"n": {"Exists": False}, "a": {"Exists": False}}, "ConditionalOperator": "OR"},
                {"Expected": {"n": {"Exists": False}}, "ConditionExpression": "a = b"},
                {"Key": {}},
                {"Key": ...},
                {"Key": {"pk": {"N": "1"}}},
                {"Key": {"pk": {"S": ""}}},
                {"Key": {"pk": {"S": "d"}, "a": {"S": "x"}}},
                {"Key": {"pk": {"S": "none"}}, "ReturnValues": "ALL_OLD", "ReturnConsumedCapacity": "TOTAL"},
                {"Key": {"pk": {"S": "none"}}, "ConditionExpression": "attribute_exists(pk)"},
                {
                    "Key": {"pk": {"S": "none"}},
                    "Expected": {"n": {"ComparisonOperator": "NE", "AttributeValueList": [{"N": "4"}]}},
                },
                {"TableName": "oracle.none"},
                {"TableName": ...},
            )
            for step in (PUT, change)
        ],
        TABLE,
    ),
]

"""Scan: pages, segments, filters, indexes, and the parameters from before expressions."""

from __future__ import annotations

from typing import Any

import fixtures
from trial import Case, variants

KEY = {"pk": {"S": "p"}, "sk": {"N": "1"}}
SCAN: dict[str, Any] = {"TableName": fixtures.READS}
COUNT: dict[str, Any] = {**SCAN, "Select": "COUNT"}


def compared(operator: str, *values: Any) -> dict[str, Any]:
    """A filter on `a` from before expressions."""
    return {"ScanFilter": {"a": {"ComparisonOperator": operator, "AttributeValueList": list(values)}}}


CASES = [
    Case(
        "Scan",
        variants(
            "Scan",
            SCAN,
            {},
            {"Limit": 2},
            {"Limit": 6},
            {"Limit": 0},
            {"Select": "COUNT"},
            {"Select": "COUNT", "ReturnConsumedCapacity": "INDEXES"},
            {"Select": "ALL_PROJECTED_ATTRIBUTES"},
            {"Select": "SPECIFIC_ATTRIBUTES"},
            {"Segment": 0, "TotalSegments": 1},
            {"Segment": 0},
            {"TotalSegments": 1},
            {"Segment": 1, "TotalSegments": 1},
            {"Segment": -1, "TotalSegments": 1},
            {"Segment": 0, "TotalSegments": 0},
            {"Segment": 0, "TotalSegments": 1000001},
            {"ExclusiveStartKey": KEY},
            {"ExclusiveStartKey": {"pk": {"S": "p"}}},
            {"ExclusiveStartKey": {"pk": {"S": "p"}, "sk": {"S": "a"}}},
            {"ExclusiveStartKey": {"pk": {"S": "p"}, "sk": {"N": "1"}, "a": {"S": "a"}}},
            {"ExclusiveStartKey": {"pk": {"S": "p"}, "sk": {}}},
            {"FilterExpression": "attribute_exists(a)"},
            {"FilterExpression": "pk = :p", "ExpressionAttributeValues": {":p": {"S": "p"}}},
            {"FilterExpression": "a = :p"},
            {"FilterExpression": "a"},
            {"ExpressionAttributeValues": {":p": {"S": "p"}}},
            {"ProjectionExpression": "a, n", "FilterExpression": "attribute_exists(n)"},
            {"IndexName": "global"},
            {"IndexName": "global", "Select": "ALL_ATTRIBUTES"},
            {"IndexName": "global", "ConsistentRead": True},
            {"IndexName": "global", "FilterExpression": "attribute_exists(l)"},
            {"IndexName": "global", "ProjectionExpression": "l"},
            {"IndexName": "global", "ProjectionExpression": "a"},
            {"IndexName": "gkeys", "Limit": 1, "Select": "COUNT"},
            {"IndexName": "lkeys"},
            {"IndexName": "lkeys", "Select": "ALL_ATTRIBUTES"},
            {"IndexName": "lkeys", "ProjectionExpression": "a"},
            {"IndexName": "lkeys", "ProjectionExpression": "a", "ReturnConsumedCapacity": "INDEXES"},
            {"IndexName": "lkeys", "FilterExpression": "attribute_exists(a)"},
            {"IndexName": "lkeys", "ConsistentRead": True},
            {"IndexName": "nope"},
            {"TableName": "oracle.none"},
        ),
    ),
    Case(
        "Scan without expressions",
        variants(
            "Scan",
            COUNT,
            *(
                compared(operator, {"S": "abc"})
                for operator in (
                    "EQ",
                    "NE",
                    "LT",
                    "LE",
                    "GT",
                    "GE",
                    "CONTAINS",
                    "NOT_CONTAINS",
                    "BEGINS_WITH",
                    "IN",
                )
            ),
            compared("NULL"),
            compared("NOT_NULL"),
            compared("NULL", {"S": "a"}),
            compared("EQ"),
            compared("EQ", {"S": "a"}, {"S": "b"}),
            compared("EQ", {}),
            compared("BETWEEN", {"S": "a"}, {"S": "b"}),
            compared("BETWEEN", {"S": "b"}, {"S": "a"}),
            compared("BETWEEN", {"S": "a"}, {"N": "1"}),
            compared("LT", {"BOOL": True}),
            compared("IN", {"S": "abc"}, {"S": ""}),
            compared("CONTAINS", {"SS": ["a"]}),
            compared("nope", {"S": "a"}),
            {"ScanFilter": {"ss": {"ComparisonOperator": "CONTAINS", "AttributeValueList": [{"S": "x"}]}}},
            {"ScanFilter": {"l": {"ComparisonOperator": "CONTAINS", "AttributeValueList": [{"S": "a"}]}}},
            {"ScanFilter": {"a": None}},
            {"ScanFilter": {"a": {}}},
            {"ScanFilter": {}},
            {"ScanFilter": {}, "ConditionalOperator": "OR"},
            {**compared("NULL"), "ConditionalOperator": "OR"},
            {**compared("NULL"), "FilterExpression": "attribute_exists(a)"},
            {**compared("NULL"), "ProjectionExpression": "a"},
            {"AttributesToGet": ["a"], "Select": ...},
            {"AttributesToGet": ["a"]},
            {"QueryFilter": {"a": {"ComparisonOperator": "NULL"}}},
        ),
    ),
]

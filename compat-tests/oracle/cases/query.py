"""Query: key conditions, filters, projections, pages, indexes, and the parameters from before expressions."""

from __future__ import annotations

from typing import Any

import fixtures
from trial import Case, variants

P = {":p": {"S": "p"}}
BASE: dict[str, Any] = {
    "TableName": fixtures.READS,
    "KeyConditionExpression": "pk = :p",
    "ExpressionAttributeValues": P,
}
LEGACY: dict[str, Any] = {"TableName": fixtures.READS}


def where(expression: str, **values: Any) -> dict[str, Any]:
    """A key condition with these values beside `:p`."""
    given = {f":{name}": value for name, value in values.items()}
    return {"KeyConditionExpression": expression, "ExpressionAttributeValues": {**P, **given}}


def filtered(expression: str, **values: Any) -> dict[str, Any]:
    """A filter with these values."""
    given = {f":{name}": value for name, value in values.items()}
    return {"FilterExpression": expression, "ExpressionAttributeValues": {**P, **given}}


def condition(operator: str, *values: Any) -> dict[str, Any]:
    """A `Condition`."""
    return {"ComparisonOperator": operator, "AttributeValueList": list(values)}


EQ = condition("EQ", {"S": "p"})
ONE, TWO = {"N": "1"}, {"N": "2.5"}

CASES = [
    Case(
        "key conditions",
        variants(
            "Query",
            BASE,
            {},
            where("pk = :p AND sk = :a", a=ONE),
            where("pk = :p AND sk < :a", a=ONE),
            where("pk = :p AND sk <= :a", a=ONE),
            where("pk = :p AND sk > :a", a=ONE),
            where("pk = :p AND sk >= :a", a=ONE),
            where("pk = :p AND sk <> :a", a=ONE),
            where("pk = :p AND sk BETWEEN :a AND :b", a=ONE, b=TWO),
            where("pk = :p AND sk BETWEEN :b AND :a", a=ONE, b=TWO),
            where("pk = :p AND begins_with(sk, :a)", a=ONE),
            where("pk = :p AND begins_with(sk, :a)", a={"S": "1"}),
            where("pk = :p AND sk IN (:a)", a=ONE),
            where("pk = :p AND NOT sk = :a", a=ONE),
            where("pk = :p OR sk = :a", a=ONE),
            where("pk = :p AND attribute_exists(sk)"),
            where("pk = :p AND contains(sk, :a)", a=ONE),
            where("pk = :p AND size(sk) = :a", a=ONE),
            where("pk = :p AND sk = :a AND a = :a", a=ONE),
            where("pk = :p AND pk = :p"),
            where("pk = :p AND a = :a", a=ONE),
            where("pk > :p"),
            where("sk = :a", a=ONE),
            where(":p = pk"),
            where(":p = pk AND :a < sk", a=ONE),
            where("(pk = :p) AND (sk = :a)", a=ONE),
            where("((pk = :p))"),
            where("pk = :a", a=ONE),
            where("pk = :p AND sk = :a", a={"S": "1"}),
            where("pk = :a", a={"S": ""}),
            where("pk.x = :p"),
            where("pk[0] = :p"),
            where("pk = sk"),
            where(":p = :p"),
            where("pk = :nope"),
            where("#nope = :p"),
            where("pk = :p", unused=ONE),
            where(""),
            where("pk"),
            where("pk = :p AND"),
            where("pk = :p AND sk BETWEEN :a", a=ONE),
            {"KeyConditionExpression": ...},
            {"KeyConditionExpression": ..., "ExpressionAttributeValues": ...},
            {"ExpressionAttributeValues": ...},
            {"ExpressionAttributeNames": {"#a": "a"}},
            {"TableName": "oracle.none"},
            {"IndexName": "nope"},
            {"IndexName": ""},
            {"IndexName": "a"},
            {"IndexName": "a b c"},
        ),
    ),
    Case(
        "pages",
        variants(
            "Query",
            BASE,
            {"Limit": 2},
            {"Limit": 6},
            {"Limit": 7},
            {"Limit": 0},
            {"Limit": -1},
            {"ScanIndexForward": False, "Limit": 3},
            {**where("pk = :p AND sk BETWEEN :a AND :b", a=ONE, b={"N": "7"}), "Limit": 3},
            {"ScanIndexForward": False},
            {"ExclusiveStartKey": {"pk": {"S": "p"}, "sk": ONE}},
            {"ExclusiveStartKey": {"pk": {"S": "p"}, "sk": ONE}, "ScanIndexForward": False},
            {"ExclusiveStartKey": {"pk": {"S": "p"}, "sk": {"N": "1.7"}}, "Limit": 1},
            {"ExclusiveStartKey": {"pk": {"S": "q"}, "sk": ONE}},
            {"ExclusiveStartKey": {"pk": {"S": "p"}}},
            {"ExclusiveStartKey": {"pk": {"S": "p"}, "sk": {"S": "1"}}},
            {"ExclusiveStartKey": {"pk": {"S": "p"}, "sk": ONE, "a": ONE}},
            {"ExclusiveStartKey": {"pk": {"S": "p"}, "nope": ONE}},
            {"ExclusiveStartKey": {}},
            {"ExclusiveStartKey": None},
            {"ExclusiveStartKey": {"pk": {"S": "p"}, "sk": {"N": "x"}}},
            {"ExclusiveStartKey": {"pk": {"S": ""}, "sk": ONE}},
            {
                **where("pk = :p AND sk > :a", a=ONE),
                "ExclusiveStartKey": {"pk": {"S": "p"}, "sk": {"N": "0"}},
            },
            {
                **where("pk = :p AND sk > :a", a=ONE),
                "ExclusiveStartKey": {"pk": {"S": "p"}, "sk": {"N": "7"}},
            },
            {**filtered("a = :a", a={"S": "abc"}), "Limit": 2},
            {**filtered("a = :a", a={"S": "abc"}), "Limit": 1},
        ),
    ),
    Case(
        "filters, projections and what is selected",
        variants(
            "Query",
            BASE,
            filtered("a = :a", a={"S": "abc"}),
            filtered("attribute_exists(n)"),
            filtered("sk = :a", a=ONE),
            filtered("pk = :p"),
            filtered("lsk = :a", a={"S": "a"}),
            filtered("#a = :a", a=ONE),
            filtered("m.x = :a AND l[0] = :a", a=ONE),
            filtered("size(ss) = :a", a={"N": "2"}),
            filtered("contains(ss, :a)", a={"S": "x"}),
            filtered("n BETWEEN :a AND :b", a=TWO, b=ONE),
            filtered(""),
            {"ProjectionExpression": "a, n"},
            {"ProjectionExpression": "a, a"},
            {"ProjectionExpression": "m, m.x"},
            {"ProjectionExpression": "m.x, m.y[1].z"},
            {"ProjectionExpression": "l[1], l[0]"},
            {"ProjectionExpression": "nope"},
            {"ProjectionExpression": "nope.x[0]"},
            {"ProjectionExpression": ""},
            {"ProjectionExpression": "a,"},
            {"ProjectionExpression": "name"},
            {"ProjectionExpression": "#a", "ExpressionAttributeNames": {"#a": "a"}},
            {"ProjectionExpression": "#b", "ExpressionAttributeNames": {"#a": "a"}},
            {"Select": "COUNT"},
            {"Select": "ALL_ATTRIBUTES"},
            {"Select": "ALL_PROJECTED_ATTRIBUTES"},
            {"Select": "SPECIFIC_ATTRIBUTES"},
            {"Select": "SPECIFIC_ATTRIBUTES", "ProjectionExpression": "a"},
            {"Select": "COUNT", "ProjectionExpression": "a"},
            {"Select": "ALL_ATTRIBUTES", "ProjectionExpression": "a"},
            {"Select": "nope"},
            {"ConsistentRead": True, "ReturnConsumedCapacity": "TOTAL"},
            {"ReturnConsumedCapacity": "INDEXES"},
            {"ReturnConsumedCapacity": "nope"},
            {"Select": "nope", "Limit": 0, "ReturnConsumedCapacity": "x"},
        ),
    ),
    Case(
        "indexes",
        [
            *variants(
                "Query",
                {**BASE, "IndexName": "local"},
                {},
                {"ReturnConsumedCapacity": "INDEXES", "ConsistentRead": True},
                where("pk = :p AND lsk > :a", a={"S": "a"}),
                where("pk = :p AND sk > :a", a=ONE),
                {"ExclusiveStartKey": {"pk": {"S": "p"}, "sk": ONE}},
                {"ExclusiveStartKey": {"pk": {"S": "p"}, "sk": {"N": "-3"}, "lsk": {"S": "a"}}},
                {"Limit": 1},
            ),
            *variants(
                "Query",
                {**BASE, "IndexName": "lkeys"},
                {},
                {"Select": "ALL_ATTRIBUTES"},
                {"Select": "ALL_ATTRIBUTES", "ReturnConsumedCapacity": "INDEXES"},
                {"Select": "ALL_PROJECTED_ATTRIBUTES"},
                {"ProjectionExpression": "a, lsk"},
                {"ProjectionExpression": "lsk"},
                filtered("attribute_exists(a)"),
            ),
            *variants(
                "Query",
                {
                    "TableName": fixtures.READS,
                    "IndexName": "global",
                    "KeyConditionExpression": "gpk = :g",
                    "ExpressionAttributeValues": {":g": {"S": "g"}},
                },
                {},
                {"ConsistentRead": True},
                {"ConsistentRead": False},
                {"Select": "ALL_ATTRIBUTES"},
                {"Select": "ALL_PROJECTED_ATTRIBUTES"},
                {"ProjectionExpression": "a"},
                {"ProjectionExpression": "l"},
                {"ProjectionExpression": "l, m.x"},
                {"FilterExpression": "attribute_exists(l)"},
                {"FilterExpression": "attribute_exists(a)"},
                {"Limit": 2, "ReturnConsumedCapacity": "INDEXES"},
                {"ScanIndexForward": False, "Limit": 1},
                {
                    "ExclusiveStartKey": {
                        "gpk": {"S": "g"},
                        "gsk": {"N": "0"},
                        "pk": {"S": "p"},
                        "sk": {"N": "-3"},
                    }
                },
                {"ExclusiveStartKey": {"gpk": {"S": "g"}, "gsk": {"N": "0"}}},
                {
                    "ExclusiveStartKey": {
                        "gpk": {"S": "x"},
                        "gsk": {"N": "0"},
                        "pk": {"S": "p"},
                        "sk": {"N": "-3"},
                    }
                },
                {"KeyConditionExpression": "pk = :g"},
            ),
        ],
    ),
    Case(
        "without expressions",
        variants(
            "Query",
            LEGACY,
            {"KeyConditions": {"pk": EQ}},
            *(
                {"KeyConditions": {"pk": EQ, "sk": condition(operator, ONE)}}
                for operator in (
                    "EQ",
                    "LT",
                    "LE",
                    "GT",
                    "GE",
                    "NE",
                    "IN",
                    "CONTAINS",
                    "NOT_CONTAINS",
                    "BEGINS_WITH",
                    "BETWEEN",
                    "NULL",
                )
            ),
            {"KeyConditions": {"pk": EQ, "sk": condition("BETWEEN", ONE, TWO)}},
            {"KeyConditions": {"pk": EQ, "sk": condition("BETWEEN", TWO, ONE)}},
            {"KeyConditions": {"pk": EQ, "sk": condition("NULL")}},
            {"KeyConditions": {"pk": EQ, "sk": condition("EQ", {"S": "1"})}},
            {"KeyConditions": {"pk": EQ, "a": condition("EQ", {"S": "1"})}},
            {"KeyConditions": {"pk": EQ, "sk": condition("EQ", ONE), "a": condition("EQ", ONE)}},
            {"KeyConditions": {"pk": condition("GT", {"S": "a"})}},
            {"KeyConditions": {"pk": condition("EQ")}},
            {"KeyConditions": {"pk": condition("EQ", {"S": "a"}, {"S": "b"})}},
            {"KeyConditions": {"sk": condition("EQ", ONE)}},
            {"KeyConditions": {"pk": {"AttributeValueList": [{"S": "p"}]}}},
            {"KeyConditions": {"pk": None}},
            {"KeyConditions": {}},
            {"KeyConditions": {"": EQ}},
            {"KeyConditions": {"pk": EQ}, **BASE},
            {"KeyConditions": {"pk": EQ}, "FilterExpression": "attribute_exists(a)"},
            {"KeyConditions": {"pk": EQ}, "ProjectionExpression": "a"},
            {"KeyConditions": {"pk": EQ}, "AttributesToGet": ["a", "n"]},
            {"KeyConditions": {"pk": EQ}, "AttributesToGet": ["a", "a"]},
            {"KeyConditions": {"pk": EQ}, "AttributesToGet": []},
            {"KeyConditions": {"pk": EQ}, "AttributesToGet": [""]},
            {"KeyConditions": {"pk": EQ}, "AttributesToGet": ["m.x"]},
            {"KeyConditions": {"pk": EQ}, "AttributesToGet": ["a"], "ProjectionExpression": "a"},
            {"KeyConditions": {"pk": EQ}, "AttributesToGet": ["a"], "Select": "COUNT"},
            {"KeyConditions": {"pk": EQ}, "AttributesToGet": ["a"], "Select": "ALL_ATTRIBUTES"},
            {"KeyConditions": {"pk": EQ}, "AttributesToGet": ["a"], "Select": "SPECIFIC_ATTRIBUTES"},
            *(
                {
                    "KeyConditions": {"pk": EQ},
                    "Select": "COUNT",
                    "QueryFilter": {"a": condition(operator, {"S": "abc"})},
                }
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
                    "NULL",
                )
            ),
            {"KeyConditions": {"pk": EQ}, "QueryFilter": {"sk": condition("EQ", ONE)}},
            {
                "KeyConditions": {"pk": EQ},
                "QueryFilter": {"a": condition("NOT_NULL"), "n": condition("NULL")},
            },
            {
                "KeyConditions": {"pk": EQ},
                "QueryFilter": {"a": condition("NULL"), "n": condition("NULL")},
                "ConditionalOperator": "OR",
            },
            {
                "KeyConditions": {"pk": EQ},
                "QueryFilter": {"a": condition("NULL")},
                "ConditionalOperator": "OR",
            },
            {"KeyConditions": {"pk": EQ}, "ConditionalOperator": "AND"},
            {"KeyConditions": {"pk": EQ}, "QueryFilter": {"a": None}},
            {"KeyConditions": {"pk": EQ}, "QueryFilter": {"a": {}}},
            {
                "IndexName": "global",
                "KeyConditions": {"gpk": condition("EQ", {"S": "g"})},
                "AttributesToGet": ["l"],
            },
            {
                "IndexName": "global",
                "KeyConditions": {"gpk": condition("EQ", {"S": "g"})},
                "AttributesToGet": ["a"],
            },
            {"IndexName": "lkeys", "KeyConditions": {"pk": EQ}, "AttributesToGet": ["a"]},
        ),
    ),
]

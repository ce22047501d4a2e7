"""BatchGetItem: keys, what is repeated or empty, projections."""

from __future__ import annotations

from typing import Any

import fixtures
from trial import Case, variants

KEY = {"pk": {"S": "p"}, "sk": {"N": "1"}}


def batch(**wanted: Any) -> dict[str, Any]:
    """RequestItems of one table."""
    return {"RequestItems": {fixtures.READS: {"Keys": [KEY], **wanted}}}


CASES = [
    Case(
        "BatchGetItem",
        variants(
            "BatchGetItem",
            {"ReturnConsumedCapacity": "TOTAL", **batch()},
            {},
            batch(ConsistentRead=True),
            batch(ProjectionExpression="a, n"),
            batch(ProjectionExpression="a,"),
            batch(AttributesToGet=["a"]),
            batch(AttributesToGet=["a", "a"]),
            batch(AttributesToGet=["a"], ProjectionExpression="a"),
            batch(ExpressionAttributeNames={"#a": "a"}),
            batch(ProjectionExpression="#a", ExpressionAttributeNames={"#a": "a"}),
            batch(Keys=[KEY, KEY]),
            batch(Keys=[KEY, {"pk": {"S": "p"}, "sk": {"N": "1.0"}}]),
            batch(Keys=[]),
            batch(Keys=[{}]),
            batch(Keys=[None]),
            batch(Keys=None),
            batch(Keys=[{"pk": {"S": "p"}}]),
            batch(Keys=[{"pk": {"S": "p"}, "sk": {"S": "1"}}]),
            batch(Keys=[{"pk": {"S": "p"}, "sk": {"N": str(number)}} for number in range(100)]),
            batch(Keys=[{"pk": {"S": "p"}, "sk": {"N": str(number)}} for number in range(101)]),
            {"RequestItems": {}},
            {"RequestItems": ...},
            {"RequestItems": {"oracle.none": {"Keys": [KEY]}}},
            {"RequestItems": {"a": {"Keys": [KEY]}}},
            {"RequestItems": {"": {"Keys": [KEY]}}},
            {"RequestItems": {fixtures.READS: {}}},
            {"RequestItems": {fixtures.READS: None}},
            {
                "RequestItems": {
                    fixtures.READS: {"Keys": [KEY]},
                    fixtures.SMALL: {"Keys": [{"pk": {"B": "YQ=="}}]},
                }
            },
            {"ReturnConsumedCapacity": "INDEXES"},
            {"ReturnConsumedCapacity": "nope"},
        ),
    ),
]

"""GetItem: keys, projections, capacity."""

from __future__ import annotations

from typing import Any

import fixtures
from trial import Case, variants

KEY = {"pk": {"S": "p"}, "sk": {"N": "1"}}
GET: dict[str, Any] = {"TableName": fixtures.READS, "Key": KEY}

CASES = [
    Case(
        "GetItem",
        variants(
            "GetItem",
            GET,
            {},
            {"Key": {"pk": {"S": "p"}, "sk": {"N": "1.0"}}},
            {"Key": {"pk": {"S": "p"}, "sk": {"N": "77"}}},
            {"Key": {"pk": {"S": "p"}, "sk": {"N": "77"}}, "ReturnConsumedCapacity": "TOTAL"},
            {"ReturnConsumedCapacity": "TOTAL"},
            {"ReturnConsumedCapacity": "INDEXES", "ConsistentRead": True},
            {"Key": {"pk": {"S": "p"}}},
            {"Key": {"pk": {"S": "p"}, "sk": {"N": "1"}, "a": {"S": "a"}}},
            {"Key": {"pk": {"S": "p"}, "sk": {"S": "1"}}},
            {"Key": {"pk": {"S": ""}, "sk": {"N": "1"}}},
            {"Key": {"pk": {"S": "p"}, "sk": {"N": "x"}}},
            {"Key": {"pk": {"S": "p"}, "sk": {}}},
            {"Key": {"pk": {"S": "p"}, "sk": {"N": "1", "S": "1"}}},
            {"Key": {}},
            {"Key": None},
            {"Key": ...},
            {"TableName": ...},
            {"TableName": "oracle.none"},
            {"ProjectionExpression": "a, m.x, l[1]"},
            {"ProjectionExpression": "nope"},
            {"ProjectionExpression": "a, a.b"},
            {"ProjectionExpression": "size"},
            {"ProjectionExpression": "a b"},
            {"ProjectionExpression": "m . :nope y [ 1 ]"},
            {"ProjectionExpression": "#a", "ExpressionAttributeNames": {"#a": "a"}},
            {"ProjectionExpression": "#a", "ExpressionAttributeNames": {"#b": "a"}},
            {"ProjectionExpression": "a", "ExpressionAttributeNames": {"#b": "a"}},
            {"ExpressionAttributeNames": {"#b": "a"}},
            {"AttributesToGet": ["a", "m"]},
            {"AttributesToGet": ["a", "a"]},
            {"AttributesToGet": []},
            {"AttributesToGet": ["nope"]},
            {"AttributesToGet": ["a"], "ProjectionExpression": "a"},
            {"AttributesToGet": ["a"], "ExpressionAttributeNames": {"#b": "a"}},
            {"ConsistentRead": None},
        ),
    ),
]

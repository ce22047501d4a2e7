"""TagResource, UntagResource and ListTagsOfResource."""

from __future__ import annotations

from typing import Any

from fixtures import table
from trial import Case, Step, variants

T: dict[str, Any] = {"TableName": "$T"}

CASES = [
    Case(
        "tags",
        [
            *variants(
                "TagResource",
                {"ResourceArn": "$TableArn", "Tags": [{"Key": "a", "Value": "b"}]},
                {},
                {"Tags": []},
                {"Tags": ...},
                {"ResourceArn": ...},
                {"ResourceArn": "nope"},
                {"Tags": [{"Key": "aws:a", "Value": "b"}]},
                {"Tags": [{"Key": ""}]},
            ),
            *variants(
                "UntagResource",
                {"ResourceArn": "$TableArn", "TagKeys": ["a"]},
                {},
                {"TagKeys": []},
                {"TagKeys": ...},
            ),
            *variants(
                "ListTagsOfResource",
                {"ResourceArn": "$TableArn"},
                {},
                {"NextToken": "x"},
                {"ResourceArn": ...},
            ),
        ],
        [Step("CreateTable", table("$T", "pk:S")), Step("DescribeTable", T)],
    ),
]

"""ListStreams, DescribeStream, GetShardIterator and GetRecords."""

from __future__ import annotations

from typing import Any

import fixtures
from trial import Case, Step, variants

KEY = {"pk": {"S": "k"}}
ITERATOR: dict[str, Any] = {
    "StreamArn": "$LatestStreamArn",
    "ShardId": "$ShardId",
    "ShardIteratorType": "TRIM_HORIZON",
}


def writes(view: str) -> Case:
    """All kinds of writes to one item, and the records of them, as far as one shard has them on both."""
    return Case(
        f"records of {view}",
        [
            Step("PutItem", {"TableName": "$T", "Item": {**KEY, "a": {"S": "1"}}}),
            Step("PutItem", {"TableName": "$T", "Item": {**KEY, "a": {"S": "1"}}}),
            Step("PutItem", {"TableName": "$T", "Item": {**KEY, "a": {"S": "2"}}}),
            Step("UpdateItem", {"TableName": "$T", "Key": KEY, "UpdateExpression": "REMOVE a"}),
            Step("DeleteItem", {"TableName": "$T", "Key": KEY}),
            Step("DeleteItem", {"TableName": "$T", "Key": KEY}),
        ],
        [
            Step(
                "CreateTable",
                fixtures.table(
                    "$T", "pk:S", StreamSpecification={"StreamEnabled": True, "StreamViewType": view}
                ),
            )
        ],
    )


CASES = [
    writes("NEW_AND_OLD_IMAGES"),
    writes("KEYS_ONLY"),
    Case(
        "lists",
        variants(
            "ListStreams",
            {},
            {"TableName": fixtures.READS},
            {"TableName": fixtures.SMALL},
            {"TableName": "oracle.none"},
            {"TableName": "a"},
            {"TableName": ""},
            {"TableName": fixtures.READS, "Limit": 1},
            {"TableName": fixtures.READS, "Limit": 0},
            {"TableName": fixtures.READS, "Limit": 101},
            {"ExclusiveStartStreamArn": "nope"},
        ),
    ),
    Case(
        "streams and shards that are not there",
        [
            *variants(
                "DescribeStream",
                {
                    "StreamArn": "arn:aws:dynamodb:us-east-1:000000000000:table/oracle.none/stream/2020-01-01T00:00:00.000"
                },
                {},
                {"StreamArn": ...},
                {"StreamArn": ""},
                {"StreamArn": "nope"},
                {"StreamArn": "x" * 37},
                {"Limit": 0},
                {"Limit": 101},
            ),
            *variants(
                "GetShardIterator",
                {
                    "StreamArn": "arn:aws:dynamodb:us-east-1:000000000000:table/oracle.none/stream/2020-01-01T00:00:00.000",
                    "ShardId": "shardId-00000000000000000000-00000000",
                    "ShardIteratorType": "LATEST",
                },
                {},
                {"ShardId": ...},
                {"ShardId": "x"},
                {"ShardIteratorType": "nope"},
                {"ShardIteratorType": ...},
                {"StreamArn": ...},
            ),
            *variants(
                "GetRecords",
                {"ShardIterator": "nope"},
                {},
                {"ShardIterator": ...},
                {"ShardIterator": ""},
                {"Limit": 0},
                {"Limit": 1001},
            ),
        ],
    ),
]

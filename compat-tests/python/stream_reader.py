"""Reading a stream to its end, over all its shards, as a consumer without a library does."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

Record = dict[str, Any]


def shards_of(streams: Any, arn: str, limit: int | None = None) -> list[dict[str, Any]]:
    """All shards of a stream; `limit` is how many DescribeStream is to show at a time."""
    shards: list[dict[str, Any]] = []
    more: dict[str, Any] = {} if limit is None else {"Limit": limit}
    while True:
        told = streams.describe_stream(StreamArn=arn, **more)["StreamDescription"]
        shards += told["Shards"]
        if "LastEvaluatedShardId" not in told:
            return shards
        more["ExclusiveStartShardId"] = told["LastEvaluatedShardId"]


def parents_first(shards: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """The shards in an order in which no shard comes before its parent."""
    waiting = list(shards)
    while waiting:
        ids = {shard["ShardId"] for shard in waiting}
        ready = [shard for shard in waiting if shard.get("ParentShardId") not in ids]
        assert ready, "shards are each other's parents"
        yield from ready
        waiting = [shard for shard in waiting if shard not in ready]


def iterator(streams: Any, arn: str, shard: str, kind: str = "TRIM_HORIZON", **more: str) -> str:
    """A shard iterator."""
    answer = streams.get_shard_iterator(StreamArn=arn, ShardId=shard, ShardIteratorType=kind, **more)
    found: str = answer["ShardIterator"]
    return found


def read_on(streams: Any, start: str | None, **more: Any) -> tuple[list[Record], str | None]:
    """What a shard has from an iterator on, and the iterator to go on with: none when the shard has ended."""
    records: list[Record] = []
    while start is not None:
        answer = streams.get_records(ShardIterator=start, **more)
        records += answer["Records"]
        start = answer.get("NextShardIterator")
        # An open shard is at its end when it has nothing more.
        if not answer["Records"]:
            break
    return records, start


def read_all(streams: Any, arn: str) -> list[Record]:
    """All records of a stream, those of a parent shard before those of its children."""
    records: list[Record] = []
    for shard in parents_first(shards_of(streams, arn)):
        found, _ = read_on(streams, iterator(streams, arn, shard["ShardId"]))
        records += found
    return records

"""The Kinesis Client Library reads a stream through its DynamoDB adapter, as most consumers of streams do.

The program is `compat-tests/java/kcl`; `cargo xtask kcl` builds it. The library keeps leases in tables of its own, makes
a global index over them while they are in use, and elects a leader by a lock: this is a test of much more than streams.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from conftest import MakeTable, unused_name
from kcl import Consumer, Run, check_parents_first, records_by_item
from server import Target
from stream_reader import shards_of

pytestmark = [
    pytest.mark.needs_kcl,
    pytest.mark.differs_from_dynamodb_local("its ARNs name a region that the adapter does not know"),
]


@pytest.fixture
def consumer(dynamodb: Any, target: Target, make_table: MakeTable, tmp_path: Path) -> Iterator[Consumer]:
    """A table with a stream, and a consumer for it; the library's own tables go away after the test."""
    table = make_table(StreamSpecification={"StreamEnabled": True, "StreamViewType": "KEYS_ONLY"})
    leases = unused_name("leases")
    yield Consumer(target, table, leases, tmp_path)
    for page in dynamodb.get_paginator("list_tables").paginate():
        for name in page["TableNames"]:
            if name.startswith(leases):
                dynamodb.delete_table(TableName=name)


def write(client: Any, table: str, names: range, turns: int) -> int:
    """Changes each item so many times, and returns how many records that makes."""
    for turn in range(turns):
        for name in names:
            client.update_item(
                TableName=table,
                Key={"pk": {"S": f"item-{name}"}},
                UpdateExpression="ADD v :one",
                ExpressionAttributeValues={":one": {"N": "1"}},
            )
    return len(names) * turns


def check_order(run: Run, shards: list[dict[str, Any]]) -> None:
    """The records of an item come in the order of their numbers, and a shard begins when its parent has ended."""
    for records in records_by_item(run).values():
        numbers = [record.number for record in records]
        assert numbers == sorted(set(numbers))
    check_parents_first(run, shards)


def test_every_record_is_seen_once_and_parents_come_first(
    dynamodb: Any, streams: Any, consumer: Consumer
) -> None:
    arn = dynamodb.describe_table(TableName=consumer.table)["Table"]["LatestStreamArn"]
    # Half of it is there before the consumer starts, half comes while it does.
    early, late = range(20), range(20, 40)
    count = write(dynamodb, consumer.table, early, 5)
    first = consumer.start("one", count + len(late) * 5)
    count += write(dynamodb, consumer.table, late, 5)
    run = consumer.finish("one", first)

    places = [(record.shard, record.number) for record in run.records]
    assert len(places) == len(set(places)) == count
    events: dict[str, list[str]] = defaultdict(list)
    for record in run.records:
        events[record.keys].append(record.event)
    assert events == {f"pk=item-{name}": ["INSERT"] + ["MODIFY"] * 4 for name in range(40)}
    check_order(run, shards_of(streams, arn))
    assert {record.shard for record in run.records} <= {shard["ShardId"] for shard in shards_of(streams, arn)}

    # Another worker goes on where the first has stopped: the checkpoints are in the lease table.
    more = write(dynamodb, consumer.table, early, 1)
    again = consumer.finish("two", consumer.start("two", more))
    assert sorted(record.keys for record in again.records) == sorted(f"pk=item-{name}" for name in early)
    assert {record.event for record in again.records} == {"MODIFY"}
    seen = {(record.shard, record.number) for record in run.records}
    assert not seen & {(record.shard, record.number) for record in again.records}
    check_order(again, shards_of(streams, arn))

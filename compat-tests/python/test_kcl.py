"""The Kinesis Client Library reads a stream through its DynamoDB adapter, as most consumers of streams do.

The program is `compat-tests/java/kcl`; `cargo xtask kcl` builds it. The library keeps leases in tables of its own, makes
a global index over them while they are in use, and elects a leader by a lock: this is a test of much more than streams.
"""

from __future__ import annotations

import os
import subprocess
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from conftest import MakeTable, unused_name
from server import Target
from stream_reader import shards_of

pytestmark = [
    pytest.mark.needs_kcl,
    pytest.mark.differs_from_dynamodb_local("its ARNs name a region that the adapter does not know"),
]

# The library waits for half a minute before it begins, most of it at random.
CONSUMER_SECONDS = 150


@dataclass(frozen=True)
class Seen:
    """A record as the consumer has printed it."""

    shard: str
    number: int
    event: str
    keys: str


@dataclass(frozen=True)
class Run:
    """What one run of the consumer has printed."""

    lines: list[list[str]]

    @property
    def records(self) -> list[Seen]:
        """The records, in the order in which they came."""
        return [
            Seen(shard=line[1], number=int(line[2]), event=line[3], keys=line[4])
            for line in self.lines
            if line[0] == "record"
        ]

    def place(self, word: str, shard: str) -> int | None:
        """Where the consumer has begun or ended a shard, if it has."""
        return next((at for at, line in enumerate(self.lines) if line[:2] == [word, shard]), None)


class Consumer:
    """The program, on one stream and with one lease table."""

    def __init__(self, target: Target, table: str, leases: str, folder: Path) -> None:
        self.target = target
        self.table = table
        self.leases = leases
        self.folder = folder

    def start(self, worker: str, count: int) -> subprocess.Popen[bytes]:
        """Starts a worker that ends when it has seen so many records."""
        home = Path(os.environ["STATOR_KCL"])
        arguments = [self.target.endpoint, self.table, self.leases, worker, str(count), str(CONSUMER_SECONDS)]
        with (
            (self.folder / f"{worker}.out").open("wb") as out,
            (self.folder / f"{worker}.err").open("wb") as err,
        ):
            return subprocess.Popen(
                [
                    "java",
                    "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
                    "-cp",
                    f"{home / 'kcl-consumer.jar'}:{home / 'lib' / '*'}",
                    "stator.KclConsumer",
                    *arguments,
                ],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                env={
                    "PATH": os.environ["PATH"],
                    "AWS_ACCESS_KEY_ID": self.target.access_key_id,
                    "AWS_SECRET_ACCESS_KEY": self.target.secret_access_key,
                    "AWS_REGION": self.target.region,
                },
            )

    def finish(self, worker: str, process: subprocess.Popen[bytes]) -> Run:
        """Waits for a worker to end and returns what it has printed."""
        try:
            status = process.wait(timeout=CONSUMER_SECONDS + 60)
        finally:
            process.kill()
            process.wait()
        said = (self.folder / f"{worker}.out").read_text()
        complaints = (self.folder / f"{worker}.err").read_text()[-4000:]
        assert status == 0, f"{said[-1000:]}\n{complaints}"
        return Run([line.split(" ") for line in said.splitlines()])


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
    by_item: dict[str, list[Seen]] = defaultdict(list)
    for record in run.records:
        by_item[record.keys].append(record)
    for records in by_item.values():
        numbers = [record.number for record in records]
        assert numbers == sorted(set(numbers))
    for shard in shards:
        begun = run.place("begin", shard["ShardId"])
        parent = shard.get("ParentShardId")
        if begun is None or parent is None or run.place("begin", parent) is None:
            continue
        ended = run.place("end", parent)
        assert ended is not None and ended < begun, f"{shard['ShardId']} before the end of {parent}"


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

"""The Kinesis Client Library reads a stream of a cluster whose shards are replaced and whose nodes are killed meanwhile.

A writer goes on all the time, through a balancer with boto3's default retries; so does the one consumer, which is never
started again. It has to see each record once, parents before children, and what is done to an item in order. Run by
`cargo xtask kcl --cluster`, which shows the line of figures at the end.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from conftest import create_table, wait_for
from demo_cluster import Balancer, DemoCluster
from kcl import Consumer, Run, check_parents_first, records_by_item
from server import Target
from stream_reader import iterator, read_on, shards_of

pytestmark = [pytest.mark.needs_kcl, pytest.mark.needs_stator_binary]

TABLE = "followed"
LEASES = "follower"
WORKER = "one"
SHARD_AGE_MS = 10_000
ITEMS = 50
WRITES_PER_SECOND = 40
# Shards that have to end while somebody writes: a stream has four at a time.
GENERATIONS = 4
SHARDS_AT_ONCE = 4
WAIT_SECONDS = 300
# It is ended when it has seen what it has to see, or has failed.
CONSUMER_SECONDS = 900
CONSUMER_COUNT = 1_000_000_000


class Writer(threading.Thread):
    """Counts in one item after the other, at a rate, until it is told to stop."""

    def __init__(self, client: Any) -> None:
        super().__init__(name="writer")
        self._client = client
        self._stop_asked = threading.Event()
        self.acknowledged = 0
        self.slowest = 0.0
        self.error: Exception | None = None

    def run(self) -> None:
        """Works; the first error ends it and is kept."""
        try:
            due = time.monotonic()
            while not self._stop_asked.wait(max(0.0, due - time.monotonic())):
                start = time.monotonic()
                self._client.update_item(
                    TableName=TABLE,
                    Key={"pk": {"S": f"item-{self.acknowledged % ITEMS}"}},
                    UpdateExpression="ADD v :one",
                    ExpressionAttributeValues={":one": {"N": "1"}},
                )
                self.acknowledged += 1
                self.slowest = max(self.slowest, time.monotonic() - start)
                due += 1 / WRITES_PER_SECOND
        except Exception as error:
            self.error = error

    def stop(self) -> None:
        """Lets it finish what it does, and waits."""
        self._stop_asked.set()
        self.join()


class Following:
    """The consumer while it runs."""

    def __init__(self, consumer: Consumer) -> None:
        self._consumer = consumer
        self._process = consumer.start(WORKER, CONSUMER_COUNT)

    @property
    def run(self) -> Run:
        """What it has printed; it must not have ended."""
        status = self._process.poll()
        assert status is None, f"it ended with {status}: {self._consumer.complaints(WORKER)}"
        return self._consumer.so_far(WORKER)

    def complaints(self) -> str:
        """The end of its standard error."""
        return self._consumer.complaints(WORKER)

    def __enter__(self) -> Following:
        return self

    def __exit__(self, *error: object) -> None:
        self._process.kill()
        self._process.wait()


@pytest.fixture
def cluster(binary: str, tmp_path: Path) -> Iterator[DemoCluster]:
    """Three nodes whose streams get new shards every few seconds."""
    upkeep = f"\n[upkeep]\nshard_age_ms = {SHARD_AGE_MS}\n"
    with DemoCluster(binary, tmp_path / "demo", upkeep) as running:
        yield running


@pytest.fixture
def balancer(cluster: DemoCluster) -> Iterator[Balancer]:
    """What clients connect to."""
    with Balancer(cluster.addresses) as running:
        yield running


def consumer_of(cluster: DemoCluster, balancer: Balancer, folder: Path) -> Consumer:
    """The consumer, by way of the balancer."""
    ready = cluster.ready
    target = Target(
        endpoint=f"https://{balancer.address[0]}:{balancer.address[1]}",
        region=ready["region"],
        access_key_id=ready["access_key_id"],
        secret_access_key=ready["secret_access_key"],
    )
    return Consumer(target, TABLE, LEASES, folder, Path(ready["ca_file"]), CONSUMER_SECONDS)


def kill_all_in_turn(cluster: DemoCluster, following: Following, writer: Writer) -> None:
    """Kills each node once, each as soon as another generation of shards has been read to its end."""

    def ended(count: int) -> bool:
        assert writer.error is None, writer.error
        time.sleep(0.2)
        return len(following.run.shards("end")) >= count

    for place in range(len(cluster.addresses)):
        wait_for(f"generation {place} to end", lambda: ended(place * SHARDS_AT_ONCE + 1), WAIT_SECONDS)
        cluster.kill(place)
        cluster.wait_until_back(place)
    wait_for("the last generation to end", lambda: ended(GENERATIONS * SHARDS_AT_ONCE), WAIT_SECONDS)


def last_of(following: Following, writer: Writer) -> Run:
    """Waits until the consumer has seen all that was written and the end of every shard with a record of it, so that
    nothing can come a second time from those."""

    def complete() -> Run | None:
        time.sleep(0.2)
        run = following.run
        records = run.records
        seen = {(record.shard, record.number) for record in records}
        is_over = {record.shard for record in records} <= set(run.shards("end"))
        return run if is_over and len(seen) >= writer.acknowledged else None

    run: Run = wait_for("the last records and the ends of their shards", complete, WAIT_SECONDS)
    return run


def places_of(streams: Any, arn: str) -> list[tuple[str, int]]:
    """Where the records of a stream are: shard and number."""
    places = []
    for shard in (shard["ShardId"] for shard in shards_of(streams, arn)):
        records, _ = read_on(streams, iterator(streams, arn, shard))
        places += [(shard, int(record["dynamodb"]["SequenceNumber"])) for record in records]
    return places


def check_records(run: Run, places: list[tuple[str, int]], acknowledged: int) -> None:
    """Each record of the stream once, and the states of each item one after the other."""
    seen = [(record.shard, record.number) for record in run.records]
    assert len(seen) == len(set(seen)), "a record came twice"
    assert sorted(seen) == sorted(places)
    assert len(seen) == acknowledged
    for keys, records in records_by_item(run).items():
        expected = [f"{keys},v={turn + 1}" for turn in range(len(records))]
        assert [record.image for record in records] == expected
        assert [record.event for record in records] == ["INSERT"] + ["MODIFY"] * (len(records) - 1)


def test_each_record_is_seen_once_while_shards_are_replaced_and_nodes_are_killed(
    cluster: DemoCluster, balancer: Balancer, tmp_path: Path
) -> None:
    client = cluster.client(balancer.address)
    streams = cluster.client(balancer.address, "dynamodbstreams")
    stream = {"StreamEnabled": True, "StreamViewType": "NEW_IMAGE"}
    arn = create_table(client, TABLE, StreamSpecification=stream)["LatestStreamArn"]
    own = cluster.client(balancer.address)
    writer = Writer(own)
    begun = time.monotonic()
    writer.start()
    with Following(consumer_of(cluster, balancer, tmp_path)) as following:
        try:
            kill_all_in_turn(cluster, following, writer)
        finally:
            writer.stop()
        assert writer.error is None
        run = last_of(following, writer)

    check_records(run, places_of(streams, arn), writer.acknowledged)
    children = check_parents_first(run, shards_of(streams, arn))
    assert children >= GENERATIONS * SHARDS_AT_ONCE - SHARDS_AT_ONCE
    figures = {
        "records": len(run.records),
        "shards_with_records": len({record.shard for record in run.records}),
        "shards_ended": len(run.shards("end")),
        "children_behind_their_parents": children,
        "leases_lost": len(run.shards("lost")),
        "nodes_killed": len(cluster.addresses),
        "slowest_write_s": round(writer.slowest, 2),
        "seconds": round(time.monotonic() - begun),
    }
    print(f"\nkcl: {json.dumps(figures)}")
    for client_of in (client, streams, own):
        client_of.close()

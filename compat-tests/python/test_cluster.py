"""What a user of boto3 notices when nodes of a cluster are killed: nothing, with boto3's default retries."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import pytest

from conftest import create_table
from demo_cluster import Balancer, DemoCluster

WRITERS = 4
TABLE = "killed"
BETWEEN_KILLS_SECONDS = 2.0


class Writer(threading.Thread):
    """Puts items and counts them in one counter of its own and one that all share, until it is told to stop."""

    def __init__(self, client: Any, name: str) -> None:
        super().__init__(name=name)
        self._client = client
        self._stop_asked = threading.Event()
        self.acknowledged = 0
        self.slowest = 0.0
        self.error: Exception | None = None

    def run(self) -> None:
        """Works; the first error ends it and is kept."""
        try:
            while not self._stop_asked.is_set():
                start = time.monotonic()
                self._write(self.acknowledged)
                self.acknowledged += 1
                self.slowest = max(self.slowest, time.monotonic() - start)
        except Exception as error:
            self.error = error

    def _write(self, number: int) -> None:
        item = {"pk": {"S": f"{self.name}-{number}"}, "number": {"N": str(number)}}
        self._client.put_item(TableName=TABLE, Item=item, ConditionExpression="attribute_not_exists(pk)")
        for counter in (f"counter-{self.name}", "counter"):
            self._client.update_item(
                TableName=TABLE,
                Key={"pk": {"S": counter}},
                UpdateExpression="ADD hits :one",
                ExpressionAttributeValues={":one": {"N": "1"}},
            )

    def stop(self) -> None:
        """Lets it finish what it does, and waits."""
        self._stop_asked.set()
        self.join()


def hits(client: Any, counter: str) -> int:
    """What a counter says."""
    got = client.get_item(TableName=TABLE, Key={"pk": {"S": counter}}, ConsistentRead=True)
    return int(got["Item"]["hits"]["N"])


@pytest.mark.needs_stator_binary
def test_clients_with_default_retries_notice_no_kill(binary: str, tmp_path: Path) -> None:
    with DemoCluster(binary, tmp_path / "demo") as cluster, Balancer(cluster.addresses) as balancer:
        client = cluster.client(balancer.address)
        create_table(client, TABLE)
        clients = [cluster.client(balancer.address) for _ in range(WRITERS)]
        writers = [Writer(own, f"writer-{number}") for number, own in enumerate(clients)]
        for writer in writers:
            writer.start()
        try:
            for place in range(len(cluster.addresses)):
                time.sleep(BETWEEN_KILLS_SECONDS)
                cluster.kill(place)
                cluster.wait_until_back(place)
            time.sleep(BETWEEN_KILLS_SECONDS)
        finally:
            for writer in writers:
                writer.stop()
        print([(writer.acknowledged, round(writer.slowest, 3)) for writer in writers])
        assert [writer.error for writer in writers] == [None] * WRITERS
        for writer in writers:
            assert writer.acknowledged > 0
            assert hits(client, f"counter-{writer.name}") == writer.acknowledged
        assert hits(client, "counter") == sum(writer.acknowledged for writer in writers)
        pages = client.get_paginator("scan").paginate(TableName=TABLE, ConsistentRead=True)
        there = {item["pk"]["S"] for page in pages for item in page["Items"]}
        for writer in writers:
            assert {f"{writer.name}-{number}" for number in range(writer.acknowledged)} <= there
        for own in [client, *clients]:
            own.close()

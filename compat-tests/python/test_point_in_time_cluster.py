"""Point-in-time recovery on three nodes, with a `kill -9` under writes and during a restore."""

from __future__ import annotations

import random
import time
from datetime import datetime, timezone
from pathlib import Path

import pytest

from conftest import create_table, wait_for
from demo_cluster import Balancer, DemoCluster
from test_backups import write
from test_point_in_time import (
    Writers,
    check_restored,
    enable,
    open_accounts,
    restored,
    seconds_between,
    wait_until_active,
    wait_until_restorable,
)

TABLE = "kept"
SECONDS = 12
ROWS = 3_000


@pytest.mark.needs_stator_binary
def test_random_seconds_are_restored_though_nodes_are_killed(binary: str, tmp_path: Path) -> None:
    seed = int.from_bytes(random.randbytes(4))
    print(f"seed {seed}")
    dice = random.Random(seed)
    # Slow enough that there is something to be killed.
    pace = f'\n[backup]\ndirectory = "{tmp_path / "archive"}"\nbytes_per_second = 1048576\n'
    with DemoCluster(binary, tmp_path / "demo", pace) as cluster, Balancer(cluster.addresses) as balancer:
        client = cluster.client(balancer.address)
        create_table(client, TABLE)
        open_accounts(client, TABLE)
        write(client, TABLE, ROWS)
        earliest = enable(client, TABLE)
        clients = [cluster.client(balancer.address) for _ in range(4)]
        wait_for("the first moment", lambda: datetime.now(timezone.utc) > earliest)
        begun = time.time()
        with Writers(TABLE, clients, seed) as writers:
            wait_for("some writes", lambda: time.time() > begun + SECONDS / 3 or writers.errors, 60)
            cluster.kill(0)
            wait_for("some more", lambda: time.time() > begun + 2 * SECONDS / 3 or writers.errors, 60)
            cluster.wait_until_back(0)
            wait_for("the last ones", lambda: time.time() > begun + SECONDS or writers.errors, 60)
        moments = seconds_between(begun, time.time(), 5, dice)
        assert len(moments) == 5
        assert all(len(record.pair) > 10 for record in writers.records)
        wait_until_restorable(client, TABLE, moments[-1])
        for moment in moments[:4]:
            check_restored(client, restored(client, TABLE, moment), writers.records, moment, ROWS)
        client.restore_table_to_point_in_time(
            SourceTableName=TABLE, TargetTableName="killed", RestoreDateTime=moments[4]
        )
        # One of them leads the metadata, because the first node was killed before.
        for place in (1, 2):
            cluster.kill(place)
            cluster.wait_until_back(place)
        wait_until_active(client, "killed")
        check_restored(client, "killed", writers.records, moments[4], ROWS)
        for own in [client, *clients]:
            own.close()

"""Backups of a cluster of three nodes under transactions, with a `kill -9` during a backup and during a restore."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from conftest import create_table, wait_for
from demo_cluster import Balancer, DemoCluster
from test_backups import Clients, available, check_moment, items, open_accounts, restored, write

TABLE = "bank"
CLIENTS = 3
ROWS = 4_000


@pytest.mark.needs_stator_binary
def test_a_moment_is_kept_and_restored_though_nodes_are_killed(binary: str, tmp_path: Path) -> None:
    archive = tmp_path / "archive"
    # Slow enough that there is something to be killed.
    backup = f'\n[backup]\ndirectory = "{archive}"\nbytes_per_second = 1048576\n'
    with (
        DemoCluster(binary, tmp_path / "demo", backup) as cluster,
        Balancer(cluster.addresses) as balancer,
    ):
        client = cluster.client(balancer.address)
        create_table(client, TABLE)
        open_accounts(client, TABLE)
        write(client, TABLE, ROWS)
        clients = [cluster.client(balancer.address) for _ in range(CLIENTS)]
        arns = []
        with Clients(TABLE, clients) as working:
            for number in range(2):
                seen = working.transfers
                wait_for("transfers", lambda: working.transfers > seen or working.errors, 60)
                made = client.create_backup(TableName=TABLE, BackupName=f"backup-{number}")
                arns.append(made["BackupDetails"]["BackupArn"])
                if number == 0:
                    wait_for("the backup to begin", lambda: has_begun(archive, arns[-1]), 60)
                    cluster.kill(0)
                    cluster.wait_until_back(0)
                available(client, arns[-1])
        compared = ranges_compared(binary, cluster)
        for arn in arns:
            check(client, restored(client, arn))
        wait_for("the comparison", lambda: ranges_compared(binary, cluster) > compared, 60)
        client.restore_table_from_backup(TargetTableName="killed", BackupArn=arns[0])
        # One of them leads the metadata, because the first node was killed before.
        for place in (1, 2):
            cluster.kill(place)
            cluster.wait_until_back(place)
        wait_for("the restore", lambda: is_active(client, "killed"), 120)
        check(client, "killed")
        for own in [client, *clients]:
            own.close()


def ranges_compared(binary: str, cluster: DemoCluster) -> int:
    """How many ranges the nodes have compared on all their replicas since they were started."""
    command = [binary, "repair", "--status", "--json", "--config", str(cluster.configurations[0])]
    told = subprocess.run(command, capture_output=True, timeout=60, check=True)
    return sum(node["ranges"] for node in json.loads(told.stdout).values() if node)


def has_begun(archive: Path, arn: str) -> bool:
    """Whether somebody is making a backup, or has made it."""
    name = arn.rsplit("/", 1)[1]
    return (archive / "intents" / name).exists() or (archive / "backups" / name).exists()


def is_active(client: Any, table: str) -> bool:
    """Whether a table can be used."""
    return bool(client.describe_table(TableName=table)["Table"]["TableStatus"] == "ACTIVE")


def check(client: Any, table: str) -> None:
    """All rows are there, and the accounts are those of a moment."""
    found = items(client, table, ConsistentRead=True)
    assert sum("n" in item for item in found) == ROWS
    check_moment(found, CLIENTS)

"""Backups of a whole cluster: made of three nodes beside transactions over two tables, checked, and restored into
clusters of one and of five nodes with all settings and identities, with `kill -9` during a backup and a restore."""

from __future__ import annotations

import json
import shutil
import subprocess
import threading
from pathlib import Path
from typing import Any

import boto3
import botocore.config
import pytest
from botocore.exceptions import ClientError

from conftest import active, create_table, definitions, index, keys_of, wait_for
from demo_cluster import Balancer, DemoCluster, configurations
from identity import error_of, is_allowed, policy, trust
from test_backups import RETRIED, items, write

pytestmark = pytest.mark.needs_stator_binary

ACCOUNTS = 10
MONEY = 100 * ACCOUNTS
ROWS = 6_000
MOVERS = 3


class Backups:
    """`stator backup`, as whoever runs a cluster types it."""

    def __init__(self, binary: str, directory: Path) -> None:
        self._command = [binary, "backup"]
        self._status = [binary, "status", "--json"]
        self._config = ["--config", str(configurations(directory)[0])]

    def begin(self, *arguments: str) -> subprocess.Popen[str]:
        """Begins a command."""
        return subprocess.Popen(
            [*self._command, *arguments, *self._config],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *arguments: str) -> tuple[int, str]:
        """Runs a command, whatever comes of it: how it ended, and what it said."""
        return ended(self.begin(*arguments))

    def json(self, *arguments: str) -> list[dict[str, Any]]:
        """What a command that must succeed prints, line by line."""
        code, said = self.run(*arguments, "--json")
        assert code == 0, said
        return [json.loads(line) for line in said.splitlines()]

    def leader(self) -> int:
        """The place of the node that leads the metadata, which makes and restores backups."""
        told = subprocess.run([*self._status, *self._config], capture_output=True, timeout=60, check=True)
        [leader] = [group["leader"] for group in json.loads(told.stdout)["groups"] if group["range"] is None]
        return int(leader) - 1


def ended(process: subprocess.Popen[str]) -> tuple[int, str]:
    """Waits for a command."""
    out, error = process.communicate(timeout=240)
    return process.returncode, out + error


class Movers:
    """Move money from accounts of one table to those of another, in transactions, until they are told to stop."""

    def __init__(self, clients: list[Any]) -> None:
        self._stop_asked = threading.Event()
        self.moves = 0
        self.errors: list[Exception] = []
        self._threads = [
            threading.Thread(target=self._work, args=(client, place)) for place, client in enumerate(clients)
        ]
        for thread in self._threads:
            thread.start()

    def _work(self, client: Any, place: int) -> None:
        number = place
        try:
            while not self._stop_asked.is_set():
                number += 1
                move(client, number % ACCOUNTS, (3 * number) % ACCOUNTS, 1 if number % 3 else -1)
                self.moves += 1
        except Exception as error:
            self.errors.append(error)

    def __enter__(self) -> Movers:
        return self

    def __exit__(self, *_: object) -> None:
        self._stop_asked.set()
        for thread in self._threads:
            thread.join()
        assert not self.errors


def move(client: Any, source: int, sink: int, money: int) -> None:
    """Moves money, or does nothing when somebody else is at the accounts."""

    def change(table: str, account: int, by: int) -> dict[str, Any]:
        return {
            "Update": {
                "TableName": table,
                "Key": {"pk": {"S": f"account-{account}"}},
                "UpdateExpression": "ADD money :money",
                "ExpressionAttributeValues": {":money": {"N": str(by)}},
            }
        }

    try:
        client.transact_write_items(
            TransactItems=[change("left", source, -money), change("right", sink, money)]
        )
    except ClientError as error:
        if error.response["Error"]["Code"] not in RETRIED:
            raise


def make_tables(client: Any) -> dict[str, Any]:
    """Two tables of accounts, one with rows beside them; one with all that a table can have, and what it is like."""
    for table in ("left", "right"):
        create_table(client, table)
        for account in range(ACCOUNTS):
            item = {"pk": {"S": f"account-{account}"}, "money": {"N": str(MONEY // ACCOUNTS // 2)}}
            client.put_item(TableName=table, Item=item)
    write(client, "left", ROWS)
    units = {"ReadCapacityUnits": 300, "WriteCapacityUnits": 300}
    client.create_table(
        TableName="full",
        KeySchema=keys_of("pk", "sk"),
        AttributeDefinitions=definitions("pk:S", "sk:N", "a:S"),
        GlobalSecondaryIndexes=[index("by-a", "a") | {"ProvisionedThroughput": units}],
        LocalSecondaryIndexes=[index("local", "pk", "a")],
        ProvisionedThroughput=units,
        StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"},
        Tags=[{"Key": "team", "Value": "red"}],
        TableClass="STANDARD_INFREQUENT_ACCESS",
        DeletionProtectionEnabled=True,
    )
    arn = active(client, "full")["TableArn"]
    client.put_resource_policy(
        ResourceArn=arn,
        Policy=json.dumps(policy("Allow", "dynamodb:Scan", arn, Principal={"AWS": "*"})),
    )
    client.update_time_to_live(
        TableName="full", TimeToLiveSpecification={"Enabled": True, "AttributeName": "due"}
    )
    client.update_continuous_backups(
        TableName="full",
        PointInTimeRecoverySpecification={"PointInTimeRecoveryEnabled": True, "RecoveryPeriodInDays": 7},
    )
    for number in range(40):
        item = {"pk": {"S": f"p{number % 3}"}, "sk": {"N": str(number)}, "a": {"S": f"a{number % 5}"}}
        client.put_item(TableName="full", Item=item)
    return settled(client)


def settings(client: Any) -> dict[str, Any]:
    """What is to be the same of the full table in every cluster."""
    table = client.describe_table(TableName="full")["Table"]
    kept = ("KeySchema", "BillingModeSummary", "StreamSpecification", "DeletionProtectionEnabled")
    found: dict[str, Any] = {name: table.get(name) for name in (*kept, "TableClassSummary")}
    found["throughput"] = {
        name: table["ProvisionedThroughput"][name] for name in ("ReadCapacityUnits", "WriteCapacityUnits")
    }
    for kind in ("GlobalSecondaryIndexes", "LocalSecondaryIndexes"):
        found[kind] = [(one["IndexName"], one["KeySchema"], one["Projection"]) for one in table[kind]]
    found["tags"] = client.list_tags_of_resource(ResourceArn=table["TableArn"])["Tags"]
    found["policy"] = client.get_resource_policy(ResourceArn=table["TableArn"])["Policy"]
    due = client.describe_time_to_live(TableName="full")["TimeToLiveDescription"]
    found["due"] = (due.get("TimeToLiveStatus"), due.get("AttributeName"))
    history = client.describe_continuous_backups(TableName="full")["ContinuousBackupsDescription"]
    history = history["PointInTimeRecoveryDescription"]
    found["history"] = (history["PointInTimeRecoveryStatus"], history.get("RecoveryPeriodInDays"))
    return found


def settled(client: Any) -> dict[str, Any]:
    """The same when all that was asked for is complete."""

    def look() -> dict[str, Any] | None:
        found = settings(client)
        status = client.describe_table(TableName="full")["Table"]["TableStatus"]
        return found if found["due"][0] == "ENABLED" and status == "ACTIVE" else None

    found: dict[str, Any] = wait_for("the settings of the full table", look, 60)
    return found


def make_identities(cluster: DemoCluster) -> dict[str, str]:
    """A user with a group, a managed policy and a role that it may assume; its access key."""
    iam = cluster.client(cluster.addresses[0], "iam")
    arn = iam.create_user(UserName="ann")["User"]["Arn"]
    iam.create_group(GroupName="readers")
    iam.add_user_to_group(GroupName="readers", UserName="ann")
    made = iam.create_policy(
        PolicyName="read", PolicyDocument=json.dumps(policy("Allow", "dynamodb:GetItem"))
    )
    iam.attach_group_policy(GroupName="readers", PolicyArn=made["Policy"]["Arn"])
    iam.put_user_policy(
        UserName="ann", PolicyName="assume", PolicyDocument=json.dumps(policy("Allow", "sts:AssumeRole"))
    )
    iam.create_role(RoleName="writer", AssumeRolePolicyDocument=trust(arn))
    iam.put_role_policy(
        RoleName="writer", PolicyName="write", PolicyDocument=json.dumps(policy("Allow", "dynamodb:PutItem"))
    )
    key: dict[str, str] = iam.create_access_key(UserName="ann")["AccessKey"]
    iam.close()
    return key


def as_user(cluster: DemoCluster, key: dict[str, str], service: str = "dynamodb") -> Any:
    """A client with the credentials of a user or a session."""
    host, port = cluster.addresses[0]
    return boto3.session.Session().client(
        service,
        endpoint_url=f"https://{host}:{port}",
        region_name=cluster.ready["region"],
        aws_access_key_id=key["AccessKeyId"],
        aws_secret_access_key=key["SecretAccessKey"],
        aws_session_token=key.get("SessionToken"),
        verify=cluster.ready["ca_file"],
        config=botocore.config.Config(retries={"total_max_attempts": 5}),
    )


def check(cluster: DemoCluster, client: Any, expected: dict[str, Any], key: dict[str, str]) -> None:
    """All is there: items, sums over both tables, settings, and who may what."""
    left, right = (items(client, table, ConsistentRead=True) for table in ("left", "right"))
    assert sum("n" in item for item in left) == ROWS
    accounts = [item for item in [*left, *right] if item["pk"]["S"].startswith("account-")]
    assert len(accounts) == 2 * ACCOUNTS
    assert sum(int(item["money"]["N"]) for item in accounts) == MONEY
    assert settled(client) == expected
    full = items(client, "full", ConsistentRead=True)
    assert len(full) == 40
    assert items(client, "full", IndexName="by-a") == full == items(client, "full", IndexName="local")
    with pytest.raises(ClientError, match="protected against deletion"):
        client.delete_table(TableName="full")

    place = {"pk": {"S": "account-0"}}
    ann = as_user(cluster, key)
    assert is_allowed(ann.get_item, TableName="left", Key=place)
    assert not is_allowed(ann.put_item, TableName="left", Item=place)
    assert is_allowed(ann.scan, TableName="full"), "the table's own policy"
    role = "arn:aws:iam::000000000000:role/writer"
    session = as_user(cluster, key, "sts").assume_role(RoleArn=role, RoleSessionName="s-1")["Credentials"]
    assert is_allowed(as_user(cluster, session).put_item, TableName="right", Item={"pk": {"S": "by-role"}})
    assert error_of(as_user(cluster, {**key, "SecretAccessKey": "x" * 40}).list_tables)[0] != ""


def begun(archive: Path, known: set[str]) -> bool:
    """Whether somebody is making a backup, or has made it."""
    found = [*(archive / "intents").glob("*"), *(archive / "backups").glob("*")]
    return any(path.name not in known and not path.name.startswith(".") for path in found)


def section(archive: Path) -> str:
    """Slow enough that there is something to be killed."""
    return f'\n[backup]\ndirectory = "{archive}"\nbytes_per_second = 1048576\n'


def back_up(
    cluster: DemoCluster, balancer: Balancer, backups: Backups, archive: Path
) -> list[dict[str, Any]]:
    """Two backups of the cluster, beside transactions, the first one with a node killed; what the archive has."""
    clients = [cluster.client(balancer.address) for _ in range(MOVERS)]
    with Movers(clients) as movers:
        wait_for("moves", lambda: movers.moves > 5 or movers.errors, 60)
        making = backups.begin("create", "--name", "first")
        wait_for("the backup to begin", lambda: begun(archive, set()), 60)
        with pytest.raises(ClientError, match="ResourceInUse"):
            clients[0].delete_table(TableName="right")
        maker = backups.leader()
        cluster.kill(maker)
        cluster.wait_until_back(maker)
        code, said = ended(making)
        assert code == 0 and "3 tables, 4 identities" in said, said
        seen = movers.moves
        wait_for("more moves", lambda: movers.moves > seen + 5 or movers.errors, 60)
        code, said = backups.run("create", "--name", "second")
        assert code == 0, said
    for own in clients:
        own.close()
    first, second = backups.json("list")
    assert (first["kind"], first["name"], second["name"]) == ("cluster", "first", "second")
    assert second["copied_bytes"] * 10 < first["copied_bytes"], "little has changed"
    [described] = backups.json("describe", second["id"])
    assert [table["table"] for table in described["tables"]] == ["full", "left", "right"]
    assert described["identities"] == 4
    [status] = backups.json("status")
    assert [backup["status"] for backup in status["backups"]] == ["available"] * 2
    return [first, second]


def check_archive(binary: str, backups: Backups, archive: Path, tmp_path: Path) -> None:
    """`verify` finds both whole, and a byte that is another one."""
    code, said = backups.run("verify")
    assert code == 0 and said.count("all as written") == 2, said
    broken = tmp_path / "broken"
    shutil.copytree(archive, broken)
    largest = max(broken.glob("chunks/*/*"), key=lambda path: path.stat().st_size)
    contents = bytearray(largest.read_bytes())
    contents[len(contents) // 2] ^= 1
    largest.write_bytes(contents)
    code, said = backups.run("verify", "--archive", str(broken))
    assert code == 1 and "cannot be restored" in said, said


def test_a_whole_cluster_comes_back_in_clusters_of_other_sizes(binary: str, tmp_path: Path) -> None:
    archive = tmp_path / "archive"
    source = tmp_path / "source"
    with DemoCluster(binary, source, section(archive)) as cluster, Balancer(cluster.addresses) as balancer:
        client = cluster.client(balancer.address)
        expected = make_tables(client)
        key = make_identities(cluster)
        backups = Backups(binary, source)
        first, second = back_up(cluster, balancer, backups, archive)
        check_archive(binary, backups, archive, tmp_path)
        client.close()
    secrets = key["SecretAccessKey"].encode()
    assert not any(secrets in path.read_bytes() for path in archive.rglob("*") if path.is_file())

    # Another master key, so that the old one has to be brought along.
    older = f'older_master_keys = ["{source / "node-1" / "master.key"}"]'
    for nodes in (1, 5):
        copy = tmp_path / f"archive-{nodes}"
        shutil.copytree(archive, copy)
        directory = tmp_path / f"target-{nodes}"
        with DemoCluster(binary, directory, section(copy), older, nodes) as cluster:
            client = cluster.client(cluster.addresses[0])
            backups = Backups(binary, directory)
            wait_for("the backups of the other cluster", lambda: len(status_of(backups)["backups"]) == 2, 60)
            if nodes == 1:
                restore_alone(client, backups, first["id"])
            else:
                restore_killed(cluster, backups, second["id"])
            check(cluster, client, expected, key)
            client.close()


def status_of(backups: Backups) -> dict[str, Any]:
    """What `stator backup status` says; nothing while nobody answers."""
    code, said = backups.run("status", "--json")
    found: dict[str, Any] = json.loads(said) if code == 0 else {"backups": [], "restore": None}
    return found


def restore_alone(client: Any, backups: Backups, backup: str) -> None:
    """Into a cluster that has a table of the same name, and then has none."""
    create_table(client, "left")
    code, said = backups.run("restore", backup)
    assert code == 1 and "this cluster has table left already" in said, said
    code, said = backups.run("restore", backup, "--table", "none")
    assert code == 1 and "has no table none" in said, said
    client.delete_table(TableName="left")
    code, said = backups.run("restore", backup)
    assert code == 0 and "is restored: 3 tables, 4 identities" in said, said
    code, said = backups.run("restore", backup)
    assert code == 1 and "user ann" in said, said
    code, said = backups.run("restore", backup, "--skip-existing")
    assert code == 0 and "left alone" in said and "table full" in said, said


def restore_killed(cluster: DemoCluster, backups: Backups, backup: str) -> None:
    """Into a cluster whose nodes are killed while they do it."""
    code, said = backups.run("restore", backup, "--no-wait")
    assert code == 0, said

    def is_under_way() -> bool:
        restore = status_of(backups)["restore"]
        return restore is not None and restore["phase"] in ("items", "complete")

    wait_for("the tables", is_under_way, 60)
    for _ in range(2):
        maker = backups.leader()
        cluster.kill(maker)
        cluster.wait_until_back(maker)

    def is_complete() -> bool:
        restore = status_of(backups)["restore"]
        return restore is not None and restore["phase"] == "complete"

    wait_for("the restore", is_complete, 180)

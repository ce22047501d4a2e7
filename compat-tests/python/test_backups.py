"""On-demand backups: made while a table is used, listed, restored, deleted; on one node, across restarts and `kill -9`."""

from __future__ import annotations

import json
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from conftest import (
    MakeTable,
    active,
    connect,
    create_table,
    definitions,
    index,
    keys_of,
    unused_name,
    wait_for,
)
from server import Server

pytestmark = pytest.mark.differs_from_dynamodb_local("it has no backups")

ACCOUNTS = 20
MONEY = 100 * ACCOUNTS


def available(client: Any, arn: str) -> dict[str, Any]:
    """Waits until a backup is complete, and describes it."""

    def look() -> dict[str, Any] | None:
        described: dict[str, Any] = client.describe_backup(BackupArn=arn)["BackupDescription"]
        return described if described["BackupDetails"]["BackupStatus"] == "AVAILABLE" else None

    found: dict[str, Any] = wait_for(f"the backup {arn}", look, 60)
    return found


def back_up(client: Any, table: str, name: str = "nightly") -> str:
    """Makes a backup, waits for it, and gives its ARN."""
    arn: str = client.create_backup(TableName=table, BackupName=name)["BackupDetails"]["BackupArn"]
    available(client, arn)
    return arn


def restored(client: Any, arn: str, **overrides: Any) -> str:
    """Restores a backup into a new table, waits for it, and gives its name."""
    name = unused_name()
    client.restore_table_from_backup(TargetTableName=name, BackupArn=arn, **overrides)
    wait_for(
        f"the restore of {name}",
        lambda: client.describe_table(TableName=name)["Table"]["TableStatus"] == "ACTIVE",
        60,
    )
    return name


def items(client: Any, table: str, **more: Any) -> list[dict[str, Any]]:
    """All items of a table or of an index of it, in the order of their keys."""
    pages = client.get_paginator("scan").paginate(TableName=table, **more)
    return sorted(
        (item for page in pages for item in page["Items"]),
        key=lambda item: (str(item["pk"]), str(item.get("sk"))),
    )


def code(refusal: pytest.ExceptionInfo[ClientError]) -> tuple[str, str]:
    """Name and sentence of an error."""
    error = refusal.value.response["Error"]
    return error["Code"], error["Message"]


def test_a_backup_is_described_listed_and_restored(dynamodb: Any, make_table: MakeTable) -> None:
    table = make_table(
        sort="sk:N",
        AttributeDefinitions=definitions("pk:S", "sk:N", "a:S"),
        GlobalSecondaryIndexes=[index("by-a", "a")],
        StreamSpecification={"StreamEnabled": True, "StreamViewType": "KEYS_ONLY"},
    )
    dynamodb.update_time_to_live(
        TableName=table, TimeToLiveSpecification={"Enabled": True, "AttributeName": "due"}
    )
    for number in range(30):
        item = {"pk": {"S": f"p{number % 3}"}, "sk": {"N": str(number)}, "a": {"S": "x" * number or "-"}}
        dynamodb.put_item(TableName=table, Item=item)
    before = items(dynamodb, table)
    arn = back_up(dynamodb, table)
    described = dynamodb.describe_backup(BackupArn=arn)["BackupDescription"]
    details, source = described["BackupDetails"], described["SourceTableDetails"]
    assert details["BackupName"] == "nightly"
    assert (details["BackupType"], details["BackupStatus"]) == ("USER", "AVAILABLE")
    assert arn.startswith(dynamodb.describe_table(TableName=table)["Table"]["TableArn"] + "/backup/")
    assert (source["TableName"], source["ItemCount"], source["BillingMode"]) == (table, 30, "PAY_PER_REQUEST")
    assert source["KeySchema"] == keys_of("pk", "sk")
    assert source["TableSizeBytes"] == details["BackupSizeBytes"] > 0
    features = described["SourceTableFeatureDetails"]
    assert [found["IndexName"] for found in features["GlobalSecondaryIndexes"]] == ["by-a"]
    assert features["StreamDescription"] == {"StreamEnabled": True, "StreamViewType": "KEYS_ONLY"}
    assert features["TimeToLiveDescription"]["AttributeName"] == "due"

    for item in before[:10]:
        dynamodb.delete_item(TableName=table, Key={"pk": item["pk"], "sk": item["sk"]})
    new = restored(dynamodb, arn)
    table_of_new = dynamodb.describe_table(TableName=new)["Table"]
    summary = table_of_new["RestoreSummary"]
    assert (summary["SourceBackupArn"], summary["RestoreInProgress"]) == (arn, False)
    assert summary["RestoreDateTime"] == details["BackupCreationDateTime"]
    assert "StreamSpecification" not in table_of_new
    status = dynamodb.describe_time_to_live(TableName=new)["TimeToLiveDescription"]["TimeToLiveStatus"]
    assert status == "DISABLED"
    assert items(dynamodb, new) == before
    assert items(dynamodb, new, IndexName="by-a") == items(dynamodb, new)
    assert table_of_new["ItemCount"] == 30
    dynamodb.delete_table(TableName=new)


def test_a_restore_may_have_other_settings(dynamodb: Any, make_table: MakeTable) -> None:
    table = make_table(
        sort="sk:S",
        AttributeDefinitions=definitions("pk:S", "sk:S", "a:S"),
        GlobalSecondaryIndexes=[index("by-a", "a"), index("other", "a", projection="KEYS_ONLY")],
        LocalSecondaryIndexes=[index("local", "pk", "a")],
    )
    dynamodb.put_item(TableName=table, Item={"pk": {"S": "p"}, "sk": {"S": "s"}, "a": {"S": "a"}})
    arn = back_up(dynamodb, table)
    units = {"ReadCapacityUnits": 3, "WriteCapacityUnits": 4}
    new = restored(
        dynamodb,
        arn,
        BillingModeOverride="PROVISIONED",
        ProvisionedThroughputOverride=units,
        GlobalSecondaryIndexOverride=[index("by-a", "a") | {"ProvisionedThroughput": units}],
        LocalSecondaryIndexOverride=[],
    )
    described = dynamodb.describe_table(TableName=new)["Table"]
    assert units.items() <= described["ProvisionedThroughput"].items()
    [kept] = described["GlobalSecondaryIndexes"]
    assert kept["IndexName"] == "by-a"
    assert units.items() <= kept["ProvisionedThroughput"].items()
    assert "LocalSecondaryIndexes" not in described
    assert len(items(dynamodb, new, IndexName="by-a")) == 1
    with pytest.raises(ClientError) as refusal:
        override = [index("by-a", "sk", projection="KEYS_ONLY")]
        dynamodb.restore_table_from_backup(
            TargetTableName=unused_name(), BackupArn=arn, GlobalSecondaryIndexOverride=override
        )
    assert code(refusal) == (
        "ValidationException",
        "Invalid Request: Index by-a does not match a secondary index that existed in the source table and "
        "cannot be created during the restore operation",
    )
    dynamodb.delete_table(TableName=new)
    renamed = restored(
        dynamodb,
        arn,
        GlobalSecondaryIndexOverride=[index("anew", "a")],
        LocalSecondaryIndexOverride=[],
    )
    assert len(items(dynamodb, renamed, IndexName="anew")) == 1
    dynamodb.delete_table(TableName=renamed)


def test_lists_have_pages_tables_and_times(dynamodb: Any, make_table: MakeTable) -> None:
    table, other = make_table(), make_table()
    arns = [back_up(dynamodb, table, f"backup-{number}") for number in range(3)]
    of_other = back_up(dynamodb, other)
    pages = dynamodb.get_paginator("list_backups").paginate(TableName=table, PaginationConfig={"PageSize": 2})
    listed = [backup for page in pages for backup in page["BackupSummaries"]]
    assert [backup["BackupArn"] for backup in listed] == arns
    assert [backup["BackupName"] for backup in listed] == ["backup-0", "backup-1", "backup-2"]
    second = listed[1]["BackupCreationDateTime"]
    ends = {"TimeRangeLowerBound": second, "TimeRangeUpperBound": listed[2]["BackupCreationDateTime"]}
    within = dynamodb.list_backups(TableName=table, **ends)["BackupSummaries"]
    assert [backup["BackupArn"] for backup in within] == [arns[1]]
    tomorrow = datetime.now(timezone.utc) + timedelta(days=1)
    assert not dynamodb.list_backups(TableName=table, TimeRangeLowerBound=tomorrow)["BackupSummaries"]
    assert not dynamodb.list_backups(TableName=table, BackupType="SYSTEM")["BackupSummaries"]
    everything = {
        backup["BackupArn"]
        for page in dynamodb.get_paginator("list_backups").paginate(BackupType="ALL")
        for backup in page["BackupSummaries"]
    }
    assert {*arns, of_other} <= everything
    for arn in [*arns, of_other]:
        assert (
            dynamodb.delete_backup(BackupArn=arn)["BackupDescription"]["BackupDetails"]["BackupStatus"]
            == "DELETED"
        )
    assert not dynamodb.list_backups(TableName=table)["BackupSummaries"]


def test_refusals_are_those_of_dynamodb(dynamodb: Any, make_table: MakeTable) -> None:
    with pytest.raises(ClientError) as refusal:
        dynamodb.create_backup(TableName="there-is-none", BackupName="nightly")
    assert code(refusal) == ("TableNotFoundException", "Table not found: there-is-none")
    with pytest.raises(ClientError) as refusal:
        dynamodb.describe_continuous_backups(TableName="there-is-none")
    assert code(refusal) == ("TableNotFoundException", "Table not found: there-is-none")
    table = make_table()
    arn = back_up(dynamodb, table)
    with pytest.raises(ClientError) as refusal:
        dynamodb.restore_table_from_backup(TargetTableName=table, BackupArn=arn)
    assert code(refusal) == ("TableAlreadyExistsException", f"Table already exists: {table}")
    dynamodb.delete_backup(BackupArn=arn)
    for ask in (dynamodb.describe_backup, dynamodb.delete_backup):
        with pytest.raises(ClientError) as refusal:
            ask(BackupArn=arn)
        assert code(refusal) == ("BackupNotFoundException", f"Backup not found: {arn}")
    with pytest.raises(ClientError) as refusal:
        dynamodb.restore_table_from_backup(TargetTableName=unused_name(), BackupArn=arn)
    assert code(refusal) == ("BackupNotFoundException", f"Backup not found: {arn}")


class Clients:
    """Move money between accounts in transactions, and count in two items one after the other, until they are told to
    stop. They try again as long as nobody answers.
    """

    def __init__(self, table: str, clients: list[Any]) -> None:
        self._table = table
        self._stop_asked = threading.Event()
        self.transfers = 0
        self.errors: list[Exception] = []
        threads = [
            threading.Thread(target=self._work, args=(client, place)) for place, client in enumerate(clients)
        ]
        self._threads = threads
        for thread in threads:
            thread.start()

    def _work(self, client: Any, place: int) -> None:
        number = 0
        try:
            while not self._stop_asked.is_set():
                self._transfer(client, (place + number) % ACCOUNTS, (7 * number + place + 1) % ACCOUNTS)
                number += 1
                for which in ("first", "second"):
                    self._put(client, f"{which}-{place}", number)
        except Exception as error:
            self.errors.append(error)

    def _transfer(self, client: Any, source: int, sink: int) -> None:
        if source == sink:
            return
        try:
            client.transact_write_items(
                TransactItems=[added(self._table, source, -1), added(self._table, sink, 1)]
            )
            self.transfers += 1
        except ClientError as error:
            if error.response["Error"]["Code"] not in RETRIED:
                raise

    def _put(self, client: Any, name: str, number: int) -> None:
        item = {"pk": {"S": name}, "number": {"N": str(number)}}
        while not self._stop_asked.is_set():
            try:
                client.put_item(TableName=self._table, Item=item)
                return
            except ClientError as error:
                if error.response["Error"]["Code"] not in RETRIED:
                    raise

    def __enter__(self) -> Clients:
        return self

    def __exit__(self, *_: object) -> None:
        self._stop_asked.set()
        for thread in self._threads:
            thread.join()
        assert not self.errors


RETRIED = (
    "TransactionCanceledException",
    "ServiceUnavailable",
    "InternalServerError",
    "TransactionInProgressException",
)


def added(table: str, account: int, money: int) -> dict[str, Any]:
    """The part of a transaction that changes an account."""
    return {
        "Update": {
            "TableName": table,
            "Key": {"pk": {"S": f"account-{account}"}},
            "UpdateExpression": "ADD money :money",
            "ExpressionAttributeValues": {":money": {"N": str(money)}},
        }
    }


def open_accounts(client: Any, table: str) -> None:
    """Gives every account the same money."""
    for account in range(ACCOUNTS):
        client.transact_write_items(TransactItems=[added(table, account, MONEY // ACCOUNTS)])


def check_moment(found: list[dict[str, Any]], places: int) -> None:
    """The table is one of a moment: no money is lost, and nothing is there without what came before it."""
    by_key = {item["pk"]["S"]: item for item in found}
    accounts = [item for key, item in by_key.items() if key.startswith("account-")]
    assert sum(int(item["money"]["N"]) for item in accounts) == MONEY
    for place in range(places):
        first, second = (
            int(by_key.get(f"{which}-{place}", NOTHING)["number"]["N"]) for which in ("first", "second")
        )
        assert first in (second, second + 1), f"{place}: {first} and {second}"


NOTHING = {"number": {"N": "0"}}


def test_every_backup_beside_transactions_is_of_one_moment(
    target: Any, dynamodb: Any, make_table: MakeTable
) -> None:
    table = make_table()
    open_accounts(dynamodb, table)
    arns = []
    with Clients(table, [connect(target) for _ in range(3)]) as clients:
        for number in range(4):
            seen = clients.transfers
            wait_for("transfers", lambda: clients.transfers > seen or clients.errors)
            arns.append(back_up(dynamodb, table, f"backup-{number}"))
    for arn in arns:
        new = restored(dynamodb, arn)
        check_moment(items(dynamodb, new), 3)
        dynamodb.delete_table(TableName=new)


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[Path]:
    """A directory that outlives processes."""
    yield tmp_path / "data"


@pytest.mark.needs_stator_binary
def test_backups_and_restores_go_on_after_kills(binary: str, directory: Path) -> None:
    rows = 3_000
    with Server(binary, "--data-dir", str(directory)) as server:
        client = connect(server.target)
        create_table(client, "table")
        write(client, "table", rows)
        arn = client.create_backup(TableName="table", BackupName="nightly")["BackupDetails"]["BackupArn"]
        server.kill()
    with Server(binary, "--data-dir", str(directory)) as server:
        client = connect(server.target)
        assert available(client, arn)["SourceTableDetails"]["ItemCount"] == rows
        client.delete_table(TableName="table")
        client.restore_table_from_backup(TargetTableName="new", BackupArn=arn)
        server.kill()
    with Server(binary, "--data-dir", str(directory)) as server:
        client = connect(server.target)
        active(client, "new")
        found = items(client, "new", ConsistentRead=True)
        assert [item["n"]["N"] for item in found] == [str(number) for number in range(rows)]
        # The second one builds on nothing: it is of another table.
        second = back_up(client, "new")
        assert client.delete_backup(BackupArn=arn)
        assert len(items(client, restored(client, second))) == rows
    archive = directory / "backups"
    assert (archive / "keyring").is_file()
    secret = b"needle in the haystack"
    assert not any(secret in file.read_bytes() for file in archive.rglob("*") if file.is_file())


@pytest.mark.needs_stator_binary
def test_a_deleted_table_with_recovery_leaves_a_backup_also_after_kills(binary: str, directory: Path) -> None:
    rows = 3_000
    with Server(binary, "--data-dir", str(directory)) as server:
        client = connect(server.target)
        create_table(client, "table")
        write(client, "table", rows)
        client.update_continuous_backups(
            TableName="table", PointInTimeRecoverySpecification={"PointInTimeRecoveryEnabled": True}
        )
        deleted = client.delete_table(TableName="table")["TableDescription"]
        assert deleted["TableStatus"] == "DELETING"
        with pytest.raises(client.exceptions.ResourceNotFoundException):
            client.put_item(TableName="table", Item={"pk": {"S": "late"}})
        server.kill()
    with Server(binary, "--data-dir", str(directory)) as server:
        client = connect(server.target)
        client.get_waiter("table_not_exists").wait(
            TableName="table", WaiterConfig={"Delay": 1, "MaxAttempts": 60}
        )
        (summary,) = client.list_backups(BackupType="SYSTEM")["BackupSummaries"]
        assert summary["BackupName"] == "table$DeletedTableBackup"
        assert summary["BackupExpiryDateTime"] - summary["BackupCreationDateTime"] == timedelta(days=35)
        found = items(client, restored(client, summary["BackupArn"]), ConsistentRead=True)
        assert [item["n"]["N"] for item in found] == [str(number) for number in range(rows)]
        # Its name is free.
        client.restore_table_from_backup(TargetTableName="table", BackupArn=summary["BackupArn"])
        active(client, "table")


def write(client: Any, table: str, rows: int) -> None:
    """Puts items whose keys sort as their numbers do."""
    for start in range(0, rows, 25):
        puts = [
            {
                "PutRequest": {
                    "Item": {
                        "pk": {"S": f"item-{number:05}"},
                        "n": {"N": str(number)},
                        "text": {"S": "needle in the haystack " + "x" * 400},
                    }
                }
            }
            for number in range(start, min(start + 25, rows))
        ]
        answer = client.batch_write_item(RequestItems={table: puts})
        assert not answer["UnprocessedItems"]


@pytest.mark.needs_stator_binary
def test_what_only_a_deleted_backup_needed_goes(binary: str, directory: Path) -> None:
    with Server(binary, "--data-dir", str(directory)) as server:
        client = connect(server.target)
        create_table(client, "table")
        write(client, "table", 500)
        arn = back_up(client, "table")
        chunks = directory / "backups" / "chunks"
        assert any(file.is_file() for file in chunks.rglob("*"))
        client.delete_backup(BackupArn=arn)
        began = time.monotonic()
        wait_for("the archive to be empty", lambda: not any(file.is_file() for file in chunks.rglob("*")), 60)
        print(f"empty after {time.monotonic() - began:.1f} s")


@pytest.mark.needs_stator_binary
def test_an_archive_is_checked_without_a_node_and_taken_over_by_another(binary: str, tmp_path: Path) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    with Server(binary, "--data-dir", str(old)) as server:
        client = connect(server.target)
        create_table(client, "table")
        write(client, "table", 200)
        first = back_up(client, "table", "first")
        client.put_item(TableName="table", Item={"pk": {"S": "one more"}})
        second = back_up(client, "table", "second")
        gone = back_up(client, "table", "gone")
        client.delete_backup(BackupArn=gone)
        wait_for("the deletion", lambda: len(list((old / "backups" / "backups").iterdir())) == 2)
    listed = lines(binary, "list", old)
    assert [(backup["table"], backup["name"], backup["items"]) for backup in listed] == [
        ("table", "first", 200),
        ("table", "second", 201),
    ]
    assert listed[0]["id"] == first.rsplit("/", 1)[1]
    # One item of 200 has come.
    assert listed[1]["copied_bytes"] * 5 < listed[0]["copied_bytes"]
    checked = lines(binary, "verify", old)
    assert [(backup["items"], backup["problem"]) for backup in checked] == [(200, None), (201, None)]

    # Nothing is left of the first but its archive and the key.
    new.mkdir()
    shutil.copytree(old / "backups", new / "backups")
    shutil.copy(old / "master.key", new / "master.key")
    with Server(binary, "--data-dir", str(new)) as server:
        client = connect(server.target)
        there = wait_for("the backups", lambda: client.list_backups()["BackupSummaries"])
        wait_for("all of them", lambda: len(client.list_backups()["BackupSummaries"]) == 2)
        assert there[0]["BackupStatus"] == "AVAILABLE"
        assert len(items(client, restored(client, second))) == 201

    chunk = next(file for file in sorted((old / "backups" / "chunks").rglob("*")) if file.is_file())
    damaged = bytearray(chunk.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    chunk.write_bytes(damaged)
    problems = [backup["problem"] for backup in lines(binary, "verify", old, status=1)]
    assert any(problem and "damaged" in problem for problem in problems)


def lines(binary: str, work: str, directory: Path, status: int = 0) -> list[dict[str, Any]]:
    """What `stator backup` prints of an archive, and that it ends with this status."""
    command = [binary, "backup", work, "--data-dir", str(directory), "--json"]
    ended = subprocess.run(command, capture_output=True, check=False)
    assert ended.returncode == status, ended.stderr.decode()
    return [json.loads(line) for line in ended.stdout.splitlines()]

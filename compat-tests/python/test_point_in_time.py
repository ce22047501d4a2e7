"""Point-in-time recovery: any second of the past is restored as clients saw it, on one node, across `kill -9`."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import BotoCoreError, ClientError

from conftest import MakeTable, connect, create_table, definitions, index, keys_of, unused_name, wait_for
from server import Server
from test_backups import code, items

pytestmark = pytest.mark.differs_from_dynamodb_local("it has no point-in-time recovery")

CLOCK_SECONDS = 0.1
"""How far the time that a node gives a write may lie outside of what its client has measured."""
GIVEN_UP_SECONDS = 2
"""When no node carries out a request any more that was sent so long ago: `patience_ms` is less than half of it."""
MONEY = 1000
ACCOUNTS = 6


def enable(client: Any, table: str, **more: Any) -> datetime:
    """Turns recovery on, waits until there is a moment to restore, and gives the first one."""
    specification = {"PointInTimeRecoveryEnabled": True, **more}
    client.update_continuous_backups(TableName=table, PointInTimeRecoverySpecification=specification)

    def first() -> datetime | None:
        found: datetime | None = recovery(client, table).get("EarliestRestorableDateTime")
        return found

    earliest: datetime = wait_for(f"the history of {table}", first, 60)
    return earliest


def recovery(client: Any, table: str) -> dict[str, Any]:
    """What is said of a table's recovery."""
    described = client.describe_continuous_backups(TableName=table)["ContinuousBackupsDescription"]
    assert described["ContinuousBackupsStatus"] == "ENABLED"
    found: dict[str, Any] = described["PointInTimeRecoveryDescription"]
    return found


def wait_until_restorable(client: Any, table: str, moment: datetime) -> None:
    """Waits until a moment has passed for long enough."""
    wait_for(
        f"{moment} to be restorable",
        lambda: recovery(client, table)["LatestRestorableDateTime"] >= moment,
        60,
    )


def restored(client: Any, table: str, moment: datetime | None, **more: Any) -> str:
    """Restores a table to a moment, or to the last one, waits for it, and gives the name of the new one."""
    name = unused_name()
    which = {"UseLatestRestorableTime": True} if moment is None else {"RestoreDateTime": moment}
    client.restore_table_to_point_in_time(SourceTableName=table, TargetTableName=name, **which, **more)
    wait_until_active(client, name)
    return name


def wait_until_active(client: Any, name: str) -> None:
    """Waits for a restore."""

    def is_active() -> bool:
        try:
            return bool(client.describe_table(TableName=name)["Table"]["TableStatus"] == "ACTIVE")
        except (BotoCoreError, ClientError):
            return False  # A node was killed.

    wait_for(f"the restore of {name}", is_active, 120)


def next_second() -> datetime:
    """The second that begins next: what came before is in it, what comes behind it is not."""
    now = time.time()
    second = int(now) + 1
    time.sleep(second - now + CLOCK_SECONDS)
    return datetime.fromtimestamp(second, timezone.utc)


@dataclass
class Write:
    """A write as its client saw it: `value` stands from some time between `begun` and `ended` on."""

    begun: float
    ended: float
    value: int | None


@dataclass
class Record:
    """What one writer has made of its items; only it writes them."""

    single: list[Write] = field(default_factory=list)
    pair: list[Write] = field(default_factory=list)


class Writers:
    """Put, update and delete items of their own, write pairs of items in transactions, and move money, until they are
    told to stop; they try again as long as nobody answers, and note when they did what.
    """

    def __init__(self, table: str, clients: list[Any], seed: int) -> None:
        self._table = table
        self._stop_asked = threading.Event()
        self.records = [Record() for _ in clients]
        self.errors: list[Exception] = []
        self._threads = [
            threading.Thread(target=self._work, args=(client, place, random.Random(f"{seed} {place}")))
            for place, client in enumerate(clients)
        ]

    def __enter__(self) -> Writers:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop_asked.set()
        for thread in self._threads:
            thread.join(timeout=120)
            assert not thread.is_alive()
        if self.errors:
            raise self.errors[0]

    def _work(self, client: Any, place: int, dice: random.Random) -> None:
        number = 0
        try:
            while not self._stop_asked.is_set():
                number += 1
                record = self.records[place]
                if dice.random() < 0.2:
                    key = {"pk": {"S": f"single-{place}"}}
                    call = lambda: client.delete_item(TableName=self._table, Key=key)  # noqa: E731
                    record.single.append(self._noted(call, None))
                else:
                    item = {"pk": {"S": f"single-{place}"}, "n": {"N": str(number)}}
                    put = lambda: client.put_item(TableName=self._table, Item=item)  # noqa: E731
                    record.single.append(self._noted(put, number))
                pair = [
                    {"Put": {"TableName": self._table, "Item": item_of(f"{half}-{place}", number)}}
                    for half in ("left", "right")
                ]
                both = lambda: client.transact_write_items(TransactItems=pair)  # noqa: E731
                record.pair.append(self._noted(both, number))
                self._transfer(client, dice)
        except Exception as error:
            self.errors.append(error)

    def _noted(self, call: Callable[[], Any], value: int | None) -> Write:
        begun = time.time()
        deadline = time.monotonic() + 60
        while True:
            try:
                call()
                return Write(begun, time.time(), value)
            except (BotoCoreError, ClientError) as error:
                if time.monotonic() > deadline:
                    raise error
                # Nobody else writes the item, and the try that has failed is given up by then wherever it may be.
                time.sleep(GIVEN_UP_SECONDS)

    def _transfer(self, client: Any, dice: random.Random) -> None:
        source, sink = dice.sample(range(ACCOUNTS), 2)
        try:
            client.transact_write_items(
                TransactItems=[moved(self._table, source, -1), moved(self._table, sink, 1)]
            )
        except (BotoCoreError, ClientError):
            pass  # Whatever has become of it, the money stays the same.


def item_of(name: str, number: int) -> dict[str, Any]:
    """An item with a number."""
    return {"pk": {"S": name}, "n": {"N": str(number)}}


def moved(table: str, account: int, amount: int) -> dict[str, Any]:
    """An update that changes what an account has."""
    return {
        "Update": {
            "TableName": table,
            "Key": {"pk": {"S": f"account-{account}"}},
            "UpdateExpression": "SET n = n + :amount",
            "ExpressionAttributeValues": {":amount": {"N": str(amount)}},
        }
    }


def open_accounts(client: Any, table: str) -> None:
    """Makes accounts with money."""
    for account in range(ACCOUNTS):
        client.put_item(TableName=table, Item=item_of(f"account-{account}", MONEY))


def possible(writes: list[Write], moment: float) -> set[int | None]:
    """What an item may have been at a moment, by what its only writer has seen."""
    before = [write for write in writes if write.ended < moment - CLOCK_SECONDS]
    around = [
        write
        for write in writes
        if write.ended >= moment - CLOCK_SECONDS and write.begun <= moment + CLOCK_SECONDS
    ]
    return {before[-1].value if before else None} | {write.value for write in around}


def check_restored(client: Any, table: str, records: list[Record], moment: datetime, rows: int = 0) -> None:
    """A restored table is what clients have seen at a moment: each item, pairs together, all money, and so many rows that
    nobody has changed.
    """
    found = {item["pk"]["S"]: int(item["n"]["N"]) for item in items(client, table, ConsistentRead=True)}
    for row in range(rows):
        assert found.pop(f"item-{row:05}") == row
    seconds = moment.timestamp()
    for place, record in enumerate(records):
        assert found.pop(f"single-{place}", None) in possible(record.single, seconds), (place, moment)
        left, right = found.pop(f"left-{place}", None), found.pop(f"right-{place}", None)
        assert left == right, f"the pair of writer {place} is torn at {moment}"
        assert left in possible(record.pair, seconds), (place, moment)
    accounts = {f"account-{account}" for account in range(ACCOUNTS)}
    assert set(found) == accounts, "there is nothing else"
    assert sum(found.values()) == MONEY * ACCOUNTS, f"money at {moment}"


def seconds_between(begun: float, ended: float, count: int, dice: random.Random) -> list[datetime]:
    """Some seconds of a span."""
    span = range(int(begun) + 1, int(ended) + 1)
    chosen = sorted(dice.sample(span, min(count, len(span))))
    return [datetime.fromtimestamp(second, timezone.utc) for second in chosen]


def test_a_table_is_restored_to_seconds_of_its_past(dynamodb: Any, make_table: MakeTable) -> None:
    table = make_table(
        sort="sk:N",
        AttributeDefinitions=definitions("pk:S", "sk:N", "a:S"),
        GlobalSecondaryIndexes=[index("by-a", "a")],
        LocalSecondaryIndexes=[index("local", "pk", "a")],
    )
    for number in range(20):
        item = {"pk": {"S": f"p{number % 3}"}, "sk": {"N": str(number)}, "a": {"S": "before"}}
        dynamodb.put_item(TableName=table, Item=item)
    earliest = enable(dynamodb, table)
    wait_for("the first moment", lambda: datetime.now(timezone.utc) > earliest)
    states = [(next_second(), items(dynamodb, table))]
    for number in range(0, 20, 3):
        key = {"pk": {"S": f"p{number % 3}"}, "sk": {"N": str(number)}}
        dynamodb.delete_item(TableName=table, Key=key)
    states.append((next_second(), items(dynamodb, table)))
    dynamodb.update_item(
        TableName=table,
        Key={"pk": {"S": "p1"}, "sk": {"N": "1"}},
        UpdateExpression="SET a = :a",
        ExpressionAttributeValues={":a": {"S": "after"}},
    )
    # An index that comes and goes changes no item.
    states.append((next_second(), items(dynamodb, table)))
    assert len({str(state) for _, state in states}) == 3
    for moment, state in states:
        wait_until_restorable(dynamodb, table, moment)
        new = restored(dynamodb, table, moment)
        assert items(dynamodb, new) == state
        assert items(dynamodb, new, IndexName="by-a") == state
        assert items(dynamodb, new, IndexName="local") == state
        described = dynamodb.describe_table(TableName=new)["Table"]
        assert described["RestoreSummary"] == {
            "SourceTableArn": dynamodb.describe_table(TableName=table)["Table"]["TableArn"],
            "RestoreDateTime": described["RestoreSummary"]["RestoreDateTime"],
            "RestoreInProgress": False,
        }
        assert described["RestoreSummary"]["RestoreDateTime"] == moment
        assert described["KeySchema"] == keys_of("pk", "sk")
        assert recovery(dynamodb, new) == {"PointInTimeRecoveryStatus": "DISABLED"}
        dynamodb.delete_table(TableName=new)
    # By its ARN, to the last moment, with other settings.
    name, units = unused_name(), {"ReadCapacityUnits": 3, "WriteCapacityUnits": 4}
    dynamodb.restore_table_to_point_in_time(
        SourceTableArn=dynamodb.describe_table(TableName=table)["Table"]["TableArn"],
        TargetTableName=name,
        UseLatestRestorableTime=True,
        BillingModeOverride="PROVISIONED",
        ProvisionedThroughputOverride=units,
        GlobalSecondaryIndexOverride=[],
        LocalSecondaryIndexOverride=[],
    )
    wait_until_active(dynamodb, name)
    described = dynamodb.describe_table(TableName=name)["Table"]
    assert units.items() <= described["ProvisionedThroughput"].items()
    assert "GlobalSecondaryIndexes" not in described and "LocalSecondaryIndexes" not in described
    assert items(dynamodb, name) == states[-1][1]
    dynamodb.delete_table(TableName=name)


def test_recovery_is_turned_on_and_off(dynamodb: Any, make_table: MakeTable) -> None:
    table = make_table()
    assert recovery(dynamodb, table) == {"PointInTimeRecoveryStatus": "DISABLED"}
    earliest = enable(dynamodb, table, RecoveryPeriodInDays=7)
    described = recovery(dynamodb, table)
    assert (described["PointInTimeRecoveryStatus"], described["RecoveryPeriodInDays"]) == ("ENABLED", 7)
    assert described["EarliestRestorableDateTime"] == earliest <= described["LatestRestorableDateTime"]
    assert abs(datetime.now(timezone.utc) - earliest) < timedelta(minutes=1)
    enable(dynamodb, table)
    assert recovery(dynamodb, table)["RecoveryPeriodInDays"] == 35
    assert recovery(dynamodb, table)["EarliestRestorableDateTime"] == earliest
    off = {"PointInTimeRecoveryEnabled": False}
    answer = dynamodb.update_continuous_backups(TableName=table, PointInTimeRecoverySpecification=off)
    assert answer["ContinuousBackupsDescription"] == {
        "ContinuousBackupsStatus": "ENABLED",
        "PointInTimeRecoveryDescription": {"PointInTimeRecoveryStatus": "DISABLED"},
    }
    dynamodb.put_item(TableName=table, Item={"pk": {"S": "unseen"}})
    next_second()
    again = enable(dynamodb, table)
    assert again > earliest, "it begins anew"


def test_refusals_of_recovery_are_those_of_dynamodb(dynamodb: Any, make_table: MakeTable) -> None:
    on = {"PointInTimeRecoveryEnabled": True}
    with pytest.raises(ClientError) as refusal:
        dynamodb.update_continuous_backups(TableName="there-is-none", PointInTimeRecoverySpecification=on)
    assert code(refusal) == ("TableNotFoundException", "Table not found: there-is-none")
    table = make_table()

    def refused(**request: Any) -> tuple[str, str]:
        request = {"SourceTableName": table, "TargetTableName": unused_name(), **request}
        with pytest.raises(ClientError) as refusal:
            dynamodb.restore_table_to_point_in_time(**request)
        return code(refusal)

    latest = {"UseLatestRestorableTime": True}
    name, sentence = refused(**latest)
    assert name == "PointInTimeRecoveryUnavailableException"
    assert sentence == f"Point in time recovery is not enabled for table '{table}'"
    enable(dynamodb, table)
    now = datetime.now(timezone.utc)
    assert refused()[0] == "ValidationException"
    assert refused(RestoreDateTime=now, **latest)[0] == "ValidationException"
    for moment in (now - timedelta(days=1), now + timedelta(hours=1)):
        assert refused(RestoreDateTime=moment)[0] == "InvalidRestoreTimeException"
    assert refused(SourceTableName="there-is-none", **latest)[0] == "TableNotFoundException"
    assert refused(TargetTableName=table, **latest)[0] == "TableAlreadyExistsException"
    with pytest.raises(ClientError) as refusal:
        dynamodb.update_continuous_backups(
            TableName=table, PointInTimeRecoverySpecification={**on, "RecoveryPeriodInDays": 36}
        )
    assert code(refusal)[0] == "ValidationException"


@pytest.mark.needs_stator_binary
def test_random_seconds_under_writes_are_restored_across_a_kill(binary: str, tmp_path: Path) -> None:
    arguments = ("--data-dir", str(tmp_path / "data"), "--durability", "sync")
    dice = random.Random(7)
    with Server(binary, *arguments) as server:
        client = connect(server.target)
        create_table(client, "kept")
        open_accounts(client, "kept")
        earliest = enable(client, "kept")
        clients = [connect(server.target) for _ in range(4)]
        wait_for("the first moment", lambda: datetime.now(timezone.utc) > earliest)
        begun = time.time()
        with Writers("kept", clients, 7) as writers:
            wait_for("some seconds of writes", lambda: time.time() > begun + 6 or writers.errors, 30)
        ended = time.time()
        moments = seconds_between(begun, ended, 4, dice)
        assert len(moments) == 4
        wait_until_restorable(client, "kept", moments[-1])
        for moment in moments[:2]:
            check_restored(client, restored(client, "kept", moment), writers.records, moment)
        client.restore_table_to_point_in_time(
            SourceTableName="kept", TargetTableName="killed", RestoreDateTime=moments[2]
        )
        server.kill()
    with Server(binary, *arguments) as server:
        client = connect(server.target)
        wait_until_active(client, "killed")
        check_restored(client, "killed", writers.records, moments[2])
        check_restored(client, restored(client, "kept", moments[3]), writers.records, moments[3])

"""Time to live: its settings, which items are due, and what their going leaves in indexes and the stream.

When an item that is due goes is up to the server; here it sweeps every few seconds or more often.
"""

from __future__ import annotations

import time
from typing import Any

import pytest

from conftest import MakeTable, definitions, eventually, index, wait_for
from errors import not_found, refused
from raw import RawClient
from stream_reader import read_all

Item = dict[str, Any]

SWEEP_TIMEOUT_SECONDS = 60
ONE_ERROR = "1 validation error detected: Value "
DAY = 86_400


def setting(attribute: str | None = "due", enabled: bool | None = True) -> Item:
    """A TimeToLiveSpecification as an argument of UpdateTimeToLive."""
    specification: Item = {}
    if attribute is not None:
        specification["AttributeName"] = attribute
    if enabled is not None:
        specification["Enabled"] = enabled
    return {"TimeToLiveSpecification": specification}


def status_of(client: Any, table: str) -> Item:
    """What DescribeTimeToLive says."""
    told: Item = client.describe_time_to_live(TableName=table)["TimeToLiveDescription"]
    return told


def wait_for_status(client: Any, table: str, status: str) -> Item:
    """Waits until the setting has taken effect, and returns its description."""

    def look() -> Item | None:
        told = status_of(client, table)
        return told if told["TimeToLiveStatus"] == status else None

    told: Item = wait_for(f"time to live of {table} to be {status}", look)
    return told


def enable(client: Any, table: str, attribute: str = "due") -> None:
    """Turns time to live on, and waits for it."""
    client.update_time_to_live(TableName=table, **setting(attribute))
    wait_for_status(client, table, "ENABLED")


def seconds(offset: int) -> Item:
    """A number of seconds since 1970, counted from now."""
    return {"N": str(int(time.time()) + offset)}


def names_in(client: Any, table: str, **more: Any) -> list[str]:
    """The partition keys of all items of a small table."""
    return sorted(one["pk"]["S"] for one in client.scan(TableName=table, **more)["Items"])


class TestSetting:
    """UpdateTimeToLive and DescribeTimeToLive."""

    def test_it_is_off_at_first(self, dynamodb: Any, make_table: MakeTable) -> None:
        assert status_of(dynamodb, make_table()) == {"TimeToLiveStatus": "DISABLED"}

    def test_it_is_turned_on_and_off(self, dynamodb: Any, make_table: MakeTable) -> None:
        table = make_table()
        answer = dynamodb.update_time_to_live(TableName=table, **setting())
        assert answer["TimeToLiveSpecification"] == {"Enabled": True, "AttributeName": "due"}
        told = wait_for_status(dynamodb, table, "ENABLED")
        assert told == {"TimeToLiveStatus": "ENABLED", "AttributeName": "due"}
        answer = dynamodb.update_time_to_live(TableName=table, **setting(enabled=False))
        assert answer["TimeToLiveSpecification"] == {"Enabled": False, "AttributeName": "due"}
        wait_for_status(dynamodb, table, "DISABLED")

    def test_it_is_turned_on_for_another_attribute(self, dynamodb: Any, make_table: MakeTable) -> None:
        table = make_table()
        enable(dynamodb, table)
        dynamodb.update_time_to_live(TableName=table, **setting(enabled=False))
        wait_for_status(dynamodb, table, "DISABLED")
        enable(dynamodb, table, "other")
        assert status_of(dynamodb, table)["AttributeName"] == "other"

    def test_it_may_be_an_attribute_of_the_key(self, dynamodb: Any, make_table: MakeTable) -> None:
        table = make_table("pk:S", "due:N")
        enable(dynamodb, table)
        dynamodb.put_item(TableName=table, Item={"pk": {"S": "past"}, "due": seconds(-100)})
        eventually(lambda: names_in(dynamodb, table), [], SWEEP_TIMEOUT_SECONDS)

    def test_what_makes_no_sense_is_refused(
        self, raw: RawClient, dynamodb: Any, make_table: MakeTable
    ) -> None:
        table = make_table()

        def refuse(specification: Item, sentence: str) -> None:
            refused(raw.call("UpdateTimeToLive", {"TableName": table, **specification}), sentence)

        refuse(setting(enabled=False), "TimeToLive is already disabled")
        refuse(
            {},
            f"{ONE_ERROR}null at 'timeToLiveSpecification' failed to satisfy constraint: Member must not be "
            "null",
        )
        refuse(
            setting(attribute=None),
            f"{ONE_ERROR}null at 'timeToLiveSpecification.attributeName' failed to satisfy constraint: "
            "Member must not be "
            "null",
        )
        refuse(
            setting(enabled=None),
            f"{ONE_ERROR}null at 'timeToLiveSpecification.enabled' failed to satisfy constraint: Member "
            "must not be null",
        )
        refuse(
            setting(""),
            f"{ONE_ERROR}'' at 'timeToLiveSpecification.attributeName' failed to satisfy constraint: Member "
            "must have "
            "length greater than or equal to 1",
        )
        refuse(
            setting("x" * 256),
            f"{ONE_ERROR}'{'x' * 256}' at 'timeToLiveSpecification.attributeName' failed to satisfy "
            "constraint: Member must "
            "have length less than or equal to 255",
        )
        enable(dynamodb, table)
        refuse(setting(), "TimeToLive is already enabled")
        refuse(
            setting("other"),
            "TimeToLive is active on a different AttributeName: current AttributeName is due",
        )
        refuse(
            setting("other", enabled=False),
            "TimeToLive is active on a different AttributeName: current AttributeName is due",
        )

    def test_a_table_has_to_be_there(self, raw: RawClient) -> None:
        request = {"TableName": "no-such-table"}
        sentence = "Requested resource not found: Table: no-such-table not found"
        not_found(raw.call("DescribeTimeToLive", request), sentence)
        not_found(raw.call("UpdateTimeToLive", {**request, **setting()}), sentence)


class TestExpiry:
    """Items that are due go; all others stay."""

    def test_what_is_due_goes(self, dynamodb: Any, make_table: MakeTable) -> None:
        table = make_table()
        # Some were there before it was turned on.
        dynamodb.put_item(TableName=table, Item={"pk": {"S": "earlier"}, "due": seconds(-100)})
        enable(dynamodb, table)
        stay: dict[str, Item] = {
            "future": {"due": seconds(DAY)},
            "text": {"due": {"S": seconds(-100)["N"]}},
            "list": {"due": {"L": [seconds(-100)]}},
            "never": {},
            # More than five years ago is taken for a mistake.
            "old": {"due": seconds(-6 * 365 * DAY)},
            "zero": {"due": {"N": "0"}},
            "negative": {"due": {"N": "-1"}},
            "other": {"Due": seconds(-100)},
        }
        go: dict[str, Item] = {
            "past": {"due": seconds(-1)},
            "long ago": {"due": seconds(-4 * 365 * DAY)},
            "fraction": {"due": {"N": f"{seconds(-100)['N']}.75"}},
            "with more": {"due": seconds(-100), "x": {"S": "X"}},
        }
        for name, more in {**stay, **go}.items():
            dynamodb.put_item(TableName=table, Item={"pk": {"S": name}, **more})
        eventually(lambda: names_in(dynamodb, table), sorted(stay), SWEEP_TIMEOUT_SECONDS)

    def test_an_item_becomes_due(self, dynamodb: Any, make_table: MakeTable) -> None:
        table = make_table()
        enable(dynamodb, table)
        due = time.time() + 2
        dynamodb.put_item(TableName=table, Item={"pk": {"S": "soon"}, "due": {"N": str(int(due))}})
        eventually(lambda: names_in(dynamodb, table), [], SWEEP_TIMEOUT_SECONDS)
        assert time.time() >= int(due)

    def test_an_item_may_be_given_more_time(self, dynamodb: Any, make_table: MakeTable) -> None:
        table = make_table()
        enable(dynamodb, table)
        for name in ("longer", "forever", "shorter"):
            due = seconds(DAY if name == "shorter" else 5)
            dynamodb.put_item(TableName=table, Item={"pk": {"S": name}, "due": due})
        changes: dict[str, Item] = {
            "longer": {"UpdateExpression": "SET due = :d", "ExpressionAttributeValues": {":d": seconds(DAY)}},
            "forever": {"UpdateExpression": "REMOVE due"},
            "shorter": {"UpdateExpression": "SET due = :d", "ExpressionAttributeValues": {":d": seconds(-5)}},
        }
        for name, change in changes.items():
            dynamodb.update_item(TableName=table, Key={"pk": {"S": name}}, **change)
        # Due when the others would have been, so that it shows when a sweep has passed them.
        dynamodb.put_item(TableName=table, Item={"pk": {"S": "witness"}, "due": seconds(6)})
        eventually(lambda: names_in(dynamodb, table), ["forever", "longer"], SWEEP_TIMEOUT_SECONDS)

    def test_nothing_goes_once_it_is_off(self, dynamodb: Any, make_table: MakeTable) -> None:
        table, witness = make_table(), make_table()
        enable(dynamodb, table)
        enable(dynamodb, witness)
        dynamodb.update_time_to_live(TableName=table, **setting(enabled=False))
        wait_for_status(dynamodb, table, "DISABLED")
        for name in (table, witness):
            dynamodb.put_item(TableName=name, Item={"pk": {"S": "past"}, "due": seconds(-100)})
        eventually(lambda: names_in(dynamodb, witness), [], SWEEP_TIMEOUT_SECONDS)
        assert names_in(dynamodb, table) == ["past"]

    def test_rows_of_indexes_go_with_the_item(self, dynamodb: Any, make_table: MakeTable) -> None:
        table = make_table(
            "pk:S",
            "sk:S",
            AttributeDefinitions=definitions("pk:S", "sk:S", "a:S"),
            GlobalSecondaryIndexes=[index("by-a", "a")],
            LocalSecondaryIndexes=[index("by-l", "pk", "a")],
        )
        for name, offset in [("stays", DAY), ("goes", -100)]:
            dynamodb.put_item(
                TableName=table,
                Item={"pk": {"S": name}, "sk": {"S": "1"}, "a": {"S": "A"}, "due": seconds(offset)},
            )
        eventually(lambda: names_in(dynamodb, table, IndexName="by-a"), ["goes", "stays"])
        enable(dynamodb, table)
        for own in ("by-a", "by-l"):
            eventually(lambda: names_in(dynamodb, table, IndexName=own), ["stays"], SWEEP_TIMEOUT_SECONDS)
        assert names_in(dynamodb, table) == ["stays"]


@pytest.mark.differs_from_dynamodb_local("records nothing when it deletes what is due")
def test_the_stream_tells_who_has_deleted_an_item(dynamodb: Any, streams: Any, make_table: MakeTable) -> None:
    table = make_table(StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"})
    enable(dynamodb, table)
    arn = dynamodb.describe_table(TableName=table)["Table"]["LatestStreamArn"]
    due = {"pk": {"S": "due"}, "due": seconds(-100), "x": {"S": "X"}}
    dynamodb.put_item(TableName=table, Item={"pk": {"S": "by hand"}})
    dynamodb.delete_item(TableName=table, Key={"pk": {"S": "by hand"}})
    dynamodb.put_item(TableName=table, Item=due)

    def removed() -> dict[str, Item]:
        return {
            record["dynamodb"]["Keys"]["pk"]["S"]: record
            for record in read_all(streams, arn)
            if record["eventName"] == "REMOVE"
        }

    eventually(lambda: sorted(removed()), ["by hand", "due"], SWEEP_TIMEOUT_SECONDS)
    by_hand, expired = removed()["by hand"], removed()["due"]
    assert "userIdentity" not in by_hand
    assert expired["userIdentity"] == {"PrincipalId": "dynamodb.amazonaws.com", "Type": "Service"}
    assert expired["dynamodb"]["OldImage"] == due

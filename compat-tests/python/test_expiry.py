"""The time to live: its settings, and items that go when their time has come."""

from __future__ import annotations

import time
from typing import Any

import pytest

from conftest import MakeTable
from errors import refused
from raw import RawClient
from test_stream_records import arn_of, streams, until_recorded
from waiting import until, until_equal

__all__ = ["streams"]

YEARS_SECONDS = 365 * 24 * 3600


def enable(dynamodb: Any, table: str, attribute: str = "due") -> None:
    dynamodb.update_time_to_live(
        TableName=table,
        TimeToLiveSpecification={"Enabled": True, "AttributeName": attribute},
    )


def status(dynamodb: Any, table: str) -> dict[str, Any]:
    described: dict[str, Any] = dynamodb.describe_time_to_live(TableName=table)["TimeToLiveDescription"]
    return described


def test_it_is_enabled_described_and_disabled(dynamodb: Any, make_table: MakeTable) -> None:
    table = make_table()
    assert status(dynamodb, table) == {"TimeToLiveStatus": "DISABLED"}
    enable(dynamodb, table)
    until_equal(
        lambda: status(dynamodb, table), {"TimeToLiveStatus": "ENABLED", "AttributeName": "due"}
    )


@pytest.mark.differs_from_dynamodb_local("it may be changed only once in an hour there")
def test_it_is_disabled_again(dynamodb: Any, make_table: MakeTable) -> None:
    table = make_table()
    enable(dynamodb, table)
    until(lambda: status(dynamodb, table)["TimeToLiveStatus"] == "ENABLED")
    dynamodb.update_time_to_live(
        TableName=table, TimeToLiveSpecification={"Enabled": False, "AttributeName": "due"}
    )
    until_equal(lambda: status(dynamodb, table), {"TimeToLiveStatus": "DISABLED"})
    dynamodb.put_item(TableName=table, Item={"pk": {"S": "k"}, "due": {"N": "1"}})
    enable(dynamodb, table, "other")
    until(lambda: status(dynamodb, table)["TimeToLiveStatus"] == "ENABLED")


def test_what_it_is_already_is_refused(raw: RawClient, dynamodb: Any, make_table: MakeTable) -> None:
    table = make_table()

    def update(enabled: bool, attribute: str = "due") -> Any:
        specification = {"Enabled": enabled, "AttributeName": attribute}
        return raw.call("UpdateTimeToLive", {"TableName": table, "TimeToLiveSpecification": specification})

    refused(update(False), "TimeToLive is already disabled")
    enable(dynamodb, table)
    until(lambda: status(dynamodb, table)["TimeToLiveStatus"] == "ENABLED")
    refused(update(True), "TimeToLive is already enabled")
    refused(
        update(False, "other"),
        "TimeToLive is active on a different AttributeName: current AttributeName is due",
    )


@pytest.mark.differs_from_dynamodb_local("it deletes when it likes")
def test_items_go_when_they_are_due_and_others_stay(
    dynamodb: Any, streams: Any, make_table: MakeTable
) -> None:
    table = make_table(
        "pk:S",
        AttributeDefinitions=[
            {"AttributeName": "pk", "AttributeType": "S"},
            {"AttributeName": "a", "AttributeType": "S"},
        ],
        StreamSpecification={"StreamEnabled": True, "StreamViewType": "OLD_IMAGE"},
        GlobalSecondaryIndexes=[
            {
                "IndexName": "index",
                "KeySchema": [{"AttributeName": "a", "KeyType": "HASH"}],
                "Projection": {"ProjectionType": "ALL"},
            }
        ],
    )
    now = int(time.time())
    due = {
        "before it was enabled": {"N": str(now - 10)},
        "a fraction": {"N": f"{now - 10}.75"},
        "in a moment": {"N": str(now + 3)},
    }
    stay = {
        "later": {"N": str(now + 3600)},
        "text": {"S": str(now - 10)},
        "too old": {"N": str(now - 6 * YEARS_SECONDS)},
        "negative": {"N": "-5"},
    }

    def put(name: str, value: dict[str, Any]) -> None:
        item = {"pk": {"S": name}, "a": {"S": "a"}, "due": value}
        dynamodb.put_item(TableName=table, Item=item)

    put("before it was enabled", due["before it was enabled"])
    enable(dynamodb, table)
    for name, value in {**due, **stay}.items():
        if name != "before it was enabled":
            put(name, value)
    dynamodb.put_item(TableName=table, Item={"pk": {"S": "without"}, "a": {"S": "a"}})

    def there(**more: Any) -> set[str]:
        return {one["pk"]["S"] for one in dynamodb.scan(TableName=table, **more)["Items"]}

    until_equal(there, {*stay, "without"})
    until_equal(lambda: there(IndexName="index"), {*stay, "without"})
    records = until_recorded(streams, arn_of(dynamodb, table), len(due) * 2 + len(stay) + 1)
    removed = [one for one in records if one["eventName"] == "REMOVE"]
    assert {one["dynamodb"]["Keys"]["pk"]["S"] for one in removed} == set(due)
    for record in removed:
        assert record["userIdentity"] == {"PrincipalId": "dynamodb.amazonaws.com", "Type": "Service"}
        assert record["dynamodb"]["OldImage"]["due"] == due[record["dynamodb"]["Keys"]["pk"]["S"]]


def test_an_item_that_is_given_more_time_stays(dynamodb: Any, make_table: MakeTable) -> None:
    table = make_table()
    enable(dynamodb, table)
    until(lambda: status(dynamodb, table)["TimeToLiveStatus"] == "ENABLED")
    for n in range(20):
        due = str(int(time.time()) + 2)
        dynamodb.put_item(TableName=table, Item={"pk": {"S": str(n)}, "due": {"N": due}})
        later = {":later": {"N": str(int(time.time()) + 3600)}}
        dynamodb.update_item(
            TableName=table,
            Key={"pk": {"S": str(n)}},
            UpdateExpression="SET due = :later",
            ExpressionAttributeValues=later,
        )
    gone = {"pk": {"S": "goes"}, "due": {"N": str(int(time.time()) + 3)}}
    dynamodb.put_item(TableName=table, Item=gone)
    until(lambda: dynamodb.scan(TableName=table)["Count"] == 20)

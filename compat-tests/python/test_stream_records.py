"""Streams: what is recorded, in which order, and how it is read."""

from __future__ import annotations

from typing import Any

import boto3
import pytest

from conftest import MakeTable, session_options
from errors import VALIDATION
from server import Target
from waiting import until

KEY = {"pk": {"S": "k"}}


@pytest.fixture(scope="session")
def streams(target: Target) -> Any:
    """A client of DynamoDB Streams."""
    return boto3.client("dynamodbstreams", **session_options(target))


def recorded(make_table: MakeTable, view: str = "NEW_AND_OLD_IMAGES") -> str:
    return make_table("pk:S", StreamSpecification={"StreamEnabled": True, "StreamViewType": view})


def arn_of(dynamodb: Any, table: str) -> str:
    return str(dynamodb.describe_table(TableName=table)["Table"]["LatestStreamArn"])


def shards_of(streams: Any, arn: str) -> list[dict[str, Any]]:
    shards, start = [], {}
    while True:
        page = streams.describe_stream(StreamArn=arn, Limit=2, **start)["StreamDescription"]
        shards += page["Shards"]
        if "LastEvaluatedShardId" not in page:
            return shards
        start = {"ExclusiveStartShardId": page["LastEvaluatedShardId"]}


def iterator(streams: Any, arn: str, shard: str, kind: str = "TRIM_HORIZON", **more: Any) -> str:
    answer = streams.get_shard_iterator(StreamArn=arn, ShardId=shard, ShardIteratorType=kind, **more)
    return str(answer["ShardIterator"])


def records_of(streams: Any, arn: str) -> list[dict[str, Any]]:
    """All records, those of a shard in their order."""
    records = []
    for shard in shards_of(streams, arn):
        at: str | None = iterator(streams, arn, shard["ShardId"])
        while at is not None:
            page = streams.get_records(ShardIterator=at)
            records += page["Records"]
            at = page.get("NextShardIterator") if page["Records"] else None
    return records


def until_recorded(streams: Any, arn: str, count: int) -> list[dict[str, Any]]:
    def look() -> list[dict[str, Any]]:
        records = records_of(streams, arn)
        assert len(records) <= count, records
        return records if len(records) == count else []

    return until(look)


def three_events(dynamodb: Any, table: str) -> None:
    dynamodb.put_item(TableName=table, Item={**KEY, "v": {"N": "1"}})
    # Nothing changes, and nothing is recorded.
    dynamodb.put_item(TableName=table, Item={**KEY, "v": {"N": "1"}})
    dynamodb.update_item(
        TableName=table,
        Key=KEY,
        UpdateExpression="SET v = :v",
        ExpressionAttributeValues={":v": {"N": "2"}},
    )
    dynamodb.delete_item(TableName=table, Key=KEY)
    dynamodb.delete_item(TableName=table, Key=KEY)


@pytest.mark.parametrize("view", ["KEYS_ONLY", "NEW_IMAGE", "OLD_IMAGE", "NEW_AND_OLD_IMAGES"])
def test_records_have_what_the_view_says(
    dynamodb: Any, streams: Any, make_table: MakeTable, target: Target, view: str
) -> None:
    table = recorded(make_table, view)
    arn = arn_of(dynamodb, table)
    three_events(dynamodb, table)
    records = until_recorded(streams, arn, 3)
    assert [one["eventName"] for one in records] == ["INSERT", "MODIFY", "REMOVE"]
    first, second = {**KEY, "v": {"N": "1"}}, {**KEY, "v": {"N": "2"}}
    images = [(None, first), (first, second), (second, None)]
    for record, (old, new) in zip(records, images):
        told = record["dynamodb"]
        assert told["Keys"] == KEY
        assert told.get("OldImage") == (old if "OLD" in view else None)
        assert told.get("NewImage") == (new if "NEW" in view else None)
        assert told["StreamViewType"] == view
        assert told["SizeBytes"] > 0
        assert 21 <= len(told["SequenceNumber"]) <= 40
        assert (record["eventSource"], record["awsRegion"]) == ("aws:dynamodb", target.region)
        assert "userIdentity" not in record
    numbers = [int(one["dynamodb"]["SequenceNumber"]) for one in records]
    assert numbers == sorted(set(numbers))
    assert len({one["eventID"] for one in records}) == 3


def test_a_stream_is_described_and_listed(dynamodb: Any, streams: Any, make_table: MakeTable) -> None:
    table = recorded(make_table)
    described = dynamodb.describe_table(TableName=table)["Table"]
    arn, label = described["LatestStreamArn"], described["LatestStreamLabel"]
    assert described["StreamSpecification"] == {
        "StreamEnabled": True,
        "StreamViewType": "NEW_AND_OLD_IMAGES",
    }
    assert arn == f"{described['TableArn']}/stream/{label}"
    stream = streams.describe_stream(StreamArn=arn)["StreamDescription"]
    assert (stream["StreamStatus"], stream["TableName"]) == ("ENABLED", table)
    assert stream["KeySchema"] == [{"AttributeName": "pk", "KeyType": "HASH"}]
    for shard in shards_of(streams, arn):
        assert 28 <= len(shard["ShardId"]) <= 65
        assert "EndingSequenceNumber" not in shard["SequenceNumberRange"]
    listed = streams.list_streams(TableName=table)["Streams"]
    assert listed == [{"StreamArn": arn, "StreamLabel": label, "TableName": table}]


def test_iterators_begin_where_they_say(dynamodb: Any, streams: Any, make_table: MakeTable) -> None:
    table = recorded(make_table)
    arn = arn_of(dynamodb, table)
    three_events(dynamodb, table)
    records = until_recorded(streams, arn, 3)
    numbers = [one["dynamodb"]["SequenceNumber"] for one in records]

    def names(at: str, **more: Any) -> list[str]:
        return [one["eventName"] for one in streams.get_records(ShardIterator=at, **more)["Records"]]

    [shard] = [
        one["ShardId"]
        for one in shards_of(streams, arn)
        if streams.get_records(ShardIterator=iterator(streams, arn, one["ShardId"]))["Records"]
    ]
    at = iterator(streams, arn, shard, "AT_SEQUENCE_NUMBER", SequenceNumber=numbers[1])
    assert names(at) == ["MODIFY", "REMOVE"]
    assert names(at, Limit=1) == ["MODIFY"]
    after = iterator(streams, arn, shard, "AFTER_SEQUENCE_NUMBER", SequenceNumber=numbers[1])
    assert names(after) == ["REMOVE"]
    latest = iterator(streams, arn, shard, "LATEST")
    assert names(latest) == []
    dynamodb.put_item(TableName=table, Item=KEY)
    until(lambda: names(latest) == ["INSERT"])


def refusal(call: Any) -> tuple[str, str]:
    try:
        call()
    except Exception as error:  # noqa: BLE001
        answer = getattr(error, "response", {})
        return answer["Error"]["Code"], answer["Error"]["Message"]
    raise AssertionError("it was accepted")


def test_iterators_and_arns_that_are_none_are_refused(
    dynamodb: Any, streams: Any, make_table: MakeTable
) -> None:
    table = recorded(make_table)
    arn = arn_of(dynamodb, table)
    shard = shards_of(streams, arn)[0]["ShardId"]
    at = iterator(streams, arn, shard)
    forged = at[:-1] + ("A" if at[-1] != "A" else "B")
    assert refusal(lambda: streams.get_records(ShardIterator=forged))[0] == VALIDATION.split("#")[1]
    other = arn[:-1] + ("1" if arn[-1] != "1" else "2")
    assert refusal(lambda: streams.describe_stream(StreamArn=other))[0] == "ResourceNotFoundException"
    unknown = "shardId-00000000000000000000-00000000"
    assert refusal(lambda: iterator(streams, arn, unknown))[0] == "ResourceNotFoundException"
    code, _ = refusal(lambda: iterator(streams, arn, shard, "AT_SEQUENCE_NUMBER"))
    assert code == "ValidationException"


def test_a_stream_is_given_up_read_on_and_another_begun(
    dynamodb: Any, streams: Any, make_table: MakeTable
) -> None:
    table = recorded(make_table)
    old = arn_of(dynamodb, table)
    dynamodb.put_item(TableName=table, Item=KEY)
    until_recorded(streams, old, 1)
    dynamodb.update_table(TableName=table, StreamSpecification={"StreamEnabled": False})
    until(
        lambda: streams.describe_stream(StreamArn=old)["StreamDescription"]["StreamStatus"] == "DISABLED"
    )
    dynamodb.delete_item(TableName=table, Key=KEY)
    # Its shards are closed, so that a reader comes to an end.
    for shard in shards_of(streams, old):
        assert "EndingSequenceNumber" in shard["SequenceNumberRange"]
        at: str | None = iterator(streams, old, shard["ShardId"])
        while at is not None:
            at = streams.get_records(ShardIterator=at).get("NextShardIterator")
    assert [one["eventName"] for one in records_of(streams, old)] == ["INSERT"]
    dynamodb.update_table(
        TableName=table, StreamSpecification={"StreamEnabled": True, "StreamViewType": "KEYS_ONLY"}
    )
    new = arn_of(dynamodb, table)
    assert new != old
    until(lambda: streams.describe_stream(StreamArn=new)["StreamDescription"]["StreamStatus"] == "ENABLED")
    dynamodb.put_item(TableName=table, Item=KEY)
    [record] = until_recorded(streams, new, 1)
    assert record["dynamodb"]["StreamViewType"] == "KEYS_ONLY"
    assert len(records_of(streams, old)) == 1
    again = {"StreamEnabled": True, "StreamViewType": "KEYS_ONLY"}
    code, _ = refusal(lambda: dynamodb.update_table(TableName=table, StreamSpecification=again))
    assert code == "ValidationException"


def test_the_records_of_a_table_replay_to_it(dynamodb: Any, streams: Any, make_table: MakeTable) -> None:
    table = recorded(make_table)
    arn = arn_of(dynamodb, table)
    expected: dict[str, Any] = {}
    count = 0
    for n in range(300):
        key = f"k{n * 7 % 40}"
        if n % 5 == 4:
            count += key in expected
            expected.pop(key, None)
            dynamodb.delete_item(TableName=table, Key={"pk": {"S": key}})
        else:
            count += 1
            expected[key] = {"pk": {"S": key}, "n": {"N": str(n)}}
            dynamodb.put_item(TableName=table, Item=expected[key])
    replayed: dict[str, Any] = {}
    for record in until_recorded(streams, arn, count):
        told = record["dynamodb"]
        key = told["Keys"]["pk"]["S"]
        assert replayed.get(key) == told.get("OldImage")
        if record["eventName"] == "REMOVE":
            del replayed[key]
        else:
            replayed[key] = told["NewImage"]
    assert replayed == expected

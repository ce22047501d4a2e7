"""The stream of a deleted table: it can be read for another day, and a table of the same name has another one."""

from __future__ import annotations

from typing import Any

from conftest import MakeTable, create_table, eventually, wait_for
from stream_reader import read_all, shards_of

KEY = {"pk": {"S": "k"}}


def stream(view: str) -> dict[str, Any]:
    """An argument of CreateTable."""
    return {"StreamSpecification": {"StreamEnabled": True, "StreamViewType": view}}


def arn_of(client: Any, table: str) -> str:
    """The stream that a table has now."""
    return str(client.describe_table(TableName=table)["Table"]["LatestStreamArn"])


def test_a_stream_outlives_its_table(dynamodb: Any, streams: Any, make_table: MakeTable) -> None:
    table = make_table(**stream("NEW_AND_OLD_IMAGES"))
    old = arn_of(dynamodb, table)
    dynamodb.put_item(TableName=table, Item=KEY)
    eventually(lambda: len(read_all(streams, old)), 1)
    dynamodb.delete_table(TableName=table)

    def told() -> dict[str, Any]:
        described: dict[str, Any] = streams.describe_stream(StreamArn=old)["StreamDescription"]
        return described

    wait_for("the end of the stream", lambda: told()["StreamStatus"] == "DISABLED")
    assert told()["TableName"] == table
    assert [one["StreamArn"] for one in streams.list_streams(TableName=table)["Streams"]] == [old]
    wait_for(
        "the end of its shards",
        lambda: all("EndingSequenceNumber" in one["SequenceNumberRange"] for one in shards_of(streams, old)),
    )
    # What goes with the table is not recorded.
    assert [one["eventName"] for one in read_all(streams, old)] == ["INSERT"]
    # Another table of the same name has another stream.
    create_table(dynamodb, table, **stream("KEYS_ONLY"))
    new = arn_of(dynamodb, table)
    assert new != old
    listed = [one["StreamArn"] for one in streams.list_streams(TableName=table)["Streams"]]
    assert sorted(listed) == [old, new]
    other = {"pk": {"S": "other"}}
    dynamodb.put_item(TableName=table, Item=other)
    eventually(lambda: [one["dynamodb"]["Keys"] for one in read_all(streams, new)], [other])
    assert [one["dynamodb"]["Keys"] for one in read_all(streams, old)] == [KEY]

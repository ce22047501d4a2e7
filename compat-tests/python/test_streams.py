"""DynamoDB Streams: what is recorded, in which order, how it is read, and what becomes of a stream.

A record is in its stream some time after the write is answered: a test reads until the records are there.
"""

from __future__ import annotations

import datetime
import json
import time
from typing import Any

import pytest

from conftest import MakeTable, active, definitions, eventually, keys_of, unused_name, wait_for
from errors import accepted, refused
from raw import Answer, RawClient
from stream_reader import Record, iterator, parents_first, read_all, read_on, shards_of

Item = dict[str, Any]

ONE_ERROR = "1 validation error detected: Value "
INVALID = "One or more parameter values were invalid: "
NO_SHARD = "shardId-00000000000000000000-00000000"


def stream(view: str | None = "NEW_AND_OLD_IMAGES", enabled: bool = True) -> Item:
    """A StreamSpecification as an argument of CreateTable or UpdateTable."""
    specification: Item = {"StreamEnabled": enabled}
    if view is not None:
        specification["StreamViewType"] = view
    return {"StreamSpecification": specification}


OFF = stream(None, enabled=False)


def call(raw: RawClient, operation: str, request: Item) -> Answer:
    """One operation of DynamoDB Streams, as botocore would not send it."""
    return raw.send(body=json.dumps(request).encode(), amz_target=f"DynamoDBStreams_20120810.{operation}")


def refused_by_streams(answer: Answer, error: str, sentence: str) -> None:
    """Asserts an error of DynamoDB Streams by its name and sentence."""
    assert answer.type.split("#")[-1] == error, answer.body
    refused(answer, sentence, answer.type)


def arn_of(client: Any, table: str) -> str:
    """The stream that a table has now."""
    arn: str = client.describe_table(TableName=table)["Table"]["LatestStreamArn"]
    return arn


def wait_for_status(streams: Any, arn: str, status: str) -> Item:
    """Waits until a stream has a status, and returns its description."""

    def look() -> Item | None:
        told: Item = streams.describe_stream(StreamArn=arn)["StreamDescription"]
        return told if told["StreamStatus"] == status else None

    described: Item = wait_for(f"{arn} to be {status}", look)
    return described


def records_of(streams: Any, arn: str, count: int) -> list[Record]:
    """All records of a stream, which are to be so many."""
    eventually(lambda: len(read_all(streams, arn)), count)
    return read_all(streams, arn)


def events(records: list[Record]) -> list[str]:
    """The names of the events."""
    return [record["eventName"] for record in records]


@pytest.fixture
def streamed(make_table: MakeTable) -> str:
    """A table with a stream of both images."""
    return make_table(**stream())


def key_of(name: str) -> Item:
    """The key of an item."""
    return {"pk": {"S": name}}


def item(name: str, value: int) -> Item:
    """An item with a number."""
    return {**key_of(name), "v": {"N": str(value)}}


class TestDefinition:
    """A stream in CreateTable, DescribeTable and DescribeStream."""

    @pytest.mark.parametrize("view", ["NEW_IMAGE", "OLD_IMAGE", "NEW_AND_OLD_IMAGES", "KEYS_ONLY"])
    def test_a_stream_is_described(
        self, dynamodb: Any, streams: Any, make_table: MakeTable, view: str
    ) -> None:
        table = make_table("pk:S", "sk:N", **stream(view))
        told = dynamodb.describe_table(TableName=table)["Table"]
        assert told["StreamSpecification"] == {"StreamEnabled": True, "StreamViewType": view}
        arn, label = told["LatestStreamArn"], told["LatestStreamLabel"]
        assert arn == f"{told['TableArn']}/stream/{label}"
        described = wait_for_status(streams, arn, "ENABLED")
        assert described["StreamArn"] == arn
        assert described["StreamLabel"] == label
        assert described["StreamViewType"] == view
        assert described["TableName"] == table
        assert described["KeySchema"] == keys_of("pk", "sk")
        assert abs(described["CreationRequestDateTime"].timestamp() - time.time()) < 60
        assert described["Shards"]
        for shard in described["Shards"]:
            assert 28 <= len(shard["ShardId"]) <= 65
            assert "ParentShardId" not in shard
            numbers = shard["SequenceNumberRange"]
            assert 21 <= len(numbers["StartingSequenceNumber"]) <= 40
            assert "EndingSequenceNumber" not in numbers

    def test_a_table_without_stream_tells_of_none(self, dynamodb: Any, make_table: MakeTable) -> None:
        for table in (make_table(), make_table(**OFF)):
            told = dynamodb.describe_table(TableName=table)["Table"]
            assert not told.keys() & {"StreamSpecification", "LatestStreamArn", "LatestStreamLabel"}

    @pytest.mark.parametrize(
        ("specification", "sentence"),
        [
            (
                stream(None),
                f"{INVALID}Table is being created with a stream enabled, UpdateViewType is required",
            ),
            (
                stream("KEYS_ONLY", enabled=False),
                f"{INVALID}Table is being created with a stream disabled, UpdateViewType should not be specified",
            ),
            (
                {"StreamSpecification": {"StreamViewType": "KEYS_ONLY"}},
                f"{ONE_ERROR}null at 'streamSpecification.streamEnabled' failed to satisfy constraint: "
                "Member must not be "
                "null",
            ),
        ],
    )
    def test_a_specification_that_makes_no_sense_is_refused(
        self, raw: RawClient, specification: Item, sentence: str
    ) -> None:
        request = {
            "TableName": unused_name(),
            "AttributeDefinitions": definitions("pk:S"),
            "KeySchema": keys_of("pk"),
            "BillingMode": "PAY_PER_REQUEST",
            **specification,
        }
        refused(raw.call("CreateTable", request), sentence)

    @pytest.mark.differs_from_dynamodb_local("takes any view type")
    def test_an_unknown_view_is_refused(self, raw: RawClient) -> None:
        request = {
            "TableName": unused_name(),
            "AttributeDefinitions": definitions("pk:S"),
            "KeySchema": keys_of("pk"),
            "BillingMode": "PAY_PER_REQUEST",
            **stream("ALL"),
        }
        refused(
            raw.call("CreateTable", request),
            f"{ONE_ERROR}'ALL' at 'streamSpecification.streamViewType' failed to satisfy constraint: Member "
            "must satisfy "
            "enum value set: [NEW_IMAGE, OLD_IMAGE, NEW_AND_OLD_IMAGES, KEYS_ONLY]",
        )

    def test_no_stream_of_this_name(self, raw: RawClient, dynamodb: Any, streamed: str) -> None:
        arn = arn_of(dynamodb, streamed)
        other = arn[: arn.rindex("/")] + "/2001-01-01T00:00:00.000"
        refused_by_streams(
            call(raw, "DescribeStream", {"StreamArn": other}),
            "ResourceNotFoundException",
            f"Requested resource not found: Stream: {other} not found",
        )


class TestRecords:
    """What a record says."""

    OLD, NEW = item("a", 1), item("a", 2)

    @pytest.mark.parametrize(
        ("view", "old", "new"),
        [
            ("NEW_IMAGE", False, True),
            ("OLD_IMAGE", True, False),
            ("NEW_AND_OLD_IMAGES", True, True),
            ("KEYS_ONLY", False, False),
        ],
    )
    def test_the_images_are_those_of_the_view(
        self, dynamodb: Any, streams: Any, make_table: MakeTable, view: str, old: bool, new: bool
    ) -> None:
        table = make_table(**stream(view))
        dynamodb.put_item(TableName=table, Item=self.OLD)
        dynamodb.put_item(TableName=table, Item=self.NEW)
        dynamodb.delete_item(TableName=table, Key=key_of("a"))
        records = records_of(streams, arn_of(dynamodb, table), 3)
        assert events(records) == ["INSERT", "MODIFY", "REMOVE"]
        images = [(None, self.OLD), (self.OLD, self.NEW), (self.NEW, None)]
        for record, (before, after) in zip(records, images):
            told = record["dynamodb"]
            assert told["Keys"] == key_of("a")
            assert told["StreamViewType"] == view
            assert told.get("OldImage") == (before if old else None)
            assert told.get("NewImage") == (after if new else None)

    def test_a_record_has_all_members(self, dynamodb: Any, streams: Any, streamed: str) -> None:
        dynamodb.put_item(TableName=streamed, Item=self.OLD)
        dynamodb.put_item(TableName=streamed, Item=self.NEW)
        arn = arn_of(dynamodb, streamed)
        first, second = records_of(streams, arn, 2)
        for record in (first, second):
            assert record["eventSource"] == "aws:dynamodb"
            assert record["eventVersion"] == "1.1"
            assert record["awsRegion"] == arn.split(":")[3]
            assert "userIdentity" not in record
            told = record["dynamodb"]
            assert 21 <= len(told["SequenceNumber"]) <= 40
            assert abs(told["ApproximateCreationDateTime"].timestamp() - time.time()) < 120
        assert first["eventID"] != second["eventID"]
        # Names and values of the keys and of each image: `pk`, `a`, and `v` with a number of two bytes.
        assert [record["dynamodb"]["SizeBytes"] for record in (first, second)] == [3 + 6, 3 + 6 + 6]

    def test_an_update_is_an_insert_where_nothing_was(
        self, dynamodb: Any, streams: Any, streamed: str
    ) -> None:
        update = {
            "UpdateExpression": "SET v = if_not_exists(v, :zero) + :one",
            "ExpressionAttributeValues": {":zero": {"N": "0"}, ":one": {"N": "1"}},
        }
        for _ in range(2):
            dynamodb.update_item(TableName=streamed, Key=key_of("a"), **update)
        first, second = records_of(streams, arn_of(dynamodb, streamed), 2)
        assert events([first, second]) == ["INSERT", "MODIFY"]
        assert (first["dynamodb"].get("OldImage"), first["dynamodb"]["NewImage"]) == (None, self.OLD)
        assert (second["dynamodb"]["OldImage"], second["dynamodb"]["NewImage"]) == (self.OLD, self.NEW)

    def test_what_changes_nothing_is_not_recorded(self, dynamodb: Any, streams: Any, streamed: str) -> None:
        dynamodb.delete_item(TableName=streamed, Key=key_of("a"))
        dynamodb.put_item(TableName=streamed, Item=self.OLD)
        dynamodb.put_item(TableName=streamed, Item=self.OLD)
        # The same number in another spelling.
        dynamodb.put_item(TableName=streamed, Item={**key_of("a"), "v": {"N": "1.0"}})
        dynamodb.update_item(TableName=streamed, Key=key_of("a"), UpdateExpression="REMOVE nope")
        with pytest.raises(dynamodb.exceptions.ConditionalCheckFailedException):
            dynamodb.put_item(
                TableName=streamed, Item=self.NEW, ConditionExpression="attribute_not_exists(pk)"
            )
        # The last write of the item is recorded behind all others of it.
        dynamodb.delete_item(TableName=streamed, Key=key_of("a"))
        assert events(records_of(streams, arn_of(dynamodb, streamed), 2)) == ["INSERT", "REMOVE"]

    def test_a_batch_is_recorded_item_by_item(self, dynamodb: Any, streams: Any, streamed: str) -> None:
        items = [item(f"item {number}", number) for number in range(25)]
        dynamodb.batch_write_item(RequestItems={streamed: [{"PutRequest": {"Item": one}} for one in items]})
        records = records_of(streams, arn_of(dynamodb, streamed), 25)
        assert set(events(records)) == {"INSERT"}
        images = [record["dynamodb"]["NewImage"] for record in records]
        assert sorted(images, key=lambda one: int(one["v"]["N"])) == items

    def test_all_types_come_back(self, dynamodb: Any, streams: Any, streamed: str) -> None:
        whole: Item = {
            **key_of("a"),
            "n": {"N": "-1.5"},
            "b": {"B": b"\x00\xff"},
            "t": {"BOOL": False},
            "z": {"NULL": True},
            "l": {"L": [{"S": ""}, {"M": {"k": {"N": "1"}}}]},
            "ss": {"SS": ["x"]},
            "ns": {"NS": ["7"]},
            "bs": {"BS": [b"a"]},
        }
        dynamodb.put_item(TableName=streamed, Item=whole)
        (record,) = records_of(streams, arn_of(dynamodb, streamed), 1)
        assert record["dynamodb"]["NewImage"] == whole


class TestOrder:
    """The records of an item come in the order of its writes."""

    def test_sequence_numbers_rise_with_the_writes_of_an_item(
        self, dynamodb: Any, streams: Any, streamed: str
    ) -> None:
        names = [f"item {number}" for number in range(8)]
        for turn in range(1, 11):
            for name in names:
                dynamodb.put_item(TableName=streamed, Item=item(name, turn))
        records = records_of(streams, arn_of(dynamodb, streamed), 80)
        for name in names:
            own = [record["dynamodb"] for record in records if record["dynamodb"]["Keys"] == key_of(name)]
            assert [int(one["NewImage"]["v"]["N"]) for one in own] == list(range(1, 11))
            numbers = [int(one["SequenceNumber"]) for one in own]
            assert numbers == sorted(set(numbers))
        assert len({record["eventID"] for record in records}) == 80

    def test_the_records_of_a_table_replay_to_it(self, dynamodb: Any, streams: Any, streamed: str) -> None:
        expected: dict[str, Item] = {}
        count = 0
        for turn in range(300):
            name = f"item {turn * 7 % 40}"
            if turn % 5 == 4:
                count += name in expected
                expected.pop(name, None)
                dynamodb.delete_item(TableName=streamed, Key=key_of(name))
            else:
                count += 1
                expected[name] = item(name, turn)
                dynamodb.put_item(TableName=streamed, Item=expected[name])
        replayed: dict[str, Item] = {}
        for record in records_of(streams, arn_of(dynamodb, streamed), count):
            told = record["dynamodb"]
            name = told["Keys"]["pk"]["S"]
            assert replayed.get(name) == told.get("OldImage")
            if record["eventName"] == "REMOVE":
                del replayed[name]
            else:
                replayed[name] = told["NewImage"]
        assert replayed == expected

    def test_a_shard_is_in_the_order_of_its_sequence_numbers(
        self, dynamodb: Any, streams: Any, streamed: str
    ) -> None:
        for number in range(30):
            dynamodb.put_item(TableName=streamed, Item=item(f"item {number}", number))
        arn = arn_of(dynamodb, streamed)
        records_of(streams, arn, 30)
        for shard in shards_of(streams, arn):
            found, _ = read_on(streams, iterator(streams, arn, shard["ShardId"]), Limit=7)
            numbers = [int(record["dynamodb"]["SequenceNumber"]) for record in found]
            assert numbers == sorted(set(numbers))
            start = int(shard["SequenceNumberRange"]["StartingSequenceNumber"])
            assert all(start <= number for number in numbers)

    def test_the_records_of_one_item_are_in_one_shard(
        self, dynamodb: Any, streams: Any, streamed: str
    ) -> None:
        for turn in range(5):
            dynamodb.put_item(TableName=streamed, Item=item("a", turn))
        arn = arn_of(dynamodb, streamed)
        records_of(streams, arn, 5)
        counts = [
            len(read_on(streams, iterator(streams, arn, shard["ShardId"]))[0])
            for shard in shards_of(streams, arn)
        ]
        assert sorted(count for count in counts if count) == [5]


class TestIterators:
    """The four ways into a shard."""

    @pytest.fixture
    def shard(self, dynamodb: Any, streams: Any, streamed: str) -> tuple[str, str, list[str]]:
        """A stream, its shard with five records, and their sequence numbers."""
        for turn in range(5):
            dynamodb.put_item(TableName=streamed, Item=item("a", turn))
        arn = arn_of(dynamodb, streamed)
        records_of(streams, arn, 5)
        for shard in shards_of(streams, arn):
            found, _ = read_on(streams, iterator(streams, arn, shard["ShardId"]))
            if found:
                return arn, shard["ShardId"], [record["dynamodb"]["SequenceNumber"] for record in found]
        raise AssertionError("no shard has the records")

    def read(self, streams: Any, start: str, **more: Any) -> list[str]:
        found, _ = read_on(streams, start, **more)
        return [record["dynamodb"]["SequenceNumber"] for record in found]

    def test_trim_horizon_begins_with_the_oldest(self, streams: Any, shard: Any) -> None:
        arn, own, numbers = shard
        assert self.read(streams, iterator(streams, arn, own)) == numbers

    def test_at_and_after_a_sequence_number(self, streams: Any, shard: Any) -> None:
        arn, own, numbers = shard
        for place, number in enumerate(numbers):
            at = iterator(streams, arn, own, "AT_SEQUENCE_NUMBER", SequenceNumber=number)
            assert self.read(streams, at) == numbers[place:]
            after = iterator(streams, arn, own, "AFTER_SEQUENCE_NUMBER", SequenceNumber=number)
            assert self.read(streams, after) == numbers[place + 1 :]

    @pytest.mark.differs_from_dynamodb_local("it does not have it")
    def test_a_timestamp_begins_with_what_is_as_young(self, streams: Any, shard: Any) -> None:
        arn, own, numbers = shard
        at = {"StreamArn": arn, "ShardId": own, "ShardIteratorType": "AT_TIMESTAMP"}
        moment = datetime.datetime(2001, 1, 1, tzinfo=datetime.UTC)
        start = streams.get_shard_iterator(**at, Timestamp=moment)["ShardIterator"]
        assert self.read(streams, start) == numbers

    @pytest.mark.differs_from_dynamodb_local("it does not have it")
    def test_a_timestamp_that_has_not_come_is_refused(self, raw: RawClient, shard: Any) -> None:
        arn, own, _ = shard
        at = {"StreamArn": arn, "ShardId": own, "ShardIteratorType": "AT_TIMESTAMP"}
        answer = call(raw, "GetShardIterator", {**at, "Timestamp": 32_472_144_000})
        assert (answer.status, answer.type.split("#")[-1]) == (400, "ValidationException"), answer.body

    def test_latest_begins_with_what_comes(
        self, dynamodb: Any, streams: Any, streamed: str, shard: Any
    ) -> None:
        arn, own, _ = shard
        start: str | None = iterator(streams, arn, own, "LATEST")
        found, start = read_on(streams, start)
        assert found == []
        dynamodb.put_item(TableName=streamed, Item=item("a", 100))

        def look() -> list[Record]:
            nonlocal start
            more, start = read_on(streams, start)
            return more

        (record,) = wait_for("the record", look)
        assert record["dynamodb"]["NewImage"] == item("a", 100)

    def test_a_limit_ends_a_page(self, streams: Any, shard: Any) -> None:
        arn, own, numbers = shard
        start: str | None = iterator(streams, arn, own)
        for number in numbers:
            assert start is not None
            answer = streams.get_records(ShardIterator=start, Limit=1)
            assert [record["dynamodb"]["SequenceNumber"] for record in answer["Records"]] == [number]
            start = answer["NextShardIterator"]

    def test_an_iterator_may_be_used_again(self, streams: Any, shard: Any) -> None:
        arn, own, numbers = shard
        start = iterator(streams, arn, own)
        assert self.read(streams, start) == self.read(streams, start) == numbers

    @pytest.mark.parametrize(
        ("change", "error", "sentence"),
        [
            (
                {"ShardIteratorType": "AT_SEQUENCE_NUMBER"},
                "ValidationException",
                f"{INVALID}Invalid SequenceNumber",
            ),
            (
                {"SequenceNumber": "1" * 21},
                "ValidationException",
                f"{INVALID}SequenceNumber should not be passed for this iterator type",
            ),
            (
                {"ShardIteratorType": "AT_SEQUENCE_NUMBER", "SequenceNumber": "short"},
                "ValidationException",
                f"{ONE_ERROR}'short' at 'sequenceNumber' failed to satisfy constraint: Member must have "
                "length greater than "
                "or equal to 21",
            ),
            (
                {"ShardId": NO_SHARD},
                "ResourceNotFoundException",
                "Requested resource not found: Shard does not exist",
            ),
        ],
    )
    def test_a_place_that_is_none_is_refused(
        self, raw: RawClient, shard: Any, change: Item, error: str, sentence: str
    ) -> None:
        arn, own, _ = shard
        request = {"StreamArn": arn, "ShardId": own, "ShardIteratorType": "TRIM_HORIZON", **change}
        refused_by_streams(call(raw, "GetShardIterator", request), error, sentence)

    def test_an_unknown_stream_has_no_iterator(self, raw: RawClient, shard: Any) -> None:
        arn, own, _ = shard
        other = arn[: arn.rindex("/")] + "/2001-01-01T00:00:00.000"
        request = {"StreamArn": other, "ShardId": own, "ShardIteratorType": "TRIM_HORIZON"}
        refused_by_streams(
            call(raw, "GetShardIterator", request),
            "ResourceNotFoundException",
            f"Requested resource not found: Stream: {other} not found",
        )

    def test_an_unknown_way_is_refused(self, raw: RawClient, shard: Any) -> None:
        arn, own, _ = shard
        answer = call(
            raw, "GetShardIterator", {"StreamArn": arn, "ShardId": own, "ShardIteratorType": "SOMEWHERE"}
        )
        assert answer.status in (400, 500), answer.body

    def test_an_iterator_that_is_none_is_refused(self, raw: RawClient) -> None:
        for request in ({"ShardIterator": "nothing"}, {"ShardIterator": "a" * 300}):
            refused_by_streams(
                call(raw, "GetRecords", request), "ValidationException", "Invalid ShardIterator"
            )

    def test_an_iterator_that_was_tampered_with_is_refused(
        self, raw: RawClient, streams: Any, shard: Any
    ) -> None:
        arn, own, _ = shard
        start = iterator(streams, arn, own)
        forged = start[:-1] + ("A" if start[-1] != "A" else "B")
        refused_by_streams(
            call(raw, "GetRecords", {"ShardIterator": forged}), "ValidationException", "Invalid ShardIterator"
        )

    @pytest.mark.parametrize(
        ("limit", "sentence"),
        [
            (
                0,
                f"{ONE_ERROR}'0' at 'limit' failed to satisfy constraint: Member must have value greater "
                "than or equal to 1",
            ),
            (1001, f"{INVALID}Limit should be less than or equal to 1000"),
        ],
    )
    def test_a_limit_has_bounds(
        self, raw: RawClient, streams: Any, shard: Any, limit: int, sentence: str
    ) -> None:
        arn, own, _ = shard
        request = {"ShardIterator": iterator(streams, arn, own), "Limit": limit}
        refused_by_streams(call(raw, "GetRecords", request), "ValidationException", sentence)


class TestListings:
    """DescribeStream and ListStreams, page by page."""

    def test_shards_come_in_pages(self, dynamodb: Any, streams: Any, streamed: str) -> None:
        arn = arn_of(dynamodb, streamed)
        whole = [shard["ShardId"] for shard in shards_of(streams, arn)]
        assert [shard["ShardId"] for shard in shards_of(streams, arn, limit=1)] == whole
        assert len(set(whole)) == len(whole)
        last = streams.describe_stream(StreamArn=arn, ExclusiveStartShardId=whole[-1])
        assert last["StreamDescription"]["Shards"] == []

    @pytest.mark.parametrize(
        ("operation", "limit", "sentence"),
        [
            (
                "DescribeStream",
                0,
                f"{ONE_ERROR}'0' at 'limit' failed to satisfy constraint: Member must have value greater "
                "than or equal to 1",
            ),
            ("DescribeStream", 101, f"{INVALID}Limit cannot be greater than the maximum: 100"),
            (
                "ListStreams",
                0,
                f"{ONE_ERROR}'0' at 'limit' failed to satisfy constraint: Member must have value greater "
                "than or equal to 1",
            ),
            ("ListStreams", 101, f"{INVALID}Limit cannot be greater than the maximum allowed size: 100"),
        ],
    )
    def test_a_limit_has_bounds(
        self, raw: RawClient, dynamodb: Any, streamed: str, operation: str, limit: int, sentence: str
    ) -> None:
        request: Item = {"Limit": limit}
        if operation == "DescribeStream":
            request["StreamArn"] = arn_of(dynamodb, streamed)
        refused_by_streams(call(raw, operation, request), "ValidationException", sentence)

    def test_the_streams_of_a_table(self, dynamodb: Any, streams: Any, streamed: str) -> None:
        arn = arn_of(dynamodb, streamed)
        (found,) = streams.list_streams(TableName=streamed)["Streams"]
        assert found == {"StreamArn": arn, "TableName": streamed, "StreamLabel": arn.rsplit("/")[-1]}
        assert streams.list_streams(TableName=unused_name())["Streams"] == []

    def test_all_streams_come_in_pages(self, dynamodb: Any, streams: Any, make_table: MakeTable) -> None:
        own = {arn_of(dynamodb, make_table(**stream("KEYS_ONLY"))) for _ in range(3)}
        found: list[str] = []
        more: Item = {}
        while True:
            page = streams.list_streams(Limit=2, **more)
            assert len(page["Streams"]) <= 2
            found += [one["StreamArn"] for one in page["Streams"]]
            if "LastEvaluatedStreamArn" not in page:
                break
            more = {"ExclusiveStartStreamArn": page["LastEvaluatedStreamArn"]}
        assert len(set(found)) == len(found)
        assert own <= set(found)


class TestLife:
    """A stream is turned off and on; what it has recorded stays readable."""

    def change(self, dynamodb: Any, table: str, specification: Item) -> None:
        dynamodb.update_table(TableName=table, **specification)
        active(dynamodb, table)

    def test_a_table_gets_a_stream_later(self, dynamodb: Any, streams: Any, make_table: MakeTable) -> None:
        table = make_table()
        dynamodb.put_item(TableName=table, Item=item("a", 1))
        self.change(dynamodb, table, stream("NEW_IMAGE"))
        arn = arn_of(dynamodb, table)
        wait_for_status(streams, arn, "ENABLED")
        dynamodb.put_item(TableName=table, Item=item("a", 2))
        (record,) = records_of(streams, arn, 1)
        assert (record["eventName"], record["dynamodb"]["NewImage"]) == ("MODIFY", item("a", 2))

    def test_a_stream_that_is_off_stays_readable_and_ends(
        self, dynamodb: Any, streams: Any, streamed: str
    ) -> None:
        arn = arn_of(dynamodb, streamed)
        for turn in range(3):
            dynamodb.put_item(TableName=streamed, Item=item("a", turn))
        self.change(dynamodb, streamed, OFF)
        described = wait_for_status(streams, arn, "DISABLED")
        assert described["StreamViewType"] == "NEW_AND_OLD_IMAGES"
        dynamodb.put_item(TableName=streamed, Item=item("a", 99))
        told = dynamodb.describe_table(TableName=streamed)["Table"]
        assert "StreamSpecification" not in told
        assert told["LatestStreamArn"] == arn

        def ended() -> bool:
            shards = shards_of(streams, arn)
            return all("EndingSequenceNumber" in one["SequenceNumberRange"] for one in shards)

        wait_for("the end of all shards", ended)
        images = [record["dynamodb"]["NewImage"] for record in read_all(streams, arn)]
        assert images == [item("a", turn) for turn in range(3)]
        for shard in shards_of(streams, arn):
            start: str | None = iterator(streams, arn, shard["ShardId"])
            while start is not None:
                start = streams.get_records(ShardIterator=start).get("NextShardIterator")

    def test_a_stream_that_is_on_again_is_another(self, dynamodb: Any, streams: Any, streamed: str) -> None:
        old = arn_of(dynamodb, streamed)
        dynamodb.put_item(TableName=streamed, Item=item("a", 1))
        self.change(dynamodb, streamed, OFF)
        wait_for_status(streams, old, "DISABLED")
        dynamodb.put_item(TableName=streamed, Item=item("a", 2))
        self.change(dynamodb, streamed, stream("KEYS_ONLY"))
        new = arn_of(dynamodb, streamed)
        assert new != old
        wait_for_status(streams, new, "ENABLED")
        dynamodb.put_item(TableName=streamed, Item=item("a", 3))
        (record,) = records_of(streams, new, 1)
        assert record["dynamodb"].keys() & {"NewImage", "OldImage"} == set()
        assert record["eventName"] == "MODIFY"
        (earlier,) = records_of(streams, old, 1)
        assert earlier["dynamodb"]["NewImage"] == item("a", 1)
        listed = {one["StreamArn"] for one in streams.list_streams(TableName=streamed)["Streams"]}
        assert listed == {old, new}
        ids = [{one["ShardId"] for one in shards_of(streams, arn)} for arn in (old, new)]
        assert not ids[0] & ids[1]

    @pytest.mark.parametrize(
        "specification", [stream(), stream("KEYS_ONLY")], ids=["as it is", "with another view"]
    )
    def test_a_stream_is_not_turned_on_twice(
        self, raw: RawClient, streamed: str, specification: Item
    ) -> None:
        refused(
            raw.call("UpdateTable", {"TableName": streamed, **specification}),
            f"Table already has an enabled stream: TableName: {streamed}",
        )

    def test_a_stream_that_is_not_there_is_not_turned_off(
        self, raw: RawClient, make_table: MakeTable
    ) -> None:
        table = make_table()
        refused(
            raw.call("UpdateTable", {"TableName": table, **OFF}),
            f"Table has no stream to disable: TableName: {table}",
        )

    @pytest.mark.parametrize(
        ("specification", "sentence"),
        [
            (stream(None), f"{INVALID}If stream is being enabled then UpdateViewType is required"),
            (
                stream("KEYS_ONLY", enabled=False),
                f"{INVALID}If stream is being disabled, then UpdateViewType must not be specified",
            ),
        ],
    )
    def test_a_change_that_makes_no_sense_is_refused(
        self, raw: RawClient, streamed: str, specification: Item, sentence: str
    ) -> None:
        refused(raw.call("UpdateTable", {"TableName": streamed, **specification}), sentence)


def test_shards_are_read_after_their_parents() -> None:
    shards = [
        {"ShardId": "c", "ParentShardId": "b"},
        {"ShardId": "b", "ParentShardId": "a"},
        {"ShardId": "d", "ParentShardId": "gone"},
        {"ShardId": "a"},
    ]
    order = [shard["ShardId"] for shard in parents_first(shards)]
    assert order.index("a") < order.index("b") < order.index("c")
    assert sorted(order) == ["a", "b", "c", "d"]


def test_operations_of_streams_have_a_target_of_their_own(raw: RawClient) -> None:
    assert "Streams" in accepted(call(raw, "ListStreams", {}))
    assert raw.call("ListStreams", {}).status == 400

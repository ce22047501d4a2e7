"""Bulk operations: items of a bucket are put into a table that is in use; on one node, with a directory."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from conftest import connect, create_table, definitions, index, unused_name, wait_for
from server import Server

pytestmark = [
    pytest.mark.needs_stator_binary,
    pytest.mark.differs_from_dynamodb_local("it has no bulk operations"),
]


@pytest.fixture(scope="module")
def place(binary: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Any, Path]]:
    """A client of a server of its own, and the folder of its bucket `bucket`."""
    directory = tmp_path_factory.mktemp("bulk")
    bucket = directory / "buckets" / "bucket"
    bucket.mkdir(parents=True)
    with Server(binary, "--data-dir", str(directory)) as server:
        client = connect(server.target)
        yield client, bucket
        client.close()


def line(item: dict[str, Any], **more: Any) -> bytes:
    return json.dumps({"Item": item} | more).encode() + b"\n"


def start(client: Any, table: str, prefix: str, form: str = "DYNAMODB_JSON", **more: Any) -> str:
    """Begins to put what lies below a prefix; gives the ARN of the operation."""
    source = {"S3Bucket": "bucket", "S3KeyPrefix": prefix, "InputFormat": form}
    if "InputCompressionType" in more:
        source["InputCompressionType"] = more.pop("InputCompressionType")
    types = ["ERROR", "CONDITION_CHECK_FAILURE"]
    output = {"S3Bucket": "bucket", "S3KeyPrefix": "reports", "OutputType": types}
    started = client.start_bulk_put_items(
        TableName=table, InputS3Configuration=source, OutputS3Configuration=output, **more
    )["BulkOperationDescription"]
    assert started["BulkOperationStatus"] == "IN_PROGRESS"
    arn: str = started["BulkOperationArn"]
    return arn


def describe(client: Any, arn: str) -> dict[str, Any]:
    found: dict[str, Any] = client.describe_bulk_operation(BulkOperationArn=arn)["BulkOperationDescription"]
    return found


def ended(client: Any, arn: str, seconds: float = 60) -> dict[str, Any]:
    """Waits until an operation is over, and describes it."""

    def look() -> dict[str, Any] | None:
        found = describe(client, arn)
        return found if "EndTime" in found else None

    described: dict[str, Any] = wait_for(f"the operation {arn}", look, seconds)
    return described


def told(bucket: Path, arn: str, kind: str) -> list[dict[str, Any]]:
    """What a report tells."""
    folder = bucket / "reports" / "AWSDynamoDB" / arn.rsplit("/", 1)[1]
    parts = sorted((folder / kind).glob("*.json"))
    return [json.loads(text) for part in parts for text in part.read_text().splitlines()]


def test_indexes_and_streams_follow_and_the_report_tells_the_rest(place: tuple[Any, Path]) -> None:
    client, bucket = place
    table = unused_name()
    create_table(
        client,
        table,
        AttributeDefinitions=definitions("pk:S", "by:S"),
        GlobalSecondaryIndexes=[index("of-by", "by")],
        StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"},
    )
    client.put_item(TableName=table, Item={"pk": {"S": "there"}, "by": {"S": "old"}})
    if_new = {"ConditionExpression": "attribute_not_exists(pk)"}
    lines = [
        line({"pk": {"S": "new"}, "by": {"S": "x"}}, **if_new),
        line({"pk": {"S": "there"}, "by": {"S": "x"}}, **if_new),
        b"no item\n",
        line({"pk": {"S": "wrong"}, "by": {"N": "1"}}),
        line({"pk": {"S": "large"}, "t": {"S": "x" * 410_000}}),
    ]
    (bucket / "follow").write_bytes(gzip.compress(b"".join(lines)))
    arn = start(client, table, "follow", InputCompressionType="GZIP")
    described = ended(client, arn)
    counts = ("BulkOperationStatus", "ProcessedItemCount", "FailedItemCount", "ProcessedInputBytes")
    size = (bucket / "follow").stat().st_size
    assert [described[count] for count in counts] == ["COMPLETED_WITH_ERRORS", 5, 3, size]
    usage = described["BulkOperationUsage"][0]
    assert usage["GlobalSecondaryIndexes"] == {"of-by": {"BulkPutBytes": 1024}}
    assert (usage["BulkPutBytes"], usage["Table"]["BulkPutBytes"]) == (2048, 1024)
    assert [failure["RecordNumber"] for failure in told(bucket, arn, "errors")] == [2, 3, 4]
    assert told(bucket, arn, "condition-check-failures") == [
        {
            "S3Key": "follow",
            "RecordNumber": 1,
            "Item": {"pk": {"S": "there"}, "by": {"S": "x"}},
            "ExistingItem": {"pk": {"S": "there"}, "by": {"S": "old"}},
        }
    ]
    found = client.query(
        TableName=table,
        IndexName="of-by",
        KeyConditionExpression="#by = :x",
        ExpressionAttributeNames={"#by": "by"},
        ExpressionAttributeValues={":x": {"S": "x"}},
    )
    assert [item["pk"]["S"] for item in found["Items"]] == ["new"]
    assert client.get_item(TableName=table, Key={"pk": {"S": "there"}})["Item"]["by"] == {"S": "old"}


def test_an_operation_is_cancelled_and_what_it_has_put_stays(place: tuple[Any, Path]) -> None:
    client, bucket = place
    table = unused_name()
    create_table(client, table)
    folder = bucket / "many"
    folder.mkdir()
    objects, each = 20, 600
    for number in range(objects):
        lines = [line({"pk": {"S": f"{number}-{place}"}}) for place in range(each)]
        (folder / f"{number:02}").write_bytes(b"".join(lines))
    # A dozen seconds, if nobody ends it.
    arn = start(client, table, "many/", MaxWriteRequestUnits=1024)
    wait_for("progress", lambda: describe(client, arn)["ProcessedItemCount"] > 0)
    answer = client.cancel_bulk_operation(BulkOperationArn=arn)
    assert (answer["BulkOperationArn"], answer["BulkOperationStatus"]) == (arn, "CANCELLING")
    described = ended(client, arn)
    assert described["BulkOperationStatus"] == "CANCELLED", described
    assert described["FailureCode"]
    put = described["ProcessedItemCount"]
    assert 0 < put < objects * each
    count = client.scan(TableName=table, Select="COUNT", ConsistentRead=True)["Count"]
    assert count == put
    assert client.cancel_bulk_operation(BulkOperationArn=arn)["BulkOperationStatus"] == "CANCELLED"
    listed = client.list_bulk_operations(MaxResults=1)["BulkOperationsSummaryList"]
    assert [operation["BulkOperationArn"] for operation in listed] == [arn]


def test_what_cannot_be_begun_is_refused(place: tuple[Any, Path]) -> None:
    client, bucket = place
    (bucket / "one").write_bytes(line({"pk": {"S": "a"}}))
    with pytest.raises(client.exceptions.ResourceNotFoundException):
        start(client, unused_name(), "one")
    table = unused_name()
    create_table(client, table)
    token = unused_name()
    arn = start(client, table, "one", ClientToken=token)
    assert ended(client, arn)["BulkOperationStatus"] == "COMPLETED"
    with pytest.raises(client.exceptions.IdempotentParameterMismatchException):
        start(client, table, "other", ClientToken=token)
    for operation in (client.describe_bulk_operation, client.cancel_bulk_operation):
        with pytest.raises(client.exceptions.ResourceNotFoundException):
            operation(BulkOperationArn=arn[:-8] + "00000000")
    nothing = ended(client, start(client, table, "nothing/"))
    assert (nothing["BulkOperationStatus"], nothing["FailureCode"]) == ("FAILED", "S3NoSuchKey")

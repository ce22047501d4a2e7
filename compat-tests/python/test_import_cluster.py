"""Imports and exports of a cluster of three nodes with an S3 server, with a `kill -9` of every node during an import."""

from __future__ import annotations

import base64
import gzip
import json
import os
from pathlib import Path
from typing import Any

import pytest

from buckets import ended_import, exported, s3_server, table_parameters
from conftest import active, wait_for
from demo_cluster import Balancer, DemoCluster

ROWS = 24_000
OBJECTS = 3


def line(number: int) -> str:
    """A record of the import."""
    item = {"pk": {"S": f"key-{number}"}, "n": {"N": str(number)}, "pad": {"S": "x" * 300}}
    return json.dumps({"Item": item}) + "\n"


@pytest.mark.needs_stator_binary
def test_an_import_is_completed_though_every_node_is_killed(binary: str, tmp_path: Path) -> None:
    with s3_server(tmp_path) as (s3, section):
        each = ROWS // OBJECTS
        for place in range(OBJECTS):
            # One record in each object is none.
            lines = [line(number) for number in range(place * each, (place + 1) * each)]
            lines.insert(each // 2, "no item\n")
            s3.put_object(Bucket="bucket", Key=f"in put/{place}+ä.json", Body="".join(lines).encode())
        # Slow enough that there is something to be killed.
        section += "bytes_per_second = 400000\n"
        with (
            DemoCluster(binary, tmp_path / "demo", section) as cluster,
            Balancer(cluster.addresses) as balancer,
        ):
            client = cluster.client(balancer.address)
            check(client, s3, cluster)
            client.close()


def check(client: Any, s3: Any, cluster: DemoCluster) -> None:
    """Imports under `kill -9`, looks at all items, exports them and imports those."""
    arn = client.import_table(
        S3BucketSource={"S3Bucket": "bucket", "S3KeyPrefix": "in put/"},
        InputFormat="DYNAMODB_JSON",
        TableCreationParameters=table_parameters("imported", "pk:S"),
    )["ImportTableDescription"]["ImportArn"]

    def look() -> tuple[bool, int]:
        """Whether it is under way, and how far."""
        found = client.describe_import(ImportArn=arn)["ImportTableDescription"]
        return found["ImportStatus"] == "IN_PROGRESS", int(found["ProcessedItemCount"])

    # Whichever leads the metadata is killed while it imports.
    for place in range(3):
        before = look()
        wait_for("progress", lambda: look() != before, 60)
        is_under_way, seen = look()
        assert is_under_way, f"over with {seen} records before node {place + 1} was killed"
        cluster.kill(place)
        cluster.wait_until_back(place)
    described = ended_import(client, arn, 180)
    # All is there that could be; what could not be makes it fail, as in the service.
    ended = (described["ImportStatus"], described["FailureCode"])
    assert ended == ("FAILED", "ItemValidationError"), described
    counts = ("ProcessedItemCount", "ImportedItemCount", "ErrorCount")
    assert [described[count] for count in counts] == [ROWS + OBJECTS, ROWS, OBJECTS]
    assert numbers(client, "imported") == list(range(ROWS))

    export = exported(client, "imported", "bucket", S3Prefix="out/")
    assert export["ItemCount"] == ROWS
    keys = [found["Key"] for found in s3.list_objects_v2(Bucket="bucket", Prefix="out/")["Contents"]]
    assert export["ExportManifest"] in keys
    again = client.import_table(
        S3BucketSource={
            "S3Bucket": "bucket",
            "S3KeyPrefix": export["ExportManifest"].rsplit("/", 1)[0] + "/data/",
        },
        InputFormat="DYNAMODB_JSON",
        InputCompressionType="GZIP",
        TableCreationParameters=table_parameters("again", "pk:S"),
    )["ImportTableDescription"]["ImportArn"]
    assert ended_import(client, again, 180)["ImportedItemCount"] == ROWS


    check_large(client, s3)


def check_large(client: Any, s3: Any) -> None:
    """An export whose data file is written in several parts is whole, and no parts are left behind."""
    client.create_table(
        TableName="large",
        AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
        BillingMode="PAY_PER_REQUEST",
    )
    active(client, "large")
    items = {f"key-{number}": os.urandom(300_000) for number in range(30)}
    for key, noise in items.items():
        client.put_item(TableName="large", Item={"pk": {"S": key}, "b": {"B": noise}})
    export = exported(client, "large", "bucket", S3Prefix="large")
    assert export["ItemCount"] == len(items)
    folder = export["ExportManifest"].rsplit("/", 1)[0] + "/data/"
    [found] = s3.list_objects_v2(Bucket="bucket", Prefix=folder)["Contents"]
    assert found["Size"] > 8 << 20
    assert found["ETag"].strip('"').endswith("-2"), "it was written in parts"
    data = gzip.decompress(s3.get_object(Bucket="bucket", Key=found["Key"])["Body"].read())
    lines = [json.loads(line)["Item"] for line in data.splitlines()]
    assert {line["pk"]["S"]: base64.b64decode(line["b"]["B"]) for line in lines} == items
    assert "Uploads" not in s3.list_multipart_uploads(Bucket="bucket")


def numbers(client: Any, table: str) -> list[int]:
    """The numbers of all items."""
    pages = client.get_paginator("scan").paginate(TableName=table, ConsistentRead=True)
    return sorted(int(item["n"]["N"]) for page in pages for item in page["Items"])

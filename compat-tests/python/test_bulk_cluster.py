"""A bulk operation on a cluster of three nodes with an S3 server, with a `kill -9` of every node."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from buckets import s3_server
from conftest import active, wait_for
from demo_cluster import Balancer, DemoCluster
from test_bulk import describe, ended, line, start

ROWS = 30_000
OBJECTS = 30


@pytest.mark.needs_stator_binary
def test_every_item_is_put_once_though_every_node_is_killed(binary: str, tmp_path: Path) -> None:
    with s3_server(tmp_path) as (s3, section):
        each = ROWS // OBJECTS
        for place in range(OBJECTS):
            numbers = range(place * each, (place + 1) * each)
            # Whoever puts one twice finds it there.
            condition = {"ConditionExpression": "attribute_not_exists(pk)"}
            lines = [line({"pk": {"S": f"key-{number}"}}, **condition) for number in numbers]
            lines.insert(each // 2, b"no item\n")
            s3.put_object(Bucket="bucket", Key=f"in/{place:03}", Body=b"".join(lines))
        with (
            DemoCluster(binary, tmp_path / "demo", section) as cluster,
            Balancer(cluster.addresses) as balancer,
        ):
            client = cluster.client(balancer.address)
            check(client, s3, cluster)
            client.close()


def check(client: Any, s3: Any, cluster: DemoCluster) -> None:
    """Puts under `kill -9`, and looks at the counts, the items and the report."""
    client.create_table(
        TableName="bulk",
        AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
        BillingMode="PAY_PER_REQUEST",
    )
    active(client, "bulk")
    # Slow enough that there is something to be killed.
    arn = start(client, "bulk", "in/", MaxWriteRequestUnits=1024)
    for place in range(3):
        before = describe(client, arn)["ProcessedItemCount"]
        wait_for("progress", lambda before=before: describe(client, arn)["ProcessedItemCount"] > before, 60)
        assert describe(client, arn)["BulkOperationStatus"] == "IN_PROGRESS"
        cluster.kill(place)
        cluster.wait_until_back(place)
    described = ended(client, arn, 180)
    counts = ("BulkOperationStatus", "ProcessedItemCount", "FailedItemCount")
    assert [described[count] for count in counts] == ["COMPLETED_WITH_ERRORS", ROWS + OBJECTS, OBJECTS]
    pages = client.get_paginator("scan").paginate(TableName="bulk", ConsistentRead=True)
    assert sum(page["Count"] for page in pages) == ROWS
    folder = f"reports/AWSDynamoDB/{arn.rsplit('/', 1)[1]}/"
    parts = s3.list_objects_v2(Bucket="bucket", Prefix=folder)["Contents"]

    def told(kind: str) -> int:
        keys = [part["Key"] for part in parts if part["Key"].startswith(folder + kind)]
        bodies = [s3.get_object(Bucket="bucket", Key=key)["Body"].read() for key in keys]
        return sum(body.count(b"\n") for body in bodies)

    assert told("errors") == OBJECTS
    assert told("condition-check-failures") == 0

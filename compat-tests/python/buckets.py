"""Buckets for exports and imports: folders of a directory, and moto's S3 server on this machine."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
from moto.server import ThreadedMotoServer

from conftest import wait_for

ACCESS_KEY_ID = "AKIDBUCKETS"
SECRET_ACCESS_KEY = "secret-of-buckets"


def table_parameters(name: str, *keys: str, indexes: list[dict[str, Any]] | None = None) -> dict[str, Any]:
    """TableCreationParameters of a table keyed by these attributes (written `name:type`)."""
    pairs = [key.split(":") for key in keys]
    parameters: dict[str, Any] = {
        "TableName": name,
        "AttributeDefinitions": [{"AttributeName": n, "AttributeType": t} for n, t in pairs],
        "KeySchema": [{"AttributeName": pairs[0][0], "KeyType": "HASH"}],
        "BillingMode": "PAY_PER_REQUEST",
    }
    if indexes:
        parameters["GlobalSecondaryIndexes"] = indexes
    return parameters


def ended_import(client: Any, arn: str, seconds: float = 60) -> dict[str, Any]:
    """Waits until an import is over, and describes it."""

    def look() -> dict[str, Any] | None:
        found: dict[str, Any] = client.describe_import(ImportArn=arn)["ImportTableDescription"]
        return found if found["ImportStatus"] != "IN_PROGRESS" else None

    described: dict[str, Any] = wait_for(f"the import {arn}", look, seconds)
    return described


def keep_history(client: Any, table: str) -> None:
    """Turns point-in-time recovery on, without which no table is exported."""
    client.update_continuous_backups(
        TableName=table, PointInTimeRecoverySpecification={"PointInTimeRecoveryEnabled": True}
    )


def exported(client: Any, table: str, bucket: str, **more: Any) -> dict[str, Any]:
    """Exports a table, after its history has begun, waits for the end, and describes the export."""
    keep_history(client, table)
    arn = client.describe_table(TableName=table)["Table"]["TableArn"]
    asked = client.export_table_to_point_in_time(TableArn=arn, S3Bucket=bucket, **more)

    def look() -> dict[str, Any] | None:
        found: dict[str, Any] = client.describe_export(ExportArn=asked["ExportDescription"]["ExportArn"])[
            "ExportDescription"
        ]
        return found if found["ExportStatus"] != "IN_PROGRESS" else None

    described: dict[str, Any] = wait_for("the export", look, 60)
    assert described["ExportStatus"] == "COMPLETED", described
    return described


@contextlib.contextmanager
def s3_server(directory: Path) -> Iterator[tuple[Any, str]]:
    """An S3 server with a bucket `bucket`: a client of it, and the section of a configuration that names it."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        endpoint = f"http://{host}:{port}"
        client = boto3.session.Session().client(
            "s3",
            endpoint_url=endpoint,
            region_name="us-east-1",
            aws_access_key_id=ACCESS_KEY_ID,
            aws_secret_access_key=SECRET_ACCESS_KEY,
        )
        client.create_bucket(Bucket="bucket")
        credentials = directory / "bucket-credentials"
        credentials.write_text(
            f"[default]\naws_access_key_id = {ACCESS_KEY_ID}\naws_secret_access_key = {SECRET_ACCESS_KEY}\n"
        )
        section = f'\n[object_store]\nendpoint = "{endpoint}"\ncredentials = "{credentials}"\n'
        yield client, section
        client.close()
    finally:
        server.stop()

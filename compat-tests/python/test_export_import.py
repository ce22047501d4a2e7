"""Exports into buckets and imports from there: formats, compression, bad records, tokens; on one node, with a directory."""

from __future__ import annotations

import base64
import gzip
import hashlib
import io
import json
from collections.abc import Iterator
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from amazon.ion import simpleion
from amazon.ion.core import IonType
from boto3.dynamodb.types import Binary, TypeDeserializer
from botocore.exceptions import ClientError

from buckets import ended_import, exported, keep_history, table_parameters
from conftest import active, connect, create_table, index, unused_name
from server import Server
from test_point_in_time import enable, next_second, recovery, wait_until_restorable

pytestmark = [
    pytest.mark.needs_stator_binary,
    pytest.mark.differs_from_dynamodb_local("it has no exports and imports"),
]

ITEMS: list[dict[str, Any]] = [
    {
        "pk": {"S": "all"},
        "b": {"B": bytes(range(256))},
        "n": {"N": "-12345678901234567890123456789012345678"},
    },
    {"pk": {"S": "sets"}, "ss": {"SS": ["", "x"]}, "ns": {"NS": ["1", "2.5"]}, "bs": {"BS": [b"", b"\x00"]}},
    {"pk": {"S": "empty"}, "s": {"S": ""}, "b": {"B": b""}, "l": {"L": []}, "m": {"M": {}}},
    {"pk": {"S": "ä \"'\n\t\\ \u2028 𝄞"}, "a:b '\"": {"S": "$ion_1_0 {{x}}"}},
    {
        "pk": {"S": "deep"},
        "l": {
            "L": [{"NULL": True}, {"BOOL": False}, {"M": {"k": {"L": [{"N": "9.9e125"}, {"N": "1e-130"}]}}}]
        },
    },
]


@pytest.fixture(scope="module")
def place(binary: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Any, Path]]:
    """A client of a server of its own, and the folder of its bucket `bucket`."""
    directory = tmp_path_factory.mktemp("export")
    bucket = directory / "buckets" / "bucket"
    bucket.mkdir(parents=True)
    with Server(binary, "--data-dir", str(directory)) as server:
        client = connect(server.target)
        yield client, bucket
        client.close()


def all_items(client: Any, table: str) -> list[dict[str, Any]]:
    """All items of a table, in the order of their keys, the elements of sets in theirs."""
    pages = client.get_paginator("scan").paginate(TableName=table)
    found = [item for page in pages for item in page["Items"]]
    for item in found:
        for value in item.values():
            for kind in ("SS", "NS", "BS"):
                if kind in value:
                    value[kind].sort()
    return sorted(found, key=lambda item: str(item["pk"]))


def import_table(client: Any, prefix: str, form: str, **more: Any) -> dict[str, Any]:
    """Imports into a table keyed by `pk`, waits for the end, and describes the import."""
    parameters = more.pop("parameters", None) or table_parameters(unused_name(), "pk:S")
    asked = client.import_table(
        S3BucketSource={"S3Bucket": "bucket", "S3KeyPrefix": prefix},
        InputFormat=form,
        TableCreationParameters=parameters,
        **more,
    )["ImportTableDescription"]
    assert asked["ImportStatus"] == "IN_PROGRESS"
    described = ended_import(client, asked["ImportArn"])
    described["name"] = parameters["TableName"]
    return described


def compressed_with_zstd(data: bytes) -> bytes:
    """A Zstandard frame of one raw block: what a reader has to understand, without a compressor."""
    assert len(data) < 1 << 17
    header = b"\x28\xb5\x2f\xfd" + bytes([0xA0]) + len(data).to_bytes(4, "little")
    return header + ((len(data) << 3) | 1).to_bytes(3, "little") + data


def read_by_boto3(data: bytes) -> list[dict[str, Any]]:
    """Lines of DynamoDB JSON, as boto3 makes Python values of them."""
    lines = [json.loads(line) for line in data.splitlines()]
    assert all(list(line) == ["Item"] for line in lines)
    return [deserialized(with_bytes(line["Item"])) for line in lines]


def with_bytes(value: Any) -> Any:
    """The same with Base64 decoded, as botocore does before boto3 sees it."""
    if isinstance(value, list):
        return [with_bytes(one) for one in value]
    if not isinstance(value, dict):
        return value
    decode = {
        "B": base64.b64decode,
        "BS": lambda parts: [base64.b64decode(part) for part in parts],
    }
    if len(value) == 1:
        [(kind, held)] = value.items()
        if kind in decode and isinstance(held, (str, list)):
            return {kind: decode[kind](held)}
    return {name: with_bytes(held) for name, held in value.items()}


class Deserializer(TypeDeserializer):
    """boto3's, which refuses numbers that are written with more than 38 digits, such as 9.9e125."""

    def _deserialize_n(self, value: str) -> Decimal:
        return Decimal(value)


def deserialized(item: dict[str, Any]) -> dict[str, Any]:
    """The Python values of an item."""
    deserializer = Deserializer()
    return {name: deserializer.deserialize(value) for name, value in item.items()}


def read_by_ion(data: bytes) -> list[dict[str, Any]]:
    """A stream of Ion, as Amazon's library makes Python values of it, sets by their annotations."""
    found = simpleion.load(io.BytesIO(data), single_value=False)
    assert all(list(one.keys()) == ["Item"] for one in found)
    return [{str(name): plain(value) for name, value in one["Item"].items()} for one in found]


def plain(value: Any) -> Any:
    """What boto3 makes of the same value."""
    annotations = [annotation.text for annotation in value.ion_annotations]
    match value.ion_type:
        case IonType.NULL:
            return None
        case IonType.BOOL:
            return bool(value)
        case IonType.INT | IonType.DECIMAL:
            return Decimal(str(value))
        case IonType.STRING:
            return str(value)
        case IonType.BLOB:
            return Binary(bytes(value))
        case IonType.STRUCT:
            return {str(name): plain(held) for name, held in value.items()}
        case IonType.LIST if annotations == []:
            return [plain(held) for held in value]
        case IonType.LIST:
            kinds = {"$dynamodb_SS": str, "$dynamodb_NS": Decimal, "$dynamodb_BS": Binary}
            held = [plain(one) for one in value]
            [kind] = annotations
            assert all(isinstance(one, kinds[kind]) for one in held)
            return set(held)
    raise AssertionError(f"an export has no {value.ion_type}")


@pytest.mark.parametrize(("form", "read"), [("DYNAMODB_JSON", read_by_boto3), ("ION", read_by_ion)])
def test_an_export_is_read_by_the_libraries_of_others(place: tuple[Any, Path], form: str, read: Any) -> None:
    client, bucket = place
    table = unused_name()
    create_table(client, table)
    for item in ITEMS:
        client.put_item(TableName=table, Item=item)
    export = exported(client, table, "bucket", S3Prefix="read", ExportFormat=form)
    summary = json.loads((bucket / export["ExportManifest"]).read_text())
    found = []
    for line in (bucket / summary["manifestFilesS3Key"]).read_text().splitlines():
        file = json.loads(line)
        items = read(gzip.decompress((bucket / file["dataFileS3Key"]).read_bytes()))
        assert len(items) == file["itemCount"]
        found += items
    expected = [deserialized(item) for item in ITEMS]
    assert sorted(found, key=lambda item: item["pk"]) == sorted(expected, key=lambda item: item["pk"])


@pytest.mark.parametrize("form", ["DYNAMODB_JSON", "ION"])
def test_an_export_is_imported_to_the_same_items(place: tuple[Any, Path], form: str) -> None:
    client, bucket = place
    table = unused_name()
    create_table(client, table)
    for item in ITEMS:
        client.put_item(TableName=table, Item=item)
    export = exported(client, table, "bucket", S3Prefix="out", ExportFormat=form, S3SseAlgorithm="AES256")
    assert (export["ItemCount"], export["S3Prefix"]) == (len(ITEMS), "out")
    assert "ExportType" not in export
    identity = export["ExportArn"].rsplit("/", 1)[1]
    assert export["ExportManifest"] == f"out/AWSDynamoDB/{identity}/manifest-summary.json"

    folder = bucket / "out" / "AWSDynamoDB" / identity
    for name in ("manifest-summary", "manifest-files"):
        digest = hashlib.md5((folder / f"{name}.json").read_bytes(), usedforsecurity=False).digest()
        assert (folder / f"{name}.md5").read_text() == base64.b64encode(digest).decode()
    summary = json.loads((folder / "manifest-summary.json").read_text())
    assert summary["exportArn"] == export["ExportArn"]
    assert (summary["itemCount"], summary["outputFormat"]) == (len(ITEMS), form)
    assert (summary["s3SseAlgorithm"], summary["s3SseKmsKeyId"]) == ("AES256", None)
    assert (bucket / summary["manifestFilesS3Key"]).is_file()
    files = [json.loads(line) for line in (folder / "manifest-files.json").read_text().splitlines()]
    assert sum(file["itemCount"] for file in files) == len(ITEMS)
    for file in files:
        data = (bucket / file["dataFileS3Key"]).read_bytes()
        digest = hashlib.md5(data, usedforsecurity=False).digest()
        assert file["md5Checksum"] == base64.b64encode(digest).decode()
        assert gzip.decompress(data).count(b"\n") == file["itemCount"]

    prefix = f"out/AWSDynamoDB/{identity}/data/"
    described = import_table(client, prefix, form, InputCompressionType="GZIP")
    assert (described["ImportStatus"], described["ErrorCount"]) == ("COMPLETED", 0), described
    assert described["ImportedItemCount"] == described["ProcessedItemCount"] == len(ITEMS)
    assert all_items(client, described["name"]) == all_items(client, table)


@pytest.mark.parametrize("compression", ["NONE", "GZIP", "ZSTD"])
def test_csv_is_imported_with_its_indexes(place: tuple[Any, Path], compression: str) -> None:
    client, bucket = place
    text = b'pk,n,by,more\na,007,x,"one, ""two"""\nb,8,,\nshort\nc,none,y,z\nd,9,x,' + b"m" * 1000 + b"\n"
    pack = {"NONE": bytes, "GZIP": gzip.compress, "ZSTD": compressed_with_zstd}[compression]
    folder = bucket / compression
    folder.mkdir()
    (folder / "1.csv").write_bytes(pack(text))
    name = unused_name()
    parameters = table_parameters(
        name,
        "pk:S",
        "n:N",
        "by:S",
        indexes=[index("by-n", "n"), index("by-by", "by", projection="KEYS_ONLY")],
    )
    described = import_table(
        client, f"{compression}/", "CSV", InputCompressionType=compression, parameters=parameters
    )
    ended = (described["ImportStatus"], described["FailureCode"])
    assert ended == ("FAILED", "ItemValidationError"), described
    counts = ("ProcessedItemCount", "ImportedItemCount", "ErrorCount", "ProcessedSizeBytes")
    assert [described[count] for count in counts] == [5, 3, 2, len(text)]
    assert described["TableCreationParameters"]["GlobalSecondaryIndexes"][0]["IndexName"] == "by-n"
    found = all_items(client, name)
    assert found[0] == {
        "pk": {"S": "a"},
        "n": {"N": "7"},
        "by": {"S": "x"},
        "more": {"S": 'one, "two"'},
    }
    assert found[1] == {"pk": {"S": "b"}, "n": {"N": "8"}, "more": {"S": ""}}
    assert client.scan(TableName=name, IndexName="by-by", Select="COUNT")["Count"] == 2
    assert active(client, name)["ItemCount"] == 3
    client.put_item(TableName=name, Item={"pk": {"S": "later"}})


def test_headers_and_delimiter_are_those_of_the_request(place: tuple[Any, Path]) -> None:
    client, bucket = place
    (bucket / "plain").write_text("a;1\nb;2\n")
    options = {"Csv": {"Delimiter": ";", "HeaderList": ["pk", "v"]}}
    described = import_table(client, "plain", "CSV", InputFormatOptions=options)
    assert described["InputFormatOptions"] == options
    assert all_items(client, described["name"]) == [
        {"pk": {"S": "a"}, "v": {"S": "1"}},
        {"pk": {"S": "b"}, "v": {"S": "2"}},
    ]


def test_a_table_without_items_is_exported(place: tuple[Any, Path]) -> None:
    client, _ = place
    table = unused_name()
    create_table(client, table)
    assert exported(client, table, "bucket")["ItemCount"] == 0


def test_what_cannot_be_done_fails_or_is_refused(place: tuple[Any, Path]) -> None:
    client, bucket = place
    (bucket / "one").write_text("pk\na\n")
    described = import_table(client, "nothing/", "CSV")
    assert (described["ImportStatus"], described["ImportedItemCount"]) == ("COMPLETED", 0)
    table = unused_name()
    arn = create_table(client, table)["TableArn"]
    with pytest.raises(client.exceptions.ResourceInUseException):
        import_table(client, "one", "CSV", parameters=table_parameters(table, "pk:S"))
    with pytest.raises(client.exceptions.PointInTimeRecoveryUnavailableException) as refused:
        client.export_table_to_point_in_time(TableArn=arn, S3Bucket="bucket")
    sentence = f"Point in time recovery is not enabled for table '{table}'"
    assert refused.value.response["Error"]["Message"] == sentence
    keep_history(client, table)
    with pytest.raises(client.exceptions.TableNotFoundException):
        client.export_table_to_point_in_time(TableArn=arn + "x", S3Bucket="bucket")
    failed = client.export_table_to_point_in_time(TableArn=arn, S3Bucket="missing")["ExportDescription"]
    with pytest.raises(AssertionError, match="S3NoSuchBucket"):
        exported(client, table, "missing")
    with pytest.raises(client.exceptions.ExportNotFoundException):
        client.describe_export(ExportArn=failed["ExportArn"][:-8] + "00000000")
    with pytest.raises(client.exceptions.ImportNotFoundException):
        client.describe_import(ImportArn=failed["ExportArn"].replace("/export/", "/import/"))


def test_a_table_is_exported_as_it_was(place: tuple[Any, Path]) -> None:
    client, bucket = place
    table = unused_name()
    arn = create_table(client, table)["TableArn"]
    client.put_item(TableName=table, Item={"pk": {"S": "a"}, "v": {"S": "old"}})
    client.put_item(TableName=table, Item={"pk": {"S": "b"}})
    enable(client, table)
    moment = next_second()
    client.put_item(TableName=table, Item={"pk": {"S": "a"}, "v": {"S": "new"}})
    client.delete_item(TableName=table, Key={"pk": {"S": "b"}})
    wait_until_restorable(client, table, moment)
    export = exported(client, table, "bucket", ExportTime=moment)
    assert (export["ExportTime"], export["ItemCount"]) == (moment, 2)
    identity = export["ExportArn"].rsplit("/", 1)[1]
    described = import_table(
        client, f"AWSDynamoDB/{identity}/data/", "DYNAMODB_JSON", InputCompressionType="GZIP"
    )
    assert all_items(client, described["name"]) == [
        {"pk": {"S": "a"}, "v": {"S": "old"}},
        {"pk": {"S": "b"}},
    ]
    assert (bucket / "AWSDynamoDB" / identity / "manifest-summary.json").is_file()
    window = recovery(client, table)
    for outside in (
        window["EarliestRestorableDateTime"] - timedelta(seconds=1),
        window["LatestRestorableDateTime"] + timedelta(hours=1),
    ):
        with pytest.raises(client.exceptions.InvalidExportTimeException):
            client.export_table_to_point_in_time(TableArn=arn, S3Bucket="bucket", ExportTime=outside)


def test_a_period_of_changes_is_checked(place: tuple[Any, Path]) -> None:
    client, _ = place
    table = unused_name()
    arn = create_table(client, table)["TableArn"]
    earliest = enable(client, table)

    def refused(period: dict[str, Any] | None, **more: Any) -> tuple[str, str]:
        if period is not None:
            more["IncrementalExportSpecification"] = period
        more = {"ExportType": "INCREMENTAL_EXPORT", **more}
        with pytest.raises(ClientError) as error:
            client.export_table_to_point_in_time(TableArn=arn, S3Bucket="bucket", **more)
        found = error.value.response["Error"]
        return found["Code"], found["Message"]

    def after(minutes: float) -> datetime:
        return earliest + timedelta(minutes=minutes)

    whole = {"ExportFromTime": earliest, "ExportToTime": after(15)}
    for period, more, part in (
        (None, {}, "Incremental Export Specification expected when export type is set"),
        ({"ExportToTime": earliest}, {}, "ExportFromTime must be provided"),
        (whole, {"ExportType": "FULL_EXPORT"}, "When Export Type is Full Export ,"),
        (whole, {"ExportTime": earliest}, "ExportTime"),
        ({**whole, "ExportViewType": "NEW_IMAGES"}, {}, "incrementalExportSpecification.exportViewType"),
    ):
        code, message = refused(period, **more)
        assert code == "ValidationException", message
        assert part in message
    for start, end, part in (
        (0, 0, "from time should not be greater or equal to incremental export period to time"),
        (0, 14.9, "is less than 15 minutes"),
        (0, 24 * 60 + 1, "is greater than 24 hours"),
        (-20, 0, "from time cannot be less than the table creation time"),
        (0, 15, "to time cannot be greater than the current time"),
    ):
        code, message = refused({"ExportFromTime": after(start), "ExportToTime": after(end)})
        assert code == "InvalidExportTimeException", message
        assert part in message


def test_a_token_is_good_for_one_import_and_one_export(place: tuple[Any, Path]) -> None:
    client, bucket = place
    (bucket / "token").write_text("pk\na\n")
    parameters = table_parameters(unused_name(), "pk:S")
    token = unused_name()
    first = import_table(client, "token", "CSV", parameters=parameters, ClientToken=token)
    again = client.import_table(
        S3BucketSource={"S3Bucket": "bucket", "S3KeyPrefix": "token"},
        InputFormat="CSV",
        TableCreationParameters=parameters,
        ClientToken=token,
    )["ImportTableDescription"]
    assert (again["ImportArn"], again["ImportStatus"]) == (first["ImportArn"], "COMPLETED")
    with pytest.raises(client.exceptions.ImportConflictException):
        import_table(client, "token", "ION", parameters=parameters, ClientToken=token)
    table = first["name"]
    export = exported(client, table, "bucket", ClientToken=token)
    assert exported(client, table, "bucket", ClientToken=token)["ExportArn"] == export["ExportArn"]
    with pytest.raises(client.exceptions.ExportConflictException):
        exported(client, table, "bucket", ClientToken=token, ExportFormat="ION")


def test_exports_and_imports_are_listed_in_pages(place: tuple[Any, Path]) -> None:
    client, bucket = place
    (bucket / "listed").write_text("pk\na\n")
    described = import_table(client, "listed", "CSV")
    table_arn = described["TableArn"]
    exports = [exported(client, described["name"], "bucket")["ExportArn"] for _ in range(3)]
    page = client.list_exports(TableArn=table_arn, MaxResults=2)
    rest = client.list_exports(TableArn=table_arn, MaxResults=2, NextToken=page["NextToken"])
    assert "NextToken" not in rest
    listed = [summary["ExportArn"] for summary in page["ExportSummaries"] + rest["ExportSummaries"]]
    assert listed == sorted(exports, reverse=True)
    imports = client.list_imports(TableArn=table_arn)["ImportSummaryList"]
    assert [summary["ImportArn"] for summary in imports] == [described["ImportArn"]]
    assert imports[0]["S3BucketSource"]["S3KeyPrefix"] == "listed"

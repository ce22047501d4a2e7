"""What SDKs see of HTTP: headers, checksums, request ids, health, compression, connections."""

from __future__ import annotations

import gzip
import http.client
import json
import re
import zlib
from typing import Any

import pytest

from errors import CORAL_SERVICE, accepted
from raw import CONTENT_TYPE, Answer, RawClient

LOCAL_IDS = "its request ids are UUIDs, and its errors carry no checksum"


def check(answer: Answer) -> None:
    """What every answer carries."""
    assert answer.headers["content-type"] == CONTENT_TYPE
    assert int(answer.headers["content-length"]) == len(answer.body)
    assert int(answer.headers["x-amz-crc32"]) == zlib.crc32(answer.body)
    assert re.fullmatch("[0-9A-Z]{52}", answer.headers["x-amzn-requestid"])


@pytest.mark.differs_from_dynamodb_local(LOCAL_IDS)
def test_every_answer_carries_type_length_checksum_and_request_id(raw: RawClient, table: str) -> None:
    key = {"pk": {"S": "é" * 100}}
    check(raw.call("PutItem", {"TableName": table, "Item": key}))
    check(raw.call("GetItem", {"TableName": table, "Key": key}))
    check(raw.call("Scan", {"TableName": table}))
    check(raw.call("ListTables", {}))
    check(raw.call("GetItem", {"TableName": table, "Key": {}}))
    check(raw.call("GetItem", {"TableName": "no.such.table", "Key": key}))
    check(raw.call("NoSuchOperation", {}))
    check(raw.call("ListTables", "{"))


@pytest.mark.differs_from_dynamodb_local(LOCAL_IDS)
def test_request_ids_are_never_the_same(raw: RawClient) -> None:
    ids = {raw.call("ListTables", {"Limit": 1}).headers["x-amzn-requestid"] for _ in range(50)}
    assert len(ids) == 50


def test_the_checksum_is_of_the_body(raw: RawClient, table: str) -> None:
    answer = raw.call("Scan", {"TableName": table})
    assert int(answer.headers["x-amz-crc32"]) == zlib.crc32(answer.body)


@pytest.mark.differs_from_dynamodb_local("it has no health check")
def test_health_needs_no_signature(raw: RawClient) -> None:
    answer = raw.unsigned("GET", "/", b"", {"Host": "localhost"})
    assert answer.status == 200
    assert re.fullmatch(rb"healthy: dynamodb\.[a-z0-9-]+\.amazonaws\.com ", answer.body)


@pytest.mark.differs_from_dynamodb_local("it answers a preflight only for its own shell")
def test_a_browser_may_ask_before_it_sends(raw: RawClient) -> None:
    headers = {
        "Host": "localhost",
        "Origin": "http://example.com",
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "x-amz-target,authorization",
    }
    answer = raw.unsigned("OPTIONS", "/", b"", headers)
    assert answer.status == 200
    assert answer.headers["access-control-allow-origin"]
    assert "POST" in answer.headers["access-control-allow-methods"]


def test_any_host_will_do(raw: RawClient) -> None:
    accepted(raw.call("ListTables", {}, signed={"Host": "dynamodb.us-east-1.amazonaws.com"}))


def test_white_space_around_the_json_is_nothing(raw: RawClient) -> None:
    accepted(raw.call("ListTables", ' \r\n\t{ "Limit" : 1 }\n'))


def test_unknown_members_are_passed_over(raw: RawClient) -> None:
    accepted(raw.call("ListTables", {"Limit": 1, "Unknown": {"deep": [1, 2, {"x": None}]}}))


def test_null_is_the_same_as_not_given(raw: RawClient, table: str) -> None:
    request = {
        "TableName": table,
        "Key": {"pk": {"S": "nobody"}},
        "ConsistentRead": None,
        "ProjectionExpression": None,
        "ExpressionAttributeNames": None,
    }
    assert accepted(raw.call("GetItem", request)) == {}


@pytest.mark.differs_from_dynamodb_local("it does not read compressed requests")
def test_a_compressed_request_is_read(raw: RawClient, table: str) -> None:
    body = gzip.compress(json.dumps({"TableName": table, "Item": {"pk": {"S": "zipped"}}}).encode())
    accepted(raw.call("PutItem", body, signed={"Content-Encoding": "gzip"}))
    got = accepted(raw.call("GetItem", {"TableName": table, "Key": {"pk": {"S": "zipped"}}}))
    assert got["Item"] == {"pk": {"S": "zipped"}}


def test_an_answer_is_not_compressed_unless_asked(raw: RawClient, dynamodb: Any, table: str) -> None:
    dynamodb.put_item(TableName=table, Item={"pk": {"S": "long"}, "v": {"S": "x" * 50_000}})
    answer = raw.call("Scan", {"TableName": table}, headers={"Accept-Encoding": "identity"})
    assert "content-encoding" not in answer.headers
    assert b"x" * 50_000 in answer.body


def test_a_connection_serves_many_requests(raw: RawClient, table: str) -> None:
    connection = http.client.HTTPConnection(raw.host, raw.port, timeout=30)
    connection.connect()
    socket = connection.sock
    for i in range(20):
        body = json.dumps({"TableName": table, "Key": {"pk": {"S": f"{i}"}}}).encode()
        operation = "GetItem" if i % 2 else "NoSuchOperation"
        headers = {
            "Host": f"{raw.host}:{raw.port}",
            "Content-Type": CONTENT_TYPE,
            "X-Amz-Target": f"DynamoDB_20120810.{operation}",
        }
        connection.request("POST", "/", body, raw.sign("POST", "/", body, headers))
        response = connection.getresponse()
        response.read()
        assert response.status == (200 if i % 2 else 400)
        assert connection.sock is socket, "the connection was kept, after errors too"
    connection.close()


def test_requests_sent_ahead_are_answered_in_order(raw: RawClient, dynamodb: Any, table: str) -> None:
    wire = b""
    for i in range(5):
        dynamodb.put_item(TableName=table, Item={"pk": {"S": f"ahead{i}"}})
        body = json.dumps({"TableName": table, "Key": {"pk": {"S": f"ahead{i}"}}}).encode()
        headers = {
            "Host": f"{raw.host}:{raw.port}",
            "Content-Type": CONTENT_TYPE,
            "X-Amz-Target": "DynamoDB_20120810.GetItem",
        }
        signed = raw.sign("POST", "/", body, headers)
        signed["Content-Length"] = str(len(body))
        if i == 4:
            signed["Connection"] = "close"
        lines = [f"{name}: {value}" for name, value in signed.items()]
        wire += ("POST / HTTP/1.1\r\n" + "\r\n".join(lines) + "\r\n\r\n").encode() + body
    answers = raw.write(wire)
    assert [int(i) for i in re.findall(rb"ahead(\d)", answers)] == [0, 1, 2, 3, 4]


def test_a_chunked_body_is_read(raw: RawClient) -> None:
    body = b'{"Limit": 1}'
    headers = {
        "Host": f"{raw.host}:{raw.port}",
        "Content-Type": CONTENT_TYPE,
        "X-Amz-Target": "DynamoDB_20120810.ListTables",
    }
    signed = raw.sign("POST", "/", body, headers) | {"Transfer-Encoding": "chunked", "Connection": "close"}
    lines = [f"{name}: {value}" for name, value in signed.items()]
    chunks = b"5\r\n" + body[:5] + b"\r\n7\r\n" + body[5:] + b"\r\n0\r\n\r\n"
    answer = raw.write(("POST / HTTP/1.1\r\n" + "\r\n".join(lines) + "\r\n\r\n").encode() + chunks)
    assert answer.startswith(b"HTTP/1.1 200")


NOT_BUILT = ["UpdateTableReplicaAutoScaling", "SearchVectors"]


@pytest.mark.differs_from_dynamodb_local("it has some of these operations")
@pytest.mark.parametrize("operation", NOT_BUILT)
def test_an_operation_that_is_not_built_is_unknown(raw: RawClient, operation: str) -> None:
    answer = raw.call(operation, {})
    assert (answer.status, answer.type) == (400, f"{CORAL_SERVICE}#UnknownOperationException")

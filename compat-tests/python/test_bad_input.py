"""Malformed requests over raw HTTP: each gets its error, and the server serves on.

After every bad request a good one is sent. The requests that differ in nothing but their signature go to a
server of their own that was started with `--auth`.
"""

from __future__ import annotations

import datetime
import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from conftest import connect, create_table
from errors import CORAL_SERVICE, SERVICE, VALIDATION, accepted, refused
from raw import CONTENT_TYPE, Answer, RawClient
from server import Server

SERIALIZATION = f"{CORAL_SERVICE}#SerializationException"
UNKNOWN_OPERATION = f"{CORAL_SERVICE}#UnknownOperationException"

JSON_DIFFERS = pytest.mark.differs_from_dynamodb_local("it answers unreadable JSON with 500 InternalFailure")
LENIENT = pytest.mark.differs_from_dynamodb_local("it converts JSON types into each other, or answers 500")
HTTP_DIFFERS = pytest.mark.differs_from_dynamodb_local("it answers unusual HTTP with 500 InternalFailure")


@pytest.fixture(autouse=True)
def serves_on(raw: RawClient, table: str) -> Iterator[None]:
    """After each test, the server still answers a good request."""
    yield
    request = {"TableName": table, "Key": {"pk": {"S": "good"}}}
    assert accepted(raw.call("GetItem", request)) == {}


@JSON_DIFFERS
@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"{", id="an open brace"),
        pytest.param(b"}", id="a closing brace"),
        pytest.param(b"not json", id="words"),
        pytest.param(b'{"Limit":1', id="cut short"),
        pytest.param(b'{"Limit":1,}', id="a comma too many"),
        pytest.param(b'{"Limit" 1}', id="no colon"),
        pytest.param(b"{'Limit':1}", id="single quotes"),
        pytest.param(b"{Limit:1}", id="a bare name"),
        pytest.param(b"{/*x*/}", id="a comment"),
        pytest.param(b'{"Limit":NaN}', id="NaN"),
        pytest.param(b'{"Limit":01}', id="a leading zero"),
        pytest.param(b'{"Limit":+1}', id="a plus sign"),
        pytest.param(b'{"Limit":1.}', id="a bare point"),
        pytest.param(b'{"ExclusiveStartTableName":"a\\x"}', id="an unknown escape"),
        pytest.param(b'{"ExclusiveStartTableName":"a\nb"}', id="a bare line end in a string"),
        pytest.param(b'{"ExclusiveStartTableName":"abc}', id="an open string"),
        pytest.param(b'{"ExclusiveStartTableName":"\\u00g0"}', id="a bad unicode escape"),
        pytest.param(b"[" * 100_000, id="100,000 open lists"),
        pytest.param(b'{"a":' * 100_000, id="100,000 open maps"),
        pytest.param(b"\x00\x01\x02", id="control characters"),
        pytest.param(b"\x1f\x8b\x08\x00", id="gzip that is not announced"),
    ],
)
def test_broken_json(raw: RawClient, body: bytes) -> None:
    answer = raw.call("ListTables", body)
    assert (answer.status, answer.type) == (400, SERIALIZATION), answer.body


@JSON_DIFFERS
@pytest.mark.parametrize("body", ["null", "[]", '"a"', "1", "true"])
def test_json_that_is_not_an_object(raw: RawClient, body: str) -> None:
    answer = raw.call("ListTables", body)
    assert (answer.status, answer.type) == (400, SERIALIZATION), answer.body


@pytest.mark.differs_from_dynamodb_local("it reads the first value and leaves the rest")
@pytest.mark.parametrize("body", ["{} x", "{}{}", "{}]"])
def test_more_after_the_json(raw: RawClient, body: str) -> None:
    answer = raw.call("ListTables", body)
    assert (answer.status, answer.type) == (400, SERIALIZATION), answer.body


@pytest.mark.differs_from_dynamodb_local("it stores lone surrogates, and answers some of these with 500")
@pytest.mark.parametrize(
    "text",
    [
        pytest.param(b"\xff\xfe", id="bytes that no UTF-8 has"),
        pytest.param(b"\xc3", id="half a letter"),
        pytest.param(b"\xc0\xaf", id="a longer form than needed"),
        pytest.param(b"\xed\xa0\x80", id="a surrogate in UTF-8"),
        pytest.param(b"\xf5\x80\x80\x80", id="beyond Unicode"),
        pytest.param(b"\\ud800", id="a lone high surrogate"),
        pytest.param(b"\\udc00", id="a lone low surrogate"),
        pytest.param(b"\\ud800\\u0041", id="half a surrogate pair"),
    ],
)
@pytest.mark.parametrize("place", ["value", "name", "set"])
def test_text_that_is_not_unicode(raw: RawClient, table: str, text: bytes, place: str) -> None:
    attributes = {
        "value": b'"v":{"S":"a' + text + b'"}',
        "name": b'"v' + text + b'":{"S":"a"}',
        "set": b'"v":{"SS":["b","a' + text + b'"]}',
    }
    body = b'{"TableName":"%s","Item":{"pk":{"S":"text"},%s}}' % (table.encode(), attributes[place])
    answer = raw.call("PutItem", body)
    assert (answer.status, answer.type) == (400, SERIALIZATION), answer.body
    assert accepted(raw.call("GetItem", {"TableName": table, "Key": {"pk": {"S": "text"}}})) == {}


def test_surrogate_pairs_are_letters(raw: RawClient, table: str) -> None:
    body = '{"TableName":"%s","Item":{"pk":{"S":"pair"},"v":{"S":"\\ud83d\\ude00"}}}' % table
    accepted(raw.call("PutItem", body))
    got: Any = accepted(raw.call("GetItem", {"TableName": table, "Key": {"pk": {"S": "pair"}}}))
    assert got["Item"]["v"] == {"S": "😀"}


NUMBER = "NUMBER_VALUE cannot be converted to String"
TRUE = "TRUE_VALUE cannot be converted to String"
MAP = "Start of structure or map found where not expected."


@LENIENT
@pytest.mark.parametrize(
    ("operation", "members", "sentence"),
    [
        ("ListTables", '"Limit":"1"', "STRING_VALUE cannot be converted to Integer"),
        ("ListTables", '"Limit":true', "TRUE_VALUE cannot be converted to Integer"),
        ("ListTables", '"Limit":{}', MAP),
        ("ListTables", '"ExclusiveStartTableName":1', NUMBER),
        ("ListTables", '"ExclusiveStartTableName":true', TRUE),
        ("ListTables", '"ExclusiveStartTableName":false', "FALSE_VALUE cannot be converted to String"),
        ("ListTables", '"ExclusiveStartTableName":{}', MAP),
        ("ListTables", '"ExclusiveStartTableName":[]', None),
        ("PutItem", '"Item":"a"', None),
        ("PutItem", '"Item":1', None),
        ("PutItem", '"Item":[]', None),
        ("PutItem", '"Item":{"pk":"a"}', None),
        ("PutItem", '"Item":{"pk":1}', None),
        ("PutItem", '"Item":{"pk":[]}', None),
        ("PutItem", '"Item":{"pk":{"S":1}}', NUMBER),
        ("PutItem", '"Item":{"pk":{"S":true}}', TRUE),
        ("PutItem", '"Item":{"pk":{"S":{}}}', MAP),
        ("PutItem", '"Item":{"pk":{"S":"a"},"n":{"N":1}}', NUMBER),
        ("PutItem", '"Item":{"pk":{"S":"a"},"n":{"NS":[1]}}', NUMBER),
        ("PutItem", '"Item":{"pk":{"S":"a"},"n":{"SS":"a"}}', None),
        ("PutItem", '"Item":{"pk":{"S":"a"},"n":{"SS":{}}}', None),
        ("PutItem", '"Item":{"pk":{"S":"a"},"n":{"BOOL":"yes"}}', None),
        ("PutItem", '"Item":{"pk":{"S":"a"},"n":{"BOOL":1}}', None),
        ("PutItem", '"Item":{"pk":{"S":"a"},"n":{"L":{}}}', None),
        ("PutItem", '"Item":{"pk":{"S":"a"},"n":{"L":["a"]}}', None),
        ("PutItem", '"Item":{"pk":{"S":"a"},"n":{"M":[]}}', None),
        ("PutItem", '"Item":{"pk":{"S":"a"},"n":{"M":{"a":"b"}}}', None),
        ("PutItem", '"Item":{"pk":{"S":"a"},"n":{"B":1}}', None),
        ("PutItem", '"Item":{"pk":{"S":"a"},"n":{"B":"a"}}', None),
        ("PutItem", '"Item":{"pk":{"S":"a"},"n":{"B":"!!!!"}}', None),
        ("PutItem", '"Item":{"pk":{"S":"a"},"n":{"BS":["YQ==","a"]}}', None),
        ("PutItem", '"Item":{"pk":{"S":"a"}},"ConditionExpression":1', NUMBER),
        ("PutItem", '"Item":{"pk":{"S":"a"}},"ExpressionAttributeNames":[]', None),
        ("PutItem", '"Item":{"pk":{"S":"a"}},"ExpressionAttributeValues":{":a":"1"}', None),
        ("GetItem", '"Key":{"pk":{"S":"a"}},"ConsistentRead":"abc"', None),
        ("GetItem", '"Key":{"pk":{"S":"a"}},"AttributesToGet":"a"', None),
        ("BatchGetItem", '"RequestItems":[]', None),
        ("BatchWriteItem", '"RequestItems":{"Table":{}}', None),
    ],
)
def test_the_wrong_kind_of_json_value(
    raw: RawClient, table: str, operation: str, members: str, sentence: str | None
) -> None:
    answer = raw.call(operation, f'{{"TableName":"{table}",{members}}}')
    assert (answer.status, answer.type) == (400, SERIALIZATION), answer.body
    if sentence is not None:
        assert answer.message == sentence


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        (
            '{"X":"a"}',
            "Supplied AttributeValue is empty, must contain exactly one of the supported datatypes",
        ),
        ("{}", "Supplied AttributeValue is empty, must contain exactly one of the supported datatypes"),
        (
            '{"S":"a","N":"1"}',
            "Supplied AttributeValue has more than one datatypes set, "
            "must contain exactly one of the supported datatypes",
        ),
        ('{"N":"1e"}', "The parameter cannot be converted to a numeric value: 1e"),
        ('{"N":"NaN"}', "The parameter cannot be converted to a numeric value: NaN"),
        (
            '{"N":"1e999"}',
            "Number overflow. Attempting to store a number with magnitude larger than supported range",
        ),
        (
            '{"N":"1e-999"}',
            "Number underflow. Attempting to store a number with magnitude smaller than supported range",
        ),
    ],
)
def test_a_malformed_attribute_value(raw: RawClient, table: str, value: str, sentence: str) -> None:
    body = f'{{"TableName":"{table}","Item":{{"pk":{{"S":"a"}},"v":{value}}}}}'
    refused(raw.call("PutItem", body), sentence)


def test_an_attribute_given_twice_is_stored_once(raw: RawClient, table: str) -> None:
    body = '{"TableName":"%s","Item":{"pk":{"S":"twice"},"v":{"S":"first"},"v":{"S":"last"}}}' % table
    answer = raw.call("PutItem", body)
    stored: Any = accepted(raw.call("GetItem", {"TableName": table, "Key": {"pk": {"S": "twice"}}}))
    if answer.status == 200:
        assert stored == {"Item": {"pk": {"S": "twice"}, "v": {"S": "last"}}}
    else:
        assert answer.status == 400 and answer.type in {SERIALIZATION, VALIDATION}
        assert stored == {}


@pytest.mark.differs_from_dynamodb_local("its parser overflows its stack and answers 500")
@pytest.mark.parametrize("levels", [1_000, 10_000, 100_000])
@pytest.mark.parametrize("kind", ["L", "M"])
def test_an_item_thousands_of_levels_deep(raw: RawClient, table: str, levels: int, kind: str) -> None:
    opening, closing = ('{"L":[', "]}") if kind == "L" else ('{"M":{"a":', "}}")
    deep = opening * levels + '{"S":"x"}' + closing * levels
    body = f'{{"TableName":"{table}","Item":{{"pk":{{"S":"a"}},"v":{deep}}}}}'
    answer = raw.call("PutItem", body)
    assert answer.status == 400 and answer.type in {SERIALIZATION, VALIDATION}, answer.body


@pytest.mark.differs_from_dynamodb_local("its parser overflows its stack and answers 500")
def test_an_unknown_member_thousands_of_levels_deep(raw: RawClient) -> None:
    body = '{"Unknown":' + "[" * 50_000 + "]" * 50_000 + "}"
    answer = raw.call("ListTables", body)
    assert answer.status in {200, 400}, answer.body
    if answer.status == 400:
        assert answer.type == SERIALIZATION


def test_a_deeply_nested_expression(raw: RawClient, table: str) -> None:
    for text in ("(" * 2_000 + "s = s" + ")" * 2_000, "NOT " * 1_000 + "attribute_exists(s)"):
        request = {"TableName": table, "Key": {"pk": {"S": "a"}}, "ConditionExpression": text}
        answer = raw.call("UpdateItem", request)
        assert (answer.status, answer.type) == (400, VALIDATION), answer.body


@pytest.mark.parametrize(
    ("member", "expression", "sentence"),
    [
        (
            "ConditionExpression",
            "pk == pk",
            'Invalid ConditionExpression: Syntax error; token: "=", near: "== pk"',
        ),
        (
            "UpdateExpression",
            "SET",
            'Invalid UpdateExpression: Syntax error; token: "<EOF>", near: "SET"',
        ),
        (
            "UpdateExpression",
            "SET a = :x",
            "Invalid UpdateExpression: An expression attribute value used in expression is not defined; "
            "attribute value: :x",
        ),
    ],
)
def test_a_malformed_expression(
    raw: RawClient, table: str, member: str, expression: str, sentence: str
) -> None:
    request = {"TableName": table, "Key": {"pk": {"S": "a"}}, member: expression}
    refused(raw.call("UpdateItem", request), sentence)


@pytest.mark.differs_from_dynamodb_local("it never aggregates, and does not check all enums")
def test_several_constraints_are_told_at_once(raw: RawClient, table: str) -> None:
    answer = raw.call(
        "PutItem", {"TableName": table, "ReturnValues": "SOME", "ReturnConsumedCapacity": "SOME"}
    )
    assert (answer.status, answer.type) == (400, VALIDATION)
    head, *errors = re.split(r": (?=Value )|; (?=Value )", answer.message or "")
    assert head == "3 validation errors detected"
    assert {re.sub(r".* at '(\w+)' .*", r"\1", error) for error in errors} == {
        "item",
        "returnValues",
        "returnConsumedCapacity",
    }


@pytest.mark.parametrize(
    ("operation", "member"),
    [("GetItem", "key"), ("DeleteItem", "key"), ("UpdateItem", "key"), ("PutItem", "item")],
)
def test_a_required_member_is_missing(raw: RawClient, table: str, operation: str, member: str) -> None:
    refused(
        raw.call(operation, {"TableName": table}),
        f"1 validation error detected: Value null at '{member}' failed to satisfy constraint: "
        "Member must not be null",
    )


class TestHttp:
    """Requests that are wrong before they are read as JSON."""

    @HTTP_DIFFERS
    @pytest.mark.parametrize(
        "target",
        [
            pytest.param("DynamoDB_20120810.NoSuchOperation", id="unknown operation"),
            pytest.param("DynamoDB_20120810.getitem", id="wrong case"),
            pytest.param("DynamoDB_20120810.", id="no operation"),
            pytest.param("DynamoDB_20111205.GetItem", id="old version"),
            pytest.param("Kinesis_20131202.ListStreams", id="another service"),
            pytest.param("GetItem", id="no prefix"),
            pytest.param("", id="empty"),
            pytest.param(None, id="no target at all"),
        ],
    )
    def test_an_unknown_target(self, raw: RawClient, target: str | None) -> None:
        answer = raw.send(amz_target=target)
        assert (answer.status, answer.type) == (400, UNKNOWN_OPERATION), answer.body

    @HTTP_DIFFERS
    @pytest.mark.parametrize(
        ("method", "path"),
        [("PUT", "/"), ("DELETE", "/"), ("PATCH", "/"), ("POST", "/other"), ("GET", "/other")],
    )
    def test_a_wrong_method_or_path(self, raw: RawClient, method: str, path: str) -> None:
        answer = raw.send(method=method, path=path)
        assert answer.status == 404
        assert answer.body.strip() == b"<UnknownOperationException/>"

    @pytest.mark.differs_from_dynamodb_local("it does not look at the content type")
    @pytest.mark.parametrize(
        "kind", ["text/plain", "application/xml", "application/x-www-form-urlencoded", None]
    )
    def test_a_wrong_content_type(self, raw: RawClient, kind: str | None) -> None:
        answer = raw.send(signed={"Content-Type": kind})
        assert answer.status == 404
        assert answer.body.strip() == b"<UnknownOperationException/>"

    def test_a_body_over_16_megabytes(self, raw: RawClient, table: str) -> None:
        request = {"TableName": table, "Item": {"pk": {"S": "big"}, "v": {"S": "x" * (17 * 1024 * 1024)}}}
        answer = raw.call("PutItem", request)
        assert answer.status == 413

    @HTTP_DIFFERS
    def test_a_compressed_body_that_is_not(self, raw: RawClient) -> None:
        answer = raw.send(signed={"Content-Encoding": "gzip"})
        assert (answer.status, answer.type) == (400, SERIALIZATION)

    @HTTP_DIFFERS
    def test_a_body_shorter_than_announced(self, raw: RawClient) -> None:
        body = b'{"Limit": 1}'
        head = {"Host": "x", "Content-Type": CONTENT_TYPE, "X-Amz-Target": "DynamoDB_20120810.ListTables"}
        headers = raw.sign("POST", "/", body, head) | {"Content-Length": "1000"}
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        answer = raw.write(f"POST / HTTP/1.1\r\n{lines}\r\n".encode() + body)
        assert answer == b"" or re.match(rb"HTTP/1\.1 4\d\d ", answer), answer

    @pytest.mark.parametrize(
        "request_",
        [
            pytest.param(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(64), id="TLS"),
            pytest.param(b"nonsense\r\n\r\n", id="no request line"),
            pytest.param(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n", id="negative length"),
            pytest.param(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: nine\r\n\r\n", id="length in words"),
            pytest.param(b"POST / HTTP/1.1\r\nHost: x\r\nno colon here\r\n\r\n", id="a header without colon"),
            pytest.param(
                b"POST / HTTP/1.1\r\nHost: x\r\nX-Long: " + b"x" * 1_000_000 + b"\r\n\r\n", id="a huge header"
            ),
            pytest.param(
                b"POST / HTTP/1.1\r\nHost: x\r\n" + b"X-Many: x\r\n" * 10_000 + b"\r\n", id="10,000 headers"
            ),
            pytest.param(
                b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n",
                id="a chunk of no size",
                marks=HTTP_DIFFERS,
            ),
            pytest.param(b"", id="nothing"),
        ],
    )
    def test_what_is_not_http_is_refused_or_hung_up_on(self, raw: RawClient, request_: bytes) -> None:
        answer = raw.write(request_)
        assert answer == b"" or re.match(rb"HTTP/1\.[01] 4\d\d ", answer), answer[:200]


@HTTP_DIFFERS
class TestAuthorizationHeader:
    """A request must carry a well-formed signature, even where no secret is checked."""

    def test_none_at_all(self, raw: RawClient) -> None:
        answer = raw.send(headers={"Authorization": None, "X-Amz-Date": None})
        refused(
            answer,
            "Request is missing Authentication Token",
            f"{CORAL_SERVICE}#MissingAuthenticationTokenException",
        )

    @pytest.mark.parametrize(
        ("header", "missing"),
        [
            ("AWS4-HMAC-SHA256 Credential=a/b/c/d/e, SignedHeaders=host", ["Signature"]),
            ("AWS4-HMAC-SHA256 Credential=a/b/c/d/e, Signature=00", ["SignedHeaders"]),
            ("AWS4-HMAC-SHA256 SignedHeaders=host, Signature=00", ["Credential"]),
            ("AWS4-HMAC-SHA256 Signature=00", ["Credential", "SignedHeaders"]),
        ],
    )
    def test_parts_are_missing(self, raw: RawClient, header: str, missing: list[str]) -> None:
        answer = raw.send(headers={"Authorization": header})
        assert (answer.status, answer.type) == (400, f"{CORAL_SERVICE}#IncompleteSignatureException")
        for part in missing:
            assert f"Authorization header requires '{part}' parameter." in (answer.message or "")

    def test_the_date_is_missing(self, raw: RawClient) -> None:
        answer = raw.send(headers={"X-Amz-Date": None})
        assert (answer.status, answer.type) == (400, f"{CORAL_SERVICE}#IncompleteSignatureException")
        assert "existence of either a 'X-Amz-Date' or a 'Date' header" in (answer.message or "")

    @pytest.mark.parametrize(
        "header", ["nonsense", "Basic dXNlcjpwYXNz", "AWS4-HMAC-SHA256", "AWS4-HMAC-SHA256 x"]
    )
    def test_it_is_of_another_kind(self, raw: RawClient, header: str) -> None:
        answer = raw.send(headers={"Authorization": header})
        assert answer.status == 400
        assert answer.type in {
            f"{CORAL_SERVICE}#{kind}"
            for kind in (
                "IncompleteSignatureException",
                "MissingAuthenticationTokenException",
                "InvalidSignatureException",
            )
        }

    def test_the_json_is_read_before_the_signature(self, raw: RawClient) -> None:
        answer = raw.send(body=b"{", headers={"Authorization": None})
        assert (answer.status, answer.type) == (400, SERIALIZATION)

    def test_the_operation_is_looked_up_before_the_signature(self, raw: RawClient) -> None:
        answer = raw.send(amz_target="DynamoDB_20120810.Nope", headers={"Authorization": None})
        assert (answer.status, answer.type) == (400, UNKNOWN_OPERATION)


@pytest.fixture(scope="module")
def guarded(binary: str) -> Iterator[RawClient]:
    """A client of a server that checks signatures against its own key pair."""
    with Server(binary, "--ephemeral", "--auth") as server:
        create_table(connect(server.target), "guarded")
        yield RawClient(server.target)


@pytest.mark.needs_stator_binary
class TestSignature:
    """A server started with `--auth` lets only its own key pair in."""

    HEADERS = {"Content-Type": CONTENT_TYPE, "X-Amz-Target": "DynamoDB_20120810.GetItem"}
    BODY = json.dumps({"TableName": "guarded", "Key": {"pk": {"S": "a"}}}).encode()
    MISMATCH = (
        "The request signature we calculated does not match the signature you provided. Check your AWS "
        "Secret "
        "Access Key and signing method. Consult the service documentation for details."
    )

    @pytest.fixture(autouse=True)
    def serves_on_guarded(self, guarded: RawClient) -> Iterator[None]:
        yield
        assert accepted(self.send(guarded)) == {}

    def send(self, client: RawClient, sent: bytes | None = None, **signing: Any) -> Answer:
        """The same GetItem, signed as told."""
        headers = {"Host": f"{client.host}:{client.port}", **self.HEADERS}
        signed = client.sign("POST", "/", self.BODY, headers, **signing)
        return client.unsigned("POST", "/", self.BODY if sent is None else sent, signed)

    def test_the_printed_key_pair_is_let_in(self, guarded: RawClient) -> None:
        assert accepted(self.send(guarded)) == {}

    def test_a_wrong_secret(self, guarded: RawClient) -> None:
        answer = self.send(guarded, secret_access_key="wrong" * 8)
        assert (answer.status, answer.type) == (400, f"{CORAL_SERVICE}#InvalidSignatureException")
        assert (answer.message or "").startswith(self.MISMATCH)

    def test_an_unknown_access_key(self, guarded: RawClient) -> None:
        refused(
            self.send(guarded, access_key_id="AKIAUNKNOWN000000000"),
            "The security token included in the request is invalid.",
            f"{CORAL_SERVICE}#UnrecognizedClientException",
        )

    def test_an_altered_body(self, guarded: RawClient) -> None:
        answer = self.send(guarded, sent=self.BODY.replace(b'"a"', b'"b"'))
        assert (answer.status, answer.type) == (400, f"{CORAL_SERVICE}#InvalidSignatureException")
        assert (answer.message or "").startswith(self.MISMATCH)

    @pytest.mark.parametrize("header", ["X-Amz-Target", "Host", "X-Amz-Date", "Content-Type"])
    def test_an_altered_header(self, guarded: RawClient, header: str) -> None:
        headers = {"Host": f"{guarded.host}:{guarded.port}", **self.HEADERS}
        signed = guarded.sign("POST", "/", self.BODY, headers)
        now = datetime.datetime.now(datetime.UTC) + datetime.timedelta(minutes=1)
        signed[header] = {
            "X-Amz-Target": "DynamoDB_20120810.DeleteItem",
            "Host": "elsewhere",
            "X-Amz-Date": now.strftime("%Y%m%dT%H%M%SZ"),
            "Content-Type": "application/x-amz-json-1.0; charset=utf-8",
        }[header]
        answer = guarded.unsigned("POST", "/", self.BODY, signed)
        if header == "Content-Type":
            if answer.status == 200:
                pytest.fail("a signed header was altered and the signature still held")
            assert answer.status in {400, 404}
        else:
            assert (answer.status, answer.type) == (400, f"{CORAL_SERVICE}#InvalidSignatureException")

    @pytest.mark.parametrize(
        ("minutes", "sentence"),
        [(-16, "Signature expired: "), (-5000, "Signature expired: "), (16, "Signature not yet current: ")],
    )
    def test_an_old_or_a_future_date(self, guarded: RawClient, minutes: int, sentence: str) -> None:
        at = datetime.datetime.now(datetime.UTC) + datetime.timedelta(minutes=minutes)
        answer = self.send(guarded, at=at)
        assert (answer.status, answer.type) == (400, f"{CORAL_SERVICE}#InvalidSignatureException")
        assert (answer.message or "").startswith(sentence)

    def test_a_date_within_a_quarter_of_an_hour_is_let_in(self, guarded: RawClient) -> None:
        for minutes in (-14, 14):
            at = datetime.datetime.now(datetime.UTC) + datetime.timedelta(minutes=minutes)
            assert accepted(self.send(guarded, at=at)) == {}

    @pytest.mark.parametrize("scope", [{"region": "mars-north-1"}, {"service": "s3"}])
    def test_another_scope(self, guarded: RawClient, scope: dict[str, Any]) -> None:
        answer = self.send(guarded, **scope)
        assert answer.status == 400
        assert answer.type in {
            f"{CORAL_SERVICE}#InvalidSignatureException",
            f"{CORAL_SERVICE}#IncompleteSignatureException",
        }
        assert "Credential should be scoped to" in (answer.message or "")

    def test_no_signature(self, guarded: RawClient) -> None:
        headers = {"Host": f"{guarded.host}:{guarded.port}", **self.HEADERS}
        refused(
            guarded.unsigned("POST", "/", self.BODY, headers),
            "Request is missing Authentication Token",
            f"{CORAL_SERVICE}#MissingAuthenticationTokenException",
        )

    def test_a_signature_of_zeros(self, guarded: RawClient) -> None:
        headers = {"Host": f"{guarded.host}:{guarded.port}", **self.HEADERS}
        signed = guarded.sign("POST", "/", self.BODY, headers)
        signed["Authorization"] = re.sub("Signature=.*", "Signature=" + "0" * 64, signed["Authorization"])
        answer = guarded.unsigned("POST", "/", self.BODY, signed)
        assert (answer.status, answer.type) == (400, f"{CORAL_SERVICE}#InvalidSignatureException")

    def test_health_is_told_to_anybody(self, guarded: RawClient) -> None:
        assert guarded.unsigned("GET", "/", b"", {"Host": "x"}).status == 200


def test_an_item_of_no_table_is_refused_with_the_service_error(raw: RawClient) -> None:
    answer = raw.call("GetItem", {"TableName": "no.such.table", "Key": {"pk": {"S": "a"}}})
    assert (answer.status, answer.type) == (400, f"{SERVICE}#ResourceNotFoundException")

"""What a socket sees of HTTP and no SDK shows: request lines, headers, bodies in pieces, limits, HTTP/2.

Every request is written as bytes and every answer read as bytes, so that nothing is put right on the way.
"""

from __future__ import annotations

import contextlib
import gzip
import json
import re
import socket
import struct
import time
import zlib
from collections.abc import Iterator
from typing import Any

import pytest

from errors import CORAL_SERVICE
from raw import CONTENT_TYPE, RawClient

TIMEOUT_SECONDS = 30
LIMIT_BYTES = 16 * 1024 * 1024
TARGET = "DynamoDB_20120810.ListTables"
BODY = b'{"Limit":1}'

pytestmark = pytest.mark.differs_from_dynamodb_local("its HTTP is Jetty's")


class Response:
    """One HTTP/1.1 answer, read from the socket to its last byte and not beyond."""

    def __init__(self, connection: socket.socket, head_only: bool = False) -> None:
        text = b""
        while not text.endswith(b"\r\n\r\n"):
            byte = connection.recv(1)
            assert byte, f"the connection ended within the head: {text!r}"
            text += byte
        status, *lines = text.decode("latin-1").rstrip("\r\n").split("\r\n")
        self.version, code, *_ = status.split(" ", 2)
        self.status = int(code)
        self.names = [line.split(":", 1)[0] for line in lines]
        pairs = [line.split(":", 1) for line in lines]
        self.headers = {name.lower(): value.strip() for name, value in pairs}
        assert len(self.headers) == len(lines), f"a header comes twice: {lines}"
        self.body = b""
        length = 0 if head_only or self.status == 100 else int(self.headers.get("content-length", "0"))
        while len(self.body) < length:
            part = connection.recv(length - len(self.body))
            assert part, "the connection ended within the body"
            self.body += part

    @property
    def type(self) -> str:
        """The error's type with its namespace."""
        return str(json.loads(self.body)["__type"])

    def check(self) -> Response:
        """What every answer carries; gives the answer."""
        assert self.version == "HTTP/1.1"
        assert int(self.headers["content-length"]) == len(self.body)
        assert int(self.headers["x-amz-crc32"]) == zlib.crc32(self.body), "of the bytes that were sent"
        assert re.fullmatch("[0-9A-Z]{52}", self.headers["x-amzn-requestid"])
        assert re.fullmatch(r"\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT", self.headers["date"])
        return self


class Wire:
    """A connection and a way to sign for it."""

    def __init__(self, raw: RawClient) -> None:
        self.raw = raw
        self.socket = socket.create_connection((raw.host, raw.port), timeout=TIMEOUT_SECONDS)

    def head(
        self, body: bytes, line: str = "POST / HTTP/1.1", target: str | None = TARGET, **changed: str | None
    ) -> bytes:
        """A head signed for `body`; keyword arguments replace (or, with None, drop) headers after signing."""
        headers = {"Host": f"{self.raw.host}:{self.raw.port}", "Content-Type": CONTENT_TYPE}
        if target is not None:
            headers["X-Amz-Target"] = target
        method, path, _ = line.split(" ")
        signed = self.raw.sign(method, path, body, headers) | {"Content-Length": str(len(body))}
        for name, value in changed.items():
            name = name.replace("_", "-")
            signed = {key: old for key, old in signed.items() if key.lower() != name.lower()}
            if value is not None:
                signed[name] = value
        lines = "".join(f"{name}: {value}\r\n" for name, value in signed.items())
        return f"{line}\r\n{lines}\r\n".encode()

    def ask(self, body: bytes = BODY, **head: Any) -> Response:
        """Sends a request in one piece and reads its answer."""
        self.socket.sendall(self.head(body, **head) + body)
        return Response(self.socket)

    def is_open(self) -> bool:
        """Whether the connection serves on."""
        try:
            return self.ask().status == 200
        except (AssertionError, OSError):
            return False

    def ended(self) -> bool:
        """Whether the other side ends the connection, without another byte."""
        try:
            return self.socket.recv(1) == b""
        except ConnectionResetError:
            return True


@pytest.fixture
def wire(raw: RawClient) -> Iterator[Wire]:
    """A new connection."""
    made = Wire(raw)
    with made.socket:
        yield made


class TestAnswers:
    """Heads and checksums of answers of every kind."""

    def test_an_answer_has_its_headers_once(self, wire: Wire) -> None:
        answer = wire.ask().check()
        assert answer.status == 200
        assert answer.headers["content-type"] == CONTENT_TYPE
        assert set(answer.headers) == {
            "content-type",
            "content-length",
            "x-amz-crc32",
            "x-amzn-requestid",
            "date",
        }

    @pytest.mark.parametrize(
        ("change", "status", "kind"),
        [
            pytest.param({"target": "DynamoDB_20120810.Nothing"}, 400, CONTENT_TYPE, id="operation"),
            pytest.param({"Authorization": None}, 400, CONTENT_TYPE, id="signature"),
            pytest.param({"line": "POST /x HTTP/1.1"}, 404, "application/xml", id="path"),
            pytest.param({"line": "PUT / HTTP/1.1"}, 404, "application/xml", id="method"),
            pytest.param({"Content_Type": "text/plain"}, 404, "application/xml", id="content type"),
        ],
    )
    def test_refusals_have_them_too(
        self, wire: Wire, change: dict[str, Any], status: int, kind: str
    ) -> None:
        answer = wire.ask(**change).check()
        assert (answer.status, answer.headers["content-type"]) == (status, kind)
        assert wire.is_open(), "a refusal does not end the connection"

    def test_request_ids_differ_on_one_connection(self, wire: Wire) -> None:
        ids = {wire.ask().headers["x-amzn-requestid"] for _ in range(20)}
        assert len(ids) == 20

    def test_a_head_request_has_no_body(self, wire: Wire) -> None:
        wire.socket.sendall(b"HEAD / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert Response(wire.socket, head_only=True).status == 404
        assert wire.is_open(), "and the next answer begins where it has to"

    def test_the_health_check_is_told_in_plain(self, wire: Wire) -> None:
        wire.socket.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        answer = Response(wire.socket).check()
        assert answer.status == 200
        assert re.fullmatch(rb"healthy: dynamodb\.[a-z0-9-]+\.amazonaws\.com ", answer.body)

    def test_a_query_is_signed_and_says_nothing(self, wire: Wire) -> None:
        assert wire.ask(line="POST /?a=b&c HTTP/1.1").status == 200

    def test_the_whole_address_may_stand_in_the_request_line(self, wire: Wire) -> None:
        head = wire.head(BODY).replace(b"POST / ", f"POST http://{wire.raw.host}:{wire.raw.port}/ ".encode())
        wire.socket.sendall(head + BODY)
        assert Response(wire.socket).status == 200

    def test_content_types_are_compared_without_case_and_parameters(self, wire: Wire) -> None:
        for kind in [
            "Application/X-AMZ-JSON-1.0",
            "application/x-amz-json-1.0; charset=utf-8",
            "application/json",
        ]:
            body = b"{}"
            headers = {
                "Host": f"{wire.raw.host}:{wire.raw.port}",
                "Content-Type": kind,
                "X-Amz-Target": TARGET,
            }
            signed = wire.raw.sign("POST", "/", body, headers)
            assert wire.raw.unsigned("POST", "/", body, signed).status == 200, kind
        assert wire.ask(Content_Type="application/x-amz-json-1.1").status == 404

    def test_names_of_headers_have_no_case(self, wire: Wire) -> None:
        head = wire.head(BODY)
        line, rest = head.split(b"\r\n", 1)
        lines = [header.split(b":", 1) for header in rest.rstrip(b"\r\n").split(b"\r\n")]
        shouted = b"".join(name.upper() + b":" + value + b"\r\n" for name, value in lines)
        wire.socket.sendall(line + b"\r\n" + shouted + b"\r\n" + BODY)
        assert Response(wire.socket).status == 200


class TestOrder:
    """Of several things that are wrong, the first in this order is told."""

    ORDER: list[tuple[dict[str, Any], str]] = [
        ({"Content_Type": "text/plain"}, "UnknownOperationException/"),
        ({"body": b"{"}, "SerializationException"),
        ({"target": "DynamoDB_20120810.Nothing"}, "UnknownOperationException"),
        ({"Authorization": None, "X_Amz_Date": None}, "MissingAuthenticationTokenException"),
        ({"body": b'{"Limit":0}'}, "ValidationException"),
    ]

    @pytest.mark.parametrize("first", range(len(ORDER)))
    def test_the_first_is_told(self, wire: Wire, first: int) -> None:
        change: dict[str, Any] = {}
        for other, _ in reversed(self.ORDER[first:]):
            change |= other
        answer = wire.ask(**change).check()
        _, expected = self.ORDER[first]
        if answer.status == 404:
            assert expected.encode() in answer.body
        else:
            assert answer.type.endswith(f"#{expected}"), answer.body


class TestBodies:
    """Bodies in pieces, in chunks, compressed, broken."""

    CHUNKS = b"5;ext=1\r\n" + BODY[:5] + b"\r\n6\r\n" + BODY[5:] + b"\r\n0\r\nTrailer: x\r\n\r\n"

    def test_a_chunked_body_is_read_with_its_extensions_and_trailers(self, wire: Wire) -> None:
        head = wire.head(BODY, Content_Length=None, Transfer_Encoding="chunked")
        wire.socket.sendall(head + self.CHUNKS)
        assert Response(wire.socket).check().status == 200
        assert wire.is_open()

    def test_a_body_may_come_byte_by_byte(self, wire: Wire) -> None:
        for byte in wire.head(BODY) + BODY:
            wire.socket.sendall(bytes([byte]))
        assert Response(wire.socket).status == 200

    def test_who_sends_slowly_is_served(self, wire: Wire) -> None:
        wire.socket.sendall(wire.head(BODY))
        for byte in BODY:
            time.sleep(0.05)
            wire.socket.sendall(bytes([byte]))
        assert Response(wire.socket).status == 200

    def test_a_slow_one_holds_nobody_up(self, raw: RawClient, wire: Wire) -> None:
        slow = [Wire(raw) for _ in range(50)]
        try:
            for one in slow:
                one.socket.sendall(one.head(BODY) + BODY[:3])
            assert wire.is_open()
            for one in slow:
                one.socket.sendall(BODY[3:])
                assert Response(one.socket).status == 200
        finally:
            for one in slow:
                one.socket.close()

    def test_who_asks_before_sending_is_told_to_send(self, wire: Wire) -> None:
        wire.socket.sendall(wire.head(BODY, Expect="100-continue"))
        assert Response(wire.socket).status == 100
        wire.socket.sendall(BODY)
        assert Response(wire.socket).status == 200

    def test_who_asks_before_sending_too_much_is_told_not_to(self, wire: Wire) -> None:
        head = wire.head(BODY, Expect="100-continue", Content_Length=str(LIMIT_BYTES + 1))
        wire.socket.sendall(head)
        answer = Response(wire.socket).check()
        assert (answer.status, answer.type) == (413, f"{CORAL_SERVICE}#RequestEntityTooLargeException")

    @pytest.mark.parametrize("chunked", [False, True])
    def test_the_limit_is_held_to_the_byte(self, wire: Wire, chunked: bool) -> None:
        for length, status in [(LIMIT_BYTES, 200), (LIMIT_BYTES + 1, 413)]:
            body = BODY + b" " * (length - len(BODY))
            if chunked:
                head = wire.head(body, Content_Length=None, Transfer_Encoding="chunked")
                sent = f"{length:x}\r\n".encode() + body + b"\r\n0\r\n\r\n"
            else:
                head, sent = wire.head(body), body
            wire.socket.sendall(head + sent)
            assert Response(wire.socket).check().status == status, length

    def test_no_body_is_no_json(self, wire: Wire) -> None:
        answer = wire.ask(b"").check()
        assert answer.type == f"{CORAL_SERVICE}#SerializationException"

    def test_a_body_that_breaks_off_has_no_effect(self, wire: Wire, dynamodb: Any, table: str) -> None:
        item = json.dumps({"TableName": table, "Item": {"pk": {"S": "broken"}}}).encode()
        wire.socket.sendall(wire.head(item + b" ", target="DynamoDB_20120810.PutItem") + item)
        wire.socket.shutdown(socket.SHUT_WR)
        left = b""
        while part := wire.socket.recv(4096):
            left += part
        assert left == b"" or left.startswith(b"HTTP/1.1 400 "), left
        assert "Item" not in dynamodb.get_item(TableName=table, Key={"pk": {"S": "broken"}})


class TestCompression:
    """gzip in both directions; checksums are of what is sent."""

    def test_a_compressed_body_is_signed_as_it_is_sent(self, wire: Wire) -> None:
        head = {"target": TARGET, "Content_Encoding": "gzip"}
        assert wire.ask(gzip.compress(BODY), **head).status == 200
        assert wire.ask(gzip.compress(BODY[:4]) + gzip.compress(BODY[4:]), **head).status == 200
        assert wire.ask(gzip.compress(BODY), **(head | {"Content_Encoding": "GZIP"})).status == 200

    def test_a_compressed_body_may_not_be_larger_unpacked(self, wire: Wire) -> None:
        bomb = gzip.compress(BODY + b" " * LIMIT_BYTES)
        answer = wire.ask(bomb, Content_Encoding="gzip").check()
        assert answer.status == 413
        assert wire.is_open()

    def test_half_a_compressed_body_is_none(self, wire: Wire) -> None:
        answer = wire.ask(gzip.compress(BODY)[:-4], Content_Encoding="gzip").check()
        assert answer.type == f"{CORAL_SERVICE}#SerializationException"

    @pytest.mark.parametrize(
        ("accepted", "compressed"),
        [
            (None, False),
            ("identity", False),
            ("gzip", True),
            ("deflate, gzip;q=0.5", True),
            ("gzip;q=0", False),
            ("br", False),
        ],
    )
    def test_an_answer_is_compressed_only_when_asked(
        self, wire: Wire, dynamodb: Any, table: str, accepted: str | None, compressed: bool
    ) -> None:
        key = {"pk": {"S": "long"}}
        dynamodb.put_item(TableName=table, Item=key | {"v": {"S": "x" * 20_000}})
        body = json.dumps({"TableName": table, "Key": key, "ConsistentRead": True}).encode()
        answer = wire.ask(body, target="DynamoDB_20120810.GetItem", Accept_Encoding=accepted).check()
        assert answer.headers.get("content-encoding") == ("gzip" if compressed else None)
        plain = gzip.decompress(answer.body) if compressed else answer.body
        assert json.loads(plain)["Item"]["v"] == {"S": "x" * 20_000}

    def test_what_is_short_is_not_worth_it(self, wire: Wire) -> None:
        answer = wire.ask(Accept_Encoding="gzip").check()
        assert "content-encoding" not in answer.headers or len(answer.body) > 0


class TestConnections:
    """How long a connection is kept, and for how many requests."""

    def test_a_connection_is_kept_unless_it_is_to_end(self, wire: Wire) -> None:
        for _ in range(5):
            assert wire.ask().status == 200
        answer = wire.ask(Connection="close")
        assert answer.headers["connection"] == "close"
        assert wire.ended()

    def test_http_1_0_gets_one_answer(self, wire: Wire) -> None:
        head = wire.head(BODY).replace(b"HTTP/1.1", b"HTTP/1.0")
        wire.socket.sendall(head + BODY)
        answer = Response(wire.socket)
        assert answer.status == 200
        assert wire.ended()

    def test_requests_sent_ahead_are_answered_in_order(self, wire: Wire) -> None:
        kinds = [(BODY, TARGET), (b"{", TARGET), (BODY, "DynamoDB_20120810.Nothing"), (BODY, TARGET)]
        wire.socket.sendall(b"".join(wire.head(body, target=target) + body for body, target in kinds))
        assert [Response(wire.socket).check().status for _ in kinds] == [200, 400, 400, 200]

    def test_an_answer_does_not_wait_for_the_rest_of_the_next_request(self, wire: Wire) -> None:
        next_head = wire.head(BODY)
        wire.socket.sendall(wire.head(BODY) + BODY + next_head[:40])
        assert Response(wire.socket).check().status == 200
        wire.socket.sendall(next_head[40:] + BODY)
        assert Response(wire.socket).check().status == 200

    def test_who_closes_its_half_still_gets_its_answer(self, wire: Wire) -> None:
        wire.socket.sendall(wire.head(BODY) + BODY)
        wire.socket.shutdown(socket.SHUT_WR)
        assert Response(wire.socket).check().status == 200
        assert wire.ended()

    def test_who_leaves_before_the_answer_leaves_no_trouble(self, raw: RawClient, wire: Wire) -> None:
        for _ in range(20):
            gone = Wire(raw)
            gone.socket.sendall(gone.head(BODY) + BODY)
            # No linger: the connection is reset.
            gone.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            gone.socket.close()
        assert wire.is_open()


class TestHeads:
    """Limits of heads."""

    def test_a_long_session_token_fits(self, wire: Wire) -> None:
        assert wire.ask(X_Long="x" * 16_000).status == 200

    def test_a_head_that_is_too_long_is_refused(self, wire: Wire) -> None:
        with contextlib.suppress(ConnectionResetError, BrokenPipeError):
            wire.socket.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nX-Long: " + b"x" * 200_000)
        assert Response(wire.socket).status == 431
        assert wire.ended()

    def test_a_head_of_too_many_headers_is_refused(self, wire: Wire) -> None:
        wire.socket.sendall(b"POST / HTTP/1.1\r\nHost: x\r\n" + b"X-Many: x\r\n" * 200 + b"\r\n")
        assert Response(wire.socket).status == 431

    @pytest.mark.parametrize(
        "broken",
        [
            b"POST / HTTP/1.1\r\nHost x\r\n\r\n",
            b"POST / HTTP/3.9\r\nHost: x\r\n\r\n",
            b"POST  / HTTP/1.1\r\nHost: x\r\n\r\n",
            b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n{}",
        ],
    )
    def test_what_is_not_http_is_refused_and_the_connection_ended(self, wire: Wire, broken: bytes) -> None:
        wire.socket.sendall(broken)
        assert Response(wire.socket).status == 400
        assert wire.ended()

    def test_a_length_beside_chunks_is_not_believed(self, wire: Wire) -> None:
        """RFC 9112, section 6.3: the chunks count, and nothing follows on such a connection, so that a proxy and the
        server cannot see different requests."""
        head = wire.head(BODY, Content_Length="3", Transfer_Encoding="chunked")
        wire.socket.sendall(head + TestBodies.CHUNKS)
        assert Response(wire.socket).status == 200
        assert wire.ended()


class TestBrowsers:
    """CORS: any origin may ask; the signature protects."""

    def test_a_preflight_is_answered_without_a_signature(self, wire: Wire) -> None:
        wire.socket.sendall(
            b"OPTIONS / HTTP/1.1\r\nHost: x\r\nOrigin: http://example.com\r\nAccess-Control-Request-Method: "
            b"POST\r\nAccess-Control-Request-Headers: authorization,x-amz-date,x-amz-target\r\n\r\n"
        )
        answer = Response(wire.socket).check()
        assert (answer.status, answer.body) == (200, b"")
        assert answer.headers["access-control-allow-origin"] == "*"
        assert "POST" in answer.headers["access-control-allow-methods"].split(",")
        allowed = answer.headers["access-control-allow-headers"].split(",")
        assert {"authorization", "x-amz-date", "x-amz-target"} <= set(allowed)
        assert int(answer.headers["access-control-max-age"]) > 0
        assert wire.is_open()

    @pytest.mark.parametrize("change", [{}, {"target": "DynamoDB_20120810.Nothing"}])
    def test_a_script_may_read_the_answer(self, wire: Wire, change: dict[str, Any]) -> None:
        answer = wire.ask(Origin="http://example.com", **change).check()
        assert answer.headers["access-control-allow-origin"] == "*"
        exposed = {name.lower() for name in answer.headers["access-control-expose-headers"].split(",")}
        assert {"x-amzn-requestid", "x-amz-crc32"} <= exposed

    def test_nobody_else_is_told(self, wire: Wire) -> None:
        names = wire.ask().headers
        assert not [name for name in names if name.startswith("access-control")]


class Http2:
    """As much of HTTP/2 as a request needs: frames, and heads without compression (RFC 7541, section 6.2.2)."""

    PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
    DATA, HEADERS, RESET, SETTINGS, PING, WINDOW = 0, 1, 3, 4, 6, 8
    NO_ERROR = b"\0\0\0\0"
    ACK, END_STREAM, END_HEADERS = 1, 1, 4

    def __init__(self, connection: socket.socket) -> None:
        self.socket = connection
        connection.sendall(self.PREFACE)
        self.frame(self.SETTINGS, 0, 0, b"")

    def frame(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        """Writes a frame."""
        head = struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream)
        self.socket.sendall(head + payload)

    def read(self) -> tuple[int, int, int, bytes]:
        """Reads a frame; acknowledges settings and passes over them and windows."""
        while True:
            head = self._exactly(9)
            length = int.from_bytes(head[:3], "big")
            kind, flags, stream = struct.unpack(">BBI", head[3:])
            payload = self._exactly(length)
            if kind == self.SETTINGS and not flags & self.ACK:
                self.frame(self.SETTINGS, self.ACK, 0, b"")
            elif kind not in (self.SETTINGS, self.WINDOW):
                return kind, flags, stream, payload

    def _exactly(self, length: int) -> bytes:
        data = b""
        while len(data) < length:
            part = self.socket.recv(length - len(data))
            assert part, "the connection ended"
            data += part
        return data

    def request(self, stream: int, headers: dict[str, str], body: bytes) -> None:
        """Sends a request."""
        block = b""
        for name, value in headers.items():
            for text in (name.lower().encode(), value.encode()):
                block += (b"\x00" if text == name.lower().encode() else b"") + self._length(len(text)) + text
        self.frame(self.HEADERS, self.END_HEADERS, stream, block)
        self.frame(self.DATA, self.END_STREAM, stream, body)

    @staticmethod
    def _length(length: int) -> bytes:
        if length < 127:
            return bytes([length])
        length -= 127
        encoded = b"\x7f"
        while length >= 128:
            encoded += bytes([length % 128 + 128])
            length //= 128
        return encoded + bytes([length])

    def answers(self, count: int, last: int | None = None) -> dict[int, tuple[bytes, bytes]]:
        """The first byte of the head and the body of so many answers, by stream, that of `last` among them."""
        heads: dict[int, bytes] = {}
        bodies: dict[int, bytes] = {}
        ended: set[int] = set()
        while len(ended) < count or (last is not None and last not in ended):
            kind, flags, stream, payload = self.read()
            if kind == self.RESET and stream in ended:
                # What was answered early needs no more of its request (RFC 9113, section 8.1).
                assert payload == self.NO_ERROR, f"stream {stream}: {payload!r}"
                continue
            assert kind in (self.DATA, self.HEADERS), f"frame {kind} on stream {stream}: {payload!r}"
            if kind == self.HEADERS:
                heads[stream] = payload[:1]
            else:
                bodies[stream] = bodies.get(stream, b"") + payload
            if flags & self.END_STREAM:
                ended.add(stream)
        return {stream: (heads[stream], bodies[stream]) for stream in heads}


class TestHttp2:
    """HTTP/2 on the same port, known beforehand (RFC 9113, section 3.3)."""

    OK, BAD_REQUEST = b"\x88", b"\x8c"  # Indexed `:status: 200` and `:status: 400`.

    @staticmethod
    def headers(raw: RawClient, body: bytes, target: str) -> dict[str, str]:
        """The head of a signed request. The host is signed and stands in `:authority`."""
        host = f"{raw.host}:{raw.port}"
        signed = raw.sign(
            "POST", "/", body, {"Host": host, "Content-Type": CONTENT_TYPE, "X-Amz-Target": target}
        )
        del signed["Host"]
        return {":method": "POST", ":scheme": "http", ":path": "/", ":authority": host} | signed

    def test_many_requests_at_once_each_get_their_answer(self, raw: RawClient, wire: Wire) -> None:
        http2 = Http2(wire.socket)
        bodies = {1: b"{}", 3: b'{"Limit":1}', 5: b"{", 7: b'{"Limit":0}'}
        for stream, body in bodies.items():
            http2.request(stream, self.headers(raw, body, TARGET), body)
        answers = http2.answers(len(bodies))
        assert [answers[stream][0] for stream in bodies] == [self.OK] * 2 + [self.BAD_REQUEST] * 2
        assert "TableNames" in json.loads(answers[1][1])
        assert json.loads(answers[5][1])["__type"].endswith("#SerializationException")
        assert json.loads(answers[7][1])["__type"].endswith("#ValidationException")

    def test_a_ping_is_answered(self, wire: Wire) -> None:
        http2 = Http2(wire.socket)
        http2.frame(Http2.PING, 0, 0, b"12345678")
        assert http2.read() == (Http2.PING, Http2.ACK, 0, b"12345678")

    def test_a_request_that_is_given_up_leaves_the_others(self, raw: RawClient, wire: Wire) -> None:
        http2 = Http2(wire.socket)
        http2.frame(Http2.HEADERS, Http2.END_HEADERS, 1, b"\x83\x86\x84")  # POST, http, /
        http2.frame(Http2.RESET, 0, 1, struct.pack(">I", 8))
        http2.request(3, self.headers(raw, BODY, TARGET), BODY)
        # The other one may have been answered before it was given up.
        assert http2.answers(1, last=3)[3][0] == self.OK

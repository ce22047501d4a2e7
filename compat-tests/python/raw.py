"""Requests as bytes on a connection: what botocore would refuse to send, signed with botocore's own signer.

`RawClient.call` sends one operation; `RawClient.send` leaves method, path, headers, body and signature to the
caller, and `RawClient.write` writes to the socket as is. Every answer comes back whole as an `Answer`.
"""

from __future__ import annotations

import contextlib
import datetime
import errno
import http.client
import json
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from unittest import mock
from urllib.parse import urlsplit

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from server import Target

TIMEOUT_SECONDS = 30
CONTENT_TYPE = "application/x-amz-json-1.0"


@dataclass(frozen=True)
class Answer:
    """One HTTP response, body read to the end."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)

    @property
    def type(self) -> str:
        """`__type` of an error: namespace, `#`, name."""
        return str(self.json["__type"])

    @property
    def message(self) -> str | None:
        """The error's sentence, under whichever of the two spellings the service uses for this error."""
        body = self.json
        sentence: str | None = body.get("message", body.get("Message"))
        return sentence


class RawClient:
    """Sends hand-made requests to one server, a new connection for each."""

    def __init__(self, target: Target) -> None:
        self.target = target
        parts = urlsplit(target.endpoint)
        assert parts.hostname
        self.host = parts.hostname
        self.port = parts.port or 80

    def call(self, operation: str, request: Any, **options: Any) -> Answer:
        """One signed operation. `request` is a JSON value, or text or bytes to be sent as they are."""
        if isinstance(request, str):
            body = request.encode()
        elif isinstance(request, bytes):
            body = request
        else:
            body = json.dumps(request).encode()
        return self.send(body=body, amz_target=f"DynamoDB_20120810.{operation}", **options)

    def send(
        self,
        method: str = "POST",
        path: str = "/",
        body: bytes = b"{}",
        amz_target: str | None = "DynamoDB_20120810.ListTables",
        headers: dict[str, str | None] | None = None,
        signed: dict[str, str | None] | None = None,
        sent_body: bytes | None = None,
    ) -> Answer:
        """One request. `headers` replaces or (with None) drops headers after signing; `signed` does so before
        it; `sent_body` goes out in place of the body that was signed."""
        before = {"Host": f"{self.host}:{self.port}", "Content-Type": CONTENT_TYPE}
        if amz_target is not None:
            before["X-Amz-Target"] = amz_target
        before = _changed(before, signed)
        request = self.sign(method, path, body, before)
        return self.unsigned(
            method, path, body if sent_body is None else sent_body, _changed(request, headers)
        )

    def sign(
        self,
        method: str,
        path: str,
        body: bytes,
        headers: dict[str, str],
        *,
        at: datetime.datetime | None = None,
        access_key_id: str | None = None,
        secret_access_key: str | None = None,
        region: str | None = None,
        service: str = "dynamodb",
    ) -> dict[str, str]:
        """`headers` with the signature added, made with the target's key pair unless another is given."""
        credentials = Credentials(
            access_key_id or self.target.access_key_id, secret_access_key or self.target.secret_access_key
        )
        request = AWSRequest(method, f"http://{self.host}:{self.port}{path}", headers=headers, data=body)
        now = (at or datetime.datetime.now(datetime.UTC)).replace(tzinfo=None)
        with mock.patch("botocore.auth.get_current_datetime", return_value=now):
            SigV4Auth(credentials, service, region or self.target.region).add_auth(request)
        return dict(request.headers.items())

    def unsigned(self, method: str, path: str, body: bytes, headers: dict[str, str]) -> Answer:
        """One request with exactly these headers (and a Content-Length, unless one is given)."""
        connection = http.client.HTTPConnection(self.host, self.port, timeout=TIMEOUT_SECONDS)
        try:
            connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
            for name, value in {"Content-Length": str(len(body)), **headers}.items():
                connection.putheader(name, value)
            connection.endheaders()
            # A server may answer before it has read everything; its answer is still there to be read.
            with _hung_up():
                connection.send(body)
            return _read(connection.getresponse())
        finally:
            connection.close()

    def write(self, request: bytes) -> bytes:
        """Writes `request` to a connection, closes the writing half, and returns all that comes back. A
        server that hangs up in the middle is no error here: what it said until then is returned."""
        received = b""
        with socket.create_connection((self.host, self.port), timeout=TIMEOUT_SECONDS) as connection:
            with _hung_up():
                connection.sendall(request)
                connection.shutdown(socket.SHUT_WR)
            with contextlib.suppress(ConnectionResetError):
                while part := connection.recv(65536):
                    received += part
        return received


@contextlib.contextmanager
def _hung_up() -> Iterator[None]:
    """Passes over the errors of writing to a connection that the other side has closed."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.EPIPE, errno.ECONNRESET, errno.ENOTCONN):
            raise


def _changed(headers: dict[str, str], changes: dict[str, str | None] | None) -> dict[str, str]:
    changed = dict(headers)
    for name, value in (changes or {}).items():
        for present in [key for key in changed if key.lower() == name.lower()]:
            del changed[present]
        if value is not None:
            changed[name] = value
    return changed


def _read(response: http.client.HTTPResponse) -> Answer:
    body = response.read()
    return Answer(response.status, {name.lower(): value for name, value in response.getheaders()}, body)

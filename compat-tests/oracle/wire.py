"""One server of the two that are compared: its process, a connection that stays open, and what it has named so far.

Tables have the same names on both servers. What a server makes up itself (ARNs, shards, iterators, tokens) is kept in
`memory` under the name of the member that it came in, and is put into requests in place of `"$Member"`.
"""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "python"))

from raw import CONTENT_TYPE, Answer, RawClient  # noqa: E402
from server import Target  # noqa: E402

READY_TIMEOUT_SECONDS = 60
STOP_TIMEOUT_SECONDS = 10
STREAM_OPERATIONS = {"ListStreams", "DescribeStream", "GetShardIterator", "GetRecords"}
REMEMBERED = {
    "TableArn",
    "LatestStreamArn",
    "StreamArn",
    "ShardId",
    "ShardIterator",
    "NextShardIterator",
    "SequenceNumber",
    "StartingSequenceNumber",
    "NextToken",
    "LastEvaluatedKey",
    "LastEvaluatedTableName",
    "LastEvaluatedShardId",
    "LastEvaluatedStreamArn",
    "UnprocessedKeys",
}
"""Members of answers whose values the next requests may use."""


class Peer:
    """A server, and the requests to it over one connection."""

    def __init__(self, target: Target) -> None:
        self.client = RawClient(target)
        self.memory: dict[str, Any] = {}
        self._connection: http.client.HTTPConnection | None = None

    def call(self, operation: str, body: Any) -> Answer:
        """One signed request. Bytes are sent as they are; in everything else `"$Member"` is replaced."""
        payload = body if isinstance(body, bytes) else json.dumps(self.filled(body)).encode()
        service = "DynamoDBStreams_20120810" if operation in STREAM_OPERATIONS else "DynamoDB_20120810"
        return self.send("POST", "/", payload, {"X-Amz-Target": f"{service}.{operation}"})

    def send(self, method: str, path: str, body: bytes, headers: dict[str, str | None]) -> Answer:
        """One signed request with these headers; None takes one away after signing."""
        host = f"{self.client.host}:{self.client.port}"
        given = {name: value for name, value in headers.items() if value is not None}
        signed = self.client.sign(method, path, body, {"Host": host, "Content-Type": CONTENT_TYPE, **given})
        for name, value in headers.items():
            if value is None:
                signed.pop(name, None)
        answer = self._exchange(method, path, body, signed)
        self._remember(answer)
        return answer

    def _exchange(self, method: str, path: str, body: bytes, headers: dict[str, str]) -> Answer:
        for last in (False, True):
            if self._connection is None:
                self._connection = http.client.HTTPConnection(self.client.host, self.client.port, timeout=60)
                self._connection.connect()
                self._connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            try:
                self._connection.request(method, path, body, headers)
                response = self._connection.getresponse()
                found = {name.lower(): value for name, value in response.getheaders()}
                answer = Answer(response.status, found, response.read())
            except (http.client.HTTPException, OSError):
                # A server may close a connection between two requests; a fresh one tells whether it is that.
                self.close()
                if last:
                    raise
                continue
            if response.will_close:
                self.close()
            return answer
        raise AssertionError("two tries end with an answer or an error")

    def close(self) -> None:
        """Closes the connection; the next request opens another."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def filled(self, body: Any) -> Any:
        """`body` with this server's own values in place of `"$Member"`, and its table in that of `"$T"` in statements."""
        if isinstance(body, dict):
            return {self.filled(key): self.filled(value) for key, value in body.items()}
        if isinstance(body, list):
            return [self.filled(value) for value in body]
        if isinstance(body, str) and re.fullmatch(r"\$[A-Za-z]+", body):
            return self.memory.get(body[1:], body)
        if isinstance(body, str):
            return body.replace('"$T"', f'"{self.memory.get("T")}"')
        return body

    def _remember(self, answer: Answer) -> None:
        if answer.status == 200 and answer.body.startswith(b"{"):
            self._collect(answer.json)

    def _collect(self, value: Any) -> None:
        if isinstance(value, dict):
            for key, inner in value.items():
                if key in REMEMBERED:
                    self.memory[key] = inner
                if key not in {"Item", "Items", "Attributes"}:
                    self._collect(inner)
        elif isinstance(value, list):
            # Of several the first stays: the oldest shard, the first record.
            for inner in reversed(value):
                self._collect(inner)


class DynamoDbLocal:
    """One DynamoDB Local process of this run's own, from a folder with its jars and its native library."""

    def __init__(self, folder: Path) -> None:
        self.port = _free_port()
        self._log = tempfile.TemporaryFile()
        self.process = subprocess.Popen(
            [
                "java",
                "-Xmx1g",
                f"-Djava.library.path={folder}",
                f"-Dsqlite4java.library.path={folder}",
                "-cp",
                f"{folder}/*",
                "software.amazon.dynamodb.services.local.main.ServerRunner",
                "-inMemory",
                "-sharedDb",
                "-disableTelemetry",
                "-port",
                str(self.port),
            ],
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=subprocess.STDOUT,
            env={name: value for name, value in os.environ.items() if not name.startswith("AWS_")},
        )
        self.target = Target(
            f"http://127.0.0.1:{self.port}", "us-east-1", "example", "example", "dynamodb-local"
        )
        try:
            self._wait()
        except BaseException:
            self.end()
            raise

    def _wait(self) -> None:
        deadline = time.monotonic() + READY_TIMEOUT_SECONDS
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                break
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
                return
            except OSError:
                time.sleep(0.05)
        raise AssertionError(f"DynamoDB Local is not ready: {self.log()}")

    def log(self) -> str:
        """What the process has written so far."""
        self._log.seek(0)
        return self._log.read().decode(errors="replace")

    def end(self) -> None:
        """Ends the process; it keeps nothing."""
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(timeout=STOP_TIMEOUT_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def __enter__(self) -> DynamoDbLocal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port

"""Starting, stopping and killing a Stator process, and the description of the server under test.

A `Server` is one `stator dev --json` child process. It says when it is ready by printing one JSON line with
its endpoint and its key pair; nothing here waits on a clock alone.
"""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import tempfile
import threading
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

READY_TIMEOUT_SECONDS = 30
STOP_TIMEOUT_SECONDS = 30


@dataclass(frozen=True)
class Target:
    """Where the tests send their requests, and the key pair they sign with."""

    endpoint: str
    region: str
    access_key_id: str
    secret_access_key: str
    name: str = "stator"

    @property
    def is_dynamodb_local(self) -> bool:
        """Whether the server under test is Amazon's DynamoDB Local."""
        return self.name == "dynamodb-local"


class Server:
    """One `stator dev` process of this test run's own."""

    def __init__(self, binary: str, *arguments: str) -> None:
        self._stderr = tempfile.TemporaryFile()
        self.process = subprocess.Popen(
            [binary, "dev", "--port", "0", "--json", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
        )
        try:
            self.ready = self._read_ready_line()
        except BaseException:
            self.kill()
            self._stderr.close()
            raise
        self.target = Target(
            endpoint=str(self.ready["endpoint"]),
            region=str(self.ready["region"]),
            access_key_id=str(self.ready["access_key_id"]),
            secret_access_key=str(self.ready["secret_access_key"]),
        )

    def _read_ready_line(self) -> dict[str, object]:
        lines: queue.Queue[bytes] = queue.Queue()
        stdout = self.process.stdout
        assert stdout is not None
        threading.Thread(target=lambda: lines.put(stdout.readline()), daemon=True).start()
        try:
            line = lines.get(timeout=READY_TIMEOUT_SECONDS)
        except queue.Empty:
            raise AssertionError(f"not ready after {READY_TIMEOUT_SECONDS} s: {self.log()}") from None
        assert line, f"ended with {self.process.wait()} before it was ready: {self.log()}"
        ready: dict[str, object] = json.loads(line)
        return ready

    def log(self) -> str:
        """What the process has written to standard error so far."""
        self._stderr.seek(0)
        return self._stderr.read().decode(errors="replace")

    def kill(self) -> None:
        """Ends the process with `kill -9`: no handler of its own runs, nothing is flushed."""
        self.process.kill()
        self._reap()

    def interrupt(self) -> int:
        """Presses ctrl-C and returns the exit status."""
        self.process.send_signal(signal.SIGINT)
        return self._reap()

    def _reap(self) -> int:
        status = self.process.wait(timeout=STOP_TIMEOUT_SECONDS)
        if self.process.stdout is not None:
            self.process.stdout.close()
        return status

    def __enter__(self) -> Server:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if self.process.poll() is None:
                self.interrupt()
        finally:
            if self.process.poll() is None:
                self.kill()
            self._stderr.close()


def stator_binary() -> str | None:
    """The path in `STATOR_BIN`, or nothing when it is not set."""
    path = os.environ.get("STATOR_BIN")
    return str(Path(path).resolve()) if path else None


def target_from_environment() -> Target | None:
    """The server named by `STATOR_ENDPOINT` and the usual AWS variables, or nothing when it is not set."""
    endpoint = os.environ.get("STATOR_ENDPOINT")
    if not endpoint:
        return None
    return Target(
        endpoint=endpoint,
        region=os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or "us-east-1",
        access_key_id=os.environ.get("AWS_ACCESS_KEY_ID", "example"),
        secret_access_key=os.environ.get("AWS_SECRET_ACCESS_KEY", "example"),
        name=os.environ.get("STATOR_TARGET", "stator"),
    )

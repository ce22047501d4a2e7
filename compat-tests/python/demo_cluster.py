"""A cluster of Stator nodes on this machine, and the balancer that its clients connect to.

`stator demo-cluster --restart --json` says in one line how its nodes are reached; a node that is killed is started again.
The balancer passes bytes on, to one node after the other and past those that refuse, as one in front of a cluster does;
TLS is between client and node.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import queue
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

import boto3
import botocore.config

READY_TIMEOUT_SECONDS = 60
STOP_TIMEOUT_SECONDS = 30
BACK_TIMEOUT_SECONDS = 30
CONNECT_TIMEOUT_SECONDS = 0.5


class DemoCluster:
    """A running `stator demo-cluster`; leaving its context ends it.

    `configuration` is added to the file of each node, and `security` to its section of that name: the cluster is
    started once to make the files, which a second start takes as they are.
    """

    def __init__(
        self, binary: str, directory: Path, configuration: str = "", security: str = "", nodes: int = 3
    ) -> None:
        if configuration or security:
            with DemoCluster(binary, directory, nodes=nodes):
                pass
            for file in configurations(directory):
                text = file.read_text().replace("[security]\n", f"[security]\n{security}\n", 1)
                file.write_text(text + configuration)
        self._directory = directory
        self._stderr = tempfile.TemporaryFile()
        arguments = ["demo-cluster", "--nodes", str(nodes), "--restart", "--json", "--dir", str(directory)]
        self.process = subprocess.Popen(
            [binary, *arguments], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=self._stderr
        )
        try:
            self.ready = self._read_ready_line()
        except BaseException:
            self._end(signal.SIGKILL)
            raise

    def _read_ready_line(self) -> dict[str, Any]:
        lines: queue.Queue[bytes] = queue.Queue()
        stdout = self.process.stdout
        assert stdout is not None
        threading.Thread(target=lambda: lines.put(stdout.readline()), daemon=True).start()
        try:
            line = lines.get(timeout=READY_TIMEOUT_SECONDS)
        except queue.Empty:
            raise AssertionError(f"not ready after {READY_TIMEOUT_SECONDS} s: {self.log()}") from None
        assert line, f"ended before it was ready: {self.log()}"
        ready: dict[str, Any] = json.loads(line)
        return ready

    def log(self) -> str:
        """What the cluster has written to standard error so far."""
        self._stderr.seek(0)
        return self._stderr.read().decode(errors="replace")

    @property
    def addresses(self) -> list[tuple[str, int]]:
        """Where the nodes serve clients."""
        hosts = [str(node["endpoint"]).split("://")[1].rsplit(":", 1) for node in self.ready["nodes"]]
        return [(host, int(port)) for host, port in hosts]

    @property
    def configurations(self) -> list[Path]:
        """Those of the nodes."""
        return configurations(self._directory)

    def client(self, address: tuple[str, int], service: str = "dynamodb", **config: Any) -> Any:
        """A boto3 client of whatever listens there, with boto3's defaults but for `config`."""
        return boto3.session.Session().client(
            service,
            endpoint_url=f"https://{address[0]}:{address[1]}",
            region_name=self.ready["region"],
            aws_access_key_id=self.ready["access_key_id"],
            aws_secret_access_key=self.ready["secret_access_key"],
            verify=self.ready["ca_file"],
            config=botocore.config.Config(**config),
        )

    def kill(self, place: int) -> None:
        """Ends a node with `kill -9`, however often it has been started."""
        os.kill(self._pid(place), signal.SIGKILL)

    @contextlib.contextmanager
    def frozen(self, place: int) -> Iterator[None]:
        """While a node hangs (`SIGSTOP`)."""
        process = self._pid(place)
        os.kill(process, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(process, signal.SIGCONT)

    def _pid(self, place: int) -> int:
        """The process of a node: the child of the cluster that was given the node's configuration."""
        configuration = str(self.configurations[place].resolve()).encode()
        for process in Path("/proc").iterdir():
            try:
                _, parent = (process / "stat").read_text().rpartition(")")[2].split()[:2]
                given = (process / "cmdline").read_bytes().split(b"\0")
            except OSError:
                # Not a process, or one that has ended meanwhile.
                continue
            if int(parent) == self.process.pid and configuration in given:
                return int(process.name)
        raise AssertionError(f"node {place + 1} does not run: {self.log()}")

    def wait_until_back(self, place: int) -> None:
        """Waits until a node that was killed answers again."""
        client = self.client(self.addresses[place], retries={"total_max_attempts": 1})
        deadline = time.monotonic() + BACK_TIMEOUT_SECONDS
        while True:
            try:
                client.list_tables()
                break
            except Exception as error:
                assert time.monotonic() < deadline, f"node {place + 1} is not back: {error}"
                time.sleep(0.1)
        client.close()

    def _end(self, signal_number: signal.Signals) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal_number)
        try:
            self.process.wait(timeout=STOP_TIMEOUT_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        if self.process.stdout is not None:
            self.process.stdout.close()
        self._stderr.close()

    def __enter__(self) -> DemoCluster:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            print(self.log())
        self._end(signal.SIGTERM)


def configurations(directory: Path) -> list[Path]:
    """The configurations of a cluster's nodes; a node that is alone has no folder of its own."""
    return sorted(directory.glob("node-*/stator.toml")) or [directory / "stator.toml"]


class Balancer:
    """Passes each new connection to the next node that takes it."""

    def __init__(self, nodes: list[tuple[str, int]]) -> None:
        self._nodes = nodes
        self._turn = itertools.count()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address: tuple[str, int] = self._listener.getsockname()
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client:
            node = self._connect()
            if node is None:
                return
            with node:
                back = threading.Thread(target=_carry, args=(node, client), daemon=True)
                back.start()
                _carry(client, node)
                back.join()

    def _connect(self) -> socket.socket | None:
        first = next(self._turn)
        for offset in range(len(self._nodes)):
            try:
                node = socket.create_connection(
                    self._nodes[(first + offset) % len(self._nodes)], CONNECT_TIMEOUT_SECONDS
                )
            except OSError:
                continue
            node.settimeout(None)
            node.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return node
        return None

    def __enter__(self) -> Balancer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # Closing alone would not wake `accept`.
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()


def _carry(source: socket.socket, sink: socket.socket) -> None:
    """Carries bytes until either side has ended, and ends the other."""
    try:
        while data := source.recv(65536):
            sink.sendall(data)
    except OSError:
        pass
    for side in (source, sink):
        try:
            side.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass

"""What whoever runs a cluster types: status, top, doctor, table, health, config check and the others, with a node that hangs."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import pty
import re
import signal
import struct
import subprocess
import termios
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyte
import pytest

from conftest import create_table, eventually, wait_for
from demo_cluster import DemoCluster
from server import Server

pytestmark = pytest.mark.needs_stator_binary

ITEMS = 50


class Operator:
    """Types commands about a cluster."""

    def __init__(self, binary: str, cluster: DemoCluster) -> None:
        self.binary = binary
        self.cluster = cluster
        self.config = str(cluster.configurations[0])

    def run(self, *command: str) -> tuple[int, str]:
        """How a command ended, and what it printed, errors as well."""
        return said(self.binary, *command, "--config", self.config)

    def json(self, *command: str) -> Any:
        """What a command prints, as JSON."""
        code, text = self.run(*command, "--json")
        assert code == 0, text
        return json.loads(text)

    def states(self) -> dict[int, str]:
        """The nodes, as the first one has it."""
        return {node["node"]: node["liveness"] for node in self.json("status")["nodes"]}


def said(*command: str) -> tuple[int, str]:
    """How a command ended, and what it printed."""
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60, text=True)
    return done.returncode, done.stdout


@pytest.fixture(scope="module")
def operator(binary: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Operator]:
    """Of a cluster of three nodes with a table."""
    with DemoCluster(binary, tmp_path_factory.mktemp("cluster")) as cluster:
        client = cluster.client(cluster.addresses[0])
        create_table(client, "music")
        for number in range(ITEMS):
            client.put_item(TableName="music", Item={"pk": {"S": str(number)}})
        client.close()
        yield Operator(binary, cluster)


@pytest.fixture
def hanging(operator: Operator) -> Iterator[None]:
    """While the third node hangs, and the others have noticed it; over when all are well again."""
    with operator.cluster.frozen(2):
        wait_for("the others to notice", lambda: operator.states().get(3) == "down", 60)
        yield
    wait_for("all nodes", lambda: set(operator.states().values()) == {"alive"}, 60)


def test_all_is_well(operator: Operator) -> None:
    code, told = operator.run("status")
    assert code == 0
    assert [words(line)[4] for line in told.splitlines()[3:6]] == ["alive"] * 3, told
    # A range has a leader when somebody asked for it, or a moment after the start.
    wait_for("leaders", lambda: "WITHOUT LEADER" not in operator.run("status")[1], 60)
    wait_for("a healthy cluster", lambda: operator.run("doctor")[0] == 0, 60)
    checks = operator.json("doctor")["checks"]
    assert {check["check"]: check["state"] for check in checks}["nodes"] == "ok"
    assert operator.run("health")[0] == 0
    everything = "3 of 3 nodes alive, 256 of 256 ranges led"
    wait_for("all that is led", lambda: operator.run("top", "--once")[1].startswith(everything), 60)


def test_a_node_that_hangs_is_seen_everywhere(operator: Operator, hanging: None) -> None:
    lines = operator.run("status")[1].splitlines()
    row = dict(zip(words(lines[2]), words(lines[5]), strict=True))
    assert (row["NODE"], row["STATE"], row["LEADS"], row["REQ/S"]) == ("3", "down", "-", "-")
    # Those of its ranges have gone over to the others.
    wait_for("new leaders", lambda: "WITHOUT LEADER" not in operator.run("status")[1], 60)
    code, told = operator.run("doctor")
    assert code == 1
    assert re.search(r"FAIL +nodes +1 of 3 are away: node 3 at ", told), told
    assert "`stator remove`" in told, "what to do is said"
    told = operator.run("top", "--once")[1]
    assert told.startswith("2 of 3 nodes alive"), told
    told = operator.run("table", "describe", "music")[1]
    assert re.search(r"^3 .* down +- ", told, re.MULTILINE), told
    others = [str(path) for path in operator.cluster.configurations]
    assert said(operator.binary, "health", "--config", others[1])[0] == 0
    assert said(operator.binary, "health", "--config", others[2])[0] == 1


def test_top_is_live_until_it_is_told_to_quit(operator: Operator, hanging: None) -> None:
    screen, keyboard = pty.openpty()
    fcntl.ioctl(keyboard, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 140, 0, 0))
    command = [operator.binary, "top", "--interval", "1", "--config", operator.config]
    environment = {**os.environ, "TERM": "xterm-256color"}
    process = subprocess.Popen(command, stdin=keyboard, stdout=keyboard, stderr=keyboard, env=environment)
    os.close(keyboard)
    terminal = pyte.Screen(140, 30)
    stream = pyte.ByteStream(terminal)
    deadline = time.monotonic() + 60
    while not terminal.display[0].startswith("2 of 3 nodes alive") or " down " not in terminal.display[5]:
        assert time.monotonic() < deadline, terminal.display
        stream.feed(os.read(screen, 65_536))
    assert {cell.fg for cell in terminal.buffer[5].values()} <= {"red", "cd0000"}, "the node that is down stands out"
    os.write(screen, b"q")
    # Whoever draws ends when somebody has read the rest, up to the end of the terminal's other side.
    with contextlib.suppress(OSError):
        while True:
            assert time.monotonic() < deadline
            stream.feed(os.read(screen, 65_536))
    os.close(screen)
    assert process.wait(30) == 0
    assert not terminal.cursor.hidden, "the cursor is shown again"


def test_tables_are_listed_with_their_items(operator: Operator) -> None:
    def rows() -> list[list[str]]:
        code, told = operator.run("table", "list")
        assert code == 0, told
        return [words(line)[:3] for line in told.splitlines()[1:]]

    # A node that has just come back is asked again.
    eventually(rows, [["music", "ACTIVE", str(ITEMS)]], 60)
    eventually(lambda: operator.json("table", "describe", "music")["table"]["ItemCount"], ITEMS, 60)
    code, told = operator.run("table", "describe", "other")
    assert code == 1 and "other" in told


def test_a_comparison_and_a_check_of_all_files_end(operator: Operator) -> None:
    code, told = operator.run("repair")
    assert code == 0, told
    code, told = operator.run("keys", "status")
    assert code == 0, told


def test_a_configuration_is_checked_before_a_node_is_started(operator: Operator, tmp_path: Path) -> None:
    code, told = operator.run("config", "check")
    assert code == 0, told
    broken = tmp_path / "stator.toml"
    broken.write_text(Path(operator.config).read_text() + "\n[limits]\nmax_tablez = 3\n")
    code, told = said(operator.binary, "config", "check", "--config", str(broken))
    assert code == 1
    assert "max_tablez" in told or "limits" in told, told
    missing = tmp_path / "none.toml"
    code, told = said(operator.binary, "config", "check", "--config", str(missing))
    assert code == 1 and str(missing) in told, told


def test_a_plan_shows_its_formula(binary: str) -> None:
    code, told = said(binary, "plan", "--data", "10TB", "--nodes", "9", "--disk", "8TB")
    assert code == 0
    assert "nines" in told or "durability" in told, told
    assert json.loads(said(binary, "plan", "--data", "10TB", "--json")[1])
    code, told = said(binary, "plan", "--data", "much")
    assert code != 0 and "much" in told


def test_pages_and_completions_are_of_all_commands(binary: str, tmp_path: Path) -> None:
    assert said(binary, "man", "--out", str(tmp_path))[0] == 0
    pages = {page.name for page in tmp_path.iterdir()}
    assert {"stator.1", "stator-serve.1", "stator-status.1", "stator-backup.1"} <= pages
    script = tmp_path / "stator.bash"
    script.write_text(said(binary, "completions", "bash")[1])
    assert subprocess.run(["bash", "-n", str(script)]).returncode == 0
    for command in ("status", "replace", "demo-cluster"):
        assert command in script.read_text()


def words(line: str) -> list[str]:
    """The cells of a row."""
    return re.split(r" {2,}", line.strip())


def test_a_log_that_nobody_looks_at_has_no_colors(binary: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STATOR_LOG", "debug")
    with Server(binary, "--ephemeral") as server:
        assert server.interrupt() == 0
        log = server.log()
    assert " DEBUG " in log and "\x1b" not in log, log

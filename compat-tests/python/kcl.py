"""The consumer with the Kinesis Client Library (`compat-tests/java/kcl`): started, read from, and held to its order."""

from __future__ import annotations

import os
import subprocess
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from server import Target

# The library waits for half a minute before it begins, most of it at random.
CONSUMER_SECONDS = 150


@dataclass(frozen=True)
class Seen:
    """A record as the consumer has printed it. `at` is its line; keys and image are `name=value` with commas between."""

    at: int
    shard: str
    number: int
    event: str
    keys: str
    image: str


@dataclass(frozen=True)
class Run:
    """What one run of the consumer has printed."""

    lines: list[list[str]]

    @classmethod
    def of_text(cls, text: str) -> Run:
        """What is printed so far; a line that is not complete is left for later."""
        complete = text.rpartition("\n")[0]
        return cls([line.split(" ") for line in complete.splitlines()])

    @property
    def records(self) -> list[Seen]:
        """The records, in the order in which they came."""
        return [
            Seen(at=at, shard=line[1], number=int(line[2]), event=line[3], keys=line[4], image=line[5])
            for at, line in enumerate(self.lines)
            if line[0] == "record"
        ]

    def shards(self, word: str) -> list[str]:
        """The shards that the consumer has begun, ended or lost."""
        return [line[1] for line in self.lines if line[0] == word]

    def place(self, word: str, shard: str) -> int | None:
        """Where the consumer has begun or ended a shard, if it has."""
        return next((at for at, line in enumerate(self.lines) if line[:2] == [word, shard]), None)


class Consumer:
    """The program, on one stream and with one lease table."""

    def __init__(
        self,
        target: Target,
        table: str,
        leases: str,
        folder: Path,
        ca_file: Path | None = None,
        seconds: int = CONSUMER_SECONDS,
    ) -> None:
        self.target = target
        self.table = table
        self.leases = leases
        self.folder = folder
        self.seconds = seconds
        self.trust = [] if ca_file is None else self._trust(ca_file)

    def _trust(self, ca_file: Path) -> list[str]:
        """Options by which Java trusts a certificate authority; it reads no PEM."""
        store = self.folder / "trust.p12"
        command = ["keytool", "-importcert", "-noprompt", "-alias", "ca", "-storetype", "PKCS12"]
        command += ["-file", str(ca_file), "-keystore", str(store), "-storepass", "changeit"]
        subprocess.run(command, check=True, capture_output=True)
        names = {"": str(store), "Type": "PKCS12", "Password": "changeit"}
        return [f"-Djavax.net.ssl.trustStore{name}={value}" for name, value in names.items()]

    def start(self, worker: str, count: int) -> subprocess.Popen[bytes]:
        """Starts a worker that ends when it has seen so many records."""
        home = Path(os.environ["STATOR_KCL"])
        arguments = [self.target.endpoint, self.table, self.leases, worker, str(count), str(self.seconds)]
        with (
            (self.folder / f"{worker}.out").open("wb") as out,
            (self.folder / f"{worker}.err").open("wb") as err,
        ):
            return subprocess.Popen(
                [
                    "java",
                    *self.trust,
                    "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
                    "-cp",
                    f"{home / 'kcl-consumer.jar'}:{home / 'lib' / '*'}",
                    "stator.KclConsumer",
                    *arguments,
                ],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                env={
                    "PATH": os.environ["PATH"],
                    "AWS_ACCESS_KEY_ID": self.target.access_key_id,
                    "AWS_SECRET_ACCESS_KEY": self.target.secret_access_key,
                    "AWS_REGION": self.target.region,
                },
            )

    def so_far(self, worker: str) -> Run:
        """What a worker has printed until now."""
        return Run.of_text((self.folder / f"{worker}.out").read_text())

    def complaints(self, worker: str) -> str:
        """The end of what a worker has written to standard error."""
        return (self.folder / f"{worker}.err").read_text()[-4000:]

    def finish(self, worker: str, process: subprocess.Popen[bytes]) -> Run:
        """Waits for a worker to end and returns what it has printed."""
        try:
            status = process.wait(timeout=self.seconds + 60)
        finally:
            process.kill()
            process.wait()
        run = self.so_far(worker)
        assert status == 0, f"{run.lines[-20:]}\n{self.complaints(worker)}"
        return run


def check_parents_first(run: Run, shards: list[dict[str, Any]]) -> int:
    """A shard begins when its parent has ended, with all its records. Returns for how many shards that was seen."""
    last: dict[str, int] = {record.shard: record.at for record in run.records}
    children = 0
    for shard in shards:
        begun = run.place("begin", shard["ShardId"])
        parent = shard.get("ParentShardId")
        if begun is None or parent is None or run.place("begin", parent) is None:
            continue
        ended = run.place("end", parent)
        assert ended is not None and ended < begun, f"{shard['ShardId']} before the end of {parent}"
        assert last.get(parent, 0) <= ended, f"a record of {parent} behind its end"
        children += 1
    return children


def records_by_item(run: Run) -> dict[str, list[Seen]]:
    """The records of each item, in the order in which they came."""
    by_item: dict[str, list[Seen]] = defaultdict(list)
    for record in run.records:
        by_item[record.keys].append(record)
    return by_item

"""Holds Stator against DynamoDB Local: sends both the same requests and reports where their answers differ.

The requests are those of `cases/`, written by hand, and as many generated ones as are asked for. Differences that
`judged.toml` speaks of do not count. The last line is `oracle: N requests, M unjudged differences`; the exit status is 1
when M is not 0 or when a judgement was of no use.
"""

from __future__ import annotations

import argparse
import collections
import importlib
import json
import pkgutil
import random
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import wire  # noqa: F401  (finds the modules of the client tests)

import generate
import judged
import service
import shrink
import trial
from compare import Difference
from server import Server
from trial import Case, Compared, Pair
from wire import DynamoDbLocal, Peer

OPERATIONS = {
    **dict.fromkeys(["PutItem", "UpdateItem", "DeleteItem", "Query", "Scan", "GetItem"], 10),
    **dict.fromkeys(["BatchGetItem", "BatchWriteItem"], 5),
    **dict.fromkeys(["CreateTable", "UpdateTable"], 3),
    **dict.fromkeys(
        [
            "DeleteTable",
            "DescribeTable",
            "DescribeTimeToLive",
            "ListTables",
            "ListTagsOfResource",
            "TagResource",
            "UntagResource",
            "UpdateTimeToLive",
            "ListStreams",
            "DescribeStream",
            "GetShardIterator",
            "GetRecords",
        ],
        1,
    ),
    **dict.fromkeys(["DescribeLimits", "DescribeEndpoints"], 0.1),
}
"""The operations that generated requests are of, and their shares."""
CLASSES_SHOWN = 400


class Report:
    """Counts the differences that nobody has judged, class by class."""

    def __init__(self, pair: Pair, judge: judged.Judge, shrinks: bool) -> None:
        self.pair, self.judge, self.shrinks = pair, judge, shrinks
        self.count = 0
        self.classes: collections.Counter[str] = collections.Counter()
        self.examples: dict[str, str] = {}

    def take(self, where: str, found: list[Compared], again: bool) -> None:
        """Takes the results of one trial; `again` tells that it can be repeated as it stands."""
        for compared in found:
            step = compared.step
            left = self.judge.unjudged(step.operation, compared.body, compared.differences)
            self.count += len(left)
            for difference in left:
                key = _class(step.operation, difference)
                self.classes[key] += 1
                if key not in self.examples:
                    body = step.body
                    if again and self.shrinks and compared is found[0]:
                        body = shrink.shrunk(body, lambda smaller: self._shows(step.operation, smaller, key))
                    self.examples[key] = f"{where}: {step.operation} {_shown(body)}\n    {difference}"

    def _shows(self, operation: str, body: Any, key: str) -> bool:
        found = trial.generated(self.pair, operation, body)[0]
        left = self.judge.unjudged(operation, found.body, found.differences)
        return any(_class(operation, difference) == key for difference in left)

    def write(self) -> None:
        """Prints the classes, the largest first."""
        for key, count in self.classes.most_common(CLASSES_SHOWN):
            print(f"{count} x {self.examples[key]}\n")


def _shown(body: Any) -> str:
    text = repr(body) if isinstance(body, bytes) else json.dumps(body, ensure_ascii=False)
    return text if len(text) <= 900 else text[:900] + "..."


def _class(operation: str, difference: Difference) -> str:
    words = f"{difference.place} | {difference.stator} | {difference.local}"
    words = re.sub(r"'[^']*'|\"[^\"]*\"|[:#]?\b\w*\d+\w*\b|\[[^\]]*\]", "_", words)
    words = re.sub(r"near: \S.*", "near: _", words)
    return f"{operation} {words[:300]}"


def cases() -> Iterator[tuple[str, Case]]:
    """All cases of `cases/`, with the name of their file."""
    folder = Path(__file__).with_name("cases")
    for module in sorted(pkgutil.iter_modules([str(folder)]), key=lambda found: found.name):
        for case in importlib.import_module(f"cases.{module.name}").CASES:
            yield module.name, case


def arguments() -> argparse.Namespace:
    """What the command line says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--stator", required=True, help="the stator binary")
    parser.add_argument("--dynamodb-local", required=True, type=Path, help="the folder with its jars")
    parser.add_argument("--seed", type=int, default=1, help="draws the generated requests")
    parser.add_argument("--generated", type=int, default=4000, help="how many requests are generated")
    parser.add_argument(
        "--only", default=".*", help="operations and names of cases to run (regular expression)"
    )
    parser.add_argument("--partial", action="store_true", help="do not ask that every judgement is of use")
    parser.add_argument("--no-shrink", action="store_true", help="show requests as they were generated")
    return parser.parse_args()


def main() -> int:
    """Runs everything and returns the exit status."""
    asked = arguments()
    entries = judged.read()
    with Server(asked.stator, "--ephemeral") as stator, DynamoDbLocal(asked.dynamodb_local) as local:
        pair = Pair(Peer(stator.target), Peer(local.target))
        report = Report(pair, judged.Judge(entries), not asked.no_shrink)
        trial.prepare(pair)
        for file, case in cases():
            if re.search(asked.only, file):
                report.take(f"{file}: {case.name}", trial.handmade(pair, case), again=False)
        draw = random.Random(asked.seed)
        maker = generate.Generator(draw)
        names = [name for name in OPERATIONS if re.search(asked.only, name)]
        for number in range(asked.generated if names else 0):
            operation = draw.choices(names, [OPERATIONS[name] for name in names])[0]
            body = maker.request(operation)
            where = f"seed {asked.seed}, request {number}"
            report.take(where, trial.generated(pair, operation, body), again=True)
        asked_for = len(pair.asked)
    report.write()
    useless = [] if asked.partial or asked.only != ".*" else report.judge.useless()
    for entry in useless:
        operation = entry.patterns.get("operation")
        print(f"judged.toml: nothing matches: {entry.why} ({operation.pattern if operation else 'any operation'})")
    print(f"known and open: {report.judge.open()} differences that Stator has yet to mend")
    print(f"oracle: {asked_for} requests, {report.count} unjudged differences")
    return 1 if report.count or useless else 0


if __name__ == "__main__":
    assert service.input_shape("PutItem")
    sys.exit(main())

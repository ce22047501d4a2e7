"""The differences that have been judged: `judged.toml`, and which of a run's differences they speak of.

An entry says why Stator differs and what AWS has published that says so. One that a whole run has no use for is an error:
the difference is gone, or the entry never fitted.
"""

from __future__ import annotations

import json
import re
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import service
from compare import Difference

FILE = Path(__file__).with_name("judged.toml")
PATTERNS = ("operation", "request", "place", "stator", "local")
CONSTRAINT = re.compile(r"at '([^']*)' failed to satisfy constraint")
LISTED_AT_MOST = 10
"""DynamoDB names no more violations than this."""


@dataclass
class Entry:
    """One judgement. Patterns that are left out fit everything."""

    patterns: dict[str, re.Pattern[str]]
    breaks: str | None
    why: str
    source: str
    is_open: bool
    """Whether Stator is wrong, and does not have yet what the source says."""
    matched: int = field(default=0)

    def fits(self, operation: str, body: Any, difference: Difference) -> bool:
        """Whether the judgement is about this difference."""
        values = {
            "operation": operation,
            "request": repr(body) if isinstance(body, bytes) else json.dumps(body, ensure_ascii=False),
            "place": difference.place,
            "stator": _text(difference.stator),
            "local": _text(difference.local),
        }
        if not all(pattern.fullmatch(values[name]) for name, pattern in self.patterns.items()):
            return False
        if self.breaks == "constraints":
            return _names_what_is_broken(operation, body, values["stator"])
        if self.breaks == "types":
            return isinstance(body, bytes) or service.is_mistyped(operation, body)
        return True


def _text(value: Any) -> str:
    return value if isinstance(value, str) else repr(value)


def _names_what_is_broken(operation: str, body: Any, sentence: str) -> bool:
    """Whether the sentence names exactly the members that break the service model."""
    if isinstance(body, bytes):
        return False
    broken = service.broken_constraints(operation, body)
    named = set(CONSTRAINT.findall(sentence))
    return bool(broken) and (named == broken or (len(named) >= LISTED_AT_MOST and named <= broken))


def read(path: Path = FILE) -> list[Entry]:
    """The entries, each with its reason and its source."""
    entries = []
    for found in tomllib.loads(path.read_text(encoding="utf-8"))["judged"]:
        unknown = set(found) - {*PATTERNS, "breaks", "why", "source", "open"}
        if unknown or not found.get("why") or not found.get("source"):
            raise ValueError(f"{path.name}: {found}: wants why and source, knows no {unknown}")
        if found.get("breaks") not in {None, "constraints", "types"}:
            raise ValueError(f"{path.name}: breaks = {found['breaks']!r}")
        patterns = {name: re.compile(found[name], re.DOTALL) for name in PATTERNS if name in found}
        if not patterns:
            raise ValueError(f"{path.name}: {found['why']}: fits everything")
        entries.append(
            Entry(patterns, found.get("breaks"), found["why"], found["source"], found.get("open", False))
        )
    return entries


class Judge:
    """Tells the differences that nobody has judged from those that somebody has."""

    def __init__(self, entries: list[Entry]) -> None:
        self.entries = entries

    def unjudged(self, operation: str, body: Any, found: list[Difference]) -> list[Difference]:
        """What is left of the differences of one request."""
        left = []
        for difference in found:
            fitting = [entry for entry in self.entries if entry.fits(operation, body, difference)]
            for entry in fitting:
                entry.matched += 1
            if not fitting:
                left.append(difference)
        return left

    def open(self) -> int:
        """How many differences Stator has yet to mend."""
        return sum(entry.matched for entry in self.entries if entry.is_open)

    def useless(self) -> list[Entry]:
        """Entries that nothing has matched."""
        return [entry for entry in self.entries if not entry.matched]

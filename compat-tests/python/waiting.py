"""Waiting for a condition: looked at again and again until it holds, or its time is over."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

TIMEOUT_SECONDS = 60


def until(look: Callable[[], T], timeout_seconds: float = TIMEOUT_SECONDS) -> T:
    """What `look` gives as soon as that is true; looked at without a pause longer than it takes."""
    deadline = time.monotonic() + timeout_seconds
    while True:
        seen = look()
        if seen:
            return seen
        assert time.monotonic() < deadline, f"{look} gives {seen!r} after {timeout_seconds} s"


def until_equal(look: Callable[[], T], expected: T, timeout_seconds: float = TIMEOUT_SECONDS) -> None:
    """Waits until `look` gives `expected`; says what it gave last if it does not."""
    deadline = time.monotonic() + timeout_seconds
    while True:
        seen = look()
        if seen == expected:
            return
        assert time.monotonic() < deadline, f"{seen!r} is not {expected!r} after {timeout_seconds} s"

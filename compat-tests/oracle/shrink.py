"""Makes a request that shows a difference as small as it can be and still show it. Pure but for the question it asks."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import Any

TRIES_MAX = 150


def shrunk(body: Any, shows: Callable[[Any], bool]) -> Any:
    """The smallest request found that still `shows` the difference, within a number of tries."""
    tries = 0
    again = True
    while again and tries < TRIES_MAX:
        again = False
        for smaller in _smaller(body):
            tries += 1
            if shows(smaller):
                body, again = smaller, True
                break
            if tries >= TRIES_MAX:
                break
    return body


def _smaller(body: Any) -> Iterator[Any]:
    """The request with one part less, the largest parts first."""
    for place in sorted(_places(body, ()), key=len):
        without = copy.deepcopy(body)
        holder = _holder(without, place)
        value = holder[place[-1]]
        del holder[place[-1]]
        yield without
        if isinstance(value, str) and len(value) > 40:
            shorter = copy.deepcopy(body)
            _holder(shorter, place)[place[-1]] = value[: len(value) // 2]
            yield shorter


def _holder(body: Any, place: tuple[Any, ...]) -> Any:
    for key in place[:-1]:
        body = body[key]
    return body


def _places(value: Any, at: tuple[Any, ...]) -> list[tuple[Any, ...]]:
    found: list[tuple[Any, ...]] = []
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in pairs:
        found.append((*at, key))
        found += _places(inner, (*at, key))
    return found

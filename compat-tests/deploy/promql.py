"""What an expression of Prometheus asks for: which metrics, by which labels, and inside of what.

Words are read, and nothing is judged. Whether Prometheus takes the expression, `promtool` says.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

TOKEN = re.compile(
    r"""(?P<text>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')
    |(?P<number>\d[\w.]*)
    |(?P<word>[A-Za-z_:][\w:]*)
    |(?P<sign>\S)""",
    re.VERBOSE,
)
# Words of the language before a list of labels, and the others.
LISTS = {"by", "without", "on", "ignoring", "group_left", "group_right"}
OTHERS = {"and", "or", "unless", "bool", "offset", "inf", "nan"}
PAIRS = {"(": ")", "{": "}", "[": "]"}


@dataclass(frozen=True)
class Selector:
    """Series that are asked for."""

    name: str
    # By which they are chosen.
    labels: frozenset[str]
    # What they are given to as they are, such as `rate`; empty if nothing.
    function: str
    # Whether it is a stretch of time of them.
    is_range: bool


@dataclass(frozen=True)
class Asked:
    """What an expression asks for."""

    selectors: list[Selector]
    # What series are grouped and matched by.
    grouped_by: frozenset[str]
    functions: frozenset[str]


def read(expression: str) -> Asked:
    """Reads an expression without variables."""
    tokens = [(str(found.lastgroup), found[0]) for found in TOKEN.finditer(expression)]
    selectors: list[Selector] = []
    grouped_by: set[str] = set()
    functions: set[str] = set()
    place = 0
    while place < len(tokens):
        kind, text = tokens[place]
        following = text_at(tokens, place + 1)
        assert text != "{", f"series without a name in {expression}"
        if kind != "word":
            place = closing(tokens, place) if text == "[" else place + 1
        elif text in OTHERS:
            place += 1
        elif text in LISTS:
            end = closing(tokens, place + 1)
            grouped_by |= words(tokens[place + 1 : end])
            place = end
        elif following == "(" or following in LISTS:
            functions.add(text)
            place += 1
        else:
            end = closing(tokens, place + 1) if following == "{" else place + 1
            is_argument = text_at(tokens, place - 1) == "(" and place >= 2 and tokens[place - 2][0] == "word"
            selectors.append(
                Selector(
                    name=text,
                    labels=frozenset(words(tokens[place + 1 : end])),
                    function=tokens[place - 2][1] if is_argument else "",
                    is_range=text_at(tokens, end) == "[",
                )
            )
            place = end
    return Asked(selectors, frozenset(grouped_by), frozenset(functions))


def text_at(tokens: list[tuple[str, str]], place: int) -> str:
    """What stands there; nothing outside."""
    return tokens[place][1] if 0 <= place < len(tokens) else ""


def words(tokens: list[tuple[str, str]]) -> set[str]:
    """The words among them."""
    return {text for kind, text in tokens if kind == "word"}


def closing(tokens: list[tuple[str, str]], place: int) -> int:
    """Behind the bracket that closes the one at `place`; the same place if there is none."""
    opened = text_at(tokens, place)
    if opened not in PAIRS:
        return place
    for end in range(place, len(tokens)):
        if tokens[end][1] == PAIRS[opened]:
            return end + 1
    return len(tokens)

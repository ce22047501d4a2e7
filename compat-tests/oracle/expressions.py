"""Random expressions of the expression language, with the names and values that they use.

An `Expressions` is made for one request: its expressions share `ExpressionAttributeNames` and
`ExpressionAttributeValues`, which hold exactly what was used.
"""

from __future__ import annotations

import random
import re
from typing import Any

NAMES = ["a", "b", "n", "s", "m", "l", "ss", "ns", "flag", "bin", "nothing", "size", "pk"]
VALUES: list[dict[str, Any]] = [
    {"S": "abc"},
    {"S": "a"},
    {"S": ""},
    {"N": "5"},
    {"N": "-1.50"},
    {"N": "1e3"},
    {"B": "YWJj"},
    {"BOOL": True},
    {"NULL": True},
    {"SS": ["x", "y"]},
    {"NS": ["1", "2"]},
    {"BS": ["YQ=="]},
    {"L": [{"N": "1"}, {"S": "a"}]},
    {"L": []},
    {"M": {"x": {"N": "1"}}},
]
TYPES = ["S", "N", "B", "BOOL", "NULL", "SS", "NS", "BS", "L", "M"]
COMPARATORS = ["=", "<>", "<", "<=", ">", ">="]
RESERVED = {"size", "flag", "bin", "names"}
TOKEN = re.compile(r"[#:]?\w+|<=|>=|<>|\S")


class Expressions:
    """The expressions of one request."""

    def __init__(self, draw: random.Random) -> None:
        self.draw = draw
        self.names: dict[str, str] = {}
        self.values: dict[str, Any] = {}

    def name(self, name: str | None = None) -> str:
        """An attribute's name, or a placeholder of it."""
        name = name or self.draw.choice(NAMES)
        if name not in {"size"} and self.draw.random() < 0.6:
            return name
        placeholder = f"#{name}"
        self.names[placeholder] = name
        return placeholder

    def value(self, value: dict[str, Any] | None = None) -> str:
        """A placeholder of a value."""
        value = value or self.draw.choice(VALUES)
        placeholder = f":v{len(self.values)}"
        self.values[placeholder] = value
        return placeholder

    def path(self, *, top: bool = False) -> str:
        """A document path."""
        roll = self.draw.random()
        if top or roll < 0.6:
            return self.name()
        if roll < 0.75:
            return f"{self.name('m')}.{self.name(self.draw.choice(['x', 'y']))}"
        if roll < 0.9:
            return f"{self.name('l')}[{self.draw.choice([0, 1, 7])}]"
        return f"{self.name('m')}.y[1].{self.name('z')}"

    def operand(self) -> str:
        """A path, a value, or a size."""
        roll = self.draw.random()
        if roll < 0.45:
            return self.path()
        return self.value() if roll < 0.92 else f"size({self.path()})"

    def condition(self, depth: int = 2) -> str:
        """A condition or filter expression."""
        roll = self.draw.random()
        if depth > 0 and roll < 0.3:
            joined = self.draw.choice([" AND ", " OR ", " and "])
            return joined.join(self.condition(depth - 1) for _ in range(2))
        if depth > 0 and roll < 0.38:
            return f"NOT {self.condition(depth - 1)}"
        if depth > 0 and roll < 0.46:
            return f"({self.condition(depth - 1)})"
        return self._term()

    def _term(self) -> str:
        roll = self.draw.random()
        if roll < 0.35:
            return f"{self.path()} {self.draw.choice(COMPARATORS)} {self.operand()}"
        if roll < 0.42:
            return f"{self.operand()} {self.draw.choice(COMPARATORS)} {self.operand()}"
        if roll < 0.52:
            return f"{self.path()} BETWEEN {self.operand()} AND {self.operand()}"
        if roll < 0.6:
            values = ", ".join(self.operand() for _ in range(self.draw.randint(1, 3)))
            return f"{self.path()} IN ({values})"
        if roll < 0.75:
            function = self.draw.choice(["attribute_exists", "attribute_not_exists"])
            return f"{function}({self.path()})"
        if roll < 0.83:
            return f"attribute_type({self.path()}, {self.value({'S': self.draw.choice(TYPES)})})"
        return f"{self.draw.choice(['begins_with', 'contains'])}({self.path()}, {self.operand()})"

    def projection(self) -> str:
        """A projection expression."""
        return ", ".join(self.path() for _ in range(self.draw.randint(1, 3)))

    def update(self) -> str:
        """An update expression."""
        clauses = self.draw.sample(["SET", "REMOVE", "ADD", "DELETE"], self.draw.choice([1, 1, 1, 2]))
        return " ".join(f"{clause} {self._actions(clause)}" for clause in clauses)

    def _actions(self, clause: str) -> str:
        return ", ".join(self._action(clause) for _ in range(self.draw.choice([1, 1, 2])))

    def _action(self, clause: str) -> str:
        if clause == "SET":
            return f"{self.path()} = {self._assigned()}"
        if clause == "REMOVE":
            return self.path()
        sets: list[dict[str, Any]] = [{"SS": ["x", "z"]}, {"NS": ["2", "3"]}, {"BS": ["YQ=="]}]
        numbers: list[dict[str, Any]] = [{"N": "1"}, {"N": "-0.5"}] if clause == "ADD" else []
        wanted = self.draw.choice([*sets, *numbers]) if self.draw.random() < 0.8 else None
        return f"{self.path(top=self.draw.random() < 0.9)} {self.value(wanted)}"

    def _assigned(self) -> str:
        roll = self.draw.random()
        if roll < 0.45:
            return self.value()
        if roll < 0.55:
            return self.path()
        if roll < 0.75:
            number = self.value({"N": self.draw.choice(["1", "2.5", "1e30"])})
            return f"{self.name('n')} {self.draw.choice('+-')} {number}"
        if roll < 0.88:
            return f"if_not_exists({self.path()}, {self.operand()})"
        appended = self.value({"L": [{"S": "new"}]})
        return f"list_append({self.name('l')}, {appended})"

    def key_condition(self, partition: tuple[str, Any], sort: tuple[str, list[dict[str, Any]]] | None) -> str:
        """A key condition: the partition key equals, the sort key is compared with one of the values."""
        text = f"{self.name(partition[0])} = {self.value(partition[1])}"
        if sort is None or self.draw.random() < 0.3:
            return text
        name, values = self.name(sort[0]), sort[1]
        roll = self.draw.random()
        if roll < 0.6:
            text += f" AND {name} {self.draw.choice(COMPARATORS)} {self.value(self.draw.choice(values))}"
        elif roll < 0.85:
            bounds = [self.value(self.draw.choice(values)) for _ in range(2)]
            text += f" AND {name} BETWEEN {bounds[0]} AND {bounds[1]}"
        else:
            text += f" AND begins_with({name}, {self.value(self.draw.choice(values))})"
        return text

    def members(self) -> dict[str, Any]:
        """The members with the names and values that were used."""
        members: dict[str, Any] = {}
        if self.names:
            members["ExpressionAttributeNames"] = dict(self.names)
        if self.values:
            members["ExpressionAttributeValues"] = dict(self.values)
        return members


def broken(text: str, draw: random.Random) -> str:
    """The expression with one token too many, too few, or in a wrong place."""
    tokens = TOKEN.findall(text)
    if not tokens:
        return draw.choice([" ", "a", "=", "SET"])
    at = draw.randrange(len(tokens))
    match draw.randrange(5):
        case 0:
            del tokens[at]
        case 1:
            tokens.insert(
                at, draw.choice(["AND", ",", "(", ")", ":nope", "#nope", "=", "..", "size", "%", "1"])
            )
        case 2:
            tokens[at] = draw.choice(["OR", "status", ":nope", "#nope", "foo", "(", "[", "+", "'a'"])
        case 3:
            other = draw.randrange(len(tokens))
            tokens[at], tokens[other] = tokens[other], tokens[at]
        case _:
            tokens.insert(at, tokens[at])
    return " ".join(tokens)

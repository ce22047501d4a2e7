"""Users with policies, and requests, drawn from tables with a fixed seed: what `test_policy_decisions.py` asks about.

Statements have what identity policies have: Allow and Deny, Action and NotAction, Resource and NotResource with wildcards,
and now and then a condition or a variable. Nothing here says what is to be decided.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any

SEED = 20261127
USERS = 36
ACCOUNT = "000000000000"
REGION = "us-east-1"
TABLES = ("orders", "orders2", "orders.2026", "orders-2026", "Orders", "audit")
INDEXED = "orders"
INDEX = "by_status"
NAMES = ("orders", "orders2", "orders.2026", "orders-2026", "audit")
"""The first users: tables of the same names may be given to them by a variable."""

ON_TABLES = ("GetItem", "PutItem", "UpdateItem", "DeleteItem", "Query", "Scan", "DescribeTable")


def table_arn(name: str) -> str:
    """The ARN of a table."""
    return f"arn:aws:dynamodb:{REGION}:{ACCOUNT}:table/{name}"


INDEX_ARN = f"{table_arn(INDEXED)}/index/{INDEX}"

ACTIONS = (
    ("*", 1),
    ("dynamodb:*", 3),
    ("dynamodb:GetItem", 3),
    ("dynamodb:Get*", 2),
    ("dynamodb:*Item", 3),
    ("dynamodb:*e*Item", 1),
    ("dynamodb:Query", 3),
    ("dynamodb:Scan", 2),
    ("dynamodb:Describe*", 2),
    ("dynamodb:List*", 2),
    ("dynamodb:BatchGetItem", 1),
    ("s3:*", 1),
    ("iam:GetUser", 1),
    # Written in another case, or with the other wildcard.
    ("dynamodb:getitem", 1),
    ("DynamoDB:Q*", 1),
    ("dynamodb:?etItem", 1),
    ("dynamodb:Sca?", 1),
)
"""Actions of statements, with how often they are drawn."""

RESOURCES = (
    ("*", 4),
    (table_arn("*"), 3),
    (table_arn("orders"), 4),
    (table_arn("orders*"), 2),
    (table_arn("*s"), 2),
    (table_arn("o*2*"), 1),
    (table_arn("audit"), 2),
    (table_arn("orders-2026"), 1),
    (table_arn("orders/index/*"), 2),
    (INDEX_ARN, 1),
    (f"arn:aws:dynamodb:*:*:table/{TABLES[0]}", 1),
    ("arn:aws:s3:::*", 1),
    # What a pattern of another language would read otherwise.
    (table_arn("orders.2026"), 3),
    (table_arn("order?"), 1),
    (table_arn("orders?2026"), 2),
    (table_arn("?udit"), 1),
    (table_arn("${aws:username}"), 2),
    (table_arn("o${*}"), 1),
)
"""Resources of statements, with how often they are drawn."""


@dataclass(frozen=True)
class Ask:
    """An action on a resource."""

    action: str
    resource: str
    table: str | None = None
    """The table that it is about, if it is about one."""


@dataclass
class User:
    """A user, with its policies by how they come to it."""

    name: str
    inline: list[dict[str, Any]]
    managed: list[dict[str, Any]]
    of_group: list[dict[str, Any]]
    managed_of_group: list[dict[str, Any]]

    def documents(self) -> list[dict[str, Any]]:
        """All of them."""
        return self.inline + self.managed + self.of_group + self.managed_of_group


def asks() -> list[Ask]:
    """What every user is asked about."""
    found = [Ask(f"dynamodb:{action}", table_arn(table), table) for table in TABLES for action in ON_TABLES]
    found += [Ask(f"dynamodb:{action}", INDEX_ARN, INDEXED) for action in ("Query", "Scan")]
    return [*found, Ask("dynamodb:ListTables", table_arn("*"))]


def users() -> list[User]:
    """The same users each time."""
    source = random.Random(SEED)
    others = (f"user-{number:02}" for number in range(USERS - len(NAMES)))
    return [_user(source, name) for name in (*NAMES, *others)]


def _user(source: random.Random, name: str) -> User:
    user = User(name, [], [], [], [])
    if name in NAMES:
        own = table_arn("${aws:username}")
        statement = {"Effect": source.choice(("Allow", "Deny")), "Action": "dynamodb:*Item", "Resource": own}
        user.inline.append({"Version": "2012-10-17", "Statement": statement})
    places = [user.managed, user.of_group, user.managed_of_group, *([] if user.inline else [user.inline])]
    for place in source.sample(places, source.randint(1, 3)):
        place.append(_document(source))
    return user


def _document(source: random.Random) -> dict[str, Any]:
    statements = [_statement(source) for _ in range(source.randint(1, 3))]
    # A list of one may be left out.
    one = len(statements) == 1 and source.random() < 0.5
    return {"Version": "2012-10-17", "Statement": statements[0] if one else statements}


def _statement(source: random.Random) -> dict[str, Any]:
    statement: dict[str, Any] = {"Effect": "Allow" if source.random() < 0.7 else "Deny"}
    statement["NotAction" if source.random() < 0.2 else "Action"] = _drawn(source, ACTIONS)
    statement["NotResource" if source.random() < 0.15 else "Resource"] = _drawn(source, RESOURCES)
    if source.random() < 0.1:
        named = f"user-{source.randrange(USERS):02}"
        held = {"aws:username": [named, "user-0*"] if source.random() < 0.3 else "user-*"}
        operator = "StringLike" if source.random() < 0.5 else "StringNotLike"
        statement["Condition"] = {operator: held}
    return statement


def _drawn(source: random.Random, table: tuple[tuple[str, int], ...]) -> str | list[str]:
    values, weights = zip(*table)
    chosen: list[str] = source.choices(values, weights, k=source.choice((1, 1, 1, 2, 3)))
    chosen = sorted(set(chosen))
    return chosen[0] if len(chosen) == 1 and source.random() < 0.5 else chosen

"""What the IAM of moto decides of the requests of a user, and how it is told what it leaves out.

moto reads `*` and hands the rest of a pattern to Python's regular expressions, compares actions letter by letter, and looks
neither at NotResource, nor at conditions, nor at variables. For each difference that has been judged (`policies_judged.toml`)
a `TRANSLATIONS` says the same in what moto reads, so that its decision is one on what AWS documents.
"""

from __future__ import annotations

import fnmatch
import json
import re
import tomllib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from moto.iam.access_control import IAMRequest, IAMPolicy, PermissionResult
from moto.iam.models import iam_backends

from policy_cases import ACCOUNT, REGION, Ask, User

JUDGED = Path(__file__).with_name("policies_judged.toml")

Statement = dict[str, Any]
Translation = Callable[[Statement, User], Statement | None]
"""Says a statement in other words; nothing when it says nothing of a user's requests."""


def judged() -> list[dict[str, str]]:
    """The differences that have been judged, each with its reason and its source."""
    entries: list[dict[str, str]] = tomllib.loads(JUDGED.read_text(encoding="utf-8"))["judged"]
    for entry in entries:
        assert set(entry) == {"difference", "why", "source"} and all(entry.values()), entry
        assert entry["difference"] in TRANSLATIONS, f"no translation for {entry['difference']}"
    return entries


class Moto:
    """An account of moto's, in this process."""

    def __init__(self) -> None:
        self.backend = iam_backends[ACCOUNT]["aws"]

    def make(self, user: User) -> str:
        """Makes a user with its policies, which moto checks when they are put; its access key."""
        group = f"of-{user.name}"
        self.backend.create_user(REGION, user.name)
        self.backend.create_group(group)
        self.backend.add_user_to_group(group, user.name)
        for document in user.inline:
            self.backend.put_user_policy(user.name, "inline", json.dumps(document))
        for document in user.of_group:
            self.backend.put_group_policy(group, "inline", json.dumps(document))
        for document in user.managed:
            self.backend.attach_user_policy(self._managed(f"own-{user.name}", document), user.name)
        for document in user.managed_of_group:
            self.backend.attach_group_policy(self._managed(f"group-{user.name}", document), group)
        key: str = self.backend.create_access_key(user.name).access_key_id
        return key

    def _managed(self, name: str, document: dict[str, Any]) -> str:
        arn: str = self.backend.create_policy("", "/", json.dumps(document), name, []).arn
        return arn

    def policies(self, access_key: str) -> list[IAMPolicy]:
        """The policies that moto finds for an access key."""
        credential = f"AWS4-HMAC-SHA256 Credential={access_key}/20261127/{REGION}/dynamodb/aws4_request, SignedHeaders=x"
        headers = {"Authorization": credential}
        request = IAMRequest(ACCOUNT, "POST", "/", {}, b"", headers, "GetItem")
        return [IAMPolicy(policy) for policy in request._access_key.collect_policies()]


def translated(user: User, differences: Iterable[str]) -> list[IAMPolicy]:
    """A user's policies in words that moto reads."""
    chosen = [translate for name, translate in TRANSLATIONS.items() if name in set(differences)]
    policies = []
    for document in user.documents():
        found = document["Statement"]
        statements = []
        for statement in found if isinstance(found, list) else [found]:
            said: Statement | None = statement
            for translate in chosen:
                said = translate(said, user) if said is not None else None
            if said is not None:
                statements.append(said)
        policies.append(IAMPolicy(json.dumps({**document, "Statement": statements})))
    return policies


def decision(policies: Iterable[IAMPolicy], ask: Ask) -> str:
    """moto's decision (`IAMRequestBase.check_action_permitted`), in the words of IAM's simulator."""
    results = {policy.is_action_permitted(ask.action, ask.resource) for policy in policies}
    if PermissionResult.DENIED in results:
        return "explicitDeny"
    return "allowed" if PermissionResult.PERMITTED in results else "implicitDeny"


def _patterns(value: str | list[str]) -> list[str]:
    return value if isinstance(value, list) else [value]


def _each(statement: Statement, names: Iterable[str], change: Callable[[str], str]) -> Statement:
    """The statement with each pattern of some elements changed."""
    changed = {
        name: [change(text) for text in _patterns(statement[name])] for name in names if name in statement
    }
    return {**statement, **changed}


ALL_PATTERNS = ("Action", "NotAction", "Resource", "NotResource")


def _condition(statement: Statement, user: User) -> Statement | None:
    """A condition holds, and then need not be said, or it does not, and then the statement is about nothing."""
    said = dict(statement)
    for operator, held in said.pop("Condition", {}).items():
        assert set(held) == {"aws:username"} and operator in {"StringLike", "StringNotLike"}
        fits = any(fnmatch.fnmatchcase(user.name, text) for text in _patterns(held["aws:username"]))
        if fits != (operator == "StringLike"):
            return None
    return said


def _variables(statement: Statement, user: User) -> Statement | None:
    """What a variable stands for. `${*}` is a `*` that is no wildcard, which is in no name here."""
    values = {"${aws:username}": user.name, "${*}": "{star}"}

    def put(text: str) -> str:
        for variable, value in values.items():
            text = text.replace(variable, value)
        return text

    return _each(statement, ("Resource", "NotResource"), put)


def _letters(statement: Statement, _: User) -> Statement | None:
    """All but the wildcards stands for itself."""

    def escaped(text: str) -> str:
        return re.sub(r"[^*?]+", lambda found: re.escape(found.group()), text)

    return _each(statement, ALL_PATTERNS, escaped)


def _question_mark(statement: Statement, _: User) -> Statement | None:
    """`?` is any one character."""
    return _each(statement, ALL_PATTERNS, lambda text: text.replace("?", "."))


def _case(statement: Statement, _: User) -> Statement | None:
    """Actions are compared without regard to case."""
    return _each(statement, ("Action", "NotAction"), lambda text: f"(?i:{text})")


def _not_resource(statement: Statement, _: User) -> Statement | None:
    """Every resource but those that fit."""
    said = dict(statement)
    spared = said.pop("NotResource", None)
    if spared is not None:
        said["Resource"] = f"(?!(?:{'|'.join(_patterns(spared))})$)*"
    return said


TRANSLATIONS: dict[str, Translation] = {
    "condition": _condition,
    "variable": _variables,
    "letters": _letters,
    "question mark": _question_mark,
    "case of actions": _case,
    "NotResource": _not_resource,
}
"""By the name of the difference, in the order in which they are made: later ones write what earlier ones would escape."""

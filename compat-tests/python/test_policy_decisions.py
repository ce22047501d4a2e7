"""Stator's decisions on identity policies beside those of moto's IAM: both get the same users, policies and requests.

Stator is asked what it would decide (SimulatePrincipalPolicy), and a part of the requests is really made. moto's evaluator
runs in this process. A difference that nobody has judged (`policies_judged.toml`) fails the test.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from conftest import create_table, index
from identity import Account, account
from moto_policies import Moto, decision, judged, translated
from policy_cases import INDEX, INDEX_ARN, INDEXED, SEED, TABLES, Ask, User, asks, users

pytestmark = pytest.mark.needs_stator_binary

CASES_MIN = 1000
REAL_REQUESTS = 12
"""Requests of each user that are really made."""

Decisions = dict[tuple[str, Ask], str]


@pytest.fixture(scope="module")
def own(binary: str) -> Iterator[Account]:
    with account(binary) as made:
        for name in TABLES:
            create_table(
                made.dynamodb,
                name,
                AttributeDefinitions=[
                    {"AttributeName": name, "AttributeType": "S"} for name in ("pk", "status")
                ],
                GlobalSecondaryIndexes=[index(INDEX, "status")],
            )
        for user in users():
            make(made, user)
        yield made


def make(own: Account, user: User) -> None:
    """A user with its policies."""
    name, group = user.name, f"of-{user.name}"
    own.iam.create_user(UserName=name)
    own.iam.create_group(GroupName=group)
    own.iam.add_user_to_group(GroupName=group, UserName=name)
    for document in user.inline:
        own.iam.put_user_policy(UserName=name, PolicyName="inline", PolicyDocument=json.dumps(document))
    for document in user.of_group:
        own.iam.put_group_policy(GroupName=group, PolicyName="inline", PolicyDocument=json.dumps(document))
    for document in user.managed:
        own.iam.attach_user_policy(UserName=name, PolicyArn=managed(own, f"own-{name}", document))
    for document in user.managed_of_group:
        own.iam.attach_group_policy(GroupName=group, PolicyArn=managed(own, f"group-{name}", document))


def managed(own: Account, name: str, document: dict[str, Any]) -> str:
    """The ARN of a new managed policy."""
    made = own.iam.create_policy(PolicyName=name, PolicyDocument=json.dumps(document))
    arn: str = made["Policy"]["Arn"]
    return arn


@pytest.fixture(scope="module")
def simulated(own: Account) -> Decisions:
    """What Stator says that it would decide of every request of every user."""
    found: Decisions = {}
    by_resource: dict[str, dict[str, Ask]] = {}
    for ask in asks():
        by_resource.setdefault(ask.resource, {})[ask.action] = ask
    pages = own.iam.get_paginator("simulate_principal_policy")
    for user in users():
        arn = own.iam.get_user(UserName=user.name)["User"]["Arn"]
        for resource, actions in by_resource.items():
            for page in pages.paginate(
                PolicySourceArn=arn, ActionNames=list(actions), ResourceArns=[resource]
            ):
                for result in page["EvaluationResults"]:
                    ask = actions[result["EvalActionName"]]
                    found[user.name, ask] = result["EvalDecision"]
    return found


def test_decisions_are_those_of_moto_but_for_what_was_judged(simulated: Decisions) -> None:
    entries = [entry["difference"] for entry in judged()]
    moto = Moto()
    unjudged = []
    needed: set[str] = set()
    differing = 0
    for user in users():
        plain = moto.policies(moto.make(user))
        told = translated(user, entries)
        lacking = {name: translated(user, [other for other in entries if other != name]) for name in entries}
        for ask in asks():
            stator = simulated[user.name, ask]
            if stator != decision(told, ask):
                unjudged.append((user.documents(), ask, stator, decision(told, ask)))
            differing += stator != decision(plain, ask)
            needed |= {name for name, policies in lacking.items() if decision(policies, ask) != stator}
    assert len(simulated) == len(users()) * len(asks()) >= CASES_MIN
    assert not unjudged, f"{len(unjudged)} differences that nobody has judged, the first: {unjudged[0]}"
    assert needed == set(entries), "a judgement that changes nothing"
    # Most cases are such that moto decides them as it is.
    assert 0 < differing < len(simulated) / 2
    seen = {
        kind: list(simulated.values()).count(kind) for kind in ("allowed", "explicitDeny", "implicitDeny")
    }
    assert min(seen.values()) > len(simulated) / 20, seen


def test_real_requests_are_decided_as_the_simulation_says(own: Account, simulated: Decisions) -> None:
    source = random.Random(SEED)
    for user in users():
        key = own.iam.create_access_key(UserName=user.name)["AccessKey"]
        client = own.client("dynamodb", key)
        for ask in source.sample(asks(), REAL_REQUESTS):
            assert decided(client, ask) == simulated[user.name, ask], (user, ask)


def decided(client: Any, ask: Ask) -> str:
    """What is decided of a real request."""
    try:
        request(client, ask)
    except ClientError as error:
        told = error.response["Error"]
        assert told["Code"] == "AccessDeniedException", error
        assert f"perform: {ask.action} on resource: {ask.resource} " in told["Message"]
        if told["Message"].endswith(" with an explicit deny in an identity-based policy"):
            return "explicitDeny"
        assert told["Message"].endswith(f" because no identity-based policy allows the {ask.action} action")
        return "implicitDeny"
    return "allowed"


def request(client: Any, ask: Ask) -> None:
    """Makes a request."""
    key = {"pk": {"S": "a"}}
    named = {"TableName": ask.table}
    if ask.resource == INDEX_ARN:
        assert ask.table == INDEXED
        named["IndexName"] = INDEX
    hash_key = "status" if "IndexName" in named else "pk"
    match ask.action.removeprefix("dynamodb:"):
        case "GetItem":
            client.get_item(**named, Key=key)
        case "PutItem":
            client.put_item(**named, Item=key)
        case "UpdateItem":
            client.update_item(**named, Key=key)
        case "DeleteItem":
            client.delete_item(**named, Key=key)
        case "Query":
            client.query(
                **named,
                KeyConditionExpression="#k = :v",
                ExpressionAttributeNames={"#k": hash_key},
                ExpressionAttributeValues={":v": {"S": "a"}},
            )
        case "Scan":
            client.scan(**named)
        case "DescribeTable":
            client.describe_table(**named)
        case "ListTables":
            client.list_tables()
        case other:
            raise AssertionError(other)

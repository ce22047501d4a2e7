"""A request on both servers, with what has to be there before it and what is looked at after it."""

from __future__ import annotations

import copy
import itertools
import json
import re
import time
from dataclasses import dataclass, field
from typing import Any

import fixtures
import generate
from compare import Difference, differences
from raw import Answer
from wire import STREAM_OPERATIONS, Peer

SETTLE_SECONDS = 20
EVENTUALLY_SECONDS = 5
TABLE_WRITES = {
    "CreateTable",
    "DeleteTable",
    "UpdateTable",
    "UpdateTimeToLive",
    "TagResource",
    "UntagResource",
}
BASE = {
    **fixtures.table(
        "$T",
        "pk:S",
        "sk:N",
        defined=["g:S"],
        GlobalSecondaryIndexes=[
            {
                **fixtures.index("one", "g"),
                "ProvisionedThroughput": {"ReadCapacityUnits": 5, "WriteCapacityUnits": 5},
            }
        ],
        ProvisionedThroughput={"ReadCapacityUnits": 5, "WriteCapacityUnits": 5},
        Tags=[{"Key": "stage", "Value": "test"}],
    ),
    "BillingMode": "PROVISIONED",
}
"""The table that generated changes of tables begin with."""


@dataclass(frozen=True)
class Step:
    """One request. One that has to be repeated until the servers agree is `eventually`."""

    operation: str
    body: Any
    eventually: bool = False
    headers: dict[str, str | None] | None = None


@dataclass(frozen=True)
class Compared:
    """A request that was sent to both, its body as Stator got it, and how the answers differ."""

    step: Step
    body: Any
    differences: list[Difference]

    @property
    def is_split(self) -> bool:
        """Whether the two may have done different things."""
        return any(not difference.place.startswith("header") for difference in self.differences)


@dataclass(frozen=True)
class Case:
    """Requests written by hand, in their order, with a table `$T` of their own when they name one."""

    name: str
    requests: list[Step]
    before: list[Step] = field(default_factory=list)
    drops: bool = False
    """Whether tables that a request has made are deleted before the next."""


def variants(operation: str, base: dict[str, Any], *changes: dict[str, Any]) -> list[Step]:
    """A request for each change of `base`; a member that is `...` is taken away."""
    steps = []
    for change in changes:
        body = {**copy.deepcopy(base), **change}
        steps.append(Step(operation, {name: value for name, value in body.items() if value is not ...}))
    return steps


class Pair:
    """Stator and DynamoDB Local, asked the same."""

    def __init__(self, stator: Peer, local: Peer) -> None:
        self.peers = (stator, local)
        self._tables = itertools.count()
        self.asked: set[str] = set()
        """The distinct requests that were compared."""

    def call(self, step: Step) -> tuple[Answer, Answer]:
        """The answers of both, compared by nobody."""
        if step.headers is not None:
            assert isinstance(step.body, bytes)
            first, second = (peer.send("POST", "/", step.body, step.headers) for peer in self.peers)
        else:
            first, second = (peer.call(step.operation, step.body) for peer in self.peers)
        return first, second

    def compared(self, step: Step) -> Compared:
        """Sends a request to both."""
        body = step.body if isinstance(step.body, bytes) else self.peers[0].filled(step.body)
        self.asked.add(f"{step.operation} {step.headers} {_key(step.body)}")
        found = differences(step.operation, *self.call(step))
        deadline = time.monotonic() + EVENTUALLY_SECONDS
        while step.eventually and found and time.monotonic() < deadline:
            time.sleep(0.05)
            found = differences(step.operation, *self.call(step))
        return Compared(step, body, found)

    def must(self, operation: str, body: Any) -> None:
        """A request that both have to accept."""
        for answer in self.call(Step(operation, body)):
            if answer.status != 200:
                raise AssertionError(f"{operation} {body}: {answer.body.decode(errors='replace')}")

    def fresh_table(self) -> str:
        """A name for `$T` that no request has used."""
        return self.use_table(f"oracle.t{next(self._tables)}")

    def use_table(self, name: str) -> str:
        """Lets `$T` be this name."""
        for peer in self.peers:
            peer.memory["T"] = name
        return name

    def settle(self, name: str) -> None:
        """Waits until the table and its indexes are as they will be, on both."""
        deadline = time.monotonic() + SETTLE_SECONDS
        while time.monotonic() < deadline:
            answers = self.call(Step("DescribeTable", {"TableName": name}))
            if all(_is_settled(answer) for answer in answers):
                return
            time.sleep(0.02)
        raise AssertionError(f"{name} does not become ACTIVE: {[answer.body for answer in answers]}")

    def drop(self, name: Any) -> None:
        """Deletes a table where it is."""
        if not isinstance(name, str) or not re.fullmatch(r"[\w.-]{3,255}", name):
            return
        for peer in self.peers:
            if peer.call("DescribeTable", {"TableName": name}).status == 200:
                if peer.call("DeleteTable", {"TableName": name}).status != 200:
                    self.settle(name)
                    peer.call("UpdateTable", {"TableName": name, "DeletionProtectionEnabled": False})
                    peer.call("DeleteTable", {"TableName": name})


def _key(body: Any) -> str:
    return repr(body) if isinstance(body, bytes) else json.dumps(body, sort_keys=True)


def _is_settled(answer: Answer) -> bool:
    if answer.status != 200:
        return True
    table = answer.json["Table"]
    indexes = table.get("GlobalSecondaryIndexes", [])
    return table["TableStatus"] == "ACTIVE" and all(index["IndexStatus"] == "ACTIVE" for index in indexes)


def prepare(pair: Pair) -> None:
    """Makes the tables of `fixtures` and fills the one that is read."""
    for table in fixtures.TABLES:
        pair.must("CreateTable", table)
        pair.settle(table["TableName"])
    for item in fixtures.ITEMS:
        pair.must("PutItem", {"TableName": fixtures.READS, "Item": item})
    pair.must("PutItem", {"TableName": fixtures.SMALL, "Item": {"pk": {"B": "YQ=="}, "a": {"S": "abc"}}})
    for index in ("global", "gkeys", "gall"):
        scan = {"TableName": fixtures.READS, "IndexName": index}
        found = pair.compared(Step("Scan", scan, eventually=True)).differences
        if [difference for difference in found if difference.place == "body.Count"]:
            raise AssertionError(f"{index}: {found}")


def generated(pair: Pair, operation: str, body: Any) -> list[Compared]:
    """Compares a generated request, from the same state on both, and what it has done."""
    step = Step(operation, body)
    if operation in generate.WRITES:
        pair.must("PutItem", {"TableName": fixtures.WRITES, "Item": fixtures.OLD})
        pair.must("DeleteItem", {"TableName": fixtures.WRITES, "Key": fixtures.ABSENT})
        after = [
            Step("GetItem", {"TableName": fixtures.WRITES, "Key": key, "ConsistentRead": True})
            for key in (fixtures.PRESENT, fixtures.ABSENT)
        ]
        return followed(pair, pair.compared(step), after)
    if operation in TABLE_WRITES:
        return _change_of_table(pair, step)
    pair.use_table(fixtures.READS)
    if operation in STREAM_OPERATIONS:
        name_shard(pair)
    else:
        pair.call(Step("DescribeTable", {"TableName": fixtures.READS}))
    return [pair.compared(step)]


def followed(pair: Pair, first: Compared, after: list[Step]) -> list[Compared]:
    """A request with what can be seen after it, where both have done the same."""
    is_alike = not first.is_split and not lacks_action(first.body) and not takes_from_nothing(first.body)
    return [first, *([pair.compared(step) for step in after] if is_alike else [])]


def lacks_action(body: Any) -> bool:
    """Whether an attribute is updated without an action, which DynamoDB Local takes for nothing at all."""
    updates = body.get("AttributeUpdates") if isinstance(body, dict) else None
    entries = updates.values() if isinstance(updates, dict) else ()
    return any(not isinstance(entry, dict) or entry.get("Action") is None for entry in entries)


def takes_from_nothing(body: Any) -> bool:
    """Whether an update may do nothing but take away where no item is, for which DynamoDB Local makes one."""
    if not isinstance(body, dict) or body.get("Key") != fixtures.ABSENT:
        return False
    updates, text = body.get("AttributeUpdates"), body.get("UpdateExpression")
    if isinstance(updates, dict) and updates:
        return all(isinstance(entry, dict) and entry.get("Action") == "DELETE" for entry in updates.values())
    return isinstance(text, str) and not re.search(r"\b(SET|ADD)\b", text, re.IGNORECASE)


def name_shard(pair: Pair) -> None:
    """Has both name the stream of `$T`, a shard of it that has records if one has, an iterator and the first record."""
    for peer in pair.peers:
        peer.call("DescribeTable", {"TableName": "$T"})
        described = peer.call("DescribeStream", {"StreamArn": "$LatestStreamArn"})
        shards = described.json["StreamDescription"]["Shards"] if described.status == 200 else []
        for shard in shards:
            peer.memory["ShardId"] = shard["ShardId"]
            wanted = {"StreamArn": "$LatestStreamArn", "ShardId": "$ShardId"}
            peer.call("GetShardIterator", {**wanted, "ShardIteratorType": "TRIM_HORIZON"})
            got = peer.call("GetRecords", {"ShardIterator": "$ShardIterator", "Limit": 1})
            if got.status == 200 and got.json["Records"]:
                break


def _change_of_table(pair: Pair, step: Step) -> list[Compared]:
    name = pair.fresh_table()
    if step.operation != "CreateTable":
        pair.must("CreateTable", BASE)
        pair.settle(name)
        pair.call(Step("DescribeTable", {"TableName": name}))
    first = pair.compared(step)
    pair.settle(name)
    after = [Step("DescribeTable", {"TableName": "$T"})]
    if step.operation == "UpdateTimeToLive":
        after.append(Step("DescribeTimeToLive", {"TableName": "$T"}))
    if step.operation in {"TagResource", "UntagResource", "CreateTable"}:
        after.append(Step("ListTagsOfResource", {"ResourceArn": "$TableArn"}))
    found = followed(pair, first, after)
    pair.drop(name)
    if isinstance(step.body, dict) and step.body.get("TableName") != "$T":
        pair.drop(step.body.get("TableName"))
    return found


def handmade(pair: Pair, case: Case) -> list[Compared]:
    """Compares the requests of a case."""
    name = pair.fresh_table()
    for step in case.before:
        pair.must(step.operation, step.body)
        if step.operation in {"CreateTable", "UpdateTable"}:
            pair.settle(name)
    found = []
    for step in case.requests:
        if step.operation in STREAM_OPERATIONS:
            name_shard(pair)
        found.append(pair.compared(step))
        if step.operation in {"CreateTable", "UpdateTable"}:
            pair.settle(name)
        if case.drops:
            pair.drop(step.body.get("TableName"))
    pair.drop(name)
    return found

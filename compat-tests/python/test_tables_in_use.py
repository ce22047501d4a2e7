"""A table that is changing: what else may be changed meanwhile, and what has to wait.

Source: service model of DynamoDB, UpdateTable, DeleteTable and GlobalSecondaryIndexDescription.Backfilling; Amazon DynamoDB
Developer Guide, "Managing Global Secondary Indexes: phases of index creation".
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

from conftest import MakeTable, active, definitions, index, index_active, index_gone, index_of, wait_for
from errors import SERVICE, accepted, refused
from raw import Answer, RawClient

pytestmark = pytest.mark.differs_from_dynamodb_local(
    "words it otherwise, and deletes tables that are changing"
)

ITEMS = 2000
ROUNDS = 40
IN_USE = "Attempt to change a resource which is still in use: "
BUSY = f"{SERVICE}#ResourceInUseException"


@pytest.fixture(scope="module")
def filled(dynamodb: Any, make_shared_table: MakeTable) -> str:
    """A table with so many items that an index of it is not made at once."""
    name = make_shared_table(
        BillingMode="PROVISIONED", ProvisionedThroughput={"ReadCapacityUnits": 10, "WriteCapacityUnits": 10}
    )
    for begin in range(0, ITEMS, 25):
        puts = [
            {"PutRequest": {"Item": {"pk": {"S": f"item {number}"}, "a": {"S": "a"}, "b": {"S": "b"}}}}
            for number in range(begin, begin + 25)
        ]
        assert dynamodb.batch_write_item(RequestItems={name: puts})["UnprocessedItems"] == {}
    return name


UNITS = {"ProvisionedThroughput": {"ReadCapacityUnits": 1, "WriteCapacityUnits": 1}}


def create(client: Any, table: str, name: str, attribute: str = "a", **more: Any) -> None:
    """Begins to make an index."""
    client.update_table(
        TableName=table,
        AttributeDefinitions=definitions("pk:S", f"{attribute}:S"),
        GlobalSecondaryIndexUpdates=[{"Create": index(name, attribute, **more)}],
    )


def give_up(client: Any, table: str, name: str) -> None:
    """Gives an index up, and waits until it is gone."""
    client.update_table(TableName=table, GlobalSecondaryIndexUpdates=[{"Delete": {"IndexName": name}}])
    index_gone(client, table, name)


def while_backfilling(client: Any, table: str, ask: Callable[[], Answer]) -> Answer:
    """The answer to a request that came while an index was backfilled: it was before and after the answer."""

    def is_backfilling() -> bool:
        found = index_of(client, table, "by-a")
        assert found is not None
        return found["IndexStatus"] == "CREATING" and bool(found["Backfilling"])

    def is_there_or_on_its_way() -> bool:
        found = index_of(client, table, "by-a")
        return found is not None and (found["IndexStatus"] == "ACTIVE" or bool(found.get("Backfilling")))

    for _ in range(ROUNDS):
        create(client, table, "by-a", **UNITS)
        wait_for("the backfill", is_there_or_on_its_way)
        if is_backfilling():
            answer = ask()
            if is_backfilling():
                index_active(client, table, "by-a")
                give_up(client, table, "by-a")
                return answer
        index_active(client, table, "by-a")
        give_up(client, table, "by-a")
    raise AssertionError(f"{ITEMS} items were filled in too fast to see it, {ROUNDS} times")


def test_a_table_stays_while_an_index_is_backfilled(dynamodb: Any, raw: RawClient, filled: str) -> None:
    answer = while_backfilling(dynamodb, filled, lambda: raw.call("DeleteTable", {"TableName": filled}))
    sentence = f"{IN_USE}Cannot delete table while indexes are being created, updated, or deleted."
    refused(answer, sentence, BUSY)


def test_no_other_index_is_made_meanwhile(dynamodb: Any, raw: RawClient, filled: str) -> None:
    other = {
        "TableName": filled,
        "AttributeDefinitions": definitions("pk:S", "b:S"),
        "GlobalSecondaryIndexUpdates": [{"Create": index("by-b", "b", **UNITS)}],
    }
    refused(
        while_backfilling(dynamodb, filled, lambda: raw.call("UpdateTable", other)),
        "Subscriber limit exceeded: Only 1 online index can be created or deleted simultaneously per table",
        f"{SERVICE}#LimitExceededException",
    )


def test_the_same_index_is_not_made_twice(dynamodb: Any, raw: RawClient, filled: str) -> None:
    same = {
        "TableName": filled,
        "AttributeDefinitions": definitions("pk:S", "a:S"),
        "GlobalSecondaryIndexUpdates": [{"Create": index("by-a", "a", **UNITS)}],
    }
    refused(
        while_backfilling(dynamodb, filled, lambda: raw.call("UpdateTable", same)),
        f"{IN_USE}Index is being created.  Table: {filled} Index: by-a",
        BUSY,
    )


def test_the_throughput_of_the_table_may_be_changed_meanwhile(
    dynamodb: Any, raw: RawClient, filled: str
) -> None:
    units = dynamodb.describe_table(TableName=filled)["Table"]["ProvisionedThroughput"]["ReadCapacityUnits"]

    def raise_it() -> Answer:
        nonlocal units
        units += 1
        throughput = {"ReadCapacityUnits": units, "WriteCapacityUnits": 10}
        return raw.call("UpdateTable", {"TableName": filled, "ProvisionedThroughput": throughput})

    accepted(while_backfilling(dynamodb, filled, raise_it))
    throughput = active(dynamodb, filled)["ProvisionedThroughput"]
    assert throughput["ReadCapacityUnits"] == units


def test_an_index_that_is_backfilled_may_be_given_up(dynamodb: Any, filled: str) -> None:
    create(dynamodb, filled, "by-a", **UNITS)
    wait_for("the backfill", lambda: "Creating" if _phase(dynamodb, filled) != ("CREATING", False) else "")
    give_up(dynamodb, filled, "by-a")
    # Nothing of it is left, and it can be made again.
    create(dynamodb, filled, "by-a", "b", **UNITS)
    index_active(dynamodb, filled, "by-a")
    pages = dynamodb.get_paginator("scan").paginate(TableName=filled, IndexName="by-a", Select="COUNT")
    assert sum(page["Count"] for page in pages) == ITEMS
    give_up(dynamodb, filled, "by-a")


def _phase(client: Any, table: str) -> tuple[str, bool]:
    found = index_of(client, table, "by-a")
    assert found is not None
    return found["IndexStatus"], bool(found.get("Backfilling"))


def test_of_many_changes_at_once_none_is_lost(dynamodb: Any, make_table: MakeTable) -> None:
    table = make_table()
    names = [f"by-{number}" for number in range(8)]
    told: dict[str, str] = {}
    start = threading.Barrier(len(names))

    def change(name: str) -> None:
        start.wait()
        try:
            create(dynamodb, table, name)
            told[name] = "made"
        except ClientError as error:
            told[name] = error.response["Error"]["Code"]

    threads = [threading.Thread(target=change, args=(name,)) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    made = {name for name in names if told[name] == "made"}
    assert made and set(told.values()) <= {"made", "LimitExceededException"}, told
    for name in made:
        index_active(dynamodb, table, name)
    described = dynamodb.describe_table(TableName=table)["Table"]["GlobalSecondaryIndexes"]
    assert {one["IndexName"] for one in described} == made

"""The lease table of the Kinesis Client Library: its requests, by hand, between two workers.

The library keeps one item a shard. A worker makes a lease if it is not there, takes one by naming the owner and the
counter that it has seen, renews it by raising the counter, and checkpoints in it; each of these is a write of the API
before expressions that another worker's write makes fail.
"""

from __future__ import annotations

import threading
from typing import Any

import pytest

from conftest import MakeTable
from errors import FAILED_CONDITION

Values = dict[str, Any]


@pytest.fixture(scope="module")
def leases(make_shared_table: MakeTable) -> str:
    """A lease table."""
    return make_shared_table("leaseKey:S")


def lease(key: str, owner: str | None, counter: int, checkpoint: str = "TRIM_HORIZON") -> Values:
    """A lease as an item."""
    item: Values = {
        "leaseKey": {"S": key},
        "leaseCounter": {"N": str(counter)},
        "checkpoint": {"S": checkpoint},
        "checkpointSubSequenceNumber": {"N": "0"},
        "ownerSwitchesSinceCheckpoint": {"N": "0"},
        "parentShardId": {"SS": ["shardId-0", "shardId-1"]},
    }
    return {**item, "leaseOwner": {"S": owner}} if owner is not None else item


def unchanged(item: Values) -> Values:
    """What a worker expects of a lease that it has seen."""
    owner = item.get("leaseOwner")
    return {
        "leaseCounter": {"Value": item["leaseCounter"]},
        "leaseOwner": {"Exists": False} if owner is None else {"Value": owner},
    }


def create(client: Any, table: str, item: Values) -> bool:
    """Whether the lease was made; false when another worker was faster."""
    try:
        client.put_item(TableName=table, Item=item, Expected={"leaseKey": {"Exists": False}})
    except client.exceptions.ConditionalCheckFailedException:
        return False
    return True


def change(client: Any, table: str, seen: Values, updates: Values) -> Values:
    """Changes a lease that is still as it was seen."""
    answer = client.update_item(
        TableName=table,
        Key={"leaseKey": seen["leaseKey"]},
        AttributeUpdates=updates,
        Expected=unchanged(seen),
        ReturnValues="ALL_NEW",
        ReturnValuesOnConditionCheckFailure="ALL_OLD",
    )
    changed: Values = answer["Attributes"]
    return changed


def counted(**updates: Values) -> Values:
    """Updates with the counter raised."""
    return {"leaseCounter": {"Action": "ADD", "Value": {"N": "1"}}, **updates}


def owned_by(worker: str) -> Values:
    """The update that takes a lease."""
    return counted(leaseOwner={"Action": "PUT", "Value": {"S": worker}})


def test_a_lease_is_made_once(dynamodb: Any, leases: str, key: str) -> None:
    assert create(dynamodb, leases, lease(key, None, 0))
    assert not create(dynamodb, leases, lease(key, "late", 7))
    stored = dynamodb.get_item(TableName=leases, Key={"leaseKey": {"S": key}}, ConsistentRead=True)["Item"]
    assert stored.get("leaseOwner") is None
    assert stored["leaseCounter"] == {"N": "0"}


def test_a_lease_is_taken_renewed_given_up_and_taken_by_another(dynamodb: Any, leases: str, key: str) -> None:
    create(dynamodb, leases, lease(key, None, 0))
    free = lease(key, None, 0)
    taken = change(dynamodb, leases, free, owned_by("one"))
    assert (taken["leaseOwner"], taken["leaseCounter"]) == ({"S": "one"}, {"N": "1"})
    assert taken["parentShardId"]["SS"] == ["shardId-0", "shardId-1"]

    renewed = change(dynamodb, leases, taken, counted())
    assert renewed == {**taken, "leaseCounter": {"N": "2"}}

    marked = change(
        dynamodb,
        leases,
        renewed,
        counted(
            checkpoint={"Action": "PUT", "Value": {"S": "100"}},
            ownerSwitchesSinceCheckpoint={"Action": "PUT", "Value": {"N": "0"}},
            pendingCheckpoint={"Action": "DELETE"},
        ),
    )
    assert marked["checkpoint"] == {"S": "100"}

    given_up = change(dynamodb, leases, marked, counted(leaseOwner={"Action": "DELETE"}))
    assert "leaseOwner" not in given_up
    other = change(dynamodb, leases, given_up, owned_by("two"))
    assert (other["leaseOwner"], other["leaseCounter"]) == ({"S": "two"}, {"N": "5"})


def test_who_has_seen_an_old_lease_changes_nothing_and_is_shown_the_new_one(
    dynamodb: Any, leases: str, key: str
) -> None:
    free = lease(key, None, 0)
    create(dynamodb, leases, free)
    taken = change(dynamodb, leases, free, owned_by("one"))
    with pytest.raises(dynamodb.exceptions.ConditionalCheckFailedException) as refusal:
        change(dynamodb, leases, free, owned_by("two"))
    assert refusal.value.response["Error"]["Message"] == FAILED_CONDITION
    assert refusal.value.response["Item"] == taken
    with pytest.raises(dynamodb.exceptions.ConditionalCheckFailedException):
        change(dynamodb, leases, {**taken, "leaseOwner": {"S": "two"}}, counted())


def test_a_lease_that_has_to_exist_is_not_made(dynamodb: Any, leases: str, key: str) -> None:
    request: Values = {
        "TableName": leases,
        "Key": {"leaseKey": {"S": key}},
        "AttributeUpdates": counted(),
        "Expected": {"leaseKey": {"Exists": True, "Value": {"S": key}}},
    }
    with pytest.raises(dynamodb.exceptions.ConditionalCheckFailedException):
        dynamodb.update_item(**request)
    assert "Item" not in dynamodb.get_item(TableName=leases, Key={"leaseKey": {"S": key}})
    create(dynamodb, leases, lease(key, None, 0))
    assert "Attributes" not in dynamodb.update_item(**request)


def test_a_lease_is_deleted_only_by_its_owner(dynamodb: Any, leases: str, key: str) -> None:
    create(dynamodb, leases, lease(key, "one", 3))
    request = {"TableName": leases, "Key": {"leaseKey": {"S": key}}}
    with pytest.raises(dynamodb.exceptions.ConditionalCheckFailedException):
        dynamodb.delete_item(**request, Expected={"leaseOwner": {"Value": {"S": "two"}}})
    deleted = dynamodb.delete_item(
        **request, Expected={"leaseOwner": {"Value": {"S": "one"}}}, ReturnValues="ALL_OLD"
    )
    assert deleted["Attributes"]["leaseCounter"] == {"N": "3"}


def test_of_many_who_want_a_lease_one_gets_it(dynamodb: Any, leases: str, key: str) -> None:
    free = lease(key, None, 0)
    made: list[str] = []
    taken: list[str] = []
    ready = threading.Barrier(8)

    def work(worker: str) -> None:
        ready.wait(timeout=30)
        if create(dynamodb, leases, free):
            made.append(worker)
        # Whoever has made it, it is there by now.
        try:
            change(dynamodb, leases, free, owned_by(worker))
            taken.append(worker)
        except dynamodb.exceptions.ConditionalCheckFailedException:
            pass

    workers = [threading.Thread(target=work, args=(f"worker {number}",)) for number in range(8)]
    for thread in workers:
        thread.start()
    for thread in workers:
        thread.join(timeout=60)
        assert not thread.is_alive()
    assert (len(made), len(taken)) == (1, 1)
    stored = dynamodb.get_item(TableName=leases, Key={"leaseKey": {"S": key}}, ConsistentRead=True)["Item"]
    assert stored["leaseOwner"] == {"S": taken[0]}
    assert stored["leaseCounter"] == {"N": "1"}

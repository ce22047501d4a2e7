"""Item collections: the items of one partition key in a table with local indexes, and their size together.

Source: Amazon DynamoDB Developer Guide, "Item collections in local secondary indexes", and the API Reference,
"ItemCollectionMetrics".
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from conftest import MakeTable, create_table, definitions, index
from demo_cluster import DemoCluster
from errors import accepted
from raw import RawClient

Item = dict[str, Any]

SIZE = {"ReturnItemCollectionMetrics": "SIZE"}
LIMIT_BYTES = 20_000
WRITERS = 4

without_metrics = pytest.mark.differs_from_dynamodb_local("it tells nothing of item collections")


def local_indexes() -> Item:
    """Arguments of CreateTable: two local indexes, one of them with everything."""
    return {
        "AttributeDefinitions": definitions("pk:S", "sk:N", "a:S"),
        "LocalSecondaryIndexes": [
            index("all", "pk", "a"),
            index("keys", "pk", "a", projection="KEYS_ONLY"),
        ],
    }


@pytest.fixture(scope="module")
def collections(make_shared_table: MakeTable) -> str:
    """A table with local indexes."""
    return make_shared_table("pk:S", "sk:N", **local_indexes())


def item(pk: str, sk: int, **more: Any) -> Item:
    """An item with this key."""
    return {"pk": {"S": pk}, "sk": {"N": str(sk)}, **more}


def metrics(pk: str, lower: float = 0.0) -> Item:
    """What is told of a collection."""
    return {"ItemCollectionKey": {"pk": {"S": pk}}, "SizeEstimateRangeGB": [lower, lower + 1.0]}


@without_metrics
def test_writes_tell_of_the_collection(dynamodb: Any, collections: str, key: str) -> None:
    table = {"TableName": collections, **SIZE}
    where = {"Key": item(key, 1)}
    answers = [
        dynamodb.put_item(Item=item(key, 1, a={"S": "a"}), **table),
        dynamodb.put_item(Item=item(key, 1, a={"S": "a"}), **table),
        dynamodb.update_item(
            UpdateExpression="SET b = :b", ExpressionAttributeValues={":b": {"S": "b"}}, **where, **table
        ),
        dynamodb.update_item(**where, **table),
        dynamodb.delete_item(**where, **table),
        dynamodb.delete_item(**where, **table),
    ]
    assert [answer["ItemCollectionMetrics"] for answer in answers] == [metrics(key)] * 6


@without_metrics
def test_a_batch_tells_of_each_collection_once(
    dynamodb: Any, collections: str, make_table: MakeTable, key: str
) -> None:
    plain, one, two = make_table("pk:S", "sk:N"), f"{key}-1", f"{key}-2"
    puts = [{"PutRequest": {"Item": item(pk, sk)}} for pk, sk in [(one, 1), (one, 2), (two, 1)]]
    answer = dynamodb.batch_write_item(
        RequestItems={
            collections: [*puts, {"DeleteRequest": {"Key": item(two, 2)}}],
            plain: puts[:1],
        },
        **SIZE,
    )
    assert answer["UnprocessedItems"] == {}
    assert list(answer["ItemCollectionMetrics"]) == [collections]
    told = answer["ItemCollectionMetrics"][collections]
    assert sorted(told, key=lambda one: str(one["ItemCollectionKey"]["pk"]["S"])) == [
        metrics(one),
        metrics(two),
    ]


@pytest.mark.parametrize("choice", [{}, {"ReturnItemCollectionMetrics": "NONE"}])
def test_nobody_is_told_who_has_not_asked(dynamodb: Any, collections: str, key: str, choice: Item) -> None:
    answer = dynamodb.put_item(TableName=collections, Item=item(key, 1), **choice)
    assert "ItemCollectionMetrics" not in answer
    put = {"PutRequest": {"Item": item(key, 2)}}
    answer = dynamodb.batch_write_item(RequestItems={collections: [put]}, **choice)
    assert "ItemCollectionMetrics" not in answer


def test_a_table_without_local_indexes_has_none(raw: RawClient, ranged: str, key: str) -> None:
    request = {"TableName": ranged, "Item": {"pk": {"S": key}, "sk": {"S": "1"}}, **SIZE}
    assert "ItemCollectionMetrics" not in accepted(raw.call("PutItem", request))


def fill(client: Any, table: str, pk: str, first: int) -> int:
    """Puts items until the collection is full; says how many were taken.

    `first` is odd and of four digits, so that all items are of one size.
    """
    taken = 0
    while True:
        new = item(pk, first + 2 * taken, a={"S": "a"}, x={"S": "x" * 100})
        try:
            client.put_item(TableName=table, Item=new)
        except client.exceptions.ItemCollectionSizeLimitExceededException as refusal:
            assert refusal.response["Error"]["Message"] == "Collection size exceeded."
            assert refusal.response["ResponseMetadata"]["HTTPStatusCode"] == 400
            return taken
        taken += 1


def limit(directory: Path) -> None:
    """Gives the nodes of a cluster that is not running a lower limit."""
    configurations = list(directory.glob("**/stator.toml"))
    assert len(configurations) == 3
    for file in configurations:
        file.write_text(f"{file.read_text()}\n[limits]\nitem_collection_bytes_max = {LIMIT_BYTES}\n")


@pytest.mark.needs_stator_binary
def test_a_full_collection_takes_what_makes_it_smaller_also_after_a_start(
    binary: str, tmp_path: Path
) -> None:
    with DemoCluster(binary, tmp_path):
        pass
    limit(tmp_path)
    table = "collections"
    with DemoCluster(binary, tmp_path) as cluster:
        client = cluster.client(cluster.addresses[0])
        create_table(client, table, "pk:S", "sk:N", **local_indexes())
        with ThreadPoolExecutor(WRITERS) as pool:
            # All at once, through different nodes: as many as fit are taken, and no more.
            clients = [cluster.client(cluster.addresses[place % 3]) for place in range(WRITERS)]
            fills = [
                pool.submit(fill, one, table, "full", 1111 + 2000 * place)
                for place, one in enumerate(clients)
            ]
            taken = sum(one.result() for one in fills)
        assert fill(client, table, "also", 1111) == taken
        items = client.query(
            TableName=table,
            ConsistentRead=True,
            KeyConditionExpression="pk = :pk",
            ExpressionAttributeValues={":pk": {"S": "full"}},
        )["Items"]
        assert len(items) == taken
    with DemoCluster(binary, tmp_path) as cluster:
        client = cluster.client(cluster.addresses[1])
        assert fill(client, table, "full", 9111) == 0
        grow = {
            "UpdateExpression": "SET x = :x",
            "ExpressionAttributeValues": {":x": {"S": "x" * 10_000}},
            "TableName": table,
        }
        with pytest.raises(client.exceptions.ItemCollectionSizeLimitExceededException):
            client.update_item(Key=item("full", int(items[0]["sk"]["N"])), **grow)
        for one in items[:3]:
            client.delete_item(TableName=table, Key=item("full", int(one["sk"]["N"])))
        assert fill(client, table, "full", 9111) == 3

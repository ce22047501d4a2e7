"""ItemCount and IndexSizeBytes of an index that is made while its table is written to."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from conftest import MakeTable, definitions, eventually, index, index_active

WRITERS = 3


def scanned(client: Any, table: str, **more: Any) -> list[dict[str, Any]]:
    """All rows of a table or of an index, in an order of their own."""
    pages = client.get_paginator("scan").paginate(TableName=table, **more)
    rows = [row for page in pages for row in page["Items"]]
    return sorted(rows, key=lambda row: str(row["pk"]["S"]))


@pytest.mark.differs_from_dynamodb_local("it fails some writes while it makes an index")
def test_an_index_that_is_made_under_writes_counts_its_rows(dynamodb: Any, make_table: MakeTable) -> None:
    table = make_table("pk:S")
    for number in range(100):
        dynamodb.put_item(TableName=table, Item={"pk": {"S": f"p{number}"}, "a": {"S": f"a{number % 5}"}})
    ended = threading.Event()

    def write(worker: int) -> None:
        turn = worker
        while not ended.is_set():
            turn += WRITERS
            one = {"pk": {"S": f"p{turn % 150}"}}
            if turn % 4 == 0:
                dynamodb.delete_item(TableName=table, Key=one)
                continue
            more = {"a": {"S": f"a{turn % 7}"}, "x": {"S": "x" * (turn % 11)}}
            dynamodb.put_item(TableName=table, Item={**one, **more})

    with ThreadPoolExecutor(WRITERS) as pool:
        writers = [pool.submit(write, worker) for worker in range(WRITERS)]
        try:
            dynamodb.update_table(
                TableName=table,
                AttributeDefinitions=definitions("pk:S", "a:S"),
                GlobalSecondaryIndexUpdates=[{"Create": index("late", "a")}],
            )
            index_active(dynamodb, table, "late")
        finally:
            ended.set()
        for writer in writers:
            writer.result()
    items = scanned(dynamodb, table, ConsistentRead=True)
    eventually(lambda: scanned(dynamodb, table, IndexName="late"), items)
    described = dynamodb.describe_table(TableName=table)["Table"]
    [late] = described["GlobalSecondaryIndexes"]
    # All attributes of all items are in the index.
    assert (late["ItemCount"], late["IndexSizeBytes"]) == (
        described["ItemCount"],
        described["TableSizeBytes"],
    )
    assert late["ItemCount"] == len(items)

"""Scan: everything once, in pages, in parallel segments, through a filter."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

import truths
from conftest import MakeTable
from errors import accepted, refused
from raw import RawClient

Item = dict[str, Any]

COUNT = 250


@pytest.fixture(scope="module")
def filled(dynamodb: Any, make_shared_table: MakeTable) -> str:
    """A table of 250 items in 50 partitions."""
    name = make_shared_table("pk:S", "sk:N")
    for start in range(0, COUNT, 25):
        puts = [
            {"PutRequest": {"Item": {"pk": {"S": f"p{i % 50}"}, "sk": {"N": str(i)}, "v": {"N": str(i)}}}}
            for i in range(start, start + 25)
        ]
        answer = dynamodb.batch_write_item(RequestItems={name: puts})
        assert answer["UnprocessedItems"] == {}
    return name


@pytest.fixture(scope="module")
def single(dynamodb: Any, make_shared_table: MakeTable) -> str:
    """A table that holds only the item of the truths."""
    name = make_shared_table()
    dynamodb.put_item(TableName=name, Item={"pk": {"S": "a"}, **truths.ITEM})
    return name


def numbers(items: list[Item]) -> list[int]:
    """The sort keys of the items, as they came."""
    return [int(item["sk"]["N"]) for item in items]


def all_pages(client: Any, **parameters: Any) -> list[Item]:
    """The items of all pages of a scan."""
    return [item for page in client.get_paginator("scan").paginate(**parameters) for item in page["Items"]]


def test_a_scan_gives_every_item_once(dynamodb: Any, filled: str) -> None:
    page = dynamodb.scan(TableName=filled)
    assert (page["Count"], page["ScannedCount"]) == (COUNT, COUNT)
    assert "LastEvaluatedKey" not in page
    assert sorted(numbers(page["Items"])) == list(range(COUNT))


def test_the_items_of_a_partition_come_together_and_in_order(dynamodb: Any, filled: str) -> None:
    items = dynamodb.scan(TableName=filled)["Items"]
    partitions = [item["pk"]["S"] for item in items]
    changes = sum(1 for one, other in zip(partitions, partitions[1:]) if one != other)
    assert changes == 49
    for partition in set(partitions):
        mine = numbers([item for item in items if item["pk"]["S"] == partition])
        assert mine == sorted(mine)


@pytest.mark.parametrize("limit", [1, 7, 100, 249, 250])
def test_pages_put_together_are_the_whole(dynamodb: Any, filled: str, limit: int) -> None:
    items = all_pages(dynamodb, TableName=filled, PaginationConfig={"PageSize": limit})
    assert sorted(numbers(items)) == list(range(COUNT))


def test_a_limit_at_the_very_end_still_gives_a_key(dynamodb: Any, filled: str) -> None:
    page = dynamodb.scan(TableName=filled, Limit=COUNT)
    assert page["Count"] == COUNT and "LastEvaluatedKey" in page
    rest = dynamodb.scan(TableName=filled, ExclusiveStartKey=page["LastEvaluatedKey"])
    assert (rest["Items"], rest["ScannedCount"]) == ([], 0) and "LastEvaluatedKey" not in rest
    assert "LastEvaluatedKey" not in dynamodb.scan(TableName=filled, Limit=COUNT + 1)


@pytest.mark.parametrize("segments", [1, 2, 3, 8, 100])
def test_segments_share_the_table_out(dynamodb: Any, filled: str, segments: int) -> None:
    def segment(number: int) -> list[int]:
        pages = all_pages(
            dynamodb,
            TableName=filled,
            Segment=number,
            TotalSegments=segments,
            PaginationConfig={"PageSize": 40},
        )
        return numbers(pages)

    with ThreadPoolExecutor(8) as threads:
        parts = list(threads.map(segment, range(segments)))
    assert sorted(number for part in parts for number in part) == list(range(COUNT))


def test_a_million_segments_are_possible(dynamodb: Any, filled: str) -> None:
    page = dynamodb.scan(TableName=filled, Segment=999_999, TotalSegments=1_000_000)
    assert page["Count"] <= COUNT


@pytest.mark.parametrize(
    ("parameters", "sentence"),
    [
        (
            {"Segment": 0},
            "The TotalSegments parameter is required but was not present in the request "
            "when Segment parameter is present",
        ),
        (
            {"TotalSegments": 1},
            "The Segment parameter is required but was not present in the request "
            "when parameter TotalSegments is present",
        ),
        (
            {"Segment": 4, "TotalSegments": 4},
            "The Segment parameter is zero-based and must be less than parameter TotalSegments: "
            "Segment: 4 is not less than TotalSegments: 4",
        ),
        (
            {"Segment": -1, "TotalSegments": 4},
            "1 validation error detected: Value '-1' at 'segment' failed to satisfy constraint: "
            "Member must have value greater than or equal to 0",
        ),
        (
            {"Segment": 0, "TotalSegments": 1_000_001},
            "1 validation error detected: Value '1000001' at 'totalSegments' failed to satisfy constraint: "
            "Member must have value less than or equal to 1000000",
        ),
    ],
)
def test_impossible_segments_are_refused(
    raw: RawClient, filled: str, parameters: Item, sentence: str
) -> None:
    refused(raw.call("Scan", {"TableName": filled, **parameters}), sentence)


def test_a_start_key_of_another_segment_is_refused(dynamodb: Any, raw: RawClient, filled: str) -> None:
    page = dynamodb.scan(TableName=filled, Segment=0, TotalSegments=2, Limit=1)
    request = {
        "TableName": filled,
        "Segment": 1,
        "TotalSegments": 2,
        "ExclusiveStartKey": page["LastEvaluatedKey"],
    }
    refused(
        raw.call("Scan", request),
        "The provided starting key is invalid: Invalid ExclusiveStartKey. "
        "Please use ExclusiveStartKey with correct Segment. TotalSegments: 2 Segment: 1",
    )


@pytest.mark.parametrize(("expression", "holds"), truths.ALL)
def test_a_filter_keeps_what_the_same_condition_lets_through(
    dynamodb: Any, single: str, expression: str, holds: bool
) -> None:
    values = truths.values_in(expression)
    named = {"ExpressionAttributeValues": values} if values else {}
    page = dynamodb.scan(TableName=single, FilterExpression=expression, **named)
    assert (page["Count"], page["ScannedCount"]) == (int(holds), 1)


def test_a_filter_may_speak_of_keys(dynamodb: Any, filled: str) -> None:
    page = dynamodb.scan(
        TableName=filled,
        FilterExpression="pk = :p AND sk BETWEEN :low AND :high",
        ExpressionAttributeValues={":p": {"S": "p7"}, ":low": {"N": "50"}, ":high": {"N": "200"}},
    )
    assert sorted(numbers(page["Items"])) == [57, 107, 157]
    assert page["ScannedCount"] == COUNT


def test_a_limit_counts_what_is_read_not_what_is_left(dynamodb: Any, filled: str) -> None:
    page = dynamodb.scan(
        TableName=filled,
        FilterExpression="v < :none",
        ExpressionAttributeValues={":none": {"N": "0"}},
        Limit=5,
    )
    assert (page["Count"], page["ScannedCount"]) == (0, 5) and "LastEvaluatedKey" in page


def test_a_count_has_no_items(dynamodb: Any, filled: str) -> None:
    page = dynamodb.scan(
        TableName=filled,
        Select="COUNT",
        FilterExpression="v >= :v",
        ExpressionAttributeValues={":v": {"N": "200"}},
    )
    assert (page["Count"], page["ScannedCount"]) == (50, COUNT) and "Items" not in page


def test_values_need_a_filter(raw: RawClient, filled: str) -> None:
    refused(
        raw.call("Scan", {"TableName": filled, "ExpressionAttributeValues": {":a": {"S": "a"}}}),
        "ExpressionAttributeValues can only be specified when using expressions: FilterExpression is null",
    )


def test_an_empty_table_is_an_empty_page(raw: RawClient, make_table: MakeTable) -> None:
    answer = accepted(raw.call("Scan", {"TableName": make_table(), "Limit": 1}))
    assert answer == {"Items": [], "Count": 0, "ScannedCount": 0}


def test_a_page_holds_one_megabyte(dynamodb: Any, make_table: MakeTable) -> None:
    name = make_table("pk:S")
    for i in range(6):
        dynamodb.put_item(TableName=name, Item={"pk": {"S": str(i)}, "v": {"S": "x" * 300_000}})
    page = dynamodb.scan(TableName=name)
    assert page["Count"] in (3, 4) and "LastEvaluatedKey" in page
    assert sorted(item["pk"]["S"] for item in all_pages(dynamodb, TableName=name)) == list("012345")

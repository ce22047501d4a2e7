"""Real input: the 3,201 films of the npm package `vega-datasets`, loaded, queried, counted, and kept through
`kill -9`.

The data is as real data is. What the tests make of it:

* The table is keyed by `year` (N), the last word of "Release Date", and `title` (S). All pairs are different.
* A title that is a number (nine films: `1776`, `300`, ...) is a key as the text of that number. The one film
  without a title has the key `(untitled)`. The source's own "Title" stays beside the key as it is: text,
  number or null.
* A null is stored as NULL, not left out, so that an item turns back into exactly the film it was made from.
* A few films are dated into the future (2025, 2036...): the source's century is wrong, and is kept.
"""

from __future__ import annotations

import json
import os
import subprocess
import tarfile
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from pathlib import Path
from typing import Any

import botocore.exceptions
import pytest
from boto3.dynamodb.conditions import Attr, Key
from boto3.dynamodb.types import TypeSerializer

from conftest import REPOSITORY, MakeTable, connect, create_table, resource
from server import Server, Target

Film = dict[str, Any]

COUNT = 3201
PACKAGE = "vega-datasets@3.2.1"
MEMBER = "package/data/movies.json"
LOADERS = 4
ACKNOWLEDGED_BEFORE_KILL = 1000
SCAN_SEGMENTS = 4


@pytest.fixture(scope="module")
def source() -> list[Film]:
    """The films as the package has them: from `STATOR_MOVIES_JSON`, or from a copy that npm fetches once."""
    named = os.environ.get("STATOR_MOVIES_JSON")
    path = Path(named) if named else REPOSITORY / "target" / "compat-tests" / "movies.json"
    if not path.exists():
        fetch(path)
    films: list[Film] = json.loads(path.read_bytes(), parse_float=Decimal)
    assert len(films) == COUNT
    return films


def fetch(path: Path) -> None:
    """Takes `movies.json` out of the npm package and puts it at `path`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    packed = subprocess.run(
        ["npm", "pack", "--silent", PACKAGE], cwd=path.parent, capture_output=True, text=True, check=True
    )
    archive = path.parent / packed.stdout.strip().splitlines()[-1]
    with tarfile.open(archive) as files:
        member = files.extractfile(MEMBER)
        assert member is not None
        partial = path.with_suffix(".partial")
        partial.write_bytes(member.read())
    partial.rename(path)
    archive.unlink()


def item_of(film: Film) -> Film:
    """The item of a film: its members, and the two keys made of them."""
    title = film["Title"]
    return {
        **film,
        "year": int(film["Release Date"].split()[-1]),
        "title": "(untitled)" if title is None else str(title),
    }


@pytest.fixture(scope="module")
def items(source: list[Film]) -> list[Film]:
    """All items."""
    items = [item_of(film) for film in source]
    assert len({key_of(item) for item in items}) == COUNT
    return items


def key_of(item: Film) -> tuple[int, str]:
    """The key of an item, as Python values."""
    return int(item["year"]), item["title"]


@pytest.fixture(scope="module")
def films(target: Target, make_shared_table: MakeTable, items: list[Film]) -> Any:
    """The table resource, with all films in it, loaded through `batch_writer`."""
    table = resource(target).Table(make_shared_table("year:N", "title:S"))
    with table.batch_writer() as batch:
        for item in items:
            batch.put_item(Item=item)
    return table


def all_pages(read: Any, **parameters: Any) -> list[Film]:
    """The items of all pages of a query or scan of the resource API."""
    found: list[Film] = []
    while True:
        page = read(**parameters)
        found += page["Items"]
        if "LastEvaluatedKey" not in page:
            return found
        parameters["ExclusiveStartKey"] = page["LastEvaluatedKey"]


def parallel_scan(target: Target, table: str) -> list[Film]:
    """All items by a scan in segments, each with a client of its own."""

    def segment(number: int) -> list[Film]:
        scan = resource(target).Table(table).scan
        return all_pages(scan, Segment=number, TotalSegments=SCAN_SEGMENTS, ConsistentRead=True)

    with ThreadPoolExecutor(SCAN_SEGMENTS) as threads:
        return [item for part in threads.map(segment, range(SCAN_SEGMENTS)) for item in part]


def by_key(items: list[Film]) -> dict[tuple[int, str], Film]:
    """The items by their keys, each once."""
    keyed = {key_of(item): item for item in items}
    assert len(keyed) == len(items)
    return keyed


def test_every_film_comes_back_as_it_is_in_the_source(
    target: Target, films: Any, source: list[Film], items: list[Film]
) -> None:
    scanned = parallel_scan(target, films.name)
    assert len(scanned) == COUNT
    assert by_key(scanned) == by_key(items)
    restored = [
        {name: value for name, value in item.items() if name not in ("year", "title")} for item in scanned
    ]
    assert sorted(map(repr_of, restored)) == sorted(map(repr_of, source))


def repr_of(film: Film) -> str:
    """A film as text, the same for equal films: numbers as the source writes them, whatever their type."""
    return json.dumps(film, sort_keys=True, default=str).replace('"', "")


def test_a_film_is_got_by_its_key(films: Any, items: list[Film]) -> None:
    for item in items[::100]:
        got = films.get_item(Key={"year": item["year"], "title": item["title"]})["Item"]
        assert got == item


def test_the_odd_titles_are_there(films: Any) -> None:
    untitled = films.get_item(Key={"year": 2006, "title": "(untitled)"})["Item"]
    assert untitled["Title"] is None and untitled["US Gross"] == 26403
    three_hundred = films.get_item(Key={"year": 2007, "title": "300"})["Item"]
    assert three_hundred["Title"] == 300


def test_a_year_is_queried_in_the_order_of_titles(films: Any, items: list[Film]) -> None:
    for year in (1977, 1999, 2006):
        expected = sorted((i["title"] for i in items if i["year"] == year), key=str.encode)
        found = all_pages(films.query, KeyConditionExpression=Key("year").eq(year))
        assert [item["title"] for item in found] == expected
        small = all_pages(
            films.query, KeyConditionExpression=Key("year").eq(year), Limit=7, ScanIndexForward=False
        )
        assert [item["title"] for item in small] == expected[::-1]


def test_titles_are_queried_by_prefix(films: Any, items: list[Film]) -> None:
    for year, prefix in ((2001, "The "), (2006, "A"), (2009, "Star"), (1999, "zzz")):
        expected = {i["title"] for i in items if i["year"] == year and i["title"].startswith(prefix)}
        condition = Key("year").eq(year) & Key("title").begins_with(prefix)
        found = all_pages(films.query, KeyConditionExpression=condition)
        assert {item["title"] for item in found} == expected
    assert expected == set(), "the last prefix is of no film"


def test_a_filter_finds_what_the_source_has(films: Any, items: list[Film]) -> None:
    expected = {
        key_of(i) for i in items if i["Director"] == "Steven Spielberg" and (i["IMDB Rating"] or 0) > 7
    }
    assert expected
    found = all_pages(
        films.scan,
        FilterExpression=Attr("Director").eq("Steven Spielberg") & Attr("IMDB Rating").gt(7),
        ProjectionExpression="#y, title",
        ExpressionAttributeNames={"#y": "year"},
    )
    assert {key_of(item) for item in found} == expected
    nulls = films.scan(FilterExpression=Attr("Director").attribute_type("NULL"), Select="COUNT")
    count = nulls["Count"]
    while "LastEvaluatedKey" in nulls:
        nulls = films.scan(
            FilterExpression=Attr("Director").attribute_type("NULL"),
            Select="COUNT",
            ExclusiveStartKey=nulls["LastEvaluatedKey"],
        )
        count += nulls["Count"]
    assert count == sum(1 for item in items if item["Director"] is None)


def test_films_are_updated(films: Any, items: list[Film]) -> None:
    year = 1994
    mine = {key_of(item): dict(item) for item in items if item["year"] == year}
    for (_, title), item in mine.items():
        after = films.update_item(
            Key={"year": year, "title": title},
            UpdateExpression=(
                "SET #seen = :yes, #votes = if_not_exists(#votes, :zero) ADD plays :one REMOVE #source"
            ),
            ConditionExpression=Attr("title").exists(),
            ExpressionAttributeNames={"#seen": "seen by", "#votes": "votes", "#source": "Source"},
            ExpressionAttributeValues={":yes": {"me", "you"}, ":zero": 0, ":one": 1},
            ReturnValues="ALL_NEW",
        )["Attributes"]
        item.pop("Source")
        item.update({"seen by": {"me", "you"}, "votes": 0, "plays": 1})
        assert after == item
    found = all_pages(films.query, KeyConditionExpression=Key("year").eq(year), ConsistentRead=True)
    assert by_key(found) == mine
    for item in items:
        if item["year"] == year:
            films.put_item(Item=item)


def test_a_parallel_scan_counts_them_by_year(target: Target, films: Any, items: list[Film]) -> None:
    counted = Counter(int(item["year"]) for item in parallel_scan(target, films.name))
    assert counted == Counter(item["year"] for item in items)


class Load:
    """Threads that put items in batches until the server dies, and note what it acknowledged."""

    def __init__(self, target: Target, table: str, items: list[Film]) -> None:
        self.table = table
        self.acknowledged: list[Film] = []
        self.changed = threading.Condition()
        serialize = TypeSerializer().serialize
        batches = [
            [{name: serialize(value) for name, value in item.items()} for item in items[start : start + 10]]
            for start in range(0, len(items), 10)
        ]
        self.threads = [
            threading.Thread(target=self._put, args=(connect(target), batches[number::LOADERS]))
            for number in range(LOADERS)
        ]
        for thread in self.threads:
            thread.start()

    def _put(self, client: Any, batches: list[list[Film]]) -> None:
        for batch in batches:
            try:
                answer = client.batch_write_item(
                    RequestItems={self.table: [{"PutRequest": {"Item": item}} for item in batch]}
                )
            except (botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError):
                return
            assert answer["UnprocessedItems"] == {}
            with self.changed:
                self.acknowledged += batch
                self.changed.notify_all()

    def wait_for(self, count: int) -> None:
        """Returns as soon as `count` items are acknowledged."""
        with self.changed:
            assert self.changed.wait_for(lambda: len(self.acknowledged) >= count, timeout=60)

    def end(self) -> list[Film]:
        """Waits until all threads have met the dead server, and returns what was acknowledged."""
        for thread in self.threads:
            thread.join(timeout=60)
            assert not thread.is_alive()
        return self.acknowledged


def low_level_scan(client: Any, table: str) -> dict[tuple[str, str], Film]:
    """All items of a table as they are on the wire, by their keys."""
    pages = client.get_paginator("scan").paginate(TableName=table, ConsistentRead=True)
    items = [item for page in pages for item in page["Items"]]
    keyed = {(item["year"]["N"], item["title"]["S"]): item for item in items}
    assert len(keyed) == len(items)
    return keyed


@pytest.mark.needs_stator_binary
@pytest.mark.parametrize("durability", ["sync", "interval"])
def test_every_acknowledged_film_outlives_kill_9(
    binary: str, tmp_path: Path, items: list[Film], durability: str
) -> None:
    arguments = ("--data-dir", str(tmp_path / "data"), "--durability", durability)
    serialize = TypeSerializer().serialize
    wire = {
        (str(item["year"]), item["title"]): {name: serialize(value) for name, value in item.items()}
        for item in items
    }
    with Server(binary, *arguments) as server:
        client = connect(server.target)
        for table in ("first", "second"):
            create_table(client, table, "year:N", "title:S")
        assert len(Load(server.target, "first", items).end()) == COUNT
        load = Load(server.target, "second", items)
        load.wait_for(ACKNOWLEDGED_BEFORE_KILL)
        server.kill()
        acknowledged = load.end()
        assert ACKNOWLEDGED_BEFORE_KILL <= len(acknowledged) < COUNT, "killed during the load"

    with Server(binary, *arguments) as server:
        client = connect(server.target)
        assert low_level_scan(client, "first") == wire
        second = low_level_scan(client, "second")
        for item in acknowledged:
            assert second[item["year"]["N"], item["title"]["S"]] == item
        for key, item in second.items():
            assert item == wire[key], "what was written without an answer is whole, too"
        # And the load goes on where it broke off.
        assert len(Load(server.target, "second", items).end()) == COUNT
        assert low_level_scan(client, "second") == wire


@pytest.mark.needs_stator_binary
def test_a_server_killed_again_and_again_loses_nothing(
    binary: str, tmp_path: Path, items: list[Film]
) -> None:
    serialize = TypeSerializer().serialize
    arguments = ("--data-dir", str(tmp_path / "data"))
    expected: dict[tuple[str, str], Film] = {}
    for start in range(4):
        with Server(binary, *arguments) as server:
            client = connect(server.target)
            if start == 0:
                create_table(client, "films", "year:N", "title:S")
            assert low_level_scan(client, "films") == expected
            for item in items[start::50]:
                typed = {name: serialize(value) for name, value in item.items()}
                client.put_item(TableName="films", Item=typed)
                expected[typed["year"]["N"], typed["title"]["S"]] = typed
            gone = next(iter(expected))
            client.delete_item(TableName="films", Key={"year": {"N": gone[0]}, "title": {"S": gone[1]}})
            del expected[gone]
            server.kill()

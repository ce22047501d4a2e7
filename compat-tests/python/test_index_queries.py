"""Query and Scan of secondary indexes: what they hold, what they show, their pages, and what they refuse.

A global index follows its table: where one is read, a test looks until it has caught up. A local index is a part of its
table, and read with ConsistentRead.
"""

from __future__ import annotations

from typing import Any

import pytest

from conftest import MakeTable, definitions, eventually, index
from errors import VALIDATION, accepted, refused
from raw import RawClient

Item = dict[str, Any]

INVALID = "One or more parameter values were invalid: "
KEYS = ("pk", "sk")
INDEX_KEYS = {
    "g-all": ("a", "n"),
    "g-keys": ("a",),
    "g-some": ("a",),
    "g-turned": ("sk", "pk"),
    "g-two": ("a", "c", "n", "sk"),
    "l-keys": ("pk", "n"),
    "l-some": ("pk", "c"),
    "l-all": ("pk", "a"),
}


def item(pk: str, sk: str, **more: Any) -> Item:
    """An item; numbers become N, everything else S."""
    values = {
        name: {"N": str(value)} if isinstance(value, int) else {"S": value} for name, value in more.items()
    }
    return {"pk": {"S": pk}, "sk": {"S": sk}, **values}


ITEMS = [
    item("p", "0", a="A", n=3, c="C", x="X0", y="Y0"),
    item("p", "1", a="A", n=1, c="C", x="X1", y="Y1"),
    item("p", "2", a="A", n=2, c="D", x="X2", y="Y2"),
    item("q", "0", a="A", n=-5, c="C", x="X3", y="Y3"),
    item("q", "1", a="B", n=10, c="C", x="X4"),
    # Not in every index: some of the attributes are missing.
    item("q", "2", a="A"),
    item("q", "3", n=4, c="C", y="Y6"),
    item("r", "0"),
]


@pytest.fixture(scope="module")
def indexed(make_shared_table: MakeTable, dynamodb: Any) -> str:
    """A table with indexes of every kind and ITEMS in it."""
    name = make_shared_table(
        "pk:S",
        "sk:S",
        AttributeDefinitions=definitions("pk:S", "sk:S", "a:S", "n:N", "c:S"),
        GlobalSecondaryIndexes=[
            index("g-all", "a", "n"),
            index("g-keys", "a", projection="KEYS_ONLY"),
            index("g-some", "a", projection=["x"]),
            index("g-turned", "sk", "pk", projection="KEYS_ONLY"),
            index("g-two", "a", "c", "n", "sk", hashes=2),
        ],
        LocalSecondaryIndexes=[
            index("l-keys", "pk", "n", projection="KEYS_ONLY"),
            index("l-some", "pk", "c", projection=["x"]),
            index("l-all", "pk", "a"),
        ],
    )
    for one in ITEMS:
        dynamodb.put_item(TableName=name, Item=one)
    for own, keys in INDEX_KEYS.items():
        expected = sorted(named([one for one in ITEMS if all(key in one for key in keys)]))
        eventually(lambda: sorted(named(dynamodb.scan(TableName=name, IndexName=own)["Items"])), expected)
    return name


def named(items: list[Item]) -> list[str]:
    """What the items are called: partition and sort key."""
    return [one["pk"]["S"] + one["sk"]["S"] for one in items]


def where(condition: str, **values: Any) -> Item:
    """A key condition with its values, and names for all attributes."""
    return {
        "KeyConditionExpression": condition,
        "ExpressionAttributeValues": {
            f":{name}": {"N": str(value)} if isinstance(value, int) else {"S": value}
            for name, value in values.items()
        },
    }


def query(client: Any, table: str, own: str, condition: Item, **more: Any) -> list[Item]:
    """The items of one Query of an index."""
    items: list[Item] = client.query(TableName=table, IndexName=own, **condition, **more)["Items"]
    return items


class TestGlobalIndex:
    """Another key, anywhere in the table."""

    def test_items_come_in_the_order_of_the_index(self, dynamodb: Any, indexed: str) -> None:
        of_a = where("a = :a", a="A")
        assert named(query(dynamodb, indexed, "g-all", of_a)) == ["q0", "p1", "p2", "p0"]
        backwards = query(dynamodb, indexed, "g-all", of_a, ScanIndexForward=False)
        assert named(backwards) == ["p0", "p2", "p1", "q0"]

    @pytest.mark.parametrize(
        ("condition", "expected"),
        [
            (where("a = :a AND n = :n", a="A", n=2), ["p2"]),
            (where("a = :a AND n > :n", a="A", n=1), ["p2", "p0"]),
            (where("a = :a AND n >= :n", a="A", n=1), ["p1", "p2", "p0"]),
            (where("a = :a AND n < :n", a="A", n=2), ["q0", "p1"]),
            (where("a = :a AND n <= :n", a="A", n=2), ["q0", "p1", "p2"]),
            (where("a = :a AND n BETWEEN :l AND :n", a="A", l=-5, n=1), ["q0", "p1"]),
            (where("a = :a AND n < :n", a="A", n=-5), []),
            (where("a = :a", a="nope"), []),
        ],
    )
    def test_conditions_on_the_key_of_the_index(
        self, dynamodb: Any, indexed: str, condition: Item, expected: list[str]
    ) -> None:
        assert named(query(dynamodb, indexed, "g-all", condition)) == expected
        backwards = query(dynamodb, indexed, "g-all", condition, ScanIndexForward=False)
        assert named(backwards) == expected[::-1]

    def test_the_keys_of_the_table_may_change_places(self, dynamodb: Any, indexed: str) -> None:
        assert named(query(dynamodb, indexed, "g-turned", where("sk = :s", s="0"))) == ["p0", "q0", "r0"]

    def test_an_item_without_the_key_is_not_there(self, dynamodb: Any, indexed: str) -> None:
        assert named(query(dynamodb, indexed, "g-all", where("a = :a", a="A"))) == ["q0", "p1", "p2", "p0"]
        scanned = dynamodb.scan(TableName=indexed, IndexName="g-all")["Items"]
        assert sorted(named(scanned)) == ["p0", "p1", "p2", "q0", "q1"]
        assert sorted(named(dynamodb.scan(TableName=indexed, IndexName="g-keys")["Items"])) == [
            *("p0", "p1", "p2"),
            *("q0", "q1", "q2"),
        ]

    def test_what_is_projected_is_shown(self, dynamodb: Any, indexed: str) -> None:
        of_b = where("a = :a", a="B")
        whole = ITEMS[4]
        assert query(dynamodb, indexed, "g-all", of_b) == [whole]
        keys = {name: whole[name] for name in ("pk", "sk", "a")}
        assert query(dynamodb, indexed, "g-keys", of_b) == [keys]
        assert query(dynamodb, indexed, "g-keys", of_b, Select="ALL_PROJECTED_ATTRIBUTES") == [keys]
        assert query(dynamodb, indexed, "g-some", of_b) == [{**keys, "x": whole["x"]}]

    def test_keys_of_several_attributes(self, dynamodb: Any, indexed: str) -> None:
        def found(condition: Item) -> list[str]:
            return named(query(dynamodb, indexed, "g-two", condition))

        assert found(where("a = :a AND c = :c", a="A", c="C")) == ["q0", "p1", "p0"]
        assert found(where("c = :c AND a = :a AND n > :n", a="A", c="C", n=-5)) == ["p1", "p0"]
        assert found(where("a = :a AND c = :c AND n = :n", a="A", c="C", n=1)) == ["p1"]
        both = where("a = :a AND c = :c AND n = :n AND begins_with(sk, :s)", a="A", c="C", n=3, s="0")
        assert found(both) == ["p0"]
        above = where("a = :a AND c = :c AND n = :n AND sk > :s", a="A", c="C", n=3, s="0")
        assert found(above) == []
        assert found(where("a = :a AND c = :c", a="A", c="nope")) == []

    @pytest.mark.parametrize(
        ("condition", "why"),
        [
            (where("a = :a", a="A"), "a part of the partition key is missing"),
            (where("a = :a AND c > :c", a="A", c="C"), "the partition key needs equality"),
            (
                where("a = :a AND c = :c AND sk = :s", a="A", c="C", s="0"),
                "a part of the sort key is left out",
            ),
            (
                where("a = :a AND c = :c AND n > :n AND sk = :s", a="A", c="C", n=1, s="0"),
                "a range has to come last",
            ),
        ],
    )
    def test_keys_of_several_attributes_have_rules(
        self, raw: RawClient, indexed: str, condition: Item, why: str
    ) -> None:
        answer = raw.call("Query", {"TableName": indexed, "IndexName": "g-two", **condition})
        assert (answer.status, answer.type) == (400, VALIDATION), (why, answer.body)

    @pytest.mark.parametrize("operation", ["Query", "Scan"])
    def test_strongly_consistent_reads_are_refused(
        self, raw: RawClient, indexed: str, operation: str
    ) -> None:
        request = {"TableName": indexed, "IndexName": "g-all", "ConsistentRead": True}
        if operation == "Query":
            request.update(where("a = :a", a="A"))
        refused(
            raw.call(operation, request), "Consistent reads are not supported on global secondary indexes"
        )


class TestLocalIndex:
    """Another order within a partition."""

    def test_items_come_in_the_order_of_the_index(self, dynamodb: Any, indexed: str) -> None:
        of_p = where("pk = :p", p="p")
        assert named(query(dynamodb, indexed, "l-keys", of_p, ConsistentRead=True)) == ["p1", "p2", "p0"]
        backwards = query(dynamodb, indexed, "l-keys", of_p, ConsistentRead=True, ScanIndexForward=False)
        assert named(backwards) == ["p0", "p2", "p1"]
        over = where("pk = :p AND n >= :n", p="p", n=2)
        assert named(query(dynamodb, indexed, "l-keys", over, ConsistentRead=True)) == ["p2", "p0"]

    def test_a_write_is_there_at_once(self, dynamodb: Any, indexed: str, key: str) -> None:
        own = where("pk = :p", p=key)

        def found() -> list[str]:
            items = query(dynamodb, indexed, "l-keys", own, ConsistentRead=True)
            return [one["sk"]["S"] for one in items]

        for sk, n in [("a", 3), ("b", 1), ("c", 2)]:
            dynamodb.put_item(TableName=indexed, Item=item(key, sk, n=n))
        assert found() == ["b", "c", "a"]
        dynamodb.put_item(TableName=indexed, Item=item(key, "a", n=0))
        assert found() == ["a", "b", "c"]
        dynamodb.put_item(TableName=indexed, Item=item(key, "b"))
        assert found() == ["a", "c"]
        dynamodb.delete_item(TableName=indexed, Key=item(key, "a"))
        assert found() == ["c"]

    def test_an_item_without_the_key_is_not_there(self, dynamodb: Any, indexed: str) -> None:
        of_q = where("pk = :p", p="q")
        assert named(query(dynamodb, indexed, "l-keys", of_q, ConsistentRead=True)) == ["q0", "q3", "q1"]
        assert named(query(dynamodb, indexed, "l-all", of_q, ConsistentRead=True)) == ["q0", "q2", "q1"]

    def test_what_is_projected_is_shown(self, dynamodb: Any, indexed: str) -> None:
        whole = ITEMS[1]
        one = where("pk = :p AND n = :n", p="p", n=1)
        keys = {name: whole[name] for name in ("pk", "sk", "n")}
        assert query(dynamodb, indexed, "l-keys", one) == [keys]
        assert query(dynamodb, indexed, "l-keys", one, Select="ALL_PROJECTED_ATTRIBUTES") == [keys]
        some = query(dynamodb, indexed, "l-some", where("pk = :p AND c = :c", p="p", c="D"))
        assert some == [{name: ITEMS[2][name] for name in ("pk", "sk", "c", "x")}]

    def test_the_rest_is_fetched_from_the_table(self, dynamodb: Any, indexed: str) -> None:
        of_q = where("pk = :p", p="q")
        whole = query(dynamodb, indexed, "l-keys", of_q, Select="ALL_ATTRIBUTES", ConsistentRead=True)
        assert whole == [ITEMS[3], ITEMS[6], ITEMS[4]]
        some = query(dynamodb, indexed, "l-keys", of_q, ProjectionExpression="y, n", ConsistentRead=True)
        assert some == [
            {name: one[name] for name in ("y", "n") if name in one} for one in (ITEMS[3], ITEMS[6], ITEMS[4])
        ]
        first = query(dynamodb, indexed, "l-keys", of_q, ProjectionExpression="x", Limit=1)
        assert first == [{"x": {"S": "X3"}}]
        scanned = dynamodb.scan(TableName=indexed, IndexName="l-keys", Select="ALL_ATTRIBUTES")["Items"]
        with_n = [one for one in ITEMS if "n" in one]
        own = [one for one in scanned if one["pk"]["S"] in ("p", "q")]
        assert sorted(own, key=lambda one: named([one])) == sorted(with_n, key=lambda one: named([one]))


class TestSelect:
    """Which attributes are shown, and which may be asked for."""

    def test_counting(self, dynamodb: Any, indexed: str) -> None:
        answer = dynamodb.query(
            TableName=indexed, IndexName="g-all", Select="COUNT", **where("a = :a", a="A")
        )
        assert (answer["Count"], answer["ScannedCount"]) == (4, 4)
        assert "Items" not in answer

    def test_all_attributes_of_a_global_index_that_has_them_all(self, dynamodb: Any, indexed: str) -> None:
        found = query(dynamodb, indexed, "g-all", where("a = :a", a="B"), Select="ALL_ATTRIBUTES")
        assert found == [ITEMS[4]]

    @pytest.mark.parametrize("operation", ["Query", "Scan"])
    def test_all_attributes_of_a_global_index_that_has_not(
        self, raw: RawClient, indexed: str, operation: str
    ) -> None:
        request = {"TableName": indexed, "IndexName": "g-keys", "Select": "ALL_ATTRIBUTES"}
        if operation == "Query":
            request.update(where("a = :a", a="A"))
        refused(
            raw.call(operation, request),
            f"{INVALID}Select type ALL_ATTRIBUTES is not supported for global secondary index g-keys "
            "because its projection "
            "type is not ALL",
        )

    @pytest.mark.parametrize(
        ("own", "projection", "missing"), [("g-keys", "y", "[y]"), ("g-some", "x, m.k", "[m]"), ("g-keys", "m.k, y, m.j", "[m, y]")]
    )
    def test_attributes_that_a_global_index_does_not_have(
        self, raw: RawClient, indexed: str, own: str, projection: str, missing: str
    ) -> None:
        request = {"TableName": indexed, "IndexName": own, "ProjectionExpression": projection}
        refused(
            raw.call("Query", {**request, **where("a = :a", a="A")}),
            f"{INVALID}Global secondary index {own} does not project {missing}",
        )

    def test_projected_attributes_need_an_index(self, raw: RawClient, indexed: str) -> None:
        request = {"TableName": indexed, "Select": "ALL_PROJECTED_ATTRIBUTES", **where("pk = :p", p="p")}
        refused(
            raw.call("Query", request),
            "ALL_PROJECTED_ATTRIBUTES can be used only when Querying using an IndexName",
        )

    def test_a_projection_picks_from_the_index(self, dynamodb: Any, indexed: str) -> None:
        found = query(dynamodb, indexed, "g-some", where("a = :a", a="B"), ProjectionExpression="x, sk")
        assert found == [{"x": {"S": "X4"}, "sk": {"S": "1"}}]

    def test_a_filter_sees_what_the_index_has(self, dynamodb: Any, indexed: str) -> None:
        condition = where("a = :a", a="A")
        condition["ExpressionAttributeValues"][":x"] = {"S": "X1"}
        answer = dynamodb.query(TableName=indexed, IndexName="g-some", FilterExpression="x = :x", **condition)
        assert (named(answer["Items"]), answer["Count"], answer["ScannedCount"]) == (["p1"], 1, 5)
        condition["ExpressionAttributeValues"][":x"] = {"S": "1"}
        by_key = query(dynamodb, indexed, "g-all", condition, FilterExpression="sk = :x")
        assert named(by_key) == ["p1"]

    @pytest.mark.parametrize("own", ["g-keys", "l-keys"])
    def test_a_filter_on_what_the_index_has_not(self, raw: RawClient, indexed: str, own: str) -> None:
        condition = where("a = :a", a="A") if own == "g-keys" else where("pk = :a", a="p")
        condition["ExpressionAttributeValues"][":y"] = {"S": "Y1"}
        request = {"TableName": indexed, "IndexName": own, "FilterExpression": "y = :y", **condition}
        refused(
            raw.call("Query", request),
            f"{INVALID}Secondary index {own} does not project one or more filter attributes: [y]",
        )

    def test_a_filter_on_the_key_of_the_index(self, raw: RawClient, indexed: str) -> None:
        condition = where("a = :a", a="A", n=1)
        request = {"TableName": indexed, "IndexName": "g-all", "FilterExpression": "n = :n", **condition}
        refused(
            raw.call("Query", request),
            "Filter Expression can only contain non-primary key attributes: Primary key attribute: n",
        )


@pytest.fixture(scope="module")
def crowded(make_shared_table: MakeTable, dynamodb: Any) -> str:
    """A table with 25 items that have one and the same key in each index."""
    name = make_shared_table(
        "pk:S",
        "sk:N",
        AttributeDefinitions=definitions("pk:S", "sk:N", "a:S", "n:N"),
        GlobalSecondaryIndexes=[index("g-n", "a", "n"), index("g-hash", "a", projection="KEYS_ONLY")],
        LocalSecondaryIndexes=[index("l-n", "pk", "n", projection="KEYS_ONLY")],
    )
    for number in range(25):
        dynamodb.put_item(
            TableName=name,
            Item={
                "pk": {"S": "one" if number % 2 else "two"},
                "sk": {"N": str(number)},
                "a": {"S": "A"},
                "n": {"N": "7"},
            },
        )
    for own in ("g-n", "g-hash"):
        eventually(lambda: dynamodb.scan(TableName=name, IndexName=own, Select="COUNT")["Count"], 25)
    return name


class TestPages:
    """LastEvaluatedKey and ExclusiveStartKey of an index name the place in it and the item."""

    def pages(self, call: Any, limit: int, **request: Any) -> list[list[int]]:
        """The sort keys of the items of each page."""
        pages: list[list[int]] = []
        start: Item = {}
        while True:
            answer = call(Limit=limit, **request, **start)
            pages.append([int(one["sk"]["N"]) for one in answer["Items"]])
            if "LastEvaluatedKey" not in answer:
                return pages
            start = {"ExclusiveStartKey": answer["LastEvaluatedKey"]}
            assert len(pages) < 100

    @pytest.mark.parametrize("limit", [1, 4, 25, 100])
    @pytest.mark.parametrize("forward", [True, False])
    @pytest.mark.parametrize("own", ["g-n", "g-hash", "l-n"])
    def test_no_item_is_lost_or_seen_twice_in_a_query(
        self, dynamodb: Any, crowded: str, own: str, forward: bool, limit: int
    ) -> None:
        condition = where("pk = :a", a="one") if own == "l-n" else where("a = :a", a="A")
        pages = self.pages(
            dynamodb.query,
            limit,
            TableName=crowded,
            IndexName=own,
            ScanIndexForward=forward,
            **condition,
        )
        whole = dynamodb.query(TableName=crowded, IndexName=own, ScanIndexForward=forward, **condition)
        assert all(len(page) == limit for page in pages[:-1])
        in_order = [int(one["sk"]["N"]) for one in whole["Items"]]
        assert [one for page in pages for one in page] == in_order
        assert sorted(in_order) == (list(range(1, 25, 2)) if own == "l-n" else list(range(25)))

    @pytest.mark.parametrize("limit", [1, 7])
    @pytest.mark.parametrize("own", ["g-n", "g-hash", "l-n"])
    def test_no_item_is_lost_or_seen_twice_in_a_scan(
        self, dynamodb: Any, crowded: str, own: str, limit: int
    ) -> None:
        pages = self.pages(dynamodb.scan, limit, TableName=crowded, IndexName=own)
        assert sorted(one for page in pages for one in page) == list(range(25))

    @pytest.mark.parametrize("own", ["g-n", "l-n"])
    def test_segments_have_all_items_between_them(self, dynamodb: Any, crowded: str, own: str) -> None:
        found: list[int] = []
        for segment in range(3):
            pages = self.pages(
                dynamodb.scan, 2, TableName=crowded, IndexName=own, Segment=segment, TotalSegments=3
            )
            found += [one for page in pages for one in page]
        assert sorted(found) == list(range(25))

    @pytest.mark.parametrize(
        ("own", "names"),
        [("g-n", {"a", "n", "pk", "sk"}), ("g-hash", {"a", "pk", "sk"}), ("l-n", {"pk", "sk", "n"})],
    )
    def test_a_place_is_named_by_both_keys(
        self, dynamodb: Any, crowded: str, own: str, names: set[str]
    ) -> None:
        condition = where("pk = :a", a="one") if own == "l-n" else where("a = :a", a="A")
        request = {"TableName": crowded, "IndexName": own, "Limit": 1}
        assert dynamodb.query(**request, **condition)["LastEvaluatedKey"].keys() == names
        assert dynamodb.scan(**request)["LastEvaluatedKey"].keys() == names

    def test_a_place_may_be_where_no_item_is(self, dynamodb: Any, crowded: str) -> None:
        start = {"pk": {"S": "one"}, "sk": {"N": "6.5"}, "n": {"N": "7"}}
        found = query(dynamodb, crowded, "l-n", where("pk = :a", a="one"), ExclusiveStartKey=start)
        whole = query(dynamodb, crowded, "l-n", where("pk = :a", a="one"))
        assert {int(one["sk"]["N"]) for one in found} <= {int(one["sk"]["N"]) for one in whole}

    @pytest.mark.parametrize("operation", ["Query", "Scan"])
    @pytest.mark.parametrize(
        "change",
        [
            pytest.param({"n": None}, id="a part of the index's key is missing"),
            pytest.param({"pk": None}, id="a part of the table's key is missing"),
            pytest.param({"more": {"S": "x"}}, id="too much"),
            pytest.param({"n": {"S": "7"}}, id="wrong type in the index's key"),
            pytest.param({"sk": {"S": "7"}}, id="wrong type in the table's key"),
        ],
    )
    def test_a_place_has_to_be_one(
        self, raw: RawClient, crowded: str, operation: str, change: dict[str, Any]
    ) -> None:
        place = {"pk": {"S": "one"}, "sk": {"N": "3"}, "a": {"S": "A"}, "n": {"N": "7"}}
        start = {name: value for name, value in {**place, **change}.items() if value is not None}
        request = {"TableName": crowded, "IndexName": "g-n", "ExclusiveStartKey": start}
        if operation == "Query":
            request.update(where("a = :a", a="A"))
        refused(raw.call(operation, request), "The provided starting key is invalid")

    def test_a_place_has_to_be_within_the_query(self, raw: RawClient, crowded: str) -> None:
        start = {"pk": {"S": "one"}, "sk": {"N": "3"}, "a": {"S": "B"}, "n": {"N": "7"}}
        request = {"TableName": crowded, "IndexName": "g-n", "ExclusiveStartKey": start}
        refused(
            raw.call("Query", {**request, **where("a = :a", a="A")}),
            "The provided starting key is outside query boundaries based on provided conditions",
        )

    @pytest.mark.differs_from_dynamodb_local(
        "counts whole items towards the page of an index that has only keys"
    )
    def test_a_page_of_an_index_ends_after_a_megabyte(
        self, raw: RawClient, dynamodb: Any, crowded: str, key: str
    ) -> None:
        # Only the keys are in the index, so that what is in the table alone does not fill a page.
        for number in range(4):
            body = {"pk": {"S": key}, "sk": {"N": str(number)}, "n": {"N": "1"}, "x": {"S": "x" * 380_000}}
            accepted(raw.call("PutItem", {"TableName": crowded, "Item": body}))
        request = {"TableName": crowded, **where("pk = :a", a=key)}
        assert len(dynamodb.query(**request, IndexName="l-n", ConsistentRead=True)["Items"]) == 4
        page = dynamodb.query(**request)
        assert len(page["Items"]) < 4
        assert "LastEvaluatedKey" in page


@pytest.mark.parametrize("operation", ["Query", "Scan"])
def test_an_index_that_is_not_there(raw: RawClient, indexed: str, operation: str) -> None:
    request = {"TableName": indexed, "IndexName": "nope"}
    if operation == "Query":
        request.update(where("a = :a", a="A"))
    refused(raw.call(operation, request), "The table does not have the specified index: nope")


@pytest.mark.parametrize(
    ("own", "condition", "missing"),
    [
        ("g-all", where("n = :n", n=1), "a"),
        ("g-all", where("pk = :p", p="p"), "a"),
        ("l-keys", where("n = :n", n=1), "pk"),
    ],
)
def test_a_condition_has_to_name_the_key_of_the_index(
    raw: RawClient, indexed: str, own: str, condition: Item, missing: str
) -> None:
    refused(
        raw.call("Query", {"TableName": indexed, "IndexName": own, **condition}),
        f"Query condition missed key schema element: {missing}",
    )


def test_a_condition_has_to_have_the_types_of_the_key(raw: RawClient, indexed: str) -> None:
    refused(
        raw.call(
            "Query", {"TableName": indexed, "IndexName": "g-all", **where("a = :a AND n = :n", a="A", n="1")}
        ),
        f"{INVALID}Condition parameter type does not match schema type",
    )

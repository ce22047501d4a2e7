"""What writes of items do to secondary indexes, and what indexes do not let be written."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from conftest import (
    MakeTable,
    active,
    definitions,
    eventually,
    index,
    index_active,
    index_gone,
    index_of,
    unused_name,
)
from errors import VALIDATION, accepted, failed_condition, refused
from raw import RawClient

Item = dict[str, Any]

INVALID = "One or more parameter values were invalid: "
UNSUPPORTED = "One or more parameter values are not valid. "


@pytest.fixture(scope="module")
def indexed(make_shared_table: MakeTable) -> str:
    """A table with a global index `by-a` of `a` (S) and `n` (N), and a local index `by-n` of `n`."""
    return make_shared_table(
        "pk:S",
        "sk:S",
        AttributeDefinitions=definitions("pk:S", "sk:S", "a:S", "n:N"),
        GlobalSecondaryIndexes=[index("by-a", "a", "n", projection=["x"])],
        LocalSecondaryIndexes=[index("by-n", "pk", "n")],
    )


class Rows:
    """The rows that the items of one test have in the indexes."""

    def __init__(self, client: Any, table: str, key: str) -> None:
        self.client = client
        self.table = table
        self.key = key

    def put(self, sk: str, **more: Any) -> Item:
        """Puts an item; `a` is made the test's own."""
        item = self.item(sk, **more)
        self.client.put_item(TableName=self.table, Item=item)
        return item

    def item(self, sk: str, **more: Any) -> Item:
        """An item; numbers become N, everything else S, and `a` is made the test's own."""
        item: Item = {"pk": {"S": self.key}, "sk": {"S": sk}}
        for name, value in more.items():
            item[name] = {"N": str(value)} if isinstance(value, int) else {"S": value}
        if "a" in more:
            item["a"] = {"S": self.a(more["a"])}
        return item

    def a(self, name: str) -> str:
        """A partition key of `by-a` that no other test uses."""
        return f"{name}-{self.key}"

    def update(self, sk: str, expression: str, **values: Any) -> None:
        """Updates an item."""
        named = {
            f":{name}": {"N": str(value)} if isinstance(value, int) else {"S": value}
            for name, value in values.items()
        }
        self.client.update_item(
            TableName=self.table,
            Key={"pk": {"S": self.key}, "sk": {"S": sk}},
            UpdateExpression=expression,
            **({"ExpressionAttributeValues": named} if named else {}),
        )

    def delete(self, sk: str) -> None:
        """Deletes an item."""
        self.client.delete_item(TableName=self.table, Key={"pk": {"S": self.key}, "sk": {"S": sk}})

    def of_global(self, name: str) -> list[tuple[str, str, str | None]]:
        """Of each row of `by-a` under a key: `sk`, `n` and `x`."""
        answer = self.client.query(
            TableName=self.table,
            IndexName="by-a",
            KeyConditionExpression="a = :a",
            ExpressionAttributeValues={":a": {"S": self.a(name)}},
        )
        return [
            (one["sk"]["S"], one["n"]["N"], one["x"]["S"] if "x" in one else None) for one in answer["Items"]
        ]

    def of_local(self) -> list[Item]:
        """The rows of `by-n`."""
        answer = self.client.query(
            TableName=self.table,
            IndexName="by-n",
            KeyConditionExpression="pk = :p",
            ExpressionAttributeValues={":p": {"S": self.key}},
            ConsistentRead=True,
        )
        items: list[Item] = answer["Items"]
        return items

    def expect(self, name: str, *rows: tuple[str, str, str | None]) -> None:
        """Waits until `by-a` has just these rows under a key."""
        eventually(lambda: self.of_global(name), list(rows))


@pytest.fixture
def rows(dynamodb: Any, indexed: str, key: str) -> Rows:
    """Items and rows of the test's own."""
    return Rows(dynamodb, indexed, key)


class TestRows:
    """An index follows its table."""

    def test_a_put_makes_rows(self, rows: Rows) -> None:
        item = rows.put("1", a="one", n=5, x="X", y="Y")
        assert rows.of_local() == [item]
        rows.expect("one", ("1", "5", "X"))

    def test_a_put_replaces_rows(self, rows: Rows) -> None:
        rows.put("1", a="one", n=5, x="X")
        item = rows.put("1", a="one", n=5, x="new")
        assert rows.of_local() == [item]
        rows.expect("one", ("1", "5", "new"))
        rows.put("1", a="one", n=5)
        rows.expect("one", ("1", "5", None))

    def test_a_row_moves_with_its_key(self, rows: Rows) -> None:
        rows.put("1", a="one", n=5)
        rows.put("2", a="one", n=6)
        rows.expect("one", ("1", "5", None), ("2", "6", None))
        rows.update("1", "SET n = :n", n=7)
        assert [one["sk"]["S"] for one in rows.of_local()] == ["2", "1"]
        rows.expect("one", ("2", "6", None), ("1", "7", None))
        rows.update("1", "SET a = :a", a=rows.a("two"))
        rows.expect("one", ("2", "6", None))
        rows.expect("two", ("1", "7", None))
        rows.put("1", a="one", n=1)
        rows.expect("one", ("1", "1", None), ("2", "6", None))
        rows.expect("two")

    def test_a_row_goes_with_its_key_and_comes_again(self, rows: Rows) -> None:
        rows.put("1", a="one", n=5, x="X")
        rows.expect("one", ("1", "5", "X"))
        rows.update("1", "REMOVE n")
        assert rows.of_local() == []
        rows.expect("one")
        rows.update("1", "SET n = :n", n=3)
        assert len(rows.of_local()) == 1
        rows.expect("one", ("1", "3", "X"))
        rows.update("1", "REMOVE a")
        assert len(rows.of_local()) == 1
        rows.expect("one")

    def test_a_row_goes_with_its_item(self, rows: Rows) -> None:
        rows.put("1", a="one", n=5)
        rows.put("2", a="one", n=5)
        # Rows of equal keys may come in any order.
        eventually(lambda: sorted(rows.of_global("one")), [("1", "5", None), ("2", "5", None)])
        rows.delete("1")
        assert [one["sk"]["S"] for one in rows.of_local()] == ["2"]
        rows.expect("one", ("2", "5", None))

    def test_numbers_are_one_key_in_every_spelling(self, rows: Rows, dynamodb: Any, indexed: str) -> None:
        item = {**rows.item("1", a="one"), "n": {"N": "05.0"}}
        dynamodb.put_item(TableName=indexed, Item=item)
        rows.expect("one", ("1", "5", None))
        rows.update("1", "SET n = n + :n", n=1)
        rows.expect("one", ("1", "6", None))

    def test_a_batch_makes_and_removes_rows(self, rows: Rows, dynamodb: Any, indexed: str) -> None:
        puts = [rows.item(f"{number:02}", a="one", n=number) for number in range(25)]
        requests = [{"PutRequest": {"Item": item}} for item in puts]
        assert dynamodb.batch_write_item(RequestItems={indexed: requests})["UnprocessedItems"] == {}
        assert rows.of_local() == puts
        eventually(lambda: len(rows.of_global("one")), 25)
        keys = [{"pk": item["pk"], "sk": item["sk"]} for item in puts[5:]]
        requests = [{"DeleteRequest": {"Key": item}} for item in keys]
        assert dynamodb.batch_write_item(RequestItems={indexed: requests})["UnprocessedItems"] == {}
        assert rows.of_local() == puts[:5]
        eventually(lambda: len(rows.of_global("one")), 5)

    def test_a_write_that_is_refused_leaves_rows_alone(
        self, rows: Rows, raw: RawClient, indexed: str
    ) -> None:
        item = rows.put("1", a="one", n=5)
        request = {
            "TableName": indexed,
            "Item": rows.item("1", a="two", n=6),
            "ConditionExpression": "attribute_not_exists(pk)",
        }
        failed_condition(raw.call("PutItem", request))
        assert rows.of_local() == [item]
        rows.expect("one", ("1", "5", None))
        assert rows.of_global("two") == []

    def test_many_writers_of_one_item_leave_one_row(self, rows: Rows) -> None:
        def work(worker: int) -> None:
            for turn in range(10):
                rows.put("1", a=f"of-{worker}", n=turn)

        workers = [threading.Thread(target=work, args=(worker,)) for worker in range(4)]
        for thread in workers:
            thread.start()
        for thread in workers:
            thread.join(timeout=60)
            assert not thread.is_alive()
        (last,) = rows.of_local()
        expected = [(last["a"]["S"].removesuffix(f"-{rows.key}"), ("1", last["n"]["N"], None))]

        def look() -> list[Any]:
            return [(f"of-{worker}", row) for worker in range(4) for row in rows.of_global(f"of-{worker}")]

        eventually(look, expected)


class TestKeysOfIndexes:
    """A write whose item could not be in an index is refused."""

    @pytest.mark.parametrize(
        ("value", "actual"),
        [
            ({"S": "5"}, "S"),
            ({"B": "NQ=="}, "B"),
            ({"NULL": True}, "NULL"),
            ({"BOOL": True}, "BOOL"),
            ({"L": []}, "L"),
        ],
    )
    @pytest.mark.parametrize("with_n", [True, False])
    def test_a_put_of_another_type(
        self, raw: RawClient, make_shared_table: MakeTable, key: str, value: Item, actual: str, with_n: bool
    ) -> None:
        table = make_shared_table(
            "pk:S",
            AttributeDefinitions=definitions("pk:S", "a:N", *(["n:N"] if with_n else [])),
            GlobalSecondaryIndexes=[index("by-a", "a", *(["n"] if with_n else []))],
        )
        # Also of an item that would not be in the index, because another key attribute is missing.
        item = {"pk": {"S": key}, "a": value}
        refused(
            raw.call("PutItem", {"TableName": table, "Item": item}),
            f"{INVALID}Type mismatch for Index Key a Expected: N Actual: {actual} IndexName: by-a",
        )
        assert accepted(raw.call("GetItem", {"TableName": table, "Key": {"pk": {"S": key}}})) == {}

    def test_an_update_to_another_type(self, rows: Rows, raw: RawClient, indexed: str) -> None:
        item = rows.put("1", a="one", n=5)
        one = {"TableName": indexed, "Key": {"pk": item["pk"], "sk": item["sk"]}}
        for attribute, value in [("n", {"S": "5"}), ("n", {"L": []}), ("a", {"N": "1"})]:
            request = {
                **one,
                "UpdateExpression": f"SET {attribute} = :v",
                "ExpressionAttributeValues": {":v": value},
            }
            refused(
                raw.call("UpdateItem", request),
                "The update expression attempted to update the secondary index key to unsupported type",
            )
        assert accepted(raw.call("GetItem", one))["Item"] == item
        assert rows.of_local() == [item]

    def test_an_update_does_not_make_an_item_that_cannot_be(
        self, raw: RawClient, indexed: str, key: str
    ) -> None:
        one = {"TableName": indexed, "Key": {"pk": {"S": key}, "sk": {"S": "1"}}}
        request = {**one, "UpdateExpression": "SET n = :v", "ExpressionAttributeValues": {":v": {"S": "x"}}}
        answer = raw.call("UpdateItem", request)
        assert (answer.status, answer.type) == (400, VALIDATION), answer.body
        assert accepted(raw.call("GetItem", one)) == {}

    def test_an_empty_text(self, raw: RawClient, make_shared_table: MakeTable, key: str) -> None:
        table = make_shared_table(
            "pk:S",
            AttributeDefinitions=definitions("pk:S", "a:S"),
            GlobalSecondaryIndexes=[index("by-a", "a")],
        )
        refused(
            raw.call("PutItem", {"TableName": table, "Item": {"pk": {"S": key}, "a": {"S": ""}}}),
            f"{UNSUPPORTED}A value specified for a secondary index key is not supported. The AttributeValue "
            "for a key "
            "attribute cannot contain an empty string value. IndexName: by-a, IndexKey: a",
        )
        request = {
            "TableName": table,
            "Key": {"pk": {"S": key}},
            "UpdateExpression": "SET a = :v",
            "ExpressionAttributeValues": {":v": {"S": ""}},
        }
        refused(
            raw.call("UpdateItem", request),
            f"{UNSUPPORTED}The update expression attempted to update a secondary index key to a value that "
            "is not "
            "supported. The AttributeValue for a key attribute cannot contain an empty string value.",
        )

    @pytest.mark.parametrize(("size", "fits"), [(2048, True), (2049, False)])
    def test_a_partition_key_of_an_index_has_two_kilobytes(
        self, raw: RawClient, rows: Rows, indexed: str, size: int, fits: bool
    ) -> None:
        item = {**rows.item("1", n=1), "a": {"S": "x" * size}}
        answer = raw.call("PutItem", {"TableName": indexed, "Item": item})
        if fits:
            accepted(answer)
        else:
            assert (answer.status, answer.type) == (400, VALIDATION), answer.body

    @pytest.mark.differs_from_dynamodb_local("it words it as for a PutItem")
    def test_an_update_does_not_make_a_key_of_an_index_longer(
        self, raw: RawClient, rows: Rows, indexed: str
    ) -> None:
        item = rows.put("1", a="one", n=5)
        request = {
            "TableName": indexed,
            "Key": {"pk": item["pk"], "sk": item["sk"]},
            "UpdateExpression": "SET a = :v",
            "ExpressionAttributeValues": {":v": {"S": "x" * 2049}},
        }
        refused(
            raw.call("UpdateItem", request),
            "The update expression attempted to update the secondary index key beyond allowed size limits",
        )

    def test_a_batch_with_an_item_that_cannot_be_is_refused_as_a_whole(
        self, raw: RawClient, rows: Rows, indexed: str
    ) -> None:
        good, bad = rows.item("1", a="one", n=1), {**rows.item("2", a="one"), "n": {"S": "x"}}
        requests = [{"PutRequest": {"Item": item}} for item in (good, bad)]
        answer = raw.call("BatchWriteItem", {"RequestItems": {indexed: requests}})
        assert (answer.status, answer.type) == (400, VALIDATION), answer.body
        assert rows.of_local() == []


class TestOnline:
    """An index that is made over items that are there already."""

    COUNT = 300

    @pytest.fixture
    def filled(self, make_table: MakeTable, dynamodb: Any) -> str:
        """A table of many items, some of which would not be in an index of `a` (S)."""
        name = make_table()
        for begin in range(0, self.COUNT, 25):
            requests = [{"PutRequest": {"Item": self.item(number)}} for number in range(begin, begin + 25)]
            assert dynamodb.batch_write_item(RequestItems={name: requests})["UnprocessedItems"] == {}
        return name

    def item(self, number: int) -> Item:
        """Every third item has no `a`."""
        item: Item = {"pk": {"S": f"item {number}"}, "x": {"S": "x"}}
        if number % 3:
            item["a"] = {"S": f"a{number % 2}"}
        return item

    def create(self, client: Any, table: str, **more: Any) -> None:
        client.update_table(
            TableName=table,
            AttributeDefinitions=definitions("pk:S", "a:S"),
            GlobalSecondaryIndexUpdates=[{"Create": index("by-a", "a", **more)}],
        )

    def names(self, client: Any, table: str) -> list[str]:
        names: list[str] = []
        for page in client.get_paginator("scan").paginate(TableName=table, IndexName="by-a"):
            names += [one["pk"]["S"] for one in page["Items"]]
        return sorted(names)

    def test_what_is_there_already_is_filled_in(self, dynamodb: Any, filled: str) -> None:
        self.create(dynamodb, filled, projection="KEYS_ONLY")
        index_active(dynamodb, filled, "by-a")
        fit = [f"item {n}" for n in range(self.COUNT) if n % 3]
        assert self.names(dynamodb, filled) == sorted(fit)
        page = dynamodb.query(
            TableName=filled,
            IndexName="by-a",
            KeyConditionExpression="a = :a",
            ExpressionAttributeValues={":a": {"S": "a1"}},
        )
        assert page["Count"] == len([one for one in fit if int(one.split()[1]) % 2])
        assert all(one.keys() == {"pk", "a"} for one in page["Items"])

    @pytest.mark.differs_from_dynamodb_local("fails writes while it makes an index")
    def test_writes_while_it_is_filled_are_in_it(self, dynamodb: Any, filled: str) -> None:
        self.create(dynamodb, filled)
        expected = {f"item {n}" for n in range(self.COUNT) if n % 3}
        number = 0
        # Write at least a hundred times, and for as long as the index is not there.
        while number < 100 or index_of(dynamodb, filled, "by-a")["IndexStatus"] != "ACTIVE":  # type: ignore[index]
            if number % 2:
                dynamodb.put_item(TableName=filled, Item={"pk": {"S": f"new {number}"}, "a": {"S": "new"}})
                expected.add(f"new {number}")
            else:
                dynamodb.delete_item(TableName=filled, Key={"pk": {"S": f"item {number % self.COUNT}"}})
                expected.discard(f"item {number % self.COUNT}")
            number += 1
            assert number < 100_000
        eventually(lambda: self.names(dynamodb, filled), sorted(expected))

    @pytest.mark.differs_from_dynamodb_local("fills in items whose key is of another type")
    def test_an_item_of_another_type_is_left_out(self, dynamodb: Any, filled: str) -> None:
        odd = {"pk": {"S": "odd"}, "a": {"N": "1"}}
        dynamodb.put_item(TableName=filled, Item=odd)
        self.create(dynamodb, filled)
        index_active(dynamodb, filled, "by-a")
        assert self.names(dynamodb, filled) == sorted(f"item {n}" for n in range(self.COUNT) if n % 3)
        # It stays as it is, and may be mended.
        key = {"pk": {"S": "odd"}}
        assert dynamodb.get_item(TableName=filled, Key=key, ConsistentRead=True)["Item"] == odd
        dynamodb.put_item(TableName=filled, Item={**odd, "a": {"S": "mended"}})
        eventually(lambda: "odd" in self.names(dynamodb, filled), True)

    def test_an_item_that_does_not_fit_is_no_longer_written(
        self, raw: RawClient, dynamodb: Any, filled: str
    ) -> None:
        self.create(dynamodb, filled)
        index_active(dynamodb, filled, "by-a")
        refused(
            raw.call("PutItem", {"TableName": filled, "Item": {"pk": {"S": "q"}, "a": {"N": "1"}}}),
            f"{INVALID}Type mismatch for Index Key a Expected: S Actual: N IndexName: by-a",
        )

    def test_an_index_goes_and_the_table_stays(self, raw: RawClient, dynamodb: Any, filled: str) -> None:
        self.create(dynamodb, filled)
        index_active(dynamodb, filled, "by-a")
        dynamodb.update_table(
            TableName=filled, GlobalSecondaryIndexUpdates=[{"Delete": {"IndexName": "by-a"}}]
        )
        index_gone(dynamodb, filled, "by-a")
        refused(
            raw.call("Scan", {"TableName": filled, "IndexName": "by-a"}),
            "The table does not have the specified index: by-a",
        )
        # What the index did not let be written may be written again.
        dynamodb.put_item(TableName=filled, Item={"pk": {"S": "q"}, "a": {"N": "1"}})
        assert dynamodb.scan(TableName=filled, Select="COUNT")["Count"] == self.COUNT + 1

    def test_an_index_that_is_made_again_has_nothing_of_the_old_one(self, dynamodb: Any, filled: str) -> None:
        self.create(dynamodb, filled)
        index_active(dynamodb, filled, "by-a")
        dynamodb.update_table(
            TableName=filled, GlobalSecondaryIndexUpdates=[{"Delete": {"IndexName": "by-a"}}]
        )
        index_gone(dynamodb, filled, "by-a")
        for number in range(self.COUNT - 10):
            dynamodb.delete_item(TableName=filled, Key={"pk": {"S": f"item {number}"}})
        self.create(dynamodb, filled, projection="KEYS_ONLY")
        index_active(dynamodb, filled, "by-a")
        expected = [f"item {n}" for n in range(self.COUNT - 10, self.COUNT) if n % 3]
        assert self.names(dynamodb, filled) == sorted(expected)


def test_a_table_goes_with_its_indexes(dynamodb: Any) -> None:
    name = unused_name()
    request = {
        "TableName": name,
        "AttributeDefinitions": definitions("pk:S", "a:S"),
        "KeySchema": [{"AttributeName": "pk", "KeyType": "HASH"}],
        "BillingMode": "PAY_PER_REQUEST",
        "GlobalSecondaryIndexes": [index("by-a", "a")],
    }
    dynamodb.create_table(**request)
    active(dynamodb, name)
    dynamodb.put_item(TableName=name, Item={"pk": {"S": "old"}, "a": {"S": "A"}})
    dynamodb.delete_table(TableName=name)
    dynamodb.get_waiter("table_not_exists").wait(
        TableName=name, WaiterConfig={"Delay": 0, "MaxAttempts": 1000}
    )
    dynamodb.create_table(**request)
    active(dynamodb, name)
    try:
        dynamodb.put_item(TableName=name, Item={"pk": {"S": "new"}, "a": {"S": "A"}})
        eventually(
            lambda: dynamodb.scan(TableName=name, IndexName="by-a")["Items"],
            [{"pk": {"S": "new"}, "a": {"S": "A"}}],
        )
    finally:
        dynamodb.delete_table(TableName=name)

"""ReturnConsumedCapacity of tables with indexes: what an index costs is told by name.

An index costs a write only what changes in it: nothing when its row stays as it is, one row's size when the row is made,
changed or removed, and both rows' when the row moves to another key. Source: Amazon DynamoDB Developer Guide,
"Provisioned throughput considerations for global secondary indexes" and "... for local secondary indexes".
"""

from __future__ import annotations

from typing import Any

import pytest

from conftest import MakeTable, definitions, eventually, index
from errors import accepted
from raw import RawClient

Item = dict[str, Any]
Units = dict[str, float]


@pytest.fixture(scope="module")
def indexed(make_shared_table: MakeTable) -> str:
    """A table with two global and two local indexes."""
    return make_shared_table(
        "pk:S",
        "sk:S",
        AttributeDefinitions=definitions("pk:S", "sk:S", "a:S", "n:N"),
        GlobalSecondaryIndexes=[index("g-all", "a", "n"), index("g-keys", "a", projection="KEYS_ONLY")],
        LocalSecondaryIndexes=[
            index("l-keys", "pk", "n", projection="KEYS_ONLY"),
            index("l-x", "pk", "a", projection=["x"]),
        ],
    )


def told(raw: RawClient, operation: str, request: Item) -> Units:
    """Units by table and index, which have to add up to the total."""
    answer = accepted(raw.call(operation, {**request, "ReturnConsumedCapacity": "INDEXES"}))
    consumed: Any = answer["ConsumedCapacity"]
    if isinstance(consumed, list):
        (consumed,) = consumed
    return parts(consumed)


def parts(consumed: Item) -> Units:
    """Units by table and index of one ConsumedCapacity."""
    found: Units = {"table": consumed["Table"]["CapacityUnits"]}
    for kind in ("GlobalSecondaryIndexes", "LocalSecondaryIndexes"):
        for name, units in consumed.get(kind, {}).items():
            found[name] = units["CapacityUnits"]
    assert consumed["CapacityUnits"] == sum(found.values())
    return found


class TestWrites:
    """What a write costs, by what it changes in each index."""

    @pytest.fixture
    def item(self, key: str) -> Item:
        """An item that is in all indexes."""
        return {
            "pk": {"S": key},
            "sk": {"S": "1"},
            "a": {"S": f"a-{key}"},
            "n": {"N": "7"},
            "x": {"S": "X"},
            "y": {"S": "Y"},
        }

    def put(self, raw: RawClient, table: str, item: Item) -> Units:
        return told(raw, "PutItem", {"TableName": table, "Item": item})

    def test_a_new_item_is_written_to_each_index(self, raw: RawClient, indexed: str, item: Item) -> None:
        assert self.put(raw, indexed, item) == {
            "table": 1,
            "g-all": 1,
            "g-keys": 1,
            "l-keys": 1,
            "l-x": 1,
        }

    def test_an_item_that_is_in_no_index_costs_the_table_alone(
        self, raw: RawClient, indexed: str, item: Item
    ) -> None:
        assert self.put(raw, indexed, {"pk": item["pk"], "sk": item["sk"]}) == {"table": 1}
        assert self.put(raw, indexed, {"pk": item["pk"], "sk": item["sk"], "n": item["n"]}) == {
            "table": 1,
            "l-keys": 1,
        }

    @pytest.mark.parametrize(
        ("change", "expected"),
        [
            ({}, {}),
            ({"y": {"S": "new"}}, {"g-all": 1}),
            ({"x": {"S": "new"}}, {"g-all": 1, "l-x": 1}),
            ({"n": {"N": "8"}}, {"g-all": 2, "l-keys": 2}),
            ({"a": {"S": "elsewhere"}}, {"g-all": 2, "g-keys": 2, "l-x": 2}),
            ({"a": None}, {"g-all": 1, "g-keys": 1, "l-x": 1}),
            ({"n": None}, {"g-all": 1, "l-keys": 1}),
            ({"y": None}, {"g-all": 1}),
        ],
    )
    def test_a_change_costs_where_something_changes(
        self, raw: RawClient, indexed: str, item: Item, change: Item, expected: Units
    ) -> None:
        self.put(raw, indexed, item)
        new = {name: value for name, value in {**item, **change}.items() if value is not None}
        assert self.put(raw, indexed, new) == {"table": 1, **expected}

    def test_an_update_costs_as_a_put(self, raw: RawClient, indexed: str, item: Item) -> None:
        self.put(raw, indexed, item)
        request = {
            "TableName": indexed,
            "Key": {"pk": item["pk"], "sk": item["sk"]},
            "UpdateExpression": "SET n = n + :one",
            "ExpressionAttributeValues": {":one": {"N": "1"}},
        }
        assert told(raw, "UpdateItem", request) == {"table": 1, "g-all": 2, "l-keys": 2}

    def test_a_deletion_is_a_deletion_in_each_index(self, raw: RawClient, indexed: str, item: Item) -> None:
        self.put(raw, indexed, item)
        request = {"TableName": indexed, "Key": {"pk": item["pk"], "sk": item["sk"]}}
        expected = {"table": 1, "g-all": 1, "g-keys": 1, "l-keys": 1, "l-x": 1}
        assert told(raw, "DeleteItem", request) == expected
        assert told(raw, "DeleteItem", request) == {"table": 1}

    def test_a_row_is_as_large_as_what_is_projected(self, raw: RawClient, indexed: str, item: Item) -> None:
        large = {**item, "y": {"S": "Y" * 2900}}
        expected = {"table": 3, "g-all": 3, "g-keys": 1, "l-keys": 1, "l-x": 1}
        assert self.put(raw, indexed, large) == expected
        # The larger of both rows counts, as in the table.
        assert self.put(raw, indexed, item) == {"table": 3, "g-all": 3}

    def test_the_total_has_all_of_it(self, raw: RawClient, indexed: str, item: Item) -> None:
        request = {"TableName": indexed, "Item": item, "ReturnConsumedCapacity": "TOTAL"}
        consumed: Any = accepted(raw.call("PutItem", request))["ConsumedCapacity"]
        assert consumed == {"TableName": indexed, "CapacityUnits": 5}

    def test_a_batch_adds_up(self, raw: RawClient, indexed: str, item: Item) -> None:
        items = [{**item, "sk": {"S": str(number)}} for number in range(3)]
        requests = [{"PutRequest": {"Item": one}} for one in items]
        found = told(raw, "BatchWriteItem", {"RequestItems": {indexed: requests}})
        assert found == {"table": 3, "g-all": 3, "g-keys": 3, "l-keys": 3, "l-x": 3}


class TestReads:
    """What reading an index costs."""

    @pytest.fixture(scope="class", autouse=True)
    @classmethod
    def items(cls, dynamodb: Any, indexed: str) -> None:
        """Ten items of about 2.2 KB, whose keys are small."""
        for number in range(10):
            dynamodb.put_item(
                TableName=indexed,
                Item={
                    "pk": {"S": "reads"},
                    "sk": {"S": str(number)},
                    "a": {"S": "reads"},
                    "n": {"N": str(number)},
                    "x": {"S": "X"},
                    "y": {"S": "Y" * 2200},
                },
            )
        for own in ("g-all", "g-keys"):
            request = {
                "TableName": indexed,
                "IndexName": own,
                "KeyConditionExpression": "a = :a",
                "ExpressionAttributeValues": {":a": {"S": "reads"}},
            }
            eventually(lambda: dynamodb.query(**request)["Count"], 10)

    def query(self, raw: RawClient, table: str, own: str, **more: Any) -> Units:
        partition = "pk" if own.startswith("l-") else "a"
        request = {
            "TableName": table,
            "IndexName": own,
            "KeyConditionExpression": f"{partition} = :v",
            "ExpressionAttributeValues": {":v": {"S": "reads"}},
            **more,
        }
        return told(raw, "Query", request)

    def test_a_row_is_as_large_as_what_is_projected(self, raw: RawClient, indexed: str) -> None:
        # 10 items are about 22 KB, or six blocks of 4 KB.
        assert self.query(raw, indexed, "g-all") == {"table": 0, "g-all": 3}
        assert self.query(raw, indexed, "g-keys") == {"table": 0, "g-keys": 0.5}
        assert self.query(raw, indexed, "l-keys") == {"table": 0, "l-keys": 0.5}
        assert self.query(raw, indexed, "l-x") == {"table": 0, "l-x": 0.5}

    def test_strong_consistency_costs_twice(self, raw: RawClient, indexed: str) -> None:
        assert self.query(raw, indexed, "l-keys", ConsistentRead=True) == {"table": 0, "l-keys": 1}

    @pytest.mark.parametrize(("consistent", "factor"), [(False, 1), (True, 2)])
    def test_what_is_fetched_costs_the_table_for_each_item(
        self, raw: RawClient, indexed: str, consistent: bool, factor: int
    ) -> None:
        found = self.query(
            raw, indexed, "l-keys", Select="ALL_ATTRIBUTES", ConsistentRead=consistent, Limit=4
        )
        assert found == {"table": 2 * factor, "l-keys": 0.5 * factor}

    @pytest.mark.differs_from_dynamodb_local("finds nothing in an index for nothing")
    def test_nothing_found_costs_a_block(self, raw: RawClient, indexed: str) -> None:
        request = {
            "TableName": indexed,
            "IndexName": "g-all",
            "KeyConditionExpression": "a = :v",
            "ExpressionAttributeValues": {":v": {"S": "nobody's"}},
        }
        assert told(raw, "Query", request) == {"table": 0, "g-all": 0.5}

    def test_a_scan_costs_as_a_query(self, raw: RawClient, indexed: str) -> None:
        found = told(raw, "Scan", {"TableName": indexed, "IndexName": "g-keys", "Select": "COUNT"})
        assert found["table"] == 0
        assert found["g-keys"] > 0
        assert found.keys() == {"table", "g-keys"}

    def test_a_read_of_the_table_names_no_index(self, raw: RawClient, indexed: str) -> None:
        request = {"TableName": indexed, "Key": {"pk": {"S": "reads"}, "sk": {"S": "1"}}}
        assert told(raw, "GetItem", request) == {"table": 0.5}

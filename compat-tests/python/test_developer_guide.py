"""Statements of the Amazon DynamoDB Developer Guide, page by page, that no other file is about."""

from __future__ import annotations

from typing import Any

import pytest

from conftest import MakeTable, definitions, index
from errors import VALIDATION, refused
from raw import Answer, RawClient

Item = dict[str, Any]

MEGABYTE = 1024 * 1024
ITEM_MOST = 400 * 1024
TOO_LARGE = "Item size has exceeded the maximum allowed size"
INVALID = "One or more parameter values were invalid: "


def put(raw: RawClient, table: str, key: str, **more: Any) -> Answer:
    """The answer to a PutItem with expressions."""
    return raw.call("PutItem", {"TableName": table, "Item": {"pk": {"S": key}}, **more})


@pytest.fixture(scope="module")
def indexed(make_shared_table: MakeTable) -> str:
    """A table with an index that has whole items and one that has keys only."""
    return make_shared_table(
        "pk:S",
        "sk:S",
        AttributeDefinitions=definitions("pk:S", "sk:S", "a:S", "b:S"),
        LocalSecondaryIndexes=[
            index("whole", "pk", "a"),
            index("keys", "pk", "b", projection="KEYS_ONLY"),
        ],
    )


@pytest.fixture(scope="module")
def arn(dynamodb: Any, make_shared_table: MakeTable) -> str:
    """The ARN of a table for tags."""
    described = dynamodb.describe_table(TableName=make_shared_table())["Table"]
    return str(described["TableArn"])


@pytest.fixture(scope="module")
def stored(dynamodb: Any, make_shared_table: MakeTable) -> str:
    """A table with an item."""
    table = make_shared_table()
    dynamodb.put_item(TableName=table, Item={"pk": {"S": "a"}, "n": {"N": "1"}})
    return table


@pytest.fixture(scope="module")
def orders(dynamodb: Any, make_shared_table: MakeTable) -> str:
    """The table of orders of the examples."""
    table = make_shared_table("OrderID:N")
    watched = {"M": {"FireStick": {"M": {"DateWatched": {"L": [{"S": "12/13/19"}]}}}}}
    more: dict[int, Item] = {1: {"Address": {"S": "some address"}}, 2: {"Devices": watched}}
    for number, total in ((1, 100), (2, 200), (3, 300), (4, 600)):
        item = {"OrderID": {"N": str(number)}, "Total": {"N": str(total)}, **more.get(number, {})}
        dynamodb.put_item(TableName=table, Item=item)
    return table


class TestQuotasOfExpressions:
    """Quotas, "Expression parameters": the maximum length of all substitution variables in an expression is 2 MB."""

    def values(self, raw: RawClient, table: str, key: str, *sizes: int, **more: Any) -> Answer:
        values = {f":v{place}": {"S": "x" * size} for place, size in enumerate(sizes)}
        names = ", ".join(values)
        condition = f"attribute_not_exists(q) OR q IN ({names})"
        return put(raw, table, key, ConditionExpression=condition, ExpressionAttributeValues=values, **more)

    def test_values_have_two_megabytes(self, raw: RawClient, table: str, key: str) -> None:
        refused(
            self.values(raw, table, key, MEGABYTE, MEGABYTE), "ExpressionAttributeValues exceeds max size"
        )

    def test_names_have_two_megabytes(self, raw: RawClient, table: str, key: str) -> None:
        names = {f"#n{place}": "x" * 65_000 for place in range(33)}
        condition = " AND ".join(f"attribute_not_exists({name})" for name in names)
        answer = put(raw, table, key, ConditionExpression=condition, ExpressionAttributeNames=names)
        refused(answer, "ExpressionAttributeNames exceeds max size")

    def test_names_and_values_have_two_megabytes_together(self, raw: RawClient, table: str, key: str) -> None:
        names = {f"#n{place}": "x" * 65_000 for place in range(17)}
        condition = " AND ".join(f"attribute_not_exists({name})" for name in names)
        answer = put(
            raw,
            table,
            key,
            ConditionExpression=f"({condition}) OR q = :v",
            ExpressionAttributeNames=names,
            ExpressionAttributeValues={":v": {"S": "x" * 1_000_000}},
        )
        refused(
            answer,
            "Combined size of ExpressionAttributeNames and ExpressionAttributeValues exceeds max size",
        )

    @pytest.mark.differs_from_dynamodb_local("it does not say how large the expression is")
    def test_an_expression_has_one_megabyte_with_its_values(
        self, raw: RawClient, table: str, key: str
    ) -> None:
        text = len("attribute_not_exists(q) OR q IN (:v0, :v1)")
        most = MEGABYTE - text
        assert self.values(raw, table, key, most - 5, 5).status == 200
        refused(
            self.values(raw, table, key, most - 5, 6),
            "Invalid ConditionExpression: Expression size has exceeded the maximum allowed size; expression "
            f"size: {MEGABYTE + 1}",
        )


class TestItemsWithLocalIndexes:
    """Quotas, "Item size for tables with local secondary indexes": 400 KB for an item and its row in an index."""

    def item(self, key: str, size: int, **more: Any) -> Item:
        """An item of this size."""
        item: Item = {"pk": {"S": key}, "sk": {"S": "s"}, "x": {"S": ""}, **more}
        known = sum(len(name) + len(value["S"]) for name, value in item.items())
        return {**item, "x": {"S": "x" * (size - known)}}

    def test_an_item_may_be_as_large_as_half_of_it_where_it_is_projected(
        self, raw: RawClient, indexed: str, key: str
    ) -> None:
        a = {"a": {"S": "a"}}
        half = {"TableName": indexed, "Item": self.item(key, ITEM_MOST // 2, **a)}
        assert raw.call("PutItem", half).status == 200
        more = {"TableName": indexed, "Item": self.item(key, ITEM_MOST // 2 + 1, **a)}
        refused(raw.call("PutItem", more), TOO_LARGE)
        requests = {indexed: [{"PutRequest": {"Item": more["Item"]}}]}
        refused(raw.call("BatchWriteItem", {"RequestItems": requests}), TOO_LARGE)

    def test_it_may_be_larger_where_it_is_not(self, raw: RawClient, indexed: str, key: str) -> None:
        whole = {"TableName": indexed, "Item": self.item(key, ITEM_MOST)}
        assert raw.call("PutItem", whole).status == 200
        keys = {"TableName": indexed, "Item": self.item(key, ITEM_MOST - 500, b={"S": "b"})}
        assert raw.call("PutItem", keys).status == 200
        keys["Item"] = self.item(key, ITEM_MOST, b={"S": "b"})
        refused(raw.call("PutItem", keys), TOO_LARGE)

    @pytest.mark.differs_from_dynamodb_local("it does not look at updates and refuses transactions at once")
    def test_it_does_not_grow_either(self, raw: RawClient, indexed: str, key: str) -> None:
        large = self.item(key, ITEM_MOST // 2 + 1)
        assert raw.call("PutItem", {"TableName": indexed, "Item": large}).status == 200
        update = {
            "TableName": indexed,
            "Key": {"pk": large["pk"], "sk": large["sk"]},
            "UpdateExpression": "SET a = :a",
            "ExpressionAttributeValues": {":a": {"S": "a"}},
        }
        refused(raw.call("UpdateItem", update), "Item size to update has exceeded the maximum allowed size")
        put = {"Put": {"TableName": indexed, "Item": {**large, "a": {"S": "a"}}}}
        (reason,) = raw.call("TransactWriteItems", {"TransactItems": [put]}).json["CancellationReasons"]
        assert reason == {"Code": "ValidationError", "Message": TOO_LARGE}


@pytest.mark.differs_from_dynamodb_local("it does not support tags at all")
class TestTags:
    """Tagging restrictions in DynamoDB."""

    def test_keys_and_values_are_case_sensitive_and_have_few_signs(self, dynamodb: Any, arn: str) -> None:
        tags = [
            {"Key": "Größe 1", "Value": "+ - = . _ : /"},
            {"Key": "size", "Value": "a"},
            {"Key": "Size", "Value": "A"},
        ]
        dynamodb.tag_resource(ResourceArn=arn, Tags=tags)
        found = dynamodb.list_tags_of_resource(ResourceArn=arn)["Tags"]
        assert sorted(found, key=lambda tag: str(tag["Key"])) == sorted(tags, key=lambda tag: str(tag["Key"]))

    @pytest.mark.parametrize("tag", [{"Key": "a*", "Value": "b"}, {"Key": "a", "Value": "b?"}])
    def test_other_signs_are_refused(self, raw: RawClient, arn: str, tag: Item) -> None:
        answer = raw.call("TagResource", {"ResourceArn": arn, "Tags": [tag]})
        assert (answer.status, answer.type) == (400, VALIDATION)


class TestMusic:
    """The examples of "PartiQL update, insert and delete statements", one after the other."""

    KEY = "WHERE Artist='Acme Band' AND SongTitle='PartiQL Rocks'"
    ITEM: Item = {"Artist": {"S": "Acme Band"}, "SongTitle": {"S": "PartiQL Rocks"}}
    GRAMMYS: Item = {"M": {"Grammys": {"L": [{"N": "2020"}, {"N": "2018"}]}}}

    @pytest.fixture
    def music(self, make_table: MakeTable) -> str:
        return make_table("Artist:S", "SongTitle:S")

    def run(self, client: Any, music: str, statement: str) -> list[Item]:
        items: list[Item] = client.execute_statement(Statement=statement.replace('"Music"', f'"{music}"'))[
            "Items"
        ]
        return items

    @pytest.mark.differs_from_dynamodb_local("it names the exception DuplicateItem")
    def test_they_do_what_they_say(self, dynamodb: Any, music: str) -> None:
        def run(statement: str) -> list[Item]:
            return self.run(dynamodb, music, statement)

        insert = "INSERT INTO \"Music\" value {'Artist' : 'Acme Band','SongTitle' : 'PartiQL Rocks'}"
        assert run(insert) == []
        with pytest.raises(dynamodb.exceptions.DuplicateItemException):
            run(insert)
        awards = (
            f"UPDATE \"Music\" \nSET AwardsWon=1 \nSET AwardDetail={{'Grammys':[2020, 2018]}} \n{self.KEY}"
        )
        assert run(f"{awards}\nRETURNING ALL OLD *") == [self.ITEM]
        (new,) = run(f"{awards} RETURNING ALL NEW *")
        assert new == {**self.ITEM, "AwardsWon": {"N": "1"}, "AwardDetail": self.GRAMMYS}
        grammys = "AwardDetail.Grammys"
        run(f'UPDATE "Music" SET {grammys} =list_append({grammys},[2016]) {self.KEY}')
        assert self.read(dynamodb, music)["AwardDetail"]["M"]["Grammys"]["L"][2] == {"N": "2016"}
        run(f'UPDATE "Music" REMOVE {grammys}[2] {self.KEY}')
        run(f'UPDATE "Music" SET AwardDetail.BillBoard=[2020] {self.KEY}')
        run(f"UPDATE \"Music\" SET BandMembers =<<'member1', 'member2'>> {self.KEY}")
        run(f"UPDATE \"Music\" SET BandMembers =set_add(BandMembers, <<'newbandmember'>>) {self.KEY}")
        read = self.read(dynamodb, music)
        assert read["AwardDetail"]["M"] == {**self.GRAMMYS["M"], "BillBoard": {"L": [{"N": "2020"}]}}
        assert sorted(read["BandMembers"]["SS"]) == ["member1", "member2", "newbandmember"]
        assert run('DELETE FROM "Music" WHERE "Artist" = \'nobody\' AND "SongTitle" = \'none\'') == []
        with pytest.raises(dynamodb.exceptions.ConditionalCheckFailedException):
            run(f'DELETE FROM "Music" {self.KEY} AND AwardsWon = 7')
        assert run(f'DELETE FROM "Music" {self.KEY} RETURNING ALL OLD *') == [read]

    def read(self, client: Any, music: str) -> Item:
        item: Item = client.get_item(TableName=music, Key=self.ITEM, ConsistentRead=True)["Item"]
        return item

    def test_no_item_meets_a_condition(self, dynamodb: Any, music: str) -> None:
        with pytest.raises(dynamodb.exceptions.ConditionalCheckFailedException):
            self.run(dynamodb, music, f'UPDATE "Music" SET AwardsWon=1 {self.KEY} AND Awards IS MISSING')


class TestExists:
    """Using the EXISTS function: the SELECT must specify a full primary key and one other condition."""

    def ask(self, raw: RawClient, table: str, where: str) -> Answer:
        statement = f'EXISTS(SELECT * FROM "{table}" {where})'
        return raw.call("ExecuteTransaction", {"TransactStatements": [{"Statement": statement}]})

    @pytest.mark.parametrize(
        "where",
        ["", "WHERE pk = 'a'", "WHERE n = 1", "WHERE pk = 'a' OR n = 1", "WHERE pk IN ['a'] AND n = 1"],
    )
    def test_without_it_is_refused(self, raw: RawClient, stored: str, where: str) -> None:
        refused(
            self.ask(raw, stored, where),
            "Validation failed in TransactStatements[0]: EXISTS() must contain a single item read with "
            "additional condition",
        )

    @pytest.mark.parametrize(
        ("where", "holds"),
        [
            ("WHERE pk = 'a' AND n = 1", True),
            ("WHERE pk = 'a' AND (n = 2 OR n = 1)", True),
            ("WHERE pk = 'a' AND q IS MISSING", True),
            ("WHERE pk = 'a' AND n = 2", False),
            # There is no item that it could be missing of.
            ("WHERE pk = 'b' AND q IS MISSING", False),
        ],
    )
    def test_it_holds_for_an_item_that_is_there(
        self, raw: RawClient, stored: str, where: str, holds: bool
    ) -> None:
        answer = self.ask(raw, stored, where)
        if holds:
            assert answer.json == {"Responses": []}
        else:
            assert [one["Code"] for one in answer.json["CancellationReasons"]] == ["ConditionalCheckFailed"]


ORDERS = [
    ("WHERE OrderID = 1", [1]),
    ("WHERE OrderID = 1 AND Address='some address'", [1]),
    ("WHERE OrderID = 1 OR OrderID = 2", [1, 2]),
    ("WHERE OrderID IN [1, 2, 3] ORDER BY OrderID DESC", [3, 2, 1]),
    ("WHERE OrderID > 1", [2, 3, 4]),
    ("WHERE OrderID = 2 OR Address='some address'", [1, 2]),
    ("WHERE Total > 500", [4]),
    ("WHERE Total IN [300, 600]", [3, 4]),
    ("WHERE Total BETWEEN 200 AND 600", [2, 3, 4]),
    ("WHERE OrderID=1 AND contains(\"Address\", 'some')", [1]),
    ('WHERE size("Address") >10', [1]),
    ("WHERE Address IS MISSING", [2, 3, 4]),
    ("WHERE Total IS NOT NULL AND NOT OrderID IN [1, 2]", [3, 4]),
    ("WHERE Devices.FireStick.DateWatched[0] >= '12/12/19'", [2]),
]


class TestOrders:
    """The examples of "PartiQL select statements" and of the pages about functions."""

    @pytest.mark.parametrize(("where", "numbers"), ORDERS)
    def test_they_find_what_they_ask_for(
        self, dynamodb: Any, orders: str, where: str, numbers: list[int]
    ) -> None:
        items = dynamodb.execute_statement(Statement=f'SELECT OrderID FROM "{orders}" {where}')["Items"]
        found = [int(item["OrderID"]["N"]) for item in items]
        assert found == numbers if "ORDER BY" in where else sorted(found) == numbers

    def test_a_document_path_is_shown_by_its_last_name(self, dynamodb: Any, orders: str) -> None:
        select = f'SELECT Devices.FireStick.DateWatched[0] FROM "{orders}" WHERE OrderID = 2'
        (item,) = dynamodb.execute_statement(Statement=select)["Items"]
        assert item == {"DateWatched[0]": {"S": "12/13/19"}}

    @pytest.mark.parametrize(("attribute", "most"), [("OrderID", 50), ("Total", 100)])
    def test_in_takes_50_values_of_the_key_and_100_of_others(
        self, dynamodb: Any, raw: RawClient, orders: str, attribute: str, most: int
    ) -> None:
        def select(count: int) -> str:
            values = ", ".join(str(number) for number in range(count))
            return f'SELECT * FROM "{orders}" WHERE {attribute} IN [{values}]'

        dynamodb.execute_statement(Statement=select(most))
        answer = raw.call("ExecuteStatement", {"Statement": select(most + 1)})
        if attribute == "Total":
            assert (answer.status, answer.type) == (400, VALIDATION)


def test_strings_are_compared_by_their_bytes(dynamodb: Any, table: str, key: str) -> None:
    """Naming rules and data types: `a` is greater than `A`, and `¿` (0xC2BF) is greater than `z` (0x7A)."""
    dynamodb.put_item(TableName=table, Item={"pk": {"S": key}, "a": {"S": "a"}, "q": {"S": "¿"}})
    dynamodb.update_item(
        TableName=table,
        Key={"pk": {"S": key}},
        ConditionExpression="a > :A AND q > :z AND NOT q < a",
        ExpressionAttributeValues={":A": {"S": "A"}, ":z": {"S": "z"}},
    )


def test_names_are_case_sensitive(dynamodb: Any, raw: RawClient, make_table: MakeTable) -> None:
    """Naming rules and data types: all names are case-sensitive."""
    table = make_table()
    item = {"pk": {"S": "k"}, "a": {"N": "1"}, "A": {"N": "2"}, "Pk": {"N": "3"}}
    dynamodb.put_item(TableName=table, Item=item)
    assert dynamodb.get_item(TableName=table, Key={"pk": {"S": "k"}}, ConsistentRead=True)["Item"] == item
    answer = raw.call("PutItem", {"TableName": table, "Item": {"PK": {"S": "k"}}})
    refused(answer, f"{INVALID}Missing the key pk in the item")
    assert raw.call("DescribeTable", {"TableName": table.upper()}).status == 400


@pytest.mark.differs_from_dynamodb_local("it counts a unit for the whole table")
def test_three_items_of_a_transaction_cost_six_units(dynamodb: Any, table: str, key: str) -> None:
    """Transactions, "Capacity management": two units for each of three items of 500 bytes."""
    items = [{"pk": {"S": f"{key}{number}"}, "x": {"S": "x" * 450}} for number in range(3)]
    puts = [{"Put": {"TableName": table, "Item": item}} for item in items]
    written = dynamodb.transact_write_items(TransactItems=puts, ReturnConsumedCapacity="TOTAL")
    assert [one["CapacityUnits"] for one in written["ConsumedCapacity"]] == [6.0]
    gets = [{"Get": {"TableName": table, "Key": {"pk": item["pk"]}}} for item in items]
    read = dynamodb.transact_get_items(TransactItems=gets, ReturnConsumedCapacity="TOTAL")
    assert [one["CapacityUnits"] for one in read["ConsumedCapacity"]] == [6.0]


@pytest.mark.differs_from_dynamodb_local("it counts the actions of all entries together")
def test_one_update_of_an_index_has_one_action(raw: RawClient, make_table: MakeTable) -> None:
    """API reference, UpdateTable: "for each index in the array, you can request one action"."""
    table = make_table(
        "pk:S", AttributeDefinitions=definitions("pk:S", "a:S"), GlobalSecondaryIndexes=[index("by-a", "a")]
    )
    both = {"Create": index("by-b", "b"), "Delete": {"IndexName": "by-a"}}
    request = {
        "TableName": table,
        "AttributeDefinitions": definitions("pk:S", "b:S"),
        "GlobalSecondaryIndexUpdates": [both],
    }
    answer = raw.call("UpdateTable", request)
    refused(
        answer,
        f"{INVALID}Only one global secondary index action is allowed per GlobalSecondaryIndexUpdate object",
    )

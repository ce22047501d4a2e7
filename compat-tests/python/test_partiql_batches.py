"""BatchExecuteStatement: up to 25 statements, each for itself."""

from __future__ import annotations

from typing import Any

import pytest

from conftest import unused_name
from errors import accepted, refused
from raw import RawClient

Item = dict[str, Any]


def statement(text: str, *parameters: Item, **more: Any) -> dict[str, Any]:
    """One statement of a batch."""
    return {"Statement": text, **({"Parameters": list(parameters)} if parameters else {}), **more}


def ask(raw: RawClient, *statements: dict[str, Any] | str, **more: Any) -> Any:
    """The raw answer of a batch."""
    batch = [statement(one) if isinstance(one, str) else one for one in statements]
    return raw.call("BatchExecuteStatement", {"Statements": batch, **more})


def responses(raw: RawClient, *statements: dict[str, Any] | str) -> list[dict[str, Any]]:
    """What has become of the statements."""
    answer: Any = accepted(ask(raw, *statements))
    found: list[dict[str, Any]] = answer["Responses"]
    return found


def test_items_are_read_in_the_order_of_the_statements(
    dynamodb: Any, raw: RawClient, ranged: str, key: str
) -> None:
    for sort in "ab":
        dynamodb.put_item(TableName=ranged, Item={"pk": {"S": key}, "sk": {"S": sort}, "v": {"S": sort}})
    select = f'SELECT v FROM "{ranged}" WHERE pk = ? AND ? = sk'
    found = responses(
        raw,
        *(statement(select, {"S": key}, {"S": sort}, ConsistentRead=True) for sort in "bx"),
        f"SELECT * FROM \"{ranged}\" WHERE sk = 'a' AND pk = '{key}'",
    )
    assert found == [
        {"TableName": ranged, "Item": {"v": {"S": "b"}}},
        {"TableName": ranged},
        {"TableName": ranged, "Item": {"pk": {"S": key}, "sk": {"S": "a"}, "v": {"S": "a"}}},
    ]


def test_each_write_is_for_itself(dynamodb: Any, raw: RawClient, table: str, key: str) -> None:
    for name in ("there", "old"):
        dynamodb.put_item(TableName=table, Item={"pk": {"S": key + name}, "v": {"N": "1"}})
    found = responses(
        raw,
        f"UPDATE \"{table}\" SET v = v + 1 WHERE pk = '{key}there' RETURNING ALL NEW *",
        f"DELETE FROM \"{table}\" WHERE pk = '{key}old' RETURNING ALL OLD *",
        f"INSERT INTO \"{table}\" VALUE {{'pk': '{key}new'}}",
        f"UPDATE \"{table}\" SET v = 1 WHERE pk = '{key}nobody'",
        f"INSERT INTO \"{table}\" VALUE {{'v': 1}}",
        f'UPDATE "{table}" SET v = 1',
        f"INSERT INTO \"{unused_name()}\" VALUE {{'pk': '{key}'}}",
    )
    assert found[0] == {"TableName": table, "Item": {"pk": {"S": f"{key}there"}, "v": {"N": "2"}}}
    assert found[1] == {"TableName": table, "Item": {"pk": {"S": f"{key}old"}, "v": {"N": "1"}}}
    assert found[2] == {"TableName": table}
    assert found[3] == {
        "TableName": table,
        "Error": {"Code": "ConditionalCheckFailed", "Message": "The conditional request failed"},
    }
    assert found[4]["Error"] == {
        "Code": "ValidationError",
        "Message": "Key attribute should be present in the item: Key pk",
    }
    assert found[5]["Error"] == {
        "Code": "ValidationError",
        "Message": "Where clause does not contain a mandatory equality on all key attributes",
    }
    assert found[6]["Error"]["Code"] == "ResourceNotFound"
    assert "Item" in dynamodb.get_item(TableName=table, Key={"pk": {"S": f"{key}new"}})


def test_a_key_is_inserted_once(raw: RawClient, table: str, key: str) -> None:
    insert = f"INSERT INTO \"{table}\" VALUE {{'pk': '{key}'}}"
    assert responses(raw, insert) == [{"TableName": table}]
    assert responses(raw, insert) == [
        {
            "TableName": table,
            "Error": {"Code": "DuplicateItem", "Message": "Duplicate primary key exists in table"},
        }
    ]


@pytest.mark.differs_from_dynamodb_local("it does not show the item")
def test_the_item_that_fails_a_condition_is_shown(
    dynamodb: Any, raw: RawClient, table: str, key: str
) -> None:
    item = {"pk": {"S": key}, "v": {"N": "1"}}
    dynamodb.put_item(TableName=table, Item=item)
    update = f"UPDATE \"{table}\" SET v = 2 WHERE pk = '{key}' AND v = 7"
    found = responses(raw, statement(update, ReturnValuesOnConditionCheckFailure="ALL_OLD"))
    assert found[0]["Error"]["Item"] == item


@pytest.mark.parametrize(
    "where",
    ["", "WHERE pk = 'a'", "WHERE v = 1", "WHERE pk = 'a' AND sk > 'b'", "WHERE pk IN ['a'] AND sk = 'b'"],
)
def test_a_select_names_one_item(raw: RawClient, ranged: str, where: str) -> None:
    found = responses(raw, f'SELECT * FROM "{ranged}" {where}')
    assert found[0]["Error"]["Code"] == "ValidationError"


def test_what_is_no_statement_fails_for_itself(raw: RawClient, table: str, key: str) -> None:
    found = responses(raw, "SELEC", f"SELECT * FROM \"{table}\" WHERE pk = '{key}'")
    assert found[0]["Error"]["Code"] == "ValidationError"
    assert found[1] == {"TableName": table}


def test_reads_and_writes_are_not_mixed(raw: RawClient, table: str, key: str) -> None:
    refused(
        ask(
            raw,
            f"SELECT * FROM \"{table}\" WHERE pk = '{key}'",
            f"DELETE FROM \"{table}\" WHERE pk = 'other'",
        ),
        "Read and write requests together in the same batch is not supported.",
    )


def test_no_two_statements_are_about_one_item(raw: RawClient, table: str, key: str) -> None:
    select = f"SELECT * FROM \"{table}\" WHERE pk = '{key}'"
    writes = (
        f"DELETE FROM \"{table}\" WHERE pk = '{key}'",
        f"UPDATE \"{table}\" SET v = 1 WHERE pk = '{key}'",
    )
    for batch in ((select, select), writes):
        refused(ask(raw, *batch), "Provided list of item keys contains duplicates")


def test_25_statements_are_the_most(raw: RawClient, table: str, key: str) -> None:
    selects = [f"SELECT * FROM \"{table}\" WHERE pk = '{key}{number}'" for number in range(26)]
    assert responses(raw, *selects[:25]) == [{"TableName": table}] * 25
    refused(
        ask(raw, *selects),
        "1 validation error detected: Value '[...]' at 'statements' failed to satisfy constraint: Member must have length "
        "less than or equal to 25",
    )
    refused(
        ask(raw),
        "1 validation error detected: Value '[...]' at 'statements' failed to satisfy constraint: Member must have length "
        "greater than or equal to 1",
    )


@pytest.mark.differs_from_dynamodb_local("it counts nothing for statements")
def test_capacity_is_counted_by_table(raw: RawClient, table: str, ranged: str, key: str) -> None:
    answer: Any = accepted(
        ask(
            raw,
            f"INSERT INTO \"{table}\" VALUE {{'pk': '{key}a'}}",
            f"INSERT INTO \"{ranged}\" VALUE {{'pk': '{key}', 'sk': 'a'}}",
            f"INSERT INTO \"{table}\" VALUE {{'pk': '{key}b'}}",
            ReturnConsumedCapacity="TOTAL",
        )
    )
    assert answer["ConsumedCapacity"] == [
        {"TableName": table, "CapacityUnits": 2.0},
        {"TableName": ranged, "CapacityUnits": 1.0},
    ]

"""ExecuteTransaction: statements of PartiQL that all take place or none."""

from typing import Any

import pytest
from botocore.exceptions import ClientError
from conftest import MakeTable


def execute(dynamodb: Any, *statements: str, **more: Any) -> Any:
    return dynamodb.execute_transaction(
        TransactStatements=[{"Statement": statement} for statement in statements], **more
    )


def refusal(dynamodb: Any, *statements: str, **more: Any) -> tuple[str, str]:
    with pytest.raises(ClientError) as refused:
        execute(dynamodb, *statements, **more)
    error = refused.value.response["Error"]
    return error["Code"], error["Message"]


def reasons(dynamodb: Any, *statements: dict[str, Any]) -> Any:
    with pytest.raises(dynamodb.exceptions.TransactionCanceledException) as refused:
        dynamodb.execute_transaction(TransactStatements=list(statements))
    return refused.value.response["CancellationReasons"]


def test_reads_answer_in_their_order(dynamodb: Any, make_table: MakeTable) -> None:
    table = make_table()
    dynamodb.put_item(TableName=table, Item={"pk": {"S": "a"}, "n": {"N": "1"}, "m": {"N": "2"}})
    answer = execute(
        dynamodb,
        f"SELECT n FROM \"{table}\" WHERE pk = 'a'",
        f"SELECT * FROM \"{table}\" WHERE pk = 'b'",
    )
    assert answer["Responses"] == [{"Item": {"n": {"N": "1"}}}, {}]


def test_writes_take_place_together(dynamodb: Any, make_table: MakeTable) -> None:
    table, other = make_table(), make_table()
    dynamodb.put_item(TableName=table, Item={"pk": {"S": "a"}, "n": {"N": "1"}})
    dynamodb.put_item(TableName=table, Item={"pk": {"S": "c"}})
    execute(
        dynamodb,
        f"UPDATE \"{table}\" SET n = n + 1 WHERE pk = 'a'",
        f"INSERT INTO \"{other}\" VALUE {{'pk': 'b'}}",
        f"DELETE FROM \"{table}\" WHERE pk = 'c'",
        f"DELETE FROM \"{other}\" WHERE pk = 'nothing'",
    )
    assert dynamodb.scan(TableName=table)["Items"] == [{"pk": {"S": "a"}, "n": {"N": "2"}}]
    assert dynamodb.scan(TableName=other)["Items"] == [{"pk": {"S": "b"}}]


def test_parameters_belong_to_their_statements(dynamodb: Any, make_table: MakeTable) -> None:
    table = make_table()
    statement = f'INSERT INTO "{table}" VALUE {{\'pk\': ?}}'
    dynamodb.execute_transaction(
        TransactStatements=[{"Statement": statement, "Parameters": [{"S": key}]} for key in ("a", "b")]
    )
    assert dynamodb.scan(TableName=table)["Count"] == 2


def test_what_exists_is_checked_and_not_changed(dynamodb: Any, make_table: MakeTable) -> None:
    table = make_table()
    dynamodb.put_item(TableName=table, Item={"pk": {"S": "a"}, "n": {"N": "1"}})
    execute(
        dynamodb,
        f"EXISTS(SELECT * FROM \"{table}\" WHERE pk = 'a' AND n = 1)",
        f"INSERT INTO \"{table}\" VALUE {{'pk': 'b'}}",
    )
    assert dynamodb.scan(TableName=table)["Count"] == 2
    codes = reasons(
        dynamodb,
        {"Statement": f"INSERT INTO \"{table}\" VALUE {{'pk': 'c'}}"},
        {"Statement": f"EXISTS(SELECT * FROM \"{table}\" WHERE pk = 'a' AND n = 2)"},
    )
    assert [reason["Code"] for reason in codes] == ["None", "ConditionalCheckFailed"]
    assert dynamodb.scan(TableName=table)["Count"] == 2


def test_a_false_condition_shows_the_item_if_it_is_asked_for(dynamodb: Any, make_table: MakeTable) -> None:
    table = make_table()
    item = {"pk": {"S": "a"}, "n": {"N": "1"}}
    dynamodb.put_item(TableName=table, Item=item)
    statement = {
        "Statement": f"UPDATE \"{table}\" SET n = 5 WHERE pk = 'a' AND n = 9",
        "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
    }
    assert reasons(dynamodb, statement) == [
        {"Code": "ConditionalCheckFailed", "Message": "The conditional request failed", "Item": item}
    ]


@pytest.mark.differs_from_dynamodb_local("it says ValidationError")
def test_an_item_that_is_there_is_not_inserted(dynamodb: Any, make_table: MakeTable) -> None:
    table = make_table()
    dynamodb.put_item(TableName=table, Item={"pk": {"S": "a"}})
    inserts = [{"Statement": f"INSERT INTO \"{table}\" VALUE {{'pk': '{key}'}}"} for key in ("b", "a")]
    assert reasons(dynamodb, *inserts) == [
        {"Code": "None"},
        {"Code": "DuplicateItem", "Message": "Duplicate primary key exists in table"},
    ]
    assert dynamodb.scan(TableName=table)["Count"] == 1


def test_a_value_that_is_no_key_is_a_reason(dynamodb: Any, make_table: MakeTable) -> None:
    table = make_table()
    statement = {"Statement": f"INSERT INTO \"{table}\" VALUE {{'pk': 1}}"}
    assert [reason["Code"] for reason in reasons(dynamodb, statement)] == ["ValidationError"]


def test_reads_and_writes_do_not_mix(dynamodb: Any, make_table: MakeTable) -> None:
    table = make_table()
    assert refusal(
        dynamodb, f"SELECT * FROM \"{table}\" WHERE pk = 'a'", f"DELETE FROM \"{table}\" WHERE pk = 'b'"
    ) == (
        "ValidationException",
        "ExecuteTransaction API does not support both read and write operations in the same request.",
    )


def test_statements_are_about_different_items(dynamodb: Any, make_table: MakeTable) -> None:
    table = make_table()
    sentence = "Transaction request cannot include multiple operations on one item"
    read = f"SELECT * FROM \"{table}\" WHERE pk = 'a'"
    write = f"DELETE FROM \"{table}\" WHERE pk = 'a'"
    for statement in (read, write):
        assert refusal(dynamodb, statement, statement) == ("ValidationException", sentence)


def test_what_a_statement_may_not_be_is_said_with_its_place(dynamodb: Any, make_table: MakeTable) -> None:
    table = make_table()
    write = f"DELETE FROM \"{table}\" WHERE pk = 'a'"
    returning = f"UPDATE \"{table}\" SET n = 5 WHERE pk = 'b' RETURNING ALL NEW *"
    assert refusal(dynamodb, write, returning) == (
        "ValidationException",
        "Validation failed in TransactStatements[1]: RETURNING clause is not supported in ExecuteTransaction.",
    )
    assert refusal(dynamodb, f'SELECT * FROM "{table}" WHERE n = 5') == (
        "ValidationException",
        "Validation failed in TransactStatements[0]: Select statements within ExecuteTransaction must specify the "
        "primary key in the where clause.",
    )


def test_a_token_means_one_transaction(dynamodb: Any, make_table: MakeTable) -> None:
    table = make_table()
    dynamodb.put_item(TableName=table, Item={"pk": {"S": "a"}, "n": {"N": "1"}})
    add = f"UPDATE \"{table}\" SET n = n + 1 WHERE pk = 'a'"
    token = f"token-{table}"[:36]
    for _ in range(2):
        execute(dynamodb, add, ClientRequestToken=token)
    assert dynamodb.scan(TableName=table)["Items"][0]["n"] == {"N": "2"}
    code, _ = refusal(dynamodb, f"UPDATE \"{table}\" SET n = 9 WHERE pk = 'a'", ClientRequestToken=token)
    assert code == "IdempotentParameterMismatchException"


@pytest.mark.differs_from_dynamodb_local("it reports none")
def test_units_are_those_of_a_transaction(dynamodb: Any, make_table: MakeTable) -> None:
    table = make_table()
    answer = execute(
        dynamodb, f"INSERT INTO \"{table}\" VALUE {{'pk': 'a'}}", ReturnConsumedCapacity="TOTAL"
    )
    assert [(one["TableName"], one["CapacityUnits"]) for one in answer["ConsumedCapacity"]] == [(table, 2.0)]
    answer = execute(
        dynamodb, f"SELECT * FROM \"{table}\" WHERE pk = 'a'", ReturnConsumedCapacity="TOTAL"
    )
    assert [(one["TableName"], one["CapacityUnits"]) for one in answer["ConsumedCapacity"]] == [(table, 2.0)]

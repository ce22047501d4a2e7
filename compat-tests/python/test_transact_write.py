"""TransactWriteItems: all of up to 100 writes and checks take effect, or none, and what is said of each."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

from conftest import MakeTable, connect, definitions, eventually, index, keys_of, unused_name
from errors import BAD_TABLE_NAME, KEY_MISMATCH, accepted, not_found, refused
from raw import RawClient
from server import Target
from transactions import NONE, cancelled, check, delete, failed, invalid, key_of, put, update, write

Item = dict[str, Any]

SAME_ITEM = "Transaction request cannot include multiple operations on one item"
NO_ACTION = "Invalid Request: TransactWriteRequest should contain Delete or Put or Update request"
MANY_ACTIONS = "TransactItems can only contain one of Check, Put, Update or Delete"
ONE_ERROR = "1 validation error detected: Value "
NULL = " failed to satisfy constraint: Member must not be null"


def item(dynamodb: Any, table: str, key: str) -> Item | None:
    """The item of a key, or nothing."""
    found: Item | None = dynamodb.get_item(TableName=table, Key=key_of(key), ConsistentRead=True).get("Item")
    return found


def test_all_four_actions_over_two_tables_take_effect(dynamodb: Any, make_table: MakeTable) -> None:
    one, other = make_table(), make_table()
    for table, key in ((one, "changed"), (other, "gone"), (other, "checked")):
        dynamodb.put_item(TableName=table, Item={**key_of(key), "n": {"N": "1"}})
    answer = dynamodb.transact_write_items(
        TransactItems=[
            put(one, "new", {"v": {"S": "x"}}),
            update(one, "changed", "ADD n :n", {"n": {"N": "4"}}),
            delete(other, "gone", ConditionExpression="attribute_exists(n)"),
            check(other, "checked", "n = :n", ExpressionAttributeValues={":n": {"N": "1"}}),
            update(other, "made", "SET v = :v", {"v": {"BOOL": True}}),
        ]
    )
    assert answer.keys() == {"ResponseMetadata"}
    assert item(dynamodb, one, "new") == {**key_of("new"), "v": {"S": "x"}}
    assert item(dynamodb, one, "changed") == {**key_of("changed"), "n": {"N": "5"}}
    assert item(dynamodb, other, "gone") is None
    assert item(dynamodb, other, "checked") == {**key_of("checked"), "n": {"N": "1"}}
    assert item(dynamodb, other, "made") == {**key_of("made"), "v": {"BOOL": True}}


def test_a_false_condition_cancels_everything(dynamodb: Any, raw: RawClient, make_table: MakeTable) -> None:
    one, other = make_table(), make_table()
    dynamodb.put_item(TableName=one, Item={**key_of("old"), "n": {"N": "1"}})
    answer = write(
        raw,
        put(one, "new"),
        update(one, "old", "SET n = :n", {"n": {"N": "2"}}),
        check(other, "missing"),
        put(other, "new"),
    )
    cancelled(answer, NONE, NONE, failed(), NONE)
    assert item(dynamodb, one, "new") is None
    assert item(dynamodb, one, "old") == {**key_of("old"), "n": {"N": "1"}}
    assert item(dynamodb, other, "new") is None


def test_every_reason_is_told_in_the_order_of_the_actions(
    dynamodb: Any, raw: RawClient, table: str, key: str
) -> None:
    old = {**key_of(key), "n": {"N": "1"}}
    dynamodb.put_item(TableName=table, Item=old)
    absent: Item = {"ConditionExpression": "attribute_not_exists(pk)"}
    shown: Item = {"ReturnValuesOnConditionCheckFailure": "ALL_OLD"}
    cancelled(write(raw, put(table, f"{key}1"), put(table, key, **absent)), NONE, failed())
    cancelled(write(raw, put(table, key, **absent, **shown), put(table, f"{key}1")), failed(old), NONE)
    cancelled(write(raw, delete(table, key, **absent, **shown)), failed(old))
    cancelled(write(raw, check(table, key, "n = pk", **shown)), failed(old))
    cancelled(write(raw, update(table, key, "REMOVE n", **absent, **shown)), failed(old))
    cancelled(write(raw, check(table, f"{key}1", **shown), check(table, f"{key}2")), failed(), failed())


def test_boto3_raises_with_the_reasons(dynamodb: Any, table: str, key: str) -> None:
    with pytest.raises(dynamodb.exceptions.TransactionCanceledException) as raised:
        dynamodb.transact_write_items(TransactItems=[put(table, key), check(table, f"{key}1")])
    reasons = raised.value.response["CancellationReasons"]
    assert [reason["Code"] for reason in reasons] == ["None", "ConditionalCheckFailed"]
    assert "Message" not in reasons[0]


def test_an_update_reads_the_item_as_it_is_and_not_what_the_transaction_writes(
    raw: RawClient, dynamodb: Any, table: str, key: str
) -> None:
    dynamodb.put_item(TableName=table, Item={**key_of(key), "a": {"N": "1"}, "b": {"N": "2"}})
    accepted(write(raw, update(table, key, "SET a = b, b = a"), put(table, f"{key}1")))
    assert item(dynamodb, table, key) == {**key_of(key), "a": {"N": "2"}, "b": {"N": "1"}}


def test_two_actions_on_one_item_are_refused(raw: RawClient, table: str, key: str) -> None:
    refused(write(raw, put(table, key), put(table, key)), SAME_ITEM)
    absent = check(table, key, "attribute_not_exists(pk)")
    refused(write(raw, absent, delete(table, f"{key}1"), delete(table, key)), SAME_ITEM)


def test_equal_keys_of_two_tables_are_two_items(raw: RawClient, make_table: MakeTable, key: str) -> None:
    accepted(write(raw, put(make_table(), key), put(make_table(), key)))


def test_an_element_has_exactly_one_action(raw: RawClient, table: str, key: str) -> None:
    refused(write(raw, put(table, f"{key}1"), {}), NO_ACTION)
    refused(write(raw, {**put(table, key), **delete(table, f"{key}1")}), MANY_ACTIONS)


def test_100_actions_are_the_most_and_none_are_too_few(raw: RawClient, table: str, key: str) -> None:
    puts = [put(table, f"{key}{place}") for place in range(101)]
    accepted(write(raw, *puts[:100]))
    least = "Member must have length greater than or equal to 1"
    most = "Member must have length less than or equal to 100"
    refused(write(raw, *puts), f"{ONE_ERROR}'[...]' at 'transactItems' failed to satisfy constraint: {most}")
    refused(write(raw), f"{ONE_ERROR}'[...]' at 'transactItems' failed to satisfy constraint: {least}")
    refused(raw.call("TransactWriteItems", {}), f"{ONE_ERROR}null at 'transactItems'{NULL}")


@pytest.mark.parametrize(
    ("action", "member"),
    [
        ({"Put": {"Item": key_of("k")}}, "put.tableName"),
        ({"Delete": {"Key": key_of("k")}}, "delete.tableName"),
        pytest.param(
            {"Put": {"TableName": "t.t"}},
            "put.item",
            marks=pytest.mark.differs_from_dynamodb_local("it looks for the table first"),
        ),
        pytest.param(
            {"Update": {"TableName": "t.t", "Key": key_of("k")}},
            "update.updateExpression",
            marks=pytest.mark.differs_from_dynamodb_local("it takes an update without an expression"),
        ),
        pytest.param(
            {"ConditionCheck": {"TableName": "t.t", "Key": key_of("k")}},
            "conditionCheck.conditionExpression",
            marks=pytest.mark.differs_from_dynamodb_local("it looks for the table first"),
        ),
    ],
)
def test_what_an_action_needs_is_told_with_its_place(
    raw: RawClient, table: str, key: str, action: Item, member: str
) -> None:
    refused(
        write(raw, put(table, key), action), f"{ONE_ERROR}null at 'transactItems.2.member.{member}'{NULL}"
    )


def test_4_mb_are_the_most(raw: RawClient, table: str, key: str) -> None:
    puts = [put(table, f"{key}{place:02}", {"v": {"S": "x" * 390_000}}) for place in range(11)]
    size = 11 * (390_000 + len(key) + len("pk00v"))
    refused(write(raw, *puts), f"Transaction payload size cannot exceed 4MB. Payload Size: {size}")
    accepted(write(raw, *puts[:10]))


def test_expressions_are_checked_before_anything_is_done(
    raw: RawClient, dynamodb: Any, table: str, key: str
) -> None:
    first = put(table, key)
    refused(
        write(raw, first, put(table, f"{key}1", ConditionExpression="pk =")),
        'Invalid ConditionExpression: Syntax error; token: "<EOF>", near: "="',
    )
    refused(
        write(raw, first, put(table, f"{key}1", ExpressionAttributeValues={":a": {"S": "x"}})),
        "ExpressionAttributeValues can only be specified when using expressions: ConditionExpression is null",
    )
    refused(
        write(raw, first, check(table, f"{key}1", ExpressionAttributeNames={"#a": "x"})),
        "Value provided in ExpressionAttributeNames unused in expressions: keys: {#a}",
    )
    refused(
        write(raw, first, put(table, f"{key}1", {"n": {"N": "abc"}})),
        "The parameter cannot be converted to a numeric value: abc",
    )
    refused(
        write(raw, first, put(table, f"{key}1", {"v": {"S": "x" * 410_000}})),
        "Item size has exceeded the maximum allowed size",
    )
    refused(write(raw, first, put("x", f"{key}1")), BAD_TABLE_NAME)
    not_found(write(raw, first, put(unused_name(), f"{key}1")))
    assert item(dynamodb, table, key) is None


def test_a_key_that_is_empty_refuses_the_request(raw: RawClient, table: str, key: str) -> None:
    sentence = (
        "One or more parameter values are not valid. The AttributeValue for a key attribute cannot contain "
        "an empty string value. Key: pk"
    )
    refused(write(raw, put(table, key), put(table, "")), sentence)
    refused(write(raw, put(table, key), delete(table, "")), sentence)


@pytest.mark.differs_from_dynamodb_local("it words the reasons in its own way, or refuses the request")
def test_what_does_not_fit_the_table_is_a_reason(raw: RawClient, table: str, key: str) -> None:
    number = {"pk": {"N": "1"}}
    mismatch = "One or more parameter values were invalid: Type mismatch for key pk expected: S actual: N"
    missing = "One or more parameter values were invalid: Missing the key pk in the item"
    first = put(table, key)
    cancelled(write(raw, first, {"Put": {"TableName": table, "Item": number}}), NONE, invalid(mismatch))
    cancelled(write(raw, {"Delete": {"TableName": table, "Key": number}}, first), invalid(KEY_MISMATCH), NONE)
    cancelled(
        write(raw, first, {"Put": {"TableName": table, "Item": {"v": {"N": "1"}}}}), NONE, invalid(missing)
    )


def test_a_key_cannot_be_changed(raw: RawClient, table: str, key: str) -> None:
    sentence = (
        "One or more parameter values were invalid: Cannot update attribute pk. "
        "This attribute is part of the key"
    )
    # DynamoDB Local forgets the reasons of other actions here.
    cancelled(write(raw, update(table, key, "SET pk = :v", {"v": {"S": "x"}})), invalid(sentence))


@pytest.mark.differs_from_dynamodb_local("it refuses the request instead of cancelling the transaction")
@pytest.mark.parametrize(
    ("expression", "sentence"),
    [
        ("SET n = s + :n", "An operand in the update expression has an incorrect data type"),
        ("SET m.x.y = :n", "The document path provided in the update expression is invalid for update"),
        (
            "SET n = nope + :n",
            "The provided expression refers to an attribute that does not exist in the item",
        ),
    ],
)
def test_an_update_that_does_not_fit_its_item_is_a_reason(
    raw: RawClient, dynamodb: Any, table: str, key: str, expression: str, sentence: str
) -> None:
    dynamodb.put_item(TableName=table, Item={**key_of(key), "s": {"S": "x"}, "m": {"M": {}}})
    answer = write(raw, put(table, f"{key}1"), update(table, key, expression, {"n": {"N": "1"}}))
    cancelled(answer, NONE, invalid(sentence))
    assert item(dynamodb, table, f"{key}1") is None


def test_an_update_that_makes_its_item_too_large_is_a_reason(
    raw: RawClient, dynamodb: Any, table: str, key: str
) -> None:
    dynamodb.put_item(TableName=table, Item={**key_of(key), "a": {"S": "x" * 300_000}})
    answer = write(raw, put(table, f"{key}1"), update(table, key, "SET b = :v", {"v": {"S": "x" * 300_000}}))
    cancelled(answer, NONE, invalid("Item size to update has exceeded the maximum allowed size"))
    assert item(dynamodb, table, f"{key}1") is None


def test_unknown_choices_are_refused_by_the_service_model(raw: RawClient, table: str, key: str) -> None:
    enum = "failed to satisfy constraint: Member must satisfy enum value set:"
    if raw.target.is_dynamodb_local:
        pytest.skip("DynamoDB Local takes any text for these members")
    refused(
        write(raw, put(table, key, ReturnValuesOnConditionCheckFailure="SOME")),
        f"{ONE_ERROR}'SOME' at 'transactItems.1.member.put.returnValuesOnConditionCheckFailure' {enum} "
        "[ALL_OLD, NONE]",
    )
    refused(
        write(raw, put(table, key), ReturnConsumedCapacity="SOME"),
        f"{ONE_ERROR}'SOME' at 'returnConsumedCapacity' {enum} [INDEXES, TOTAL, NONE]",
    )
    refused(
        write(raw, put(table, key), ReturnItemCollectionMetrics="SOME"),
        f"{ONE_ERROR}'SOME' at 'returnItemCollectionMetrics' {enum} [SIZE, NONE]",
    )


@pytest.fixture(scope="module")
def indexed(make_shared_table: Any) -> str:
    """A table with a global index `by-g` on `g`."""
    name: str = make_shared_table(
        AttributeDefinitions=definitions("pk:S", "g:S"), GlobalSecondaryIndexes=[index("by-g", "g")]
    )
    return name


def test_indexes_follow(dynamodb: Any, raw: RawClient, indexed: str, key: str) -> None:
    def found() -> list[str]:
        answer = dynamodb.query(
            TableName=indexed,
            IndexName="by-g",
            KeyConditionExpression="g = :g",
            ExpressionAttributeValues={":g": {"S": key}},
        )
        return sorted(row["pk"]["S"] for row in answer["Items"])

    group = {"g": {"S": key}}
    accepted(write(raw, put(indexed, f"{key}1", group), put(indexed, f"{key}2", group)))
    eventually(found, [f"{key}1", f"{key}2"])
    cancelled(
        write(raw, delete(indexed, f"{key}1"), put(indexed, f"{key}3", group), check(indexed, f"{key}4")),
        NONE,
        NONE,
        failed(),
    )
    accepted(
        write(raw, delete(indexed, f"{key}1"), update(indexed, f"{key}4", "SET g = :g", {"g": group["g"]}))
    )
    eventually(found, [f"{key}2", f"{key}4"])


@pytest.mark.differs_from_dynamodb_local("it words the reason in its own way")
def test_an_index_key_of_another_type_is_a_reason(raw: RawClient, indexed: str, key: str) -> None:
    wrong = {"g": {"N": "1"}}
    put_sentence = (
        "One or more parameter values were invalid: Type mismatch for Index Key g Expected: S Actual: N "
        "IndexName: by-g"
    )
    cancelled(write(raw, put(indexed, f"{key}1"), put(indexed, key, wrong)), NONE, invalid(put_sentence))
    update_sentence = "The update expression attempted to update the secondary index key to unsupported type"
    answer = write(raw, put(indexed, f"{key}1"), update(indexed, key, "SET g = :g", {"g": wrong["g"]}))
    cancelled(answer, NONE, invalid(update_sentence))


def units(consumed: list[Item]) -> dict[str, float]:
    """Units by table."""
    return {entry["TableName"]: entry["CapacityUnits"] for entry in consumed}


def test_units_are_doubled_and_told_by_table(raw: RawClient, make_table: MakeTable) -> None:
    one, other = make_table(), make_table()
    actions = [
        put(one, "a", {"v": {"S": "x" * 1500}}),
        check(other, "b", "attribute_not_exists(pk)"),
        update(one, "c", "SET v = :v", {"v": {"N": "1"}}),
    ]
    told: Any = accepted(write(raw, *actions, ReturnConsumedCapacity="TOTAL"))["ConsumedCapacity"]
    assert units(told) == {one: 6.0, other: 2.0}
    assert "Table" not in told[0]
    assert accepted(write(raw, *actions)) == {}
    assert accepted(write(raw, *actions, ReturnConsumedCapacity="NONE")) == {}


@pytest.mark.differs_from_dynamodb_local("it tells neither the order of the tables nor WriteCapacityUnits")
def test_tables_are_told_in_the_order_of_the_request(raw: RawClient, make_table: MakeTable) -> None:
    tables = [make_table() for _ in range(4)]
    actions = [put(name, f"{place}") for place in range(2) for name in tables]
    told: Any = accepted(write(raw, *actions, ReturnConsumedCapacity="TOTAL"))["ConsumedCapacity"]
    assert told == [{"TableName": name, "CapacityUnits": 4.0, "WriteCapacityUnits": 4.0} for name in tables]


def test_units_of_indexes_are_doubled_too(raw: RawClient, indexed: str, key: str) -> None:
    def shares(*actions: Item) -> tuple[float, float, float]:
        answer = accepted(write(raw, *actions, ReturnConsumedCapacity="INDEXES"))
        told: Any = answer["ConsumedCapacity"]
        assert len(told) == 1
        of_index = told[0].get("GlobalSecondaryIndexes", {}).get("by-g", {"CapacityUnits": 0.0})
        return told[0]["CapacityUnits"], told[0]["Table"]["CapacityUnits"], of_index["CapacityUnits"]

    assert shares(put(indexed, key, {"g": {"S": "a"}}), put(indexed, f"{key}1")) == (6.0, 4.0, 2.0)
    assert shares(put(indexed, key, {"g": {"S": "b"}})) == (6.0, 2.0, 4.0)


def test_item_collection_metrics_may_be_asked_for(raw: RawClient, table: str, key: str) -> None:
    assert accepted(write(raw, put(table, key), ReturnItemCollectionMetrics="SIZE")) == {}


def test_a_table_may_be_named_by_its_arn(dynamodb: Any, raw: RawClient, table: str, key: str) -> None:
    arn = dynamodb.describe_table(TableName=table)["Table"]["TableArn"]
    if raw.target.is_dynamodb_local:
        pytest.skip("DynamoDB Local takes no ARN here")
    told: Any = accepted(write(raw, put(arn, key), ReturnConsumedCapacity="TOTAL"))["ConsumedCapacity"]
    assert units(told) == {arn: 2.0}
    refused(write(raw, put(arn, key), put(table, key)), SAME_ITEM)


def test_transfers_at_once_keep_the_sum(target: Target, dynamodb: Any, make_table: MakeTable) -> None:
    """Ten clients move units between six accounts in two tables; conflicts are tried again."""
    tables = [make_table(), make_table()]
    accounts = [(table, f"account {place}") for table in tables for place in range(3)]
    for table, name in accounts:
        dynamodb.put_item(TableName=table, Item={**key_of(name), "balance": {"N": "100"}})
    failures: list[BaseException] = []

    def transfer(number: int) -> None:
        client = connect(target)
        for turn in range(20):
            (source, payer), (sink, payee) = (
                accounts[(number + turn) % 6],
                accounts[(number + turn * 3 + 1 + turn % 2) % 6],
            )
            if (source, payer) == (sink, payee):
                continue
            one = {"one": {"N": "1"}}
            paying = update(
                source, payer, "SET balance = balance - :one", one, ConditionExpression="balance >= :one"
            )
            try:
                client.transact_write_items(
                    TransactItems=[paying, update(sink, payee, "SET balance = balance + :one", one)]
                )
            except ClientError as error:
                reasons = {reason["Code"] for reason in error.response.get("CancellationReasons", [])}
                allowed = {"None", "TransactionConflict", "ConditionalCheckFailed"}
                if not reasons or not reasons <= allowed:
                    failures.append(error)
                    return

    threads = [threading.Thread(target=transfer, args=(number,)) for number in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures, failures[0]
    balances = [
        int(row["balance"]["N"])
        for table in tables
        for row in dynamodb.scan(TableName=table, ConsistentRead=True)["Items"]
    ]
    assert len(balances) == 6
    assert sum(balances) == 600
    assert min(balances) >= 0


def test_single_writes_beside_transactions_are_not_lost(
    target: Target, dynamodb: Any, make_table: MakeTable
) -> None:
    """Half of the clients raise one counter, the others two counters of two tables together."""
    one, other = make_table(), make_table()
    keys = [(one, "a"), (other, "b")]
    one_more = {"one": {"N": "1"}}
    acknowledged = {"alone": 0, "together": 0}
    counting = threading.Lock()
    failures: list[BaseException] = []

    def alone(client: Any) -> None:
        client.update_item(**update(one, "a", "ADD n :one", one_more)["Update"])

    def together(client: Any) -> None:
        actions = [update(table, key, "ADD n :one", one_more) for table, key in keys]
        client.transact_write_items(TransactItems=actions)

    def raise_often(name: str, work: Callable[[Any], None], conflict: str) -> None:
        client = connect(target)
        for _ in range(25):
            try:
                work(client)
            except ClientError as error:
                if error.response["Error"]["Code"] != conflict:
                    failures.append(error)
                    return
                continue
            with counting:
                acknowledged[name] += 1

    kinds = [
        ("alone", alone, "TransactionConflictException"),
        ("together", together, "TransactionCanceledException"),
    ]
    threads = [threading.Thread(target=raise_often, args=kind) for kind in kinds * 4]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures, failures[0]
    assert acknowledged["alone"] > 0
    assert acknowledged["together"] > 0
    found = [item(dynamodb, table, key) for table, key in keys]
    counts = [int(row["n"]["N"]) for row in found if row is not None]
    assert counts == [sum(acknowledged.values()), acknowledged["together"]]

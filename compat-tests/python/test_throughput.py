"""Tables are held to their throughput where that is switched on: what clients are told, and that waiting helps."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import botocore.config
import boto3
import pytest

from conftest import connect, create_table, index, definitions, session_options, unused_name, wait_for
from demo_cluster import DemoCluster
from server import Server, Target

BURST_SECONDS = 300
KEY = {"pk": {"S": "a"}}

pytestmark = pytest.mark.needs_stator_binary


@pytest.fixture(scope="module")
def throttled(binary: str) -> Iterator[Target]:
    """A server that holds tables to their throughput."""
    with Server(binary, "--ephemeral", "--throttle") as server:
        yield server.target


@pytest.fixture
def client(throttled: Target) -> Any:
    """A client of it that never tries twice."""
    return connect(throttled)


def provisioned(client: Any, units: int = 1, **more: Any) -> str:
    """A table with so many read and write units."""
    name = unused_name()
    create_table(
        client,
        name,
        BillingMode="PROVISIONED",
        ProvisionedThroughput={"ReadCapacityUnits": units, "WriteCapacityUnits": units},
        **more,
    )
    return name


def until_refused(client: Any, send: Callable[[], Any]) -> tuple[int, dict[str, Any]]:
    """How many requests are answered before one is throttled, and what that is told."""
    for count in range(10 * BURST_SECONDS):
        try:
            send()
        except client.exceptions.ClientError as refusal:
            return count, refusal.response
    raise AssertionError("nothing is throttled")


def test_the_refusal_says_what_is_exhausted(client: Any) -> None:
    table = provisioned(client)
    arn = client.describe_table(TableName=table)["Table"]["TableArn"]
    for kind, send in [
        ("Write", lambda: client.put_item(TableName=table, Item=KEY)),
        ("Read", lambda: client.get_item(TableName=table, Key=KEY, ConsistentRead=True)),
    ]:
        count, told = until_refused(client, send)
        assert BURST_SECONDS <= count < BURST_SECONDS + 60
        assert told["ResponseMetadata"]["HTTPStatusCode"] == 400
        assert told["Error"]["Code"] == "ProvisionedThroughputExceededException"
        assert told["Error"]["Message"].startswith(
            "The level of configured provisioned throughput for the table"
        )
        reason = f"Table{kind}ProvisionedThroughputExceeded"
        assert told["ThrottlingReasons"] == [{"reason": reason, "resource": arn}]


@pytest.mark.parametrize("statement", [False, True])
def test_a_false_condition_costs_what_the_item_that_is_there_would(client: Any, statement: bool) -> None:
    """Working with items, "Capacity units consumed by conditional writes"."""
    table = provisioned(client)
    large = {**KEY, "x": {"S": "x" * 50 * 1024}}

    def fails(key: str, there: str) -> None:
        try:
            if statement:
                client.execute_statement(
                    Statement=f"UPDATE \"{table}\" SET y = 1 WHERE pk = '{key}' AND y = 2",
                )
            else:
                client.put_item(TableName=table, Item={**large, "pk": {"S": key}}, ConditionExpression=there)
        except client.exceptions.ConditionalCheckFailedException as failure:
            assert "Item" not in failure.response

    client.put_item(TableName=table, Item=large)
    count, _ = until_refused(client, lambda: fails("a", "attribute_not_exists(pk)"))
    assert count in range(4, 7)
    # Where there is no item it is one unit, however large the new one is.
    table = provisioned(client)
    count, _ = until_refused(client, lambda: fails("b", "attribute_exists(pk)"))
    assert count in range(BURST_SECONDS - 60, BURST_SECONDS + 60)


def test_an_index_has_its_own_throughput(client: Any) -> None:
    slow = {"ReadCapacityUnits": 1, "WriteCapacityUnits": 1}
    table = provisioned(
        client,
        1000,
        AttributeDefinitions=definitions("pk:S", "g:S"),
        GlobalSecondaryIndexes=[index("by-g", "g", ProvisionedThroughput=slow)],
    )
    numbers = iter(range(10 * BURST_SECONDS))

    def put() -> None:
        client.put_item(TableName=table, Item={"pk": {"S": str(next(numbers))}, "g": {"S": "g"}})

    count, told = until_refused(client, put)
    assert BURST_SECONDS <= count < BURST_SECONDS + 60
    [reason] = told["ThrottlingReasons"]
    assert reason["reason"] == "IndexWriteProvisionedThroughputExceeded"
    assert reason["resource"].endswith(f":table/{table}/index/by-g")
    client.put_item(TableName=table, Item=KEY | {"x": {"S": "is in no index"}})


def test_an_on_demand_maximum_is_another_exception(client: Any) -> None:
    name = unused_name()
    create_table(client, name, OnDemandThroughput={"MaxReadRequestUnits": 1})
    _, told = until_refused(client, lambda: client.scan(TableName=name, ConsistentRead=True))
    assert told["Error"]["Code"] == "ThrottlingException"
    [reason] = told["throttlingReasons"]
    assert reason["reason"] == "TableReadMaxOnDemandThroughputExceeded"


def test_a_batch_gives_back_what_has_to_wait(client: Any) -> None:
    table = provisioned(client)
    keys = [{"pk": {"S": str(number)}} for number in range(25)]

    def write(left: int) -> int:
        """Writes until so many are left of a batch, and says how many."""
        while True:
            answer = client.batch_write_item(
                RequestItems={table: [{"PutRequest": {"Item": k}} for k in keys]}
            )
            unprocessed = answer["UnprocessedItems"].get(table, [])
            if len(unprocessed) >= left:
                return len(unprocessed)

    assert 0 < write(1) < 25
    with pytest.raises(client.exceptions.ProvisionedThroughputExceededException):
        for _ in range(10):
            client.batch_write_item(RequestItems={table: [{"PutRequest": {"Item": k}} for k in keys]})


def test_a_transaction_is_cancelled_with_the_reason(client: Any) -> None:
    table = provisioned(client)
    until_refused(client, lambda: client.put_item(TableName=table, Item=KEY))
    puts = [{"Put": {"TableName": table, "Item": {"pk": {"S": str(number)}}}} for number in range(4)]
    with pytest.raises(client.exceptions.TransactionCanceledException) as cancelled:
        client.transact_write_items(TransactItems=puts)
    codes = [reason["Code"] for reason in cancelled.value.response["CancellationReasons"]]
    assert codes[-1] == "ProvisionedThroughputExceeded"
    assert set(codes) <= {"None", "ProvisionedThroughputExceeded"}


def test_the_retries_of_an_sdk_wait_until_there_is_something(client: Any, throttled: Target) -> None:
    table = provisioned(client, 5)
    until_refused(client, lambda: client.put_item(TableName=table, Item=KEY))
    patient = boto3.client(
        "dynamodb",
        config=botocore.config.Config(retries={"mode": "standard", "total_max_attempts": 10}),
        **session_options(throttled),
    )
    for _ in range(10):
        patient.put_item(TableName=table, Item=KEY)


def test_more_throughput_counts_at_once(client: Any) -> None:
    table = provisioned(client)
    until_refused(client, lambda: client.put_item(TableName=table, Item=KEY))
    more = {"ReadCapacityUnits": 1, "WriteCapacityUnits": 1000}
    client.update_table(TableName=table, ProvisionedThroughput=more)

    def writes() -> bool:
        try:
            client.put_item(TableName=table, Item=KEY)
            return True
        except client.exceptions.ProvisionedThroughputExceededException:
            return False

    for _ in range(5):
        wait_for("throughput", writes, 1)


def test_a_node_of_three_has_a_third(binary: str, tmp_path: Path) -> None:
    with DemoCluster(binary, tmp_path) as cluster:
        once = {"retries": {"total_max_attempts": 1}}
        client = cluster.client(cluster.addresses[0], **once)
        table = provisioned(client, 3)
        count, _ = until_refused(client, lambda: client.put_item(TableName=table, Item=KEY))
        assert BURST_SECONDS <= count < 2 * BURST_SECONDS, "less than the 900 of the table"
        other = cluster.client(cluster.addresses[1], **once)
        other.put_item(TableName=table, Item=KEY)

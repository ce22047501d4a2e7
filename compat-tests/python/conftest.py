"""Fixtures shared by all client tests: the server under test, clients for it, and tables with names of their
own.

The server is the one named by `STATOR_ENDPOINT`, or else a Stator started from `STATOR_BIN` for the whole
run.
"""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import botocore.config
import pytest

import errors
from raw import RawClient
from server import Server, Target, stator_binary, target_from_environment

ACTIVE_TIMEOUT_SECONDS = 20
POLL_SECONDS = 0.02
REPOSITORY = Path(__file__).resolve().parents[2]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skips what the server under test cannot show, with the reason written at the test."""
    target = target_from_environment()
    for item in items:
        mark = item.get_closest_marker("differs_from_dynamodb_local")
        if mark and target is not None and target.is_dynamodb_local:
            item.add_marker(pytest.mark.skip(reason=f"DynamoDB Local differs: {mark.args[0]}"))
        if item.get_closest_marker("needs_stator_binary") and stator_binary() is None:
            item.add_marker(pytest.mark.skip(reason="STATOR_BIN is not set"))
        if item.get_closest_marker("needs_kcl") and not os.environ.get("STATOR_KCL"):
            item.add_marker(pytest.mark.skip(reason="STATOR_KCL is not set; `cargo xtask kcl` sets it"))


@pytest.fixture(scope="session")
def target() -> Iterator[Target]:
    """The server under test."""
    named = target_from_environment()
    if named is not None:
        errors.TARGET = named
        yield named
        return
    binary = stator_binary()
    if binary is None:
        pytest.exit(
            "set STATOR_ENDPOINT to a running server, or STATOR_BIN to the stator binary", returncode=2
        )
    with Server(binary, "--ephemeral") as server:
        errors.TARGET = server.target
        yield server.target


def connect(target: Target, **options: Any) -> Any:
    """A boto3 DynamoDB client for `target` that never tries twice, so that a test sees each answer."""
    config = botocore.config.Config(retries={"total_max_attempts": 1}, **options)
    return boto3.client("dynamodb", config=config, **session_options(target))


def resource(target: Target) -> Any:
    """A boto3 DynamoDB resource for `target`, with boto3's own retries; not to be shared between threads."""
    return boto3.session.Session().resource("dynamodb", **session_options(target))


def session_options(target: Target) -> dict[str, Any]:
    """The arguments by which boto3 finds `target` and signs for it."""
    return {
        "endpoint_url": target.endpoint,
        "region_name": target.region,
        "aws_access_key_id": target.access_key_id,
        "aws_secret_access_key": target.secret_access_key,
    }


@pytest.fixture(scope="session")
def dynamodb(target: Target) -> Any:
    """A boto3 client, the same for all tests."""
    return connect(target, max_pool_connections=32)


@pytest.fixture(scope="session")
def streams(target: Target) -> Any:
    """A boto3 client of DynamoDB Streams, the same for all tests."""
    config = botocore.config.Config(retries={"total_max_attempts": 1})
    return boto3.client("dynamodbstreams", config=config, **session_options(target))


@pytest.fixture(scope="session")
def raw(target: Target) -> RawClient:
    """A client for requests that botocore would not send."""
    return RawClient(target)


@pytest.fixture(scope="session")
def binary() -> str:
    """The Stator binary, for tests marked `needs_stator_binary`."""
    path = stator_binary()
    assert path is not None
    return path


MakeTable = Callable[..., str]


def create_table(
    client: Any, name: str, partition: str = "pk:S", sort: str | None = None, **more: Any
) -> dict[str, Any]:
    """Creates a table of these keys (written `name:type`), waits until it is active, and describes it."""
    keys = [key.split(":") for key in (partition, sort) if key is not None]
    client.create_table(
        **{
            "TableName": name,
            "AttributeDefinitions": [{"AttributeName": k, "AttributeType": t} for k, t in keys],
            "KeySchema": [
                {"AttributeName": k, "KeyType": role} for (k, _), role in zip(keys, ("HASH", "RANGE"))
            ],
            "BillingMode": "PAY_PER_REQUEST",
            **more,
        }
    )
    return active(client, name)


def active(client: Any, name: str) -> dict[str, Any]:
    """Polls DescribeTable until the table is ACTIVE and returns the description."""
    deadline = time.monotonic() + ACTIVE_TIMEOUT_SECONDS
    while True:
        table: dict[str, Any] = client.describe_table(TableName=name)["Table"]
        if table["TableStatus"] == "ACTIVE":
            return table
        assert time.monotonic() < deadline, f"{name} is still {table['TableStatus']}"


def wait_for(what: str, look: Callable[[], Any], seconds: float = ACTIVE_TIMEOUT_SECONDS) -> Any:
    """Looks again and again until there is something to see, and returns it. `what` names it for the failure."""
    deadline = time.monotonic() + seconds
    while True:
        seen = look()
        if seen:
            return seen
        assert time.monotonic() < deadline, f"still waiting for {what} after {seconds} s"
        time.sleep(POLL_SECONDS)


def eventually(look: Callable[[], Any], expected: Any, seconds: float = ACTIVE_TIMEOUT_SECONDS) -> None:
    """Looks again and again until there is what is expected, as one has to in a global index."""
    deadline = time.monotonic() + seconds
    while (seen := look()) != expected:
        if time.monotonic() > deadline:
            assert seen == expected
        time.sleep(POLL_SECONDS)


def index_of(client: Any, name: str, index: str) -> dict[str, Any] | None:
    """What DescribeTable says of an index; nothing when the table has none of this name."""
    table = client.describe_table(TableName=name)["Table"]
    indexes = table.get("GlobalSecondaryIndexes", []) + table.get("LocalSecondaryIndexes", [])
    return next((found for found in indexes if found["IndexName"] == index), None)


def index_active(client: Any, name: str, index: str) -> dict[str, Any]:
    """Polls DescribeTable until the index is ACTIVE and the table is, too, and returns the index's description."""

    def look() -> dict[str, Any] | None:
        found = index_of(client, name, index)
        return found if found is not None and found["IndexStatus"] == "ACTIVE" else None

    described: dict[str, Any] = wait_for(f"{index} of {name}", look)
    active(client, name)
    return described


def index_gone(client: Any, name: str, index: str) -> None:
    """Polls DescribeTable until the table has no index of this name and is ACTIVE."""
    wait_for(f"the end of {index} of {name}", lambda: index_of(client, name, index) is None)
    active(client, name)


def keys_of(*attributes: str, hashes: int = 1) -> list[dict[str, str]]:
    """A key schema: the first `hashes` attributes make the partition key, the others the sort key."""
    roles = ["HASH"] * hashes + ["RANGE"] * (len(attributes) - hashes)
    return [{"AttributeName": name, "KeyType": role} for name, role in zip(attributes, roles)]


def definitions(*attributes: str) -> list[dict[str, str]]:
    """AttributeDefinitions of attributes written `name:type`."""
    pairs = [attribute.split(":") for attribute in attributes]
    return [{"AttributeName": name, "AttributeType": kind} for name, kind in pairs]


def index(
    name: str, *attributes: str, hashes: int = 1, projection: str | list[str] = "ALL", **more: Any
) -> dict[str, Any]:
    """The definition of an index; a list as projection is one of these attributes."""
    projected: dict[str, Any] = (
        {"ProjectionType": projection}
        if isinstance(projection, str)
        else {"ProjectionType": "INCLUDE", "NonKeyAttributes": projection}
    )
    return {
        "IndexName": name,
        "KeySchema": keys_of(*attributes, hashes=hashes),
        "Projection": projected,
        **more,
    }


def unused_name(prefix: str = "test") -> str:
    """A table name that no other test and no earlier run has used."""
    return f"{prefix}.{uuid.uuid4().hex}"


def delete_table(client: Any, name: str) -> None:
    """Deletes a table as soon as it is at rest: one that is changing stays."""

    def deleted() -> bool:
        try:
            client.delete_table(TableName=name)
        except client.exceptions.ResourceInUseException:
            return False
        return True

    wait_for(f"the deletion of {name}", deleted)


def _maker(client: Any) -> Iterator[MakeTable]:
    made: list[str] = []

    def make(*keys: str, **more: Any) -> str:
        name = unused_name()
        create_table(client, name, *keys, **more)
        made.append(name)
        return name

    yield make
    for name in made:
        try:
            delete_table(client, name)
        except client.exceptions.ResourceNotFoundException:
            pass  # The test deleted it itself.


@pytest.fixture
def make_table(dynamodb: Any) -> Iterator[MakeTable]:
    """Creates tables that go away after the test: `make_table("pk:S", "sk:N")`."""
    yield from _maker(dynamodb)


@pytest.fixture(scope="module")
def make_shared_table(dynamodb: Any) -> Iterator[MakeTable]:
    """Creates tables that go away after the last test of the module."""
    yield from _maker(dynamodb)


@pytest.fixture(scope="module")
def table(make_shared_table: MakeTable) -> str:
    """A table keyed by `pk` (S), shared by the tests of one module; each test uses keys of its own."""
    return make_shared_table()


@pytest.fixture(scope="module")
def ranged(make_shared_table: MakeTable) -> str:
    """A table keyed by `pk` (S) and `sk` (S), shared by the tests of one module."""
    return make_shared_table("pk:S", "sk:S")


@pytest.fixture
def key() -> str:
    """A partition key that no other test uses."""
    return uuid.uuid4().hex

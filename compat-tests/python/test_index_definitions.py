"""Secondary indexes in CreateTable, UpdateTable and DescribeTable: what may be defined, and what is "
"refused."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from conftest import (
    MakeTable,
    active,
    delete_table,
    definitions,
    index,
    index_active,
    index_gone,
    index_of,
    keys_of,
    unused_name,
)
from errors import NOTHING_TO_UPDATE, SERVICE, VALIDATION, accepted, refused
from raw import RawClient

Values = dict[str, Any]

INVALID = "One or more parameter values were invalid: "
ONE_ERROR = "1 validation error detected: Value "


def table(*attributes: str, sort: bool = False, **more: Any) -> Values:
    """A CreateTable request for a table keyed by `pk` (S) and, with `sort`, `sk` (S)."""
    keys = ["pk", "sk"] if sort else ["pk"]
    return {
        "TableName": unused_name(),
        "AttributeDefinitions": definitions(*(f"{key}:S" for key in keys), *attributes),
        "KeySchema": keys_of(*keys),
        "BillingMode": "PAY_PER_REQUEST",
        **more,
    }


@pytest.fixture
def create(raw: RawClient, dynamodb: Any) -> Iterator[Any]:
    """Creates a table as requested, waits for it and returns its description."""
    made: list[str] = []

    def make(request: Values) -> Values:
        accepted(raw.call("CreateTable", request))
        made.append(request["TableName"])
        return active(dynamodb, request["TableName"])

    yield make
    for name in made:
        delete_table(dynamodb, name)


class TestCreateTable:
    """Indexes that a table has from its beginning."""

    @pytest.mark.parametrize(
        ("projection", "described"),
        [
            ("ALL", {"ProjectionType": "ALL"}),
            ("KEYS_ONLY", {"ProjectionType": "KEYS_ONLY"}),
            (["x", "y"], {"ProjectionType": "INCLUDE", "NonKeyAttributes": ["x", "y"]}),
        ],
    )
    def test_a_global_index_is_described(self, create: Any, projection: Any, described: Values) -> None:
        request = table("a:S", "b:N", GlobalSecondaryIndexes=[index("by-a", "a", "b", projection=projection)])
        told = create(request)
        (found,) = told["GlobalSecondaryIndexes"]
        projected = dict(found["Projection"])
        if "NonKeyAttributes" in projected:
            projected["NonKeyAttributes"] = sorted(projected["NonKeyAttributes"])
        assert (found["IndexName"], found["IndexStatus"]) == ("by-a", "ACTIVE")
        assert found["KeySchema"] == keys_of("a", "b")
        assert projected == described
        assert found["IndexArn"] == f"{told['TableArn']}/index/by-a"
        assert (found["ItemCount"], found["IndexSizeBytes"]) == (0, 0)
        assert "LocalSecondaryIndexes" not in told
        by_name = sorted(told["AttributeDefinitions"], key=lambda one: str(one["AttributeName"]))
        assert by_name == definitions("a:S", "b:N", "pk:S")

    def test_a_local_index_is_described(self, create: Any) -> None:
        request = table("a:B", sort=True, LocalSecondaryIndexes=[index("by-a", "pk", "a", projection=["x"])])
        told = create(request)
        (found,) = told["LocalSecondaryIndexes"]
        assert found["IndexName"] == "by-a"
        assert found["KeySchema"] == keys_of("pk", "a")
        assert found["Projection"] == {"ProjectionType": "INCLUDE", "NonKeyAttributes": ["x"]}
        assert found["IndexArn"] == f"{told['TableArn']}/index/by-a"
        assert (found["ItemCount"], found["IndexSizeBytes"]) == (0, 0)
        assert "IndexStatus" not in found
        assert "ProvisionedThroughput" not in found
        assert "GlobalSecondaryIndexes" not in told

    def test_several_of_both_kinds(self, create: Any) -> None:
        request = table(
            "a:S",
            "b:S",
            sort=True,
            GlobalSecondaryIndexes=[index("g-a", "a"), index("g-b", "b", "a"), index("g-turned", "sk", "pk")],
            LocalSecondaryIndexes=[index("l-a", "pk", "a"), index("l-b", "pk", "b")],
        )
        told = create(request)
        assert {one["IndexName"] for one in told["GlobalSecondaryIndexes"]} == {"g-a", "g-b", "g-turned"}
        assert {one["IndexName"] for one in told["LocalSecondaryIndexes"]} == {"l-a", "l-b"}

    def test_a_provisioned_index_has_units_of_its_own(self, create: Any) -> None:
        units = {"ReadCapacityUnits": 3, "WriteCapacityUnits": 4}
        request = table(
            "a:S",
            BillingMode="PROVISIONED",
            ProvisionedThroughput={"ReadCapacityUnits": 1, "WriteCapacityUnits": 2},
            GlobalSecondaryIndexes=[index("by-a", "a", ProvisionedThroughput=units)],
        )
        (found,) = create(request)["GlobalSecondaryIndexes"]
        assert {name: found["ProvisionedThroughput"][name] for name in units} == units

    def test_keys_of_several_attributes(self, create: Any) -> None:
        attributes = [f"h{number}" for number in range(4)] + [f"r{number}" for number in range(4)]
        request = table(
            *(f"{name}:S" for name in attributes),
            GlobalSecondaryIndexes=[index("wide", *attributes, hashes=4), index("two", "h0", "h1", hashes=2)],
        )
        told = {one["IndexName"]: one for one in create(request)["GlobalSecondaryIndexes"]}
        assert told["wide"]["KeySchema"] == keys_of(*attributes, hashes=4)
        assert told["two"]["KeySchema"] == keys_of("h0", "h1", hashes=2)

    def test_limits_are_reached(self, create: Any) -> None:
        names = [f"a{number}" for number in range(20)]
        request = table(
            *(f"{name}:S" for name in names),
            sort=True,
            GlobalSecondaryIndexes=[index(f"g-{name}", name, projection="KEYS_ONLY") for name in names],
            LocalSecondaryIndexes=[
                index(f"l-{name}", "pk", name, projection=[f"x{one}" for one in range(20)])
                for name in names[:1]
            ],
        )
        assert len(create(request)["GlobalSecondaryIndexes"]) == 20


def units(read: int, write: int) -> Values:
    """ProvisionedThroughput."""
    return {"ReadCapacityUnits": read, "WriteCapacityUnits": write}


def projected(**projection: Any) -> Values:
    """An index with this very projection."""
    return {**index("one", "a"), "Projection": projection}


def without(definition: Values, member: str) -> Values:
    """A definition with a member left out."""
    return {name: value for name, value in definition.items() if name != member}


SIX = [f"a{number}" for number in range(6)]
MANY = [f"a{number}" for number in range(21)]

REFUSED: list[tuple[str, Values, str]] = [
    (
        "an attribute without a definition",
        table(GlobalSecondaryIndexes=[index("one", "a")]),
        f"{INVALID}Some index key attributes are not defined in AttributeDefinitions. Keys: [a], "
        "AttributeDefinitions: [pk]",
    ),
    (
        "a definition without a use",
        table("a:S", "b:S", GlobalSecondaryIndexes=[index("one", "a")]),
        f"{INVALID}Some AttributeDefinitions are not used. AttributeDefinitions: [pk, a, b], keys used: [a, "
        "pk]",
    ),
    (
        "a global index twice",
        table("a:S", GlobalSecondaryIndexes=[index("one", "a"), index("one", "pk")]),
        f"{INVALID}Duplicate index name: one",
    ),
    (
        "a global and a local index of one name",
        table(
            "a:S",
            sort=True,
            GlobalSecondaryIndexes=[index("one", "a")],
            LocalSecondaryIndexes=[index("one", "pk", "a")],
        ),
        f"{INVALID}Duplicate index name: one",
    ),
    (
        "a local index of a table without sort key",
        table("a:S", LocalSecondaryIndexes=[index("one", "pk", "a")]),
        f"{INVALID}Table KeySchema does not have a range key, which is required when specifying a "
        "LocalSecondaryIndex",
    ),
    (
        "a local index of another partition key",
        table("a:S", sort=True, LocalSecondaryIndexes=[index("one", "a", "sk")]),
        f"{INVALID}Index KeySchema does not have the same leading hash key as table KeySchema for index: "
        "one. index hash "
        "key: a, table hash key: pk",
    ),
    (
        "a local index without sort key",
        table(sort=True, LocalSecondaryIndexes=[index("one", "pk")]),
        f"{INVALID}Index KeySchema does not have a range key for index: one",
    ),
    (
        "six local indexes",
        table(
            *(f"{name}:S" for name in SIX),
            sort=True,
            LocalSecondaryIndexes=[index(f"l-{name}", "pk", name) for name in SIX],
        ),
        f"{INVALID}Number of LocalSecondaryIndexes exceeds per-table limit of 5",
    ),
    (
        "21 global indexes",
        table(*(f"{name}:S" for name in MANY), GlobalSecondaryIndexes=[index(f"g-{n}", n) for n in MANY]),
        f"{INVALID}GlobalSecondaryIndex count exceeds the per-table limit of 20",
    ),
    ("an empty list", table(GlobalSecondaryIndexes=[]), f"{INVALID}List of GlobalSecondaryIndexes is empty"),
    (
        "no projection",
        table("a:S", GlobalSecondaryIndexes=[without(index("one", "a"), "Projection")]),
        f"{ONE_ERROR}null at 'globalSecondaryIndexes.1.member.projection' failed to satisfy constraint: "
        "Member must not "
        "be null",
    ),
    (
        "an empty projection",
        table("a:S", GlobalSecondaryIndexes=[projected()]),
        f"{INVALID}Unknown ProjectionType: null",
    ),
    (
        "an unknown projection",
        table("a:S", GlobalSecondaryIndexes=[projected(ProjectionType="SOME")]),
        f"{ONE_ERROR}'SOME' at 'globalSecondaryIndexes.1.member.projection.projectionType' failed to "
        "satisfy constraint: "
        "Member must satisfy enum value set: [ALL, INCLUDE, KEYS_ONLY]",
    ),
    (
        "attributes to include, which are missing",
        table("a:S", GlobalSecondaryIndexes=[projected(ProjectionType="INCLUDE")]),
        f"{INVALID}ProjectionType is INCLUDE, but NonKeyAttributes is not specified",
    ),
    (
        "attributes beside ALL",
        table("a:S", GlobalSecondaryIndexes=[projected(ProjectionType="ALL", NonKeyAttributes=["x"])]),
        f"{INVALID}ProjectionType is ALL, but NonKeyAttributes is specified",
    ),
    (
        "attributes beside KEYS_ONLY",
        table("a:S", GlobalSecondaryIndexes=[projected(ProjectionType="KEYS_ONLY", NonKeyAttributes=["x"])]),
        f"{INVALID}ProjectionType is KEYS_ONLY, but NonKeyAttributes is specified",
    ),
    (
        "a name with spaces",
        table("a:S", GlobalSecondaryIndexes=[index("o n e", "a")]),
        f"{ONE_ERROR}'o n e' at 'globalSecondaryIndexes.1.member.indexName' failed to satisfy constraint: "
        "Member must satisfy regular expression pattern: [a-zA-Z0-9_.-]+",
    ),
    (
        "an attribute included twice",
        table(
            "a:S", GlobalSecondaryIndexes=[projected(ProjectionType="INCLUDE", NonKeyAttributes=["x", "x"])]
        ),
        f"{INVALID}Duplicate element in NonKeyAttributes: x",
    ),
    (
        "a range key first",
        table(
            "a:S",
            GlobalSecondaryIndexes=[
                {**index("one"), "KeySchema": [*keys_of("a", hashes=0), *keys_of("pk")]},
            ],
        ),
        "Invalid KeySchema: The first KeySchemaElement is not a HASH key type",
    ),
    (
        "one attribute in both roles",
        table("a:S", GlobalSecondaryIndexes=[index("one", "a", "a")]),
        "Both the Hash Key and the Range Key element in the KeySchema have the same name",
    ),
    (
        "a provisioned index without units",
        table(
            "a:S",
            BillingMode="PROVISIONED",
            ProvisionedThroughput=units(1, 1),
            GlobalSecondaryIndexes=[index("one", "a")],
        ),
        f"{INVALID}ProvisionedThroughput is not specified for index: one",
    ),
    (
        "an index of no units",
        table(
            "a:S",
            BillingMode="PROVISIONED",
            ProvisionedThroughput=units(1, 1),
            GlobalSecondaryIndexes=[index("one", "a", ProvisionedThroughput=units(0, 1))],
        ),
        f"{ONE_ERROR}'0' at 'globalSecondaryIndexes.1.member.provisionedThroughput.readCapacityUnits' "
        "failed to satisfy "
        "constraint: Member must have value greater than or equal to 1",
    ),
]


@pytest.mark.parametrize(
    ("request_", "sentence"),
    [pytest.param(request, sentence, id=name) for name, request, sentence in REFUSED],
)
def test_a_definition_that_cannot_be_is_refused(raw: RawClient, request_: Values, sentence: str) -> None:
    refused(raw.call("CreateTable", request_), sentence)


@pytest.mark.parametrize(
    "request_",
    [
        pytest.param(
            table(
                *(f"h{number}:S" for number in range(5)),
                GlobalSecondaryIndexes=[index("one", *(f"h{number}" for number in range(5)), hashes=5)],
            ),
            id="five partition keys",
        ),
        pytest.param(
            table(
                "a:S",
                *(f"r{number}:S" for number in range(5)),
                GlobalSecondaryIndexes=[index("one", "a", *(f"r{number}" for number in range(5)))],
            ),
            id="five sort keys",
        ),
        pytest.param(
            table(
                "a:S",
                "b:S",
                sort=True,
                LocalSecondaryIndexes=[index("one", "pk", "a", "b")],
            ),
            id="two sort keys of a local index",
        ),
        pytest.param(
            table(
                "a:S",
                "b:S",
                "c:S",
                GlobalSecondaryIndexes=[
                    {**index("one"), "KeySchema": [*keys_of("a", "b"), *keys_of("c")]},
                ],
            ),
            id="a partition key behind a sort key",
        ),
    ],
)
def test_keys_of_too_many_attributes_are_refused(raw: RawClient, request_: Values) -> None:
    answer = raw.call("CreateTable", request_)
    assert (answer.status, answer.type) == (400, VALIDATION), answer.body


@pytest.mark.differs_from_dynamodb_local("ignores units where the table is paid for by request")
def test_units_of_an_index_need_provisioned_mode(raw: RawClient) -> None:
    request = table("a:S", GlobalSecondaryIndexes=[index("one", "a", ProvisionedThroughput=units(1, 1))])
    refused(
        raw.call("CreateTable", request),
        f"{INVALID}ProvisionedThroughput should not be specified for index: one when BillingMode is "
        "PAY_PER_REQUEST",
    )


class TestUpdateTable:
    """Indexes that come and go."""

    @pytest.fixture
    def indexed(self, make_table: MakeTable) -> str:
        """A table with an index `by-a` of `a` (S)."""
        return make_table(
            "pk:S",
            AttributeDefinitions=definitions("pk:S", "a:S"),
            GlobalSecondaryIndexes=[index("by-a", "a")],
        )

    def update(self, raw: RawClient, name: str, *changes: Values, attributes: tuple[str, ...] = ()) -> Any:
        request: Values = {"TableName": name, "GlobalSecondaryIndexUpdates": list(changes)}
        if attributes:
            request["AttributeDefinitions"] = definitions(*attributes)
        return raw.call("UpdateTable", request)

    def test_an_index_is_created_online(self, raw: RawClient, dynamodb: Any, indexed: str) -> None:
        created = index("by-b", "b", "a", projection="KEYS_ONLY")
        answer = accepted(self.update(raw, indexed, {"Create": created}, attributes=("a:S", "b:N")))
        told: Any = answer["TableDescription"]
        (found,) = (one for one in told["GlobalSecondaryIndexes"] if one["IndexName"] == "by-b")
        assert found["IndexStatus"] == "CREATING"
        assert found["KeySchema"] == created["KeySchema"]
        described = index_active(dynamodb, indexed, "by-b")
        assert described["Projection"] == {"ProjectionType": "KEYS_ONLY"}
        assert "Backfilling" not in described or described["Backfilling"] is False
        attributes = dynamodb.describe_table(TableName=indexed)["Table"]["AttributeDefinitions"]
        assert sorted(one["AttributeName"] for one in attributes) == ["a", "b", "pk"]

    def test_an_index_is_deleted_and_made_again(self, raw: RawClient, dynamodb: Any, indexed: str) -> None:
        answer = accepted(self.update(raw, indexed, {"Delete": {"IndexName": "by-a"}}))
        told: Any = answer["TableDescription"]
        assert [one["IndexStatus"] for one in told["GlobalSecondaryIndexes"]] == ["DELETING"]
        index_gone(dynamodb, indexed, "by-a")
        described = dynamodb.describe_table(TableName=indexed)["Table"]
        assert "GlobalSecondaryIndexes" not in described
        accepted(self.update(raw, indexed, {"Create": index("by-a", "a")}, attributes=("a:N",)))
        assert index_active(dynamodb, indexed, "by-a")["KeySchema"] == keys_of("a")

    def test_units_of_an_index_change(self, dynamodb: Any, make_table: MakeTable) -> None:
        name = make_table(
            "pk:S",
            AttributeDefinitions=definitions("pk:S", "a:S"),
            BillingMode="PROVISIONED",
            ProvisionedThroughput=units(1, 1),
            GlobalSecondaryIndexes=[index("by-a", "a", ProvisionedThroughput=units(1, 1))],
        )
        change = {"IndexName": "by-a", "ProvisionedThroughput": units(5, 6)}
        dynamodb.update_table(TableName=name, GlobalSecondaryIndexUpdates=[{"Update": change}])
        index_active(dynamodb, name, "by-a")
        found = index_of(dynamodb, name, "by-a")
        assert found is not None
        assert found["ProvisionedThroughput"]["ReadCapacityUnits"] == 5
        assert found["ProvisionedThroughput"]["WriteCapacityUnits"] == 6

    @pytest.mark.parametrize(
        ("changes", "sentence"),
        [
            (
                [{"Create": index("by-b", "b")}],
                f"{INVALID}AttributeDefinitions is not specified for index: by-b",
            ),
            ([], NOTHING_TO_UPDATE),
        ],
    )
    def test_a_change_that_makes_no_sense_is_refused(
        self, raw: RawClient, indexed: str, changes: list[Values], sentence: str
    ) -> None:
        answer = self.update(raw, indexed, *changes)
        refused(answer, sentence)

    def test_an_index_that_is_there_is_not_created(self, raw: RawClient, indexed: str) -> None:
        answer = self.update(raw, indexed, {"Create": index("by-a", "a")}, attributes=("a:S",))
        refused(answer, "Attempting to create an index which already exists")

    def test_an_index_that_is_not_there_is_not_deleted(self, raw: RawClient, indexed: str) -> None:
        answer = self.update(raw, indexed, {"Delete": {"IndexName": "nope"}})
        sentence = f"Requested resource not found: Index nope for table {indexed}"
        refused(answer, sentence, f"{SERVICE}#ResourceNotFoundException")

    def test_a_type_that_is_set_stays(self, raw: RawClient, indexed: str) -> None:
        answer = self.update(raw, indexed, {"Create": index("by-b", "a")}, attributes=("a:N",))
        assert (answer.status, answer.type) == (400, VALIDATION), answer.body

    @pytest.mark.parametrize(
        "changes",
        [
            [{"Create": index("by-b", "b")}, {"Create": index("by-c", "b")}],
            [{"Create": index("by-b", "b")}, {"Delete": {"IndexName": "by-a"}}],
        ],
    )
    def test_one_index_at_a_time(self, raw: RawClient, indexed: str, changes: list[Values]) -> None:
        refused(
            self.update(raw, indexed, *changes, attributes=("b:S",)),
            "Subscriber limit exceeded: Only 1 online index can be created or deleted simultaneously per "
            "table",
            f"{SERVICE}#LimitExceededException",
        )

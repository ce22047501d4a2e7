"""CreateTable, and DescribeTable and DeleteTable of what it made."""

from __future__ import annotations

from typing import Any

from fixtures import definitions, index, keys, table
from trial import Case, Step, variants

T: dict[str, Any] = {"TableName": "$T"}
UNITS = {"ReadCapacityUnits": 5, "WriteCapacityUnits": 5}
NEW: dict[str, Any] = table("oracle.refused", "pk:S", "sk:N")


def with_global(*indexes: dict[str, Any], **more: Any) -> dict[str, Any]:
    """A table with these global indexes."""
    return {
        **table("oracle.refused", "pk:S", "sk:N", defined=["g:S"], GlobalSecondaryIndexes=list(indexes)),
        **more,
    }


def with_local(*indexes: dict[str, Any], **more: Any) -> dict[str, Any]:
    """A table with these local indexes."""
    return {
        **table("oracle.refused", "pk:S", "sk:N", defined=["l:S"], LocalSecondaryIndexes=list(indexes)),
        **more,
    }


def created(name: str, body: dict[str, Any]) -> Case:
    """A table that is made, described, written to and deleted."""
    return Case(
        name,
        [
            Step("CreateTable", body),
            Step("CreateTable", body),
            Step("DescribeTable", T),
            Step("ListTagsOfResource", {"ResourceArn": "$TableArn"}),
            Step("DescribeTimeToLive", T),
            Step("DeleteTable", T),
            Step("DescribeTable", T),
            Step("DeleteTable", T),
        ],
    )


CASES = [
    created("a table", table("$T", "pk:S")),
    created("a table with a sort key", table("$T", "pk:B", "sk:N")),
    created(
        "throughput", {**table("$T", "pk:S"), "BillingMode": "PROVISIONED", "ProvisionedThroughput": UNITS}
    ),
    created(
        "indexes",
        table(
            "$T",
            "pk:S",
            "sk:N",
            defined=["g:S", "l:B"],
            GlobalSecondaryIndexes=[index("one", "g", "pk"), index("two", "g", include=["a", "b"])],
            LocalSecondaryIndexes=[index("three", "pk", "l", kind="KEYS_ONLY")],
        ),
    ),
    *(
        created(
            f"a stream of {view}",
            table("$T", "pk:S", StreamSpecification={"StreamEnabled": True, "StreamViewType": view}),
        )
        for view in ("KEYS_ONLY", "NEW_IMAGE", "OLD_IMAGE", "NEW_AND_OLD_IMAGES")
    ),
    created("no stream", table("$T", "pk:S", StreamSpecification={"StreamEnabled": False})),
    Case(
        "tables that cannot be",
        variants(
            "CreateTable",
            NEW,
            {"TableName": ...},
            {"TableName": "a"},
            {"TableName": "a b c"},
            {"TableName": "x" * 256},
            {"KeySchema": ...},
            {"KeySchema": []},
            {"KeySchema": keys("pk")},
            {"KeySchema": keys("sk", "pk")},
            {"KeySchema": keys("pk", "pk")},
            {"KeySchema": keys("pk", "nope")},
            {"KeySchema": keys("pk", "sk", hashes=2)},
            {"KeySchema": keys("pk", "sk", hashes=0)},
            {"KeySchema": keys("pk", "sk", "sk")},
            {"KeySchema": [{"AttributeName": "pk", "KeyType": "nope"}]},
            {"KeySchema": [{"AttributeName": "pk"}]},
            {"KeySchema": [{"KeyType": "HASH"}]},
            {"AttributeDefinitions": ...},
            {"AttributeDefinitions": []},
            {"AttributeDefinitions": definitions("pk:S")},
            {"AttributeDefinitions": definitions("pk:S", "sk:N", "x:S")},
            {"AttributeDefinitions": definitions("pk:S", "sk:N", "sk:N")},
            {"AttributeDefinitions": definitions("pk:S", "sk:BOOL")},
            {"AttributeDefinitions": [{"AttributeName": "pk"}]},
            {"BillingMode": ...},
            {"BillingMode": "PROVISIONED"},
            {"BillingMode": "nope"},
            {"ProvisionedThroughput": UNITS},
            {"BillingMode": ..., "ProvisionedThroughput": {"ReadCapacityUnits": 0, "WriteCapacityUnits": 1}},
            {"BillingMode": ..., "ProvisionedThroughput": {"ReadCapacityUnits": 1}},
            {
                "BillingMode": ...,
                "ProvisionedThroughput": {"ReadCapacityUnits": 1, "WriteCapacityUnits": 10**9},
            },
            {"StreamSpecification": {}},
            {"StreamSpecification": {"StreamEnabled": True}},
            {"StreamSpecification": {"StreamEnabled": True, "StreamViewType": "nope"}},
            {"StreamSpecification": {"StreamEnabled": False, "StreamViewType": "NEW_IMAGE"}},
            {"TableClass": "nope"},
            {"Tags": []},
            {"LocalSecondaryIndexes": []},
            {"GlobalSecondaryIndexes": []},
            with_global(index("one", "g"), index("one", "g", "pk")),
            with_global(index("a", "g")),
            with_global(index("a b c", "g")),
            with_global(index("one", "nope")),
            with_global(index("one", "g", "g")),
            with_global({"IndexName": "one", "KeySchema": keys("g")}),
            with_global(index("one", "g"), AttributeDefinitions=definitions("pk:S", "sk:N", "g:S", "x:S")),
            with_global({"IndexName": "one", "KeySchema": keys("g"), "Projection": {}}),
            with_global({"IndexName": "one", "Projection": {"ProjectionType": "ALL"}}),
            with_global({"KeySchema": keys("g"), "Projection": {"ProjectionType": "ALL"}}),
            with_global(index("one", "g", kind="nope")),
            with_global(index("one", "g", kind="INCLUDE")),
            with_global(index("one", "g", include=[])),
            with_global(index("one", "g", include=["a", "a"])),
            with_global(index("one", "g", include=["pk"])),
            with_global(index("one", "g", include=[f"a{number}" for number in range(21)])),
            with_global(
                {**index("one", "g"), "Projection": {"ProjectionType": "ALL", "NonKeyAttributes": ["a"]}}
            ),
            with_global({**index("one", "g"), "ProvisionedThroughput": UNITS}),
            with_global(index("one", "g"), BillingMode="PROVISIONED", ProvisionedThroughput=UNITS),
            with_global(*(index(f"index{number}", "g") for number in range(21))),
            with_local(index("one", "pk", "l"), index("one", "pk", "l")),
            with_local(index("one", "l")),
            with_local(index("one", "pk")),
            with_local(index("one", "l", "pk")),
            with_local(index("one", "pk", "pk")),
            with_local(*(index(f"index{number}", "pk", "l") for number in range(6))),
            {
                **table("oracle.refused", "pk:S", defined=["l:S"]),
                "LocalSecondaryIndexes": [index("one", "pk", "l")],
            },
            {**with_local(index("one", "pk", "l")), "GlobalSecondaryIndexes": [index("one", "l")]},
        ),
        drops=True,
    ),
]

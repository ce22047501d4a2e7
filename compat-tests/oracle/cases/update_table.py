"""UpdateTable: throughput, indexes, and what is refused."""

from __future__ import annotations

from typing import Any

from fixtures import definitions, index
from trial import BASE, Case, Step, variants

T: dict[str, Any] = {"TableName": "$T"}
UNITS = {"ReadCapacityUnits": 5, "WriteCapacityUnits": 5}

CASES = [
    Case(
        "changes of a table",
        [
            *variants(
                "UpdateTable",
                T,
                {},
                {"ProvisionedThroughput": UNITS},
                {"ProvisionedThroughput": {"ReadCapacityUnits": 0, "WriteCapacityUnits": 1}},
                {"ProvisionedThroughput": {"ReadCapacityUnits": 1}},
                {"BillingMode": "nope"},
                {"TableName": "oracle.none", "BillingMode": "PAY_PER_REQUEST"},
                {"TableName": ..., "BillingMode": "PAY_PER_REQUEST"},
                {"GlobalSecondaryIndexUpdates": []},
                {"GlobalSecondaryIndexUpdates": [{}]},
                {"GlobalSecondaryIndexUpdates": [{"Delete": {"IndexName": "none"}}]},
                {"GlobalSecondaryIndexUpdates": [{"Delete": {}}]},
                {
                    "GlobalSecondaryIndexUpdates": [
                        {"Update": {"IndexName": "none", "ProvisionedThroughput": UNITS}}
                    ]
                },
                {
                    "GlobalSecondaryIndexUpdates": [
                        {"Update": {"IndexName": "one", "ProvisionedThroughput": UNITS}}
                    ]
                },
                {
                    "GlobalSecondaryIndexUpdates": [
                        {"Create": {**index("one", "g"), "ProvisionedThroughput": UNITS}}
                    ]
                },
                {"GlobalSecondaryIndexUpdates": [{"Create": index("two", "g")}]},
                {
                    "GlobalSecondaryIndexUpdates": [
                        {"Create": {**index("two", "x"), "ProvisionedThroughput": UNITS}}
                    ]
                },
                {"StreamSpecification": {"StreamEnabled": False}},
                {"StreamSpecification": {"StreamEnabled": True}},
                {"DeletionProtectionEnabled": True},
            ),
            Step("DeleteTable", T),
            *variants("UpdateTable", T, {"DeletionProtectionEnabled": False}),
        ],
        [Step("CreateTable", BASE)],
    ),
    Case(
        "throughput up and down",
        [
            step
            for units in ((6, 6), (6, 6), (1, 7))
            for step in (
                Step(
                    "UpdateTable",
                    {
                        **T,
                        "ProvisionedThroughput": {
                            "ReadCapacityUnits": units[0],
                            "WriteCapacityUnits": units[1],
                        },
                    },
                ),
                Step("DescribeTable", T),
            )
        ],
        [Step("CreateTable", BASE)],
    ),
    Case(
        "an index later",
        [
            Step(
                "UpdateTable",
                {
                    **T,
                    "AttributeDefinitions": definitions("pk:S", "sk:N", "new:S"),
                    "GlobalSecondaryIndexUpdates": [
                        {"Create": {**index("two", "new"), "ProvisionedThroughput": UNITS}}
                    ],
                },
            ),
            Step("DescribeTable", T),
            Step("UpdateTable", {**T, "GlobalSecondaryIndexUpdates": [{"Delete": {"IndexName": "one"}}]}),
            Step("DescribeTable", T),
        ],
        [Step("CreateTable", BASE)],
    ),
]

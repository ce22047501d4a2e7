"""UpdateTimeToLive and DescribeTimeToLive."""

from __future__ import annotations

from typing import Any

from fixtures import table
from trial import Case, Step, variants

T: dict[str, Any] = {"TableName": "$T"}

CASES = [
    Case(
        "the time to live",
        [
            Step("DescribeTimeToLive", T),
            *variants(
                "UpdateTimeToLive",
                T,
                {},
                {"TimeToLiveSpecification": {}},
                {"TimeToLiveSpecification": {"Enabled": True}},
                {"TimeToLiveSpecification": {"AttributeName": "at"}},
                {"TimeToLiveSpecification": {"Enabled": False, "AttributeName": "at"}},
                {"TimeToLiveSpecification": {"Enabled": True, "AttributeName": ""}},
                {"TimeToLiveSpecification": {"Enabled": True, "AttributeName": "x" * 256}},
                {"TimeToLiveSpecification": {"Enabled": True, "AttributeName": "at"}},
                {"TimeToLiveSpecification": {"Enabled": True, "AttributeName": "at"}},
                {"TimeToLiveSpecification": {"Enabled": True, "AttributeName": "other"}},
                {"TimeToLiveSpecification": {"Enabled": False, "AttributeName": "other"}},
                {
                    "TableName": "oracle.none",
                    "TimeToLiveSpecification": {"Enabled": True, "AttributeName": "at"},
                },
            ),
            Step("DescribeTimeToLive", T),
            Step("DescribeTimeToLive", {"TableName": "oracle.none"}),
            Step("DescribeTimeToLive", {}),
        ],
        [Step("CreateTable", table("$T", "pk:S"))],
    ),
]

"""DescribeTable and DeleteTable: names of tables that are not there, or that are no names."""

from __future__ import annotations

from trial import Case, variants

CASES = [
    Case(
        "names",
        [
            step
            for operation in ("DescribeTable", "DeleteTable")
            for step in variants(
                operation,
                {"TableName": "oracle.none"},
                {},
                {"TableName": ...},
                {"TableName": ""},
                {"TableName": "a"},
                {"TableName": "a b c"},
                {"TableName": "x" * 256},
                {"TableName": 7},
            )
        ],
    ),
]

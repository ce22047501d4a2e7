"""ListTables: pages of names."""

from __future__ import annotations

import fixtures
from trial import Case, variants

CASES = [
    Case(
        "lists of tables",
        [
            *variants(
                "ListTables",
                {},
                {},
                {"Limit": 1},
                {"Limit": 2, "ExclusiveStartTableName": fixtures.READS},
                {"ExclusiveStartTableName": "oracle.p"},
                {"ExclusiveStartTableName": "zzz"},
                {"ExclusiveStartTableName": ""},
                {"ExclusiveStartTableName": "a b"},
                {"Limit": 0},
                {"Limit": 101},
                {"Limit": 100},
            ),
        ],
    ),
]

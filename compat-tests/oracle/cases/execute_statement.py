"""ExecuteStatement, BatchExecuteStatement, ExecuteTransaction: what statements do and how they are refused."""

from __future__ import annotations

from typing import Any

import fixtures
from trial import Case, Step

ACME: dict[str, Any] = {"pk": {"S": "Acme"}, "sk": {"N": "1"}}
TABLE = [
    Step(
        "CreateTable",
        fixtures.table(
            "$T", "pk:S", "sk:N", defined=["g:S"], GlobalSecondaryIndexes=[fixtures.index("one", "g")]
        ),
    ),
    Step("PutItem", {"TableName": "$T", "Item": {**ACME, "x": {"N": "1"}, "s": {"SS": ["a", "b"]}}}),
    Step(
        "PutItem",
        {"TableName": "$T", "Item": {**ACME, "sk": {"N": "2"}, "m": {"M": {"l": {"L": [{"N": "7"}]}}}}},
    ),
]
KEY = "WHERE pk = 'Acme' AND sk = 1"

SELECTS = [
    "x",
    "sk, x",
    "m.l[0]",
    "m.l[0], m.l",
    "size(pk)",
    "x + 1",
    "pk || 'x'",
    "COUNT(*)",
    "pk AS a",
    "DISTINCT pk",
    "pk, *",
    "pk, pk",
    "'pk'",
]
WHERES = [
    "AND attribute_type(x, 'N')",
    "AND attribute_type(x, 'Q')",
    "AND x IS MISSING",
    "AND x IS NOT MISSING",
    "AND x IS NULL",
    "AND contains(s, 'a')",
    "AND size(s) > 1",
    "AND begins_with(pk, 'Ac')",
    "AND x LIKE 'A%'",
    "AND x * 2 = 2",
    "AND x + 1 = 2",
    "AND NOT x = 2",
    "AND x != 2",
    "AND x <> 2",
    "AND 1 = x",
    "AND x BETWEEN 1 AND 2",
    "AND x NOT BETWEEN 5 AND 6",
    "AND x IN (1, 2)",
    "AND x IN [1, 2]",
    "AND x NOT IN [5]",
    "AND m.l[0] = 7",
    "AND m['l'][0] = 7",
    "AND sk IN [1, 2]",
    "AND sk > 1",
    "AND sk BETWEEN 1 AND 1",
    "ORDER BY sk DESC",
    "ORDER BY x",
    'AND x = "Acme"',
    "LIMIT 1",
    "GROUP BY pk",
    "AND sk = '1'",
    "-- comment",
    "AND pk = ?",
]
SETS = [
    "SET y = 1",
    "SET y = 1 SET z = 2",
    "SET y = 1, z = 2",
    "SET y = 1 REMOVE x SET z = 2",
    "SET y = if_not_exists(y, 9)",
    "SET y = y + 1",
    "SET y = 'a' + 1",
    "SET y = MISSING",
    "SET y = NULL",
    "SET y = 1, y = 2",
    "SET y[0] = 1",
    "SET y = [1, {'a': <<1>>}]",
    "SET y = list_append(y, [3])",
    "SET y = list_append(pk, [3])",
    "SET s = set_add(s, <<'c'>>)",
    "SET s = SET_DELETE(s, <<'a'>>)",
    "SET s = set_add(s, <<1>>)",
    "SET sk = 4",
    "SET y = <<>>",
    "SET y = <<1, 'a'>>",
    "SET y = <<1, 1>>",
    "",
]
WHOLE = [
    "",
    "SELECT",
    "SELECT * FROM '$T'",
    'SELECT * FROM "$T"."none"',
    'DROP TABLE "$T"',
    'DELETE FROM "$T"',
    'UPDATE "$T" SET y = 1',
    "DELETE FROM \"$T\" WHERE pk = 'none' AND sk = 1 AND x = 1",
    "UPDATE \"$T\" SET y = 1 WHERE pk = 'none' AND sk = 1",
    "INSERT INTO \"$T\" VALUE {'pk': 'new'}",
    "INSERT INTO \"$T\" VALUE {'pk': 1, 'sk': 1}",
    "INSERT INTO \"$T\" VALUE {'pk': 'it''s', 'sk': 1}",
    "INSERT INTO \"$T\" VALUE {pk: 'a', 'sk': 1}",
    "INSERT INTO \"$T\" VALUES {'pk': 'b', 'sk': 1}",
    "INSERT INTO \"$T\" VALUE {'pk': 'c', 'sk': 1, 't': TRUE, 'n': Null, 'e': 1e0, 'l': [], 'm': {}, 'z': ''}",
    "SELECT * FROM \"$T\" WHERE pk = 'c'",
    f'EXISTS(SELECT * FROM "$T" {KEY})',
]


def statement(text: str) -> Step:
    """An ExecuteStatement."""
    return Step("ExecuteStatement", {"Statement": text})


def transaction(*texts: str) -> Step:
    """An ExecuteTransaction."""
    return Step("ExecuteTransaction", {"TransactStatements": [{"Statement": text} for text in texts]})


def batch(*texts: str) -> Step:
    """A BatchExecuteStatement."""
    return Step("BatchExecuteStatement", {"Statements": [{"Statement": text} for text in texts]})


SELECT = f'SELECT * FROM "$T" {KEY}'
UPDATE = f'UPDATE "$T" SET t = 1 {KEY}'

CASES = [
    Case("what statements select", [statement(f'SELECT {what} FROM "$T" {KEY}') for what in SELECTS], TABLE),
    Case(
        "where statements look",
        [statement(f"SELECT sk FROM \"$T\" WHERE pk = 'Acme' {where}") for where in WHERES],
        TABLE,
    ),
    Case(
        "what statements change",
        [
            statement(f'UPDATE "$T" {change} {KEY} RETURNING {returning} *')
            for change in SETS
            for returning in ("ALL NEW", "MODIFIED OLD")
        ],
        TABLE,
    ),
    Case("statements as a whole", [statement(text) for text in WHOLE], TABLE),
    Case(
        "statements of transactions",
        [
            transaction(f'EXISTS(SELECT * FROM "$T" {where})', "DELETE FROM \"$T\" WHERE pk = 'z' AND sk = 1")
            for where in (
                KEY,
                f"{KEY} AND x = 1",
                f"{KEY} AND x = 2",
                f"{KEY} AND q IS MISSING",
                "WHERE pk = 'none' AND sk = 1 AND q IS MISSING",
                "WHERE pk = 'Acme'",
                "WHERE pk = 'Acme' AND sk > 0",
                f"{KEY} OR x = 1",
                "",
            )
        ]
        + [
            transaction(UPDATE, SELECT),
            transaction(SELECT, SELECT.replace("sk = 1", "sk = 9")),
            transaction(SELECT, SELECT),
            transaction(UPDATE, UPDATE),
            transaction(UPDATE.replace("sk = 1", "sk = 9")),
            transaction('SELECT * FROM "$T"'),
        ],
        TABLE,
    ),
    Case(
        "statements of batches",
        [
            batch(SELECT, SELECT.replace("sk = 1", "sk = 9")),
            batch(SELECT, UPDATE),
            batch(SELECT, SELECT),
            batch(UPDATE, UPDATE.replace("sk = 1", "sk = 9")),
            batch(f'EXISTS(SELECT * FROM "$T" {KEY})'),
        ],
        TABLE,
    ),
]

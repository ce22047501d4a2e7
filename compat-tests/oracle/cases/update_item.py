"""UpdateItem: clauses, paths, what is returned, and what is refused."""

from __future__ import annotations

from typing import Any

import fixtures
from trial import Case, Step, variants

KEY = {"pk": {"S": "w"}}
OLD = {
    **KEY,
    "n": {"N": "5"},
    "s": {"S": "abc"},
    "ss": {"SS": ["x", "y"]},
    "ns": {"NS": ["1", "2"]},
    "l": {"L": [{"N": "1"}, {"S": "a"}, {"M": {"x": {"N": "7"}}}]},
    "m": {"M": {"a": {"N": "1"}, "b": {"M": {"c": {"S": "d"}}}}},
}
BASE: dict[str, Any] = {"TableName": "$T", "Key": KEY}
TABLE = [
    Step(
        "CreateTable",
        fixtures.table("$T", "pk:S", defined=["g:S"], GlobalSecondaryIndexes=[fixtures.index("one", "g")]),
    )
]
VALUES = {
    "one": {"N": "1"},
    "s": {"S": "a"},
    "ss": {"SS": ["x", "z"]},
    "ns": {"NS": ["2", "3"]},
    "l": {"L": [{"S": "new"}]},
    "m": {"M": {"q": {"S": "r"}}},
    "t": {"BOOL": True},
    "e": {"S": ""},
    "big": {"N": "9" * 38},
}


def update(expression: str, *names: str, **more: Any) -> dict[str, Any]:
    """An update with the values that it names, and names given as `#x`."""
    body: dict[str, Any] = {"UpdateExpression": expression, **more}
    used = {
        f":{name}": value
        for name, value in VALUES.items()
        if f":{name}" in expression.replace(",", " ").replace(")", " ").split()
    }
    if used:
        body["ExpressionAttributeValues"] = used
    if names:
        body["ExpressionAttributeNames"] = {f"#{name}": name for name in names}
    return body


UPDATES = [
    "SET n = :one",
    "SET n = n + :one",
    "SET n = n - :one",
    "SET n = :one + :one",
    "SET n = n + n",
    "SET n = n + :s",
    "SET n = s + :one",
    "SET n = nope + :one",
    "SET n = :big + :big",
    "SET n = n + :one + :one",
    "SET x = n",
    "SET x = nope",
    "SET x = m.b.c",
    "SET x = l[2].x",
    "SET x = l[9]",
    "SET x = if_not_exists(x, :one)",
    "SET x = if_not_exists(n, :one)",
    "SET x = if_not_exists(n, :one) + :one",
    "SET x = if_not_exists(:one, :one)",
    "SET x = if_not_exists(nope)",
    "SET l = list_append(l, :l)",
    "SET l = list_append(:l, l)",
    "SET l = list_append(:l, :l)",
    "SET l = list_append(nope, :l)",
    "SET l = list_append(l, :s)",
    "SET l = list_append(s, :l)",
    "SET l = list_append(if_not_exists(nope, :l), :l)",
    "SET x = size(s)",
    "SET x = attribute_exists(s)",
    "SET x = nope(s)",
    "SET l[0] = :s",
    "SET l[9] = :s, l[7] = :one",
    "SET l[2].x = :s",
    "SET l[0].x = :s",
    "SET m.a = :s",
    "SET m.z = :s",
    "SET m.z.y = :s",
    "SET s.x = :s",
    "SET s[0] = :s",
    "SET nope.x = :s",
    "SET nope[0] = :s",
    "SET m = :m, m.a = :one",
    "SET m.a = :one, m.a = :one",
    "SET m.a = :one, m[0] = :one",
    "SET pk = :s",
    "SET pk = pk",
    "REMOVE pk",
    "ADD pk :one",
    "SET g = :s",
    "SET g = :e",
    "SET g = :one",
    "SET e = :e",
    "REMOVE n",
    "REMOVE nope",
    "REMOVE l[0]",
    "REMOVE l[0], l[1]",
    "REMOVE l[9]",
    "REMOVE m.a",
    "REMOVE m.b.c",
    "REMOVE m.nope.c",
    "REMOVE s.x",
    "REMOVE n, n",
    "ADD n :one",
    "ADD nope :one",
    "ADD nope :ss",
    "ADD s :one",
    "ADD ss :ss",
    "ADD ss :ns",
    "ADD ns :ns",
    "ADD n :s",
    "ADD n :t",
    "ADD l :l",
    "ADD m.a :one",
    "ADD m.nope :ss",
    "ADD n :big",
    "DELETE ss :ss",
    "DELETE ss :s",
    "DELETE ss :ns",
    "DELETE nope :ss",
    "DELETE s :ss",
    "DELETE ns :one",
    "DELETE m.x :ss",
    "SET n = :one REMOVE s ADD ns :ns DELETE ss :ss",
    "SET n = :one SET s = :s",
    "REMOVE n SET s = :s",
    "set n = :one",
    "SET n = :one,",
    "SET n :one",
    "SET",
    "SET = :one",
    "SET n = (n + :one)",
    "SET (n) = :one",
    "SET n = :one REMOVE n",
    "REMOVE",
    "nope",
    "",
    " ",
    "SET name = :s",
    "SET #name = :s",
    "SET n = :nope",
    "SET #nope = :s",
    "SET n = :one AND s = :s",
    "SET n == :one",
    "SET l[-1] = :one",
    "SET l[a] = :one",
    "SET l[99999999999] = :one",
    "SET 1n = :one",
    "SET n.1 = :one",
    "SET a.b.c.d = :one",
    "SET _a = :one",
    "SET a-b = :one",
]
UPDATED: list[dict[str, Any]] = [
    {"n": {"Value": {"N": "1"}}},
    {"n": {"Action": "PUT", "Value": {"S": "x"}}},
    {"n": {"Action": "PUT"}},
    {"n": {"Action": "ADD", "Value": {"N": "1"}}},
    {"n": {"Action": "ADD", "Value": {"S": "1"}}},
    {"s": {"Action": "ADD", "Value": {"N": "1"}}},
    {"ss": {"Action": "ADD", "Value": {"SS": ["q"]}}},
    {"ss": {"Action": "ADD", "Value": {"NS": ["1"]}}},
    {"l": {"Action": "ADD", "Value": {"L": [{"S": "q"}]}}},
    {"nope": {"Action": "ADD", "Value": {"L": [{"S": "q"}]}}},
    {"nope": {"Action": "ADD", "Value": {"N": "3"}}},
    {"n": {"Action": "ADD"}},
    {"n": {"Action": "DELETE"}},
    {"nope": {"Action": "DELETE"}},
    {"n": {"Action": "DELETE", "Value": {"N": "1"}}},
    {"ss": {"Action": "DELETE", "Value": {"SS": ["x"]}}},
    {"ss": {"Action": "DELETE", "Value": {"SS": ["x", "y"]}}},
    {"ss": {"Action": "DELETE", "Value": {"NS": ["1"]}}},
    {"n": {"Action": "nope", "Value": {"N": "1"}}},
    {"n": {}},
    {"n": None},
    {"": {"Value": {"N": "1"}}},
    {"pk": {"Value": {"S": "x"}}},
    {"pk": {"Action": "DELETE"}},
    {"g": {"Value": {"S": ""}}},
    {"g": {"Value": {"N": "1"}}},
    {"m.a": {"Value": {"S": "x"}}},
    {},
]
CASES = [
    Case(
        "every clause",
        [
            step
            for text in UPDATES
            for step in (
                Step("PutItem", {"TableName": "$T", "Item": OLD}),
                *variants(
                    "UpdateItem",
                    BASE,
                    update(text, *(["name"] if "#name" in text else []), ReturnValues="ALL_NEW"),
                ),
                *variants(
                    "UpdateItem",
                    BASE,
                    update(text, *(["name"] if "#name" in text else []), ReturnValues="UPDATED_NEW"),
                ),
            )
        ],
        TABLE,
    ),
    Case(
        "what is returned",
        [
            step
            for returned in ("NONE", "ALL_OLD", "UPDATED_OLD", "ALL_NEW", "UPDATED_NEW", "nope")
            for text in (
                "SET m.a = :s, x = :one",
                "REMOVE n, l[0]",
                "ADD n :one",
                "DELETE ss :ss",
                "SET l[1] = :one, l[2].x = :s",
            )
            for step in (
                Step("PutItem", {"TableName": "$T", "Item": OLD}),
                *variants("UpdateItem", BASE, update(text, ReturnValues=returned)),
            )
        ],
        TABLE,
    ),
    Case(
        "items that are not there",
        [
            *variants(
                "UpdateItem",
                {**BASE, "ReturnValues": "ALL_NEW"},
                {"Key": {"pk": {"S": "u1"}}},
                {"Key": {"pk": {"S": "u2"}}, **update("SET n = :one")},
                {"Key": {"pk": {"S": "u3"}}, **update("REMOVE n")},
                {"Key": {"pk": {"S": "u4"}}, **update("ADD n :one")},
                {"Key": {"pk": {"S": "u5"}}, **update("DELETE ss :ss")},
                {"Key": {"pk": {"S": "u6"}}, **update("SET n = n + :one")},
                {"Key": {"pk": {"S": "u7"}}, **update("SET m.x = :one")},
                {
                    "Key": {"pk": {"S": "u8"}},
                    **update("SET n = :one", ConditionExpression="attribute_exists(pk)"),
                },
                {
                    "Key": {"pk": {"S": "u9"}},
                    **update("SET n = :one", ConditionExpression="attribute_not_exists(pk)"),
                },
                {"Key": {"pk": {"S": "v1"}}, **update("SET n = :one", ReturnValues="ALL_OLD")},
                {"Key": {"pk": {"S": "v2"}}, **update("SET n = :one", ReturnValues="UPDATED_OLD")},
                {"Key": {"pk": {"S": "v3"}}, **update("SET n = :one", ReturnConsumedCapacity="INDEXES")},
                {"Key": {"pk": {"S": "v4"}}, **update("SET g = :s", ReturnConsumedCapacity="INDEXES")},
                {"Key": {"pk": {"S": "v4"}}, **update("SET g = :s", ReturnConsumedCapacity="INDEXES")},
                {"Key": {"pk": {"S": "v4"}}, **update("REMOVE g", ReturnConsumedCapacity="INDEXES")},
            ),
            Step(
                "Query",
                {
                    "TableName": "$T",
                    "KeyConditionExpression": "pk = :p",
                    "ExpressionAttributeValues": {":p": {"S": "u4"}},
                },
            ),
        ],
        TABLE,
    ),
    Case(
        "attribute updates",
        [
            step
            for updates in UPDATED
            for step in (
                Step("PutItem", {"TableName": "$T", "Item": OLD}),
                *variants("UpdateItem", BASE, {"AttributeUpdates": updates, "ReturnValues": "ALL_NEW"}),
            )
        ],
        TABLE,
    ),
    Case(
        "keys and mixtures",
        variants(
            "UpdateItem",
            {**BASE, **update("SET n = :one")},
            {"Key": ...},
            {"Key": {}},
            {"Key": {"pk": {"N": "1"}}},
            {"Key": {"pk": {"S": ""}}},
            {"Key": {"pk": {"S": "a"}, "sk": {"S": "a"}}},
            {"Key": {"nope": {"S": "a"}}},
            {"Key": {"pk": {"S": "x" * 2049}}},
            {"TableName": "oracle.none"},
            {"AttributeUpdates": {"n": {"Value": {"N": "1"}}}},
            {"Expected": {"n": {"Exists": False}}},
            {"ConditionExpression": "n = :one"},
            {"ConditionExpression": "n = :two"},
            {"ExpressionAttributeValues": ...},
            {"ExpressionAttributeValues": {**{":one": {"N": "1"}}, ":two": {"N": "2"}}},
            {"ExpressionAttributeNames": {"#n": "n"}},
        ),
        TABLE,
    ),
]

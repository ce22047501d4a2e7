"""UpdateExpression: what each clause does, what comes back, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from errors import KEY_MISMATCH, accepted, refused
from raw import RawClient

Item = dict[str, Any]

ITEM: Item = {
    "s": {"S": "abc"},
    "n": {"N": "5"},
    "l": {"L": [{"N": "1"}, {"N": "2"}]},
    "m": {"M": {"a": {"N": "1"}}},
    "ss": {"SS": ["x", "y"]},
    "ns": {"NS": ["1", "2"]},
}

VALUES: Item = {
    ":s": {"S": "new"},
    ":one": {"N": "1"},
    ":n": {"N": "7"},
    ":t": {"BOOL": True},
    ":ss": {"SS": ["x"]},
    ":xyz": {"SS": ["x", "y", "z"]},
    ":ns": {"NS": ["2", "3"]},
    ":l": {"L": [{"S": "z"}]},
    ":m": {"M": {"k": {"S": "v"}}},
    ":z": {"NULL": True},
    ":b": {"B": "YQ=="},
}

NUMBERS = {"L": [{"N": "1"}, {"N": "2"}]}
Z = {"S": "z"}


def update(table: str, key: str, expression: str, **more: Any) -> Item:
    """An UpdateItem request with just the values that `expression` names."""
    words = "".join(" " if c in ",()=" else c for c in expression).split()
    values = {word: VALUES[word] for word in words if word in VALUES}
    request = {"TableName": table, "Key": {"pk": {"S": key}}, "UpdateExpression": expression}
    if values:
        request["ExpressionAttributeValues"] = values
    return {**request, **more}


def same(one: Any, other: Any) -> bool:
    """Equality of items where the members of sets have no order."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(
            sorted(one[k]) == sorted(other[k]) if k in {"SS", "NS", "BS"} else same(one[k], other[k])
            for k in one
        )
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(same(a, b) for a, b in zip(one, other))
    return bool(one == other)


@pytest.fixture
def stored(dynamodb: Any, table: str, key: str) -> str:
    """The key of a fresh copy of `ITEM`."""
    dynamodb.put_item(TableName=table, Item={"pk": {"S": key}, **ITEM})
    return key


@pytest.mark.parametrize(
    ("expression", "changes"),
    [
        # SET
        ("SET s = :s", {"s": {"S": "new"}}),
        ("set s=:s", {"s": {"S": "new"}}),
        ("SET q = :m", {"q": {"M": {"k": {"S": "v"}}}}),
        ("SET n = :z", {"n": {"NULL": True}}),
        ("SET m.a = :n", {"m": {"M": {"a": {"N": "7"}}}}),
        ("SET m.b = :n", {"m": {"M": {"a": {"N": "1"}, "b": {"N": "7"}}}}),
        ("SET m.a = :n, m.b = :s", {"m": {"M": {"a": {"N": "7"}, "b": {"S": "new"}}}}),
        ("SET l[0] = :n", {"l": {"L": [{"N": "7"}, {"N": "2"}]}}),
        ("SET l[9] = :n", {"l": {"L": [{"N": "1"}, {"N": "2"}, {"N": "7"}]}}),
        ("SET l[9] = :n, l[5] = :s", {"l": {"L": [{"N": "1"}, {"N": "2"}, {"S": "new"}, {"N": "7"}]}}),
        ("SET l[1] = :m", {"l": {"L": [{"N": "1"}, {"M": {"k": {"S": "v"}}}]}}),
        ("SET q = s", {"q": {"S": "abc"}}),
        ("SET q = m", {"q": {"M": {"a": {"N": "1"}}}}),
        ("SET q = l[1]", {"q": {"N": "2"}}),
        # Arithmetic
        ("SET n = n + :n", {"n": {"N": "12"}}),
        ("SET n = n - :n", {"n": {"N": "-2"}}),
        ("SET n = :n - n", {"n": {"N": "2"}}),
        ("SET n = n - n", {"n": {"N": "0"}}),
        ("SET q = l[0] + l[1]", {"q": {"N": "3"}}),
        ("SET m.a = m.a + :one", {"m": {"M": {"a": {"N": "2"}}}}),
        ("SET n = (n + :n)", {"n": {"N": "12"}}),
        # Functions
        ("SET n = if_not_exists(n, :s)", {}),
        ("SET q = if_not_exists(q, :s)", {"q": {"S": "new"}}),
        ("SET q = if_not_exists(q, :one) + :n", {"q": {"N": "8"}}),
        ("SET q = if_not_exists(q, s)", {"q": {"S": "abc"}}),
        ("SET q = if_not_exists(m.nope, m.a)", {"q": {"N": "1"}}),
        ("SET q = if_not_exists(nope, if_not_exists(nada, :n))", {"q": {"N": "7"}}),
        ("SET l = list_append(l, :l)", {"l": {"L": [*NUMBERS["L"], Z]}}),
        ("SET l = list_append(:l, l)", {"l": {"L": [Z, *NUMBERS["L"]]}}),
        ("SET l = list_append(l, l)", {"l": {"L": [*NUMBERS["L"], *NUMBERS["L"]]}}),
        ("SET q = list_append(if_not_exists(q, :l), l)", {"q": {"L": [Z, *NUMBERS["L"]]}}),
        # REMOVE
        ("REMOVE s", {"s": None}),
        ("REMOVE s, n", {"s": None, "n": None}),
        ("REMOVE nope", {}),
        ("REMOVE m.a", {"m": {"M": {}}}),
        ("REMOVE m.nope", {}),
        ("REMOVE l[0]", {"l": {"L": [{"N": "2"}]}}),
        ("REMOVE l[0], l[1]", {"l": {"L": []}}),
        ("REMOVE l[7]", {}),
        # ADD
        ("ADD n :n", {"n": {"N": "12"}}),
        ("ADD q :n", {"q": {"N": "7"}}),
        ("ADD m.a :n", {"m": {"M": {"a": {"N": "8"}}}}),
        ("ADD m.q :n", {"m": {"M": {"a": {"N": "1"}, "q": {"N": "7"}}}}),
        ("ADD l[0] :n", {"l": {"L": [{"N": "8"}, {"N": "2"}]}}),
        ("ADD ss :xyz", {"ss": {"SS": ["x", "y", "z"]}}),
        ("ADD ns :ns", {"ns": {"NS": ["1", "2", "3"]}}),
        ("ADD q :ss", {"q": {"SS": ["x"]}}),
        # DELETE
        ("DELETE ss :ss", {"ss": {"SS": ["y"]}}),
        ("DELETE ns :ns", {"ns": {"NS": ["1"]}}),
        ("DELETE ss :xyz", {"ss": None}),
        ("DELETE nope :ss", {}),
        # Everything reads the item as it was before
        ("SET l[0] = l[1], l[1] = l[0]", {"l": {"L": [{"N": "2"}, {"N": "1"}]}}),
        ("SET n = m.a, m.a = n", {"n": {"N": "1"}, "m": {"M": {"a": {"N": "5"}}}}),
        ("REMOVE s SET q = s", {"q": {"S": "abc"}, "s": None}),
        ("REMOVE l[0] SET l[1] = :n", {"l": {"L": [{"N": "7"}]}}),
        # All four clauses, in any order
        (
            "DELETE ss :ss ADD n :one REMOVE s SET q = :s",
            {"ss": {"SS": ["y"]}, "n": {"N": "6"}, "s": None, "q": {"S": "new"}},
        ),
    ],
)
def test_an_update_changes_what_it_says_and_nothing_else(
    raw: RawClient, table: str, stored: str, expression: str, changes: Item
) -> None:
    expected = {"pk": {"S": stored}, **ITEM, **changes}
    expected = {name: value for name, value in expected.items() if value is not None}
    after = accepted(raw.call("UpdateItem", update(table, stored, expression, ReturnValues="ALL_NEW")))
    assert same(after["Attributes"], expected)
    read = accepted(raw.call("GetItem", {"TableName": table, "Key": {"pk": {"S": stored}}}))
    assert same(read["Item"], expected)


def test_an_update_without_a_clause_makes_the_item(dynamodb: Any, table: str, key: str) -> None:
    made = dynamodb.update_item(TableName=table, Key={"pk": {"S": key}}, ReturnValues="ALL_NEW")
    assert made["Attributes"] == {"pk": {"S": key}}
    assert dynamodb.get_item(TableName=table, Key={"pk": {"S": key}})["Item"] == {"pk": {"S": key}}


def test_an_update_makes_the_item_with_its_attributes(dynamodb: Any, ranged: str, key: str) -> None:
    where = {"pk": {"S": key}, "sk": {"S": "a"}}
    dynamodb.update_item(
        TableName=ranged,
        Key=where,
        UpdateExpression="SET hits = if_not_exists(hits, :zero) + :one ADD tags :tags",
        ExpressionAttributeValues={":zero": {"N": "0"}, ":one": {"N": "1"}, ":tags": {"SS": ["new"]}},
    )
    item = dynamodb.get_item(TableName=ranged, Key=where)["Item"]
    assert item == {**where, "hits": {"N": "1"}, "tags": {"SS": ["new"]}}


class TestArithmetic:
    """Exact decimal sums of 38 digits; what does not fit is refused, never rounded."""

    @pytest.mark.parametrize(
        ("a", "sign", "b", "result"),
        [
            ("0.1", "+", "0.2", "0.3"),
            ("5", "+", "1e-37", "5.0000000000000000000000000000000000001"),
            ("1e37", "+", "1", "10000000000000000000000000000000000001"),
            ("9" * 38, "+", "1", "1" + "0" * 38),
            ("1e125", "-", "1e125", "0"),
            pytest.param(
                "-1e-130",
                "+",
                "1e-130",
                "0",
                marks=pytest.mark.differs_from_dynamodb_local("it answers 0 with 130 zeros behind the point"),
            ),
            ("1e-130", "+", "2e-130", "0." + "0" * 129 + "3"),
            ("12345678901234567890", "-", "12345678901234567889.5", "0.5"),
        ],
    )
    def test_a_sum_is_exact(
        self, dynamodb: Any, table: str, key: str, a: str, sign: str, b: str, result: str
    ) -> None:
        after = dynamodb.update_item(
            TableName=table,
            Key={"pk": {"S": key}},
            UpdateExpression=f"SET n = :a {sign} :b",
            ExpressionAttributeValues={":a": {"N": a}, ":b": {"N": b}},
            ReturnValues="ALL_NEW",
        )
        assert after["Attributes"]["n"] == {"N": result}

    @pytest.mark.parametrize(
        ("a", "sign", "b", "sentence"),
        [
            ("5", "+", "1e-38", "Attempting to store more than 38 significant digits in a Number"),
            ("1e40", "+", "1", "Attempting to store more than 38 significant digits in a Number"),
            (
                "9.9e125",
                "+",
                "9.9e125",
                "Number overflow. Attempting to store a number with magnitude larger than supported range",
            ),
            (
                "1.1e-130",
                "-",
                "1e-130",
                "Number underflow. Attempting to store a number with magnitude smaller than supported range",
            ),
        ],
    )
    def test_a_sum_that_does_not_fit_is_refused(
        self, raw: RawClient, table: str, key: str, a: str, sign: str, b: str, sentence: str
    ) -> None:
        request = {
            "TableName": table,
            "Key": {"pk": {"S": key}},
            "UpdateExpression": f"SET n = :a {sign} :b",
            "ExpressionAttributeValues": {":a": {"N": a}, ":b": {"N": b}},
        }
        refused(raw.call("UpdateItem", request), sentence)
        assert accepted(raw.call("GetItem", {"TableName": table, "Key": {"pk": {"S": key}}})) == {}


@pytest.mark.differs_from_dynamodb_local("it makes an item of nothing but its key")
@pytest.mark.parametrize("expression", ["REMOVE s", "REMOVE s, n", "DELETE ss :ss", "REMOVE s DELETE ss :ss"])
def test_what_only_takes_away_makes_no_item(raw: RawClient, table: str, key: str, expression: str) -> None:
    assert accepted(raw.call("UpdateItem", update(table, key, expression, ReturnValues="ALL_NEW"))) == {}
    one = {"TableName": table, "Key": {"pk": {"S": key}}, "ConsistentRead": True}
    assert accepted(raw.call("GetItem", one)) == {}


class TestReturnValues:
    """What an update tells."""

    @pytest.mark.parametrize("expression", ["SET s = :s", "REMOVE s", "ADD n :n"])
    def test_nothing_unless_asked(self, raw: RawClient, table: str, stored: str, expression: str) -> None:
        assert accepted(raw.call("UpdateItem", update(table, stored, expression))) == {}
        answer = raw.call("UpdateItem", update(table, stored, expression, ReturnValues="NONE"))
        assert accepted(answer) == {}

    def test_the_whole_item_before(self, raw: RawClient, table: str, stored: str) -> None:
        answer = raw.call("UpdateItem", update(table, stored, "SET s = :s", ReturnValues="ALL_OLD"))
        assert same(accepted(answer)["Attributes"], {"pk": {"S": stored}, **ITEM})

    def test_nothing_before_a_new_item(self, raw: RawClient, table: str, key: str) -> None:
        for value in ("ALL_OLD", "UPDATED_OLD"):
            answer = raw.call("UpdateItem", update(table, key + value, "SET s = :s", ReturnValues=value))
            assert accepted(answer) == {}

    @pytest.mark.parametrize(
        ("expression", "old", "new"),
        [
            ("SET s = :s", {"s": {"S": "abc"}}, {"s": {"S": "new"}}),
            ("SET q = :s", None, {"q": {"S": "new"}}),
            ("SET q = :s REMOVE s", {"s": {"S": "abc"}}, {"q": {"S": "new"}}),
            ("SET m.a = :n", {"m": {"M": {"a": {"N": "1"}}}}, {"m": {"M": {"a": {"N": "7"}}}}),
            ("REMOVE s", {"s": {"S": "abc"}}, None),
            ("REMOVE m.a", {"m": {"M": {"a": {"N": "1"}}}}, None),
            ("REMOVE nope", None, None),
            ("ADD n :n", {"n": {"N": "5"}}, {"n": {"N": "12"}}),
            ("DELETE ss :ss", {"ss": {"SS": ["x", "y"]}}, {"ss": {"SS": ["y"]}}),
        ],
    )
    def test_only_what_changed(
        self, raw: RawClient, table: str, stored: str, expression: str, old: Item | None, new: Item | None
    ) -> None:
        before = accepted(
            raw.call("GetItem", {"TableName": table, "Key": {"pk": {"S": stored}}, "ConsistentRead": True})
        )["Item"]
        answer = raw.call("UpdateItem", update(table, stored, expression, ReturnValues="UPDATED_OLD"))
        assert same(accepted(answer).get("Attributes"), old)
        accepted(raw.call("PutItem", {"TableName": table, "Item": before}))
        answer = raw.call("UpdateItem", update(table, stored, expression, ReturnValues="UPDATED_NEW"))
        assert same(accepted(answer).get("Attributes"), new)

    @pytest.mark.differs_from_dynamodb_local("it returns the whole top-level attribute, siblings and all")
    @pytest.mark.parametrize(
        ("expression", "old", "new"),
        [
            ("SET m.b = :n", None, {"m": {"M": {"b": {"N": "7"}}}}),
            ("SET l[1] = :n", {"l": {"L": [{"N": "2"}]}}, {"l": {"L": [{"N": "7"}]}}),
        ],
    )
    def test_of_a_document_only_the_changed_leaves(
        self, raw: RawClient, table: str, stored: str, expression: str, old: Item | None, new: Item
    ) -> None:
        accepted(raw.call("PutItem", {"TableName": table, "Item": {"pk": {"S": stored}, **ITEM}}))
        answer = raw.call("UpdateItem", update(table, stored, expression, ReturnValues="UPDATED_OLD"))
        assert accepted(answer).get("Attributes") == old
        accepted(raw.call("PutItem", {"TableName": table, "Item": {"pk": {"S": stored}, **ITEM}}))
        answer = raw.call("UpdateItem", update(table, stored, expression, ReturnValues="UPDATED_NEW"))
        assert accepted(answer).get("Attributes") == new


INVALID = "Invalid UpdateExpression: "
OVERLAP = "Two document paths overlap with each other; must remove or rewrite one of these paths; path one: "
CONFLICT = (
    "Two document paths conflict with each other; must remove or rewrite one of these paths; path one: "
)
OPERAND = "Incorrect operand type for operator or function; operator"


@pytest.mark.parametrize(
    ("expression", "sentence"),
    [
        ("", "The expression can not be empty;"),
        (" ", 'Syntax error; token: "<EOF>", near: " "'),
        ("SET", 'Syntax error; token: "<EOF>", near: "SET"'),
        ("SET s", 'Syntax error; token: "<EOF>", near: "s"'),
        ("SET s = :s,", 'Syntax error; token: "<EOF>", near: ","'),
        ("SET ,s = :s", 'Syntax error; token: ",", near: "SET ,s"'),
        ("SET s = :s n = :n", 'Syntax error; token: "n", near: ":s n ="'),
        ("SET n = n * :n", 'Syntax error; token: "*", near: "n * :n"'),
        ("SET n = n + :n + :n", 'Syntax error; token: "+", near: ":n + :n"'),
        ("SET n = 5", 'Syntax error; token: "5", near: "= 5"'),
        ("SET s = :s AND n = :n", 'Syntax error; token: "AND", near: ":s AND n"'),
        ("SET s = :s; REMOVE n", 'Syntax error; token: ";", near: ":s; REMOVE"'),
        ("UPSERT s = :s", 'Syntax error; token: "UPSERT", near: "UPSERT s"'),
        ("s = :s", 'Syntax error; token: "s", near: "s ="'),
        ("REMOVE s = :s", 'Syntax error; token: "=", near: "s = :s"'),
        ("REMOVE s,", 'Syntax error; token: "<EOF>", near: ","'),
        ("ADD n = :n", 'Syntax error; token: "=", near: "n = :n"'),
        ("ADD n", 'Syntax error; token: "<EOF>", near: "n"'),
        ("ADD n n", 'Syntax error; token: "n", near: "n n"'),
        ("DELETE ss ss", 'Syntax error; token: "ss", near: "ss ss"'),
        ("SET l[-1] = :n", 'Syntax error; token: "-", near: "[-1"'),
        ("SET s = :s SET n = :n", 'The "SET" section can only be used once in an update expression;'),
        ("ADD n :n ADD q :n", 'The "ADD" section can only be used once in an update expression;'),
        ("SET s = :s, s = :n", f"{OVERLAP}[s], path two: [s]"),
        ("SET s = :s REMOVE s", f"{OVERLAP}[s], path two: [s]"),
        ("SET m = :m, m.a = :n", f"{OVERLAP}[m], path two: [m, a]"),
        ("SET m.a = :n, m.a = :s", f"{OVERLAP}[m, a], path two: [m, a]"),
        ("REMOVE l[0], l", f"{OVERLAP}[l, [0]], path two: [l]"),
        ("ADD n :n, n :n", f"{OVERLAP}[n], path two: [n]"),
        ("SET m.a = :n, m[0] = :n", f"{CONFLICT}[m, a], path two: [m, [0]]"),
        ("SET l[0] = :n, l.a = :l", f"{CONFLICT}[l, [0]], path two: [l, a]"),
        ("SET n = ((n + :n))", "The expression has redundant parentheses;"),
        ("SET name = :s", "Attribute name is a reserved keyword; reserved keyword: name"),
        ("SET q = year", "Attribute name is a reserved keyword; reserved keyword: year"),
        (
            "SET #x = :s",
            "An expression attribute name used in the document path is not defined; attribute name: #x",
        ),
        (
            "SET q = :x",
            "An expression attribute value used in expression is not defined; attribute value: :x",
        ),
        ("SET q = foo(s)", "Invalid function name; function: foo"),
        ("SET q = IF_NOT_EXISTS(q, :n)", "Invalid function name; function: IF_NOT_EXISTS"),
        ("SET q = size(s)", "The function is not allowed in an update expression; function: size"),
        (
            "SET q = attribute_exists(s)",
            "The function is not allowed in an update expression; function: attribute_exists",
        ),
        (
            "SET q = if_not_exists(q)",
            "Incorrect number of operands for operator or function; "
            "operator or function: if_not_exists, number of operands: 1",
        ),
        (
            "SET l = list_append(l)",
            "Incorrect number of operands for operator or function; "
            "operator or function: list_append, number of operands: 1",
        ),
        (
            "SET q = if_not_exists(:n, :n)",
            "Operator or function requires a document path; operator or function: if_not_exists",
        ),
        ("SET n = n + :s", f"{OPERAND} or function: +, operand type: S"),
        ("SET l = list_append(l, :n)", f"{OPERAND} or function: list_append, operand type: N"),
        ("ADD n :s", f"{OPERAND}: ADD, operand type: STRING, typeSet: ALLOWED_FOR_ADD_OPERAND"),
        ("ADD n :t", f"{OPERAND}: ADD, operand type: BOOLEAN, typeSet: ALLOWED_FOR_ADD_OPERAND"),
        ("ADD l :l", f"{OPERAND}: ADD, operand type: LIST, typeSet: ALLOWED_FOR_ADD_OPERAND"),
        ("ADD n :m", f"{OPERAND}: ADD, operand type: MAP, typeSet: ALLOWED_FOR_ADD_OPERAND"),
        ("ADD n :z", f"{OPERAND}: ADD, operand type: NULL, typeSet: ALLOWED_FOR_ADD_OPERAND"),
        ("ADD n :b", f"{OPERAND}: ADD, operand type: BINARY, typeSet: ALLOWED_FOR_ADD_OPERAND"),
        ("DELETE ss :s", f"{OPERAND}: DELETE, operand type: STRING, typeSet: ALLOWED_FOR_DELETE_OPERAND"),
        ("DELETE ss :n", f"{OPERAND}: DELETE, operand type: NUMBER, typeSet: ALLOWED_FOR_DELETE_OPERAND"),
        ("SET l[99999999999] = :n", "List index is not within the allowable range; index: [99999999999]"),
    ],
)
def test_a_malformed_update_is_refused_before_the_item_is_read(
    raw: RawClient, table: str, key: str, expression: str, sentence: str
) -> None:
    refused(raw.call("UpdateItem", update(table, key, expression)), INVALID + sentence)


NO_PATH = "The document path provided in the update expression is invalid for update"
NO_VALUE = "The provided expression refers to an attribute that does not exist in the item"
WRONG_TYPE = "An operand in the update expression has an incorrect data type"


@pytest.mark.parametrize(
    ("expression", "sentence"),
    [
        ("SET nope.a = :n", NO_PATH),
        ("SET nope[0] = :n", NO_PATH),
        ("SET s.a = :n", NO_PATH),
        ("SET s[0] = :n", NO_PATH),
        ("SET m[0] = :n", NO_PATH),
        ("SET l.a = :n", NO_PATH),
        ("SET m.x.y = :n", NO_PATH),
        ("REMOVE nope.a", NO_PATH),
        ("REMOVE s[0]", NO_PATH),
        ("ADD m.q.w :n", NO_PATH),
        ("SET q = nope", NO_VALUE),
        ("SET q = l[9]", NO_VALUE),
        ("SET n = nope + :n", NO_VALUE),
        ("SET q = if_not_exists(q, nope)", NO_VALUE),
        ("SET l = list_append(nope, :l)", NO_VALUE),
        ("SET n = s + :n", WRONG_TYPE),
        ("SET l = list_append(s, :l)", WRONG_TYPE),
        ("ADD s :n", WRONG_TYPE),
        ("ADD ss :ns", WRONG_TYPE),
        ("ADD n :ss", WRONG_TYPE),
        ("ADD ss :n", WRONG_TYPE),
        ("DELETE s :ss", WRONG_TYPE),
        ("DELETE ss :ns", WRONG_TYPE),
    ],
)
def test_an_update_that_does_not_fit_the_item_is_refused_and_changes_nothing(
    raw: RawClient, table: str, stored: str, expression: str, sentence: str
) -> None:
    refused(raw.call("UpdateItem", update(table, stored, expression)), sentence)
    read = accepted(raw.call("GetItem", {"TableName": table, "Key": {"pk": {"S": stored}}}))
    assert same(read["Item"], {"pk": {"S": stored}, **ITEM})


@pytest.mark.parametrize("expression", ["SET pk = :s", "REMOVE pk", "ADD pk :n", "DELETE pk :ss"])
def test_a_key_is_not_updated(raw: RawClient, table: str, key: str, expression: str) -> None:
    refused(
        raw.call("UpdateItem", update(table, key, expression)),
        "One or more parameter values were invalid: "
        "Cannot update attribute pk. This attribute is part of the key",
    )


def test_an_update_needs_the_whole_key(raw: RawClient, ranged: str, key: str) -> None:
    refused(raw.call("UpdateItem", update(ranged, key, "SET s = :s")), KEY_MISMATCH)


def test_an_item_does_not_grow_over_400_kb(dynamodb: Any, raw: RawClient, table: str, key: str) -> None:
    request = {
        "TableName": table,
        "Key": {"pk": {"S": key}},
        "UpdateExpression": "SET v = :v",
        "ExpressionAttributeValues": {":v": {"S": "x" * (409_600 - len("pk") - len(key) - len("v"))}},
    }
    accepted(raw.call("UpdateItem", request))
    refused(
        raw.call(
            "UpdateItem",
            {
                **request,
                "UpdateExpression": "SET w = :v",
                "ExpressionAttributeValues": {":v": {"S": ""}},
            },
        ),
        "Item size to update has exceeded the maximum allowed size",
    )
    assert dynamodb.get_item(TableName=table, Key={"pk": {"S": key}})["Item"].keys() == {"pk", "v"}


def test_a_counter_raised_by_many_at_once_loses_none(dynamodb: Any, table: str, key: str) -> None:
    from concurrent.futures import ThreadPoolExecutor

    def raise_it(_: int) -> str:
        after = dynamodb.update_item(
            TableName=table,
            Key={"pk": {"S": key}},
            UpdateExpression="ADD hits :one",
            ExpressionAttributeValues={":one": {"N": "1"}},
            ReturnValues="UPDATED_NEW",
        )
        return str(after["Attributes"]["hits"]["N"])

    with ThreadPoolExecutor(16) as threads:
        seen = list(threads.map(raise_it, range(200)))
    assert sorted(map(int, seen)) == list(range(1, 201))

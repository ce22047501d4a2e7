"""ConditionExpression: what holds, what does not, what it protects, and what is not an expression at all."""

from __future__ import annotations

from typing import Any

import pytest

import truths
from errors import accepted, failed_condition, refused
from raw import RawClient

Values = dict[str, Any]

KEY = {"pk": {"S": "the item"}}
EXAMPLES: Values = {
    ":s": {"S": "abc"},
    ":n": {"N": "5"},
    ":n1": {"N": "1"},
    ":n9": {"N": "9"},
    ":ss": {"SS": ["x"]},
    ":l": {"L": []},
    ":m": {"M": {}},
    ":t": {"BOOL": True},
    ":z": {"NULL": True},
}


def nested(levels: int) -> Values:
    """A value of `levels` lists, one within the other, around a string."""
    value: Values = {"S": "x"}
    for _ in range(levels):
        value = {"L": [value]}
    return value


@pytest.fixture(scope="module")
def item(dynamodb: Any, table: str) -> str:
    """A table with the item that the truths are about; returns its name."""
    dynamodb.put_item(TableName=table, Item={**KEY, **truths.ITEM})
    return table


@pytest.mark.parametrize(("expression", "holds"), truths.ALL)
def test_a_condition_lets_a_write_through_or_not(
    dynamodb: Any, item: str, expression: str, holds: bool
) -> None:
    values = truths.values_in(expression)
    named = {"ExpressionAttributeValues": values} if values else {}
    request = {"TableName": item, "Key": KEY, "ConditionExpression": expression, **named}
    if holds:
        dynamodb.update_item(**request)
    else:
        with pytest.raises(dynamodb.exceptions.ConditionalCheckFailedException) as refusal:
            dynamodb.update_item(**request)
        assert refusal.value.response["Error"]["Message"] == "The conditional request failed"


class TestProtection:
    """What conditions are for."""

    def test_an_item_is_put_only_once(self, dynamodb: Any, raw: RawClient, table: str, key: str) -> None:
        request: Values = {
            "TableName": table,
            "Item": {"pk": {"S": key}, "v": {"N": "1"}},
            "ConditionExpression": "attribute_not_exists(pk)",
        }
        dynamodb.put_item(**request)
        request["Item"]["v"] = {"N": "2"}
        failed_condition(raw.call("PutItem", request))
        assert dynamodb.get_item(TableName=table, Key={"pk": {"S": key}})["Item"]["v"] == {"N": "1"}

    def test_a_version_is_checked_before_it_is_raised(
        self, dynamodb: Any, raw: RawClient, table: str, key: str
    ) -> None:
        dynamodb.put_item(TableName=table, Item={"pk": {"S": key}, "version": {"N": "1"}})
        request = {
            "TableName": table,
            "Key": {"pk": {"S": key}},
            "UpdateExpression": "SET version = version + :one",
            "ConditionExpression": "version = :seen",
            "ExpressionAttributeValues": {":one": {"N": "1"}, ":seen": {"N": "1"}},
        }
        dynamodb.update_item(**request)
        failed_condition(raw.call("UpdateItem", request))
        assert dynamodb.get_item(TableName=table, Key={"pk": {"S": key}})["Item"]["version"] == {"N": "2"}

    def test_a_delete_waits_for_its_condition(
        self, dynamodb: Any, raw: RawClient, table: str, key: str
    ) -> None:
        dynamodb.put_item(TableName=table, Item={"pk": {"S": key}, "open": {"BOOL": True}})
        request = {
            "TableName": table,
            "Key": {"pk": {"S": key}},
            "ConditionExpression": "#open = :no",
            "ExpressionAttributeNames": {"#open": "open"},
            "ExpressionAttributeValues": {":no": {"BOOL": False}},
        }
        failed_condition(raw.call("DeleteItem", request))
        assert "Item" in dynamodb.get_item(TableName=table, Key={"pk": {"S": key}})

    @pytest.mark.parametrize("operation", ["UpdateItem", "DeleteItem"])
    def test_a_condition_on_an_absent_item_leaves_no_ghost(
        self, raw: RawClient, table: str, key: str, operation: str
    ) -> None:
        request = {
            "TableName": table,
            "Key": {"pk": {"S": key}},
            "ConditionExpression": "attribute_exists(pk)",
        }
        failed_condition(raw.call(operation, request))
        assert accepted(raw.call("GetItem", {"TableName": table, "Key": {"pk": {"S": key}}})) == {}

    @pytest.mark.parametrize("operation", ["PutItem", "UpdateItem", "DeleteItem"])
    def test_a_failed_condition_can_show_the_item(
        self, raw: RawClient, dynamodb: Any, table: str, key: str, operation: str
    ) -> None:
        stored = {"pk": {"S": key}, "v": {"N": "1"}}
        dynamodb.put_item(TableName=table, Item=stored)
        member = {"Item": {"pk": {"S": key}}} if operation == "PutItem" else {"Key": {"pk": {"S": key}}}
        request = {"TableName": table, "ConditionExpression": "attribute_exists(nope)", **member}
        answer = raw.call(operation, request)
        failed_condition(answer)
        assert "Item" not in answer.json
        answer = raw.call(operation, {**request, "ReturnValuesOnConditionCheckFailure": "ALL_OLD"})
        failed_condition(answer)
        assert answer.json["Item"] == stored

    def test_a_failed_condition_on_an_absent_item_has_none_to_show(
        self, raw: RawClient, table: str, key: str
    ) -> None:
        request = {
            "TableName": table,
            "Key": {"pk": {"S": key}},
            "ConditionExpression": "attribute_exists(pk)",
            "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
        }
        answer = raw.call("DeleteItem", request)
        failed_condition(answer)
        assert "Item" not in answer.json


def refuse(raw: RawClient, table: str, expression: str, sentence: str, **more: Any) -> None:
    """Asserts that `expression` is refused with `sentence`, with just the example values that it names."""
    words = truths._words(expression)
    values = {word: EXAMPLES[word] for word in words if word in EXAMPLES}
    request: Values = {"TableName": table, "Key": KEY, "ConditionExpression": expression, **more}
    if values and "ExpressionAttributeValues" not in more:
        request["ExpressionAttributeValues"] = values
    refused(raw.call("UpdateItem", request), sentence)


INVALID = "Invalid ConditionExpression: "


@pytest.mark.parametrize(
    ("expression", "token", "near"),
    [
        ("   ", "<EOF>", "   "),
        ("s", "<EOF>", "s"),
        ("s =", "<EOF>", "="),
        ("= :s", "=", "= :s"),
        ("s == :s", "=", "== :s"),
        ("s != :s", "!", "s !="),
        ("s = :s AND", "<EOF>", "AND"),
        ("AND s = :s", "AND", "AND s"),
        ("s = :s n = :n", "n", ":s n ="),
        ("NOT", "<EOF>", "NOT"),
        ("(s = :s", "<EOF>", ":s"),
        ("s = :s)", ")", ":s)"),
        ("s = 's'", "'", "= 's"),
        ("n = 5", "5", "= 5"),
        ("s. = :s", "=", ". = :s"),
        ("s..a = :s", ".", "..a"),
        ("l[-1] = :n1", "-", "[-1"),
        ("l[a] = :n1", "a", "[a]"),
        ("l[] = :n1", "]", "[] ="),
        ("l[0 = :n1", "=", "0 = :n1"),
        ("l[1.5] = :n1", ".", "1.5"),
        ("s = :", ":", "= :"),
        ("# = :s", "#", "# ="),
        ("s-a = :s", "-", "s-a"),
        ("n = n + :n", "+", "n + :n"),
        ("1a = :s", "1", "1a"),
        ("_a = :s", "_", "_a"),
        ("é = :s", "é", "é ="),
        ("attribute_exists", "<EOF>", "attribute_exists"),
        ("attribute_exists()", ")", "()"),
        ("attribute_exists(s,)", ")", ",)"),
        ("s BETWEEN :s", "<EOF>", ":s"),
        ("s BETWEEN :s OR :s", "OR", ":s OR :s"),
        ("n NOT BETWEEN :n AND :n9", "NOT", "n NOT BETWEEN"),
        ("s IN ()", ")", "()"),
        ("s IN :s", ":s", "IN :s"),
        ("s IN (:s,)", ")", ",)"),
        ("s IN (:s :s)", ":s", ":s :s)"),
        ("s = (n = :n)", "=", "n = :n"),
        ("s < :n < :s", "<", ":n < :s"),
        ("SET s = :s", "SET", "SET s"),
        ("s = :s; ", ";", ":s; "),
        ("s = :s && n = :n", "&", ":s &&"),
        ("s >< :s", "<", ">< :s"),
    ],
)
def test_a_syntax_error_is_shown_with_what_is_near_it(
    raw: RawClient, table: str, expression: str, token: str, near: str
) -> None:
    refuse(raw, table, expression, f'{INVALID}Syntax error; token: "{token}", near: "{near}"')


FIRST = (
    "The first operand must be distinct from the remaining operands for this operator or function; operator: "
)
OPERAND = "Incorrect operand type for operator or function; operator or function: "
COUNT = "Incorrect number of operands for operator or function; operator or function: "
MISPLACED = "The function is not allowed to be used this way in an expression; function: "


@pytest.mark.parametrize(
    ("expression", "sentence"),
    [
        ("", "The expression can not be empty;"),
        ("((s = :s))", "The expression has redundant parentheses;"),
        ("((s)) = :s", "The expression has redundant parentheses;"),
        ("name = :s", "Attribute name is a reserved keyword; reserved keyword: name"),
        ("NAME = :s", "Attribute name is a reserved keyword; reserved keyword: NAME"),
        ("m.status = :s", "Attribute name is a reserved keyword; reserved keyword: status"),
        ("s = :s AND year = :n", "Attribute name is a reserved keyword; reserved keyword: year"),
        (
            "#undefined = :s",
            "An expression attribute name used in the document path is not defined; attribute name: "
            "#undefined",
        ),
        (
            "s = :undefined",
            "An expression attribute value used in expression is not defined; attribute value: :undefined",
        ),
        ("foo(s)", "Invalid function name; function: foo"),
        ("ATTRIBUTE_EXISTS(s)", "Invalid function name; function: ATTRIBUTE_EXISTS"),
        (
            "if_not_exists(s, :s) = :s",
            "The function is not allowed in a condition expression; function: if_not_exists",
        ),
        (
            "list_append(l, :l) = :l",
            "The function is not allowed in a condition expression; function: list_append",
        ),
        ("attribute_exists(s, n)", f"{COUNT}attribute_exists, number of operands: 2"),
        ("begins_with(s)", f"{COUNT}begins_with, number of operands: 1"),
        ("contains(s)", f"{COUNT}contains, number of operands: 1"),
        ("size(s, n) = :n", f"{COUNT}size, number of operands: 2"),
        (
            "attribute_exists(:s)",
            "Operator or function requires a document path; operator or function: attribute_exists",
        ),
        (
            "attribute_exists(size(s))",
            "Operator or function requires a document path; operator or function: attribute_exists",
        ),
        ("attribute_type(s, :n)", f"{OPERAND}attribute_type, operand type: N"),
        ("begins_with(s, :n)", f"{OPERAND}begins_with, operand type: N"),
        ("begins_with(s, :ss)", f"{OPERAND}begins_with, operand type: SS"),
        ("size(:n) = :n", f"{OPERAND}size, operand type: N"),
        ("size(:t) = :n", f"{OPERAND}size, operand type: BOOL"),
        ("s < :t", f"{OPERAND}<, operand type: BOOL"),
        ("s >= :ss", f"{OPERAND}>=, operand type: SS"),
        ("s <= :m", f"{OPERAND}<=, operand type: M"),
        (":l > s", f"{OPERAND}>, operand type: L"),
        ("s < :z", f"{OPERAND}<, operand type: NULL"),
        ("s BETWEEN :t AND :t", f"{OPERAND}BETWEEN, operand type: BOOL"),
        ("contains(s, s)", f"{FIRST}contains, first operand: [s]"),
        ("contains(m.a, m.a)", f"{FIRST}contains, first operand: [m, a]"),
        ("contains(l[0], l[0])", f"{FIRST}contains, first operand: [l, [0]]"),
        ("begins_with(s, s)", f"{FIRST}begins_with, first operand: [s]"),
        ("s = s", f"{FIRST}=, first operand: [s]"),
        ("n < n", f"{FIRST}<, first operand: [n]"),
        ("s IN (s)", f"{FIRST}IN, first operand: [s]"),
        ("n BETWEEN n AND :n9", f"{FIRST}BETWEEN, first operand: [n]"),
        ("size(s)", f"{MISPLACED}size"),
        ("s = attribute_exists(s)", f"{MISPLACED}attribute_exists"),
        ("attribute_exists(s) = :t", f"{MISPLACED}attribute_exists"),
        (
            "s BETWEEN :s AND :n",
            "The BETWEEN operator requires same data type for lower and upper bounds; "
            "lower bound operand: AttributeValue: {S:abc}, upper bound operand: AttributeValue: {N:5}",
        ),
        (
            "n BETWEEN :n9 AND :n1",
            "The BETWEEN operator requires upper bound to be greater than or equal to lower bound; "
            "lower bound operand: AttributeValue: {N:9}, upper bound operand: AttributeValue: {N:1}",
        ),
        ("l[99999999999] = :n", "List index is not within the allowable range; index: [99999999999]"),
    ],
)
def test_a_meaningless_expression_is_refused(
    raw: RawClient, table: str, expression: str, sentence: str
) -> None:
    refuse(raw, table, expression, INVALID + sentence)


@pytest.mark.parametrize("name", ["X", "s", "STRING", ""])
def test_an_unknown_type_name_is_refused(raw: RawClient, table: str, name: str) -> None:
    request = {
        "TableName": table,
        "Key": KEY,
        "ConditionExpression": "attribute_type(s, :t)",
        "ExpressionAttributeValues": {":t": {"S": name}},
    }
    answer = raw.call("UpdateItem", request)
    assert answer.status == 400
    start = f"{INVALID}Invalid attribute type name found; type: {name}, valid types: {{"
    assert (answer.message or "").startswith(start)
    listed = (answer.message or "")[len(start) :].removesuffix("}").split(",")
    assert set(listed) == {"S", "SS", "N", "NS", "B", "BS", "BOOL", "NULL", "L", "M"}


class TestPlaceholders:
    """`#names` and `:values`: each defined one is used, each used one is defined, and all are well formed."""

    EXISTS: Values = {"ConditionExpression": "attribute_not_exists(nope)"}

    @pytest.mark.parametrize(
        ("more", "sentence"),
        [
            (
                {**EXISTS, "ExpressionAttributeValues": {":x": {"S": "a"}}},
                "Value provided in ExpressionAttributeValues unused in expressions: keys: {:x}",
            ),
            (
                {**EXISTS, "ExpressionAttributeNames": {"#x": "a"}},
                "Value provided in ExpressionAttributeNames unused in expressions: keys: {#x}",
            ),
            (
                {"ExpressionAttributeNames": {"#x": "a"}},
                "ExpressionAttributeNames can only be specified when using expressions",
            ),
            (
                {"ExpressionAttributeValues": {":x": {"S": "a"}}},
                "ExpressionAttributeValues can only be specified when using expressions: "
                "UpdateExpression and ConditionExpression are null",
            ),
            ({**EXISTS, "ExpressionAttributeNames": {}}, "ExpressionAttributeNames must not be empty"),
            ({**EXISTS, "ExpressionAttributeValues": {}}, "ExpressionAttributeValues must not be empty"),
        ],
    )
    def test_what_is_given_must_be_used(
        self, raw: RawClient, table: str, more: Values, sentence: str
    ) -> None:
        refused(raw.call("UpdateItem", {"TableName": table, "Key": KEY, **more}), sentence)

    @pytest.mark.parametrize("name", ["a", "#", "#a b", "#a-b", "#a.b", "#é", ":a", "##a"])
    def test_a_name_is_a_hash_and_letters(self, raw: RawClient, table: str, name: str) -> None:
        request: Values = {**self.EXISTS, "ExpressionAttributeNames": {name: "s"}}
        refused(
            raw.call("UpdateItem", {"TableName": table, "Key": KEY, **request}),
            f'ExpressionAttributeNames contains invalid key: Syntax error; key: "{name}"',
        )

    @pytest.mark.parametrize("name", ["a", ":", ":a b", ":a-b", ":a.b", ":é", "#a", "::a"])
    def test_a_value_is_a_colon_and_letters(self, raw: RawClient, table: str, name: str) -> None:
        request: Values = {**self.EXISTS, "ExpressionAttributeValues": {name: {"S": "a"}}}
        refused(
            raw.call("UpdateItem", {"TableName": table, "Key": KEY, **request}),
            f'ExpressionAttributeValues contains invalid key: Syntax error; key: "{name}"',
        )

    @pytest.mark.parametrize(
        ("value", "sentence"),
        [
            (
                {},
                "Supplied AttributeValue is empty, must contain exactly one of the supported datatypes",
            ),
            (
                {"S": "a", "N": "1"},
                "Supplied AttributeValue has more than one datatypes set, "
                "must contain exactly one of the supported datatypes",
            ),
            (
                {"SS": []},
                "One or more parameter values were invalid: An string set  may not be empty",
            ),
            ({"N": "x"}, "The parameter cannot be converted to a numeric value: x"),
            ({"N": "1" * 39}, "Attempting to store more than 38 significant digits in a Number"),
            (
                {"NULL": False},
                "One or more parameter values were invalid: "
                "Null attribute value types must have the value of true",
            ),
            (
                nested(33),
                "Nesting Levels have exceeded supported limits: "
                "Attributes in the item have nested levels beyond supported limit",
            ),
        ],
    )
    def test_a_malformed_value_is_named(
        self, raw: RawClient, table: str, value: Values, sentence: str
    ) -> None:
        request: Values = {"ConditionExpression": "s = :a", "ExpressionAttributeValues": {":a": value}}
        refused(
            raw.call("UpdateItem", {"TableName": table, "Key": KEY, **request}),
            f"ExpressionAttributeValues contains invalid value: {sentence} for key :a",
        )

    def test_names_stand_for_any_attribute(self, dynamodb: Any, table: str, key: str) -> None:
        dynamodb.put_item(
            TableName=table, Item={"pk": {"S": key}, "a.b": {"S": "1"}, "size": {"M": {"year": {"N": "1"}}}}
        )
        dynamodb.update_item(
            TableName=table,
            Key={"pk": {"S": key}},
            ConditionExpression="#1 = :1 AND #size.#year < :_2 AND attribute_not_exists(a.b)",
            ExpressionAttributeNames={"#1": "a.b", "#size": "size", "#year": "year"},
            ExpressionAttributeValues={":1": {"S": "1"}, ":_2": {"N": "2"}},
        )


class TestLimits:
    """How large an expression may be."""

    def test_a_text_of_4096_bytes(self, raw: RawClient, table: str) -> None:
        text = "attribute_not_exists(nope)"
        request: Values = {"TableName": table, "Key": KEY, "ConditionExpression": text.ljust(4096)}
        accepted(raw.call("UpdateItem", request))
        request["ConditionExpression"] += " "
        refused(
            raw.call("UpdateItem", request),
            f"{INVALID}Expression size has exceeded the maximum allowed size; expression size: 4097",
        )

    def test_an_in_list_of_100_operands(self, raw: RawClient, item: str) -> None:
        def request(count: int) -> Values:
            values = {f":v{i}": {"N": str(i)} for i in range(count)}
            return {
                "TableName": item,
                "Key": KEY,
                "ConditionExpression": f"n IN ({', '.join(values)})",
                "ExpressionAttributeValues": values,
            }

        accepted(raw.call("UpdateItem", request(100)))
        refused(
            raw.call("UpdateItem", request(101)),
            f"{INVALID}The IN operator is provided with too many operands; number of operands: 101",
        )

    def test_300_operators(self, raw: RawClient, item: str) -> None:
        def request(comparisons: int) -> Values:
            return {
                "TableName": item,
                "Key": KEY,
                "ConditionExpression": " AND ".join(["n=:n"] * comparisons),
                "ExpressionAttributeValues": {":n": {"N": "5"}},
            }

        accepted(raw.call("UpdateItem", request(150)))
        refused(
            raw.call("UpdateItem", request(151)),
            f"{INVALID}The expression contains too many operators; operator count: 301",
        )

    def test_a_path_of_32_levels(self, raw: RawClient, table: str) -> None:
        def request(levels: int) -> Values:
            path = ".".join(["nope"] * levels)
            return {"TableName": table, "Key": KEY, "ConditionExpression": f"attribute_not_exists({path})"}

        accepted(raw.call("UpdateItem", request(32)))
        refused(
            raw.call("UpdateItem", request(33)),
            f"{INVALID}The document path has too many nesting levels; nesting levels: 33",
        )


@pytest.mark.parametrize(
    ("operation", "parameters", "legacy", "modern"),
    [
        (
            "PutItem",
            {
                "Item": KEY,
                "Expected": {"pk": {"Exists": False}},
                "ConditionExpression": "attribute_exists(pk)",
            },
            "Expected",
            "ConditionExpression",
        ),
        (
            "UpdateItem",
            {
                "Key": KEY,
                "AttributeUpdates": {"q": {"Value": {"S": "a"}}},
                "UpdateExpression": "SET q = pk",
            },
            "AttributeUpdates",
            "UpdateExpression",
        ),
        (
            "GetItem",
            {"Key": KEY, "AttributesToGet": ["a"], "ProjectionExpression": "a"},
            "AttributesToGet",
            "ProjectionExpression",
        ),
        (
            "Scan",
            {"AttributesToGet": ["a"], "FilterExpression": "attribute_exists(a)"},
            "AttributesToGet",
            "FilterExpression",
        ),
    ],
)
def test_old_and_new_parameters_do_not_mix(
    raw: RawClient, table: str, operation: str, parameters: Values, legacy: str, modern: str
) -> None:
    refused(
        raw.call(operation, {"TableName": table, **parameters}),
        "Can not use both expression and non-expression parameters in the same request: "
        f"Non-expression parameters: {{{legacy}}} Expression parameters: {{{modern}}}",
    )


def test_sets_of_numbers_are_compared_to_the_last_digit(
    dynamodb: Any, raw: RawClient, table: str, key: str
) -> None:
    stored = ["1." + "0" * 36 + "1", "2"]
    dynamodb.put_item(TableName=table, Item={"pk": {"S": key}, "v": {"NS": stored}})
    put: Values = {"TableName": table, "Item": {"pk": {"S": key}, "v": {"NS": stored}}}
    put["ConditionExpression"] = "v = :v"
    for numbers, equal in [
        (["2.0", "10." + "0" * 35 + "1e-1"], True),
        (["1." + "0" * 36 + "2", "2"], False),
        (["1", "2"], False),
        (["2"], False),
    ]:
        answer = raw.call("PutItem", put | {"ExpressionAttributeValues": {":v": {"NS": numbers}}})
        if equal:
            accepted(answer)
        else:
            failed_condition(answer)

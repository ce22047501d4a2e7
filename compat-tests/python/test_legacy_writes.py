"""Expected, ConditionalOperator and AttributeUpdates: item writes of the API before expressions.

The rules are those of the developer guide's "Legacy conditional parameters".
"""

from __future__ import annotations

from typing import Any

import pytest

from errors import accepted, failed_condition, refused
from raw import RawClient

Values = dict[str, Any]

INVALID = "One or more parameter values were invalid: "
MIXED = "Can not use both expression and non-expression parameters in the same request: "
ITEM: Values = {
    "s": {"S": "abc"},
    "n": {"N": "5"},
    "b": {"B": "YWJj"},
    "ss": {"SS": ["x", "y"]},
    "ns": {"NS": ["1", "2"]},
    "l": {"L": [{"N": "1"}, {"S": "two"}]},
    "m": {"M": {"a": {"N": "1"}}},
    "t": {"BOOL": True},
    "z": {"NULL": True},
}
KEY = {"pk": {"S": "the item"}}

S_A, S_ABC, N_5 = {"S": "a"}, {"S": "abc"}, {"N": "5"}


def compared(operator: str, *values: Values) -> Values:
    """An entry of Expected with an operator."""
    return {"ComparisonOperator": operator, **({"AttributeValueList": list(values)} if values else {})}


HOLDS: list[tuple[str, Values]] = [
    ("s", {"Value": S_ABC}),
    ("s", {"Exists": True, "Value": S_ABC}),
    ("nope", {"Exists": False}),
    ("s", {"Value": S_ABC, "ComparisonOperator": "EQ"}),
    ("s", {"Value": {"S": "ab"}, "ComparisonOperator": "BEGINS_WITH"}),
    ("n", compared("EQ", {"N": "5.0"})),
    ("ss", compared("EQ", {"SS": ["y", "x"]})),
    ("l", compared("EQ", {"L": [{"N": "1.0"}, {"S": "two"}]})),
    ("m", compared("EQ", {"M": {"a": {"N": "1"}}})),
    ("t", compared("EQ", {"BOOL": True})),
    ("z", compared("EQ", {"NULL": True})),
    # What is not there, and what is of another type, is unequal.
    ("nope", compared("NE", S_ABC)),
    ("n", compared("NE", {"S": "5"})),
    ("n", compared("NE", {"N": "6"})),
    ("n", compared("LE", N_5)),
    ("n", compared("LT", {"N": "10"})),
    ("n", compared("GE", N_5)),
    ("n", compared("GT", {"N": "-1"})),
    ("s", compared("GT", {"S": "Z"})),
    ("b", compared("LT", {"B": "/w=="})),
    ("s", compared("NOT_NULL")),
    ("z", compared("NOT_NULL")),
    ("nope", compared("NULL")),
    ("s", compared("CONTAINS", {"S": "bc"})),
    ("b", compared("CONTAINS", {"B": "Yg=="})),
    ("ss", compared("CONTAINS", {"S": "x"})),
    ("ns", compared("CONTAINS", {"N": "1.0"})),
    ("l", compared("CONTAINS", {"S": "two"})),
    ("s", compared("NOT_CONTAINS", {"S": "x"})),
    ("ss", compared("NOT_CONTAINS", {"S": "xy"})),
    ("l", compared("NOT_CONTAINS", {"N": "2"})),
    # Nothing of the wrong type is contained in anything.
    ("n", compared("NOT_CONTAINS", {"S": "5"})),
    ("s", compared("NOT_CONTAINS", {"BOOL": True})),
    ("s", compared("BEGINS_WITH", {"S": "ab"})),
    ("s", compared("BEGINS_WITH", {"S": ""})),
    ("b", compared("BEGINS_WITH", {"B": "YWI="})),
    ("n", compared("IN", {"N": "4"}, N_5)),
    ("s", compared("IN", S_ABC)),
    ("b", compared("IN", {"B": "YWJj"})),
    ("n", compared("BETWEEN", N_5, {"N": "6"})),
    ("s", compared("BETWEEN", {"S": "Z"}, {"S": "abc"})),
    ("pk", {"Value": KEY["pk"]}),
]

FAILS: list[tuple[str, Values]] = [
    ("s", {"Value": S_A}),
    ("s", {"Value": {"B": "YWJj"}}),
    ("nope", {"Value": S_ABC}),
    ("nope", {"Exists": True, "Value": S_ABC}),
    ("s", {"Exists": False}),
    ("z", {"Exists": False}),
    # The name of an attribute is no path.
    ("m.a", {"Value": {"N": "1"}}),
    ("n", compared("EQ", {"N": "6"})),
    ("s", compared("NE", S_ABC)),
    ("ss", compared("NE", {"SS": ["y", "x"]})),
    ("n", compared("LT", N_5)),
    ("n", compared("GT", N_5)),
    ("nope", compared("LE", N_5)),
    ("nope", compared("GE", N_5)),
    ("s", compared("GE", N_5)),
    ("nope", compared("NOT_NULL")),
    ("z", compared("NULL")),
    ("s", compared("CONTAINS", {"S": "ac"})),
    ("n", compared("CONTAINS", N_5)),
    ("nope", compared("CONTAINS", S_A)),
    ("m", compared("CONTAINS", S_A)),
    ("s", compared("NOT_CONTAINS", {"S": "bc"})),
    # Unlike in an expression, what is not there does not fail to contain something.
    ("nope", compared("NOT_CONTAINS", S_A)),
    ("s", compared("BEGINS_WITH", {"S": "bc"})),
    ("nope", compared("BEGINS_WITH", S_A)),
    ("n", compared("IN", {"N": "4"}, {"N": "6"})),
    ("n", compared("IN", {"S": "5"})),
    ("nope", compared("IN", N_5)),
    ("n", compared("BETWEEN", {"N": "6"}, {"N": "7"})),
    ("s", compared("BETWEEN", {"N": "1"}, {"N": "7"})),
]


@pytest.fixture(scope="module")
def item(raw: RawClient, table: str) -> str:
    """A table with the item that the conditions are about; returns its name."""
    accepted(raw.call("PutItem", {"TableName": table, "Item": {**KEY, **ITEM}}))
    return table


@pytest.mark.parametrize(
    ("attribute", "entry", "holds"), [(*case, True) for case in HOLDS] + [(*case, False) for case in FAILS]
)
def test_an_expectation_lets_a_write_through_or_not(
    raw: RawClient, item: str, attribute: str, entry: Values, holds: bool
) -> None:
    answer = raw.call("UpdateItem", {"TableName": item, "Key": KEY, "Expected": {attribute: entry}})
    if holds:
        assert accepted(answer) == {}
    else:
        failed_condition(answer)


@pytest.mark.differs_from_dynamodb_local("does not look at the order of lists")
def test_lists_are_equal_in_their_order(raw: RawClient, item: str) -> None:
    turned = compared("EQ", {"L": [{"S": "two"}, {"N": "1"}]})
    failed_condition(raw.call("UpdateItem", {"TableName": item, "Key": KEY, "Expected": {"l": turned}}))


class TestJoining:
    """ConditionalOperator."""

    TRUE = {"s": {"Value": S_ABC}}
    ALSO_TRUE = {"nope": {"Exists": False}}
    FALSE = {"n": {"Value": {"N": "6"}}}
    ALSO_FALSE = {"nope2": compared("NOT_CONTAINS", S_A)}

    def holds(self, raw: RawClient, item: str, operator: str | None, *entries: Values) -> bool:
        joined = {name: entry for one in entries for name, entry in one.items()}
        request: Values = {"TableName": item, "Key": KEY, "Expected": joined}
        if operator is not None:
            request["ConditionalOperator"] = operator
        answer = raw.call("UpdateItem", request)
        if answer.status == 200:
            return True
        failed_condition(answer)
        return False

    @pytest.mark.parametrize("operator", [None, "AND"])
    def test_all_have_to_hold(self, raw: RawClient, item: str, operator: str | None) -> None:
        assert self.holds(raw, item, operator, self.TRUE, self.ALSO_TRUE)
        assert not self.holds(raw, item, operator, self.TRUE, self.FALSE)
        assert not self.holds(raw, item, operator, self.TRUE, self.ALSO_FALSE)

    def test_one_has_to_hold(self, raw: RawClient, item: str) -> None:
        assert self.holds(raw, item, "OR", self.TRUE, self.FALSE)
        assert self.holds(raw, item, "OR", self.ALSO_FALSE, self.ALSO_TRUE)
        assert not self.holds(raw, item, "OR", self.FALSE, self.ALSO_FALSE)

    def test_there_has_to_be_something_to_join(self, raw: RawClient, item: str) -> None:
        request: Values = {"TableName": item, "Key": KEY, "ConditionalOperator": "OR"}
        alone = "ConditionalOperator cannot be used without Filter or Expected"
        refused(raw.call("UpdateItem", request), alone)
        refused(raw.call("UpdateItem", {**request, "Expected": {}}), alone)
        refused(
            raw.call("UpdateItem", {**request, "Expected": self.TRUE}),
            "ConditionalOperator can only be used when Filter or Expected has two or more elements",
        )

    @pytest.mark.differs_from_dynamodb_local("takes any name for AND")
    def test_the_operator_is_one_of_two(self, raw: RawClient, item: str) -> None:
        request = {"TableName": item, "Key": KEY, "ConditionalOperator": "or", "Expected": self.TRUE}
        refused(
            raw.call("UpdateItem", request),
            "1 validation error detected: Value 'or' at 'conditionalOperator' failed to satisfy constraint: "
            "Member must "
            "satisfy enum value set: [OR, AND]",
        )


def test_hundreds_of_expectations_are_no_problem(raw: RawClient, item: str) -> None:
    many = {f"nope{number}": {"Exists": False} for number in range(700)}
    accepted(raw.call("DeleteItem", {"TableName": item, "Key": {"pk": {"S": "no"}}, "Expected": many}))
    one_of = compared("IN", *({"N": str(number)} for number in range(150)))
    accepted(raw.call("UpdateItem", {"TableName": item, "Key": KEY, "Expected": {"n": one_of}}))
    failed_condition(raw.call("UpdateItem", {"TableName": item, "Key": KEY, "Expected": {"nope": one_of}}))


@pytest.mark.parametrize(
    ("entry", "sentence"),
    [
        ({}, "Value must be provided when Exists is null for Attribute: s"),
        ({"Exists": True}, "Value must be provided when Exists is true for Attribute: s"),
        ({"Exists": False, "Value": S_ABC}, "Value cannot be used when Exists is false for Attribute: s"),
        (
            {"Exists": False, **compared("NULL")},
            "Exists and ComparisonOperator cannot be used together for Attribute: s",
        ),
        (
            {"Exists": True, "Value": S_A, "ComparisonOperator": "EQ"},
            "Exists and ComparisonOperator cannot be used together for Attribute: s",
        ),
        (
            {"Value": S_A, "AttributeValueList": [S_A]},
            "Value and AttributeValueList cannot be used together for Attribute: s",
        ),
        (
            {"Value": S_A, **compared("EQ", S_A)},
            "Value and AttributeValueList cannot be used together for Attribute: s",
        ),
        (
            {"AttributeValueList": [S_A]},
            "AttributeValueList can only be used with a ComparisonOperator for Attribute: s",
        ),
        (
            {"Exists": False, "AttributeValueList": []},
            "AttributeValueList can only be used with a ComparisonOperator for Attribute: s",
        ),
        *(
            (
                compared(operator),
                f"Value or AttributeValueList must be used with ComparisonOperator: {operator} for "
                "Attribute: s",
            )
            for operator in ("EQ", "NE", "LE", "LT", "GE", "GT", "CONTAINS", "IN", "BETWEEN")
        ),
        *(
            (
                {"ComparisonOperator": operator, "AttributeValueList": [S_A] * count},
                f"Invalid number of argument(s) for the {operator} ComparisonOperator",
            )
            for operator, count in [
                ("EQ", 0),
                ("EQ", 2),
                ("NE", 2),
                ("LE", 2),
                ("NULL", 1),
                ("NOT_NULL", 1),
                ("CONTAINS", 2),
                ("NOT_CONTAINS", 2),
                ("BEGINS_WITH", 2),
                ("IN", 0),
                ("BETWEEN", 1),
                ("BETWEEN", 3),
            ]
        ),
        *(
            (
                compared(operator, *[value] * (2 if operator == "BETWEEN" else 1)),
                f"ComparisonOperator {operator} is not valid for {next(iter(value))} AttributeValue type",
            )
            for operator, values in {
                "LT": [{"SS": ["a"]}, {"BOOL": True}, {"NULL": True}, {"L": []}, {"M": {}}],
                "BETWEEN": [{"NS": ["1"]}, {"BOOL": True}],
                "IN": [{"SS": ["a"]}, {"L": []}, {"NULL": True}],
                "CONTAINS": [{"SS": ["a"]}, {"L": []}, {"M": {}}],
                "NOT_CONTAINS": [{"NS": ["1"]}, {"L": []}],
                "BEGINS_WITH": [{"N": "1"}, {"SS": ["a"]}, {"BOOL": True}],
            }.items()
            for value in values
        ),
        (compared("IN", S_A, N_5), "AttributeValues inside AttributeValueList must be of same type"),
        (compared("BETWEEN", S_A, N_5), "AttributeValues inside AttributeValueList must be of same type"),
        ({"Value": {"SS": []}}, "An string set  may not be empty"),
        (compared("EQ", {"SS": []}), "An string set  may not be empty"),
        (None, "ExpectedAttributeValue must not be null for Attribute: s"),
    ],
)
def test_an_expectation_that_makes_no_sense_is_refused(
    raw: RawClient, item: str, entry: Values, sentence: str
) -> None:
    request = {"TableName": item, "Key": KEY, "Expected": {"s": entry}}
    refused(raw.call("UpdateItem", request), INVALID + sentence)


def test_expectations_are_refused_with_other_sentences(raw: RawClient, item: str) -> None:
    request = {"TableName": item, "Key": KEY}
    refused(
        raw.call("UpdateItem", {**request, "Expected": {"s": compared("BETWEEN", {"S": "b"}, S_A)}}),
        "The BETWEEN condition was provided a range where the lower bound is greater than the upper bound",
    )
    refused(
        raw.call("UpdateItem", {**request, "Expected": {"s": {"Value": {}}}}),
        "Supplied AttributeValue is empty, must contain exactly one of the supported datatypes",
    )
    refused(raw.call("UpdateItem", {**request, "Expected": {"": {"Exists": False}}}), "Empty attribute name")
    refused(
        raw.call("UpdateItem", {**request, "Expected": {"s": compared("FOO", S_A)}}),
        "1 validation error detected: Value 'FOO' at 'expected.s.member.comparisonOperator' failed to "
        "satisfy constraint: "
        "Member must satisfy enum value set: [IN, NULL, BETWEEN, LT, NOT_CONTAINS, EQ, GT, NOT_NULL, NE, "
        "LE, BEGINS_WITH, "
        "GE, CONTAINS]",
    )


class TestMixing:
    """A request states all it states in one of the two ways."""

    LEGACY: Values = {"Expected": {"s": {"Value": S_ABC}}}

    @pytest.mark.parametrize(
        ("legacy", "modern", "named"),
        [
            (LEGACY, {"UpdateExpression": "REMOVE x"}, ("Expected", "UpdateExpression")),
            (
                {"AttributeUpdates": {"x": {"Action": "DELETE"}}},
                {"ConditionExpression": "attribute_exists(pk)"},
                ("AttributeUpdates", "ConditionExpression"),
            ),
            (
                {"ConditionalOperator": "AND"},
                {"ConditionExpression": "attribute_exists(pk)"},
                ("ConditionalOperator", "ConditionExpression"),
            ),
            (
                {"ConditionalOperator": "OR", **LEGACY, "AttributeUpdates": {"x": {"Action": "DELETE"}}},
                {"ConditionExpression": "attribute_exists(pk)", "UpdateExpression": "REMOVE x"},
                ("AttributeUpdates, Expected, ConditionalOperator", "UpdateExpression, ConditionExpression"),
            ),
        ],
    )
    def test_both_ways_at_once_are_refused(
        self, raw: RawClient, item: str, legacy: Values, modern: Values, named: tuple[str, str]
    ) -> None:
        refused(
            raw.call("UpdateItem", {"TableName": item, "Key": KEY, **legacy, **modern}),
            f"{MIXED}Non-expression parameters: {{{named[0]}}} Expression parameters: {{{named[1]}}}",
        )

    def test_empty_parameters_do_not_count(self, raw: RawClient, item: str) -> None:
        empty: Values = {
            "AttributeUpdates": {},
            "Expected": {},
            "ConditionExpression": "attribute_exists(pk)",
        }
        assert accepted(raw.call("UpdateItem", {"TableName": item, "Key": KEY, **empty})) == {}

    def test_names_and_values_belong_to_expressions(self, raw: RawClient, item: str) -> None:
        request = {"TableName": item, "Key": KEY, **self.LEGACY}
        refused(
            raw.call("UpdateItem", {**request, "ExpressionAttributeNames": {"#a": "b"}}),
            "ExpressionAttributeNames can only be specified when using expressions",
        )
        refused(
            raw.call("DeleteItem", {**request, "ExpressionAttributeValues": {":a": S_A}}),
            "ExpressionAttributeValues can only be specified when using expressions: ConditionExpression is "
            "null",
        )


class TestUpdates:
    """AttributeUpdates."""

    @pytest.fixture
    def one(self, raw: RawClient, table: str, key: str) -> Values:
        """Names an item of the test's own, like the one that the conditions are about."""
        named = {"pk": {"S": key}}
        accepted(raw.call("PutItem", {"TableName": table, "Item": {**named, **ITEM}}))
        return {"TableName": table, "Key": named}

    def after(self, raw: RawClient, one: Values, updates: Values) -> Any:
        """The item after an update."""
        answer = raw.call("UpdateItem", {**one, "AttributeUpdates": updates, "ReturnValues": "ALL_NEW"})
        shown = accepted(answer)["Attributes"]
        assert accepted(raw.call("GetItem", {**one, "ConsistentRead": True}))["Item"] == shown
        return shown

    def test_put_sets_an_attribute(self, raw: RawClient, one: Values) -> None:
        updates = {
            "s": {"Action": "PUT", "Value": {"N": "1"}},
            "q": {"Action": "PUT", "Value": {"L": []}},
            "a.b": {"Action": "PUT", "Value": S_A},
        }
        expected = {**one["Key"], **ITEM, "s": {"N": "1"}, "q": {"L": []}, "a.b": S_A}
        assert self.after(raw, one, updates) == expected

    @pytest.mark.differs_from_dynamodb_local("does nothing without an action")
    def test_put_is_what_happens_without_an_action(self, raw: RawClient, one: Values) -> None:
        assert self.after(raw, one, {"q": {"Value": S_A}}) == {**one["Key"], **ITEM, "q": S_A}

    def test_delete_removes_an_attribute(self, raw: RawClient, one: Values) -> None:
        changed = self.after(raw, one, {"s": {"Action": "DELETE"}, "nope": {"Action": "DELETE"}})
        assert changed == {name: value for name, value in {**one["Key"], **ITEM}.items() if name != "s"}

    def test_delete_with_a_value_takes_elements_out_of_a_set(self, raw: RawClient, one: Values) -> None:
        updates = {
            "ss": {"Action": "DELETE", "Value": {"SS": ["x", "w"]}},
            "ns": {"Action": "DELETE", "Value": {"NS": ["1", "2"]}},
            "nope": {"Action": "DELETE", "Value": {"SS": ["x"]}},
        }
        expected: Values = {**one["Key"], **ITEM, "ss": {"SS": ["y"]}}
        del expected["ns"]
        assert self.after(raw, one, updates) == expected

    def test_add_adds_numbers(self, raw: RawClient, one: Values) -> None:
        updates = {
            "n": {"Action": "ADD", "Value": {"N": "-7.5"}},
            "q": {"Action": "ADD", "Value": {"N": "3"}},
        }
        assert self.after(raw, one, updates) == {**one["Key"], **ITEM, "n": {"N": "-2.5"}, "q": {"N": "3"}}

    def test_add_puts_elements_into_sets(self, raw: RawClient, one: Values) -> None:
        updates = {
            "ss": {"Action": "ADD", "Value": {"SS": ["x", "z"]}},
            "q": {"Action": "ADD", "Value": {"NS": ["7"]}},
        }
        changed = self.after(raw, one, updates)
        assert sorted(changed["ss"]["SS"]) == ["x", "y", "z"]
        assert changed["q"] == {"NS": ["7"]}

    def test_add_appends_to_lists(self, raw: RawClient, one: Values) -> None:
        updates = {
            "l": {"Action": "ADD", "Value": {"L": [{"N": "1"}, S_A]}},
            "q": {"Action": "ADD", "Value": {"L": [S_A]}},
        }
        changed = self.after(raw, one, updates)
        assert changed["l"] == {"L": [{"N": "1"}, {"S": "two"}, {"N": "1"}, S_A]}
        assert changed["q"] == {"L": [S_A]}

    def test_a_thousand_attributes_at_once(self, raw: RawClient, one: Values) -> None:
        many = {f"x{number}": {"Action": "PUT", "Value": {"N": str(number)}} for number in range(1000)}
        expected = {name: update["Value"] for name, update in many.items()}
        assert self.after(raw, one, many) == {**one["Key"], **ITEM, **expected}

    @pytest.mark.parametrize(
        ("updates", "after"),
        [
            ({}, {}),
            ({"x": {"Action": "ADD", "Value": {"N": "1"}}}, {"x": {"N": "1"}}),
            ({"x": {"Action": "ADD", "Value": {"SS": ["a"]}}}, {"x": {"SS": ["a"]}}),
            ({"x": {"Action": "ADD", "Value": {"L": [S_A]}}}, {"x": {"L": [S_A]}}),
            ({"x": {"Action": "PUT", "Value": S_A}}, {"x": S_A}),
        ],
    )
    def test_an_absent_item_is_made(
        self, raw: RawClient, table: str, key: str, updates: Values, after: Values
    ) -> None:
        one = {"TableName": table, "Key": {"pk": {"S": key}}}
        assert self.after(raw, one, updates) == {**one["Key"], **after}

    @pytest.mark.differs_from_dynamodb_local("makes an item of nothing but its key")
    @pytest.mark.parametrize(
        "updates",
        [
            {"x": {"Action": "DELETE"}},
            {"x": {"Action": "DELETE", "Value": {"SS": ["a"]}}},
            {"x": {"Action": "DELETE"}, "y": {"Action": "DELETE", "Value": {"NS": ["1"]}}},
        ],
    )
    def test_deletions_make_no_item(self, raw: RawClient, table: str, key: str, updates: Values) -> None:
        one = {"TableName": table, "Key": {"pk": {"S": key}}}
        answer = raw.call("UpdateItem", {**one, "AttributeUpdates": updates, "ReturnValues": "ALL_NEW"})
        assert accepted(answer) == {}
        assert accepted(raw.call("GetItem", {**one, "ConsistentRead": True})) == {}

    @pytest.mark.parametrize(
        ("shown", "attributes"),
        [
            ("NONE", None),
            ("ALL_OLD", ITEM),
            ("UPDATED_OLD", {"s": S_ABC, "n": N_5}),
            ("UPDATED_NEW", {"n": {"N": "6"}, "q": S_A}),
        ],
    )
    def test_return_values(self, raw: RawClient, one: Values, shown: str, attributes: Values | None) -> None:
        updates = {
            "s": {"Action": "DELETE"},
            "n": {"Action": "ADD", "Value": {"N": "1"}},
            "q": {"Action": "PUT", "Value": S_A},
        }
        answer = accepted(raw.call("UpdateItem", {**one, "AttributeUpdates": updates, "ReturnValues": shown}))
        if attributes is ITEM:
            attributes = {**one["Key"], **ITEM}
        assert answer.get("Attributes") == attributes

    @pytest.mark.parametrize(
        ("update", "sentence"),
        [
            ({}, "Only DELETE action is allowed when no attribute value is specified"),
            ({"Action": "PUT"}, "Only DELETE action is allowed when no attribute value is specified"),
            ({"Action": "ADD"}, "Only DELETE action is allowed when no attribute value is specified"),
            *(
                ({"Action": "ADD", "Value": value}, f"ADD action is not supported for the type {name}")
                for name, value in {
                    "STRING": S_A,
                    "BINARY": {"B": "YQ=="},
                    "BOOLEAN": {"BOOL": True},
                    "NULL": {"NULL": True},
                    "MAP": {"M": {}},
                }.items()
            ),
            *(
                (
                    {"Action": "DELETE", "Value": value},
                    f"DELETE action with value is not supported for the type {name}",
                )
                for name, value in {
                    "STRING": S_A,
                    "NUMBER": N_5,
                    "BINARY": {"B": "YQ=="},
                    "BOOLEAN": {"BOOL": True},
                    "NULL": {"NULL": True},
                    "LIST": {"L": []},
                    "MAP": {"M": {}},
                }.items()
            ),
            ({"Action": "PUT", "Value": {"SS": []}}, "An string set  may not be empty"),
        ],
    )
    def test_an_update_that_cannot_be_is_refused(
        self, raw: RawClient, one: Values, update: Values, sentence: str
    ) -> None:
        answer = raw.call("UpdateItem", {**one, "AttributeUpdates": {"q": update}})
        refused(answer, INVALID + sentence)

    def test_an_unknown_action_is_refused(self, raw: RawClient, one: Values) -> None:
        answer = raw.call("UpdateItem", {**one, "AttributeUpdates": {"q": {"Action": "SET", "Value": S_A}}})
        refused(
            answer,
            "1 validation error detected: Value 'SET' at 'attributeUpdates.q.member.action' failed to "
            "satisfy constraint: "
            "Member must satisfy enum value set: [ADD, DELETE, PUT]",
        )

    @pytest.mark.parametrize(
        ("attribute", "action", "value"),
        [
            ("s", "ADD", N_5),
            ("ns", "ADD", N_5),
            ("n", "ADD", {"SS": ["a"]}),
            ("ns", "ADD", {"SS": ["a"]}),
            ("m", "ADD", {"L": []}),
            ("s", "DELETE", {"SS": ["a"]}),
            ("ns", "DELETE", {"SS": ["a"]}),
        ],
    )
    def test_an_attribute_of_another_type_is_left_alone(
        self, raw: RawClient, one: Values, attribute: str, action: str, value: Values
    ) -> None:
        updates = {attribute: {"Action": action, "Value": value}, "q": {"Action": "PUT", "Value": S_A}}
        refused(
            raw.call("UpdateItem", {**one, "AttributeUpdates": updates}),
            "Type mismatch for attribute to update",
        )
        assert accepted(raw.call("GetItem", one))["Item"] == {**one["Key"], **ITEM}

    @pytest.mark.parametrize("update", [{"Action": "DELETE"}, {"Action": "ADD", "Value": N_5}])
    def test_a_key_stays(self, raw: RawClient, one: Values, update: Values) -> None:
        refused(
            raw.call("UpdateItem", {**one, "AttributeUpdates": {"pk": update}}),
            f"{INVALID}Cannot update attribute pk. This attribute is part of the key",
        )

    def test_an_item_that_grows_too_large_is_refused(self, raw: RawClient, one: Values) -> None:
        update = {"q": {"Action": "PUT", "Value": {"S": "x" * 409_600}}}
        refused(
            raw.call("UpdateItem", {**one, "AttributeUpdates": update}),
            "Item size to update has exceeded the maximum allowed size",
        )

    def test_an_update_waits_for_its_expectation(self, raw: RawClient, one: Values) -> None:
        request: Values = {
            **one,
            "AttributeUpdates": {"n": {"Action": "ADD", "Value": {"N": "1"}}},
            "Expected": {"n": {"Value": N_5}},
        }
        accepted(raw.call("UpdateItem", request))
        failed_condition(raw.call("UpdateItem", request))
        assert accepted(raw.call("GetItem", one))["Item"] == {**one["Key"], **ITEM, "n": {"N": "6"}}


@pytest.mark.parametrize("operation", ["PutItem", "DeleteItem", "UpdateItem"])
def test_a_failed_expectation_protects_and_shows_the_item(
    raw: RawClient, table: str, key: str, operation: str
) -> None:
    one = {"TableName": table, "Key": {"pk": {"S": key}}}
    stored = {**one["Key"], "v": {"N": "1"}}
    accepted(raw.call("PutItem", {"TableName": table, "Item": stored}))
    request: Values = {"TableName": table, "Expected": {"pk": {"Exists": False}}}
    request.update({"Item": one["Key"]} if operation == "PutItem" else {"Key": one["Key"]})
    answer = raw.call(operation, request)
    failed_condition(answer)
    assert "Item" not in answer.json
    answer = raw.call(operation, {**request, "ReturnValuesOnConditionCheckFailure": "ALL_OLD"})
    failed_condition(answer)
    assert answer.json["Item"] == stored
    assert accepted(raw.call("GetItem", one))["Item"] == stored


def test_an_expectation_of_an_absent_item(raw: RawClient, table: str, key: str) -> None:
    one = {"TableName": table, "Key": {"pk": {"S": key}}}
    failed_condition(raw.call("DeleteItem", {**one, "Expected": {"pk": {"Value": {"S": key}}}}))
    failed_condition(raw.call("UpdateItem", {**one, "Expected": {"v": compared("NOT_NULL")}}))
    assert accepted(raw.call("GetItem", one)) == {}
    accepted(raw.call("UpdateItem", {**one, "Expected": {"v": compared("NE", N_5)}}))
    assert accepted(raw.call("GetItem", one))["Item"] == one["Key"]

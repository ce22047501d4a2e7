"""ExecuteStatement: reading and writing with PartiQL."""

from __future__ import annotations

from typing import Any

import pytest

from conftest import MakeTable, eventually, index, unused_name
from errors import SERVICE, accepted, failed_condition, not_found, refused
from raw import RawClient

Item = dict[str, Any]

KEY_TYPE = "Key attribute's data type should match its data type in table's schema: Key "
KEY_MISSING = "Where clause does not contain a mandatory equality on all key attributes"


def execute(client: Any, statement: str, *parameters: Item, **more: Any) -> list[Item]:
    """The items of a statement's answer."""
    given = {"Parameters": list(parameters)} if parameters else {}
    items: list[Item] = client.execute_statement(Statement=statement, **given, **more)["Items"]
    return items


def ask(raw: RawClient, statement: str, *parameters: Item, **more: Any) -> Any:
    """The raw answer of a statement."""
    given = {"Parameters": list(parameters)} if parameters else {}
    return raw.call("ExecuteStatement", {"Statement": statement, **given, **more})


def numbers(items: list[Item], name: str = "sk") -> list[int]:
    """A number attribute of every item."""
    return [int(item[name]["N"]) for item in items]


@pytest.fixture(scope="module")
def rows(dynamodb: Any, make_shared_table: MakeTable) -> str:
    """A table keyed by `pk` (S) and `sk` (N), with six rows in each of the partitions a, b and c."""
    name = make_shared_table("pk:S", "sk:N")
    for partition in "abc":
        for number in range(6):
            execute(
                dynamodb,
                f'INSERT INTO "{name}" VALUE '
                f"{{'pk': '{partition}', 'sk': {number}, 'v': {number % 2}, 'text': 't{number}'}}",
            )
    return name


class TestInsert:
    """INSERT."""

    def test_values_of_all_kinds_are_stored(self, dynamodb: Any, table: str, key: str) -> None:
        execute(
            dynamodb,
            f"INSERT INTO \"{table}\" VALUE {{'pk': ?, 'n': -1.5e2, 's': 'it''s', 't': true, 'z': null, "
            "'l': [1, 'x', [], {}], 'm': {'a b': {'c': false}}, 'ns': <<1>>, 'ss': <<'a'>>, 'b': ?}",
            {"S": key},
            {"B": b"xy"},
        )
        assert dynamodb.get_item(TableName=table, Key={"pk": {"S": key}})["Item"] == {
            "pk": {"S": key},
            "n": {"N": "-150"},
            "s": {"S": "it's"},
            "t": {"BOOL": True},
            "z": {"NULL": True},
            "l": {"L": [{"N": "1"}, {"S": "x"}, {"L": []}, {"M": {}}]},
            "m": {"M": {"a b": {"M": {"c": {"BOOL": False}}}}},
            "ns": {"NS": ["1"]},
            "ss": {"SS": ["a"]},
            "b": {"B": b"xy"},
        }

    def test_a_key_is_inserted_once(self, dynamodb: Any, raw: RawClient, table: str, key: str) -> None:
        assert execute(dynamodb, f"INSERT INTO \"{table}\" VALUE {{'pk': '{key}', 'v': 1}}") == []
        answer = ask(raw, f"INSERT INTO \"{table}\" VALUE {{'pk': '{key}', 'v': 2}}")
        assert answer.status == 400
        # DynamoDB Local leaves the last word of the type out.
        assert answer.type.removesuffix("Exception") == f"{SERVICE}#DuplicateItem"
        assert answer.message == "Duplicate primary key exists in table"
        assert numbers(execute(dynamodb, f"SELECT v FROM \"{table}\" WHERE pk = '{key}'"), "v") == [1]

    @pytest.mark.parametrize(
        ("item", "sentence"),
        [
            ("{'v': 1}", "Key attribute should be present in the item: Key pk"),
            ("{'pk': 1}", f"{KEY_TYPE}pk"),
            (
                "{'pk': ''}",
                "One or more parameter values are not valid. The AttributeValue for a key attribute cannot contain an "
                "empty string value. Key: pk",
            ),
            ("{'pk': 'k', 'v': missing}", None),
            ("{'pk': 'k', 'pk': 'l'}", None),
            ("{'pk': 'k', '': 1}", "Path component cannot be an empty string"),
            ("{'pk': 'k', 'v': <<1, 1>>}", "Input collection contains duplicates"),
            ("{'pk': 'k', 'v': 1e200}", None),
            ("{'pk': 'k'} RETURNING ALL OLD *", "RETURNING is not supported in INSERT"),
        ],
    )
    def test_what_cannot_be_stored_is_refused(
        self, raw: RawClient, table: str, item: str, sentence: str | None
    ) -> None:
        answer = ask(raw, f'INSERT INTO "{table}" VALUE {item}')
        if sentence is None:
            assert (answer.status, answer.type) == (400, "com.amazon.coral.validate#ValidationException")
        else:
            refused(answer, sentence)


class TestUpdate:
    """UPDATE."""

    def test_attributes_are_set_and_removed(self, dynamodb: Any, table: str, key: str) -> None:
        dynamodb.put_item(
            TableName=table,
            Item={
                "pk": {"S": key},
                "n": {"N": "1"},
                "l": {"L": [{"N": "1"}]},
                "s": {"NS": ["1", "2"]},
                "m": {"M": {"a": {"N": "1"}}},
                "gone": {"N": "1"},
            },
        )
        changed = execute(
            dynamodb,
            f"UPDATE \"{table}\" SET n = n + ? SET l = list_append(l, [2]), m.b = 'x' SET s = set_add(s, <<3>>) "
            f"REMOVE gone WHERE pk = '{key}' RETURNING ALL NEW *",
            {"N": "4"},
        )
        assert changed == [
            {
                "pk": {"S": key},
                "n": {"N": "5"},
                "l": {"L": [{"N": "1"}, {"N": "2"}]},
                "s": {"NS": ["1", "2", "3"]},
                "m": {"M": {"a": {"N": "1"}, "b": {"S": "x"}}},
            }
        ]

    def test_returning_shows_what_it_says(self, dynamodb: Any, table: str, key: str) -> None:
        execute(dynamodb, f"INSERT INTO \"{table}\" VALUE {{'pk': '{key}', 'v': 0, 'w': 7}}")

        def raised(returning: str) -> list[Item]:
            return execute(dynamodb, f"UPDATE \"{table}\" SET v = v + 1 WHERE pk = '{key}' {returning}")

        pk, w = {"pk": {"S": key}}, {"w": {"N": "7"}}
        assert raised("") == []
        assert raised("RETURNING ALL OLD *") == [{**pk, **w, "v": {"N": "1"}}]
        assert raised("RETURNING ALL NEW *") == [{**pk, **w, "v": {"N": "3"}}]
        assert raised("RETURNING MODIFIED OLD *") == [{"v": {"N": "3"}}]
        assert raised("RETURNING MODIFIED NEW *") == [{"v": {"N": "5"}}]

    @pytest.mark.parametrize(
        ("side", "sum_"),
        [
            ("v+1+1", 7),
            ("v + 1 - w + 0.5", 3.5),
            ("v - (w - 1 + 2)", 1),
            ("if_not_exists(x, 1) + v + w", 9),
            ("1 + 2 + 3 + 4", 10),
        ],
    )
    def test_a_sum_has_any_number_of_operands(
        self, dynamodb: Any, table: str, key: str, side: str, sum_: float
    ) -> None:
        execute(dynamodb, f"INSERT INTO \"{table}\" VALUE {{'pk': '{key}', 'v': 5, 'w': 3}}")
        update = f"UPDATE \"{table}\" SET v = {side} WHERE pk = '{key}' RETURNING MODIFIED NEW *"
        [changed] = execute(dynamodb, update)
        assert float(changed["v"]["N"]) == sum_

    def test_sets_lose_elements_and_go_when_empty(self, dynamodb: Any, table: str, key: str) -> None:
        execute(dynamodb, f"INSERT INTO \"{table}\" VALUE {{'pk': '{key}', 's': <<'a', 'b'>>}}")
        update = f"UPDATE \"{table}\" SET s = set_delete(s, ?) WHERE pk = '{key}' RETURNING ALL NEW *"
        assert execute(dynamodb, update, {"SS": ["a", "x"]}) == [{"pk": {"S": key}, "s": {"SS": ["b"]}}]
        assert execute(dynamodb, update, {"SS": ["b"]}) == [{"pk": {"S": key}}]

    def test_an_item_that_is_not_there_is_not_made(
        self, dynamodb: Any, raw: RawClient, table: str, key: str
    ) -> None:
        failed_condition(ask(raw, f"UPDATE \"{table}\" SET v = 1 WHERE pk = '{key}'"))
        assert "Item" not in dynamodb.get_item(TableName=table, Key={"pk": {"S": key}})

    def test_a_condition_protects_the_item_and_the_item_is_shown(
        self, dynamodb: Any, raw: RawClient, table: str, key: str
    ) -> None:
        execute(dynamodb, f"INSERT INTO \"{table}\" VALUE {{'pk': '{key}', 'v': 1}}")
        update = f"UPDATE \"{table}\" SET v = 9 WHERE pk = '{key}' AND (v = 5 OR w IS NOT MISSING)"
        failed_condition(ask(raw, update))
        answer = ask(raw, update, ReturnValuesOnConditionCheckFailure="ALL_OLD")
        failed_condition(answer)
        assert answer.json["Item"] == {"pk": {"S": key}, "v": {"N": "1"}}
        execute(
            dynamodb,
            f"UPDATE \"{table}\" SET v = 5 WHERE pk = '{key}' AND v BETWEEN 0 AND 2 AND w IS MISSING",
        )
        assert numbers(execute(dynamodb, f"SELECT v FROM \"{table}\" WHERE pk = '{key}'"), "v") == [5]

    @pytest.mark.parametrize(
        ("changes", "where", "sentence"),
        [
            ("SET v = 1", "", KEY_MISSING),
            ("SET v = 1", "WHERE v = 1", KEY_MISSING),
            ("SET v = 1", "WHERE pk = 'a'", KEY_MISSING),
            ("SET v = 1", "WHERE pk = 'a' AND sk > 1", KEY_MISSING),
            ("SET v = 1", "WHERE pk = 'a' AND sk IN [1]", KEY_MISSING),
            ("SET v = 1", "WHERE pk = 'a' AND sk = 1 OR v = 1", KEY_MISSING),
            ("SET v = 1", "WHERE pk = 'a' AND sk = '1'", f"{KEY_TYPE}sk"),
            (
                "SET v = 1",
                "WHERE pk = 'a' AND sk = 1 AND sk = 2",
                "Multiple conditions on same key sk. Only single item Update/Insert/Delete are supported",
            ),
            (
                "SET sk = 2",
                "WHERE pk = 'a' AND sk = 1",
                "One or more parameter values were invalid: Cannot update attribute sk. This attribute is part of the key",
            ),
            (
                "SET v = nope",
                "WHERE pk = 'a' AND sk = 1",
                "The provided expression refers to an attribute that does not exist in the item",
            ),
            (
                "SET v = 1, v = 2",
                "WHERE pk = 'a' AND sk = 1",
                "Two document paths overlap with each other; must remove or rewrite one of these paths; path one: [v], "
                "path two: [v]",
            ),
            (
                "SET v.x = 1",
                "WHERE pk = 'a' AND sk = 1",
                "The document path provided in the update expression is invalid for update",
            ),
            ("SET v = foo(v)", "WHERE pk = 'a' AND sk = 1", "Unrecognized function: foo"),
            (
                "SET v = v * 2",
                "WHERE pk = 'a' AND sk = 1",
                "Unsupported operator in Update Expression. Operator: *",
            ),
        ],
    )
    def test_what_cannot_be_done_is_refused(
        self, raw: RawClient, rows: str, changes: str, where: str, sentence: str
    ) -> None:
        refused(ask(raw, f'UPDATE "{rows}" {changes} {where}'), sentence)


class TestDelete:
    """DELETE."""

    def test_an_item_goes_and_is_shown(self, dynamodb: Any, table: str, key: str) -> None:
        execute(dynamodb, f"INSERT INTO \"{table}\" VALUE {{'pk': '{key}', 'v': 1}}")
        delete = f"DELETE FROM \"{table}\" WHERE pk = '{key}' RETURNING ALL OLD *"
        assert execute(dynamodb, delete) == [{"pk": {"S": key}, "v": {"N": "1"}}]
        assert execute(dynamodb, delete) == []

    def test_a_condition_protects_the_item_but_needs_none(
        self, dynamodb: Any, raw: RawClient, table: str, key: str
    ) -> None:
        delete = f"DELETE FROM \"{table}\" WHERE pk = '{key}' AND v = 1"
        assert execute(dynamodb, delete) == []
        execute(dynamodb, f"INSERT INTO \"{table}\" VALUE {{'pk': '{key}', 'v': 2}}")
        answer = ask(raw, delete, ReturnValuesOnConditionCheckFailure="ALL_OLD")
        failed_condition(answer)
        assert answer.json["Item"] == {"pk": {"S": key}, "v": {"N": "2"}}
        execute(dynamodb, f"UPDATE \"{table}\" SET v = 1 WHERE pk = '{key}'")
        assert execute(dynamodb, delete) == []
        assert execute(dynamodb, f"SELECT * FROM \"{table}\" WHERE pk = '{key}'") == []

    def test_the_whole_key_is_needed(self, raw: RawClient, rows: str) -> None:
        for where in ("", "WHERE pk = 'a'", "WHERE NOT (pk = 'a' AND sk = 1)"):
            refused(ask(raw, f'DELETE FROM "{rows}" {where}'), KEY_MISSING)

    def test_only_the_old_item_can_be_shown(self, raw: RawClient, rows: str) -> None:
        refused(
            ask(raw, f"DELETE FROM \"{rows}\" WHERE pk = 'a' AND sk = 1 RETURNING ALL NEW *"),
            "Invalid returning clause: RETURNING ALL NEW *. Only RETURNING ALL OLD * is allowed in DELETE statements.",
        )


class TestSelect:
    """SELECT."""

    @pytest.mark.parametrize(
        ("where", "found"),
        [
            ("pk = 'a'", [0, 1, 2, 3, 4, 5]),
            ("'a' = pk AND sk = 3", [3]),
            ("pk = 'a' AND sk > 3", [4, 5]),
            ("pk = 'a' AND sk > 0 AND sk <= 2", [1, 2]),
            ("pk = 'a' AND sk BETWEEN 1 AND 4 AND sk <> 2", [1, 3, 4]),
            ("pk = 'a' AND sk = 1 AND sk = 2", []),
            ("pk = 'a' AND sk > 3 AND sk < 2", []),
            ("pk = 'a' AND sk IN [1, 5, 9]", [1, 5]),
            ("pk = 'a' AND (sk = 0 OR sk = 4)", [0, 4]),
            ("pk = 'a' AND v = 1", [1, 3, 5]),
            ("pk = 'a' AND pk = 'b'", []),
            ("pk = 'a' AND NOT v = 1 AND text IN ('t2', 't4', 't5')", [2, 4]),
            ("pk = 'a' AND begins_with(text, 't1')", [1]),
            ("pk = 'a' AND begins_with(text, 't1') = true", [1]),
            ("pk = 'a' AND false = contains(text, '3') AND sk > 2", [4, 5]),
            ("pk = 'a' AND begins_with(text, 't1') <> false", [1]),
            ("pk = 'a' AND contains(\"text\", '3')", [3]),
            ("pk = 'a' AND attribute_type(v, 'N') AND size(text) = 2 AND sk < 1", [0]),
            ("pk = 'a' AND v IS MISSING", []),
            ("pk = 'a' AND v IS NOT MISSING AND v IS NUMERIC AND text IS NOT NULL AND sk < 2", [0, 1]),
            ("pk = 'nobody'", []),
        ],
    )
    def test_rows_of_one_partition_are_found_in_order(
        self, dynamodb: Any, rows: str, where: str, found: list[int]
    ) -> None:
        assert numbers(execute(dynamodb, f'SELECT sk FROM "{rows}" WHERE {where}')) == found

    @pytest.mark.parametrize(
        ("where", "found"),
        [
            ("pk IN ['a', 'c', 'a'] AND sk < 1", ["a0", "c0"]),
            ("pk IN ('b') AND sk < 1", ["b0"]),
            ("(pk = 'a' OR pk = 'b') AND sk > 4", ["a5", "b5"]),
            ("pk = 'a' AND sk = 1 OR pk = 'b' AND sk = 2", ["a1", "b2"]),
            ("pk IN ['a', 'b'] AND sk IN [1, 2]", ["a1", "a2", "b1", "b2"]),
            ("sk = 3", ["a3", "b3", "c3"]),
            ("pk > 'a' AND sk = 0", ["b0", "c0"]),
            ("pk = 'a' AND sk = 0 OR text = 't5'", ["a0", "a5", "b5", "c5"]),
            ("pk IN ['a', text] AND sk < 1", ["a0"]),
        ],
    )
    def test_rows_of_several_partitions_are_found(
        self, dynamodb: Any, rows: str, where: str, found: list[str]
    ) -> None:
        items = execute(dynamodb, f'SELECT pk, sk FROM "{rows}" WHERE {where}')
        assert sorted(item["pk"]["S"] + item["sk"]["N"] for item in items) == found

    def test_everything_is_found_without_a_condition(self, dynamodb: Any, rows: str) -> None:
        assert len(execute(dynamodb, f'select * from "{rows}";')) == 18

    def test_rows_come_in_the_order_that_is_asked_for(self, dynamodb: Any, rows: str) -> None:
        def found(order: str) -> list[str]:
            items = execute(
                dynamodb, f"SELECT pk, sk FROM \"{rows}\" WHERE pk IN ['b', 'a'] AND sk < 2 ORDER BY {order}"
            )
            return [item["pk"]["S"] + item["sk"]["N"] for item in items]

        assert found("pk") == ["a0", "a1", "b0", "b1"]
        assert found("pk DESC") == ["b0", "b1", "a0", "a1"]
        assert found("sk DESC") == ["a1", "a0", "b1", "b0"]
        assert found("pk DESC, sk DESC") == ["b1", "b0", "a1", "a0"]

    @pytest.mark.differs_from_dynamodb_local("it takes the value before the operator for the one behind it")
    def test_a_value_may_stand_before_the_operator(self, dynamodb: Any, rows: str) -> None:
        for where, found in (("3 > sk", [0, 1, 2]), ("3 <= sk", [3, 4, 5]), ("3 < sk AND 5 > sk", [4])):
            select = f"SELECT sk FROM \"{rows}\" WHERE pk = 'a' AND {where}"
            assert numbers(execute(dynamodb, select)) == found

    @pytest.mark.differs_from_dynamodb_local("it fails to order one partition backward")
    def test_one_partition_is_read_backward(self, dynamodb: Any, rows: str) -> None:
        select = f"SELECT sk FROM \"{rows}\" WHERE pk = 'a' AND sk > 2 ORDER BY sk DESC"
        assert numbers(execute(dynamodb, select)) == [5, 4, 3]
        first = dynamodb.execute_statement(Statement=select, Limit=2)
        assert numbers(first["Items"]) == [5, 4]
        assert numbers(execute(dynamodb, select, NextToken=first["NextToken"])) == [3]

    @pytest.mark.parametrize(
        ("rest", "sentence"),
        [
            ("ORDER BY sk", "Must have WHERE clause in the statement when using ORDER BY clause."),
            (
                "WHERE v = 1 ORDER BY sk",
                "Must have at least one non-optional hash key condition in WHERE clause when using ORDER BY clause.",
            ),
            (
                "WHERE pk = 'a' ORDER BY v",
                "Variable reference v in ORDER BY clause must be part of the primary key",
            ),
            ("WHERE pk = 1", f"{KEY_TYPE}pk"),
            ("WHERE pk = 'a' AND sk > 'x'", f"{KEY_TYPE}sk"),
            ("WHERE v", "WHERE clause must contain an expression that resolves to a boolean"),
            ("WHERE v = MISSING", "MISSING must be compared using IS operator"),
            ("WHERE v = 1 + 1", "Unsupported operator in Condition Expression. Operator: +"),
            (
                "WHERE v BETWEEN 2 AND 1",
                "The BETWEEN operator requires upper bound to be greater than or equal to lower bound; lower bound operand: "
                "AttributeValue: {N:2}, upper bound operand: AttributeValue: {N:1}",
            ),
            (
                "WHERE v < true",
                "Incorrect operand type for operator or function; operator or function: <, operand type: BOOL",
            ),
            (
                "WHERE v IN [" + ", ".join(str(number) for number in range(101)) + "]",
                "The IN operator is provided with too many operands; number of operands: 101",
            ),
            ("WHERE EXISTS(1)", None),
            ("GROUP BY v", "Unsupported clause: GROUP BY"),
            ("AS t WHERE pk = 'a'", "Aliasing is not supported"),
            ("WHERE pk = ?", "Number of parameters in request and statement don't match."),
        ],
    )
    def test_what_cannot_be_read_is_refused(
        self, raw: RawClient, rows: str, rest: str, sentence: str | None
    ) -> None:
        answer = ask(raw, f'SELECT * FROM "{rows}" {rest}')
        if sentence is None:
            assert (answer.status, answer.type) == (400, "com.amazon.coral.validate#ValidationException")
        else:
            refused(answer, sentence)

    def test_parts_of_items_are_shown_under_their_last_name(
        self, dynamodb: Any, table: str, key: str
    ) -> None:
        execute(
            dynamodb,
            f"INSERT INTO \"{table}\" VALUE {{'pk': '{key}', 'm': {{'a': {{'b c': [7, 8]}}}}, 'l': [1, 2], 'Select': 3}}",
        )
        shown = execute(
            dynamodb,
            f'SELECT pk, m.a."b c", l[1], "Select", m.missed.here, l[9] FROM "{table}" WHERE pk = \'{key}\'',
        )
        assert shown == [
            {
                "pk": {"S": key},
                "b c": {"L": [{"N": "7"}, {"N": "8"}]},
                "l[1]": {"N": "2"},
                "Select": {"N": "3"},
            }
        ]
        assert execute(dynamodb, f"SELECT missed FROM \"{table}\" WHERE pk = '{key}'") == [{}]

    @pytest.mark.parametrize(
        ("paths", "sentence"),
        [
            ("m.a, n.a", "Duplicate identifiers in select clause: a"),
            (
                "m, m.a",
                "Two document paths overlap with each other; must remove or rewrite one of these paths; path one: "
                "[m, a], path two: [m]",
            ),
            ("m.*", "Changing item's hierarchy while reading isn't supported"),
            ("DISTINCT m", "Unsupported token in expression: DISTINCT"),
            ("m AS n", "Aliasing is not supported"),
        ],
    )
    def test_what_cannot_be_shown_is_refused(
        self, raw: RawClient, table: str, paths: str, sentence: str
    ) -> None:
        refused(ask(raw, f'SELECT {paths} FROM "{table}"'), sentence)


class TestPages:
    """Limit and NextToken."""

    @pytest.mark.parametrize(
        ("where", "count"),
        [("", 18), ("WHERE pk = 'a'", 6), ("WHERE pk IN ['a', 'c', 'nobody']", 12), ("WHERE sk > 2", 9)],
    )
    @pytest.mark.parametrize("limit", [1, 4, 100])
    def test_pages_show_everything_once(
        self, dynamodb: Any, rows: str, where: str, count: int, limit: int
    ) -> None:
        request: dict[str, Any] = {"Statement": f'SELECT pk, sk FROM "{rows}" {where}', "Limit": limit}
        seen: list[str] = []
        while True:
            page = dynamodb.execute_statement(**request)
            assert len(page["Items"]) <= limit
            seen += [item["pk"]["S"] + item["sk"]["N"] for item in page["Items"]]
            if "NextToken" not in page:
                break
            request["NextToken"] = page["NextToken"]
        assert len(seen) == len(set(seen)) == count

    def test_the_limit_counts_what_is_looked_at(self, dynamodb: Any, rows: str) -> None:
        page = dynamodb.execute_statement(
            Statement=f"SELECT * FROM \"{rows}\" WHERE pk = 'a' AND v = 1", Limit=1
        )
        assert page["Items"] == []
        assert "NextToken" in page

    def test_a_large_partition_is_read_in_pages(self, dynamodb: Any, make_table: MakeTable) -> None:
        name = make_table("pk:S", "sk:N")
        for number in range(8):
            dynamodb.put_item(
                TableName=name,
                Item={"pk": {"S": "ab"[number % 2]}, "sk": {"N": str(number)}, "v": {"B": b"x" * 300_000}},
            )
        for where in ("", "WHERE pk IN ['a', 'b']"):
            request: dict[str, Any] = {"Statement": f'SELECT sk FROM "{name}" {where}'}
            sizes = []
            while True:
                page = dynamodb.execute_statement(**request)
                sizes.append(len(page["Items"]))
                if "NextToken" not in page:
                    break
                request["NextToken"] = page["NextToken"]
            assert sum(sizes) == 8
            assert max(sizes) <= 4

    def test_what_is_no_token_is_refused(self, raw: RawClient, rows: str) -> None:
        for token in ("xx", "eyJ9"):
            refused(ask(raw, f'SELECT * FROM "{rows}"', NextToken=token), "Invalid NextToken")


class TestIndexes:
    """FROM an index."""

    def test_an_index_is_read(self, dynamodb: Any, raw: RawClient, make_table: MakeTable) -> None:
        name = make_table(
            "pk:S",
            AttributeDefinitions=[
                {"AttributeName": attribute, "AttributeType": kind}
                for attribute, kind in (("pk", "S"), ("g", "S"), ("n", "N"))
            ],
            GlobalSecondaryIndexes=[index("by-g", "g", "n", projection="KEYS_ONLY")],
        )
        for number in range(4):
            execute(
                dynamodb,
                f"INSERT INTO \"{name}\" VALUE {{'pk': 'k{number}', 'g': 'g', 'n': {-number}, 'v': 1}}",
            )
        select = f'SELECT n FROM "{name}"."by-g" WHERE g = \'g\' AND n >= ?'
        eventually(lambda: numbers(execute(dynamodb, select, {"N": "-9"}), "n"), [-3, -2, -1, 0])
        assert numbers(execute(dynamodb, select, {"N": "-1"}), "n") == [-1, 0]
        first = dynamodb.execute_statement(Statement=f'SELECT * FROM "{name}"."by-g"', Limit=3)
        rest = execute(dynamodb, f'SELECT * FROM "{name}"."by-g"', NextToken=first["NextToken"])
        assert sorted(numbers(first["Items"] + rest, "n")) == [-3, -2, -1, 0]
        refused(
            ask(raw, f'SELECT v FROM "{name}"."by-g" WHERE g = \'g\''),
            "One or more parameter values were invalid: Global secondary index by-g does not project [v]",
        )
        refused(
            ask(raw, f'SELECT n FROM "{name}"."by-g" WHERE g = \'g\'', ConsistentRead=True),
            "Consistent reads are not supported on global secondary indexes",
        )
        refused(
            ask(raw, f'SELECT * FROM "{name}"."by-h"'), "The table does not have the specified index: by-h"
        )
        refused(
            ask(raw, f'DELETE FROM "{name}"."by-g" WHERE g = \'g\' AND n = 1'),
            "This operation is not supported on an index",
        )


class TestRequest:
    """The request around the statement."""

    @pytest.mark.parametrize(
        ("statement", "cause"),
        [
            ("SELEC * FROM x", "Expected data manipulation"),
            ("UPDATE x-y SET v = 1 WHERE pk = 'a'", "Expected data manipulation"),
            (" ", "Unexpected term"),
            ("SELECT * FROM", "Unexpected term"),
            ("DELETE x", "Expected FROM after DELETE"),
            ("SELECT a.'b' FROM x", "Invalid path dot component"),
            ("INSERT INTO 'x", "INSERT INTO 'x"),
        ],
    )
    def test_what_is_no_statement_is_told_why(self, raw: RawClient, statement: str, cause: str) -> None:
        refused(ask(raw, statement), f"Statement wasn't well formed, can't be processed: {cause}")

    def test_tables_are_not_made_or_dropped(self, raw: RawClient) -> None:
        refused(ask(raw, "CREATE TABLE x"), "Unsupported operation: CreateTable")
        refused(ask(raw, "DROP TABLE x"), "Unsupported operation: DropTable")

    def test_exists_is_for_transactions(self, raw: RawClient, table: str) -> None:
        refused(
            ask(raw, f"EXISTS(SELECT * FROM \"{table}\" WHERE pk = 'a')"),
            "EXISTS can only be used in ExecuteTransaction write requests.",
        )

    def test_a_table_that_is_not_there_is_not_found(self, raw: RawClient) -> None:
        name = unused_name()
        for statement in (
            f'SELECT * FROM "{name}"',
            f"INSERT INTO \"{name}\" VALUE {{'pk': 'a'}}",
            f"UPDATE \"{name}\" SET v = 1 WHERE pk = 'a'",
            f"DELETE FROM \"{name}\" WHERE pk = 'a'",
        ):
            not_found(ask(raw, statement))

    def test_what_the_service_model_forbids_is_refused(self, raw: RawClient, table: str) -> None:
        refused(
            ask(raw, f'SELECT * FROM "{table}"', Limit=0),
            "1 validation error detected: Value '0' at 'limit' failed to satisfy constraint: Member must have value "
            "greater than or equal to 1",
        )
        long = "x" * 8193
        refused(
            ask(raw, long),
            f"1 validation error detected: Value '{long}' at 'statement' failed to satisfy constraint: Member must have "
            "length less than or equal to 8192",
        )
        refused(
            ask(raw, f'SELECT * FROM "{table}"', ReturnValuesOnConditionCheckFailure="x"),
            "1 validation error detected: Value 'x' at 'returnValuesOnConditionCheckFailure' failed to satisfy constraint: "
            "Member must satisfy enum value set: [ALL_OLD, NONE]",
        )

    @pytest.mark.differs_from_dynamodb_local(
        "it takes an empty list of parameters and fails without a statement"
    )
    def test_what_has_to_be_there_is_asked_for(self, raw: RawClient, table: str) -> None:
        refused(
            raw.call("ExecuteStatement", {}),
            "1 validation error detected: Value null at 'statement' failed to satisfy constraint: Member must not be null",
        )
        refused(
            raw.call("ExecuteStatement", {"Statement": f'SELECT * FROM "{table}"', "Parameters": []}),
            "1 validation error detected: Value '[]' at 'parameters' failed to satisfy constraint: Member must have length "
            "greater than or equal to 1",
        )

    def test_a_parameter_that_is_no_value_is_refused(self, raw: RawClient, table: str) -> None:
        for parameter, sentence in (
            ({"N": "x"}, "The parameter cannot be converted to a numeric value: x"),
            ({"SS": []}, "One or more parameter values were invalid: An string set  may not be empty"),
            (
                {},
                "Supplied AttributeValue is empty, must contain exactly one of the supported datatypes",
            ),
        ):
            refused(ask(raw, f'SELECT * FROM "{table}" WHERE v = ?', parameter), sentence)

    @pytest.mark.differs_from_dynamodb_local("it counts nothing for statements")
    def test_capacity_is_counted(self, raw: RawClient, rows: str, table: str, key: str) -> None:
        def units(statement: str, **more: Any) -> Any:
            answer: Any = accepted(ask(raw, statement, ReturnConsumedCapacity="TOTAL", **more))
            return answer["ConsumedCapacity"]

        assert units(f"SELECT * FROM \"{rows}\" WHERE pk = 'a'") == {"TableName": rows, "CapacityUnits": 0.5}
        both = f"SELECT * FROM \"{rows}\" WHERE pk IN ['a', 'b']"
        assert units(both, ConsistentRead=True) == {"TableName": rows, "CapacityUnits": 2.0}
        insert = f"INSERT INTO \"{table}\" VALUE {{'pk': '{key}'}}"
        assert units(insert) == {"TableName": table, "CapacityUnits": 1.0}
        assert "ConsumedCapacity" not in accepted(ask(raw, f'SELECT * FROM "{rows}"'))

"""Single items: every type there and back, numbers in normal form, limits of size, of keys and of nesting."""

from __future__ import annotations

import base64
from decimal import Decimal
from typing import Any

import pytest
from boto3.dynamodb.types import Binary

from conftest import MakeTable, resource
from errors import KEY_MISMATCH, accepted, refused
from raw import RawClient

Item = dict[str, Any]

EVERY_TYPE: Item = {
    "string": {"S": "text"},
    "empty string": {"S": ""},
    "unicode": {"S": 'é 😀 \u0000 \u001f \u2028 / \\ " < > & \ud7ff \ufffd'},
    "number": {"N": "42"},
    "binary": {"B": bytes(range(256))},
    "empty binary": {"B": b""},
    "true": {"BOOL": True},
    "false": {"BOOL": False},
    "null": {"NULL": True},
    "empty list": {"L": []},
    "list": {"L": [{"S": "a"}, {"N": "1"}, {"L": [{"BOOL": False}]}, {"M": {"x": {"NULL": True}}}]},
    "empty map": {"M": {}},
    "map": {"M": {"a": {"S": "1"}, "b": {"L": []}}},
    "a.b[0]#:": {"S": "any name will do"},
    "ünïcode": {"N": "-1.5"},
}
SETS: Item = {
    "strings": {"SS": ["b", "a", ""]},
    "numbers": {"NS": ["3", "-1", "2.5"]},
    "binaries": {"BS": [b"", b"\x00", b"\xff"]},
}


def nested(levels: int) -> Item:
    """A value of `levels` lists, one within the other, around a string."""
    value: Item = {"S": "x"}
    for _ in range(levels):
        value = {"L": [value]}
    return value


def test_every_type_comes_back_as_it_was_put(dynamodb: Any, table: str, key: str) -> None:
    item = {"pk": {"S": key}, **EVERY_TYPE, **SETS}
    dynamodb.put_item(TableName=table, Item=item)
    got = dynamodb.get_item(TableName=table, Key={"pk": {"S": key}})["Item"]
    for name, value in EVERY_TYPE.items():
        assert got[name] == value, name
    for name, value in SETS.items():
        ((kind, members),) = got[name].items()
        assert sorted(members) == sorted(value[kind]), name
    assert got.keys() == item.keys()


def test_the_resource_api_reads_and_writes_python_values(target: Any, table: str, key: str) -> None:
    items = resource(target).Table(table)
    item = {
        "pk": key,
        "price": Decimal("19.99"),
        "tags": {"a", "b"},
        "raw": Binary(b"\x00\x01"),
        "deep": {"list": [1, "two", None, {"three": True}]},
    }
    items.put_item(Item=item)
    assert items.get_item(Key={"pk": key})["Item"] == item


def test_a_put_replaces_the_whole_item(dynamodb: Any, table: str, key: str) -> None:
    dynamodb.put_item(TableName=table, Item={"pk": {"S": key}, "old": {"S": "1"}})
    dynamodb.put_item(TableName=table, Item={"pk": {"S": key}, "new": {"S": "2"}})
    got = dynamodb.get_item(TableName=table, Key={"pk": {"S": key}}, ConsistentRead=True)["Item"]
    assert got == {"pk": {"S": key}, "new": {"S": "2"}}


def test_a_delete_takes_the_item_away_and_may_be_repeated(dynamodb: Any, table: str, key: str) -> None:
    dynamodb.put_item(TableName=table, Item={"pk": {"S": key}})
    for _ in range(2):
        dynamodb.delete_item(TableName=table, Key={"pk": {"S": key}})
        assert "Item" not in dynamodb.get_item(TableName=table, Key={"pk": {"S": key}})


def test_an_absent_item_gives_an_empty_answer(raw: RawClient, table: str, key: str) -> None:
    assert accepted(raw.call("GetItem", {"TableName": table, "Key": {"pk": {"S": key}}})) == {}


def test_items_of_one_partition_are_told_apart_by_the_sort_key(dynamodb: Any, ranged: str, key: str) -> None:
    for sort in ("a", "b"):
        dynamodb.put_item(TableName=ranged, Item={"pk": {"S": key}, "sk": {"S": sort}, "v": {"S": sort}})
    dynamodb.delete_item(TableName=ranged, Key={"pk": {"S": key}, "sk": {"S": "a"}})
    got = dynamodb.get_item(TableName=ranged, Key={"pk": {"S": key}, "sk": {"S": "b"}})["Item"]
    assert got["v"] == {"S": "b"}


NORMAL_FORMS = [
    ("0", "0"),
    ("-0", "0"),
    ("-0.0", "0"),
    ("0e10", "0"),
    ("00012", "12"),
    ("1.50", "1.5"),
    ("1.0", "1"),
    ("-1.50", "-1.5"),
    ("1e2", "100"),
    ("1E+2", "100"),
    ("1e-2", "0.01"),
    ("+5", "5"),
    (".5", "0.5"),
    ("5.", "5"),
    ("1.e5", "100000"),
    ("+.5e+5", "50000"),
    ("1e05", "100000"),
    ("0.0000001", "0.0000001"),
    ("1e40", "1" + "0" * 40),
    ("1e100", "1" + "0" * 100),
    ("1e125", "1" + "0" * 125),
    ("9." + "9" * 37 + "e125", "9" * 38 + "0" * 88),
    ("-9." + "9" * 37 + "e125", "-" + "9" * 38 + "0" * 88),
    ("1e-130", "0." + "0" * 129 + "1"),
    ("-1e-130", "-0." + "0" * 129 + "1"),
    ("12345678901234567890123456789012345678", "12345678901234567890123456789012345678"),
    ("1234567890123456789012345678901234567.8", "1234567890123456789012345678901234567.8"),
    ("0." + "1234567890" * 3 + "12345678", "0." + "1234567890" * 3 + "12345678"),
    ("1." + "0" * 500, "1"),
    ("0" * 500 + "1", "1"),
]


@pytest.mark.parametrize(("put", "read"), NORMAL_FORMS)
def test_a_number_comes_back_in_its_normal_form(
    dynamodb: Any, table: str, key: str, put: str, read: str
) -> None:
    dynamodb.put_item(TableName=table, Item={"pk": {"S": key}, "n": {"N": put}, "ns": {"NS": [put]}})
    item = dynamodb.get_item(TableName=table, Key={"pk": {"S": key}})["Item"]
    assert item["n"] == {"N": read}
    assert item["ns"] == {"NS": [read]}


@pytest.mark.differs_from_dynamodb_local("it keeps numbers inside lists and maps as they were written")
@pytest.mark.parametrize(("put", "read"), NORMAL_FORMS)
def test_a_nested_number_comes_back_in_its_normal_form(
    dynamodb: Any, table: str, key: str, put: str, read: str
) -> None:
    nest = {"L": [{"N": put}, {"NS": [put]}, {"M": {"n": {"N": put}}}]}
    dynamodb.put_item(TableName=table, Item={"pk": {"S": key}, "nest": nest})
    item = dynamodb.get_item(TableName=table, Key={"pk": {"S": key}})["Item"]
    assert item["nest"] == {"L": [{"N": read}, {"NS": [read]}, {"M": {"n": {"N": read}}}]}


NOT_A_NUMBER = "The parameter cannot be converted to a numeric value"


@pytest.mark.parametrize(
    "text",
    ["", " 1", "1 ", "1 2", "1+2", "+e2", "e1", "1e", "1e1.5", "1.2.3", "--1", "+-1", "-", "+", ".", "1_000"]
    + ["1,000", "0x10", "NaN", "Infinity", "-Infinity", "1d", "1L", "five"],
)
def test_what_is_not_a_number_is_refused(raw: RawClient, table: str, key: str, text: str) -> None:
    item = {"pk": {"S": key}, "n": {"N": text}}
    sentence = f"{NOT_A_NUMBER}: {text}" if text else NOT_A_NUMBER
    refused(raw.call("PutItem", {"TableName": table, "Item": item}), sentence)


OVERFLOW = "Number overflow. Attempting to store a number with magnitude larger than supported range"
UNDERFLOW = "Number underflow. Attempting to store a number with magnitude smaller than supported range"
TOO_PRECISE = "Attempting to store more than 38 significant digits in a Number"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("1e126", OVERFLOW),
        ("-1e126", OVERFLOW),
        ("10e125", OVERFLOW),
        ("1" + "0" * 126, OVERFLOW),
        ("1e1000", OVERFLOW),
        ("1e-131", UNDERFLOW),
        ("-1e-131", UNDERFLOW),
        ("0.1e-130", UNDERFLOW),
        ("1e-1000", UNDERFLOW),
        ("1" * 39, TOO_PRECISE),
        ("1." + "0" * 37 + "1", TOO_PRECISE),
        ("1" * 500, TOO_PRECISE),
    ],
)
@pytest.mark.parametrize("where", ["attribute", "set", "nested"])
def test_a_number_out_of_range_is_refused(
    raw: RawClient, table: str, key: str, text: str, sentence: str, where: str
) -> None:
    value = {
        "attribute": {"N": text},
        "set": {"NS": ["1", text]},
        "nested": {"L": [{"M": {"n": {"N": text}}}]},
    }
    item = {"pk": {"S": key}, "v": value[where]}
    refused(raw.call("PutItem", {"TableName": table, "Item": item}), sentence)


def test_equal_numbers_are_one_key(dynamodb: Any, make_table: MakeTable) -> None:
    name = make_table("pk:N", "sk:N")
    for text in ("1", "1.0", "01", "10e-1", "0.1e1", "+1"):
        dynamodb.put_item(TableName=name, Item={"pk": {"N": text}, "sk": {"N": text}, "v": {"S": text}})
    assert dynamodb.scan(TableName=name)["Items"] == [{"pk": {"N": "1"}, "sk": {"N": "1"}, "v": {"S": "+1"}}]


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        ({"SS": []}, "One or more parameter values were invalid: An string set  may not be empty"),
        ({"NS": []}, "One or more parameter values were invalid: An number set  may not be empty"),
        ({"BS": []}, "One or more parameter values were invalid: Binary sets should not be empty"),
        (
            {"SS": ["a", "b", "a"]},
            "One or more parameter values were invalid: Input collection [a, b, a] contains duplicates.",
        ),
        ({"NS": ["1", "2", "1"]}, "Input collection contains duplicates"),
        ({"NS": ["10", "1e1"]}, "Input collection contains duplicates"),
        (
            {"BS": ["YQ==", "Yg==", "YQ=="]},
            "One or more parameter values were invalid: "
            "Input collection [YQ==, Yg==, YQ==]of type BS contains duplicates.",
        ),
        (
            {"NULL": False},
            "One or more parameter values were invalid: Null attribute value types must have the value "
            "of true",
        ),
        (
            {"S": "a", "N": "1"},
            "Supplied AttributeValue has more than one datatypes set, "
            "must contain exactly one of the supported datatypes",
        ),
        ({}, "Supplied AttributeValue is empty, must contain exactly one of the supported datatypes"),
    ],
)
@pytest.mark.parametrize("depth", ["at the top", "in a list", "in a map"])
def test_a_malformed_value_is_refused_at_any_depth(
    raw: RawClient, table: str, key: str, value: Item, sentence: str, depth: str
) -> None:
    placed = {"at the top": value, "in a list": {"L": [{"S": "a"}, value]}, "in a map": {"M": {"a": value}}}
    request = {"TableName": table, "Item": {"pk": {"S": key}, "v": placed[depth]}}
    refused(raw.call("PutItem", request), sentence)
    assert accepted(raw.call("GetItem", {"TableName": table, "Key": {"pk": {"S": key}}})) == {}


def test_an_item_of_409600_bytes_passes_and_one_byte_more_does_not(
    dynamodb: Any, raw: RawClient, make_table: MakeTable
) -> None:
    name = make_table()
    frame = len("pk") + len("a") + len("v")
    fits = {"pk": {"S": "a"}, "v": {"S": "x" * (409_600 - frame)}}
    dynamodb.put_item(TableName=name, Item=fits)
    assert dynamodb.get_item(TableName=name, Key={"pk": {"S": "a"}})["Item"] == fits
    fits["v"]["S"] += "x"
    refused(
        raw.call("PutItem", {"TableName": name, "Item": fits}),
        "Item size has exceeded the maximum allowed size",
    )


def test_the_size_of_an_item_counts_utf_8_bytes_and_raw_binary(raw: RawClient, make_table: MakeTable) -> None:
    name = make_table()
    frame = len("pk") + len("a") + len("v")
    room = 409_600 - frame
    too_large = "Item size has exceeded the maximum allowed size"
    letters = {"pk": {"S": "a"}, "v": {"S": "é" * (room // 2)}}
    accepted(raw.call("PutItem", {"TableName": name, "Item": letters}))
    letters["v"]["S"] += "é"
    refused(raw.call("PutItem", {"TableName": name, "Item": letters}), too_large)
    for size, fits in ((room, True), (room + 1, False)):
        item = {"pk": {"S": "a"}, "v": {"B": base64.b64encode(bytes(size)).decode()}}
        answer = raw.call("PutItem", {"TableName": name, "Item": item})
        if fits:
            accepted(answer)
        else:
            refused(answer, too_large)


def test_the_names_of_attributes_count_in_the_size(raw: RawClient, table: str, key: str) -> None:
    item: Item = {"pk": {"S": key}, "n" * 60_000: {"S": "x" * 349_000}}
    refused(
        raw.call("PutItem", {"TableName": table, "Item": {**item, "v": {"S": "x" * 600}}}),
        "Item size has exceeded the maximum allowed size",
    )
    accepted(raw.call("PutItem", {"TableName": table, "Item": item}))


def test_nesting_of_32_levels_passes_and_33_does_not(dynamodb: Any, raw: RawClient, table: str) -> None:
    deepest = {"pk": {"S": "nesting"}, "v": nested(31)}
    dynamodb.put_item(TableName=table, Item=deepest)
    assert dynamodb.get_item(TableName=table, Key={"pk": {"S": "nesting"}})["Item"] == deepest
    refused(
        raw.call("PutItem", {"TableName": table, "Item": {"pk": {"S": "nesting"}, "v": nested(32)}}),
        "Nesting Levels have exceeded supported limits: "
        "Attributes in the item have nested levels beyond supported limit",
    )


class TestKeys:
    """What a key may be."""

    def test_a_partition_key_has_up_to_2048_bytes(self, raw: RawClient, table: str) -> None:
        accepted(raw.call("PutItem", {"TableName": table, "Item": {"pk": {"S": "k" * 2048}}}))
        sentence = (
            "One or more parameter values were invalid: "
            "Size of hashkey has exceeded the maximum size limit of2048 bytes"
        )
        refused(raw.call("PutItem", {"TableName": table, "Item": {"pk": {"S": "k" * 2049}}}), sentence)
        refused(raw.call("GetItem", {"TableName": table, "Key": {"pk": {"S": "k" * 2049}}}), sentence)
        refused(raw.call("PutItem", {"TableName": table, "Item": {"pk": {"S": "é" * 1025}}}), sentence)

    def test_a_sort_key_has_up_to_1024_bytes(self, raw: RawClient, ranged: str) -> None:
        def item(length: int) -> Item:
            return {"pk": {"S": "a"}, "sk": {"S": "k" * length}}

        accepted(raw.call("PutItem", {"TableName": ranged, "Item": item(1024)}))
        sentence = (
            "One or more parameter values were invalid: "
            "Aggregated size of all range keys has exceeded the size limit of 1024 bytes"
        )
        refused(raw.call("PutItem", {"TableName": ranged, "Item": item(1025)}), sentence)
        refused(raw.call("DeleteItem", {"TableName": ranged, "Key": item(1025)}), sentence)

    @pytest.mark.parametrize("operation", ["PutItem", "GetItem", "UpdateItem", "DeleteItem"])
    def test_a_key_is_not_empty(self, raw: RawClient, ranged: str, operation: str) -> None:
        member = "Item" if operation == "PutItem" else "Key"
        sentence = (
            "One or more parameter values are not valid. The AttributeValue for a key attribute cannot "
            "contain an "
            "empty string value. Key: "
        )
        for empty, key_ in (
            ("pk", {"pk": {"S": ""}, "sk": {"S": "a"}}),
            ("sk", {"pk": {"S": "a"}, "sk": {"S": ""}}),
        ):
            refused(raw.call(operation, {"TableName": ranged, member: key_}), sentence + empty)

    def test_a_binary_key_is_not_empty(self, raw: RawClient, make_table: MakeTable) -> None:
        refused(
            raw.call("PutItem", {"TableName": make_table("pk:B"), "Item": {"pk": {"B": ""}}}),
            "One or more parameter values are not valid. The AttributeValue for a key attribute cannot "
            "contain an "
            "empty binary value. Key: pk",
        )

    @pytest.mark.parametrize(
        ("item", "missing"), [({"pk": {"S": "a"}}, "sk"), ({"sk": {"S": "a"}}, "pk"), ({}, "pk")]
    )
    def test_an_item_has_all_its_keys(self, raw: RawClient, ranged: str, item: Item, missing: str) -> None:
        refused(
            raw.call("PutItem", {"TableName": ranged, "Item": {"v": {"S": "x"}, **item}}),
            f"One or more parameter values were invalid: Missing the key {missing} in the item",
        )

    @pytest.mark.parametrize(
        ("value", "actual"),
        [
            ({"N": "1"}, "N"),
            ({"B": "YQ=="}, "B"),
            ({"BOOL": True}, "BOOL"),
            ({"NULL": True}, "NULL"),
            ({"SS": ["a"]}, "SS"),
            ({"L": []}, "L"),
            ({"M": {}}, "M"),
        ],
    )
    def test_an_item_has_keys_of_the_right_type(
        self, raw: RawClient, table: str, value: Item, actual: str
    ) -> None:
        refused(
            raw.call("PutItem", {"TableName": table, "Item": {"pk": value}}),
            f"One or more parameter values were invalid: Type mismatch for key pk expected: S actual: "
            f"{actual}",
        )

    @pytest.mark.parametrize("operation", ["GetItem", "UpdateItem", "DeleteItem"])
    @pytest.mark.parametrize(
        "key_",
        [
            {},
            {"pk": {"S": "a"}},
            {"sk": {"S": "a"}},
            {"pk": {"S": "a"}, "other": {"S": "a"}},
            {"pk": {"S": "a"}, "sk": {"S": "a"}, "other": {"S": "a"}},
            {"pk": {"S": "a"}, "sk": {"N": "1"}},
        ],
    )
    def test_a_key_matches_the_schema(self, raw: RawClient, ranged: str, operation: str, key_: Item) -> None:
        refused(raw.call(operation, {"TableName": ranged, "Key": key_}), KEY_MISMATCH)


class TestReturnValues:
    """What a write tells of the item as it was."""

    def test_a_put_tells_what_it_replaced(self, dynamodb: Any, table: str, key: str) -> None:
        first = {"pk": {"S": key}, "v": {"N": "1"}}
        assert "Attributes" not in dynamodb.put_item(TableName=table, Item=first, ReturnValues="ALL_OLD")
        second = {"pk": {"S": key}, "w": {"N": "2"}}
        assert dynamodb.put_item(TableName=table, Item=second, ReturnValues="ALL_OLD")["Attributes"] == first
        assert "Attributes" not in dynamodb.put_item(TableName=table, Item=first, ReturnValues="NONE")

    def test_a_delete_tells_what_it_took_away(self, dynamodb: Any, table: str, key: str) -> None:
        item = {"pk": {"S": key}, "v": {"N": "1"}}
        dynamodb.put_item(TableName=table, Item=item)
        gone = dynamodb.delete_item(TableName=table, Key={"pk": {"S": key}}, ReturnValues="ALL_OLD")
        assert gone["Attributes"] == item
        again = dynamodb.delete_item(TableName=table, Key={"pk": {"S": key}}, ReturnValues="ALL_OLD")
        assert "Attributes" not in again

    @pytest.mark.parametrize("value", ["ALL_NEW", "UPDATED_OLD", "UPDATED_NEW"])
    def test_a_put_and_a_delete_have_nothing_new_to_tell(
        self, raw: RawClient, table: str, value: str
    ) -> None:
        sentence = "ReturnValues can only be ALL_OLD or NONE"
        key_ = {"pk": {"S": "a"}}
        for operation, member in (("PutItem", "Item"), ("DeleteItem", "Key")):
            request = {"TableName": table, member: key_, "ReturnValues": value}
            refused(raw.call(operation, request), sentence)

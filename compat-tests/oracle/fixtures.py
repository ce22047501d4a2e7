"""The tables that generated requests read and write, the same on both servers."""

from __future__ import annotations

from typing import Any

READS = "oracle.reads"
WRITES = "oracle.writes"
SMALL = "oracle.small"
PARTITION = {"S": "p"}
SORTS: list[dict[str, Any]] = [{"N": str(number)} for number in (-3, 0, 1, 2.5, 7, 10)]


def keys(*attributes: str, hashes: int = 1) -> list[dict[str, str]]:
    """A key schema of these attributes."""
    return [
        {"AttributeName": name, "KeyType": "HASH" if index < hashes else "RANGE"}
        for index, name in enumerate(attributes)
    ]


def definitions(*attributes: str) -> list[dict[str, str]]:
    """AttributeDefinitions of attributes written `name:type`."""
    pairs = [attribute.split(":") for attribute in attributes]
    return [{"AttributeName": name, "AttributeType": kind} for name, kind in pairs]


def index(name: str, *attributes: str, include: list[str] | None = None, kind: str = "ALL") -> dict[str, Any]:
    """The definition of an index; one with `include` projects these attributes."""
    projection: dict[str, Any] = {"ProjectionType": kind}
    if include is not None:
        projection = {"ProjectionType": "INCLUDE", "NonKeyAttributes": include}
    return {"IndexName": name, "KeySchema": keys(*attributes), "Projection": projection}


def table(name: str, *attributes: str, hashes: int = 1, **more: Any) -> dict[str, Any]:
    """A CreateTable of keys written `name:type`, paid per request unless told otherwise."""
    names = [attribute.split(":")[0] for attribute in attributes]
    return {
        "TableName": name,
        "AttributeDefinitions": definitions(*attributes, *more.pop("defined", [])),
        "KeySchema": keys(*names, hashes=hashes),
        "BillingMode": "PAY_PER_REQUEST",
        **more,
    }


TABLES = [
    table(
        READS,
        "pk:S",
        "sk:N",
        defined=["lsk:S", "gpk:S", "gsk:N"],
        LocalSecondaryIndexes=[index("local", "pk", "lsk"), index("lkeys", "pk", "lsk", kind="KEYS_ONLY")],
        GlobalSecondaryIndexes=[
            index("global", "gpk", "gsk", include=["a", "n"]),
            index("gkeys", "gpk", "sk", kind="KEYS_ONLY"),
            index("gall", "gpk", "gsk"),
        ],
        StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"},
        Tags=[{"Key": "stage", "Value": "test"}],
    ),
    table(
        WRITES,
        "pk:S",
        "sk:S",
        defined=["g:S", "lsk:N"],
        GlobalSecondaryIndexes=[index("global", "g")],
        LocalSecondaryIndexes=[index("local", "pk", "lsk")],
    ),
    table(SMALL, "pk:B"),
]


def item(sort: dict[str, Any], number: int) -> dict[str, Any]:
    """One of the items of READS; each has something that the others do not."""
    values: dict[str, Any] = {
        "pk": PARTITION,
        "sk": sort,
        "lsk": {"S": "abcdef"[number % 6]},
        "gpk": {"S": "g"},
        "gsk": {"N": str(number)},
        "a": {"S": "abc" * (number % 3)},
        "n": {"N": str(number * 2.5)},
        "m": {"M": {"x": {"N": "1"}, "y": {"L": [{"S": "a"}, {"M": {"z": {"BOOL": True}}}]}}},
        "l": {"L": [{"N": "1"}, {"S": "a"}, {"NULL": True}]},
        "ss": {"SS": ["x", "y"]},
        "ns": {"NS": ["1", "2", "3"]},
        "bin": {"B": "YWJj"},
        "flag": {"BOOL": number % 2 == 0},
        "nothing": {"NULL": True},
    }
    for missing in ("lsk", "gsk", "a", "n")[: number % 5]:
        del values[missing]
    return values


ITEMS = [item(sort, number) for number, sort in enumerate(SORTS)]
"""All of READS, in one partition: servers go through partitions in orders of their own."""

PRESENT = {"pk": {"S": "w"}, "sk": {"S": "present"}}
ABSENT = {"pk": {"S": "w"}, "sk": {"S": "absent"}}
OLD = {
    **{key: value for key, value in item({"S": "present"}, 3).items() if key not in ("gpk", "gsk")},
    **PRESENT,
}
OLD["a"] = {"S": "abc"}
OLD["n"] = {"N": "5"}
OLD["g"] = {"S": "g"}
OLD["lsk"] = {"N": "3"}
"""The item of WRITES that is there before every generated write; the item of ABSENT is not."""

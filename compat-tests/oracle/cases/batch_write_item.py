"""BatchWriteItem: puts and deletions, what is repeated or empty, indexes."""

from __future__ import annotations

from typing import Any

import fixtures
from trial import Case, Step, variants

A, B = {"B": "YQ=="}, {"B": "Yg=="}


def put(**item: Any) -> dict[str, Any]:
    """A PutRequest."""
    return {"PutRequest": {"Item": item}}


def delete(**key: Any) -> dict[str, Any]:
    """A DeleteRequest."""
    return {"DeleteRequest": {"Key": key}}


def batch(*requests: Any, **more: Any) -> dict[str, Any]:
    """RequestItems of the case's table."""
    return {"RequestItems": {"$T": list(requests)}, **more}


CASES = [
    Case(
        "BatchWriteItem",
        [
            *variants(
                "BatchWriteItem",
                {},
                batch(put(pk=A, a={"S": "abc"})),
                batch(put(pk=B), delete(pk=A), ReturnConsumedCapacity="TOTAL"),
                batch(put(pk=A, a={"S": "abc"}), delete(pk=B), ReturnConsumedCapacity="INDEXES"),
                batch(put(pk=A), put(pk=A)),
                batch(put(pk=A), delete(pk=A)),
                batch(put(pk={"S": "a"})),
                batch(put(a={"S": "a"})),
                batch(put()),
                batch(put(pk={"B": ""})),
                batch(put(pk=A, a={})),
                batch(put(pk=A, a={"N": "x"})),
                batch(put(pk=A, a={"SS": []})),
                batch(put(pk=A, a={"S": "x" * 409600})),
                batch(delete(pk={"S": "a"})),
                batch(delete()),
                batch(delete(pk=A, a={"S": "a"})),
                batch({}),
                batch({"PutRequest": {}}),
                batch({"DeleteRequest": {}}),
                batch({"PutRequest": None}),
                batch({**put(pk=A), **delete(pk=B)}),
                batch(None),
                batch(),
                batch(*(put(pk={"B": f"YW{letter}="}) for letter in "ABCDEFGHIJKLMNOPQRSTUVWXYZ")),
                batch(put(pk=A), ReturnConsumedCapacity="nope"),
                batch(put(pk=A), ReturnItemCollectionMetrics="nope"),
                {"RequestItems": {}},
                {"RequestItems": None},
                {"RequestItems": {"oracle.none": [put(pk=A)]}},
                {"RequestItems": {"a": [put(pk=A)]}},
                {"RequestItems": {"$T": None}},
            ),
            *variants(
                "BatchWriteItem",
                {"ReturnConsumedCapacity": "INDEXES", "ReturnItemCollectionMetrics": "SIZE"},
                {
                    "RequestItems": {
                        fixtures.WRITES: [put(pk={"S": "bw"}, sk={"S": "a"}, g={"S": "g"}, lsk={"N": "1"})]
                    }
                },
                {"RequestItems": {fixtures.WRITES: [put(pk={"S": "bw"}, sk={"S": "a"}, g={"N": "1"})]}},
                {"RequestItems": {fixtures.WRITES: [put(pk={"S": "bw"}, sk={"S": "a"}, g={"S": ""})]}},
                {"RequestItems": {fixtures.WRITES: [delete(pk={"S": "bw"}, sk={"S": "a"})]}},
            ),
        ],
        [Step("CreateTable", fixtures.table("$T", "pk:B"))],
    ),
]

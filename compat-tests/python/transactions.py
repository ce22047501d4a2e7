"""Building transactions and asserting what is said of those that were cancelled."""

from __future__ import annotations

from typing import Any

from errors import FAILED_CONDITION, SERVICE
from raw import Answer, RawClient

Item = dict[str, Any]

NONE: Item = {"Code": "None"}
"""What is said of an action that nothing stood in the way of."""


def key_of(key: str) -> Item:
    """The key of an item."""
    return {"pk": {"S": key}}


def put(table: str, key: str, attributes: Item | None = None, **more: Any) -> Item:
    """A put of an item with these attributes."""
    return {"Put": {"TableName": table, "Item": {**key_of(key), **(attributes or {})}, **more}}


def update(table: str, key: str, expression: str, values: Item | None = None, **more: Any) -> Item:
    """An update; `values` without the colons."""
    given = {f":{name}": value for name, value in (values or {}).items()}
    attributes = {"ExpressionAttributeValues": given} if given else {}
    return {
        "Update": {
            "TableName": table,
            "Key": key_of(key),
            "UpdateExpression": expression,
            **attributes,
            **more,
        }
    }


def delete(table: str, key: str, **more: Any) -> Item:
    """A deletion."""
    return {"Delete": {"TableName": table, "Key": key_of(key), **more}}


def check(table: str, key: str, condition: str = "attribute_exists(pk)", **more: Any) -> Item:
    """A condition on an item that stays as it is."""
    return {
        "ConditionCheck": {
            "TableName": table,
            "Key": key_of(key),
            "ConditionExpression": condition,
            **more,
        }
    }


def get(table: str, key: str, **more: Any) -> Item:
    """A read of an item."""
    return {"Get": {"TableName": table, "Key": key_of(key), **more}}


def write(raw: RawClient, *actions: Item, **more: Any) -> Answer:
    """TransactWriteItems."""
    return raw.call("TransactWriteItems", {"TransactItems": list(actions), **more})


def read(raw: RawClient, *gets: Item, **more: Any) -> Answer:
    """TransactGetItems."""
    return raw.call("TransactGetItems", {"TransactItems": list(gets), **more})


def failed(item: Item | None = None) -> Item:
    """What is said of an action whose condition was false."""
    reason = {"Code": "ConditionalCheckFailed", "Message": FAILED_CONDITION}
    return reason if item is None else {**reason, "Item": item}


def invalid(sentence: str) -> Item:
    """What is said of an action that does not fit its table or item."""
    return {"Code": "ValidationError", "Message": sentence}


def cancelled(answer: Answer, *reasons: Item) -> None:
    """Asserts that a transaction was cancelled for exactly these reasons."""
    shown = answer.body[:600].decode(errors="replace")
    assert answer.status == 400, shown
    assert answer.type == f"{SERVICE}#TransactionCanceledException", shown
    codes = ", ".join(reason["Code"] for reason in reasons)
    expected = f"Transaction cancelled, please refer cancellation reasons for specific reasons [{codes}]"
    assert answer.json.get("Message") == expected, shown
    told = answer.json["CancellationReasons"]
    for reason in told:
        # DynamoDB Local ends this sentence with a full stop when it shows no item.
        if reason.get("Message") == f"{FAILED_CONDITION}.":
            reason["Message"] = FAILED_CONDITION
    assert told == list(reasons), shown

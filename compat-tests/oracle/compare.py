"""Whether two answers say the same. Pure.

What servers make up (ids, dates, ARNs' regions, iterators) is compared by its form. What has no order in the API is put
into one: sets, attribute definitions, tags, and the items of answers that promise none.
"""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from raw import Answer

FORMS = {
    "TableId": r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}",
    "IndexArn": r"arn:aws:dynamodb:.*",
    "LatestStreamLabel": r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}",
    "StreamLabel": r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}",
    "ShardId": r"shardId-\d{20}-[0-9a-f]{8}",
    "ParentShardId": r"shardId-\d{20}-[0-9a-f]{8}",
    "LastEvaluatedShardId": r"shardId-\d{20}-[0-9a-f]{8}",
    "SequenceNumber": r"\d{21,40}",
    "StartingSequenceNumber": r"\d{21,40}",
    "EndingSequenceNumber": r"\d{21,40}",
    "eventID": r"[0-9a-f-]{32,36}",
    "ShardIterator": r".{1,2048}",
    "NextShardIterator": r".{1,2048}",
    "NextToken": r".+",
    "Address": r".+",
    "awsRegion": r"[a-z0-9-]+",
}
"""Members that each server fills in its own way, and the form of their values."""
DATES = re.compile(r"\w*(DateTime|Timestamp|DateAndTime)")
UNORDERED: dict[str, Callable[[Any], str]] = {
    "SS": json.dumps,
    "NS": json.dumps,
    "BS": json.dumps,
    "AttributeDefinitions": lambda value: str(value.get("AttributeName")),
    "Tags": lambda value: str(value.get("Key")),
    "GlobalSecondaryIndexes": lambda value: str(value.get("IndexName")),
    "LocalSecondaryIndexes": lambda value: str(value.get("IndexName")),
    "NonKeyAttributes": json.dumps,
    "Streams": lambda value: str(value.get("StreamArn")),
    "ConsumedCapacity": lambda value: str(value.get("TableName")),
}
"""Lists whose order means nothing, and what they are sorted by here."""
UNORDERED_ITEMS = {"Scan", "BatchGetItem"}
"""Operations that promise no order of items."""
COMPARED_HEADERS = ("content-type", "content-encoding", "transfer-encoding")
ARN = re.compile(r"arn:aws:dynamodb:[a-z0-9-]*:\d*:")
STREAM_LABEL = re.compile(r"/stream/\d{4}-\d\d-\d\dT[\d:.]+")
LISTED = re.compile(r"((?:not project|attributes:|valid types:|keys:) [\[{])([^\]}]*)([\]}])")
"""Names that a sentence lists; in which order is nobody's business."""
CHECKSUM = "x-amz-crc32"


@dataclass(frozen=True)
class Difference:
    """One difference of two answers: where, and what each server has there."""

    place: str
    stator: Any
    local: Any

    def __str__(self) -> str:
        return f"{self.place}:\n      stator {_short(self.stator)}\n      local  {_short(self.local)}"


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 700 else text[:700] + "..."


def differences(operation: str, stator: Answer, local: Answer) -> list[Difference]:
    """All differences of two answers to one request."""
    found = _headers(stator, local)
    if stator.status != local.status:
        found.append(Difference("status", _said(stator), _said(local)))
        return found
    bodies = [_body(answer) for answer in (stator, local)]
    if stator.status == 200:
        normal = [_normal(body, operation, "") for body in bodies]
        found += _values("body", normal[0], normal[1])
        return found
    errors = [_error(body) for body in bodies]
    if errors[0] != errors[1]:
        found.append(Difference("error", _said(stator), _said(local)))
        return found
    rest = [
        {key: value for key, value in body.items() if key not in {"__type", "message", "Message"}}
        for body in bodies
        if isinstance(body, dict)
    ]
    if len(rest) == 2:
        found += _values("error", _normal(rest[0], operation, ""), _normal(rest[1], operation, ""))
    return found


def _said(answer: Answer) -> str:
    """The outcome of a request in one line: `200`, or status, type and sentence."""
    if answer.status == 200:
        return "200"
    kind, message = _error(_body(answer))
    return f"{answer.status} {kind}: {message}"


def _body(answer: Answer) -> Any:
    try:
        return answer.json
    except ValueError:
        return answer.body.decode(errors="replace")


def _error(body: Any) -> tuple[str, str | None]:
    if not isinstance(body, dict):
        return "no JSON", str(body)
    message = body.get("message", body.get("Message"))
    return str(body.get("__type")), None if message is None else _text(message)


def _text(message: str) -> str:
    message = LISTED.sub(_sorted, message)
    message = STREAM_LABEL.sub("/stream/LABEL", message)
    return ARN.sub("arn:aws:dynamodb:REGION:ACCOUNT:", message)


def _sorted(found: re.Match[str]) -> str:
    names = sorted(name.strip() for name in found[2].split(","))
    return found[1] + ", ".join(names) + found[3]


def _headers(stator: Answer, local: Answer) -> list[Difference]:
    found = []
    for name in COMPARED_HEADERS:
        if stator.headers.get(name) != local.headers.get(name):
            found.append(Difference(f"header {name}", stator.headers.get(name), local.headers.get(name)))
    ids = [bool(answer.headers.get("x-amzn-requestid")) for answer in (stator, local)]
    if ids[0] != ids[1]:
        found.append(Difference("header x-amzn-requestid", ids[0], ids[1]))
    sums = [_checksum(answer) for answer in (stator, local)]
    if sums[0] != sums[1]:
        found.append(Difference("header x-amz-crc32", sums[0], sums[1]))
    return found


def _checksum(answer: Answer) -> str:
    value = answer.headers.get(CHECKSUM)
    if value is None:
        return "none"
    return "right" if int(value) == zlib.crc32(answer.body) else "wrong"


def _form(name: str, value: Any) -> Any:
    """The value, or the name of its form when it is of the form that this member has."""
    if DATES.fullmatch(name) and isinstance(value, int | float):
        return "<date>" if value > 1_000_000_000 else f"<date {value}>"
    form = FORMS.get(name)
    if form is not None and isinstance(value, str) and re.fullmatch(form, value, re.DOTALL):
        return f"<{name}>"
    return value


def _normal(value: Any, operation: str, name: str) -> Any:
    if isinstance(value, dict):
        return {key: _normal(inner, operation, key) for key, inner in value.items()}
    if isinstance(value, list):
        values = [_normal(inner, operation, "") for inner in value]
        key = UNORDERED.get(name)
        if key is not None and all(isinstance(inner, dict | str) for inner in values):
            return sorted(values, key=lambda inner: key(inner) if isinstance(inner, dict) else str(inner))
        if operation in UNORDERED_ITEMS and values and all(isinstance(inner, dict) for inner in values):
            return sorted(values, key=lambda inner: json.dumps(inner, sort_keys=True))
        return values
    formed = _form(name, value)
    return _text(formed) if isinstance(formed, str) else formed


def _values(place: str, one: Any, other: Any) -> list[Difference]:
    """Where two values differ; lists of different length and scalars differ as a whole."""
    if isinstance(one, dict) and isinstance(other, dict):
        found = []
        for key in [*one, *(key for key in other if key not in one)]:
            found += _values(f"{place}.{key}", one.get(key, ABSENT), other.get(key, ABSENT))
        return found
    if isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        found = []
        for index, pair in enumerate(zip(one, other)):
            found += _values(f"{place}[{index}]", *pair)
        return found
    if one == other and isinstance(one, bool) == isinstance(other, bool):
        return []
    return [Difference(place, one, other)]


ABSENT = "<absent>"
"""Stands for a member that one of two objects does not have."""

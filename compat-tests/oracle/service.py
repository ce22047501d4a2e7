"""What botocore's copy of AWS's service model says of a request: which constraints it breaks, which types are wrong. Pure.

A member that is null counts as absent, as in Smithy's AWS JSON 1.0 protocol.

A third opinion beside the two servers: DynamoDB checks the model's constraints before anything else and names all that
are broken, which DynamoDB Local does not.
"""

from __future__ import annotations

import base64
import binascii
import functools
import re
from typing import Any

import botocore.loaders
import botocore.model

from wire import STREAM_OPERATIONS

INTEGERS = {"integer": 32, "long": 64}


@functools.cache
def model(service: str) -> botocore.model.ServiceModel:
    """The model of `dynamodb` or `dynamodbstreams`."""
    description = botocore.loaders.Loader().load_service_model(service, "service-2")
    return botocore.model.ServiceModel(description, service)


@functools.cache
def input_shape(operation: str) -> Any:
    """The shape of an operation's request."""
    service = "dynamodbstreams" if operation in STREAM_OPERATIONS else "dynamodb"
    return model(service).operation_model(operation).input_shape


def broken_constraints(operation: str, body: Any) -> set[str]:
    """The members, in the words of DynamoDB's sentences, that break a constraint of the model."""
    shape = input_shape(operation)
    return set(_broken(shape, body, "")) if isinstance(body, dict) else set()


def is_mistyped(operation: str, body: Any) -> bool:
    """Whether a member is of another JSON type than the model says."""
    return _mistyped(input_shape(operation), body)


def _lower(name: str) -> str:
    for prefix in ("SSE", "KMS"):
        if name.startswith(prefix):
            return prefix.lower() + name[len(prefix) :] if prefix == "KMS" else "sSE" + name[len(prefix) :]
    return name[:1].lower() + name[1:]


def _broken(shape: Any, value: Any, path: str) -> list[str]:
    kind = shape.type_name
    found: list[str] = []
    if kind == "structure" and isinstance(value, dict):
        if shape.name == "AttributeValue":
            return []
        for name in shape.required_members:
            if value.get(name) is None:
                found.append(_join(path, _lower(name)))
        for name, member in shape.members.items():
            if value.get(name) is not None:
                found += _broken(member, value[name], _join(path, _lower(name)))
        return found
    if kind == "list" and isinstance(value, list):
        value = [inner for inner in value if inner is not None]
        found += _length(shape, len(value), path)
        for index, inner in enumerate(value, start=1):
            found += _broken(shape.member, inner, f"{path}.{index}.member")
        return found
    if kind == "map" and isinstance(value, dict):
        value = {key: inner for key, inner in value.items() if inner is not None}
        found += _length(shape, len(value), path)
        for key, inner in value.items():
            inside = f"{path}.{key}.member"
            # What a value breaks by itself is told of the map that it is in.
            broken = _broken(shape.value, inner, inside)
            found += [path if place == inside else place for place in broken]
        return found
    if kind == "string" and isinstance(value, str):
        found += _length(shape, len(value), path)
        pattern = shape.metadata.get("pattern")
        if shape.enum and value not in shape.enum:
            found.append(path)
        elif pattern and not re.fullmatch(pattern, value):
            found.append(path)
        return found
    if kind in INTEGERS and isinstance(value, int):
        low, high = shape.metadata.get("min"), shape.metadata.get("max")
        if (low is not None and value < low) or (high is not None and value > high):
            found.append(path)
    return found


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _length(shape: Any, length: int, path: str) -> list[str]:
    low, high = shape.metadata.get("min"), shape.metadata.get("max")
    bad = (low is not None and length < low) or (high is not None and length > high)
    return [path] if bad else []


def _mistyped(shape: Any, value: Any) -> bool:
    if value is None:
        return False
    kind = shape.type_name
    if kind == "structure":
        if not isinstance(value, dict):
            return True
        return any(
            name in shape.members and _mistyped(shape.members[name], inner) for name, inner in value.items()
        )
    if kind == "list":
        return not isinstance(value, list) or any(_mistyped(shape.member, inner) for inner in value)
    if kind == "map":
        return not isinstance(value, dict) or any(_mistyped(shape.value, inner) for inner in value.values())
    if kind == "boolean":
        return not isinstance(value, bool)
    if kind in INTEGERS:
        bound = 2 ** (INTEGERS[kind] - 1)
        return not isinstance(value, int) or isinstance(value, bool) or not -bound <= value < bound
    if kind == "timestamp":
        return not isinstance(value, int | float) or isinstance(value, bool)
    if not isinstance(value, str):
        return True
    if kind == "blob":
        try:
            base64.b64decode(value, validate=True)
        except binascii.Error:
            return True
    return False

"""The surface of the API: what the service model has, and what docs/compatibility.md says of it.

A member of a request is named by its path, such as `GlobalSecondaryIndexes.Projection`: lists and maps lie between
a member and those of their elements without a name of their own.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import botocore.session

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "compatibility.md"
SERVICES = ["dynamodb", "dynamodbstreams"]

WORKS, STORED, REFUSED = "works", "accepted and stored", "refused"
COLUMNS = ["operation", WORKS, STORED, REFUSED]
NOT_BUILT = ["operation that is not built"]


def operations() -> dict[str, Any]:
    """The operations of the service models by name, each with the shape of its request (or none)."""
    session = botocore.session.get_session()
    models = [session.get_service_model(service) for service in SERVICES]
    return {
        name: model.operation_model(name).input_shape for model in models for name in model.operation_names
    }


def members(shape: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Path and shape of every member of a request, nested ones included; attribute values are leaves."""
    if shape is None or shape.name == "AttributeValue":
        return
    if shape.type_name == "list":
        yield from members(shape.member, path)
    elif shape.type_name == "map":
        yield from members(shape.value, path)
    elif shape.type_name == "structure":
        for name, member in shape.members.items():
            below = f"{path}.{name}" if path else name
            yield below, member
            yield from members(member, below)


def given(shape: Any, value: Any, path: str = "") -> Iterator[str]:
    """The paths of the members that a request gives."""
    if shape.name == "AttributeValue":
        return
    if shape.type_name == "list":
        for element in value:
            yield from given(shape.member, element, path)
    elif shape.type_name == "map":
        for element in value.values():
            yield from given(shape.value, element, path)
    elif shape.type_name == "structure":
        for name, member in value.items():
            below = f"{path}.{name}" if path else name
            yield below
            yield from given(shape.members[name], member, below)


def example(shape: Any) -> Any:
    """The shortest value of a shape that botocore sends."""
    kind = shape.type_name
    if kind == "structure":
        required = shape.required_members or list(shape.members)[:1]
        return {name: example(shape.members[name]) for name in required}
    if kind == "list":
        return [example(shape.member)]
    if kind == "map":
        return {"key": example(shape.value)}
    if kind == "string":
        return shape.enum[0] if shape.enum else "x" * max(1, shape.metadata.get("min", 1))
    if kind == "boolean":
        return True
    return max(1, shape.metadata.get("min", 1))


def with_member(request: dict[str, Any], shape: Any, path: str) -> dict[str, Any]:
    """A copy of a request with the member of a path, whose parents are made where they are not there."""
    name, _, below = path.partition(".")
    member = shape.members[name]
    if not below:
        return {**request, name: example(member)}
    assert member.type_name == "structure", f"{name} is none of the kinds that refused members lie in"
    return {**request, name: with_member(request.get(name, {}), member, below)}


def table(header: list[str]) -> list[list[list[str]]]:
    """The rows of the document's table with this header; each cell is the list of what it has in backticks."""
    rows: list[list[list[str]]] = []
    inside = False
    for line in DOCUMENT.read_text().splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")] if line.startswith("|") else []
        if cells == header:
            inside = True
        elif not cells:
            inside = False
        elif inside and not re.fullmatch("-+", cells[0]):
            assert len(cells) == len(header), line
            rows.append([re.findall("`([^`]+)`", cell) for cell in cells])
    assert rows, f"docs/compatibility.md has no table {header}"
    return rows


def documented() -> dict[str, dict[str, str]]:
    """For every operation that works: the paths that the document names, with what it says of each."""
    found: dict[str, dict[str, str]] = {}
    for [operation], *cells in table(COLUMNS):
        assert operation not in found, f"{operation} comes twice"
        said = [(path, status) for status, paths in zip(COLUMNS[1:], cells) for path in paths]
        assert len(dict(said)) == len(said), f"{operation} names a member twice"
        found[operation] = dict(said)
    return found


def not_built() -> list[str]:
    """The operations that the document says are not built."""
    return [operation for [operations] in table(NOT_BUILT) for operation in operations]


def status(said: dict[str, str], path: str) -> str:
    """What the document says of a member: of itself, or of the nearest one around it."""
    while path not in said:
        assert "." in path, f"{path} is not documented"
        path = path.rpartition(".")[0]
    return said[path]

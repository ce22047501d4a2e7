"""Requests made from botocore's service model under a seed: valid ones, and ones with something slightly wrong.

The model gives the members, the enumerations and the ranges; `fixtures` gives the names of tables, indexes and keys that
mean something, and `expressions` the language.
"""

from __future__ import annotations

import copy
import random
from collections.abc import Callable
from typing import Any

import expressions
import fixtures
import service
from expressions import VALUES, Expressions

BAD_VALUES: list[Any] = [
    {},
    {"S": "a", "N": "1"},
    {"N": "abc"},
    {"N": ""},
    {"N": " 1"},
    {"N": "1e126"},
    {"N": "1e-131"},
    {"N": "1" * 39},
    {"N": "0x10"},
    {"N": "+5"},
    {"N": "1.e2"},
    {"N": "NaN"},
    {"NULL": False},
    {"SS": []},
    {"SS": ["a", "a"]},
    {"SS": [""]},
    {"NS": []},
    {"NS": ["1", "1.0"]},
    {"NS": ["x"]},
    {"BS": []},
    {"BS": ["YQ==", "YQ=="]},
    {"B": "not base64!"},
    {"B": ""},
    {"L": [{}]},
    {"L": [{"SS": []}]},
    {"M": {"x": {}}},
    {"M": {"": {"S": "a"}}},
    {"X": "a"},
    {"S": None},
    {"BOOL": "true"},
    {"S": 5},
    {"N": 5},
    "a",
    None,
]
READS = ["GetItem", "BatchGetItem", "Query", "Scan"]
WRITES = ["PutItem", "UpdateItem", "DeleteItem", "BatchWriteItem"]
LEGACY_COMPARISONS = [
    ("EQ", 1),
    ("NE", 1),
    ("LT", 1),
    ("LE", 1),
    ("GT", 1),
    ("GE", 1),
    ("NULL", 0),
    ("NOT_NULL", 0),
    ("CONTAINS", 1),
    ("NOT_CONTAINS", 1),
    ("BEGINS_WITH", 1),
    ("IN", 2),
    ("BETWEEN", 2),
]


class Generator:
    """Makes one request after the other."""

    def __init__(self, draw: random.Random) -> None:
        self.draw = draw
        self._special: dict[str, Callable[[], dict[str, Any]]] = {
            "GetItem": self._get_item,
            "BatchGetItem": self._batch_get_item,
            "Query": self._query,
            "Scan": self._scan,
            "PutItem": self._put_item,
            "UpdateItem": self._update_item,
            "DeleteItem": self._delete_item,
            "BatchWriteItem": self._batch_write_item,
            "CreateTable": self._create_table,
            "UpdateTable": self._update_table,
        }

    def request(self, operation: str) -> dict[str, Any]:
        """A request of this operation: as it should be, or with one or two things wrong."""
        make = self._special.get(operation)
        body = make() if make else self._from_model(operation)
        for _ in range(self.draw.choice([0, 1, 1, 1, 2])):
            body = self.spoiled(operation, body)
        return body

    def chance(self, share: float) -> bool:
        """True in this share of cases."""
        return self.draw.random() < share

    # The operations that the model alone says too little about.

    def _choices(self, operation: str, *members: str, share: float = 0.25) -> dict[str, Any]:
        """Some of these members, with values of their enumerations."""
        shape = service.input_shape(operation)
        found: dict[str, Any] = {}
        for member in members:
            if self.chance(share):
                found[member] = self._value(shape.members[member])
        return found

    def _read_key(self) -> dict[str, Any]:
        sort = self.draw.choice([*fixtures.SORTS, {"N": "99"}])
        return {"pk": fixtures.PARTITION, "sk": sort}

    def _get_item(self) -> dict[str, Any]:
        body: dict[str, Any] = {"TableName": fixtures.READS, "Key": self._read_key()}
        body |= self._choices("GetItem", "ConsistentRead", "ReturnConsumedCapacity")
        if self.chance(0.6):
            words = Expressions(self.draw)
            body["ProjectionExpression"] = words.projection()
            body |= words.members()
        elif self.chance(0.4):
            body["AttributesToGet"] = self._names()
        return body

    def _names(self) -> list[str]:
        return self.draw.sample(expressions.NAMES, self.draw.randint(1, 3))

    def _batch_get_item(self) -> dict[str, Any]:
        keys = [{"pk": fixtures.PARTITION, "sk": sort} for sort in self.draw.sample(fixtures.SORTS, 2)]
        wanted: dict[str, Any] = {"Keys": keys}
        words = Expressions(self.draw)
        if self.chance(0.4):
            wanted["ProjectionExpression"] = words.projection()
            wanted |= words.members()
        elif self.chance(0.3):
            wanted["AttributesToGet"] = self._names()
        if self.chance(0.3):
            wanted["ConsistentRead"] = self.chance(0.5)
        tables = {fixtures.READS: wanted}
        if self.chance(0.3):
            tables[fixtures.SMALL] = {"Keys": [{"pk": {"B": "YQ=="}}]}
        return {"RequestItems": tables, **self._choices("BatchGetItem", "ReturnConsumedCapacity")}

    def _index(self) -> tuple[str | None, tuple[str, Any], tuple[str, list[Any]] | None]:
        """An index to read, or none, with its partition key and its sort key's values."""
        letters = [{"S": letter} for letter in "abcf"]
        numbers = [{"N": str(number)} for number in (0, 1, 4, 9)]
        return self.draw.choice(
            [
                (None, ("pk", fixtures.PARTITION), ("sk", fixtures.SORTS)),
                (None, ("pk", fixtures.PARTITION), ("sk", fixtures.SORTS)),
                ("local", ("pk", fixtures.PARTITION), ("lsk", letters)),
                ("lkeys", ("pk", fixtures.PARTITION), ("lsk", letters)),
                ("global", ("gpk", {"S": "g"}), ("gsk", numbers)),
                ("gkeys", ("gpk", {"S": "g"}), ("sk", fixtures.SORTS)),
                ("gall", ("gpk", {"S": "g"}), ("gsk", numbers)),
            ]
        )

    def _page(self, operation: str, words: Expressions, index: str | None) -> dict[str, Any]:
        """What Query and Scan share, in the language of expressions."""
        body: dict[str, Any] = {"TableName": fixtures.READS}
        if index is not None:
            body["IndexName"] = index
        if self.chance(0.35):
            body["FilterExpression"] = words.condition(1)
        if self.chance(0.3):
            body["ProjectionExpression"] = words.projection()
        if self.chance(0.3):
            body["Limit"] = self.draw.randint(1, 4)
        body |= self._choices(operation, "Select", "ReturnConsumedCapacity", share=0.2)
        if index in (None, "local", "lkeys") or self.chance(0.1):
            body |= self._choices(operation, "ConsistentRead", share=0.2)
        return body

    def _query(self) -> dict[str, Any]:
        index, partition, sort = self._index()
        words = Expressions(self.draw)
        body = self._page("Query", words, index)
        body |= self._choices("Query", "ScanIndexForward", share=0.4)
        if self.chance(0.3):
            for member in ("FilterExpression", "ProjectionExpression"):
                body.pop(member, None)
            body["KeyConditions"] = {
                partition[0]: {"ComparisonOperator": "EQ", "AttributeValueList": [partition[1]]}
            }
            if sort is not None and self.chance(0.6):
                operator, count = self.draw.choice(LEGACY_COMPARISONS[:1] * 3 + LEGACY_COMPARISONS)
                values = [self.draw.choice(sort[1]) for _ in range(count)]
                body["KeyConditions"][sort[0]] = _comparison(operator, values)
            self._legacy(body, "QueryFilter")
            return body
        body["KeyConditionExpression"] = words.key_condition(partition, sort)
        return body | words.members()

    def _legacy(self, body: dict[str, Any], member: str) -> None:
        if self.chance(0.5):
            body[member] = {}
            for name in self._names():
                operator, count = self.draw.choice(LEGACY_COMPARISONS)
                body[member][name] = _comparison(operator, [self.draw.choice(VALUES) for _ in range(count)])
            if self.chance(0.4):
                body["ConditionalOperator"] = self.draw.choice(["AND", "OR"])
        if self.chance(0.3):
            body["AttributesToGet"] = self._names()

    def _scan(self) -> dict[str, Any]:
        index = self._index()[0]
        words = Expressions(self.draw)
        body = self._page("Scan", words, index)
        if self.chance(0.3):
            for member in ("FilterExpression", "ProjectionExpression"):
                body.pop(member, None)
            self._legacy(body, "ScanFilter")
            return body
        return body | words.members()

    def _write(self, operation: str, subject: str, value: Any) -> tuple[dict[str, Any], Expressions]:
        words = Expressions(self.draw)
        body: dict[str, Any] = {"TableName": fixtures.WRITES, subject: value}
        if self.chance(0.4):
            body["ConditionExpression"] = words.condition()
        elif self.chance(0.3):
            body["Expected"] = {name: self._expectation() for name in self._names()}
            if self.chance(0.3):
                body["ConditionalOperator"] = self.draw.choice(["AND", "OR"])
        body |= self._choices(
            operation,
            "ReturnValues",
            "ReturnConsumedCapacity",
            "ReturnItemCollectionMetrics",
            "ReturnValuesOnConditionCheckFailure",
        )
        return body, words

    def _expectation(self) -> dict[str, Any]:
        if self.chance(0.3):
            return {"Exists": False}
        if self.chance(0.3):
            return {"Value": self.draw.choice(VALUES)}
        operator, count = self.draw.choice(LEGACY_COMPARISONS)
        return _comparison(operator, [self.draw.choice(VALUES) for _ in range(count)])

    def _write_key(self) -> dict[str, Any]:
        return dict(self.draw.choice([fixtures.PRESENT, fixtures.PRESENT, fixtures.ABSENT]))

    def _item(self) -> dict[str, Any]:
        values = {name: self.draw.choice(VALUES) for name in self._names() if name != "pk"}
        return {**values, **self._write_key()}

    def _put_item(self) -> dict[str, Any]:
        body, words = self._write("PutItem", "Item", self._item())
        return body | words.members()

    def _delete_item(self) -> dict[str, Any]:
        body, words = self._write("DeleteItem", "Key", self._write_key())
        return body | words.members()

    def _update_item(self) -> dict[str, Any]:
        body, words = self._write("UpdateItem", "Key", self._write_key())
        if "Expected" in body or self.chance(0.15):
            if "ConditionExpression" not in body:
                body["AttributeUpdates"] = {name: self._attribute_update() for name in self._names()}
        elif self.chance(0.95):
            body["UpdateExpression"] = words.update()
        return body | words.members()

    def _attribute_update(self) -> dict[str, Any]:
        action = self.draw.choice(["PUT", "ADD", "DELETE"])
        update: dict[str, Any] = {"Action": action}
        if action != "DELETE" or self.chance(0.5):
            update["Value"] = self.draw.choice(VALUES)
        return update

    def _batch_write_item(self) -> dict[str, Any]:
        requests: list[dict[str, Any]] = [{"PutRequest": {"Item": {**self._item(), **fixtures.ABSENT}}}]
        if self.chance(0.6):
            requests.append({"DeleteRequest": {"Key": dict(fixtures.PRESENT)}})
        members = ("ReturnConsumedCapacity", "ReturnItemCollectionMetrics")
        return {"RequestItems": {fixtures.WRITES: requests}, **self._choices("BatchWriteItem", *members)}

    def _create_table(self) -> dict[str, Any]:
        attributes = self.draw.choice([["pk:S"], ["pk:S", "sk:N"], ["pk:B", "sk:S"]])
        body = fixtures.table("$T", *attributes)
        if self.chance(0.4):
            body["GlobalSecondaryIndexes"] = [
                fixtures.index("one", "g", include=["a"] if self.chance(0.3) else None)
            ]
            body["AttributeDefinitions"] += fixtures.definitions("g:S")
            if self.chance(0.5):
                body["GlobalSecondaryIndexes"].append(fixtures.index("two", "pk", "g", kind="KEYS_ONLY"))
        if self.chance(0.3) and len(attributes) == 2:
            body["LocalSecondaryIndexes"] = [fixtures.index("three", "pk", "l")]
            body["AttributeDefinitions"] += fixtures.definitions("l:N")
        if self.chance(0.4):
            body["BillingMode"] = "PROVISIONED"
            units = {"ReadCapacityUnits": self.draw.randint(1, 9), "WriteCapacityUnits": 5}
            body["ProvisionedThroughput"] = units
            for index in body.get("GlobalSecondaryIndexes", []):
                index["ProvisionedThroughput"] = dict(units)
        if self.chance(0.3):
            body["StreamSpecification"] = {
                "StreamEnabled": True,
                "StreamViewType": self.draw.choice(
                    ["KEYS_ONLY", "NEW_IMAGE", "OLD_IMAGE", "NEW_AND_OLD_IMAGES"]
                ),
            }
        if self.chance(0.2):
            body["Tags"] = [{"Key": "a", "Value": "b"}]
        return body | self._choices("CreateTable", "DeletionProtectionEnabled", "TableClass", share=0.15)

    def _update_table(self) -> dict[str, Any]:
        body: dict[str, Any] = {"TableName": "$T"}
        units = {"ReadCapacityUnits": self.draw.randint(1, 6), "WriteCapacityUnits": self.draw.randint(1, 6)}
        if self.chance(0.4):
            body["ProvisionedThroughput"] = units
        if self.chance(0.2):
            body["BillingMode"] = self.draw.choice(["PROVISIONED", "PAY_PER_REQUEST"])
        if self.chance(0.35):
            body["AttributeDefinitions"] = fixtures.definitions("pk:S", "new:N")
            create = {**fixtures.index("fresh", "new"), "ProvisionedThroughput": dict(units)}
            body["GlobalSecondaryIndexUpdates"] = [{"Create": create}]
        elif self.chance(0.3):
            change = self.draw.choice(["Update", "Delete"])
            name: dict[str, Any] = {"IndexName": self.draw.choice(["one", "none"])}
            if change == "Update":
                name["ProvisionedThroughput"] = dict(units)
            body["GlobalSecondaryIndexUpdates"] = [{change: name}]
        if self.chance(0.2):
            body["StreamSpecification"] = {"StreamEnabled": True, "StreamViewType": "NEW_IMAGE"}
        return body | self._choices("UpdateTable", "DeletionProtectionEnabled", "TableClass", share=0.2)

    # Everything else, from the model.

    def _from_model(self, operation: str) -> dict[str, Any]:
        shape = service.input_shape(operation)
        body: dict[str, Any] = {}
        for name, member in shape.members.items():
            if name in shape.required_members or self.chance(0.4):
                body[name] = NAMED[name] if name in NAMED else self._value(member, name)
        return body

    def _value(self, shape: Any, name: str = "") -> Any:
        """A value that the model allows."""
        kind = shape.type_name
        if kind == "structure":
            wanted = [m for m in shape.members if m in shape.required_members or self.chance(0.3)]
            return {member: self._value(shape.members[member], member) for member in wanted}
        if kind == "list":
            return [self._value(shape.member, name) for _ in range(self.draw.randint(1, 2))]
        if kind == "map":
            return {"a": self._value(shape.value, name)}
        if kind == "boolean":
            return self.chance(0.5)
        if kind in service.INTEGERS:
            low = shape.metadata.get("min", 1)
            return self.draw.randint(low, min(shape.metadata.get("max", 10), 10))
        if getattr(shape, "enum", None):
            return self.draw.choice(shape.enum)
        return NAMED.get(name, "abc")

    # Things that are slightly wrong.

    def spoiled(self, operation: str, body: dict[str, Any]) -> dict[str, Any]:
        """The request with one thing changed, somewhere."""
        body = copy.deepcopy(body)
        places = list(_places(body, ()))
        if not places:
            return {**body, "Unknown": 1}
        if self.chance(0.06):
            extra = self.draw.choice(SURPLUS)
            return {**body, **copy.deepcopy(extra)}
        place = self.draw.choice(places)
        value = _at(body, place)
        _put(body, place, self._wrong(value, place))
        return body

    def _wrong(self, value: Any, place: tuple[Any, ...]) -> Any:
        name = place[-1]
        if isinstance(name, str) and name.endswith("Expression"):
            return self.draw.choice([expressions.broken(str(value), self.draw)] * 6 + ["", None, 5])
        if _is_attribute_value(value):
            return self.draw.choice([*BAD_VALUES, *VALUES])
        if isinstance(value, bool):
            return self.draw.choice([not value, "true", 1, GONE])
        if isinstance(value, int):
            return self.draw.choice([0, -1, value + 1, 1_000_001, 2**31, "1", 1.5, GONE])
        if isinstance(value, str):
            wrong = [
                "",
                value + "x",
                value[:-1],
                value.lower(),
                value.upper(),
                "x" * 300,
                "a b",
                5,
                {},
                None,
                GONE,
            ]
            return self.draw.choice([*wrong, GONE])
        if isinstance(value, list):
            return self.draw.choice(
                [[], value + value, value[:1], value[1:], {}, None, GONE, GONE, value * 30]
            )
        extra = {**value, "Unknown": {"S": "a"}} if isinstance(value, dict) else {}
        return self.draw.choice([{}, extra, extra, [], "a", None, GONE, GONE])


def _comparison(operator: str, values: list[Any]) -> dict[str, Any]:
    condition: dict[str, Any] = {"ComparisonOperator": operator}
    if values:
        condition["AttributeValueList"] = values
    return condition


GONE = object()
"""Stands for a member that is taken away."""

NAMED: dict[str, Any] = {
    "TableName": "$T",
    "ResourceArn": "$TableArn",
    "StreamArn": "$LatestStreamArn",
    "ShardId": "$ShardId",
    "ShardIterator": "$ShardIterator",
    "SequenceNumber": "$SequenceNumber",
    "AttributeName": "expires",
    "ExclusiveStartTableName": "oracle.a",
    "ExclusiveStartStreamArn": "$LatestStreamArn",
    "ExclusiveStartShardId": "$ShardId",
    "NextToken": "nope",
    "Key": "stage",
    "Value": "test",
    "TagKeys": ["stage"],
}
"""Members whose values have to fit what is there."""

SURPLUS: list[dict[str, Any]] = [
    {"AttributesToGet": ["a"]},
    {"ConditionalOperator": "AND"},
    {"Expected": {"a": {"Exists": False}}},
    {"ProjectionExpression": "a"},
    {"FilterExpression": "a = b"},
    {"ConditionExpression": "a = b"},
    {"ExpressionAttributeNames": {"#x": "x"}},
    {"ExpressionAttributeValues": {":x": {"S": "x"}}},
    {"ExclusiveStartKey": {"pk": {"S": "p"}}},
    {"ExclusiveStartKey": {"pk": {"S": "p"}, "sk": {"N": "1"}}},
    {"Segment": 0},
    {"Segment": 0, "TotalSegments": 1},
    {"Select": "COUNT"},
    {"Select": "SPECIFIC_ATTRIBUTES"},
    {"ConsistentRead": True},
    {"IndexName": "nope"},
    {"Unknown": {"a": [1]}},
]


def _places(value: Any, at: tuple[Any, ...]) -> list[tuple[Any, ...]]:
    found: list[tuple[Any, ...]] = []
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in pairs:
        found.append((*at, key))
        found += _places(inner, (*at, key))
    return found


def _at(value: Any, place: tuple[Any, ...]) -> Any:
    for key in place:
        value = value[key]
    return value


def _put(body: Any, place: tuple[Any, ...], value: Any) -> None:
    holder = _at(body, place[:-1])
    if value is GONE:
        del holder[place[-1]]
    else:
        holder[place[-1]] = value


def _is_attribute_value(value: Any) -> bool:
    return isinstance(value, dict) and len(value) == 1 and next(iter(value)) in expressions.TYPES

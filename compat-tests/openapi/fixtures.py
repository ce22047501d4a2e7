"""Tables for generated requests, and what fits to them.

`made` makes them. `fitting` takes a generated request and puts names, keys, items and expressions into it that are right for
these tables, where the request has such members; everything else stays as it was generated. Pure but for `made`.
"""

from __future__ import annotations

import json
import os
import random
from collections.abc import Callable
from typing import Any

# Tables that stay, and names of tables that come and go.
TABLES = ["plain", "ranged"]
SCRATCH = [f"scratch-{number}" for number in range(6)]
INDEX, LOCAL_INDEX = "by-group", "by-number"
# Operations that take a table away or change what it is.
OF_SCRATCH = {"CreateTable", "DeleteTable", "UpdateTable"}
PLAIN_KEYS = ["a", "b", "c", "d"]
NUMBERS = ["0", "1", "-7", "3.25", "1E10", "99999999999999999999999999999999999999"]

VALUES = {
    ":s": {"S": "a"},
    ":t": {"S": "zz"},
    ":n": {"N": "3"},
    ":l": {"L": [{"N": "1"}]},
    ":ss": {"SS": ["x"]},
    ":b": {"BOOL": True},
}
NAMES = {"#n": "n", "#g": "g", "#l": "l", "#m": "m", "#ss": "ss"}
CONDITIONS = [
    "attribute_exists(pk)",
    "attribute_not_exists(zz)",
    "#n > :n",
    "#n BETWEEN :n AND :n OR contains(#g, :s)",
    "begins_with(#g, :s) AND NOT #m.a = :b",
    "size(#l) >= :n",
    "#n IN (:n, :s)",
    "attribute_type(#ss, :s)",
]
UPDATES = [
    "SET #n = :n",
    "SET #n = if_not_exists(#n, :n) + :n, #g = :s",
    "ADD #ss :ss",
    "DELETE #ss :ss",
    "REMOVE #m.a, #l[0]",
    "SET #l = list_append(if_not_exists(#l, :l), :l) REMOVE #m",
    "SET #m.a.b = :b",
    "SET #l[7] = :n, #m = :l",
]
PROJECTIONS = ["pk", "pk, #n", "#m.a, #l[0]", "#g, #ss, zz.yy[3]"]
STATEMENTS = [
    ('SELECT * FROM "plain"', []),
    ('SELECT pk, n FROM "plain" WHERE pk = ?', [{"S": "a"}]),
    ('SELECT * FROM "ranged"."by-group" WHERE g = \'a\'', []),
    ("INSERT INTO \"plain\" VALUE {'pk': ?, 'n': 1}", [{"S": "new"}]),
    ("UPDATE \"plain\" SET n = ? WHERE pk = 'a'", [{"N": "5"}]),
    ('DELETE FROM "plain" WHERE pk = ?', [{"S": "new"}]),
    ("EXISTS(SELECT * FROM \"plain\" WHERE pk = 'a')", []),
]


def whole(operation: str, known: dict[str, str], chance: random.Random) -> dict[str, Any] | None:
    """A request that can be carried out, for an operation of whose requests chance makes too few of that kind."""
    choose = chance.choice
    key = {"pk": {"S": choose(PLAIN_KEYS)}}
    put = {"Put": {"TableName": "plain", "Item": key | {"n": {"N": choose(NUMBERS)}}}}
    check = {
        "ConditionCheck": {
            "TableName": "plain",
            "Key": {"pk": {"S": "zz"}},
            "ConditionExpression": "attribute_not_exists(pk)",
        }
    }
    statement = {"Statement": "SELECT * FROM \"plain\" WHERE pk = 'a'"}
    arn = known[choose(["plain", "ranged"])]
    allow = {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": choose(["Allow", "Deny"]),
                "Principal": {"AWS": "arn:aws:iam::000000000000:root"},
                "Action": "dynamodb:GetItem",
                "Resource": arn,
            }
        ],
    }
    requests: dict[str, dict[str, Any]] = {
        "BatchExecuteStatement": {"Statements": [statement]},
        "BatchGetItem": {"RequestItems": {"plain": {"Keys": [key], "ConsistentRead": choose([True, False])}}},
        "BatchWriteItem": {
            "RequestItems": {
                "plain": [choose([{"PutRequest": {"Item": key}}, {"DeleteRequest": {"Key": key}}])]
            }
        },
        "DeleteResourcePolicy": {"ResourceArn": arn},
        "ExecuteStatement": statement | {"Limit": 1 + chance.randrange(9)},
        "ExecuteTransaction": {"TransactStatements": [statement]},
        "GetResourcePolicy": {"ResourceArn": arn},
        "GetShardIterator": {
            "StreamArn": known["stream"],
            "ShardId": known["shard"],
            "ShardIteratorType": choose(["TRIM_HORIZON", "LATEST"]),
        },
        "PutResourcePolicy": {"ResourceArn": arn, "Policy": json.dumps(allow)},
        "TagResource": {"ResourceArn": arn, "Tags": [{"Key": choose(PLAIN_KEYS), "Value": "x"}]},
        "TransactGetItems": {"TransactItems": [{"Get": {"TableName": "plain", "Key": key}}]},
        "TransactWriteItems": {"TransactItems": [put, check]},
        "UntagResource": {"ResourceArn": arn, "TagKeys": [choose(PLAIN_KEYS)]},
        "UpdateTable": {"TableName": "ranged", "DeletionProtectionEnabled": choose([True, False])},
        "UpdateTimeToLive": {
            "TableName": choose(SCRATCH),
            "TimeToLiveSpecification": {"Enabled": choose([True, False]), "AttributeName": "due"},
        },
    }
    return requests.get(operation)


def fitting(operation: str, body: dict[str, Any], chance: random.Random) -> dict[str, Any]:
    """A request like this one that is more likely to be carried out."""
    known = json.loads(os.environ.get("STATOR_FUZZ_ARNS", "{}"))
    request = whole(operation, known, chance) if known and chance.random() < 0.4 else None
    if request is not None:
        more = [name for name in ("ReturnConsumedCapacity", "ReturnItemCollectionMetrics") if name in body]
        return request | {name: body[name] for name in more}
    table = chance.choice(SCRATCH if operation in OF_SCRATCH else TABLES)
    request = Fit(chance, table, known).value(body)
    if operation == "CreateTable" and chance.random() < 0.7:
        request = definition(table) | {
            name: value for name, value in request.items() if name in ("Tags", "DeletionProtectionEnabled")
        }
        request.pop("DeletionProtectionEnabled", None)
    if operation in ("Query", "Scan") and chance.random() < 0.3:
        request["IndexName"] = chance.choice([INDEX, LOCAL_INDEX])
    if operation == "Query":
        request.pop("KeyConditions", None)
        request["KeyConditionExpression"] = "pk = :s"
    if any(name.endswith("Expression") for name in request):
        for name in (
            "AttributesToGet",
            "Expected",
            "ConditionalOperator",
            "QueryFilter",
            "ScanFilter",
            "AttributeUpdates",
        ):
            request.pop(name, None)
    return used(request)


def used(request: Any) -> Any:
    """The request with the names and values that its expressions use, and no others, on every level that has some."""
    if isinstance(request, list):
        return [used(value) for value in request]
    if not isinstance(request, dict):
        return request
    request = {name: used(value) for name, value in request.items()}
    text = " ".join(
        value for name, value in request.items() if name.endswith("Expression") and isinstance(value, str)
    )
    if text:
        for member, all_of_them in (
            ("ExpressionAttributeNames", NAMES),
            ("ExpressionAttributeValues", VALUES),
        ):
            chosen = {name: value for name, value in all_of_them.items() if in_text(name, text)}
            request.pop(member, None)
            if chosen:
                request[member] = chosen
    return request


def in_text(name: str, text: str) -> bool:
    """Whether a placeholder is in an expression, by itself."""
    return any(
        word.strip("(),.[]0123456789") == name for word in text.replace(".", " ").replace("(", " ").split()
    )


class Fit:
    """Replaces members by name, wherever they are in a request."""

    def __init__(self, chance: random.Random, table: str, known: dict[str, str]) -> None:
        self._chance = chance
        self._table = table
        self._known = known
        choose = chance.choice
        self._members: dict[str, Callable[[Any], Any]] = {
            "TableName": lambda _: self._table,
            "ResourceArn": lambda _: known.get(choose(["plain", "ranged", "stream"]), self._table),
            "StreamArn": lambda _: known.get("stream", "none"),
            "ShardId": lambda _: known.get("shard", "none"),
            "ShardIterator": lambda _: known.get("iterator", "none"),
            "ExclusiveStartShardId": lambda _: known.get("shard", "none"),
            "IndexName": lambda _: choose([INDEX, LOCAL_INDEX]),
            "Key": lambda _: self.key(),
            "ExclusiveStartKey": lambda _: self.key(),
            "Item": lambda given: self.item(given),
            "ConditionExpression": lambda _: choose(CONDITIONS),
            "FilterExpression": lambda _: choose(CONDITIONS).replace(
                "attribute_exists(pk)", "attribute_exists(n)"
            ),
            "UpdateExpression": lambda _: choose(UPDATES),
            "ProjectionExpression": lambda _: choose(PROJECTIONS),
            "KeyConditionExpression": lambda _: "pk = :s",
            "RequestItems": lambda given: self.request_items(given),
            "Statement": lambda _: choose(STATEMENTS)[0],
            "NextToken": lambda given: given,
            "N": lambda given: choose(NUMBERS) if isinstance(given, str) else given,
            "NS": lambda given: (
                sorted(set(self._chance.choices(NUMBERS, k=2))) if isinstance(given, list) else given
            ),
        }

    def value(self, value: Any) -> Any:
        """A part of a request."""
        if isinstance(value, list):
            return [self.value(inner) for inner in value]
        if not isinstance(value, dict):
            return value
        request = {name: self.member(name, inner) for name, inner in value.items()}
        if "Statement" in request and "Parameters" in request:
            given = dict(STATEMENTS).get(request["Statement"]) or None
            request.pop("Parameters")
            if given:
                request["Parameters"] = given
        return request

    def member(self, name: str, value: Any) -> Any:
        """A member of a request."""
        replace = self._members.get(name)
        if replace is None:
            return self.value(value)
        return replace(value)

    def key(self) -> dict[str, Any]:
        """The key of an item that may be there."""
        key: dict[str, Any] = {"pk": {"S": self._chance.choice(PLAIN_KEYS)}}
        if self._table == "ranged":
            key["sk"] = {"N": str(self._chance.randrange(4))}
        return key

    def item(self, given: Any) -> Any:
        """The item that was generated, with a key."""
        if not isinstance(given, dict):
            return given
        return {str(name)[:200]: self.value(value) for name, value in given.items()} | self.key()

    def request_items(self, given: Any) -> Any:
        """The requests of a batch, for tables that are there."""
        if not isinstance(given, dict):
            return given
        found = {}
        for table, requests in zip(TABLES, given.values(), strict=False):
            self._table = table
            found[table] = self.value(requests)
        return found


def definition(table: str) -> dict[str, Any]:
    """What a table of this name is made of."""
    by_group = {
        "IndexName": INDEX,
        "KeySchema": [{"AttributeName": "g", "KeyType": "HASH"}],
        "Projection": {"ProjectionType": "ALL"},
    }
    request: dict[str, Any] = {
        "TableName": table,
        "AttributeDefinitions": [
            {"AttributeName": "pk", "AttributeType": "S"},
            {"AttributeName": "g", "AttributeType": "S"},
        ],
        "KeySchema": [{"AttributeName": "pk", "KeyType": "HASH"}],
        "BillingMode": "PAY_PER_REQUEST",
        "GlobalSecondaryIndexes": [by_group],
        "StreamSpecification": {"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"},
    }
    if table == "ranged":
        request["AttributeDefinitions"] += [
            {"AttributeName": "sk", "AttributeType": "N"},
            {"AttributeName": "n", "AttributeType": "N"},
        ]
        request["KeySchema"] += [{"AttributeName": "sk", "KeyType": "RANGE"}]
        request["LocalSecondaryIndexes"] = [
            {
                "IndexName": LOCAL_INDEX,
                "KeySchema": [
                    {"AttributeName": "pk", "KeyType": "HASH"},
                    {"AttributeName": "n", "KeyType": "RANGE"},
                ],
                "Projection": {"ProjectionType": "KEYS_ONLY"},
            }
        ]
    return request


def made(dynamodb: Any, streams: Any) -> dict[str, str]:
    """Makes the tables with some items, with botocore's clients; says what they are called where the server has chosen."""
    known: dict[str, str] = {}
    for table in TABLES:
        known[table] = dynamodb.create_table(**definition(table))["TableDescription"]["TableArn"]
        dynamodb.get_waiter("table_exists").wait(TableName=table, WaiterConfig={"Delay": 1})
    for number, key in enumerate(PLAIN_KEYS):
        item = {
            "pk": {"S": key},
            "g": {"S": "a"},
            "n": {"N": str(number)},
            "l": {"L": [{"N": "1"}, {"S": "x"}]},
            "m": {"M": {"a": {"BOOL": True}}},
            "ss": {"SS": ["x", "y"]},
        }
        dynamodb.put_item(TableName="plain", Item=item)
        dynamodb.put_item(TableName="ranged", Item=item | {"sk": {"N": str(number)}})
    known["stream"] = streams.list_streams(TableName="plain")["Streams"][0]["StreamArn"]
    described = streams.describe_stream(StreamArn=known["stream"])["StreamDescription"]
    known["shard"] = described["Shards"][0]["ShardId"]
    known["iterator"] = streams.get_shard_iterator(
        StreamArn=known["stream"], ShardId=known["shard"], ShardIteratorType="TRIM_HORIZON"
    )["ShardIterator"]
    return known

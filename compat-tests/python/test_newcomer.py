"""The first hour of a new user: the session of the README, typed with the AWS CLI and again with boto3.

The CLI is the one of PyPI (`awscli`) in the same environment. It finds the server by
`AWS_ENDPOINT_URL_DYNAMODB`, as a user's would.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from boto3.dynamodb.conditions import Attr, Key

from conftest import resource, unused_name
from server import Server, Target

AWS = Path(sys.executable).parent / "aws"
CLI_TIMEOUT_SECONDS = 60


class Shell:
    """A shell that knows the server's endpoint and key pair, and types `aws dynamodb` commands."""

    def __init__(self, target: Target, home: Path) -> None:
        self.environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(home),
            "AWS_ENDPOINT_URL_DYNAMODB": target.endpoint,
            "AWS_ACCESS_KEY_ID": target.access_key_id,
            "AWS_SECRET_ACCESS_KEY": target.secret_access_key,
            "AWS_DEFAULT_REGION": target.region,
            "AWS_MAX_ATTEMPTS": "1",
            "AWS_PAGER": "",
        }

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Runs the command, whatever comes of it."""
        return subprocess.run(
            [sys.executable, str(AWS), "dynamodb", *arguments],
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=CLI_TIMEOUT_SECONDS,
            check=False,
        )

    def aws(self, *arguments: str) -> Any:
        """Runs a command that must succeed and returns what it printed."""
        done = self.run(*arguments)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout) if done.stdout.strip() else None


@pytest.fixture
def shell(target: Target, tmp_path: Path) -> Shell:
    """A new user's shell."""
    return Shell(target, tmp_path)


def test_a_session_with_the_aws_cli(shell: Shell) -> None:
    table = unused_name("Music")
    made = shell.aws(
        "create-table",
        *("--table-name", table),
        *("--attribute-definitions", "AttributeName=Artist,AttributeType=S"),
        "AttributeName=Song,AttributeType=S",
        *("--key-schema", "AttributeName=Artist,KeyType=HASH", "AttributeName=Song,KeyType=RANGE"),
        *("--billing-mode", "PAY_PER_REQUEST"),
    )
    assert made["TableDescription"]["TableName"] == table
    shell.aws("wait", "table-exists", "--table-name", table)

    for song, year in (("Aria", 2001), ("Ballad", 2003), ("Chorale", 2005)):
        item = {"Artist": {"S": "Ada"}, "Song": {"S": song}, "Year": {"N": str(year)}}
        shell.aws("put-item", "--table-name", table, "--item", json.dumps(item))

    aria = json.dumps({"Artist": {"S": "Ada"}, "Song": {"S": "Aria"}})
    got = shell.aws("get-item", "--table-name", table, "--key", aria, "--consistent-read")
    assert got["Item"]["Year"] == {"N": "2001"}

    raise_plays = [
        *("--table-name", table, "--key", aria),
        *("--update-expression", "SET Plays = if_not_exists(Plays, :zero) + :one"),
        *("--condition-expression", "#y = :year"),
        *("--expression-attribute-names", '{"#y": "Year"}'),
        *("--return-values", "UPDATED_NEW"),
    ]
    values = {":zero": {"N": "0"}, ":one": {"N": "1"}, ":year": {"N": "2001"}}
    updated = shell.aws("update-item", *raise_plays, "--expression-attribute-values", json.dumps(values))
    assert updated["Attributes"] == {"Plays": {"N": "1"}}
    values[":year"] = {"N": "1999"}
    refused = shell.run("update-item", *raise_plays, "--expression-attribute-values", json.dumps(values))
    assert refused.returncode != 0
    assert "(ConditionalCheckFailedException)" in refused.stderr
    assert "The conditional request failed" in refused.stderr

    found = shell.aws(
        "query",
        *("--table-name", table),
        *("--key-condition-expression", "Artist = :a AND Song BETWEEN :from AND :to"),
        "--expression-attribute-values",
        json.dumps({":a": {"S": "Ada"}, ":from": {"S": "B"}, ":to": {"S": "Z"}}),
    )
    assert [item["Song"]["S"] for item in found["Items"]] == ["Ballad", "Chorale"]

    found = shell.aws(
        "scan",
        *("--table-name", table),
        *("--filter-expression", "#y > :y"),
        *("--expression-attribute-names", '{"#y": "Year"}'),
        *("--expression-attribute-values", '{":y": {"N": "2004"}}'),
    )
    assert (found["Count"], found["ScannedCount"]) == (1, 3)

    writes = [
        {"PutRequest": {"Item": {"Artist": {"S": "Bo"}, "Song": {"S": "Drone"}}}},
        {"DeleteRequest": {"Key": {"Artist": {"S": "Ada"}, "Song": {"S": "Chorale"}}}},
    ]
    written = shell.aws("batch-write-item", "--request-items", json.dumps({table: writes}))
    assert written["UnprocessedItems"] == {}

    moved = {"Artist": {"S": "Bo"}, "Song": {"S": "Ballad"}}
    together = [
        {"Delete": {"TableName": table, "Key": {**moved, "Artist": {"S": "Ada"}}}},
        {
            "Put": {
                "TableName": table,
                "Item": moved,
                "ConditionExpression": "attribute_not_exists(Song)",
            }
        },
    ]
    shell.aws("transact-write-items", "--transact-items", json.dumps(together))
    refused = shell.run("transact-write-items", "--transact-items", json.dumps(together))
    assert refused.returncode != 0
    assert "(TransactionCanceledException)" in refused.stderr
    assert "[None, ConditionalCheckFailed]" in refused.stderr

    shell.aws("delete-item", "--table-name", table, "--key", aria)
    left = shell.aws("scan", "--table-name", table, "--page-size", "1")
    assert sorted(item["Song"]["S"] for item in left["Items"]) == ["Ballad", "Drone"]

    assert table in shell.aws("list-tables")["TableNames"]
    shell.aws("delete-table", "--table-name", table)
    shell.aws("wait", "table-not-exists", "--table-name", table)
    assert table not in shell.aws("list-tables")["TableNames"]


def test_a_session_with_boto3(target: Target) -> None:
    music = resource(target).create_table(
        TableName=unused_name("Music"),
        AttributeDefinitions=[
            {"AttributeName": "Artist", "AttributeType": "S"},
            {"AttributeName": "Song", "AttributeType": "S"},
        ],
        KeySchema=[
            {"AttributeName": "Artist", "KeyType": "HASH"},
            {"AttributeName": "Song", "KeyType": "RANGE"},
        ],
        BillingMode="PAY_PER_REQUEST",
    )
    music.wait_until_exists()

    music.put_item(Item={"Artist": "Ada", "Song": "Aria", "Year": 2001, "Tags": {"calm", "short"}})
    aria = {"Artist": "Ada", "Song": "Aria"}
    assert music.get_item(Key=aria)["Item"]["Tags"] == {"calm", "short"}

    updated = music.update_item(
        Key=aria,
        UpdateExpression="SET Price = :price REMOVE Tags",
        ConditionExpression=Attr("Year").lt(2002) & Attr("Price").not_exists(),
        ExpressionAttributeValues={":price": Decimal("0.99")},
        ReturnValues="ALL_NEW",
    )
    assert updated["Attributes"] == {**aria, "Year": 2001, "Price": Decimal("0.99")}
    with pytest.raises(music.meta.client.exceptions.ConditionalCheckFailedException):
        music.put_item(Item=aria, ConditionExpression=Attr("Song").not_exists())

    with music.batch_writer(overwrite_by_pkeys=["Artist", "Song"]) as batch:
        for number in range(60):
            batch.put_item(Item={"Artist": "Bo", "Song": f"Etude {number:02}", "Number": number})
        batch.delete_item(Key={"Artist": "Bo", "Song": "Etude 59"})

    found = music.query(
        KeyConditionExpression=Key("Artist").eq("Bo") & Key("Song").between("Etude 10", "Etude 14"),
        ScanIndexForward=False,
    )
    assert [item["Number"] for item in found["Items"]] == [14, 13, 12, 11, 10]
    found = music.scan(FilterExpression=Attr("Number").gte(55))
    assert sorted(item["Number"] for item in found["Items"]) == [55, 56, 57, 58]
    assert (found["Count"], found["ScannedCount"]) == (4, 60)

    assert music.delete_item(Key=aria, ReturnValues="ALL_OLD")["Attributes"]["Year"] == 2001
    assert music.name in music.meta.client.list_tables()["TableNames"]
    music.delete()
    music.wait_until_not_exists()


@pytest.mark.needs_stator_binary
def test_the_server_says_how_to_reach_it_and_stops_at_ctrl_c(binary: str, tmp_path: Path) -> None:
    with Server(binary, "--data-dir", str(tmp_path / "data")) as server:
        assert server.ready.keys() == {
            "endpoint",
            "region",
            "access_key_id",
            "secret_access_key",
            "data_dir",
            "pid",
        }
        assert server.ready["pid"] == server.process.pid
        assert Path(str(server.ready["data_dir"])).resolve() == (tmp_path / "data").resolve()
        assert str(server.ready["endpoint"]).startswith("http://127.0.0.1:")
        assert Shell(server.target, tmp_path).aws("list-tables") == {"TableNames": []}
        assert server.interrupt() == 0


@pytest.mark.needs_stator_binary
def test_what_was_put_is_there_after_a_restart(binary: str, tmp_path: Path) -> None:
    with Server(binary, "--data-dir", str(tmp_path)) as server:
        shell = Shell(server.target, tmp_path)
        shell.aws(
            "create-table",
            *("--table-name", "kept"),
            *("--attribute-definitions", "AttributeName=pk,AttributeType=S"),
            *("--key-schema", "AttributeName=pk,KeyType=HASH"),
            *("--billing-mode", "PAY_PER_REQUEST"),
        )
        shell.aws("wait", "table-exists", "--table-name", "kept")
        shell.aws("put-item", "--table-name", "kept", "--item", '{"pk": {"S": "a"}}')
        assert server.interrupt() == 0
    with Server(binary, "--data-dir", str(tmp_path)) as server:
        assert Shell(server.target, tmp_path).aws("scan", "--table-name", "kept")["Count"] == 1


@pytest.mark.needs_stator_binary
def test_an_ephemeral_directory_goes_with_the_process(binary: str) -> None:
    with Server(binary, "--ephemeral") as server:
        directory = Path(str(server.ready["data_dir"]))
        assert directory.is_dir()
        assert server.interrupt() == 0
    assert not directory.exists()

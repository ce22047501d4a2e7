"""Resource policies of tables and streams: put, told, replaced by revision, removed. What they permit to others than
root is tested in the server and with users."""

from __future__ import annotations

import json
from typing import Any

import botocore.exceptions
import pytest

from conftest import MakeTable
from errors import SERVICE, VALIDATION, refused
from raw import RawClient

pytestmark = pytest.mark.differs_from_dynamodb_local("it does not support resource policies at all")

NOT_FOUND = f"{SERVICE}#PolicyNotFoundException"


def document(resource: str, effect: str = "Deny") -> str:
    """A policy that says something about a user of another account."""
    statement = {
        "Sid": "other account",
        "Effect": effect,
        "Principal": {"AWS": "arn:aws:iam::123456789012:user/eve"},
        "Action": ["dynamodb:GetItem", "dynamodb:Query"],
        "Resource": resource if resource == "*" else [resource, f"{resource}/index/*"],
    }
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


@pytest.fixture
def arn(dynamodb: Any, make_table: MakeTable) -> str:
    """The ARN of a new table."""
    return str(dynamodb.describe_table(TableName=make_table())["Table"]["TableArn"])


def test_a_policy_is_put_told_and_removed(dynamodb: Any, arn: str) -> None:
    with pytest.raises(dynamodb.exceptions.PolicyNotFoundException):
        dynamodb.get_resource_policy(ResourceArn=arn)
    revision = dynamodb.put_resource_policy(ResourceArn=arn, Policy=document(arn))["RevisionId"]
    told = dynamodb.get_resource_policy(ResourceArn=arn)
    assert json.loads(told["Policy"]) == json.loads(document(arn))
    assert told["RevisionId"] == revision
    assert dynamodb.delete_resource_policy(ResourceArn=arn)["RevisionId"] == revision
    assert "RevisionId" not in dynamodb.delete_resource_policy(ResourceArn=arn)
    with pytest.raises(dynamodb.exceptions.PolicyNotFoundException):
        dynamodb.get_resource_policy(ResourceArn=arn)


def test_a_revision_can_be_expected(dynamodb: Any, arn: str) -> None:
    missing = dynamodb.exceptions.PolicyNotFoundException
    first = dynamodb.put_resource_policy(
        ResourceArn=arn, Policy=document(arn), ExpectedRevisionId="NO_POLICY"
    )["RevisionId"]
    again = dynamodb.put_resource_policy(ResourceArn=arn, Policy=document(arn))["RevisionId"]
    assert again == first
    other = document(arn, "Allow")
    with pytest.raises(missing):
        dynamodb.put_resource_policy(ResourceArn=arn, Policy=other, ExpectedRevisionId="NO_POLICY")
    second = dynamodb.put_resource_policy(ResourceArn=arn, Policy=other, ExpectedRevisionId=first)["RevisionId"]
    assert second != first
    with pytest.raises(missing):
        dynamodb.delete_resource_policy(ResourceArn=arn, ExpectedRevisionId=first)
    dynamodb.delete_resource_policy(ResourceArn=arn, ExpectedRevisionId=second)
    with pytest.raises(missing):
        dynamodb.delete_resource_policy(ResourceArn=arn, ExpectedRevisionId=second)


def test_a_table_can_be_created_with_a_policy(dynamodb: Any, make_table: MakeTable) -> None:
    policy = document("*")
    name = make_table(ResourcePolicy=policy)
    arn = dynamodb.describe_table(TableName=name)["Table"]["TableArn"]
    assert dynamodb.get_resource_policy(ResourceArn=arn)["Policy"] == policy


def test_a_stream_has_a_policy_of_its_own(dynamodb: Any, make_table: MakeTable) -> None:
    name = make_table(StreamSpecification={"StreamEnabled": True, "StreamViewType": "KEYS_ONLY"})
    stream = dynamodb.describe_table(TableName=name)["Table"]["LatestStreamArn"]
    dynamodb.put_resource_policy(ResourceArn=stream, Policy=document(stream))
    assert dynamodb.get_resource_policy(ResourceArn=stream)["Policy"] == document(stream)
    with pytest.raises(dynamodb.exceptions.PolicyNotFoundException):
        dynamodb.get_resource_policy(ResourceArn=stream.split("/stream/")[0])


@pytest.mark.parametrize(
    ("policy", "reason"),
    [
        pytest.param("{", "The policy is not in the valid JSON format", id="no JSON"),
        pytest.param('{"Version":"2011"}', "must be version 2012-10-17", id="version"),
        pytest.param(
            '{"Statement":{"Effect":"Allow","Action":"dynamodb:*","Resource":"*"}}',
            "must contain a principal",
            id="no principal",
        ),
        pytest.param(
            '{"Statement":{"Effect":"Allow","Principal":"*","Action":"dynamodb:*","Resource":"Music"}}',
            "must be in ARN format",
            id="no ARN",
        ),
    ],
)
def test_what_is_no_policy_is_refused_with_its_place(raw: RawClient, arn: str, policy: str, reason: str) -> None:
    answer = raw.call("PutResourcePolicy", {"ResourceArn": arn, "Policy": policy})
    assert (answer.status, answer.type) == (400, VALIDATION)
    assert reason in (answer.message or "")
    assert "(line 1, column " in (answer.message or "")


def test_a_policy_has_at_most_20_kib(raw: RawClient, arn: str) -> None:
    fits = document(arn).ljust(20 * 1024)
    assert raw.call("PutResourcePolicy", {"ResourceArn": arn, "Policy": fits}).status == 200
    answer = raw.call("PutResourcePolicy", {"ResourceArn": arn, "Policy": fits + " "})
    assert (answer.status, answer.type) == (400, VALIDATION)


def test_resources_have_to_be_there(raw: RawClient, arn: str) -> None:
    for missing in (f"{arn}s", f"{arn}/stream/2020-01-01T00:00:00.000"):
        answer = raw.call("GetResourcePolicy", {"ResourceArn": missing})
        assert (answer.status, answer.type) == (400, f"{SERVICE}#ResourceNotFoundException")
    answer = raw.call("GetResourcePolicy", {})
    refused(
        answer,
        "1 validation error detected: Value null at 'resourceArn' failed to satisfy constraint: Member must not be null",
    )


def test_root_is_never_denied(dynamodb: Any, make_table: MakeTable) -> None:
    name = make_table()
    arn = dynamodb.describe_table(TableName=name)["Table"]["TableArn"]
    everybody = {"Effect": "Deny", "Principal": "*", "Action": "dynamodb:*", "Resource": "*"}
    policy = json.dumps({"Version": "2012-10-17", "Statement": everybody})
    dynamodb.put_resource_policy(ResourceArn=arn, Policy=policy)
    assert dynamodb.scan(TableName=name)["Count"] == 0
    dynamodb.delete_resource_policy(ResourceArn=arn)
    with pytest.raises(botocore.exceptions.ClientError):
        dynamodb.get_resource_policy(ResourceArn=arn)

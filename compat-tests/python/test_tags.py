"""Tags on tables: set, overwritten, listed, taken off, and refused when malformed."""

from __future__ import annotations

from typing import Any

import pytest

from conftest import MakeTable
from errors import refused
from raw import RawClient

pytestmark = pytest.mark.differs_from_dynamodb_local("it does not support tags at all")


@pytest.fixture
def arn(dynamodb: Any, make_table: MakeTable) -> str:
    """The ARN of a new table."""
    return str(dynamodb.describe_table(TableName=make_table())["Table"]["TableArn"])


def tags(dynamodb: Any, arn: str) -> dict[str, str]:
    """The tags of a resource, by key."""
    pages = dynamodb.get_paginator("list_tags_of_resource").paginate(ResourceArn=arn)
    return {tag["Key"]: tag["Value"] for page in pages for tag in page["Tags"]}


def test_tags_are_set_overwritten_and_taken_off(dynamodb: Any, arn: str) -> None:
    assert tags(dynamodb, arn) == {}
    dynamodb.tag_resource(
        ResourceArn=arn, Tags=[{"Key": "team", "Value": "a"}, {"Key": "empty", "Value": ""}]
    )
    assert tags(dynamodb, arn) == {"team": "a", "empty": ""}
    dynamodb.tag_resource(ResourceArn=arn, Tags=[{"Key": "team", "Value": "b"}])
    assert tags(dynamodb, arn) == {"team": "b", "empty": ""}
    dynamodb.untag_resource(ResourceArn=arn, TagKeys=["empty", "never there"])
    assert tags(dynamodb, arn) == {"team": "b"}


def test_a_table_can_be_created_with_tags(dynamodb: Any, make_table: MakeTable) -> None:
    name = make_table(Tags=[{"Key": "owner", "Value": "ops"}])
    arn = dynamodb.describe_table(TableName=name)["Table"]["TableArn"]
    assert tags(dynamodb, arn) == {"owner": "ops"}


def test_tags_go_with_their_table(dynamodb: Any, make_table: MakeTable, raw: RawClient) -> None:
    name = make_table()
    arn = dynamodb.describe_table(TableName=name)["Table"]["TableArn"]
    dynamodb.delete_table(TableName=name)
    dynamodb.get_waiter("table_not_exists").wait(
        TableName=name, WaiterConfig={"Delay": 0, "MaxAttempts": 2000}
    )
    answer = raw.call("ListTagsOfResource", {"ResourceArn": arn})
    assert answer.type.endswith("#ResourceNotFoundException")
    assert answer.message == f"Requested resource not found: ResourceArn: {arn} not found"


def test_a_resource_holds_fifty_tags(raw: RawClient, arn: str, dynamodb: Any) -> None:
    fifty = [{"Key": f"k{i}", "Value": "v"} for i in range(50)]
    dynamodb.tag_resource(ResourceArn=arn, Tags=fifty)
    refused(
        raw.call("TagResource", {"ResourceArn": arn, "Tags": [{"Key": "k50", "Value": "v"}]}),
        "Number of Tags exceed the current limit for the provided ResourceArn",
    )
    page = dynamodb.list_tags_of_resource(ResourceArn=arn)
    assert (len(page["Tags"]), page.get("NextToken")) == (50, None)


@pytest.mark.parametrize(
    ("bad", "sentence"),
    [
        pytest.param([{"Key": "", "Value": "v"}], "The Tag Key provided is invalid, Key: ", id="empty key"),
        pytest.param(
            [{"Key": "k" * 129, "Value": "v"}],
            f"The Tag Key provided is invalid, Key: {'k' * 129}",
            id="key of 129 characters",
        ),
        pytest.param(
            [{"Key": "k", "Value": "v" * 257}],
            f"The Tag Value provided is invalid, Value: {'v' * 257}",
            id="value of 257 characters",
        ),
        pytest.param([{"Key": "k"}], "The Tag Value provided is invalid, Value: null", id="no value"),
        pytest.param([{"Value": "v"}], "The Tag Key provided is invalid, Key: null", id="no key"),
        pytest.param(
            [{"Key": "k", "Value": "a&b"}],
            "The Tag Value provided is invalid, Value: a&b",
            id="a character that no tag has",
        ),
        pytest.param(
            [{"Key": "aws:k", "Value": "v"}],
            "Tag Key cannot be prefixed with aws:, Key: aws:k",
            id="a key that is reserved",
        ),
        pytest.param(
            [{"Key": "k", "Value": "1"}, {"Key": "k", "Value": "2"}],
            "Duplicate Tag Keys provided as input: Duplicate Tag Key found k",
            id="one key twice",
        ),
    ],
)
def test_malformed_tags_are_refused(
    raw: RawClient, dynamodb: Any, arn: str, bad: list[dict[str, str]], sentence: str
) -> None:
    refused(raw.call("TagResource", {"ResourceArn": arn, "Tags": bad}), sentence)
    assert tags(dynamodb, arn) == {}


def test_tags_of_no_table_are_refused(raw: RawClient, arn: str) -> None:
    answer = raw.call("ListTagsOfResource", {"ResourceArn": arn + "x"})
    assert answer.type.endswith("#ResourceNotFoundException")
    refused(
        raw.call("ListTagsOfResource", {"ResourceArn": "not an arn"}),
        "One or more parameter values were invalid: ARNs must start with 'arn:': not an arn",
    )

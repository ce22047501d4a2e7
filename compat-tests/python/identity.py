"""A server that checks who signs and what they may do, and clients for whoever it knows."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import boto3
import botocore.config
from botocore.exceptions import ClientError

from server import Server, Target

REFUSED = (
    "AccessDenied",
    "AccessDeniedException",
    "InvalidClientTokenId",
    "UnrecognizedClientException",
    "ExpiredToken",
    "ExpiredTokenException",
)


class Account:
    """One server with `--auth`, seen as its root."""

    def __init__(self, target: Target) -> None:
        self.target = target
        self.iam = self.client("iam")
        self.sts = self.client("sts")
        self.dynamodb = self.client("dynamodb")

    def client(self, service: str, credentials: dict[str, str] | None = None, **options: Any) -> Any:
        """A client of a service: of root, or of the credentials that IAM or STS has answered with."""
        config = botocore.config.Config(
            retries={"total_max_attempts": 1}, parameter_validation=False, **options
        )
        keys = credentials or {
            "AccessKeyId": self.target.access_key_id,
            "SecretAccessKey": self.target.secret_access_key,
        }
        return boto3.client(
            service,
            endpoint_url=self.target.endpoint,
            region_name=self.target.region,
            aws_access_key_id=keys["AccessKeyId"],
            aws_secret_access_key=keys["SecretAccessKey"],
            aws_session_token=keys.get("SessionToken"),
            config=config,
        )

    def user(self, name: str, **policies: dict[str, Any]) -> dict[str, str]:
        """A new user with inline policies, and its access key."""
        self.iam.create_user(UserName=name)
        for policy, document in policies.items():
            self.iam.put_user_policy(UserName=name, PolicyName=policy, PolicyDocument=json.dumps(document))
        key: dict[str, str] = self.iam.create_access_key(UserName=name)["AccessKey"]
        return key

    def table(self, name: str) -> str:
        """A new table with the keys `pk` and `sk`; its ARN."""
        self.dynamodb.create_table(
            TableName=name,
            AttributeDefinitions=[
                {"AttributeName": "pk", "AttributeType": "S"},
                {"AttributeName": "sk", "AttributeType": "S"},
            ],
            KeySchema=[
                {"AttributeName": "pk", "KeyType": "HASH"},
                {"AttributeName": "sk", "KeyType": "RANGE"},
            ],
            BillingMode="PAY_PER_REQUEST",
        )
        self.dynamodb.get_waiter("table_exists").wait(TableName=name, WaiterConfig={"Delay": 1})
        arn: str = self.dynamodb.describe_table(TableName=name)["Table"]["TableArn"]
        return arn


@contextmanager
def account(binary: str, *arguments: str) -> Iterator[Account]:
    """An account of its own, for as long as the context lasts."""
    with Server(binary, "--auth", *(arguments or ("--ephemeral",))) as server:
        yield Account(server.target)


def policy(effect: str, actions: Any, resources: Any = "*", **more: Any) -> dict[str, Any]:
    """A document of one statement."""
    statement = {"Effect": effect, "Action": actions, "Resource": resources, **more}
    return {"Version": "2012-10-17", "Statement": [statement]}


def trust(principal: str, **more: Any) -> str:
    """A trust policy: who may assume a role."""
    statement = {
        "Effect": "Allow",
        "Principal": {"AWS": principal},
        "Action": ["sts:AssumeRole", "sts:TagSession", "sts:SetSourceIdentity"],
        **more,
    }
    return json.dumps({"Version": "2012-10-17", "Statement": statement})


def error_of(call: Any, **arguments: Any) -> tuple[str, str, int]:
    """Code, sentence and HTTP status of a call that is refused."""
    try:
        call(**arguments)
    except ClientError as error:
        told = error.response["Error"]
        return told["Code"], told["Message"], error.response["ResponseMetadata"]["HTTPStatusCode"]
    raise AssertionError("the call was not refused")


def is_allowed(call: Any, **arguments: Any) -> bool:
    """Whether a call is carried out, rather than refused for want of permission."""
    try:
        call(**arguments)
    except ClientError as error:
        assert error.response["Error"]["Code"] in REFUSED, error
        return False
    return True

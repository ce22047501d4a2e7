"""STS as boto3 speaks it: who one is, sessions of users and of roles, and what cuts them; presigned requests."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest

from conftest import unused_name
from identity import Account, account, error_of, is_allowed, policy, trust

pytestmark = pytest.mark.needs_stator_binary

ROOT = "arn:aws:iam::000000000000:root"


@pytest.fixture(scope="module")
def own(binary: str) -> Iterator[Account]:
    with account(binary) as made:
        yield made


def key(pk: str) -> dict[str, Any]:
    return {"pk": {"S": pk}, "sk": {"S": "1"}}


def role(own: Account, *documents: dict[str, Any], **more: Any) -> str:
    """A role that the account trusts; its ARN."""
    name = unused_name()
    made = own.iam.create_role(RoleName=name, **{"AssumeRolePolicyDocument": trust(ROOT), **more})
    for number, document in enumerate(documents):
        own.iam.put_role_policy(RoleName=name, PolicyName=f"p{number}", PolicyDocument=json.dumps(document))
    arn: str = made["Role"]["Arn"]
    return arn


def test_everybody_is_told_who_they_are(own: Account) -> None:
    me = own.sts.get_caller_identity()
    assert (me["Arn"], me["Account"], me["UserId"]) == (ROOT, "000000000000", "000000000000")
    name = unused_name()
    credentials = own.user(name, never=policy("Deny", "*"))
    user = own.client("sts", credentials).get_caller_identity()
    assert user["Arn"] == f"arn:aws:iam::000000000000:user/{name}"
    assert user["UserId"] == own.iam.get_user(UserName=name)["User"]["UserId"]


def test_a_role_is_assumed_by_whom_both_sides_allow(own: Account) -> None:
    table = unused_name()
    arn = own.table(table)
    reader = role(own, policy("Allow", "dynamodb:GetItem", arn))
    nobody = own.user(unused_name())
    ann = own.user(unused_name(), assume=policy("Allow", "sts:AssumeRole", reader))
    code, message, status = error_of(
        own.client("sts", nobody).assume_role, RoleArn=reader, RoleSessionName="s-1"
    )
    assert (code, status) == ("AccessDenied", 403)
    assert "is not authorized to perform: sts:AssumeRole on resource: " + reader in message
    assert error_of(own.sts.assume_role, RoleArn=reader, RoleSessionName="s-1")[:2] == (
        "AccessDenied",
        "Roles may not be assumed by root accounts.",
    )
    assumed = own.client("sts", ann).assume_role(RoleArn=reader, RoleSessionName="s-1")
    name = reader.rsplit("/", 1)[1]
    assert assumed["AssumedRoleUser"]["Arn"] == f"arn:aws:sts::000000000000:assumed-role/{name}/s-1"
    credentials = assumed["Credentials"]
    assert credentials["AccessKeyId"].startswith("ASIA")
    assert 3500 < credentials["Expiration"].timestamp() - time.time() <= 3600
    me = own.client("sts", credentials).get_caller_identity()
    assert me["Arn"] == assumed["AssumedRoleUser"]["Arn"]
    assert me["UserId"] == assumed["AssumedRoleUser"]["AssumedRoleId"]
    db = own.client("dynamodb", credentials)
    assert is_allowed(db.get_item, TableName=table, Key=key("a"))
    assert error_of(db.put_item, TableName=table, Item=key("a"))[1] == (
        f"User: {me['Arn']} is not authorized to perform: dynamodb:PutItem on resource: {arn} because no "
        "identity-based policy allows the dynamodb:PutItem action"
    )


def test_a_role_that_does_not_trust_is_not_assumed(own: Account) -> None:
    ann = own.user(unused_name(), all=policy("Allow", "*"))
    other = unused_name()
    own.user(other)
    trusting_other = role(own, AssumeRolePolicyDocument=trust(f"arn:aws:iam::000000000000:user/{other}"))
    sts = own.client("sts", ann)
    assert not is_allowed(sts.assume_role, RoleArn=trusting_other, RoleSessionName="s-1")
    with_id = role(
        own,
        AssumeRolePolicyDocument=trust(ROOT, Condition={"StringEquals": {"sts:ExternalId": "right"}}),
    )
    assert not is_allowed(sts.assume_role, RoleArn=with_id, RoleSessionName="s-1")
    assert not is_allowed(sts.assume_role, RoleArn=with_id, RoleSessionName="s-1", ExternalId="wrong")
    assert is_allowed(sts.assume_role, RoleArn=with_id, RoleSessionName="s-1", ExternalId="right")
    missing = "arn:aws:iam::000000000000:role/none"
    assert not is_allowed(sts.assume_role, RoleArn=missing, RoleSessionName="s-1")


def test_trust_is_in_the_user_and_not_in_the_name(own: Account) -> None:
    name = unused_name()
    arn = f"arn:aws:iam::000000000000:user/{name}"
    assert error_of(own.iam.create_role, RoleName=name, AssumeRolePolicyDocument=trust(arn))[0] == (
        "MalformedPolicyDocument"
    )
    key = own.user(name)
    id_of_old = own.iam.get_user(UserName=name)["User"]["UserId"]
    trusting = role(own, AssumeRolePolicyDocument=trust(arn))
    role_name = trusting.rsplit("/", 1)[1]

    def trusted() -> str:
        document = own.iam.get_role(RoleName=role_name)["Role"]["AssumeRolePolicyDocument"]
        shown: str = document["Statement"]["Principal"]["AWS"]
        return shown

    assert trusted() == arn
    asked = {"RoleArn": trusting, "RoleSessionName": "s-1"}
    session = own.client("sts", key).assume_role(**asked)["Credentials"]
    own.iam.delete_access_key(UserName=name, AccessKeyId=key["AccessKeyId"])
    own.iam.delete_user(UserName=name)
    assert trusted() == id_of_old
    key = own.user(name)
    assert not is_allowed(own.client("sts", key).assume_role, **asked)
    assert trusted() == id_of_old
    # The session is of the role, which is there still.
    assert is_allowed(own.client("sts", session).get_caller_identity)
    own.iam.update_assume_role_policy(RoleName=role_name, PolicyDocument=trust(arn))
    assert trusted() == arn
    assert is_allowed(own.client("sts", key).assume_role, **asked)


def test_session_policies_and_tags_cut_and_tell(own: Account) -> None:
    table = unused_name()
    arn = own.table(table)
    tenant = role(
        own,
        policy(
            "Allow",
            "dynamodb:*Item",
            arn,
            Condition={
                "ForAllValues:StringEquals": {"dynamodb:LeadingKeys": ["${aws:PrincipalTag/tenant}"]}
            },
        ),
    )
    ann = own.user(unused_name(), assume=policy("Allow", ["sts:AssumeRole", "sts:TagSession"]))
    sts = own.client("sts", ann)
    of_a = sts.assume_role(RoleArn=tenant, RoleSessionName="a-a", Tags=[{"Key": "tenant", "Value": "a"}])
    db = own.client("dynamodb", of_a["Credentials"])
    assert is_allowed(db.put_item, TableName=table, Item=key("a"))
    assert not is_allowed(db.put_item, TableName=table, Item=key("b"))
    cut = sts.assume_role(
        RoleArn=tenant,
        RoleSessionName="a-a",
        Tags=[{"Key": "tenant", "Value": "a"}],
        Policy=json.dumps(policy("Allow", "dynamodb:GetItem", arn)),
    )
    assert cut["PackedPolicySize"] > 0
    db = own.client("dynamodb", cut["Credentials"])
    assert is_allowed(db.get_item, TableName=table, Key=key("a"))
    assert error_of(db.put_item, TableName=table, Item=key("a"))[1].endswith(
        "because no session policy allows the dynamodb:PutItem action"
    )


def test_sessions_have_limits(own: Account) -> None:
    ann = own.user(unused_name(), assume=policy("Allow", "sts:AssumeRole"))
    sts = own.client("sts", ann)
    plain = role(own)
    assert error_of(sts.assume_role, RoleArn=plain, RoleSessionName="s-1", DurationSeconds=7200)[:2] == (
        "ValidationError",
        "The requested DurationSeconds exceeds the MaxSessionDuration set for this role.",
    )
    long = json.dumps(policy("Allow", ["dynamodb:GetItem"] * 150))
    for wrong, code in [
        ({"DurationSeconds": 60}, "ValidationError"),
        ({"Policy": long}, "PackedPolicyTooLarge"),
        ({"Policy": "{}"}, "MalformedPolicyDocument"),
    ]:
        assert error_of(sts.assume_role, RoleArn=plain, RoleSessionName="s-1", **wrong)[0] == code


def test_a_session_of_a_user_is_the_user_and_needs_its_token(own: Account) -> None:
    name = unused_name()
    ann = own.user(name, p=policy("Allow", "dynamodb:ListTables"))
    credentials = own.client("sts", ann).get_session_token(DurationSeconds=900)["Credentials"]
    assert is_allowed(own.client("dynamodb", credentials).list_tables)
    assert own.client("sts", credentials).get_caller_identity()["Arn"].endswith(f":user/{name}")
    without = {name: value for name, value in credentials.items() if name != "SessionToken"}
    assert error_of(own.client("dynamodb", without).list_tables)[0] == "UnrecognizedClientException"
    token = credentials["SessionToken"]
    flipped = token[:40] + ("A" if token[40] != "A" else "B") + token[41:]
    altered = {**credentials, "SessionToken": flipped}
    assert error_of(own.client("dynamodb", altered).list_tables)[0] == "UnrecognizedClientException"
    other = {**credentials, "AccessKeyId": "ASIAAAAAAAAAAAAAAAAA"}
    assert error_of(own.client("sts", other).get_caller_identity)[0] == "InvalidClientTokenId"
    assert error_of(own.client("sts", credentials).get_session_token)[0] == "AccessDenied"
    assert error_of(own.client("iam", credentials).list_users)[0] == "InvalidClientTokenId"
    # A user that is deleted takes its sessions along.
    own.iam.delete_user_policy(UserName=name, PolicyName="p")
    own.iam.delete_access_key(UserName=name, AccessKeyId=ann["AccessKeyId"])
    own.iam.delete_user(UserName=name)
    assert not is_allowed(own.client("dynamodb", credentials).list_tables)


def test_a_presigned_request_says_who_somebody_is(own: Account) -> None:
    ann = own.user(unused_name())
    sts = own.client("sts", ann)
    url = sts.generate_presigned_url("get_caller_identity", ExpiresIn=60, HttpMethod="GET")
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(url) as answer:
        body = answer.read().decode()
    assert answer.status == 200
    assert sts.get_caller_identity()["Arn"] in body
    with pytest.raises(urllib.error.HTTPError) as refused:
        opener.open(url.replace("X-Amz-Expires=60", "X-Amz-Expires=61"))
    assert refused.value.code == 403
    assert b"<Code>SignatureDoesNotMatch</Code>" in refused.value.read()


def test_wrong_calls_are_refused_in_xml(own: Account) -> None:
    wrong = {"AccessKeyId": own.target.access_key_id, "SecretAccessKey": "wrong"}
    code, message, status = error_of(own.client("sts", wrong).get_caller_identity)
    assert (code, status) == ("SignatureDoesNotMatch", 403)
    assert message.startswith("The request signature we calculated does not match")
    unknown = {"AccessKeyId": "AKIAAAAAAAAAAAAAAAAA", "SecretAccessKey": "x"}
    assert error_of(own.client("iam", unknown).list_users) == (
        "InvalidClientTokenId",
        "The security token included in the request is invalid.",
        403,
    )
    assert error_of(own.client("iam").get_account_summary)[:2] == (
        "InvalidAction",
        "Could not find operation GetAccountSummary for version 2010-05-08",
    )

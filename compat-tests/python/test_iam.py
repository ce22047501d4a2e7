"""IAM as boto3 and the AWS CLI speak it: users, groups, roles, policies and access keys, and what users may do then."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from conftest import eventually, unused_name
from identity import Account, account, error_of, is_allowed, policy, trust
from server import Server

pytestmark = pytest.mark.needs_stator_binary

ALLOW_GET = policy("Allow", "dynamodb:GetItem")


@pytest.fixture(scope="module")
def own(binary: str) -> Iterator[Account]:
    with account(binary) as made:
        yield made


def item(pk: str, sk: str = "1") -> dict[str, Any]:
    return {"pk": {"S": pk}, "sk": {"S": sk}}


def test_a_user_comes_and_goes(own: Account) -> None:
    made = own.iam.create_user(
        UserName="Ann", Path="/team/", Tags=[{"Key": "team", "Value": "a"}, {"Key": "x", "Value": ""}]
    )["User"]
    assert made["Arn"] == "arn:aws:iam::000000000000:user/team/Ann"
    assert made["UserId"].startswith("AIDA") and len(made["UserId"]) == 21
    assert abs(made["CreateDate"].timestamp() - time.time()) < 120
    assert own.iam.get_user(UserName="ann")["User"] == made
    listed = own.iam.list_users(PathPrefix="/team/")["Users"]
    assert [user["UserName"] for user in listed] == ["Ann"]
    assert "Tags" not in listed[0]
    assert own.iam.list_users(PathPrefix="/other/")["Users"] == []
    code, message, status = error_of(own.iam.create_user, UserName="ANN")
    assert (code, status) == ("EntityAlreadyExists", 409)
    assert message == "User with name ANN already exists."
    own.iam.update_user(UserName="Ann", NewUserName="Bea", NewPath="/")
    assert own.iam.get_user(UserName="Bea")["User"]["UserId"] == made["UserId"]
    assert error_of(own.iam.get_user, UserName="Ann") == (
        "NoSuchEntity",
        "The user with name Ann cannot be found.",
        404,
    )
    own.iam.delete_user(UserName="Bea")
    assert own.iam.list_users()["Users"] == []


def test_what_is_wrong_is_named(own: Account) -> None:
    assert error_of(own.iam.create_user, UserName="a b")[:2] == (
        "ValidationError",
        "The specified value for userName is invalid. It must contain only alphanumeric characters and/or the "
        "following: +=,.@_-",
    )
    code, message, status = error_of(own.iam.create_user, UserName="a" * 65)
    assert (code, status) == ("ValidationError", 400)
    assert message == (
        f"1 validation error detected: Value '{'a' * 65}' at 'userName' failed to satisfy constraint: Member must "
        "have length less than or equal to 64"
    )
    assert error_of(own.iam.get_policy, PolicyArn="arn:aws:iam::000000000000:policy/none")[:2] == (
        "NoSuchEntity",
        "Policy arn:aws:iam::000000000000:policy/none was not found.",
    )
    assert error_of(own.iam.list_users, Marker="???")[0] == "ValidationError"


def test_lists_come_in_pages(own: Account) -> None:
    names = sorted(unused_name() for _ in range(7))
    for name in names:
        own.iam.create_user(UserName=name, Path="/paged/")
    pages = own.iam.get_paginator("list_users").paginate(
        PathPrefix="/paged/", PaginationConfig={"PageSize": 3}
    )
    seen = [[user["UserName"] for user in page["Users"]] for page in pages]
    assert [len(page) for page in seen] == [3, 3, 1]
    assert sorted(sum(seen, [])) == names
    for name in names:
        own.iam.delete_user(UserName=name)


def test_a_policy_has_versions(own: Account) -> None:
    name = unused_name()
    made = own.iam.create_policy(
        PolicyName=name, PolicyDocument=json.dumps(ALLOW_GET), Description="d"
    )["Policy"]
    arn = made["Arn"]
    assert made["DefaultVersionId"] == "v1" and made["AttachmentCount"] == 0
    other = policy("Deny", "*")
    version = own.iam.create_policy_version(
        PolicyArn=arn, PolicyDocument=json.dumps(other), SetAsDefault=True
    )["PolicyVersion"]
    assert (version["VersionId"], version["IsDefaultVersion"]) == ("v2", True)
    assert own.iam.get_policy_version(PolicyArn=arn, VersionId="v1")["PolicyVersion"]["Document"] == ALLOW_GET
    versions = own.iam.list_policy_versions(PolicyArn=arn)["Versions"]
    assert [version["VersionId"] for version in versions] == ["v2", "v1"]
    code, message, _ = error_of(own.iam.delete_policy_version, PolicyArn=arn, VersionId="v2")
    assert (code, message) == ("DeleteConflict", "Cannot delete the default version of a policy.")
    assert error_of(own.iam.delete_policy, PolicyArn=arn)[0] == "DeleteConflict"
    own.iam.set_default_policy_version(PolicyArn=arn, VersionId="v1")
    own.iam.delete_policy_version(PolicyArn=arn, VersionId="v2")
    assert own.iam.get_policy(PolicyArn=arn)["Policy"]["Description"] == "d"
    own.iam.delete_policy(PolicyArn=arn)


def test_documents_are_judged_when_they_are_put(own: Account) -> None:
    for document in ["{", "{}", json.dumps({**ALLOW_GET, "Version": "2000-01-01"})]:
        code, message, status = error_of(
            own.iam.create_policy, PolicyName=unused_name(), PolicyDocument=document
        )
        assert (code, status) == ("MalformedPolicyDocument", 400)
        assert "line 1" in message


def test_what_is_attached_is_told_and_keeps_things_from_going(own: Account) -> None:
    user, group, role, name = (unused_name() for _ in range(4))
    own.iam.create_user(UserName=user)
    own.iam.create_group(GroupName=group)
    own.iam.create_role(RoleName=role, AssumeRolePolicyDocument=trust("*"))
    arn = own.iam.create_policy(PolicyName=name, PolicyDocument=json.dumps(ALLOW_GET))["Policy"]["Arn"]
    own.iam.attach_user_policy(UserName=user, PolicyArn=arn)
    own.iam.attach_group_policy(GroupName=group, PolicyArn=arn)
    own.iam.attach_role_policy(RoleName=role, PolicyArn=arn)
    attached = [{"PolicyName": name, "PolicyArn": arn}]
    assert own.iam.list_attached_user_policies(UserName=user)["AttachedPolicies"] == attached
    assert own.iam.list_attached_group_policies(GroupName=group)["AttachedPolicies"] == attached
    assert own.iam.list_attached_role_policies(RoleName=role)["AttachedPolicies"] == attached
    assert own.iam.get_policy(PolicyArn=arn)["Policy"]["AttachmentCount"] == 3
    entities = own.iam.list_entities_for_policy(PolicyArn=arn)
    assert [entity["UserName"] for entity in entities["PolicyUsers"]] == [user]
    assert [entity["GroupName"] for entity in entities["PolicyGroups"]] == [group]
    assert [entity["RoleName"] for entity in entities["PolicyRoles"]] == [role]
    assert error_of(own.iam.delete_policy, PolicyArn=arn)[1] == "Cannot delete a policy attached to entities."
    assert error_of(own.iam.delete_user, UserName=user)[1] == (
        "Cannot delete entity, must detach all policies first."
    )
    own.iam.detach_user_policy(UserName=user, PolicyArn=arn)
    own.iam.detach_group_policy(GroupName=group, PolicyArn=arn)
    own.iam.detach_role_policy(RoleName=role, PolicyArn=arn)
    own.iam.add_user_to_group(UserName=user, GroupName=group)
    assert [one["UserName"] for one in own.iam.get_group(GroupName=group)["Users"]] == [user]
    assert [one["GroupName"] for one in own.iam.list_groups_for_user(UserName=user)["Groups"]] == [group]
    assert error_of(own.iam.delete_group, GroupName=group)[0] == "DeleteConflict"
    own.iam.remove_user_from_group(UserName=user, GroupName=group)
    own.iam.delete_group(GroupName=group)
    own.iam.delete_user(UserName=user)
    own.iam.delete_role(RoleName=role)
    own.iam.delete_policy(PolicyArn=arn)


def test_inline_policies_tags_and_boundaries_come_back_as_they_were_put(own: Account) -> None:
    user, role, name = (unused_name() for _ in range(3))
    arn = own.iam.create_policy(PolicyName=name, PolicyDocument=json.dumps(ALLOW_GET))["Policy"]["Arn"]
    own.iam.create_user(UserName=user, PermissionsBoundary=arn)
    own.iam.create_role(RoleName=role, AssumeRolePolicyDocument=trust("*"), Description="d <&>")
    own.iam.put_user_policy(UserName=user, PolicyName="p", PolicyDocument=json.dumps(ALLOW_GET))
    got = own.iam.get_user_policy(UserName=user, PolicyName="p")
    assert (got["UserName"], got["PolicyName"], got["PolicyDocument"]) == (user, "p", ALLOW_GET)
    assert own.iam.list_user_policies(UserName=user)["PolicyNames"] == ["p"]
    own.iam.delete_user_policy(UserName=user, PolicyName="p")
    assert error_of(own.iam.get_user_policy, UserName=user, PolicyName="p")[1] == (
        "The user policy with name p cannot be found."
    )
    assert own.iam.get_user(UserName=user)["User"]["PermissionsBoundary"] == {
        "PermissionsBoundaryType": "PermissionsBoundaryPolicy",
        "PermissionsBoundaryArn": arn,
    }
    assert error_of(own.iam.delete_policy, PolicyArn=arn)[0] == "DeleteConflict"
    own.iam.delete_user_permissions_boundary(UserName=user)
    own.iam.tag_role(RoleName=role, Tags=[{"Key": "k", "Value": "v ü"}])
    assert own.iam.list_role_tags(RoleName=role)["Tags"] == [{"Key": "k", "Value": "v ü"}]
    described = own.iam.get_role(RoleName=role)["Role"]
    assert (described["Description"], described["MaxSessionDuration"]) == ("d <&>", 3600)
    assert described["AssumeRolePolicyDocument"] == json.loads(trust("*"))
    own.iam.update_role(RoleName=role, MaxSessionDuration=7200)
    own.iam.update_assume_role_policy(RoleName=role, PolicyDocument=trust("arn:aws:iam::000000000000:root"))
    own.iam.untag_role(RoleName=role, TagKeys=["K"])
    assert own.iam.get_role(RoleName=role)["Role"].get("Tags", []) == []
    own.iam.delete_role(RoleName=role)
    own.iam.delete_user(UserName=user)
    own.iam.delete_policy(PolicyArn=arn)


def test_a_key_signs_while_it_is_active(own: Account) -> None:
    name = unused_name()
    key = own.user(name, all=policy("Allow", "*"))
    assert key["AccessKeyId"].startswith("AKIA") and len(key["SecretAccessKey"]) == 40
    mine = own.client("dynamodb", key)
    mine.list_tables()
    used = own.iam.get_access_key_last_used(AccessKeyId=key["AccessKeyId"])
    assert used["UserName"] == name
    assert used["AccessKeyLastUsed"]["ServiceName"] == "dynamodb"
    assert used["AccessKeyLastUsed"]["Region"] == own.target.region
    own.iam.create_access_key(UserName=name)
    assert error_of(own.iam.create_access_key, UserName=name) == (
        "LimitExceeded",
        "Cannot exceed quota for AccessKeysPerUser: 2",
        409,
    )
    own.iam.update_access_key(UserName=name, AccessKeyId=key["AccessKeyId"], Status="Inactive")
    code, message, status = error_of(mine.list_tables)
    assert (code, status) == ("UnrecognizedClientException", 400)
    assert message == "The security token included in the request is invalid."
    statuses = {
        one["AccessKeyId"]: one["Status"]
        for one in own.iam.list_access_keys(UserName=name)["AccessKeyMetadata"]
    }
    assert statuses[key["AccessKeyId"]] == "Inactive" and sorted(statuses.values()) == ["Active", "Inactive"]
    own.iam.update_access_key(UserName=name, AccessKeyId=key["AccessKeyId"], Status="Active")
    mine.list_tables()
    for one in statuses:
        own.iam.delete_access_key(UserName=name, AccessKeyId=one)
    assert error_of(mine.list_tables)[0] == "UnrecognizedClientException"


def test_a_user_may_do_what_its_policies_allow_and_nothing_else(own: Account) -> None:
    table, other = unused_name(), unused_name()
    arn = own.table(table)
    own.table(other)
    key = own.user(
        unused_name(),
        read=policy("Allow", "dynamodb:GetItem", arn),
        mine=policy(
            "Allow",
            ["dynamodb:PutItem", "dynamodb:DeleteItem"],
            arn,
            Condition={"ForAllValues:StringEquals": {"dynamodb:LeadingKeys": ["mine"]}},
        ),
        never=policy("Deny", "dynamodb:DeleteItem"),
    )
    db = own.client("dynamodb", key)
    assert is_allowed(db.get_item, TableName=table, Key=item("a"))
    assert not is_allowed(db.get_item, TableName=other, Key=item("a"))
    assert is_allowed(db.put_item, TableName=table, Item=item("mine"))
    assert not is_allowed(db.put_item, TableName=table, Item=item("yours"))
    assert not is_allowed(db.delete_item, TableName=table, Key=item("mine"))
    assert not is_allowed(
        db.query,
        TableName=table,
        KeyConditionExpression="pk = :p",
        ExpressionAttributeValues={":p": {"S": "mine"}},
    )
    assert not is_allowed(db.list_tables)
    code, message, _ = error_of(db.delete_item, TableName=table, Key=item("mine"))
    assert code == "AccessDeniedException"
    assert message.endswith("with an explicit deny in an identity-based policy")
    code, message, _ = error_of(db.get_item, TableName=other, Key=item("a"))
    assert message.endswith("because no identity-based policy allows the dynamodb:GetItem action")
    # What is refused has changed nothing.
    assert "Item" not in own.dynamodb.get_item(TableName=table, Key=item("yours"))
    assert "Item" in own.dynamodb.get_item(TableName=table, Key=item("mine"))


def test_tags_of_a_table_are_for_whom_a_policy_names(own: Account) -> None:
    table = unused_name()
    arn = own.table(table)
    own.dynamodb.tag_resource(ResourceArn=arn, Tags=[{"Key": "k", "Value": "v"}])
    key = own.user(unused_name(), tags=policy("Allow", "dynamodb:ListTagsOfResource", arn))
    db = own.client("dynamodb", key)
    assert db.list_tags_of_resource(ResourceArn=arn)["Tags"] == [{"Key": "k", "Value": "v"}]
    assert not is_allowed(db.tag_resource, ResourceArn=arn, Tags=[{"Key": "k", "Value": "w"}])
    other = own.client("dynamodb", own.user(unused_name()))
    assert not is_allowed(other.list_tags_of_resource, ResourceArn=arn)


def test_groups_boundaries_and_deleted_users(own: Account) -> None:
    user, group, bound = (unused_name() for _ in range(3))
    table = unused_name()
    own.table(table)
    db = own.client("dynamodb", own.user(user))
    own.iam.create_group(GroupName=group)
    own.iam.put_group_policy(
        GroupName=group, PolicyName="p", PolicyDocument=json.dumps(policy("Allow", "dynamodb:*"))
    )
    assert not is_allowed(db.get_item, TableName=table, Key=item("a"))
    own.iam.add_user_to_group(UserName=user, GroupName=group)
    assert is_allowed(db.put_item, TableName=table, Item=item("a"))
    arn = own.iam.create_policy(PolicyName=bound, PolicyDocument=json.dumps(ALLOW_GET))["Policy"]["Arn"]
    own.iam.put_user_permissions_boundary(UserName=user, PermissionsBoundary=arn)
    assert is_allowed(db.get_item, TableName=table, Key=item("a"))
    assert error_of(db.put_item, TableName=table, Item=item("b"))[1].endswith(
        "because no permissions boundary allows the dynamodb:PutItem action"
    )
    own.iam.remove_user_from_group(UserName=user, GroupName=group)
    assert not is_allowed(db.get_item, TableName=table, Key=item("a"))


def test_users_manage_what_they_may(own: Account) -> None:
    name = unused_name()
    me = "arn:aws:iam::000000000000:user/${aws:username}"
    key = own.user(
        name, own=policy("Allow", ["iam:CreateAccessKey", "iam:ListAccessKeys", "iam:GetUser"], me)
    )
    mine = own.client("iam", key)
    assert mine.get_user()["User"]["UserName"] == name
    assert len(mine.list_access_keys()["AccessKeyMetadata"]) == 1
    mine.create_access_key()
    code, message, status = error_of(mine.create_user, UserName="other")
    assert (code, status) == ("AccessDenied", 403)
    assert message == (
        f"User: arn:aws:iam::000000000000:user/{name} is not authorized to perform: iam:CreateUser on resource: "
        "arn:aws:iam::000000000000:user/other because no identity-based policy allows the iam:CreateUser action"
    )
    assert not is_allowed(
        mine.put_user_policy, UserName=name, PolicyName="p", PolicyDocument=json.dumps(ALLOW_GET)
    )
    assert not is_allowed(mine.list_users)
    assert error_of(own.iam.create_access_key)[1] == (
        "Must specify userName when calling with non-User credentials"
    )


def test_simulations_decide_as_requests_are_decided(own: Account) -> None:
    name = unused_name()
    own.user(name, p=policy("Allow", "dynamodb:GetItem", "arn:aws:dynamodb:*:*:table/A"))
    results = own.iam.simulate_principal_policy(
        PolicySourceArn=f"arn:aws:iam::000000000000:user/{name}",
        ActionNames=["dynamodb:GetItem", "dynamodb:PutItem"],
        ResourceArns=[f"arn:aws:dynamodb:us-east-1:000000000000:table/{table}" for table in "AB"],
    )["EvaluationResults"]
    assert [result["EvalDecision"] for result in results] == [
        "allowed",
        "implicitDeny",
        "implicitDeny",
        "implicitDeny",
    ]
    assert results[0]["MatchedStatements"][0]["SourcePolicyId"] == f"user_{name}_p"
    custom = own.iam.simulate_custom_policy(
        PolicyInputList=[
            json.dumps(
                policy("Allow", "*", Condition={"StringEquals": {"aws:RequestedRegion": "eu-west-1"}})
            ),
            json.dumps(policy("Deny", "iam:*")),
        ],
        ActionNames=["dynamodb:GetItem", "iam:GetUser"],
        ContextEntries=[
            {
                "ContextKeyName": "aws:RequestedRegion",
                "ContextKeyType": "string",
                "ContextKeyValues": ["eu-west-1"],
            }
        ],
    )["EvaluationResults"]
    assert [result["EvalDecision"] for result in custom] == ["allowed", "explicitDeny"]


def test_the_aws_command_line_manages_users(own: Account, tmp_path: Path) -> None:
    def aws(*arguments: str) -> Any:
        done = subprocess.run(
            [sys.executable, str(Path(sys.executable).parent / "aws"), *arguments],
            env={
                "PATH": os.environ["PATH"],
                "HOME": str(tmp_path),
                "AWS_ENDPOINT_URL": own.target.endpoint,
                "AWS_ACCESS_KEY_ID": own.target.access_key_id,
                "AWS_SECRET_ACCESS_KEY": own.target.secret_access_key,
                "AWS_DEFAULT_REGION": own.target.region,
                "AWS_MAX_ATTEMPTS": "1",
                "AWS_PAGER": "",
                "NO_PROXY": "127.0.0.1",
            },
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout) if done.stdout.strip() else None

    name = unused_name()
    assert aws("sts", "get-caller-identity")["Arn"] == "arn:aws:iam::000000000000:root"
    assert aws("iam", "create-user", "--user-name", name)["User"]["UserName"] == name
    aws("iam", "tag-user", "--user-name", name, "--tags", "Key=a,Value=b")
    assert aws("iam", "list-user-tags", "--user-name", name)["Tags"] == [{"Key": "a", "Value": "b"}]
    aws("iam", "delete-user", "--user-name", name)


def test_everything_is_there_after_a_restart(binary: str, tmp_path: Path) -> None:
    directory = str(tmp_path / "data")
    with account(binary, "--data-dir", directory) as before:
        key = before.user("ann", p=policy("Allow", "dynamodb:ListTables"))
        session = before.client("sts", key).get_session_token()["Credentials"]
        before.iam.create_group(GroupName="g")
    with account(binary, "--data-dir", directory) as after:
        eventually(lambda: is_allowed(after.client("dynamodb", key).list_tables), True)
        assert is_allowed(after.client("dynamodb", session).list_tables)
        assert not is_allowed(after.client("dynamodb", key).describe_limits)
        assert [group["GroupName"] for group in after.iam.list_groups()["Groups"]] == ["g"]
        after.iam.delete_access_key(UserName="ann", AccessKeyId=key["AccessKeyId"])
        assert not is_allowed(after.client("dynamodb", key).list_tables)


def test_secrets_come_nowhere_else(binary: str, tmp_path: Path) -> None:
    """Secrets of keys and sessions, planted by making them, are searched for where they must not be."""
    directory = tmp_path / "data"
    with Server(binary, "--auth", "--data-dir", str(directory)) as server:
        own = Account(server.target)
        key = own.user("ann", p=policy("Allow", "*"))
        own.client("dynamodb", key).list_tables()
        session = own.client("sts", key).get_session_token()["Credentials"]
        own.client("dynamodb", session).list_tables()
        wrong = {**key, "SecretAccessKey": "planted-wrong-secret-0123456789abcdefgh"}
        assert error_of(own.client("dynamodb", wrong).list_tables)[0] == "InvalidSignatureException"
        own.iam.delete_access_key(UserName="ann", AccessKeyId=key["AccessKeyId"])
        secrets = [key["SecretAccessKey"], session["SecretAccessKey"], session["SessionToken"]]
        processes = subprocess.run(["ps", "-ww", "-eo", "args"], capture_output=True, check=True).stdout
        assert server.interrupt() == 0
        log = server.log().encode()
    helps = [
        subprocess.run([binary, *command, "--help"], capture_output=True, check=True).stdout
        for command in ([], ["dev"], ["iam"], ["iam", "key"])
    ]
    places = {"log": log, "processes": processes, **{f"help {at}": text for at, text in enumerate(helps)}}
    for file in sorted(directory.rglob("*")):
        # What `stator dev` keeps for whoever starts it again is the root key pair, which is none of these.
        if file.is_file():
            places[str(file)] = file.read_bytes()
    assert len(places) > 8
    for secret in [*secrets, "planted-wrong-secret"]:
        for place, text in places.items():
            assert secret.encode() not in text, f"a secret stands in {place}"

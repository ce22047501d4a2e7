"""`stator iam` against a cluster over TLS, and users on nodes that did not make them."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import boto3
import botocore.config
import pytest

from conftest import create_table, eventually
from demo_cluster import DemoCluster
from identity import error_of, is_allowed, policy, trust

pytestmark = pytest.mark.needs_stator_binary


class Command:
    """`stator iam`, as whoever runs the cluster types it."""

    def __init__(self, binary: str, directory: Path) -> None:
        self._binary = binary
        self._directory = directory
        self.config = str(directory / "node-1" / "stator.toml")

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Runs a command, whatever comes of it."""
        return subprocess.run(
            [self._binary, "iam", *arguments, "--config", self.config],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def json(self, *arguments: str) -> Any:
        """Runs a command that must succeed; its answer."""
        done = self.run(*arguments, "--json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def file(self, name: str, document: Any) -> str:
        """A file with a document; its path."""
        path = self._directory / name
        path.write_text(document if isinstance(document, str) else json.dumps(document))
        return str(path)


def client(cluster: DemoCluster, place: int, key: dict[str, str], service: str = "dynamodb") -> Any:
    """A client of a node with the credentials of a user or a session."""
    host, port = cluster.addresses[place]
    return boto3.session.Session().client(
        service,
        endpoint_url=f"https://{host}:{port}",
        region_name=cluster.ready["region"],
        aws_access_key_id=key["AccessKeyId"],
        aws_secret_access_key=key["SecretAccessKey"],
        aws_session_token=key.get("SessionToken"),
        verify=cluster.ready["ca_file"],
        config=botocore.config.Config(retries={"total_max_attempts": 3}),
    )


def test_the_command_line_manages_users_of_all_nodes(binary: str, tmp_path: Path) -> None:
    directory = tmp_path / "demo"
    with DemoCluster(binary, directory) as cluster:
        iam = Command(binary, directory)
        create_table(cluster.client(cluster.addresses[0]), "orders")
        made = iam.json("user", "create", "ann")["User"]
        assert made["Arn"] == "arn:aws:iam::000000000000:user/ann"
        read = iam.file("read.json", policy("Allow", ["dynamodb:GetItem", "dynamodb:Query"]))
        iam.json("policy", "create", "read", "--document", read)
        iam.json("user", "attach", "ann", "--policy", "read")
        attached = iam.json("user", "attached", "ann")["AttachedPolicies"]
        assert [one["PolicyName"] for one in attached] == ["read"]
        key = iam.json("key", "create", "ann")["AccessKey"]
        item = {"pk": {"S": "a"}}
        for place in range(3):
            own = client(cluster, place, key)
            eventually(lambda: is_allowed(own.get_item, TableName="orders", Key=item), True)
            assert not is_allowed(own.put_item, TableName="orders", Item=item)
        write = iam.file("write.json", policy("Allow", "dynamodb:*"))
        iam.json("policy", "update", "read", "--document", write)
        for place in range(3):
            own = client(cluster, place, key)
            eventually(lambda: is_allowed(own.put_item, TableName="orders", Item=item), True)

        # A session that one node has issued counts on the others.
        iam.json("role", "create", "writer", "--trust", iam.file("trust.json", trust(made["Arn"])))
        iam.json("role", "put-policy", "writer", "--policy", "p", "--document", write)
        sts = client(cluster, 0, key, "sts")
        session = sts.assume_role(RoleArn="arn:aws:iam::000000000000:role/writer", RoleSessionName="s-1")
        for place in range(3):
            own = client(cluster, place, session["Credentials"])
            eventually(lambda: is_allowed(own.put_item, TableName="orders", Item=item), True)

        iam.json("key", "deactivate", "ann", key["AccessKeyId"])
        for place in range(3):
            own = client(cluster, place, key)
            eventually(lambda: is_allowed(own.get_item, TableName="orders", Key=item), False)
        shown = iam.run("key", "list", "ann")
        assert shown.returncode == 0 and "Inactive" in shown.stdout
        assert key["SecretAccessKey"] not in shown.stdout

        refused = iam.run("user", "delete", "ann")
        assert refused.returncode == 1
        assert refused.stderr == "stator: DeleteConflict: Cannot delete entity, must delete access keys first.\n"
        iam.json("key", "delete", "ann", key["AccessKeyId"])
        iam.json("user", "detach", "ann", "--policy", "read")
        iam.json("user", "delete", "ann")
        assert [user["UserName"] for user in iam.json("user", "list").get("Users", [])] == []
        assert error_of(sts.get_caller_identity)[0] == "InvalidClientTokenId"
        missing = iam.run("user", "put-policy", "ann", "--policy", "p", "--document", "no-such-file")
        assert missing.returncode == 1 and "no-such-file" in missing.stderr

"""Whether a node is well, as probes and `stator health` are told."""

from __future__ import annotations

import json
import subprocess
from typing import Any

import pytest

from demo_cluster import DemoCluster
from raw import RawClient
from server import Server

pytestmark = [
    pytest.mark.needs_stator_binary,
    pytest.mark.differs_from_dynamodb_local("it has no probes"),
]


def health(binary: str, *arguments: str) -> tuple[int, Any]:
    """The exit status of `stator health`, and what it says."""
    done = subprocess.run([binary, "health", "--json", *arguments], capture_output=True, text=True)
    return done.returncode, json.loads(done.stdout)


def test_probes_want_no_signature_and_tell_yes_or_no(raw: RawClient) -> None:
    for path in ("/livez", "/readyz"):
        answer = raw.unsigned("GET", path, b"", {"Host": "localhost"})
        assert (answer.status, answer.body) == (200, b"ok")
        # Nothing else is there.
        assert raw.unsigned("POST", path, b"", {"Host": "localhost"}).status == 404
        assert raw.unsigned("GET", f"{path}/x", b"", {"Host": "localhost"}).status == 404


def test_the_exit_status_says_whether_a_node_is_ready(binary: str) -> None:
    with Server(binary, "--ephemeral") as server:
        endpoint = f"--endpoint={server.target.endpoint}"
        assert health(binary, endpoint) == (
            0,
            {"ok": True, "state": "ok", "endpoint": server.target.endpoint},
        )
        assert health(binary, endpoint, "--live")[0] == 0
    status, said = health(binary, endpoint)
    assert (status, said["ok"]) == (1, False)
    assert said["state"].startswith("no answer: ")


def test_a_node_of_a_cluster_is_asked_with_its_configuration(binary: str, tmp_path: Any) -> None:
    with DemoCluster(binary, tmp_path) as cluster:
        for node in cluster.ready["nodes"]:
            config = f"--config={tmp_path}/node-{node['id']}/stator.toml"
            assert health(binary, config)[0] == 0
            # The certificate is verified.
            unknown = subprocess.run(
                [binary, "health", f"--endpoint={node['endpoint']}"], capture_output=True, text=True
            )
            assert unknown.returncode == 1 and "--ca" in unknown.stderr

"""The chart's pods without Kubernetes: what they are told to run is run here, against a Kubernetes API that is made up.

Pod N gets the loopback address 127.0.0.(N+1) in the place of its name in the cluster's DNS; its volumes are folders, its
probes are asked as a kubelet does. So it is the rendered commands, variables, probes and configuration that are tested, and
not somebody's idea of them.
"""

from __future__ import annotations

import base64
import http.client
import http.server
import json
import os
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

import docker

HERE = Path(__file__).resolve().parent
NAMESPACE = "data"
TOKEN = "a-token-of-these-tests"
# Pods have ports of their own in Kubernetes, and on Linux every address of 127.0.0.0/8 is this machine.
NETWORK = "127.77.0."
PATIENCE_SECONDS = 120


def specifications(found: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The pods of an object."""
    if found["kind"] == "Pod":
        yield found["spec"]
    elif found["kind"] in ("StatefulSet", "Job"):
        yield found["spec"]["template"]["spec"]
    elif found["kind"] == "CronJob":
        yield found["spec"]["jobTemplate"]["spec"]["template"]["spec"]


class Kubernetes:
    """Secrets and a stateful set, as the API shows them."""

    def __init__(self, replicas: int) -> None:
        self.secrets: dict[str, Any] = {}
        self.replicas = replicas
        kubernetes = self

        class Handler(http.server.BaseHTTPRequestHandler):
            """Answers GET, POST and PUT."""

            def do_GET(self) -> None:
                kubernetes.answer(self, None)

            def do_POST(self) -> None:
                kubernetes.answer(self, self.rfile.read(int(self.headers["content-length"])))

            do_PUT = do_POST

            def log_message(self, *_: Any) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def answer(self, request: Any, body: bytes | None) -> None:
        """Answers one request."""
        status, found = 404, {"message": "there is no such thing"}
        secrets = f"/api/v1/namespaces/{NAMESPACE}/secrets"
        if request.headers["authorization"] != f"Bearer {TOKEN}":
            status, found = 401, {"message": "unauthorized"}
        elif request.path == f"/apis/apps/v1/namespaces/{NAMESPACE}/statefulsets/db":
            status, found = 200, {"metadata": {"name": "db"}, "spec": {"replicas": self.replicas}}
        elif request.command == "POST" and request.path == secrets:
            made = json.loads(body or b"{}")
            status, found = 201, made
            self.secrets[made["metadata"]["name"]] = made
        elif request.path.removeprefix(f"{secrets}/") in self.secrets:
            name = request.path.removeprefix(f"{secrets}/")
            if request.command == "PUT":
                self.secrets[name] = json.loads(body or b"{}")
            status, found = 200, self.secrets[name]
        text = json.dumps(found).encode()
        request.send_response(status)
        request.send_header("content-length", str(len(text)))
        request.end_headers()
        request.wfile.write(text)

    def close(self) -> None:
        """Ends it."""
        self._server.shutdown()
        self._server.server_close()


class Release:
    """The rendered objects, and the folder in which their volumes are."""

    def __init__(
        self, found: list[dict[str, Any]], stator: str, folder: Path, kubernetes: Kubernetes
    ) -> None:
        self.objects = found
        self.stator = stator
        self.folder = folder
        self.kubernetes = kubernetes
        self.account = folder / "account"
        self.account.mkdir()
        (self.account / "token").write_text(TOKEN)
        (self.account / "namespace").write_text(NAMESPACE)

    def object(self, kind: str, name: str) -> dict[str, Any]:
        """One of the objects."""
        return next(
            found for found in self.objects if (found["kind"], found["metadata"]["name"]) == (kind, name)
        )

    def run(self, arguments: list[str], **more: str) -> subprocess.CompletedProcess[str]:
        """Runs the program as a container does, to its end."""
        if arguments[0] == "kubernetes":
            where = [f"--server={self.kubernetes.url}", f"--account={self.account}"]
            arguments = ["kubernetes", *where, *arguments[1:]]
        environment = {name: value for name, value in os.environ.items() if not name.startswith("STATOR_")}
        return subprocess.run(
            [self.stator, *arguments],
            capture_output=True,
            text=True,
            env=environment | more,
            timeout=PATIENCE_SECONDS,
        )

    def run_job(self) -> str:
        """What the job with the secrets does."""
        [pod] = specifications(self.object("Job", "db-secrets"))
        # Here clients reach nodes by addresses.
        hosts = ",".join(f"{NETWORK}{number + 1}" for number in range(9))
        done = self.run([*pod["containers"][0]["args"], f"--hosts={hosts}"])
        assert done.returncode == 0, done.stderr
        return done.stdout

    def volumes(self, pod: int) -> dict[str, Path]:
        """The folders of a pod by where they are mounted, with what is in them now."""
        [specification] = specifications(self.object("StatefulSet", "db"))
        folders = {}
        for mount in specification["containers"][0]["volumeMounts"]:
            folder = self.folder / f"pod-{pod}" / mount["name"]
            folder.mkdir(parents=True, exist_ok=True)
            folders[mount["mountPath"]] = folder
            volume = next((one for one in specification["volumes"] if one["name"] == mount["name"]), None)
            if volume is None:
                continue
            if "secret" in volume:
                secret = self.kubernetes.secrets[volume["secret"]["secretName"]]
                for name, text in secret["data"].items():
                    (folder / name).write_bytes(base64.b64decode(text))
            else:
                for name, text in self.object("ConfigMap", volume["configMap"]["name"])["data"].items():
                    (folder / name).write_text(text)
        for mount, folder in folders.items():
            if mount == "/etc/stator":
                path = folder / "stator.toml"
                path.write_text(self.here(path.read_text(), pod))
        return folders

    def here(self, text: str, pod: int) -> str:
        """A text of a pod with this machine's addresses and folders in the places of those of Kubernetes."""
        for number in range(9):
            text = text.replace(
                f"db-{number}.db-nodes.{NAMESPACE}.svc.cluster.local", f"{NETWORK}{number + 1}"
            )
        text = text.replace("0.0.0.0", f"{NETWORK}{pod + 1}")
        for mount in ("/etc/stator-certificates", "/etc/stator-keys", "/etc/stator", "/var/lib/stator"):
            [specification] = specifications(self.object("StatefulSet", "db"))
            mounts = specification["containers"][0]["volumeMounts"]
            name = next(one["name"] for one in mounts if one["mountPath"] == mount)
            folder = str(self.folder / f"pod-{pod}" / name)
            for end in ("/", '"'):
                text = text.replace(mount + end, folder + end)
        return text


class Pod:
    """A running pod of the stateful set."""

    def __init__(self, release: Release, number: int) -> None:
        self.release = release
        self.number = number
        self.volumes = release.volumes(number)
        [specification] = specifications(release.object("StatefulSet", "db"))
        self.container = specification["containers"][0]
        name = f"db-{number}"
        self.environment = {}
        for variable in self.container["env"]:
            if "value" in variable:
                value = variable["value"]
                for earlier, known in self.environment.items():
                    value = value.replace(f"$({earlier})", known)
                self.environment[variable["name"]] = release.here(value, number)
                continue
            path = variable["valueFrom"]["fieldRef"]["fieldPath"]
            # The zones of nodes, as labels of pods: three, in turn.
            self.environment[variable["name"]] = name if path == "metadata.name" else f"zone-{number % 3}"
        self.log = (release.folder / f"pod-{number}.log").open("a+")
        arguments = []
        for argument in self.container["args"]:
            for variable, value in self.environment.items():
                argument = argument.replace(f"$({variable})", value)
            arguments.append(release.here(argument, number))
        environment = {key: value for key, value in os.environ.items() if not key.startswith("STATOR_")}
        self.process = subprocess.Popen(
            [release.stator, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=self.log,
            stderr=self.log,
            env=environment | self.environment,
        )

    def probe(self, kind: str) -> tuple[int, str]:
        """Asks a probe as a kubelet does; status 0 if there is no answer."""
        asked = self.container[kind]["httpGet"]
        return self.get(asked["port"], asked["path"])

    def get(self, name: str, path: str) -> tuple[int, str]:
        """Asks at the port of this name; status 0 if there is no answer."""
        port = next(port["containerPort"] for port in self.container["ports"] if port["name"] == name)
        connection = http.client.HTTPConnection(f"{NETWORK}{self.number + 1}", port, timeout=5)
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            return response.status, response.read().decode()
        except OSError as error:
            return 0, str(error)
        finally:
            connection.close()

    def wait_until_ready(self) -> None:
        """Waits until the pod is sent requests."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while self.probe("readinessProbe")[0] != 200:
            assert self.process.poll() is None, f"pod {self.number} has ended: {self.tail()}"
            assert (
                time.monotonic() < deadline
            ), f"pod {self.number} is {self.probe('readinessProbe')}: {self.tail()}"
            time.sleep(0.1)

    def config(self) -> str:
        """The configuration, as commands in the pod are told of it."""
        return f"--config={self.volumes['/etc/stator']}/stator.toml"

    def pre_stop(self) -> str:
        """What the pod runs before it is stopped."""
        command = self.container["lifecycle"]["preStop"]["exec"]["command"]
        assert command[0] == "/usr/local/bin/stator"
        arguments = [self.config() if part.startswith("--config=") else part for part in command[1:]]
        done = self.release.run([*arguments, "--pause-ms=0"], **self.environment)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def stop(self) -> None:
        """Stops the pod as Kubernetes does, without what runs before."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            status = self.process.wait(timeout=PATIENCE_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise AssertionError(f"pod {self.number} does not end: {self.tail()}") from None
        assert status == 0, f"pod {self.number} ended with {status}: {self.tail()}"

    def kill(self) -> None:
        """Ends the pod, however it is."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.log.close()

    def tail(self) -> str:
        """The end of what it has said."""
        self.log.seek(0)
        return self.log.read()[-2000:]

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Runs a command in the pod."""
        return self.release.run([*arguments, self.config()], **self.environment)

    def status(self) -> dict[str, Any]:
        """What root is told by this node."""
        done = self.release.run(["status", self.config(), "--json"])
        assert done.returncode == 0, done.stderr
        status: dict[str, Any] = json.loads(done.stdout)
        return status


def check(helm: Any, stator: str) -> None:
    """A release from its first job to its last node but three."""
    with tempfile.TemporaryDirectory() as folder:
        kubernetes = Kubernetes(replicas=3)
        found = [one for one in yaml.safe_load_all(helm.rendered(HERE / "values" / "default.yaml")) if one]
        release = Release(found, stator, Path(folder), kubernetes)
        running: dict[int, Pod] = {}
        try:
            live(release, running)
        finally:
            for pod in running.values():
                pod.kill()
            kubernetes.close()


def live(release: Release, running: dict[int, Pod]) -> None:
    """The life of a release."""
    kubernetes = release.kubernetes
    release.run_job()
    keys = kubernetes.secrets["db-keys"]
    # A first node alone lives, and is not ready: it waits for the others.
    running[0] = Pod(release, 0)
    wait_for(lambda: running[0].probe("livenessProbe")[0] == 200, running[0])
    assert running[0].probe("readinessProbe") == (503, "starting"), running[0].probe("readinessProbe")
    for number in (1, 2):
        running[number] = Pod(release, number)
    for pod in running.values():
        pod.wait_until_ready()
    nodes = {node["node"]: node for node in running[1].status()["nodes"]}
    assert {node: (one["zone"], one["rack"]) for node, one in nodes.items()} == {
        1: ("zone-0", "zone-0"),
        2: ("zone-1", "zone-1"),
        3: ("zone-2", "zone-2"),
    }, nodes
    # Commands in a pod are about the node of that pod.
    for number, pod in running.items():
        check_commands(pod, number + 1)
    check_helm_test(release, running[0])
    status, told = running[0].get("metrics", "/metrics")
    assert status == 200, told
    docker.check_metrics(told)
    # A restart: nobody leaves, and the node is what it was.
    assert "stays in the cluster: the stateful set wants it" in running[1].pre_stop()
    running[1].stop()
    running.pop(1).kill()
    running[1] = Pod(release, 1)
    running[1].wait_until_ready()
    assert running[1].status()["moves"]["departed"] == []
    # An upgrade: new certificates, the same keys. Then one more node, which joins.
    release.run_job()
    assert kubernetes.secrets["db-keys"] == keys
    kubernetes.replicas = 4
    running[3] = Pod(release, 3)
    running[3].wait_until_ready()
    wait_for(
        lambda: any(node["node"] == 4 and node["replicas"] > 0 for node in running[0].status()["nodes"]),
        running[3],
    )
    # One node less: it gives up what it has, and then is stopped.
    kubernetes.replicas = 3
    assert "node 4 has left the cluster" in running[3].pre_stop()
    wait_for(lambda: running[3].probe("readinessProbe") == (503, "draining"), running[3])
    running[3].stop()
    running.pop(3).kill()
    assert running[0].status()["moves"]["departed"] == [4]
    for pod in running.values():
        pod.wait_until_ready()
    # And one more again, at the place of the one that has left, whose volume was deleted: numbers are used once.
    shutil.rmtree(release.folder / "pod-3")
    kubernetes.replicas = 4
    running[3] = Pod(release, 3)
    assert running[3].process.wait(timeout=PATIENCE_SECONDS) != 0
    assert "at its next start, this node is node 1004" in running[3].tail(), running[3].tail()
    running.pop(3).kill()
    running[3] = Pod(release, 3)
    running[3].wait_until_ready()
    wait_for(
        lambda: any(node["node"] == 1004 and node["replicas"] > 0 for node in running[0].status()["nodes"]),
        running[3],
    )
    # Switched off: all stop, none leaves.
    kubernetes.replicas = 0
    for pod in running.values():
        assert "stays in the cluster: the stateful set is switched off" in pod.pre_stop()
    for pod in running.values():
        pod.process.send_signal(signal.SIGTERM)
    for pod in running.values():
        pod.stop()


def check_commands(pod: Pod, node: int) -> None:
    """What is wrong with the node of a pod is nothing, and its own certificates and directories were looked at."""
    done = pod.run("config", "check", "--json")
    errors = [one for one in json.loads(done.stdout)["findings"] if one["severity"] == "error"]
    assert not errors, f"node {node}: {errors}"
    done = pod.run("doctor", "--offline", "--json")
    failed = [one for one in json.loads(done.stdout)["checks"] if one["state"] == "fail"]
    assert not failed, f"node {node}: {failed}"


def check_helm_test(release: Release, pod: Pod) -> None:
    """What `helm test` runs succeeds, with a node's address in the place of the service's."""
    test = release.object("Pod", "db-test")["spec"]
    for container in test["initContainers"] + test["containers"]:
        arguments = [
            release.here(
                argument.replace("https://db:8000", f"https://{NETWORK}{pod.number + 1}:8000"), pod.number
            )
            for argument in container["args"]
        ]
        arguments = [pod.config() if argument.startswith("--config=") else argument for argument in arguments]
        done = release.run(arguments)
        assert done.returncode == 0, f"{container['name']}: {done.stderr}"


def wait_for(is_so: Any, pod: Pod) -> None:
    """Looks again and again until it is so."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not is_so():
        assert time.monotonic() < deadline, f"it does not come to be: {pod.tail()}"
        time.sleep(0.1)

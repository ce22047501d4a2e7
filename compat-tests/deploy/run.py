"""What ships beside the program: the chart in `helm/stator`, the image and the compose files in `docker/`.

`run.py --helm BINARY --stator BINARY --promtool BINARY` renders the chart with each file in `values/`, compares with `golden/` (`--update` writes
it anew), holds every object against the schemas of Kubernetes, runs `helm lint`, and lets the program do what the rendered
pods and jobs would have it do (`pods.py`). Alerts are tried with Prometheus' `promtool` (`alerts.py`), and what dashboards ask for is held
against docs/metrics.md (`dashboards.py`). What needs a container engine is not here.
"""

from __future__ import annotations

import argparse
import difflib
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import kubernetes_validate
import yaml

import alerts
import dashboards
import docker
import pods

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
CHART = ROOT / "helm" / "stator"
# The oldest version that the chart says it runs on, and the newest one whose schemas there are.
VERSIONS = ["1.27", "1.37"]
# Objects of others, whose schemas are not Kubernetes'.
FOREIGN = {"monitoring.coreos.com/v1", "cert-manager.io/v1"}


class Helm:
    """The program that renders charts."""

    def __init__(self, binary: str) -> None:
        self._binary = binary

    def __call__(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([self._binary, *arguments], capture_output=True, text=True)

    def rendered(self, values: Path, *more: str, chart: Path = CHART) -> str:
        """All objects of a release `db` in the namespace `data`."""
        release = ["db", str(chart), "--namespace", "data", "--values", str(values)]
        done = self("template", *release, "--kube-version", VERSIONS[-1] + ".0", *more)
        assert done.returncode == 0, done.stderr
        return done.stdout


def objects(text: str) -> list[dict[str, Any]]:
    """The objects in a rendering."""
    return [found for found in yaml.safe_load_all(text) if found]


def check_golden(helm: Helm, update: bool) -> None:
    """The chart renders to what was looked at when it was last changed."""
    values = sorted((HERE / "values").glob("*.yaml"))
    assert len(values) >= 6, values
    stale = {path.stem for path in (HERE / "golden").glob("*.yaml")} - {path.stem for path in values}
    assert not stale, f"golden files without values: {stale}"
    for path in values:
        rendered = helm.rendered(path)
        golden = HERE / "golden" / path.name
        if update:
            golden.write_text(rendered)
        expected = golden.read_text() if golden.exists() else ""
        difference = list(
            difflib.unified_diff(expected.splitlines(), rendered.splitlines(), lineterm="", n=1)
        )
        assert not difference, f"{golden.name} (run.py --update writes it anew):\n" + "\n".join(
            difference[:40]
        )


def check_schemas(helm: Helm) -> None:
    """Every object is one that Kubernetes takes, old and new, and belongs to the release."""
    for path in sorted((HERE / "values").glob("*.yaml")):
        for found in objects(helm.rendered(path)):
            what = f"{path.stem}: {found['kind']} {found['metadata']['name']}"
            labels = found["metadata"]["labels"]
            assert labels["app.kubernetes.io/instance"] == "db", what
            if found["apiVersion"] in FOREIGN:
                continue
            for version in VERSIONS:
                try:
                    kubernetes_validate.validate(found, version, strict=True)
                except kubernetes_validate.ValidationError as error:
                    raise AssertionError(f"{what}, Kubernetes {version}: {error}") from error


def check_lint(helm: Helm) -> None:
    """`helm lint` has nothing to say, with any of the values."""
    for path in sorted((HERE / "values").glob("*.yaml")):
        done = helm("lint", str(CHART), "--strict", "--values", str(path))
        assert done.returncode == 0, done.stdout + done.stderr


def check_refusals(helm: Helm) -> None:
    """Values that would break a cluster are refused, in words."""
    for setting, words in [
        ("replicas=2", "a cluster is not left with fewer than 3 nodes"),
        ("replicas=10", "raise certificates.nodes"),
        ("certificates.from=cert-manager", "certificates.certManager.issuer.name is missing"),
        ("certificates.from=existing", "certificates.existingSecret is missing"),
        ("durability=none", "durability"),
        ("replica=3", "replica"),
        ("cluster.replication=8", "replication"),
        ("objectStore.endpoint=https://s3", "objectStore.existingSecret is missing"),
        ("objectStore.endpoint=https://s3,objectStore.existingClaim=buckets", "buckets are in one place"),
        ("backup.bytesPerSecond=1", "bytesPerSecond"),
    ]:
        done = helm("template", "db", str(CHART), "--kube-version", VERSIONS[-1] + ".0", "--set", setting)
        assert done.returncode != 0, f"{setting} is taken"
        assert words in done.stderr, f"{setting}: {done.stderr}"
    done = helm("template", "db", str(CHART), "--kube-version", VERSIONS[-1] + ".0", "--set", "replicas=0")
    assert done.returncode == 0, done.stderr


def check_older_keys(helm: Helm) -> None:
    """Master keys from before are files of the secret that the pods mount."""
    values, older = HERE / "values" / "existing.yaml", "keys.older={2025.key,2024.key}"
    rendered = objects(helm.rendered(values, "--set", older))
    [text] = [found["data"]["stator.toml"] for found in rendered if found["kind"] == "ConfigMap"]
    security = tomllib.loads(text)["security"]
    assert security["master_key"] == "/etc/stator-keys/master.key", security
    named = [f"/etc/stator-keys/{name}" for name in ("2025.key", "2024.key")]
    assert security["older_master_keys"] == named, security


def check_pods_are_locked_up(helm: Helm) -> None:
    """No container of the chart runs as root, writes to its image, or may become more than it is."""
    for path in sorted((HERE / "values").glob("*.yaml")):
        for found in objects(helm.rendered(path)):
            for pod in pods.specifications(found):
                assert pod["securityContext"]["runAsNonRoot"], found["metadata"]["name"]
                for container in pod["containers"] + pod.get("initContainers", []):
                    context = container["securityContext"]
                    assert (
                        context["readOnlyRootFilesystem"] and not context["allowPrivilegeEscalation"]
                    ), container
                    assert context["capabilities"]["drop"] == ["ALL"], container


def check_notes(helm: Helm) -> None:
    """What is printed after an installation names the endpoint and the secrets that there are."""
    with tempfile.TemporaryDirectory() as folder:
        chart = Path(folder) / "stator"
        shutil.copytree(CHART, chart)
        show = 'notes: |\n{{ include (print $.Template.BasePath "/NOTES.txt") . | indent 2 }}\n'
        (chart / "templates" / "shown.yaml").write_text(show)
        for name, endpoint, secrets in [
            ("default", "https://db.data.svc.cluster.local:8000", ["db-nodes", "db-keys"]),
            ("cert-manager", "https://db.data.svc.cluster.local:8000", ["db-node-1", "db-keys"]),
            (
                "existing",
                "https://orders-db.data.svc.cluster.local:8000",
                ["orders-certificates", "orders-keys"],
            ),
        ]:
            values = HERE / "values" / f"{name}.yaml"
            [shown] = objects(helm.rendered(values, "--show-only", "templates/shown.yaml", chart=chart))
            asked = "--endpoint-url https://localhost:8000"
            for word in [endpoint, asked, *(f"get secret {secret} " for secret in secrets)]:
                assert word in shown["notes"], f"{name}: {word} is not in {shown['notes']}"


def main() -> int:
    """Runs every check; the exit status says whether all is well."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--helm", required=True)
    parser.add_argument("--stator", required=True)
    parser.add_argument("--promtool", required=True)
    parser.add_argument("--update", action="store_true", help="write golden/ anew")
    arguments = parser.parse_args()
    helm = Helm(arguments.helm)
    checks: list[tuple[str, Callable[[], None]]] = [
        ("the chart renders to what it did", lambda: check_golden(helm, arguments.update)),
        ("Kubernetes takes every object", lambda: check_schemas(helm)),
        ("helm lint is content", lambda: check_lint(helm)),
        ("values that break a cluster are refused", lambda: check_refusals(helm)),
        ("the notes say how clients connect", lambda: check_notes(helm)),
        ("pods have master keys from before", lambda: check_older_keys(helm)),
        ("pods are locked up", lambda: check_pods_are_locked_up(helm)),
        ("the image's dependency layer has every crate", docker.check_dependency_layer),
        ("the image's bases can be replaced", docker.check_bases),
        ("the compose files fit the program and each other", lambda: docker.check_compose(arguments.stator)),
        ("alerts fire when they are to, and else are quiet", lambda: alerts.check(arguments.promtool)),
        ("dashboards ask for what nodes tell", lambda: dashboards.check(arguments.promtool)),
        (
            "a release makes a cluster, grows, restarts and shrinks",
            lambda: pods.check(helm, arguments.stator),
        ),
    ]
    failed = 0
    for name, check in checks:
        try:
            check()
        except AssertionError as error:
            failed += 1
            print(f"deploy: FAILED: {name}: {error}")
        else:
            print(f"deploy: {name}")
    print(f"{len(checks) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

"""The image and the compose files, as far as they can be looked at without a container engine."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import tempfile
import tomllib
from pathlib import Path
from typing import Any

import yaml

import alerts
import dashboards

ROOT = Path(__file__).resolve().parents[2]
DOCKER = ROOT / "docker"


def check_dependency_layer() -> None:
    """Every crate of the workspace is in the layer of dependencies, and cargo takes what the layer is made of."""
    members = re.search(r"^members = (\[.*?\])", (ROOT / "Cargo.toml").read_text(), re.MULTILINE | re.DOTALL)
    assert members, "Cargo.toml names no members"
    text = (DOCKER / "Dockerfile").read_text()
    copied = re.findall(r"^COPY (\S+)/Cargo.toml \1/Cargo.toml$", text, re.MULTILINE)
    assert sorted(copied) == sorted(
        json.loads(members[1])
    ), "docker/Dockerfile copies other manifests than there are"
    # The skeleton makes what a manifest names, and cargo builds nothing of a crate that lacks a target.
    for crate in copied:
        manifest = tomllib.loads((ROOT / crate / "Cargo.toml").read_text())
        targets = [target for kind in ("bin", "test", "bench", "example") for target in manifest.get(kind, [])]
        nameless = [target["name"] for target in targets if "path" not in target]
        assert not nameless, f"{crate}/Cargo.toml does not say where these are: {nameless}"
    with tempfile.TemporaryDirectory() as folder:
        layer = Path(folder)
        for name in ["Cargo.toml", "Cargo.lock", *(f"{crate}/Cargo.toml" for crate in copied)]:
            (layer / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, layer / name)
        subprocess.run(["sh", str(DOCKER / "skeleton.sh")], cwd=layer, check=True)
        done = subprocess.run(
            ["cargo", "metadata", "--no-deps", "--format-version", "1", "--locked"],
            cwd=layer,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        # What the skeleton adds goes again, and what is real stays.
        (layer / "server/src/main.rs").write_text("fn main() { real(); }\n")
        subprocess.run(["sh", str(DOCKER / "touch.sh")], cwd=layer, check=True)
        left = sorted(str(path.relative_to(layer)) for path in layer.rglob("*.rs"))
        assert left == ["server/src/main.rs"], left


def services(name: str) -> dict[str, Any]:
    """The services of a compose file, with what they share put in."""
    found: dict[str, Any] = yaml.safe_load((DOCKER / name).read_text())["services"]
    return found


def check_compose(stator: str) -> None:
    """Commands are ones that the program knows, files that are mounted are there, volumes are declared."""
    for name in ["compose.yaml", "compose.cluster.yaml"]:
        document = yaml.safe_load((DOCKER / name).read_text())
        for service, described in document["services"].items():
            what = f"{name}: {service}"
            for volume in described.get("volumes", []):
                source = volume.split(":")[0]
                if source.startswith("."):
                    assert (DOCKER / source).exists(), f"{what} mounts {source}, which is not there"
                else:
                    assert source in document["volumes"], f"{what} mounts {source}, which is not declared"
            for port in described.get("ports", []):
                assert port.startswith("127.0.0.1:"), f"{what} publishes {port} to the network"
            if described["image"] == "stator" and "command" in described:
                check_command(stator, described["command"], what)
    check_dockerfile_command(stator)
    nodes = {
        service: described
        for service, described in services("compose.cluster.yaml").items()
        if service.startswith("stator-")
    }
    # Who has a profile is added later.
    founders = [node for node, described in nodes.items() if "profiles" not in described]
    added = [node for node in nodes if node not in founders]
    [scraped] = yaml.safe_load((alerts.FOLDER / "prometheus.yml").read_text())["scrape_configs"]
    targets = scraped["static_configs"][0]["targets"]
    assert targets == [f"{node}:9400" for node in founders], targets
    assert [(one["names"], one["port"]) for one in scraped["dns_sd_configs"]] == [(added, 9400)], scraped
    check_init(stator, founders, added)


def check_bases() -> None:
    """An image that was made elsewhere can stand in for each that comes from a registry."""
    text = (DOCKER / "Dockerfile").read_text()
    bases = set(re.findall(r"^FROM (\S+)", text, re.MULTILINE))
    arguments = {f"${{{name}}}" for name in re.findall(r"^ARG (\w+)=", text, re.MULTILINE)}
    assert bases and bases <= arguments | {"scratch"}, bases


def check_metrics(told: str) -> None:
    """What alerts and panels ask for is told by a node, and documented.

    `told` is the answer of a node without audit log, traces, archive and buckets.
    """
    not_told = ("audit", "trace", "backup", "restore", "transfer", "export", "import")
    name = re.compile(r"\bstator_[a-z_]+")
    documented = set(name.findall((ROOT / "docs" / "metrics.md").read_text()))
    known = set(name.findall(told))
    # Nothing has been asked of the node, so that its histograms are empty.
    for histogram in re.findall(r"^# TYPE (\S+) histogram$", told, re.MULTILINE):
        parts = {f"{histogram}_{part}" for part in ("bucket", "sum", "count")}
        known |= parts
        documented |= parts if histogram in documented else set()
    for path in [alerts.RULES, *dashboards.FILES]:
        wanted = set(name.findall(path.read_text()))
        assert wanted, f"{path.name} asks for nothing"
        assert wanted <= documented, f"{path.name}: {wanted - documented} are not documented"
        prefixes = tuple(f"stator_{one}_" for one in not_told)
        missing = {one for one in wanted - known if not one.startswith(prefixes)}
        assert not missing, f"{path.name}: no node tells {missing}"


def check_command(stator: str, command: list[str], what: str) -> None:
    """The program knows the options of a command."""
    known = subprocess.run([stator, command[0], "--help"], capture_output=True, text=True)
    assert known.returncode == 0, f"{what}: {command[0]} is no command"
    for option in command[1:]:
        if option.startswith("--"):
            assert re.search(
                rf"{re.escape(option.split('=')[0])}\b", known.stdout
            ), f"{what}: {option} is no option"


def check_dockerfile_command(stator: str) -> None:
    """So does it those of the image."""
    text = (DOCKER / "Dockerfile").read_text()
    command = json.loads(re.findall(r"^CMD (\[.*\])$", text, re.MULTILINE)[-1])
    check_command(stator, command, "docker/Dockerfile")
    health = json.loads(re.findall(r"HEALTHCHECK .* CMD (\[.*\])$", text, re.MULTILINE)[-1])
    assert health[0] == "/usr/local/bin/stator", health
    check_command(stator, health[1:], "docker/Dockerfile, HEALTHCHECK")


def check_writable(service: dict[str, Any], config: str, text: str, node: str) -> None:
    """Where a node writes is in a volume that may be written to: nothing else may."""
    named = tomllib.loads(text)
    written = [
        service["environment"]["STATOR_DATA_DIR"],
        named["audit"]["file"],
        named["backup"]["directory"],
    ]
    mounts = [volume.split(":") for volume in service["volumes"]]
    for path in (Path(config).parent / one for one in written):
        above = [mount for mount in mounts if path.is_relative_to(mount[1])]
        assert above and "ro" not in above[0][2:], f"{node} writes {path}, which it must not"


def add_node_command() -> list[str]:
    """What docs/operations.md has `init` do before a node is added."""
    text = (ROOT / "docs" / "operations.md").read_text().replace("\\\n", " ")
    [command] = re.findall(r"^docker compose run --rm init (init --add-node .*)$", text, re.MULTILINE)
    return shlex.split(command, comments=True)


def check_init(stator: str, founders: list[str], added: list[str]) -> None:
    """What `init` makes is what the nodes are told to read, and a second start leaves it alone."""
    described = services("compose.cluster.yaml")
    with tempfile.TemporaryDirectory() as folder:
        first = described["init"]["command"]
        for told in [first, first, *(add_node_command() for _ in added)]:
            # The volume `cluster` is at another place in each.
            command = [argument.replace("/var/lib/stator/", f"{folder}/") for argument in told]
            done = subprocess.run([stator, *command], capture_output=True, text=True, env=os.environ)
            assert done.returncode == 0, done.stderr
        for node in founders + added:
            config = next(option for option in described[node]["command"] if option.startswith("--config="))
            path = Path(config.removeprefix("--config=").replace("/cluster/", f"{folder}/", 1))
            assert path.exists(), f"{node} reads {path}, which init has not made"
            text = path.read_text()
            assert f"{node}:7400" in text and 'metrics_listen = "0.0.0.0:9400"' in text, text
            assert config in described[node]["healthcheck"]["test"], node
            check_writable(described[node], config.removeprefix("--config="), text, node)

"""Grafana's dashboards in `docker/observability`. Like the alerts, they ask only for what `docs/metrics.md` has.

Grafana is not here. What it would put in the place of variables is put there, and `promtool` says whether
Prometheus takes the expression then.
"""

from __future__ import annotations

import json
import re
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

import alerts
import promql

ROOT = alerts.FOLDER.parents[1]
DOCUMENTS = ROOT / "docs"
GRAFANA = alerts.FOLDER / "grafana"
FILES = sorted((GRAFANA / "dashboards").glob("*.json"))
# By it dashboards find each other.
TAG = "stator"
# What Prometheus adds to all series of a node.
OF_TARGETS = frozenset({"job", "instance"})
# What may be asked of a stretch of time.
OF_COUNTERS = {"rate", "irate", "increase"}
OF_GAUGES = {"delta", "deriv", "changes", "min_over_time", "max_over_time", "avg_over_time"}
# What Grafana itself puts in. Of a dashboard's own variables, all values are wanted.
VALUES = {"__rate_interval": "1m", "__interval": "15s", "__range": "1h"}
# How wide a dashboard is.
COLUMNS = 24


@dataclass(frozen=True)
class Metric:
    """What is written down of a metric."""

    is_counter: bool
    labels: frozenset[str]


@dataclass(frozen=True)
class Expression:
    """One of a dashboard, with values in the place of its variables."""

    # For the head of an error.
    what: str
    text: str
    # How its series are called, with labels in it.
    legend: str
    # Whether a choice of nodes has to count.
    is_of_chosen_nodes: bool


def check(promtool: str) -> None:
    """Every dashboard can be found, is whole, and asks for what there is."""
    metrics = documented()
    operations = (DOCUMENTS / "operations.md").read_text()
    groups = yaml.safe_load(alerts.RULES.read_text())["groups"]
    for rule in (rule for group in groups for rule in group["rules"]):
        name, summary = rule["alert"], rule["annotations"]["summary"]
        assert f"`{name}`" in operations, f"docs/operations.md does not say which dashboard shows more of {name}"
        check_expression(Expression(name, rule["expr"], summary, False), metrics)
    boards = {path.stem: json.loads(path.read_text()) for path in FILES}
    assert "stator" in boards, "the dashboard that Grafana opens with is not there"
    uids = {board["uid"] for board in boards.values()}
    expressions = []
    for name, board in boards.items():
        assert f"`{name}.json`" in operations, f"docs/operations.md does not name {name}.json"
        expected = "stator" if name == "stator" else f"stator-{name}"
        assert board["uid"] == expected, f"{name}.json: the uid {board['uid']} is not {expected}"
        check_links(name, board, uids)
        check_panels(name, board)
        check_sources(name, board)
        check_variables(name, board, metrics)
        expressions += list(asked(name, board))
    for expression in expressions:
        check_expression(expression, metrics)
    check_syntax(promtool, expressions)


def documented() -> dict[str, Metric]:
    """The series of `docs/metrics.md`, and Prometheus' own."""
    text = (DOCUMENTS / "metrics.md").read_text()
    rows = re.findall(r"^\| `(\w+)` \| (counter|gauge|histogram) \|(.*?)\| ", text, re.MULTILINE)
    assert len(rows) == len(re.findall(r"^\| `", text, re.MULTILINE)), "docs/metrics.md has rows of another form"
    metrics = {"up": Metric(False, frozenset())}
    for name, kind, cell in rows:
        labels = frozenset(re.findall(r"`(\w+)`", cell))
        if kind == "histogram":
            metrics |= {f"{name}_{part}": Metric(True, labels) for part in ("sum", "count")}
            metrics[f"{name}_bucket"] = Metric(True, labels | {"le"})
        else:
            metrics[name] = Metric(kind == "counter", labels)
    # An alert that is pending or fires has the labels of what it is about.
    of_alerts = frozenset({"alertname", "alertstate"}).union(*(metric.labels for metric in metrics.values()))
    return metrics | {"ALERTS": Metric(False, of_alerts)}


def check_expression(expression: Expression, metrics: dict[str, Metric]) -> None:
    """It asks for series that there are, by labels that they have, and of counters for how fast they go up."""
    found, what = promql.read(expression.text), f"{expression.what}: {expression.text}"
    assert found.selectors, f"{what} asks for nothing"
    labels: set[str] = set()
    for one in found.selectors:
        metric = metrics.get(one.name)
        assert metric, f"{what}: {one.name} is not in docs/metrics.md"
        labels |= metric.labels | OF_TARGETS
        unknown = one.labels - metric.labels - OF_TARGETS
        assert not unknown, f"{what}: {one.name} has no label {sorted(unknown)}"
        if one.is_range:
            allowed = OF_COUNTERS if metric.is_counter else OF_GAUGES
            assert one.function in allowed, f"{what}: {one.function or 'nothing'} of {one.name} means nothing"
        else:
            assert not metric.is_counter, f"{what}: {one.name} only goes up: look at its rate"
        if one.name.endswith("_bucket"):
            assert "histogram_quantile" in found.functions, f"{what}: buckets of {one.name} are no durations"
            assert "le" in found.grouped_by, f"{what}: {one.name} is added up without regard to le"
        if expression.is_of_chosen_nodes and one.name != "ALERTS":
            assert "instance" in one.labels, f"{what}: {one.name} is of all nodes, whichever are chosen"
    assert found.grouped_by <= labels, f"{what}: no series has the labels {sorted(found.grouped_by - labels)}"
    named = set(re.findall(r"\{\{\s*(?:\$labels\.)?(\w+)\s*(?:\|[^}]*)?\}\}", expression.legend))
    left = found.grouped_by or labels
    assert named <= left, f"{what}: the legend names {sorted(named - left)}, which is not left"


def check_links(name: str, board: dict[str, Any], uids: set[str]) -> None:
    """It is found by the others, shows them, and leads to none that is not there."""
    assert TAG in board["tags"], f"{name}.json has not the tag {TAG}"
    shown = [link for link in board["links"] if link["type"] == "dashboards" and link["tags"] == [TAG]]
    assert len(shown) == 1, f"{name}.json does not show the other dashboards"
    assert shown[0]["keepTime"] and shown[0]["includeVars"], f"{name}.json forgets what was chosen"
    for leads_to in re.findall(r'"url": "/d/([\w-]+)', json.dumps(board)):
        assert leads_to in uids, f"{name}.json leads to {leads_to}, which is not there"


def panels(board: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """All panels, those in rows too."""
    for panel in board["panels"]:
        yield panel
        yield from panel.get("panels", [])


def check_panels(name: str, board: dict[str, Any]) -> None:
    """Panels are told apart, lie beside each other, and say what they mean."""
    ids = [panel["id"] for panel in panels(board)]
    assert len(ids) == len(set(ids)), f"{name}.json: ids are there twice: {sorted(ids)}"
    taken: dict[tuple[int, int], str] = {}
    for panel in panels(board):
        what, at = f"{name}.json: {panel['title']}", panel["gridPos"]
        assert at["x"] + at["w"] <= COLUMNS, f"{what} is too wide"
        for cell in ((at["x"] + x, at["y"] + y) for x in range(at["w"]) for y in range(at["h"])):
            assert cell not in taken, f"{what} lies on {taken[cell]}"
            taken[cell] = panel["title"]
        if panel["type"] == "row":
            continue
        description = panel.get("description", "")
        assert description.endswith("."), f"{what} does not say what it means"
        for file, section in re.findall(r'docs/([\w-]+\.md), "([^"]+)"', description):
            headings = re.findall(r"^#+ (.+)$", (DOCUMENTS / file).read_text(), re.MULTILINE)
            assert section in headings, f"{what}: docs/{file} has no section {section}"
        assert panel["fieldConfig"]["defaults"].get("unit"), f"{what} has no unit"
        refs = [target["refId"] for target in panel["targets"]]
        assert refs and len(refs) == len(set(refs)), f"{what}: {refs}"


def check_sources(name: str, board: dict[str, Any]) -> None:
    """Whatever asks, asks somebody who is provisioned."""
    files = (GRAFANA / "provisioning" / "datasources").glob("*.yaml")
    given = [source for path in files for source in yaml.safe_load(path.read_text())["datasources"]]
    known = [{"type": source["type"], "uid": source["uid"]} for source in given]
    uids = [source["uid"] for source in known]
    assert len(uids) == len(set(uids)), f"data sources with one uid: {uids}"
    named = list(sources(board))
    asking = [panel for panel in panels(board) if panel["type"] != "row"] + board["templating"]["list"]
    assert all("datasource" in one for one in asking), f"{name}.json asks the default data source"
    assert all(source in known for source in named), f"{name}.json: {[one for one in named if one not in known]}"


def sources(part: Any) -> Iterator[Any]:
    """The data sources that are named in a part of a dashboard."""
    if isinstance(part, list):
        for one in part:
            yield from sources(one)
    elif isinstance(part, dict):
        for key, value in part.items():
            if key == "datasource":
                yield value
            else:
                yield from sources(value)


def check_variables(name: str, board: dict[str, Any], metrics: dict[str, Metric]) -> None:
    """Variables have the values of a label that there is, and each is of use."""
    defined = set()
    for variable in board["templating"]["list"]:
        what = f"{name}.json: ${variable['name']}"
        defined.add(variable["name"])
        query = re.fullmatch(r"label_values\((\w+), (\w+)\)", variable["query"]["query"])
        assert query and query[1] in metrics, f"{what}: {variable['query']}"
        assert query[2] in metrics[query[1]].labels | OF_TARGETS, f"{what}: {query[1]} has no label {query[2]}"
        assert variable["multi"] and variable["includeAll"], f"{what} is one of them only"
        assert variable["allValue"] == ".*", f"{what}: all of them are not all"
    used = set()
    for panel in panels(board):
        for target in panel.get("targets", []):
            used |= set(re.findall(r"\$\{?(\w+)", target["expr"]))
    assert used - set(VALUES) <= defined, f"{name}.json: {used - set(VALUES) - defined} are not defined"
    assert defined <= used, f"{name}.json: {defined - used} are of no use"


def asked(name: str, board: dict[str, Any]) -> Iterator[Expression]:
    """All expressions of a dashboard."""
    variables = {variable["name"] for variable in board["templating"]["list"]}

    def value(found: re.Match[str]) -> str:
        return VALUES.get(found[1], ".*")

    def filled(text: str) -> str:
        return re.sub(r"\$\{?(\w+)(?::\w+)?\}?", value, text)

    for panel in panels(board):
        for target in panel.get("targets", []):
            what = f"{name}.json: {panel['title']}: {target['refId']}"
            yield Expression(what, filled(target["expr"]), target["legendFormat"], "instance" in variables)
    for annotation in board["annotations"]["list"]:
        what = f"{name}.json: {annotation['name']}"
        yield Expression(what, filled(annotation["expr"]), annotation["titleFormat"], "instance" in variables)


def check_syntax(promtool: str, expressions: list[Expression]) -> None:
    """Prometheus takes each, as what a rule records."""
    rules = [{"record": f"panel:{number}", "expr": one.text} for number, one in enumerate(expressions)]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "panels.yml"
        path.write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}, width=1 << 16))
        done = subprocess.run([promtool, "check", "rules", path.name], capture_output=True, text=True, cwd=folder)
    if done.returncode == 0:
        return
    told = done.stdout + done.stderr
    numbers = sorted({int(number) for number in re.findall(r'"panel:(\d+)"', told)})
    raise AssertionError("\n".join([*(expressions[number].what for number in numbers), told]))

"""What lies under deploy/ for Prometheus and Grafana names what there is, and does what it says."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from otaflux.metrics import Metrics

DEPLOY = Path(__file__).resolve().parent.parent / "deploy"
RULES = DEPLOY / "prometheus" / "otaflux.rules.yml"
TESTS = DEPLOY / "prometheus" / "otaflux.tests.yml"
BOARD = DEPLOY / "grafana" / "otaflux.json"
METRIC = re.compile(r"\b(?:otaflux|http|firmware|process)_[a-z_]+")
SUFFIXES = re.compile(r"_(?:total|bucket|count|sum)$")
WITH_A_SUFFIX = {"counter": ("_total",), "histogram": ("_bucket", "_count", "_sum")}


def there() -> set[str]:
    """The names of all series that there are, as Prometheus keeps them."""
    metrics = Metrics(CollectorRegistry(), process=True)
    found = {f"{each.name}_total" for each in metrics.by_device}
    found |= {"http_requests_total"}
    found |= {f"http_requests_duration_seconds{end}" for end in WITH_A_SUFFIX["histogram"]}
    for family in metrics.registry.collect():
        found |= {family.name + end for end in WITH_A_SUFFIX.get(family.type, ("",))}
    return found


def named(text: str) -> set[str]:
    """The metrics that a query names."""
    return set(METRIC.findall(text))


def alerts() -> list[str]:
    """The names of the alerts."""
    return re.findall(r"- alert: (\w+)", RULES.read_text())


def test_alerts_name_metrics_that_there_are() -> None:
    """A query of what is not there never fires."""
    queries = re.findall(r"expr: (.*)", RULES.read_text())
    assert len(queries) == len(alerts()) >= 10
    assert set().union(*map(named, queries)) <= there()


def test_the_dashboard_names_metrics_that_there_are() -> None:
    """A panel of what is not there stays empty; each panel has its place and its query."""
    board = json.loads(BOARD.read_text())
    queries = [target["expr"] for panel in board["panels"] for target in panel["targets"]]
    assert all(map(named, queries))
    assert set().union(*map(named, queries)) <= there()
    places = [tuple(panel["gridPos"].values()) for panel in board["panels"]]
    assert len(set(places)) == len(places) > 10
    assert len({panel["id"] for panel in board["panels"]}) == len(places)


def test_each_alert_has_its_case_and_its_page_in_the_docs() -> None:
    """Nobody is paged by what was not tried, or without a word on what to do."""
    cases = re.findall(r"- name: (\w+) fires", TESTS.read_text())
    assert cases == alerts()
    docs = (DEPLOY.parent / "docs" / "runbook.md").read_text()
    assert not [name for name in alerts() if f"| `{name}` |" not in docs]


@pytest.mark.real("promtool")
@pytest.mark.parametrize(("verb", "file"), [("check", RULES), ("test", TESTS)])
def test_prometheus_own_tool_takes_the_rules_and_their_cases(verb: str, file: Path) -> None:
    """Each alert fires when its case says, and not before."""
    done = subprocess.run(
        ["promtool", verb, "rules", file.name],
        cwd=file.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr

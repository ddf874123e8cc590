"""The Helm chart sets what there is to set and nothing else. `make interop` has Helm render it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from otaflux.settings import SETTINGS

CHART = Path(__file__).resolve().parents[2] / "deploy/helm"
TEMPLATES = {path.name: path.read_text() for path in (CHART / "templates").iterdir()}
VALUES: dict[str, Any] = yaml.safe_load((CHART / "values.yaml").read_text())
SCHEMA: dict[str, Any] = json.loads((CHART / "values.schema.json").read_text())
PROBES = ("startup", "liveness", "readiness")
NAMES = {setting.name for setting in SETTINGS} | {
    f"{setting.name}_FILE" for setting in SETTINGS if setting.secret
}


def _reached(path: str) -> object:
    value: object = VALUES
    for part in path.split("."):
        assert isinstance(value, dict), path
        if part not in value:
            raise AssertionError(f"{path} is not in values.yaml")
        value = value[part]
    return value


def test_every_variable_is_a_setting() -> None:
    """What the chart sets in the environment are settings by their names, each once."""
    named = re.findall(r"^  ([A-Z_]+):", TEMPLATES["configmap.yaml"], re.MULTILINE)
    assert set(named) <= NAMES
    assert len(named) == len(set(named))
    assert {"REGISTRY_URL", "WEBHOOK_SECRET_FILE", "COSIGN_PUB_KEY_PATH", "DATA_DIR"} <= set(named)


def test_no_secret_stands_in_the_open() -> None:
    """A secret reaches the pod as a file of the Secret, never as a variable."""
    secret = {setting.name for setting in SETTINGS if setting.secret}
    named = set(re.findall(r"^  ([A-Z_]+):", TEMPLATES["configmap.yaml"], re.MULTILINE))
    assert not secret & named
    keys = re.findall(r"^([a-z-]+(?:\.\w+)?): \{\{", TEMPLATES["_names.tpl"], re.MULTILINE)
    used = re.findall(r"\{\{ \$files \}\}/(\S+)", TEMPLATES["configmap.yaml"])
    assert sorted(used) == sorted(keys)


def test_every_value_is_used_and_there() -> None:
    """Templates read values that values.yaml has, and each of those is read somewhere."""
    text = "\n".join(TEMPLATES.values())
    for path in set(re.findall(r"\.Values\.([A-Za-z.]+)", text)):
        _reached(path)
    for path in re.findall(r"(?<=\s)\.((?:registry|mqtt)\.[A-Za-z]+)", text):
        _reached(f"otaflux.{path}")
    for name in VALUES:
        assert f".Values.{name}" in text, name
    for name in VALUES["otaflux"]:
        assert re.search(rf"(?:\.Values\.otaflux|(?<=\s))\.{name}\b", text), name


def test_the_defaults_hold_to_their_schema() -> None:
    """values.yaml passes, a name that is misspelt does not."""
    jsonschema.validate(VALUES, SCHEMA)
    misspelt = {**VALUES, "otaflux": {**VALUES["otaflux"], "regstry": {}}}
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(misspelt, SCHEMA)


@pytest.mark.parametrize(
    "changed",
    [
        {"otaflux": {"registry": None}},
        {"otaflux": {"listenAddr": "0.0.0.0:9999"}},
        {"otaflux": {"webhookSecret": 12345}},
        {"settings": {"KEEP_VERSIONNS": "5"}},
        {"settings": {"LISTEN_ADDR": "[::]:8080"}},
        {"settings": {"DEVICE_TOKENS": "in the open"}},
        {"image": None},
    ],
    ids=str,
)
def test_what_the_pod_could_not_be_run_with_is_refused(changed: dict[str, Any]) -> None:
    """Other ports than the container's, no setting, one that has a value of its own, a secret."""
    values = {**VALUES, **changed}
    if changed.get("otaflux"):
        values["otaflux"] = {**VALUES["otaflux"], **changed["otaflux"]}
    values["otaflux"] = {k: v for k, v in values["otaflux"].items() if v is not None}
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({k: v for k, v in values.items() if v is not None}, SCHEMA)


def test_a_setting_is_reached_in_exactly_one_way() -> None:
    """By a value of its own or in `settings`; twice would be one key twice in the ConfigMap."""
    named = re.findall(r"^  ([A-Z_]+):", TEMPLATES["configmap.yaml"], re.MULTILINE)
    own = {name.removesuffix("_FILE") for name in named}
    others = SCHEMA["properties"]["settings"]["propertyNames"]["enum"]
    assert sorted([*own, *others]) == sorted(setting.name for setting in SETTINGS)


def test_actions_are_balanced() -> None:
    """Each `if`, `range`, `with` and `define` has its end."""
    for name, text in TEMPLATES.items():
        begun = re.findall(r"\{\{-?\s*(?:if|range|with|define)\b", text)
        ended = re.findall(r"\{\{-?\s*end\b", text)
        assert len(begun) == len(ended), name


def test_the_ports_are_those_of_the_container() -> None:
    """Probes and services go to ports that the pod names."""
    named = set(re.findall(r"- name: (\w+)\n\s+containerPort", TEMPLATES["statefulset.yaml"]))
    used = set(re.findall(r"targetPort: (\w+)", TEMPLATES["service.yaml"]))
    probes = {VALUES[f"{kind}Probe"]["httpGet"]["port"] for kind in PROBES}
    assert used == named
    assert probes <= named


def test_names_are_short_enough_for_a_statefulset() -> None:
    """Each way to the full name ends at 52; a label of the pods has 11 characters more."""
    full = TEMPLATES["_names.tpl"].partition('define "otaflux.fullname"')[2]
    ways = re.findall(r"\| trunc (\d+)", full.partition("define")[0])
    assert ways == ["52"] * 3

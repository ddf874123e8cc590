"""The unit of systemd and the compose file say what is so."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from otaflux.hooks.table import SOURCES
from otaflux.settings import SETTINGS

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
UNIT = (DEPLOY / "systemd/otaflux.service").read_text()
NAMES = {setting.name for setting in SETTINGS}
EXPOSED = 2.0  # of 10, as `systemd-analyze security` counts; docs/operations.md says 1.4


@pytest.mark.real("systemd-analyze")
def test_systemd_takes_the_unit(tmp_path: Path) -> None:
    """`systemd-analyze verify` finds nothing, and `security` little that is left open."""
    unit = tmp_path / "otaflux.service"
    unit.write_text(
        UNIT.replace("/opt/otaflux/bin/otaflux", "/bin/true").replace("Documentation=man", "#")
    )
    verified = subprocess.run(
        ["systemd-analyze", "verify", unit], capture_output=True, text=True, check=False
    )
    assert (verified.returncode, verified.stderr) == (0, "")
    judged = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--no-pager", unit],
        capture_output=True,
        text=True,
        check=False,
    )
    exposed = re.search(r"exposure level for otaflux.service: ([\d.]+)", judged.stdout)
    assert exposed is not None, judged.stderr
    assert float(exposed[1]) <= EXPOSED


def test_files_of_variables_name_settings() -> None:
    """What the unit and its env file set are settings; what the unit sets suits a service."""
    env = (DEPLOY / "systemd/otaflux.env").read_text()
    assert set(re.findall(r"^#?([A-Z_]+)=", env, re.MULTILINE)) <= NAMES
    line = re.search(r"^Environment=(.*)$", UNIT, re.MULTILINE)
    assert line is not None
    assert {word.partition("=")[0] for word in line[1].split()} <= NAMES | {
        "PYTHONDONTWRITEBYTECODE"
    }


def test_wrong_settings_are_not_tried_again() -> None:
    """The unit leaves exit code 2 alone, and waits longer than downloads may take to end."""
    assert "RestartPreventExitStatus=2" in UNIT
    (default,) = (each.default for each in SETTINGS if each.name == "SHUTDOWN_TIMEOUT")
    stop = re.search(r"^TimeoutStopSec=(\d+)", UNIT, re.MULTILINE)
    assert stop is not None
    assert int(stop[1]) > float(default)


def test_the_trial_fits_together() -> None:
    """The compose file's hook goes to an address there is, with the secret that is set."""
    compose: dict[str, Any] = yaml.safe_load((DEPLOY / "compose/compose.yaml").read_text())
    services = compose["services"]
    assert set(services["otaflux"]["environment"]) <= NAMES
    hooks = yaml.safe_load(services["registry"]["environment"]["REGISTRY_NOTIFICATIONS_ENDPOINTS"])
    (endpoint,) = hooks
    path = endpoint["url"].removeprefix("http://otaflux:8080/hooks/registry/")
    assert path in SOURCES
    assert endpoint["headers"]["Authorization"] == [
        services["otaflux"]["environment"]["WEBHOOK_SECRET"]
    ]

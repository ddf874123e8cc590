"""The examples for GitHub's and GitLab's CI: build, push, sign, and wait until devices are told."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from otaflux.cli.main import commands
from otaflux.settings import SETTINGS

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"
GITHUB: dict[Any, Any] = yaml.safe_load((EXAMPLES / "github-actions.yml").read_text())
GITLAB: dict[Any, Any] = yaml.safe_load((EXAMPLES / "gitlab-ci.yml").read_text())
STEPS: list[dict[str, Any]] = GITHUB["jobs"]["release"]["steps"]
SCRIPTS = {
    "GitHub": "\n".join(step.get("run", "") for step in STEPS),
    "GitLab": "\n".join(GITLAB["release"]["script"]),
}


@pytest.mark.parametrize("name", SCRIPTS)
def test_it_pushes_signs_and_waits_in_this_order(name: str) -> None:
    """By oras and cosign; what is signed and waited for is the digest, for tags move."""
    script = SCRIPTS[name].replace("\\\n", " ")
    places = [script.index(each) for each in ("make ", "oras push", "cosign sign", "otaflux wait")]
    assert places == sorted(places)
    assert re.search(r"cosign sign .*@\$(DIGEST|digest)\b", script)
    assert re.search(r'otaflux wait .*--digest "\$(DIGEST|digest)"', script)
    for annotation in ("org.opencontainers.image.version=", "io.otaflux.device="):
        assert annotation in script


@pytest.mark.parametrize("name", SCRIPTS)
def test_its_commands_and_flags_are_there(name: str) -> None:
    """Those of OtaFlux; and a shell takes the script."""
    lines = re.findall(r"^otaflux (\w+) (.*)", SCRIPTS[name], re.MULTILINE)
    assert [command for command, _ in lines] == ["wait"]
    for command, rest in lines:
        found = commands.get_command(click.Context(commands), command)
        assert found is not None
        known = {flag for parameter in found.params for flag in parameter.opts}
        assert set(re.findall(r"--[a-z-]+", rest)) <= known
    read = subprocess.run(
        ["sh", "-n"], input=SCRIPTS[name], text=True, capture_output=True, check=False
    )
    assert (read.returncode, read.stderr) == (0, "")


# What stands in for the programs: each notes how it was called, and what it was handed on stdin.
FAKE = """#!/bin/sh
[ "$0 $1" = "$BIN/oras resolve" ] && echo sha256:abc
printf '%s\\n' "${0##*/} $*" >>"$NOTED"
case "$*" in *--password-stdin*|*@-*) cat >>"$NOTED"; echo >>"$NOTED";; esac
"""
GIVEN = {
    "GitHub": {**GITHUB["jobs"]["release"]["env"], "TAG": "v1.4.0", "PASSWORD": "p w"},
    "GitLab": {
        **GITLAB["release"]["variables"],
        "CI_COMMIT_TAG": "v1.4.0",
        "CI_REGISTRY_PASSWORD": "p w",
        "CI_REGISTRY_USER": "ci",
        "CI_REGISTRY": "registry.example.com",
        "CI_PROJECT_PATH": "firmware",
        "CI_REGISTRY_IMAGE": "registry.example.com/firmware",
        "WEBHOOK_SECRET": "s3 cret",
    },
}


@pytest.mark.parametrize("name", SCRIPTS)
def test_it_runs_to_its_end(name: str, tmp_path: Path) -> None:
    """With programs that only note how they are called: the digest goes from one to the next."""
    for program in ("make", "oras", "cosign", "curl", "otaflux"):
        (tmp_path / program).write_text(FAKE)
        (tmp_path / program).chmod(0o755)
    given = {"BIN": str(tmp_path), "NOTED": str(tmp_path / "noted"), "DIGEST": "sha256:abc"}
    done = subprocess.run(
        ["sh", "-eu"],
        input=SCRIPTS[name],
        env={
            "PATH": f"{tmp_path}:/usr/bin:/bin",
            "GITHUB_OUTPUT": str(tmp_path / "output"),
            **given,
            **GIVEN[name],
        },
        text=True,
        capture_output=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    if name == "GitHub":
        assert (tmp_path / "output").read_text() == "digest=sha256:abc\n"
    noted = (tmp_path / "noted").read_text()
    assert "make firmware.bin VERSION=1.4.0\n" in noted
    assert "oras login registry.example.com --username ci --password-stdin\np w\n" in noted
    assert "oras push registry.example.com/firmware/lamp:v1.4.0 firmware.bin " in noted
    signed = "cosign sign --yes --key env://COSIGN_PRIVATE_KEY registry.example.com/firmware/lamp"
    assert f"{signed}@sha256:abc\n" in noted
    hook = '{"repository": "firmware/lamp", "tag": "v1.4.0"}\nAuthorization: s3 cret\n'
    assert (hook in noted) == (name == "GitLab")
    assert noted.endswith("otaflux wait lamp:v1.4.0 --digest sha256:abc --timeout 300\n")


def test_actions_are_pinned_to_a_commit() -> None:
    """A tag of somebody else's repository can be moved; beside it stands which release it is."""
    text = (EXAMPLES / "github-actions.yml").read_text()
    used = re.findall(r"uses: (\S+)(.*)", text)
    assert used
    for action, release in used:
        assert re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40}", action), action
        assert re.fullmatch(r"  # v\d+\.\d+\.\d+", release), action
    assert GITHUB["permissions"] == {"contents": "read"}


def test_no_secret_and_no_name_of_a_tag_stands_in_a_script() -> None:
    """They come as variables: a secret is in no process list, and a tag runs nothing."""
    for script in SCRIPTS.values():
        assert "${{" not in script
        assert not re.search(r"--password[ =]", script)
        for command in re.split(r"\||\n(?!\s)", script.replace("\\\n", " ")):
            if re.search(r"\$\w*(?:SECRET|PASSWORD|PRIVATE_KEY)\b", command):
                assert command.split()[0] == "printf", "a shell's own, which no process list shows"
    for step in STEPS:
        for name, value in step.get("env", {}).items():
            assert name in SCRIPTS["GitHub"] or name == "COSIGN_PASSWORD", value


def test_variables_for_otaflux_are_settings() -> None:
    """Where the server is asked."""
    names = {setting.name for setting in SETTINGS}
    for variables in (GITHUB["jobs"]["release"]["env"], GITLAB["release"]["variables"]):
        assert "METRICS_LISTEN_ADDR" in {*variables} & names

"""The README's commands are run, and print what stands there."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text()
MARK = "-- next command --"
RUNNING = "until otaflux get /health >/dev/null 2>&1; do sleep 0.1; done"
TOLD = "otaflux get '/version?device=firmware/sensor'"
SETTLED = f"for i in {{1..100}}; do {TOLD} | grep -q 1.4.0 && break; sleep 0.1; done"


def steps() -> list[tuple[str, str]]:
    """The commands of the console block, each with the output that stands below it."""
    block = re.search(r"```console\n(.*?)```", README, re.DOTALL)
    assert block is not None
    return [
        (command, output)
        for command, _, output in (part.partition("\n") for part in block[1].split("$ ")[1:])
    ]


@pytest.mark.real("curl")
def test_the_commands_print_what_the_readme_says(tmp_path: Path) -> None:
    """Typed one after the other, in an empty folder, each prints exactly what is printed there."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    lines = ["set -e"]
    for command, _ in steps():
        typed = command.replace("localhost:8080", f"127.0.0.1:{port}")
        typed = re.sub(r"^curl ", "curl -sS ", typed)
        typed = SETTLED if typed == "sleep 1" else typed  # a busy machine may take longer
        lines += [typed, f"echo; echo '{MARK}'"]
        if typed.endswith("&"):
            lines.append(RUNNING)
    lines += ["kill %1", "wait %1"]
    environment = {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "HOME": str(tmp_path),
        "LISTEN_ADDR": f"127.0.0.1:{port}",
    }
    done = subprocess.run(
        ["bash", "-c", "\n".join(lines)],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    printed = done.stdout.split(MARK)[:-1]
    assert [part.strip() for part in printed] == [output.strip() for _, output in steps()]
    logged = [json.loads(line) for line in (tmp_path / "otaflux.log").read_text().splitlines()]
    assert {"server_started", "hook_accepted", "release_published"} <= {x["event"] for x in logged}
    for line in logged:
        assert fields_of(line["event"]) == set(line) - {"timestamp", "level", "event"}


def fields_of(event: str) -> set[str]:
    """The fields that docs/logs.md names for an event."""
    page = (ROOT / "docs" / "logs.md").read_text()
    row = re.search(rf"^\| `{event}` \|.*\|([^|]*)\|$", page, re.MULTILINE)
    assert row is not None, event
    return set(re.findall(r"`(\w+)`", row[1]))


def test_every_make_command_of_the_docs_exists() -> None:
    """Whoever follows a `make …` of README or docs finds that target."""
    makefile = (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"^([a-z]+):", makefile, re.MULTILINE))
    pages = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]
    named = {
        name for page in pages for name in re.findall(r"`?make ([a-z]+)\b`?", page.read_text())
    }
    assert {"demo", "test"} <= named & targets
    assert {name for name in named if f"`make {name}" in "".join(p.read_text() for p in pages)} <= (
        targets
    )


def test_ci_calls_what_the_readme_names() -> None:
    """CI runs the very command that people are told to run, and nothing else."""
    commands = [
        line
        for line in (ROOT / ".ci" / "run").read_text().splitlines()
        if line and not line.startswith(("#", "set ", "cd "))
    ]
    assert commands == ["exec make test"]
    assert "make test" in README

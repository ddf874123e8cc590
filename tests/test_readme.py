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
# A busy machine may take longer than the second that stands there.
SETTLED = (
    "for i in {1..100}; do otaflux get '/version?device=firmware/sensor' | grep -q 1.4.0 && break;"
    " sleep 0.1; done"
)


def blocks() -> tuple[str, str]:
    """The block of commands, and what is said to be printed."""
    found = re.search(r"```sh\n(.*?)```.*?```\n(.*?)```", README, re.DOTALL)
    assert found is not None
    return found[1], found[2]


@pytest.mark.real("curl")
def test_the_block_can_be_pasted_and_prints_what_stands_there(tmp_path: Path) -> None:
    """Into one shell, in an empty folder, as a whole, and with nothing typed between."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    commands, printed = blocks()
    assert "\nsleep 1\n" in commands
    pasted = commands.replace("localhost:8080", f"127.0.0.1:{port}")
    pasted = pasted.replace("\nsleep 1\n", f"\n{SETTLED}\n").replace("curl -w", "curl -sSw")
    environment = {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "HOME": str(tmp_path),
        "LISTEN_ADDR": f"127.0.0.1:{port}",
        "METRICS_LISTEN_ADDR": "127.0.0.1:0",
    }
    done = subprocess.run(
        ["bash", "-s"],
        cwd=tmp_path,
        env=environment,
        input=f"{pasted}wait %1\n",
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == printed
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
    named = {name for page in pages for name in typed_targets(page.read_text())}
    assert {"bench", "demo", "quick", "test"} <= named
    assert named - targets == set()


def typed_targets(text: str) -> list[str]:
    """The targets of each `make …` in code marks or at the start of a line of a shell's block."""
    blocks = re.findall(r"^```sh\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    prose = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    typed = [*re.findall(r"`([^`]+)`", prose), *"".join(blocks).splitlines()]
    return [found[1] for each in typed if (found := re.match(r"make\s+([a-z]+)", each))]


def test_a_target_is_what_people_type_and_no_word_of_a_sentence() -> None:
    """A sentence with "make a" names no target; code marks do, and so does a line of a block."""
    prose = "To make a row:\nmake b rise. `make c\nX=1`\n"
    text = f"{prose}```sh\nmake d\n# make e\n```\n```\nmake f\n```\n"
    assert typed_targets(text) == ["c", "d"]


def test_ci_calls_what_the_readme_names() -> None:
    """CI runs the very command that people are told to run, and nothing else."""
    commands = [
        line
        for line in (ROOT / ".ci" / "run").read_text().splitlines()
        if line and not line.startswith(("#", "set ", "cd "))
    ]
    assert commands == ["exec make test"]
    assert "make test" in README

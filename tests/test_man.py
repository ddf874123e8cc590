"""The man pages say what the commands say, and are whole for those who show them."""

from __future__ import annotations

import runpy
import subprocess
from pathlib import Path

import click
import pytest

from otaflux.cli.main import COMMANDS, commands

ROOT = Path(__file__).resolve().parent.parent
MAN = ROOT / "share/man/man1"


def test_the_pages_are_those_of_the_commands() -> None:
    """Each command has its page, as `make man` makes it, and there is none besides.

    Whoever asked a command for its flags before, and in what context, changes none of them.
    """
    for name in COMMANDS:
        command = commands.get_command(click.Context(commands), name)
        assert command is not None
        assert "-h" in command.get_help(click.Context(command)).split("\n")[-1]
    made = runpy.run_path(str(ROOT / "setup/man.py"))["pages"]()
    kept = {path.name: path.read_text() for path in MAN.glob("*.1")}
    assert kept == made, "run `make man`"


@pytest.mark.real("groff")
def test_groff_takes_them() -> None:
    """Without a warning, each in one go; and none of what is for groff is left for the reader."""
    for path in sorted(MAN.glob("*.1")):
        done = subprocess.run(
            ["groff", "-man", "-ww", "-Tutf8", path],
            capture_output=True,
            text=True,
            check=False,
        )
        assert (done.returncode, done.stderr) == (0, ""), path.name
        assert "\\" not in done.stdout, path.name

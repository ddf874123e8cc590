"""What shells complete: commands, flags, and files where a file is meant."""

from __future__ import annotations

import runpy
import shlex
import subprocess
from pathlib import Path

import pytest
from click.shell_completion import BashComplete

from otaflux.cli.main import COMMANDS, commands
from otaflux.settings import SETTINGS

ROOT = Path(__file__).resolve().parents[2]


def completed(typed: str) -> list[tuple[str, str]]:
    """What is offered for the last word, as (kind, value); a blank at the end begins a new word."""
    words = shlex.split(typed)
    *before, begun = [*words, ""] if typed[-1:] in {"", " "} else words
    bash = BashComplete(commands, {}, "otaflux", "_OTAFLUX_COMPLETE")
    return [(item.type, item.value) for item in bash.get_completions(before, begun)]


def test_a_command_is_completed() -> None:
    """All where nothing is begun, else those that begin so."""
    assert completed("") == [("plain", name) for name in COMMANDS]
    assert completed("pu") == [("plain", "push"), ("plain", "pull")]


def test_flags_without_a_command_are_those_of_serve() -> None:
    """As they are when the line is run, besides the program's own; and none twice."""
    offered = [value for _, value in completed("--")]
    assert {"--version", "--help", *(setting.flag for setting in SETTINGS)} <= {*offered}
    assert len(offered) == len({*offered})
    assert ("plain", "--listen-addr") in completed("--registry-url https://r --list")


@pytest.mark.parametrize(
    "typed",
    [
        "push lamp:1.0.0 ",
        "push lamp:1.0.0 one.bin tw",
        "push lamp:1.0.0 one.bin --sign-key ",
        "pull lamp -o ",
        "--env-file ",
        "serve --cosign-pub-key-path ",
        "list --registry-password-file ./se",
        "check --data-dir ",
    ],
)
def test_a_file_is_completed_where_one_is_meant(typed: str) -> None:
    """The shell is told to do that itself."""
    assert [kind for kind, _ in completed(typed)] == ["file"]


def test_words_to_choose_from_are_completed() -> None:
    """Such as the registries of `otaflux hook-example`."""
    assert ("plain", "harbor") in completed("hook-example ")


def test_the_files_are_those_that_the_commands_make() -> None:
    """What a package installs is what `_OTAFLUX_COMPLETE=bash_source otaflux` prints."""
    made = runpy.run_path(str(ROOT / "setup/man.py"))
    for shell, path in made["COMPLETIONS"].items():
        assert path.read_text() == made["completion"](shell), "run `make man`"


def test_bash_completes_with_the_file_that_is_shipped(tmp_path: Path) -> None:
    """A real bash, with a program that answers as OtaFlux does."""
    program = tmp_path / "otaflux"
    program.write_text('#!/bin/sh\necho "plain,$COMP_CWORD"\necho "plain,push"\n')
    program.chmod(0o755)
    shipped = ROOT / "share/bash-completion/completions/otaflux"
    script = (
        f"source {shlex.quote(str(shipped))}\n"
        f"COMP_WORDS=({program} pu) COMP_CWORD=1\n"
        f'_otaflux_completion {program}\nprintf "%s\\n" "${{COMPREPLY[@]}}"\ncomplete -p otaflux\n'
    )
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    *offered, registered = done.stdout.splitlines()
    assert offered == ["1", "push"]
    assert registered == "complete -o nosort -F _otaflux_completion otaflux"

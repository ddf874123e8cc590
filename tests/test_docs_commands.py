"""What the docs have people type: each command, flag, address, setting and file of it is there.

Whole pages are run elsewhere: the README's block, the tutorial, signing, MQTT, install, each
client's trial, the examples of hooks. Here every other line is held against the program without
running it.
"""

from __future__ import annotations

import re
import shlex
import textwrap
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from urllib.parse import urlsplit

import click
import pytest
import yaml

from otaflux.cli.main import COMMANDS, commands
from otaflux.settings import SETTINGS

ROOT = Path(__file__).resolve().parent.parent
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md")),
    *(page for page in sorted((ROOT / "docs").rglob("*.md")) if page.parent.name != "adr"),
]
OURS = re.compile(
    r"https?://(?:ota\.example(?:\.com)?|localhost|127\.0\.0\.1)(?::(\d+))?(/[^\s'\"]*)"
)
OPERATORS = {"/", "/metrics", "/ready", "/status", "/units", "/live"}
PORTS_OF_OTHERS = {"5000", "8099"}  # the tutorial's registry, the relay for Nexus
OTHER_NAMES = {"COSIGN_PASSWORD", "NEXUS_SECRET", "PATH", "TAG", "TMPDIR", "VERSION"}
# What a page has people type beside `otaflux`, and how it is tried.
OTHERS = {
    "make": "its targets are checked below; make bench takes a quarter of an hour",
    "curl": "run where a page shows what it prints; its addresses are checked below",
    "aws": "wants an account at Amazon",
    "az": "wants an account at Microsoft",
    "gcloud": "wants an account at Google",
    "docker": "wants a daemon; the tutorial runs the same settings as a file",
    "podman": "wants a kernel that lets it; tests/test_containerfile.py reads what it builds",
    "helm": "wants a cluster; tests/deploy and `make interop` check the chart",
    "cosign": "`make interop` runs it",
    "pipx": "wants the network",
    "rauc": "wants a board's bootloader; its session is played by test_rauc",
    "swupdate": "run by tests/web/devices/test_protocols.py",
    "python3": "the relay is run by tests/hooks/test_docs.py",
    "sudo": "wants root; tests/test_pages_run.py runs the block with a folder in its place",
    "rsync": "run by tests/test_pages_run.py",
    "sh": "what `otaflux hook-example` prints is run by tests/scenarios/test_hooks_live.py",
}
SHELL = {"cat", "cd", "do", "done", "export", "for", "grep", "kill", "mkdir", "printf", "rm"} | {
    *("sleep", "until", "wait", "break", "docker-registry"),
}
RUN = {"README.md": "test_readme.py", "docs/tutorial.md": "test_tutorial.py"}


def fenced(text: str) -> Iterator[tuple[str, str]]:
    """Each block of a page: the language that it names, if any, and what stands in it."""
    language = ""
    block: list[str] | None = None
    for line in text.splitlines():
        fence = re.fullmatch(r" *```(\w*)", line)
        if fence is None:
            if block is not None:
                block.append(line)
        elif block is None:
            language, block = fence[1], []
        else:
            yield language, textwrap.dedent("\n".join(block)) + "\n"
            block = None
    assert block is None, "a block that does not end"


def blocks(page: Path) -> list[str]:
    """What people type: the blocks of a shell, and of others the lines behind a `$`."""
    found = []
    for language, block in fenced(page.read_text()):
        whole = re.sub(r"\\\n\s*", " ", block)
        if language == "":
            whole = "".join(f"{line}\n" for line in re.findall(r"^\$ (.*)", whole, re.MULTILINE))
        if language in {"", "sh"} and whole:
            found.append(whole)
    return found


def programs(block: str) -> Iterator[str]:
    """The program of each line of a shell's block, and of what follows a pipe or `&&`."""
    block = re.sub(r"<<'?(\w+)'?\n.*?\n\1\n", "\n", block, flags=re.DOTALL)
    block = re.sub(
        r"'[^']*'", "''", re.sub(r'"[^"]*"', "''", block)
    )  # what is quoted is no command
    for line in block.splitlines():
        for command in re.split(r"\||&&|;", line.partition(" #")[0]):
            words = [word for word in command.split() if not re.match(r"[A-Z_]+=", word)]
            if words and not words[0].startswith("#"):
                yield words[0].rpartition("/")[2]


def typed(page: Path) -> Iterator[list[str]]:
    """The words of each `otaflux …` in the page's blocks, and in its code marks."""
    prose = re.sub(r"^ *```.*?^ *```$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    lines = [line for block in blocks(page) for line in block.splitlines()]
    for text in (*lines, *re.findall(r"`([^`\n]+)`", prose)):
        for call in re.findall(r"(?:^|[|;&(]|\$|[A-Z]=\S+) *otaflux ([a-z][^|;&<>#)]*)", text):
            yield shlex.split(call.replace("[", "").replace("]", ""))


@cache
def routes() -> list[re.Pattern[str]]:
    """The addresses of openapi.yaml, a parameter standing for anything but nothing."""
    paths = yaml.safe_load((ROOT / "docs/openapi.yaml").read_text())["paths"]
    return [re.compile(re.sub(r"\\\{.*?\\\}", ".+", re.escape(path))) for path in paths]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_each_program_is_ours_or_one_that_is_tried(page: Path) -> None:
    """No block has a command of which nobody knows whether it works; pages that are run may all."""
    found = {name for block in blocks(page) for name in programs(block)}
    found -= {"otaflux", "printf", "until", "do", "done"}
    if str(page.relative_to(ROOT)) in RUN:
        assert (ROOT / "tests" / RUN[str(page.relative_to(ROOT))]).exists()
        found -= SHELL
    assert found <= set(OTHERS)
    for language, block in fenced(page.read_text()):
        first = block.split(maxsplit=1)[0] if block.strip() else ""
        assert language or first not in {"otaflux", *OTHERS} - {"sh"}, f"```sh, for {block!r}"


def test_what_is_said_of_other_programs_is_needed() -> None:
    """A program that no page names any more goes from the list."""
    found = {name for page in PAGES for block in blocks(page) for name in programs(block)}
    assert set(OTHERS) | SHELL <= found


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_each_command_of_ours_is_one(page: Path) -> None:
    """The program knows the command and its flags, and takes as many words as are given."""
    for name, *words in typed(page):
        assert name in COMMANDS, (name, words)
        command = commands.get_command(click.Context(commands), name)
        assert command is not None
        flags = {flag for each in command.params for flag in (*each.opts, *each.secondary_opts)}
        named = {word.partition("=")[0] for word in words if word.startswith("-")}
        assert named <= flags, (name, words)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_each_command_of_a_block_can_be_typed_as_it_stands(page: Path) -> None:
    """In a block no word is missing, and none is too many."""
    for block in blocks(page):
        for call in re.findall(
            r"^(?:\$ )?(?:[A-Z_]+=\S+ )*otaflux ([a-z][^|;&<>#\n]*)", block, re.MULTILINE
        ):
            name, *words = shlex.split(call)
            command = commands.get_command(click.Context(commands), name)
            assert command is not None, name
            context = click.Context(command, resilient_parsing=True)
            command.parse_args(context, [word for word in words if word != "…"])
            for each in command.params:
                given = context.params.get(each.name or "")
                assert given or not (isinstance(each, click.Argument) and each.required), call


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_each_address_of_ours_is_one(page: Path) -> None:
    """An address at a server of ours is in openapi.yaml, or is the operators'."""
    known = routes()
    for port, target in OURS.findall(page.read_text()):
        path = urlsplit(re.split(r"[`;]", target)[0].rstrip(".,)*…")).path or "/"
        if port in PORTS_OF_OTHERS:
            continue
        there = any(route.fullmatch(path) for route in known)
        prefix = any(route.pattern.startswith(re.escape(path.rstrip("/")) + "/") for route in known)
        operators = path in OPERATORS or path.startswith("/device/")
        assert there or prefix or operators or "swupdate" in path, target


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_each_setting_of_a_block_is_one(page: Path) -> None:
    """A name that a block sets is read by the program, or by the tool that stands behind it."""
    ours = {name for each in SETTINGS for name in (each.name, f"{each.name}_FILE")}
    for block in blocks(page):
        for name in re.findall(r"^(?:export )?([A-Z][A-Z_0-9]{2,})=", block, re.MULTILINE):
            assert name in ours | OTHER_NAMES or name.startswith("CONFIG_"), name


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_each_target_and_file_is_there(page: Path) -> None:
    """`make X` is a target, and a file of the project that is named exists."""
    text = page.read_text()
    targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert set(re.findall(r"`make ([a-z]+)", text)) <= set(targets)
    named = re.findall(r"\b((?:examples|deploy|bench|setup)/[\w./-]+\.\w+)", text)
    assert not [name for name in named if not (ROOT / name).exists()]

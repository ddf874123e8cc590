"""What the docs have people type: each command, flag, address, setting and file of it is there.

Whole pages are run elsewhere: the README's block, the tutorial, each client's trial, the examples
of hooks. Here every other line is held against the program without running it.
"""

from __future__ import annotations

import re
import shlex
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


def blocks(page: Path) -> list[str]:
    """The page's blocks of a shell: those that say so, and those that say nothing."""
    found = re.findall(r"^ *```(?:sh)?\n(.*?)^ *```$", page.read_text(), re.MULTILINE | re.DOTALL)
    return [re.sub(r"\\\n\s*", " ", block) for block in found]


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
def test_each_command_of_ours_is_one(page: Path) -> None:
    """The program knows the command and its flags, and takes as many words as are given."""
    for name, *words in typed(page):
        assert name in COMMANDS, (name, words)
        command = commands.get_command(click.Context(commands), name)
        assert command is not None
        flags = {flag for each in command.params for flag in (*each.opts, *each.secondary_opts)}
        named = {word.partition("=")[0] for word in words if word.startswith("-")}
        assert named <= {*flags, "--help"}, (name, words)


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

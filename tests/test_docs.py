"""The docs are complete: what the code declares stands there, with its name and its default."""

from __future__ import annotations

import re
import tomllib
from itertools import chain
from pathlib import Path

import click
import pytest
from prometheus_client import CollectorRegistry

import otaflux
from otaflux import errors, hooks
from otaflux.cli.main import COMMANDS, commands
from otaflux.log import Event
from otaflux.metrics import Metrics
from otaflux.settings import SETTINGS, Setting
from otaflux.settings.values import Wrong
from otaflux.web.devices.protocols.table import ROUTES
from otaflux.web.refusals import STATUS

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
NAMES = {"device": "D", "hex": "HEX", "source": "SOURCE"}  # as the pages for people have them


def page(name: str) -> str:
    """A page of the docs."""
    return (DOCS / name).read_text()


def rows(name: str) -> dict[str, str]:
    """The rows of a page's tables, by what stands in code marks in their first column."""
    found = {}
    for line in page(name).splitlines():
        match = re.match(r"\| `([^`]+)` \|(.*)", line)
        if match:
            found[match[1]] = match[2]
    return found


def sections(name: str) -> dict[str, str]:
    """What stands below each heading of a page that is one word in code marks."""
    parts = re.split(r"^(#+ .*)$", page(name), flags=re.MULTILINE)
    below = zip(parts[1::2], parts[2::2], strict=True)
    return {head.split("`")[1]: text for head, text in below if re.fullmatch(r"#+ `\w+`", head)}


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.name)
def test_every_setting_is_documented(setting: Setting) -> None:
    """A setting has a heading, below it its default and what it means; a secret its file form."""
    below = sections("configuration.md")[setting.name]
    first, _, meaning = below.strip().partition("\n")
    default = first.removeprefix("Default: ").partition(". Example: ")[0]
    assert default == (f"`{setting.default}`" if setting.default else default)
    assert setting.default or default in {"unset", "empty"}
    assert len(meaning.strip()) > 20
    assert not setting.secret or f"`{setting.name}_FILE`" in meaning


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.name)
def test_the_example_of_every_setting_is_one(setting: Setting) -> None:
    """Each setting has an example that is not its default and that it takes, as it stands."""
    found = re.search(
        rf"Example: `{setting.name}=([^`]+)`", sections("configuration.md")[setting.name]
    )
    assert found is not None
    assert found[1] != setting.default
    try:
        setting.parse(found[1])
    except Wrong:
        assert re.fullmatch(r"/etc/otaflux/[\w.-]+", found[1]), "only files may be missing here"


def test_no_setting_is_documented_that_is_none() -> None:
    """The docs name no setting that nobody reads, and none twice."""
    named = re.findall(r"^### `(\w+)`$", page("configuration.md"), re.MULTILINE)
    assert sorted(named) == sorted(setting.name for setting in SETTINGS)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_and_flag_is_documented(name: str) -> None:
    """A command has a heading, and each flag of it that is no setting stands below."""
    text = page("commands.md")
    assert f"\n## otaflux {name}" in text
    section = text.split(f"\n## otaflux {name}")[1].split("\n## ")[0]
    command = commands.get_command(click.Context(commands), name)
    assert command is not None
    settings = {flag for s in SETTINGS for flag in (s.flag, f"{s.flag}-file")}
    for parameter in command.params:
        for flag in parameter.opts:
            own = flag.startswith("--") and flag not in {*settings, "--env-file", "--help"}
            assert not own or flag in section or name == "hook-example", flag


@pytest.mark.parametrize("event", Event)
def test_every_event_is_documented(event: Event) -> None:
    """A log event has a row that says what it means."""
    assert len(rows("logs.md")[event.value].split("|")[1].strip()) > 10


def levels() -> dict[str, set[str]]:
    """The levels at which the code writes an event, as far as a call names both."""
    found: dict[str, set[str]] = {}
    for path in (ROOT / "otaflux").rglob("*.py"):
        said = re.findall(
            r"log\.(debug|info|warning|error|exception)\(\s*Event\.(\w+)", path.read_text()
        )
        for level, event in said:
            found.setdefault(event, set()).add("error" if level == "exception" else level)
    return found


@pytest.mark.parametrize("event", Event)
def test_the_levels_of_every_event_are_documented(event: Event) -> None:
    """Each level at which an event is written stands in its row."""
    written = rows("logs.md")[event.value].split("|")[0]
    assert set(re.findall(r"\w+", written)) & {"debug", "info", "warning", "error"}
    assert {level for level in levels().get(event.name, ()) if level not in written} == set()


@pytest.mark.parametrize("event", Event)
def test_every_warning_leads_to_what_to_do(event: Event) -> None:
    """The row of a warning or an error links to its paragraph: the cause, and the fix."""
    row = rows("logs.md")[event.value]
    bad = {"warning", "error"} & set(re.findall(r"\w+", row.split("|")[0]))
    linked = f"(troubleshooting.md#{event.value})" in row
    assert linked == bool(bad)
    paragraph = sections("troubleshooting.md").get(event.value, "").strip()
    told = re.fullmatch(r"\*\*Cause\.\*\* .+\n\n\*\*Fix\.\*\* .+", paragraph, re.DOTALL)
    assert (bool(told), bool(paragraph)) == (bool(bad), bool(bad))


def test_every_metric_is_documented() -> None:
    """A metric has a row, and no row is without a metric."""
    rows_of_counters = {name.removesuffix("_total") for name in rows("metrics.md")}
    assert rows_of_counters == Metrics(CollectorRegistry(), process=True).names


def leaves(kind: type[errors.OtaFluxError]) -> set[str]:
    """The names of an error and of all that are one."""
    names = {name for below in kind.__subclasses__() for name in leaves(below)}
    return {kind.__name__, *names} if kind.__module__ == errors.__name__ else names


@pytest.mark.parametrize("name", sorted(leaves(errors.OtaFluxError) - {"OtaFluxError"}))
def test_every_error_is_documented(name: str) -> None:
    """An error of the tree has a row: what it means, exit code, status, and what to do."""
    meaning, command, request, advice, _ = rows("troubleshooting.md")[name].split("|")
    assert meaning.strip()
    assert advice.strip()
    kind = getattr(errors, name)
    status = next((status for error, status in STATUS if issubclass(kind, error)), None)
    assert request.strip() in {"", str(status)}
    assert command.strip() in {"", "2" if issubclass(kind, errors.Refused) else "1"}
    assert f" {name} " in (errors.__doc__ or ""), "and stands in the drawn tree"


def test_every_route_is_documented() -> None:
    """An address that devices or hooks use stands in the docs."""
    text = page("devices.md") + page("hooks.md")
    for route in ROUTES:
        assert route.name in text
    paths = re.findall(r"^  (/[^:]*):", page("openapi.yaml"), re.MULTILINE)
    assert paths
    for path in paths:
        written = re.sub(r"\{(\w+)\}", lambda m: NAMES.get(m[1], m[1].upper()), path)
        assert written in text, path
    for source in hooks.SOURCES:
        assert f"`{source}`" in page("hooks.md")


def test_every_dependency_earns_its_line() -> None:
    """Each package that is asked for stands in docs/dependencies.md, and none that is not."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    asked = [
        *project["project"]["dependencies"],
        *chain(*project["project"]["optional-dependencies"].values()),
        *chain(*project["dependency-groups"].values()),
    ]
    names = {re.split(r"[<>=]", line)[0] for line in asked}
    documented = set(re.findall(r"^\| ([a-z-]+) \|", page("dependencies.md"), re.MULTILINE))
    assert documented - {"package"} == names


def test_the_floors_of_the_architecture_are_those_that_are_checked() -> None:
    """The table of rooms has the floors of import-linter, from the top, with the same rooms."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    layers = project["tool"]["importlinter"]["contracts"][0]["layers"]
    checked = [set(re.findall(r"[a-z]+", floor)) for floor in layers]
    table = page("architecture.md").partition("| floor | rooms |\n|---|---|\n")[2].split("\n\n")[0]
    floors = re.split(r"^\| (?=[^|])", table, flags=re.MULTILINE)[1:]  # the first cell names one
    drawn = [set(re.findall(r"`([a-z]+)`", floor)) for floor in floors]
    built = {path.stem for path in (ROOT / "otaflux").iterdir()}
    assert [rooms & built for rooms in drawn] == [rooms & built for rooms in checked]


def test_every_link_of_the_docs_leads_somewhere() -> None:
    """No relative link of README, changelog or docs is dead."""
    for source in (*ROOT.glob("*.md"), *DOCS.rglob("*.md")):
        for link in re.findall(r"\]\(([^)#\s]+)", source.read_text()):
            assert link.startswith("http") or (source.parent / link).exists(), (source.name, link)


@pytest.mark.parametrize("name", ["CONTRIBUTING.md", "docs/architecture.md"])
def test_every_module_that_the_pages_for_contributors_name_is_there(name: str) -> None:
    """Who follows them finds the file; NAME stands for any."""
    there = [
        f"/{path.relative_to(ROOT)}"
        for folder in ("otaflux", "tests", "bench", "demo", "fuzz", "setup")
        for path in (ROOT / folder).rglob("*.py")
    ]
    for path in set(re.findall(r"`((?:[a-z]+/)*[a-z_]+\.py)`", (ROOT / name).read_text())):
        assert any(each.endswith(f"/{path}") for each in there), path


MAX_CELL = 200  # characters; what is longer is read in a paragraph
PROSE = [ROOT / "README.md", ROOT / "SECURITY.md", *sorted(DOCS.rglob("*.md"))]


@pytest.mark.parametrize(
    "path",
    [path for path in PROSE if path.parent.name != "adr"],
    ids=lambda path: str(path.relative_to(ROOT)),
)
def test_no_cell_of_a_table_is_a_paragraph(path: Path) -> None:
    """Who reads a table takes in each cell at a glance."""
    rows = [line for line in path.read_text().splitlines() if line.startswith("|")]
    cells = [cell.strip() for row in rows for cell in re.split(r"(?<!\\)\|", row)]
    assert [cell for cell in cells if len(cell) > MAX_CELL] == []


def test_every_page_is_found_from_the_index() -> None:
    """docs/index.md links each page beside it."""
    linked = set(re.findall(r"\]\(([a-z-]+\.(?:md|yaml))\)", page("index.md")))
    assert linked == {path.name for path in DOCS.iterdir() if path.is_file()} - {"index.md"}


def test_the_version_is_said_once() -> None:
    """The package and the program say the same version."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["version"] == otaflux.__version__


def test_decisions_are_numbered_and_say_what_is_bad() -> None:
    """Decisions run from 1 without a gap, each with its bad consequences."""
    decisions = sorted((DOCS / "adr").glob("*.md"))
    assert [int(path.name[:4]) for path in decisions] == list(range(1, len(decisions) + 1))
    for path in decisions:
        assert "- Bad:" in path.read_text(), path.name


def test_each_change_is_one_sentence_said_once() -> None:
    """The changelog's lists have no gaps, and each line of them is a sentence of its own."""
    text = (ROOT / "CHANGELOG.md").read_text()
    sections = re.split(r"^#{3,4} .+\n\n", text, flags=re.MULTILINE)[1:]
    lines = [line for section in sections for line in section.rstrip().splitlines()]
    assert len(lines) > 100
    assert len(lines) == len({*lines})
    for line in lines:
        assert re.fullmatch(r"- .+\.", line), line
        assert not re.search(r"[a-z)`]\. [A-Z`]", line), line


BROUGHT = {
    "gzip",
    "tar",
    "bash",
    "openssl",
    "promtool",
    "systemd-analyze",
    "systemd-nspawn",
}  # with others of them


def test_every_real_program_is_installed_by_make() -> None:
    """A program that a test names is one that `make test` installs."""
    makefile = (ROOT / "Makefile").read_text()
    packages = re.search(r"^PROGRAMS := (.*)$", makefile, re.MULTILINE)
    assert packages is not None
    installed = {name.removesuffix("-light") for name in packages[1].split()}
    for path in (ROOT / "tests").rglob("*.py"):
        for arguments in re.findall(r"mark\.real\(([^)]*)\)", path.read_text()):
            named = set(re.findall(r'"([^"]+)"', arguments)) - {"program"}
            assert named <= installed | BROUGHT, path.name

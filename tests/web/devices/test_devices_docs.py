"""docs/devices.md says what is so: its table of clients, its addresses, its statuses."""

from __future__ import annotations

import re
from pathlib import Path

from otaflux.web.devices.protocols.table import ROUTES
from otaflux.web.refusals import STATUS

HERE = Path(__file__).parent
DOCS = HERE.parent.parent.parent / "docs"
PAGE = (DOCS / "devices.md").read_text()
LIVE = HERE.parent.parent / "scenarios" / "test_swupdate_live.py"
TESTS = ("protocols", "other_protocols", "real_clients", "ddi_clients")
BOARDS = "".join(path.read_text() for path in (*(HERE / f"test_{name}.py" for name in TESTS), LIVE))


def test_every_client_of_the_table_has_its_test() -> None:
    """A client stands in the table only with a test that runs it, named at the page's end."""
    table = PAGE.split("## Clients")[1].split("## Addresses")[0]
    clients = re.findall(r"^\| \[([^]]+)\]", table, re.MULTILINE)
    tried = PAGE.split("\n## How the clients were tried\n")[1]
    tests = dict(re.findall(r"^- ([^:]+): (`test_.+)$", tried, re.MULTILINE))
    assert len(clients) >= 10
    assert clients == list(tests)
    there = set(re.findall(r"def (test_\w+)", BOARDS))
    assert {name for names in tests.values() for name in re.findall(r"`(\w+)`", names)} <= there


def test_every_client_has_its_page() -> None:
    """Each row leads to a page, and each page is led to; all have the same parts."""
    table = PAGE.split("## Clients")[1].split("## Addresses")[0]
    pages = {path.name: path.read_text() for path in (DOCS / "devices").glob("*.md")}
    rows = [row for row in table.splitlines() if row.startswith("| ")][1:]
    assert all("](devices/" in row for row in rows)
    assert set(re.findall(r"\(devices/([\w-]+\.md)", table)) == set(pages)
    own = pages.pop("curl.md")
    assert "\n## A client of your own\n" in own
    for name, text in pages.items():
        assert "\n## Try it without a board\n" in text, name
        assert "\n## What you should know\n" in text, name


def test_every_anchor_leads_somewhere() -> None:
    """A link within the page has its heading."""
    headings = {
        re.sub(r"[^\w -]", "", heading).strip().lower().replace(" ", "-")
        for heading in re.findall(r"^#+ (.+)$", PAGE, re.MULTILINE)
    }
    assert set(re.findall(r"\(#([\w-]+)\)", PAGE)) <= headings


def test_every_address_and_status_stands_there() -> None:
    """What a device can reach, and what it can hear, is on the page."""
    for route in ROUTES:
        assert f"`{route.name}" in PAGE
    hooks_alone = {401, 403}
    for _, status in STATUS:
        assert status in hooks_alone or re.search(rf"^\| [0-9, ]*{status}", PAGE, re.MULTILINE)


def test_no_recipe_goes_on_with_another_release() -> None:
    """A resume that anybody documents names one release, in its address and in its file."""
    docs = HERE.parent.parent.parent
    pages = [*docs.glob("*.md"), *(docs / "docs").rglob("*.md"), *(docs / "examples").glob("*")]
    lines = [line for page in pages for line in page.read_text().splitlines()]
    resumes = [
        line for line in lines if re.search(r"(curl|wget)\b.*(-C -|--continue|-c) .*//", line)
    ]
    assert resumes
    for line in resumes:
        pinned = re.search(r"[?&]version=([^'&]+)", line)
        assert "/sha256/" in line or (pinned and line.count(pinned[1]) == 2), line

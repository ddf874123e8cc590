"""What the docs say of hooks is what the code does."""

from __future__ import annotations

import asyncio
import re
import socket
import sys
from pathlib import Path

import aiohttp
import pytest
from hook_files import payload

from otaflux import hooks
from otaflux.events import Events
from otaflux.hooks.intake import Intake
from otaflux.hooks.payload import MAX_PARTS
from otaflux.log import Event
from otaflux.model.event import Touch
from otaflux.model.names import Device, Namespace
from otaflux.settings import SETTINGS
from otaflux.web.hooks import bodies
from otaflux.web.hooks import receiver as addresses
from otaflux.web.hooks.receiver import Receiver
from otaflux.web.port.server import Port
from otaflux.web.refusals import STATUS

ROOT = Path(__file__).parent.parent.parent
OVERVIEW = (ROOT / "docs" / "hooks.md").read_text()
PAGES = {path.stem: path.read_text() for path in (ROOT / "docs" / "registries").glob("*.md")}


def test_the_order_of_detection_is_the_documented_one() -> None:
    """The list under "Which source it is from" is the table, in its order."""
    listed = re.findall(r"^\d\. \*\*(\w+)\*\*", OVERVIEW, re.MULTILINE)
    assert listed == list(hooks.SOURCES)


@pytest.mark.parametrize("source", sorted(hooks.SOURCES))
def test_each_source_has_a_page(source: str) -> None:
    """A page says where to set it up, how to try it, and what a wrong secret looks like."""
    page = PAGES[source]
    assert f"hooks/registry/{source}" in page
    assert "wrong secret" in page
    assert "401" in page
    assert f"otaflux hook-example {source} " in page
    assert f"registries/{source}.md" in OVERVIEW


def test_each_registry_has_a_page_with_the_same_parts() -> None:
    """Settings that the program takes, its hook, a trial, and the way back; all are led to."""
    listed = (ROOT / "docs" / "registries.md").read_text()
    flags = {setting.name: setting for setting in SETTINGS}
    for name, page in PAGES.items():
        assert f"](registries/{name}.md)" in listed
        if name == "generic":
            continue
        headings = re.findall(r"^## (.*)$", page, re.MULTILINE)
        assert headings[:3] == ["Point OtaFlux at it", "Its hook", "Try it"], name
        assert "Take a release back" in headings, name
        (block,) = re.findall(r"^```sh\n(REGISTRY_URL.*?)^```$", page, re.MULTILINE | re.DOTALL)
        for line in block.splitlines():
            setting, _, value = line.partition("=")
            flags[setting.removesuffix("_FILE")].parse(value.strip("'"))
        named = {line.partition("=")[0] for line in block.splitlines()}
        serves = {"REPOSITORY_PREFIX", "DEVICES"} & named
        assert serves or "REGISTRY_USERNAME" not in named, f"{name}: nothing would be served"


def test_every_example_that_a_page_names_exists() -> None:
    """No page tells to print an example that there is not."""
    for page in (OVERVIEW, *PAGES.values()):
        for name in re.findall(r"otaflux hook-example ([a-z-]+)", page):
            assert name in hooks.EXAMPLES


def test_every_link_between_the_pages_leads_somewhere() -> None:
    """Links are to files that are there, and to headings that they have."""
    for folder, page in [
        ("docs", OVERVIEW),
        *(("docs/registries", page) for page in PAGES.values()),
    ]:
        for link in re.findall(r"\]\(([^)]+)\)", page):
            name, _, anchor = link.partition("#")
            target = (ROOT / folder / name).resolve()
            assert target.is_file(), link
            headings = re.findall(r"^#+ (.*)$", target.read_text(), re.MULTILINE)
            found = {
                re.sub(r"[^a-z0-9_ -]", "", head.lower()).replace(" ", "-") for head in headings
            }
            assert not anchor or anchor in found, link


def test_limits_events_and_statuses_are_documented() -> None:
    """Numbers and words that an operator meets stand in the overview."""
    assert f"{bodies.MAX_BODY >> 20} MiB" in OVERVIEW
    assert f"{bodies.BODY_TIMEOUT:g} seconds" in OVERVIEW
    assert f"{bodies.MAX_LARGE} bodies above {bodies.SMALL >> 10} KiB" in OVERVIEW
    assert f"{bodies.MAX_LARGE_EACH} of one address" in OVERVIEW
    assert f"{bodies.MAX_SMALL} smaller ones" in OVERVIEW
    assert f"The first {MAX_PARTS:,} events of a hook are read" in OVERVIEW
    for event in (Event.HOOK_ACCEPTED, Event.HOOK_IGNORED, Event.HOOK_REJECTED):
        assert f"| `{event}` |" in OVERVIEW
    for status in {200, 202, *(status for _, status in STATUS)} - {409}:
        assert f"| {status} |" in OVERVIEW
    for path in (addresses.ADDRESS, addresses.HARBOR_ALIAS):
        assert f"`POST {path}`" in OVERVIEW


async def test_the_relay_makes_a_hook_of_nexus_a_generic_one() -> None:
    """examples/nexus-relay.py checks Nexus' signature and passes the push on."""
    touches: list[Touch] = []
    receiver = Receiver(
        secrets=lambda: ["ours"],
        intake=Intake(Namespace("firmware"), frozenset(), lambda _device: False),
        touch=touches.append,
        known=lambda _device: None,
        events=Events(),
    )
    sent = payload("nexus-component_created.json")
    async with Port(receiver.answer, "127.0.0.1", 0, shutdown_timeout=0.1) as port:
        with socket.create_server(("127.0.0.1", 0)) as free:
            listen = f"127.0.0.1:{free.getsockname()[1]}"
        relay = await asyncio.create_subprocess_exec(
            *(sys.executable, str(ROOT / "examples" / "nexus-relay.py"), listen, port.url),
            env={"NEXUS_SECRET": sent.secret, "WEBHOOK_SECRET": "ours"},
            stderr=asyncio.subprocess.DEVNULL,
        )
        try:
            retries = aiohttp.ClientTimeout(total=20)
            async with aiohttp.ClientSession(timeout=retries) as session:
                statuses = [await _post(session, listen, sent.body, sent.headers)]
                statuses += [await _post(session, listen, sent.body + b" ", sent.headers)]
        finally:
            relay.kill()
            await relay.wait()
    assert statuses == [202, 401]
    assert [touch.device for touch in touches] == [Device("sensor-esp32")]


async def _post(
    session: aiohttp.ClientSession, listen: str, body: bytes, sent: dict[str, str]
) -> int:
    """The status of a hook of Nexus, once the relay listens."""
    headers = {"X-Nexus-Webhook-Signature": sent["x-nexus-webhook-signature"]}
    for _ in range(200):
        try:
            async with session.post(f"http://{listen}/", data=body, headers=headers) as answer:
                return answer.status
        except aiohttp.ClientConnectorError:
            await asyncio.sleep(0.05)
    raise AssertionError("the relay does not listen")

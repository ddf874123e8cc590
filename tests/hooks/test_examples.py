"""The requests that `otaflux hook-example` prints are those that registries send."""

from __future__ import annotations

import asyncio
import json
import shlex
from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from otaflux import hooks
from otaflux.cli.hook_example import PLACEHOLDER, command, curl
from otaflux.events import Events
from otaflux.hooks import Pushed
from otaflux.hooks.intake import Intake
from otaflux.model.event import Action, HookEvent, Touch
from otaflux.model.names import Device, Namespace
from otaflux.web.hooks.receiver import Receiver
from otaflux.web.port.server import Port

SECRET = "s3cret+with/signs="
DIGEST = "sha256:" + "ab" * 32
NOW = datetime(2026, 9, 21, 14, 15, 23, tzinfo=UTC)

names = st.from_regex(r"[a-z0-9]{1,8}(/[a-z0-9]{1,8}){0,3}", fullmatch=True)
tags = st.from_regex(r"v?[0-9]{1,3}\.[0-9]{1,3}\.[0-9]{1,3}(-[a-z]{1,4}\.[0-9])?", fullmatch=True)


def run(*arguments: str, **environment: str) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of the command."""
    result = CliRunner().invoke(
        command, list(arguments), env=dict(environment), standalone_mode=False
    )
    if result.exception:
        raise result.exception
    return result.return_value, result.stdout, result.stderr


@pytest.mark.parametrize("name", sorted(hooks.EXAMPLES))
@given(repository=names, tag=tags)
def test_every_example_is_read_to_what_it_tells(name: str, repository: str, tag: str) -> None:
    """Each is told apart by its shape, and says that this tag of this repository was pushed."""
    source, example = hooks.EXAMPLES[name]
    request = example(Pushed(repository, tag, DIGEST, NOW))
    headers = {key.lower(): value for key, value in request.headers.items()}
    delivery = hooks.parse(headers, request.body)
    assert delivery.source == source.name
    (part,) = delivery.parts
    assert isinstance(part, HookEvent)
    assert (part.action, part.repository, part.tag) == (Action.PUSH, repository, tag)
    assert hooks.parse(headers, request.body, source.name) == delivery


def test_there_is_an_example_of_every_source() -> None:
    """No source that hooks are taken from is left out."""
    assert {source.name for source, _ in hooks.EXAMPLES.values()} == set(hooks.SOURCES)


@pytest.mark.real("curl")
async def test_the_printed_command_is_accepted_by_a_server() -> None:
    """Run in a shell as it is printed, each example proves itself and is accepted."""
    touches: list[Touch] = []
    receiver = Receiver(
        secrets=lambda: [SECRET],
        intake=Intake(Namespace("firmware"), frozenset(), lambda _device: False),
        touch=touches.append,
        known=lambda _device: None,
        events=Events(),
    )
    async with Port(receiver.answer, "127.0.0.1", 0, shutdown_timeout=0.1) as port:
        for name in sorted(hooks.EXAMPLES):
            touches.clear()
            code, printed, said = run(
                *(name, "gate/sensor:1.4.0", "--url", f"{port.url}/"),
                WEBHOOK_SECRET=f"{SECRET} an-older-one",
                REPOSITORY_PREFIX="firmware",
            )
            assert (code, said) == (0, "")
            shell = await asyncio.create_subprocess_exec(
                "sh", "-c", printed, stdout=asyncio.subprocess.PIPE
            )
            answer, _ = await shell.communicate()
            assert answer.startswith(b"HTTP/1.1 202 "), name
            assert [touch.device for touch in touches] == [Device("gate/sensor")]


def test_without_a_secret_a_placeholder_stands_for_it() -> None:
    """A command that is shown to others need not hold a secret, and says that it holds none."""
    _, printed, said = run("harbor", "sensor:1.4.0")
    assert f"'Authorization: {PLACEHOLDER}'" in printed
    assert "WEBHOOK_SECRET is not set" in said


def test_the_address_is_that_of_the_server() -> None:
    """LISTEN_ADDR tells it, loopback where that is unspecified; `--url` wins."""
    _, printed, _ = run("generic", "sensor:1.4.0", LISTEN_ADDR="[::]:81", WEBHOOK_SECRET="x")
    assert "http://[::1]:81/hooks/registry/generic" in shlex.split(printed)
    for path in ("", "/", "/hooks/registry", "/hooks/registry/harbor/", "/webhooks/harbor"):
        _, printed, _ = run("generic", "sensor:1.4.0", "--url", f"https://ota.example{path}")
        assert "https://ota.example/hooks/registry/generic" in shlex.split(printed)
        assert "--insecure" not in printed


def test_what_would_be_ignored_is_said() -> None:
    """Who tries a tag that is no version learns why nothing will happen."""
    _, printed, said = run("harbor", "sensor:1.2", WEBHOOK_SECRET="x")
    assert printed.startswith("curl ")
    assert "1.2.0 would have counted" in said


def test_a_device_that_is_not_served_is_said() -> None:
    """With credentials and no prefix the server takes hooks for DEVICES only, and this says so."""
    login = {"REGISTRY_URL": "http://x", "REGISTRY_USERNAME": "u", "REGISTRY_PASSWORD": "p"}
    _, printed, said = run("harbor", "sensor:1.2.0", WEBHOOK_SECRET="x", **login)
    assert printed.startswith("curl ")
    assert "not in DEVICES" in said
    _, _, said = run("harbor", "sensor:1.2.0", WEBHOOK_SECRET="x", DEVICES="sensor", **login)
    assert said == ""


def test_a_body_survives_the_shell() -> None:
    """Quotes in a body reach the server as they are."""
    source, _ = hooks.EXAMPLES["generic"]
    body = json.dumps({"repository": 'it\'s "quoted" $HOME `x`'}).encode()
    printed = curl(source, hooks.Example({}, body), "http://x", "s")
    assert shlex.split(printed.replace("\\\n", " "))[-1] == body.decode()


def test_the_example_file_is_a_hook_of_harbor() -> None:
    """`examples/harbor-webhook.json` works as it lies there, with REPOSITORY_PREFIX=firmware."""
    body = (Path(__file__).parent.parent.parent / "examples" / "harbor-webhook.json").read_bytes()
    delivery = hooks.parse({"content-type": "application/json"}, body)
    assert delivery.source == "harbor"
    (part,) = delivery.parts
    assert isinstance(part, HookEvent)
    assert (part.action, part.repository, part.tag) == (Action.PUSH, "firmware/sensor", "1.4.0")

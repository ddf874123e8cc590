"""What a registry says gets into messages; what proves who we are never does."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from fake_faults import Echo, Redirect
from fake_registry import FakeRegistry
from registry_client import SENSOR, remote

from otaflux.errors import OtaFluxError, Undecided
from otaflux.model.names import Tag
from otaflux.registry.remote.hiding import HIDDEN, MAX_HIDDEN, Secrets
from otaflux.wording import MAX_NAME, quoted

PASSWORD = 'pw:"ü %20-hunter2'
ROBOT = ("robot", PASSWORD)
BASE64 = base64.b64encode(f"robot:{PASSWORD}".encode()).decode()


def secrets(registry: FakeRegistry) -> list[str]:
    """What must be in no message: half of each, for a text may be cut off."""
    held = [PASSWORD, "hunter2", BASE64, *registry.tokens.given, "identity-xyz-0123456789"]
    return [secret[: max(7, len(secret) // 2)] for secret in held]


async def said_of(client: Any, asked: Any) -> str:
    """The whole of what an error says."""
    with pytest.raises(OtaFluxError) as failed:
        await asked
    return f"{failed.value}{getattr(failed.value, 'hint', '')}{failed.value!r}"


@pytest.mark.parametrize("auth", ["basic", "bearer"])
@pytest.mark.parametrize("status", [401, 403, 404, 418])
@pytest.mark.parametrize("part", [None, 40])
async def test_a_registry_that_repeats_credentials_is_not_repeated(
    auth: Any, status: int, part: int | None
) -> None:
    """Neither a password nor a token gets into the log by way of a registry's error."""
    async with (
        FakeRegistry(auth=auth, users={"robot": PASSWORD}) as registry,
        remote(registry, login=ROBOT) as client,
    ):
        registry.content.put("acme/sensor", "1.0.0", layers=[b"x"])
        await client.tags(SENSOR)
        registry.fail("*", Echo(status, part), times=None, when=lambda seen: seen.kind != "token")
        for asked in (client.tags(SENSOR), client.resolve(SENSOR, Tag("1.0.0"))):
            said = await said_of(client, asked)
            assert not [secret for secret in secrets(registry) if secret in said]
            assert HIDDEN in said or status == 401


async def test_a_token_server_that_repeats_credentials_is_not_repeated() -> None:
    """A password that it was sent, and an identity token, stay out of its errors."""
    for login in (ROBOT, ("<token>", "identity-xyz-0123456789")):
        async with FakeRegistry(auth="bearer") as registry, remote(registry, login=login) as client:
            registry.fail("token", Echo(403), times=None)
            said = await said_of(client, client.tags(SENSOR))
            assert not [secret for secret in secrets(registry) if secret in said]


async def test_a_realm_or_an_address_with_a_password_is_shown_without() -> None:
    """What stands before an `@` may be a secret of the registry's own."""
    async with FakeRegistry() as registry, remote(registry) as client:
        registry.fail("tags", Redirect("http://eve:topsecret@127.0.0.1:1/x"), times=None)
        with pytest.raises(Undecided, match="name or a password") as refusal:
            await client.tags(SENSOR)
        assert "topsecret" not in str(refusal.value)
    assert quoted("see http://eve:topsecret@host/x") == "'see http://host/x'"


def test_a_short_password_does_not_eat_other_words() -> None:
    """Hidden where it stands alone; host names and codes stay readable."""
    secrets = Secrets()
    secrets.hide("reg", "regi")
    assert secrets.without("registry.example answers regi, regi!") == (
        f"registry.example answers {HIDDEN}, {HIDDEN}!"
    )


def test_a_secret_that_a_message_cuts_off_or_escapes_is_hidden_too() -> None:
    """What is shown of it is none of it, wherever the text ends."""
    secrets = Secrets()
    secrets.hide("opensesame", "pass\nword-x")
    for cut in range(5, 11):
        said = quoted("n" * (MAX_NAME - cut) + "opensesame and more")
        assert "opens" not in secrets.without(f"the registry says {said}")
    assert secrets.without(quoted("it was pass\nword-x")) == f"'it was {HIDDEN}'"


def test_the_newest_secrets_are_hidden_and_their_number_is_bounded() -> None:
    """A thousand tokens later the first one has long ended."""
    secrets = Secrets()
    for number in range(MAX_HIDDEN + 1):
        secrets.hide(f"secret-number-{number:04}")
    assert secrets.without(f"secret-number-{MAX_HIDDEN:04}") == HIDDEN
    assert secrets.without("secret-number-0000") != HIDDEN


def test_two_sessions_keep_their_own_secrets() -> None:
    """What one registry was sent is nothing that another's words could give away."""
    one, other = Secrets(), Secrets()
    one.hide("opensesame")
    assert other.without("opensesame") == "opensesame"

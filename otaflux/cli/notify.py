"""`--notify URL`: tells a server what a command did, for registries that send no hooks.

It is the generic hook, with the secret in a header; the server looks at the registry and believes
nothing else. The address is asked once, its redirects are not followed (the secret would go along),
and proxies are taken from the environment as for the registry.
"""

from __future__ import annotations

import json
import os
import re
import ssl
from collections.abc import Callable
from typing import Any, TypeVar

import click
from yarl import URL

from otaflux.errors import BadSetting, Undecided, reason_of
from otaflux.model.event import Action
from otaflux.model.names import Device, Namespace, Tag
from otaflux.registry.remote.proxies import proxy_for
from otaflux.secret import several
from otaflux.settings import Settings
from otaflux.settings.addresses import public_url
from otaflux.settings.values import Wrong

Command = TypeVar("Command", bound=Callable[..., Any])

TIMEOUT = 30.0  # seconds; the server answers in milliseconds, for it pulls afterwards
MAX_ANSWER = 64 * 1024  # bytes that are read of it
MAX_SHOWN = 200  # characters of it in a message

# What the address of a hook has after the server's, for people who copy theirs from the registry.
_HOOKS_AT = re.compile(r"(/hooks/registry(/[a-z]*)?|/webhooks/harbor)?/*$")
_ACCEPTED = 202
_IGNORED = 200

ONLY_WITH = {"notify": ("webhook_secret",)}  # settings that a command reads for --notify alone


def option(command: Command) -> Command:
    """Give a command `--notify URL`."""
    flag = click.option(
        "--notify",
        metavar="URL",
        help="Tell the server at URL, with WEBHOOK_SECRET, where the registry sends no hooks.",
    )
    return flag(command)


def server_of(url: str) -> str:
    """The server's own address, of one that may be copied from a registry's hook."""
    return _HOOKS_AT.sub("", url)


def first_secret(settings: Settings) -> str:
    """The first of WEBHOOK_SECRET; empty where none is set."""
    return next(iter(several(settings.webhook_secret)), "")


class Notice:
    """Who is told, and with what; made before the work, so that what is wrong stops it."""

    def __init__(self, settings: Settings, url: str) -> None:
        self._namespace = Namespace.of(settings.repository_prefix, frozenset())
        self._secret = first_secret(settings)
        if not self._secret:
            raise BadSetting(
                "WEBHOOK_SECRET: found none, expected one that the server has, for --notify is set"
            )
        try:
            self._server = public_url(server_of(url))
        except Wrong as error:
            raise BadSetting(f"--notify: found {url!r}, expected {error.expected}") from None

    async def send(self, action: Action, device: Device, tag: Tag, digest: str = "") -> str:
        """Tell the server, and return what to say of it; raises `Undecided` where it refuses."""
        body = {
            "repository": self._namespace.repository(device).name,
            "tag": tag.text,
            "action": str(action),
            **({"digest": digest} if digest else {}),
        }
        url = URL(f"{self._server}/hooks/registry/generic")
        import aiohttp

        try:
            status, answer = await self._post(url, json.dumps(body).encode())
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            raise Undecided(
                f"{self._server} was not told of {device}:{tag}: {reason_of(error)}",
                hint="Does `otaflux serve` run there? Without a hook it finds out at a re-check",
            ) from None
        if status == _ACCEPTED:
            return f"{self._server} was told, and looks at {device}"
        raise Undecided(f"{self._server} {_refusal(status, answer)}", hint=_hint(status))

    async def _post(self, url: URL, body: bytes) -> tuple[int, bytes]:
        import aiohttp

        headers = {"Content-Type": "application/json", "X-Webhook-Secret": self._secret}
        timeout = aiohttp.ClientTimeout(total=TIMEOUT)
        proxy = proxy_for(url, os.environ)
        schemes = {url.scheme, proxy.url.scheme if proxy is not None else ""}
        # With the system's roots, which aiohttp's own context lacks here: see `otaflux.roots`.
        context = ssl.create_default_context() if "https" in schemes else True
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.post(
                url,
                data=body,
                headers=headers,
                ssl=context,
                proxy=proxy.url if proxy is not None else None,
                allow_redirects=False,
            ) as response,
        ):
            return response.status, await response.content.read(MAX_ANSWER)


def _refusal(status: int, answer: bytes) -> str:
    """What a server's no comes to, with its own words."""
    said = " ".join(ascii(answer.decode(errors="replace"))[1:-1][:MAX_SHOWN].split())
    if status == _IGNORED:
        try:
            ignored = json.loads(answer)["ignored"]
            said = "; ".join(str(part["reason"]) for part in ignored)
        except (ValueError, LookupError, TypeError):
            return f"does not answer as OtaFlux does ({status})"
        return f"ignores it: {said}"
    return f"refuses it ({status}: {said})" if said else f"refuses it ({status})"


def _hint(status: int) -> str:
    match status:
        case 401:
            return "Is WEBHOOK_SECRET one of the server's?"
        case 403:
            return "Set WEBHOOK_SECRET at the server"
        case 200:
            return ""
        case _:
            return "Is that the address of an OtaFlux server, LISTEN_ADDR as seen from here?"

"""`otaflux hook-example`: the request that a registry would send, as a curl command.

Nothing is sent. The command holds the secret, for it is meant to be run; who pipes it somewhere
leaves WEBHOOK_SECRET unset and gets a placeholder.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import shlex
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import assert_never
from urllib.parse import quote

import click

from otaflux import hooks
from otaflux.cli.flags import ASKING_THE_SERVER, NAMESPACE, uses
from otaflux.cli.notify import first_secret, server_of
from otaflux.cli.reference import device_and_tag
from otaflux.hooks import Example, HookSource, Proof, Pushed
from otaflux.hooks.intake import Ignored, Intake
from otaflux.model.event import Noise
from otaflux.model.names import Namespace
from otaflux.settings import Settings

PLACEHOLDER = "YOUR-WEBHOOK-SECRET"
USER = "otaflux"  # of Basic credentials; any will do


@click.command("hook-example")
@click.argument("source", metavar="SOURCE", type=click.Choice(sorted(hooks.EXAMPLES)))
@click.argument("release", metavar="DEVICE:TAG")
@click.option("--url", metavar="URL", help="Server to send it to [default: from LISTEN_ADDR].")
@uses(*ASKING_THE_SERVER, *NAMESPACE, "channels", "webhook_secret")
def command(settings: Settings, source: str, release: str, url: str | None) -> int:
    """Print the hook that SOURCE sends when DEVICE:TAG is pushed, as a curl command.

    SOURCE is acr, distribution (GitLab's too), dockerhub, generic, gitea (Forgejo's too), github,
    harbor, harbor-cloudevents, quay or zot. The command has the secret of WEBHOOK_SECRET in it
    (the first, where there are several), in the form in which that registry sends it. Run it to
    see what the server answers.
    """
    from otaflux.app.parts import Assembly

    device, tag = device_and_tag(release, any_tag=True)
    every = Namespace.of(settings.repository_prefix, frozenset())
    pushed = Pushed(
        repository=every.repository(device).name,
        tag=tag.text,
        digest=f"sha256:{hashlib.sha256(release.encode()).hexdigest()}",
        at=datetime.now(UTC),
    )
    sender, example = hooks.EXAMPLES[source]
    secret = first_secret(settings)
    if not secret:
        click.echo(f"otaflux: WEBHOOK_SECRET is not set, so {PLACEHOLDER} stands for it", err=True)
    request = example(pushed)
    served = Assembly(settings).namespace
    _warn(request, Intake(served, frozenset(settings.channels), lambda _device: False))
    server = server_of(url) if url else _server(settings)
    click.echo(
        curl(sender, request, server, secret or PLACEHOLDER, options=() if url else _here(settings))
    )
    return 0


def curl(
    source: HookSource, request: Example, server: str, secret: str, *, options: Sequence[str] = ()
) -> str:
    """The command that sends a request with its proof; `server` has no slash at its end."""
    address = f"{server}/hooks/registry/{source.name}"
    if source.proof is Proof.QUERY:
        address += f"?secret={quote(secret, safe='')}"
    headers = {**request.headers, **proof_headers(source.proof, request.body, secret)}
    words = ["curl", "--silent", "--show-error", "--include", "--write-out", r"\n", *options]
    words.append(address)
    lines = [shlex.join(words)]
    lines += [f"--header {shlex.quote(f'{name}: {value}')}" for name, value in headers.items()]
    lines.append(f"--data-binary {shlex.quote(request.body.decode())}")
    return " \\\n  ".join(lines)


def proof_headers(form: Proof, body: bytes, secret: str) -> dict[str, str]:
    """The headers that prove a sender in the form of its registry; none where it is elsewhere."""
    headers: dict[str, str] = {}
    match form:
        case Proof.AUTHORIZATION:
            headers["Authorization"] = secret
        case Proof.BEARER:
            headers["Authorization"] = f"Bearer {secret}"
        case Proof.BASIC:
            headers["Authorization"] = f"Basic {_base64(f'{USER}:{secret}')}"
        case Proof.HEADER:
            headers["X-Webhook-Secret"] = secret
        case Proof.GITHUB_HMAC:
            headers["X-Hub-Signature-256"] = f"sha256={_hmac(body, secret)}"
        case Proof.GITEA_HMAC:
            headers["X-Gitea-Signature"] = _hmac(body, secret)
        case Proof.QUERY:
            pass
        case _:
            assert_never(form)
    return headers


def _server(settings: Settings) -> str:
    scheme = "https" if settings.tls_cert_path else "http"
    return f"{scheme}://{settings.listen_addr.reachable}"


def _here(settings: Settings) -> Sequence[str]:
    """Options for a server on this machine: no proxy reaches it, and no certificate names it."""
    return ["--noproxy", "*", *(["--insecure"] if settings.tls_cert_path else [])]


def _warn(request: Example, intake: Intake) -> None:
    """Say on stderr why the server will ignore it, where it will."""
    headers = {name.lower(): value for name, value in request.headers.items()}
    for part in hooks.parse(headers, request.body).parts:
        judged = part if isinstance(part, Noise) else intake.judge(part, "", 0.0)
        if isinstance(judged, Noise | Ignored):
            click.echo(f"otaflux: the server will ignore it: {judged.reason}", err=True)


def _hmac(body: bytes, secret: str) -> str:
    return hmac.new(os.fsencode(secret), body, hashlib.sha256).hexdigest()


def _base64(text: str) -> str:
    return base64.b64encode(os.fsencode(text)).decode()

"""`otaflux get`: one request to the server on this machine, where there is no curl.

The server's certificate is not judged: the request goes to an address of this machine, whose name
is in no certificate.
"""

from __future__ import annotations

import http.client
import ssl
import sys
from urllib.parse import quote, urlsplit

import click

from otaflux.cli.flags import ASKING_THE_SERVER, uses
from otaflux.errors import BadSetting, Undecided, reason_of
from otaflux.settings import Address, Settings

TIMEOUT = 30.0  # seconds without a byte
PIECE = 1 << 16  # bytes
OPERATORS = ("/metrics", "/ready", "/status", "/units", "/")
UNTOUCHED = "/:?#[]@!$&'()*+,;=%~"  # what may stand in a request target besides letters and digits


@click.command("get")
@click.argument("path")
@uses(*ASKING_THE_SERVER)
def command(settings: Settings, path: str) -> int:
    """Ask the running server for PATH, such as /health, and print the answer's body.

    Exits 0 for 2xx, else 1. The server is the one at LISTEN_ADDR, over TLS where TLS_CERT_PATH is
    set; for /metrics, /ready, /status, /units, / and /device/D at METRICS_LISTEN_ADDR.
    """
    if "://" in path:
        raise BadSetting(
            f"PATH: found {path}, expected the path alone, such as"
            f" {urlsplit(path).path or '/health'}: the server asked is the one at LISTEN_ADDR"
        )
    target = quote(path if path.startswith("/") else f"/{path}", safe=UNTOUCHED)
    if is_for_operators(target):
        name, address, secure = "METRICS_LISTEN_ADDR", settings.metrics_listen_addr, False
    else:
        name, address = "LISTEN_ADDR", settings.listen_addr
        secure = settings.tls_cert_path is not None
    address = address.reachable
    try:
        return _print(_connection(address, secure=secure), target)
    except (OSError, http.client.HTTPException) as error:
        if isinstance(error, BrokenPipeError):
            raise
        raise Undecided(
            f"no answer from {address}: {reason_of(error)}",
            hint=f"Does `otaflux serve` run, with this {name}?",
        ) from None


def is_for_operators(target: str) -> bool:
    """Whether the operators' port answers there, and not the one for devices and hooks."""
    path = target.partition("?")[0]
    return path in OPERATORS or path.startswith("/device/")


def _connection(address: Address, *, secure: bool) -> http.client.HTTPConnection:
    if not secure:
        return http.client.HTTPConnection(address.host, address.port, timeout=TIMEOUT)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # one that reads no roots
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return http.client.HTTPSConnection(address.host, address.port, timeout=TIMEOUT, context=context)


def _print(connection: http.client.HTTPConnection, target: str) -> int:
    """Print the body as it comes; returns the exit code."""
    try:
        connection.request("GET", target)
        answer = connection.getresponse()
        last = b""
        while piece := answer.read(PIECE):
            sys.stdout.buffer.write(piece)
            last = piece
        if last and not last.endswith(b"\n") and sys.stdout.isatty():
            sys.stdout.buffer.write(b"\n")
        sys.stdout.buffer.flush()
    finally:
        connection.close()
    if 200 <= answer.status < 300:  # noqa: PLR2004 - the range is the point
        return 0
    click.echo(f"otaflux: {answer.status} {answer.reason}", err=True)
    return 1

"""What people read when a set-up is broken: in the log, on the page, in `check` and in `list`.

One row for each way of being wrong, with the words that lead out of it. The real process runs,
against registries that are as wrong as the row says.
"""

from __future__ import annotations

import asyncio
import json
import re
import time
import urllib.error
import urllib.request
from contextlib import AsyncExitStack
from dataclasses import dataclass
from html import unescape
from pathlib import Path

import broken_setups as setups
import pytest
from broken_setups import Broken
from programs import PATIENCE, Server, otaflux

HOOK = json.dumps({"repository": "acme/lamp", "tag": "1.0.0"}).encode()
NO_VERSION = HOOK.replace(b"1.0.0", b"1.2")


Words = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Said:
    """Everything that people can read."""

    start: str
    log: str
    check: str
    list: str
    page: str


@dataclass(frozen=True, slots=True)
class Row:
    """One broken set-up, and what has to be read where."""

    name: str
    made: Broken
    start: Words = ()
    log: Words = ()
    check: Words = ()
    list: Words = ()
    page: Words = ()
    hook: tuple[str, str, bytes] | None = None  # where one is posted, its secret, its body
    works: bool = False  # whether check is content all the same
    mounts: bool = False  # whether it takes a file system of its own


ROWS = (
    Row(
        "wrong secret of a hook",
        setups.wrong_secret,
        start=('"hooks": "secret required"',),
        log=("hook_rejected", "The secret is wrong: none of WEBHOOK_SECRET was sent"),
        check=("ok    hooks: taken with the secret of WEBHOOK_SECRET",),
        hook=("/hooks/registry", "other", HOOK),
        works=True,
        page=(
            "A hook was rejected",
            "The secret is wrong",
            "Give the registry's hook a secret of WEBHOOK_SECRET",
        ),
    ),
    Row(
        "wrong password and an empty folder",
        setups.wrong_password,
        log=('"level": "warning"', "Look at REGISTRY_USERNAME and REGISTRY_PASSWORD"),
        check=("FAIL  registry", "Look at REGISTRY_USERNAME and REGISTRY_PASSWORD"),
        list=("the registry refuses those credentials", "REGISTRY_PASSWORD"),
        page=("Look at REGISTRY_USERNAME and REGISTRY_PASSWORD",),
    ),
    Row(
        "wrong password and a full folder",
        setups.wrong_password_later,
        start=('"devices": 1',),
        log=("registry_failed", '"device": "lamp"', "REGISTRY_PASSWORD"),
        check=("FAIL  registry", "Look at REGISTRY_USERNAME and REGISTRY_PASSWORD"),
        list=("1.0.0  current", "lamp: its tags could not be read", "REGISTRY_PASSWORD"),
        page=(
            "lamp cannot be brought up to date",
            "Look at REGISTRY_USERNAME and REGISTRY_PASSWORD",
            "1.0.0",
        ),
    ),
    Row(
        "registry away",
        setups.registry_away,
        log=("registry_failed", "connection refused", "Is REGISTRY_URL right?"),
        check=("FAIL  registry", "connection refused", "-> Is it running"),
        list=("the registry could not be asked", "connection refused", "Is it running"),
        page=("The registry does not answer", "connection refused", "Is REGISTRY_URL right?"),
    ),
    Row(
        "blob host blocked",
        setups.blobs_blocked,
        log=("registry_failed", '"tag": "1.0.0"', "The registry sends clients there"),
        check=("ok    registry", "FAIL  firmware of lamp:1.0.0: cannot connect to", "firewall"),
        list=("1.0.0  not tried",),
        page=("lamp cannot be brought up to date", "The registry sends clients there"),
    ),
    Row(
        "prefix that does not exist",
        setups.no_such_prefix,
        start=('"prefix": "acne"', '"devices": 0'),
        check=("no repository under acne/; what there is begins with acme/", "Is it right?"),
        list=("there are no devices yet",),
        works=True,
        page=("No device is known", "below acne/", "is REPOSITORY_PREFIX right?"),
    ),
    Row(
        "project that does not exist",
        setups.no_such_project,
        log=("project acme not found", "REPOSITORY_PREFIX"),
        check=("FAIL  registry", "project acme not found", "REPOSITORY_PREFIX"),
        list=("project acme not found",),
        page=("project acme not found", "REPOSITORY_PREFIX"),
    ),
    Row(
        "path in REGISTRY_URL",
        setups.path_in_url,
        log=("registry_failed", "REPOSITORY_PREFIX=acme"),
        check=("FAIL  registry", "has the path /acme", "REPOSITORY_PREFIX=acme"),
        list=("REPOSITORY_PREFIX=acme",),
        page=("REPOSITORY_PREFIX=acme",),
    ),
    Row(
        "path of a registry that has none",
        setups.path_of_ghcr,
        start=("REGISTRY_URL: found 'https://ghcr.io/acme'", "REPOSITORY_PREFIX=acme"),
        check=("REPOSITORY_PREFIX=acme",),
        list=("REPOSITORY_PREFIX=acme",),
    ),
    Row(
        "expired certificate at the registry",
        setups.registry_certificate("127.0.0.1", -1),
        log=("has expired", "Renew the registry's certificate"),
        check=("FAIL  registry", "has expired", "-> Renew the registry's certificate"),
        list=("has expired",),
        page=("has expired", "Renew the registry's certificate"),
    ),
    Row(
        "certificate of another name at the registry",
        setups.registry_certificate("other.example", 10),
        log=("is for another name", "Write a name in REGISTRY_URL that the certificate has"),
        check=("FAIL  registry", "is for another name", "-> Write a name in REGISTRY_URL"),
        list=("is for another name",),
        page=("is for another name", "Write a name in REGISTRY_URL that the certificate has"),
    ),
    Row(
        "expired certificate here",
        setups.own_certificate("ota.example", -1),
        start=("certificate_ends", "the certificate has ended", "Renew the files of TLS_CERT_PATH"),
        check=("FAIL  certificate", "ended on", "-> Renew it"),
        page=("The certificate ends", "Renew the files of TLS_CERT_PATH"),
    ),
    Row(
        "certificate of another name here",
        setups.own_certificate("other.example", 100),
        check=("FAIL  its names: it is for other.example, and not for ota.example of PUBLIC_URL",),
    ),
    Row(
        "proxy away",
        setups.proxy_away,
        log=("cannot connect to the proxy", "Look at HTTP_PROXY"),
        check=("note  proxy: 127.0.0.1:", "FAIL  registry", "-> Look at HTTP_PROXY"),
        list=("cannot connect to the proxy", "Look at HTTP_PROXY"),
        page=("cannot connect to the proxy", "Look at HTTP_PROXY"),
    ),
    Row(
        "token refused",
        setups.token_refused,
        log=("403 at its token server", "the right to read it"),
        check=("FAIL  registry", "403 at its token server", "REGISTRY_USERNAME"),
        list=("403 at its token server",),
        page=("403 at its token server", "the right to read it"),
    ),
    Row(
        "disk full",
        setups.disk_full,
        log=("disk_failed", '"device": "lamp"', "Free space"),
        check=("FAIL  room on its disk", "-> Free space, or lower MAX_FIRMWARE_SIZE"),
        list=("1.0.0  not tried",),
        mounts=True,
        page=("lamp cannot be brought up to date", "Free space"),
    ),
    Row(
        "read-only disk",
        setups.read_only,
        start=("otaflux: DATA_DIR: ", "ead-only"),
        check=("FAIL  data folder", "Read-only", "-> It is mounted read-only"),
        mounts=True,
    ),
    Row(
        "two candidates",
        setups.two_candidates,
        log=("release_refused", "left.bin", "right.bin"),
        check=(
            "ok    firmware of lamp:1.0.0",
            "note  release lamp:1.0.0: cannot be served",
            "left.bin",
            "-> Correct what the reason says",
        ),
        list=("1.0.0  unusable", "left.bin", "right.bin"),
        works=True,
        page=(
            "lamp has a release that is refused",
            "left.bin",
            "right.bin",
            "Correct what the reason says",
        ),
    ),
    Row(
        "unsigned image",
        setups.unsigned,
        log=("release_refused", "no signature"),
        check=(
            "note  release lamp:1.0.0: unsigned, and so not served",
            "FAIL  signed releases of lamp",
            "-> Sign it (docs/signing.md), or look at COSIGN_PUB_KEY_PATH",
        ),
        list=("1.0.0  unsigned",),
        page=("lamp has a release that is refused", "no signature"),
    ),
    Row(
        "version inside the image that differs",
        setups.other_version_inside,
        log=("release_warning", "The image says that it is version 1.4.0"),
        check=(
            "ok    release lamp:1.5.0: can be served",
            "note  release lamp:1.5.0: The image says that it is version 1.4.0, its tag says 1.5.0",
            "-> Build the tag's version into the image",
        ),
        list=("warning: The image says that it is version 1.4.0",),
        works=True,
        page=("lamp has an odd release", "The image says that it is version 1.4.0"),
    ),
    Row(
        "tag that is no version",
        setups.no_version,
        log=("hook_ignored", "1.2.0 would have counted"),
        check=("none of its 1 tags is a version",),
        list=("no version; 1.2.0 would be one",),
        hook=("/hooks/registry", "s3cret", NO_VERSION),
        works=True,
        page=("A hook was ignored", "1.2.0 would have counted"),
    ),
    Row(
        "wrong path of a hook",
        setups.wrong_secret,
        log=("hook_rejected", "/hooks/registry"),
        check=("ok    hooks",),
        hook=("/hooks/harbor", "s3cret", HOOK),
        works=True,
        page=("A hook was rejected", "the address /hooks/registry"),
    ),
    Row(
        "misspelt setting",
        setups.misspelt,
        start=("setting_unknown", "Nothing reads it. Is WEBHOOK_SECRET meant?"),
        check=("note  WEBHOOK_SECERT: is no setting", "-> Is WEBHOOK_SECRET meant?"),
        list=("there are no devices yet",),
        works=True,
        page=("A setting is misspelt", "Is WEBHOOK_SECRET meant?"),
    ),
)


def _posted(url: str, path: str, secret: str, body: bytes) -> None:
    """Send a hook; what is answered stands in the log too."""
    request = urllib.request.Request(url + path, body, {"Authorization": secret})
    try:
        urllib.request.urlopen(request, timeout=10).close()
    except urllib.error.HTTPError as error:
        error.close()


def _looked_at(server: Server, row: Row, deadline: float) -> str:
    """What the page says, as people read it, once all that is wanted is there; and the status."""
    address = f"http://{server.env['METRICS_LISTEN_ADDR']}"
    while True:
        with urllib.request.urlopen(f"{address}/", timeout=10) as answer:
            page = unescape(re.sub(r"<[^>]*>", "", answer.read().decode()))
        if all(words in page for words in row.page) or time.monotonic() > deadline:
            break
        time.sleep(0.05)
    with urllib.request.urlopen(f"{address}/status", timeout=10) as answer:
        return page + str(answer.read().decode())


def _served(row: Row, folder: Path, settings: dict[str, str]) -> tuple[str, str, str]:
    """Run the server until all that is wanted is in its log; until it listened, then, and page."""
    server = Server(folder, settings)
    server.launch()
    assert server.process is not None
    posted = row.hook is None
    deadline = time.monotonic() + PATIENCE
    said = ""
    while time.monotonic() < deadline and server.process.poll() is None:
        said = (folder / "log").read_text()
        listens = "server_started" in said
        if listens and row.hook is not None and not posted:
            _posted(server.url, *row.hook)
            posted = True
        if listens and posted and all(words in said for words in row.log):
            break
        time.sleep(0.05)
    page = _looked_at(server, row, deadline) if server.process.poll() is None else ""
    server.stop()
    lines = (folder / "log").read_text().splitlines(keepends=True)
    listens = next((n for n, line in enumerate(lines) if "server_started" in line), len(lines))
    return "".join(lines[: listens + 1]), "".join(lines[listens + 1 :]), page


async def _read(row: Row, folder: Path, settings: dict[str, str]) -> Said:
    """What each of the four says, the commands after a server ran on the folder."""
    beside = settings | {"LISTEN_ADDR": "127.0.0.1:0"}
    beside.setdefault("DATA_DIR", str(folder / "data"))
    start, log, page = await asyncio.to_thread(_served, row, folder, settings)
    check, listed = await asyncio.gather(
        asyncio.to_thread(otaflux, "check", cwd=folder, **beside),
        asyncio.to_thread(otaflux, "list", cwd=folder, **beside),
    )
    code = 2 if check.stderr else 1
    assert check.returncode == (0 if row.works else code), (check.stdout, check.stderr)
    return Said(start, log, check.stdout + check.stderr, listed.stdout + listed.stderr, page)


@pytest.mark.parametrize(
    "row",
    [
        pytest.param(row, id=row.name.replace(" ", "-"), marks=[pytest.mark.mounts] * row.mounts)
        for row in ROWS
    ],
)
async def test_the_words_lead_out_of_it(tmp_path: Path, row: Row) -> None:
    """Each place says what it can know of what is wrong, and what to do."""
    async with AsyncExitStack() as stack:
        settings = dict(await row.made(stack, tmp_path))
        said = await _read(row, tmp_path, settings)
    for place in ("start", "log", "check", "list", "page"):
        for words in getattr(row, place):
            assert words in getattr(said, place), (place, words, said)
    assert "hunter2" not in f"{said}"
    assert "Traceback" not in f"{said}"

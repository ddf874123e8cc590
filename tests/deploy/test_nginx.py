"""The shipped nginx configuration, with the real nginx in front of a real server."""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from fronted import Front, fronted
from live_log import logged
from programs import Server, server

pytestmark = pytest.mark.real("nginx")

SECRET = "secret-of-hooks"
OLD = random.Random(1).randbytes(300_000)
NEW = random.Random(2).randbytes(200_000)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, Front]]:
    """A server that has lamp:1.0.0, and nginx in front of it."""
    folder = tmp_path_factory.mktemp("fronted")
    settings = {"TRUSTED_PROXIES": "127.0.0.1", "WEBHOOK_SECRET": SECRET}
    with server(folder, **settings) as behind, fronted(folder / "nginx", [behind]) as front:
        push(behind, "1.0.0", OLD)
        yield behind, front


def push(behind: Server, tag: str, content: bytes) -> None:
    """Publish, and wait until devices are told."""
    (behind.folder / "build.bin").write_bytes(content)
    done = behind.run("push", f"lamp:{tag}", behind.folder / "build.bin")
    assert done.returncode == 0, done.stderr
    behind.told("lamp", tag)


def address(content: bytes) -> str:
    """Where those bytes are."""
    return f"/firmware/sha256/{hashlib.sha256(content).hexdigest()}"


def test_what_devices_are_told_is_never_cached(served: tuple[Server, Front]) -> None:
    """The poll after a push hears of it, and so does the download, with all their headers."""
    behind, front = served
    assert front.get("/version?device=lamp").body.startswith(b"1.0.0\n")
    assert front.get("/firmware?device=lamp").body == OLD
    push(behind, "1.1.0", NEW)
    told = front.get("/version?device=lamp")
    assert told.body.startswith(b"1.1.0\n")
    assert "X-Cache-Status" not in told.headers
    whole = front.get("/firmware?device=lamp")
    assert whole.body == NEW
    direct = behind.get("/firmware?device=lamp")
    for name in ("Content-Length", "ETag", "Cache-Control", "Content-Type"):
        assert whole.headers[name] == direct.headers[name]
    assert front.get("/version?device=lamp", If_None_Match=told.headers["ETag"]).status == 304


def test_firmware_by_its_content_is_asked_for_once(served: tuple[Server, Front]) -> None:
    """The second reader, and one in the middle, are served from the cache: whole, and in ranges."""
    _, front = served
    first = front.get(address(OLD), Range="bytes=100-199")
    assert (first.status, first.body) == (206, OLD[100:200]), "also where nothing is cached yet"
    again = front.get(address(OLD))
    assert (again.status, again.body) == (200, OLD)
    assert again.headers["X-Cache-Status"] == "HIT"
    assert again.headers["Cache-Control"] == "public, max-age=31536000, immutable"
    rest = front.get(address(OLD), Range="bytes=250000-", If_Range=again.headers["ETag"])
    assert (rest.status, rest.body) == (206, OLD[250_000:])
    assert rest.headers["Content-Range"] == f"bytes 250000-299999/{len(OLD)}"
    changed = front.get(address(OLD), Range="bytes=250000-", If_Range='"another"')
    assert (changed.status, changed.body) == (200, OLD)
    assert front.get(f"{address(OLD)}?sig=x").headers["X-Cache-Status"] == "HIT"
    assert front.get(f"/firmware/sha256/{'0' * 64}").status == 404


def test_links_and_senders_are_those_of_the_client(served: tuple[Server, Front]) -> None:
    """Addresses in answers lead to nginx, and a rejected hook names who sent it."""
    behind, front = served
    told = json.loads(front.get("/version?device=lamp", Accept="application/json").body)
    assert told["url"].startswith(f"http://127.0.0.1:{front.port}/firmware/sha256/")
    refused = front.ask("POST", "/hooks/registry", b"{}", sender="127.0.0.3")
    assert refused.status == 401
    (line,) = logged(behind, "hook_rejected")  # a thread writes it
    assert line["sender"] == "127.0.0.3"


def test_hooks_of_every_size_that_is_taken_come_through(served: tuple[Server, Front]) -> None:
    """Eight MiB and no more."""
    _, front = served
    headers = {"Authorization": SECRET, "Content-Type": "application/json"}
    hook = json.dumps({"repository": "lamp", "tag": "1.0.0"}).encode()
    large = hook + b" " * ((8 << 20) - len(hook))
    assert front.ask("POST", "/hooks/registry", hook, headers).status == 202
    assert front.ask("POST", "/hooks/registry", large, headers).status == 202
    assert front.ask("POST", "/hooks/registry", large + b" ", headers).status == 413


def test_what_is_cached_outlives_the_servers(tmp_path: Path) -> None:
    """With one replica gone the other answers; with all gone firmware comes by its content."""
    folders = [tmp_path / name for name in ("one", "other")]
    for folder in folders:
        folder.mkdir()
    with server(folders[0]) as one, server(folders[1]) as other:
        for each in (one, other):
            push(each, "1.0.0", OLD)
        with fronted(tmp_path / "nginx", [one, other]) as front:
            assert front.get(address(OLD)).body == OLD
            one.stop()
            for _ in range(4):
                assert front.get("/version?device=lamp").status == 200
            other.stop()
            assert front.get(address(OLD), Range="bytes=-5").body == OLD[-5:]
            assert front.get("/version?device=lamp").status == 502


def test_the_variant_for_tokens_asks_each_time(tmp_path: Path) -> None:
    """What is cached is given to nobody whom OtaFlux would not give it."""
    with server(tmp_path) as behind, fronted(tmp_path / "nginx", [behind], tokens=True) as front:
        push(behind, "1.0.0", OLD)
        assert front.get(address(OLD)).body == OLD
        assert front.get(address(OLD)).headers["X-Cache-Status"] == "HIT"
        behind.stop()
        assert front.get(address(OLD)).status >= 500, "nobody is there to ask"
        assert front.get("/may-have").status == 404

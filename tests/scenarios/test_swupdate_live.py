"""Debian's swupdate in suricatta mode against the running server: updated, restarted, confirmed."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
import swu
from programs import Server, server
from swu import HARDWARE, Signer

PATIENCE = 20.0  # seconds, on a machine that has much else to do
UNIT = "/gateway/controller/v1/dev1"


def module_of_hawkbit() -> tuple[str, ...]:
    """How the protocol is named where swupdate has several, as on Debian 13 (one on 12)."""
    return ("-S hawkbit",) if "--server" in swu.options() else ()


@contextmanager
def swupdate(
    folder: Path, url: str, said: Path, *options: str
) -> Iterator[subprocess.Popen[bytes]]:
    """The daemon, which polls each second, until the context ends."""
    config = folder / "swupdate.cfg"
    config.write_text(
        "globals : { verbose = true; };\n"
        f'suricatta : {{ tenant="gateway"; id="dev1"; url="{url}"; polldelay=1; retry=3;'
        ' retrywait=1; gatewaytoken="TOKEN"; };\nidentify : ( { name="serial"; value="dev1"; } );\n'
    )
    command = ["swupdate", "-f", str(config), "-H", HARDWARE, "-v", "-M", "-m"]
    suricatta = " ".join((*module_of_hawkbit(), "-p 1", *options))
    command += [*swu.trusting(folder / "signer.pem"), "-u", suricatta]
    with tempfile.TemporaryDirectory(prefix="swu") as short, said.open("ab") as out:
        env = {"PATH": os.environ["PATH"], "TMPDIR": short, "HOME": short}
        process = subprocess.Popen(command, cwd=short, env=env, stdout=out, stderr=out)
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def wait_for(words: str, said: Path) -> None:
    """Until the daemon said so."""
    deadline = time.monotonic() + PATIENCE
    while words not in said.read_text(errors="replace"):
        assert time.monotonic() < deadline, said.read_text(errors="replace")[-4000:]
        time.sleep(0.05)


def closed(running: Server) -> list[tuple[str, int]]:
    """What the units' file says of versions and closed actions."""
    path = Path(running.env["DATA_DIR"]) / "units.sqlite3"
    with closing(sqlite3.connect(path)) as rows:
        return rows.execute("SELECT runs, closed FROM units WHERE closed > 0").fetchall()


@pytest.mark.real("swupdate")
def test_swupdate_updates_and_confirms(tmp_path: Path) -> None:
    """Polled, installed, restarted, confirmed once; a kill of the server loses nothing of it."""
    signer, payload = Signer(), os.urandom(50_000)
    installed, said = tmp_path / "installed.bin", tmp_path / "said"
    (tmp_path / "signer.pem").write_bytes(signer.certificate)
    update = tmp_path / "update.swu"
    update.write_bytes(signer.update(payload, str(installed)))
    with server(tmp_path, POLL_INTERVAL="1") as running:
        pushed = running.run("push", "gateway:1.4.0", update)
        assert pushed.returncode == 0, pushed.stderr
        running.told("gateway", "1.4.0")
        running.get(UNIT)  # one that is not known yet is told to come back in ten seconds
        with swupdate(tmp_path, running.url, said):
            wait_for("SWUPDATE successful", said)
        assert installed.read_bytes() == payload
        assert closed(running) == []
        assert b"deploymentBase" in running.get(UNIT).body
        running.stop(signal.SIGKILL)
        running.start()
        with swupdate(tmp_path, running.url, tmp_path / "confirmed", "-c 2"):
            deadline = time.monotonic() + PATIENCE
            while not closed(running):
                assert time.monotonic() < deadline, (tmp_path / "confirmed").read_text()[-4000:]
                time.sleep(0.05)
            running.stop(signal.SIGKILL)  # between the feedback and its next poll
            running.start()
        assert b"deploymentBase" not in running.get(UNIT).body
        ((version, _),) = closed(running)
        assert version == "1.4.0"
        assert "SWUPDATE successful" not in (tmp_path / "confirmed").read_text(errors="replace")

"""Machines as they are: users without a home or a name, a root that is read-only, line ends."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import pytest
from programs import PROGRAM, Server, environment, otaflux

NAMELESS = "import os, sys; os.setreuid(54321, 0); os.execv(sys.argv[1], sys.argv[1:])"

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="takes another user, or mounts")


def _is_mounted(place: str) -> bool:
    """Whether a folder is a mount's root, which alone can be made read-only (proc(5))."""
    mounts = Path("/proc/self/mountinfo").read_text().splitlines()
    return any(line.split()[4] == place for line in mounts)


own_root = pytest.mark.skipif(
    not _is_mounted("/"), reason="the root is no mount here, so it cannot be made read-only"
)


def nameless(folder: Path, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    """Run a command as a user without a passwd entry, and without HOME."""
    env = environment(folder, settings)
    del env["HOME"]
    return subprocess.run(
        [sys.executable, "-c", NAMELESS, PROGRAM, *arguments],
        cwd=folder,
        env=env,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@needs_root
def test_a_user_without_home_and_name_is_no_bug(tmp_path: Path) -> None:
    """As `docker run --user 54321` has it: no credentials file is looked for in a home."""
    (tmp_path / "build.bin").write_bytes(b"firmware")
    data = {"DATA_DIR": str(tmp_path / "data")}
    assert nameless(tmp_path, "push", "lamp:1.0.0", "build.bin", **data).returncode == 0
    asked = nameless(tmp_path, "list", **data, REGISTRY_URL="http://127.0.0.1:1")
    assert asked.returncode == 1
    assert "bug" not in asked.stderr
    assert "127.0.0.1:1" in asked.stderr
    wrong = nameless(tmp_path, "list", DATA_DIR="~/data")
    assert wrong.returncode == 2
    assert "a path whose '~' can be resolved" in wrong.stderr


@needs_root
def test_process_1_ends_at_once_when_it_is_told_to(tmp_path: Path) -> None:
    """As `docker stop` tells it, though Linux keeps from process 1 what it does not handle."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent.settimeout(30)
        host, port = silent.getsockname()
        begun = subprocess.Popen(
            ["unshare", "--pid", "--fork", "--kill-child", PROGRAM, "get", "/health"],
            env=environment(tmp_path, {"LISTEN_ADDR": f"{host}:{port}"}),
        )
        try:
            connection, _ = silent.accept()  # so it runs, and waits for an answer
            with connection:
                children = Path(f"/proc/{begun.pid}/task/{begun.pid}/children").read_text()
                os.kill(int(children), signal.SIGTERM)
                assert begun.wait(10) == 128 + signal.SIGTERM
        finally:
            begun.kill()
            begun.wait()


def read_only(folder: Path, script: str, env: Mapping[str, str]) -> subprocess.Popen[bytes]:
    """Run a shell's words where nothing can be written but below `data`."""
    mounts = f"mount --bind {folder}/data {folder}/data && mount -o remount,bind,ro /; "
    return subprocess.Popen(
        ["unshare", "-m", "/bin/sh", "-c", mounts + script],
        cwd=folder,
        env=environment(folder, env),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


@needs_root
@own_root
def test_a_read_only_root_but_for_the_data_folder_is_enough(tmp_path: Path) -> None:
    """Serving, and pushing what is packed here: nothing else is written."""
    (tmp_path / "data").mkdir()
    (tmp_path / "build.bin").write_bytes(b"firmware" * 1000)
    running = Server(tmp_path, {})
    env = {**running.env, "TMPDIR": "/nowhere"}
    script = (
        f"if touch {tmp_path}/probe 2>/dev/null; then exit 77; fi; "
        f"{PROGRAM} push --compress zstd lamp:1.0.0 build.bin && exec {PROGRAM}"
    )
    running.process = read_only(tmp_path, script, env)
    try:
        if running.process.poll() == 77:
            pytest.skip("nothing can be mounted here")
        deadline = time.monotonic() + 30
        while True:
            try:
                if running.get("/version?device=lamp").status == 200:
                    break
            except OSError:
                pass
            assert running.process.poll() is None, running.process.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.1)
        assert running.get("/firmware?device=lamp").body == b"firmware" * 1000
        assert running.stop() == 0
    finally:
        if running.process.poll() is None:
            running.process.kill()
        running.process.communicate()


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r", "\n\n"])
def test_a_line_end_is_no_part_of_a_secret(tmp_path: Path, end: str) -> None:
    """Neither in the environment, where `$(cat …)` of a Windows file leaves one, nor in a file."""
    (tmp_path / "secret").write_text("hunter2" + end, newline="")
    for form in ({"WEBHOOK_SECRET": "hunter2" + end}, {"WEBHOOK_SECRET_FILE": "secret"}):
        running = Server(tmp_path, form)
        running.start()
        try:
            assert running.hook(b'{"repository": "lamp"}', secret="hunter2").status == 202
        finally:
            assert running.stop() == 0


def test_a_secret_of_line_ends_alone_is_none(tmp_path: Path) -> None:
    """As an empty one is."""
    done = otaflux("list", cwd=tmp_path, REGISTRY_PASSWORD="\r\n", DATA_DIR=str(tmp_path / "data"))
    assert "REGISTRY_PASSWORD" not in done.stderr

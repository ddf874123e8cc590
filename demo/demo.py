"""The main job in plain words: a push, a hook, polls before and after, a download that is checked.

Each step shows the command that a person would type and what it really answered. Everything lies
in one temporary folder; whatever happens, the server is stopped and the folder removed at the end.
"""

from __future__ import annotations

import os
import shlex
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
import zlib
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent
OTAFLUX = (sys.executable, "-m", "otaflux")
SECRET = "demo-secret"
PATIENCE = 15.0  # seconds for anything that should take two at most


class Failed(Exception):
    """The demo did not see what it promises to show."""


def say(text: str) -> None:
    """A line of explanation."""
    print(f"\n\033[1m# {text}\033[0m" if sys.stdout.isatty() else f"\n# {text}", flush=True)


def show(command: str, output: str) -> None:
    """A command as a person would type it, and its output."""
    print(f"$ {command}")
    print("\n".join(f"  {line}" for line in output.rstrip("\n").splitlines()), flush=True)


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


class Demo:
    """One server with its folder, and what is asked of it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.address = f"127.0.0.1:{free_port()}"
        self.environment = {
            **os.environ,
            "DATA_DIR": str(folder / "data"),
            "LISTEN_ADDR": self.address,
            "WEBHOOK_SECRET": SECRET,
            "REPOSITORY_PREFIX": "firmware",
            "LOG_FORMAT": "json",
        }
        self.environment.pop("REGISTRY_URL", None)

    def start(self) -> subprocess.Popen[bytes]:
        """The server, once it answers."""
        log = (self.folder / "log").open("wb")
        command = (*OTAFLUX, "serve")
        server = subprocess.Popen(command, env=self.environment, stdout=log, stderr=log)
        log.close()
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            try:
                status, _ = self.ask("/health")
            except OSError:
                time.sleep(0.05)
                continue
            if status == 200:
                return server
        server.kill()
        raise Failed(f"the server did not start:\n{(self.folder / 'log').read_text()}")

    def ask(
        self, path: str, *, body: bytes | None = None, headers: dict[str, str] | None = None
    ) -> tuple[int, bytes]:
        """One request; its status and body."""
        request = urllib.request.Request(
            f"http://{self.address}{path}", data=body, headers=headers or {}
        )
        try:
            with urllib.request.urlopen(request, timeout=10) as response:
                return response.status, response.read()
        except urllib.error.HTTPError as error:
            return error.code, error.read()

    def poll(self) -> str:
        """What a device hears."""
        status, body = self.ask("/version?device=sensor")
        show(f"curl 'http://{self.address}/version?device=sensor'", f"{status}: {body.decode()}")
        return body.decode()

    def told(self, version: str) -> str:
        """Wait until devices hear of a version."""
        deadline = time.monotonic() + PATIENCE
        began = time.monotonic()
        while time.monotonic() < deadline:
            if self.ask("/version?device=sensor")[1].startswith(version.encode()):
                print(f"  (told after {(time.monotonic() - began) * 1000:.0f} ms)")
                return self.poll()
            time.sleep(0.02)
        raise Failed(f"devices were not told {version}:\n{(self.folder / 'log').read_text()}")

    def push(self, version: str, file: Path) -> None:
        """Publish a file as a release."""
        command = ("push", f"sensor:{version}", str(file))
        done = subprocess.run(
            (*OTAFLUX, *command), env=self.environment, capture_output=True, text=True, check=False
        )
        show(f"otaflux {shlex.join(command)}", done.stdout + done.stderr)
        if done.returncode:
            raise Failed(f"otaflux push ended with {done.returncode}")


def run(demo: Demo) -> None:
    """The steps, one after another."""
    say("A device asks before anything was pushed: there is nothing, and it is told so.")
    demo.poll()

    say("A developer pushes firmware 1.3.0 into the embedded registry. Nobody restarts anything.")
    old = demo.folder / "build-1.3.0.bin"
    old.write_bytes(os.urandom(200_000))
    demo.push("1.3.0", old)
    demo.told("1.3.0")

    say("Firmware 1.4.0 is pushed, and a registry's hook says so (Harbor's, from examples/).")
    new = demo.folder / "build-1.4.0.bin"
    new.write_bytes(os.urandom(250_000))
    demo.push("1.4.0", new)
    hook = PROJECT / "examples" / "harbor-webhook.json"
    status, body = demo.ask(
        "/hooks/registry",
        body=hook.read_bytes(),
        headers={"Authorization": SECRET, "Content-Type": "application/json"},
    )
    show(
        f"curl -H 'Authorization: {SECRET}' --json @examples/harbor-webhook.json"
        f" http://{demo.address}/hooks/registry",
        f"{status}: {body.decode()}",
    )
    if status != 202:
        raise Failed("the hook was not accepted")
    version, crc, size = demo.told("1.4.0").split("\n")

    say("The device downloads it, and checks size and CRC-32 against what it was told.")
    status, firmware = demo.ask("/firmware?device=sensor")
    show(
        f"curl -o firmware.bin 'http://{demo.address}/firmware?device=sensor'",
        f"{status}: {len(firmware)} bytes, CRC-32 {zlib.crc32(firmware)}",
    )
    if (version, int(crc), int(size)) != ("1.4.0", zlib.crc32(firmware), len(firmware)):
        raise Failed("the download is not what the device was told")
    if firmware != new.read_bytes():
        raise Failed("the download is not what was pushed")
    print(f"  as told: {size} bytes, CRC-32 {crc}; and the same bytes as {new.name}")


def main() -> int:
    """Run the demo; 0 when all of it was seen."""
    folder = Path(tempfile.mkdtemp(prefix="otaflux-demo-"))
    server = None
    try:
        demo = Demo(folder)
        say("OtaFlux starts, with an empty folder and the embedded registry.")
        show(
            f"WEBHOOK_SECRET={SECRET} REPOSITORY_PREFIX=firmware LISTEN_ADDR={demo.address}"
            " otaflux serve &",
            "",
        )
        server = demo.start()
        run(demo)
    except Failed as failure:
        print(f"\nThe demo failed: {failure}", file=sys.stderr)
        return 1
    else:
        say("Done. The server is stopped, and its folder removed: nothing is left.")
        return 0
    finally:
        if server is not None:
            server.send_signal(signal.SIGTERM)
            server.wait(PATIENCE)
        for path in sorted(folder.rglob("*"), reverse=True):
            path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()
        folder.rmdir()


if __name__ == "__main__":
    sys.exit(main())

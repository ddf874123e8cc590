"""The main job in under a minute, shown step by step: `make demo`.

Everything runs on this machine, in a temporary folder and on a free port, and is stopped and
removed at the end, whatever happens. Each step prints the command that a person would type and what
it really printed; a step that does not come out as it says ends the demo with exit code 1.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import shlex
import shutil
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

ROOT = Path(__file__).resolve().parent.parent
OTAFLUX = Path(sys.executable).with_name("otaflux")
PATIENCE = 20.0  # seconds for anything to happen


def say(text: str) -> None:
    """A sentence for whoever watches."""
    print(f"\n== {text}", flush=True)


def shown(command: str, output: str) -> None:
    """A command and its output, as in a terminal."""
    print(f"$ {command}")
    for line in output.rstrip("\n").splitlines():
        print(f"  {line}")
    sys.stdout.flush()


def must(what: str, *, holds: bool) -> None:
    """End the demo where something is not as it should be."""
    if not holds:
        sys.exit(f"The demo found something wrong: {what}")


class Demo:
    """A temporary folder, a server on a free port, and a person's commands."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.address = f"127.0.0.1:{probe.getsockname()[1]}"
        self.secret = secrets.token_hex(12)
        self.env = {
            "PATH": os.environ.get("PATH", ""),
            "HOME": str(folder),
            "DATA_DIR": str(folder / "data"),
            "LISTEN_ADDR": self.address,
            "METRICS_LISTEN_ADDR": "127.0.0.1:0",
            "WEBHOOK_SECRET": self.secret,
            "LOG_FORMAT": "json",
        }
        self.server: subprocess.Popen[bytes] | None = None

    def otaflux(self, *arguments: str) -> str:
        """Run a command, show it and what it printed."""
        done = subprocess.run(
            [OTAFLUX, *arguments],
            env=self.env,
            cwd=self.folder,
            capture_output=True,
            text=True,
            check=False,
        )
        shown("otaflux " + shlex.join(arguments), done.stdout + done.stderr)
        must(f"otaflux {arguments[0]} ended with {done.returncode}", holds=done.returncode == 0)
        return done.stdout

    def poll(self, path: str, *, show: bool = True) -> tuple[int, bytes]:
        """What a board does: one GET; answers status and body."""
        url = f"http://{self.address}{path}"
        try:
            with urllib.request.urlopen(url, timeout=10) as answer:
                status, body = answer.status, answer.read()
        except urllib.error.HTTPError as error:
            status, body = error.code, error.read()
        if show:
            shown(f"curl '{url}'", f"HTTP {status}\n{body.decode()}")
        return status, body

    def start(self) -> None:
        """Start the server in the background and wait until it answers."""
        self.server = subprocess.Popen(
            [OTAFLUX, "serve"],
            env=self.env,
            cwd=self.folder,
            stdout=(self.folder / "log").open("wb"),
            stderr=subprocess.STDOUT,
        )
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline and self.server.poll() is None:
            try:
                status, _ = self.poll("/health", show=False)
            except OSError:
                time.sleep(0.05)
                continue
            must(f"/health answered {status}", holds=status == 200)
            shown(f"LISTEN_ADDR={self.address} WEBHOOK_SECRET=... otaflux serve &", self.log()[0])
            return
        must(f"the server did not start: {self.log()}", holds=False)

    def log(self) -> list[str]:
        """The server's log so far."""
        return (self.folder / "log").read_text().splitlines()

    def until(self, version: str) -> float:
        """Poll until devices are told that version; answers the seconds that it took."""
        began = time.monotonic()
        while time.monotonic() - began < PATIENCE:
            _, body = self.poll("/version?device=firmware/sensor", show=False)
            if body.startswith(version.encode() + b"\n"):
                return time.monotonic() - began
            time.sleep(0.01)
        must(f"devices were not told {version} within {PATIENCE:.0f} s", holds=False)
        return 0.0

    def hook(self) -> None:
        """Send the webhook that Harbor would send, and show the answer."""
        payload = ROOT / "examples" / "harbor-webhook.json"
        url = f"http://{self.address}/hooks/registry"
        request = urllib.request.Request(
            url,
            payload.read_bytes(),
            {"Authorization": self.secret, "Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=10) as answer:
            body = answer.read().decode()
            status = answer.status
        command = f"curl -H 'Authorization: ...' -d @examples/harbor-webhook.json {url}"
        shown(command, f"HTTP {status}\n{body}")

    def stop(self) -> int:
        """Stop the server as a service manager does; answers its exit code."""
        if self.server is None or self.server.poll() is not None:
            return 0
        self.server.send_signal(signal.SIGTERM)
        try:
            return self.server.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.server.kill()
            return self.server.wait()


def firmware(path: Path, version: str) -> bytes:
    """A made-up firmware of 256 KiB."""
    content = f"firmware {version}\n".encode() + os.urandom(256 * 1024)
    path.write_bytes(content)
    return content


def tell(demo: Demo) -> None:
    """The story."""
    say("Two builds of a firmware, and an empty folder. Nothing else is needed: no registry,")
    print("   no database. (With REGISTRY_URL set, releases come from a registry instead.)")
    firmware(demo.folder / "build-1.3.0.bin", "1.3.0")
    newest = firmware(demo.folder / "build-1.4.0.bin", "1.4.0")

    say("The server starts.")
    demo.start()

    say("A device polls. Nobody has pushed anything for it yet.")
    status, _ = demo.poll("/version?device=firmware/sensor")
    must(f"a poll before any push answered {status}", holds=status == 404)

    say("Somebody pushes version 1.3.0: the digest of what was published.")
    demo.otaflux("push", "firmware/sensor:1.3.0", "build-1.3.0.bin")
    took = demo.until("1.3.0")
    say(f"The device polls again, {took:.1f} s later: version, CRC-32 and size of the firmware.")
    demo.poll("/version?device=firmware/sensor")

    say("Version 1.4.0 is pushed, and the registry's webhook says that something came.")
    demo.otaflux("push", "firmware/sensor:1.4.0", "build-1.4.0.bin")
    demo.hook()
    took = demo.until("1.4.0")
    say(f"The device polls once more, {took:.2f} s after the hook's answer.")
    _, told = demo.poll("/version?device=firmware/sensor")

    say("It downloads the firmware and checks it, as a board does before it restarts.")
    _, body = demo.poll("/firmware?device=firmware/sensor", show=False)
    version, crc32, size = told.decode().split("\n")
    shown(
        f"curl -o new.bin 'http://{demo.address}/firmware?device=firmware/sensor'",
        f"{len(body)} bytes, CRC-32 {zlib.crc32(body)}; told were {size} and {crc32}",
    )
    must("size or CRC-32 differ", holds=len(body) == int(size) and zlib.crc32(body) == int(crc32))
    must(f"what was downloaded is not the build of {version}", holds=body == newest)

    say("What there is, and which release is current:")
    demo.otaflux("list")

    say("What the server logged about it:")
    for line in demo.log():
        entry = json.loads(line)
        if entry["event"] in {"hook_accepted", "release_published"}:
            keep = {key: entry[key] for key in ("event", "device", "tag", "hooks") if key in entry}
            print("  " + re.sub(r"\s+", " ", json.dumps(keep)))


def main() -> int:
    """Run the demo in a folder that is gone afterwards, with a server that is stopped."""
    began = time.monotonic()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    folder = Path(tempfile.mkdtemp(prefix="otaflux-demo-"))
    demo = Demo(folder)
    try:
        tell(demo)
        say("The end: the server is told to stop, and the folder is removed.")
        must("the server did not stop in good order", holds=demo.stop() == 0)
    except KeyboardInterrupt:
        return 130
    finally:
        demo.stop()
        shutil.rmtree(folder)
    took = time.monotonic() - began
    print(f"   Nothing runs any more, {folder} is gone. That took {took:.0f} s.")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Artifacts as python oras makes them, pushed to Debian's docker-registry and read back."""

from __future__ import annotations

import socket
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import oras.client
from extracting import Pushed

from otaflux.model.artifact import OCI_MANIFEST, Manifest
from otaflux.registry.manifest import parse_artifact
from packings.files import Packing

_CONFIG = """
version: 0.1
log: {{accesslog: {{disabled: true}}, level: error}}
storage: {{filesystem: {{rootdirectory: {folder}}}}}
http: {{addr: "127.0.0.1:{port}"}}
"""


@contextmanager
def docker_registry(program: str, folder: Path) -> Iterator[str]:
    """Run Debian's registry on a free port; gives its host and port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    config = folder / "config.yml"
    config.write_text(_CONFIG.format(folder=folder / "data", port=port))
    with (
        (folder / "log").open("wb") as log,
        subprocess.Popen([program, "serve", str(config)], stdout=log, stderr=log) as server,
    ):
        try:
            _wait_for(port)
            yield f"127.0.0.1:{port}"
        finally:
            server.terminate()


def _wait_for(port: int) -> None:
    for _ in range(200):
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise AssertionError("docker-registry did not come up")


@dataclass(frozen=True)
class Push:
    """What is packed by a script, and what of it is pushed: `path:media type` as oras has it."""

    name: str
    script: str
    files: tuple[str, ...]
    annotations: dict[str, str] | None = None

    def build(self, folder: Path, host: str, chdir: Callable[[Path], None]) -> Pushed:
        """Push with oras, which titles each file by its path, and read back what was pushed."""
        Packing(self.name, self.script).build(folder)
        chdir(folder)
        repository = "".join(letter for letter in self.name.lower() if letter.isalnum())
        client = oras.client.OrasClient(hostname=host, insecure=True)
        client.push(
            target=f"{host}/{repository}:1.4.0",
            files=list(self.files),
            manifest_annotations=self.annotations,
        )
        root = f"http://{host}/v2/{repository}"
        request = urllib.request.Request(  # the test's own server
            f"{root}/manifests/1.4.0", headers={"Accept": OCI_MANIFEST}
        )
        with urllib.request.urlopen(request) as answer:
            found = parse_artifact(answer.read(), media_type=OCI_MANIFEST)
        assert isinstance(found, Manifest)
        blobs = {}
        for layer in found.layers:
            with urllib.request.urlopen(f"{root}/blobs/{layer.digest}") as answer:
                blobs[layer.digest] = answer.read()
        return Pushed(found, blobs)


PUSHES = [
    Push("a plain file", "true", ("firmware.bin",)),
    Push("a file of a type", "true", ("firmware.bin:application/octet-stream",)),
    Push("a file of another name", "mv firmware.bin sensor.img", ("sensor.img",)),
    Push("a gzip", "gzip firmware.bin", ("firmware.bin.gz",)),
    Push("a tar", "tar -cf firmware.tar firmware.bin", ("firmware.tar",)),
    Push("a folder", "mkdir out && mv firmware.bin out", ("out",)),
    Push("several files", "true", ("other.txt", "firmware.bin")),
    Push(
        "several files and an annotation",
        "mv firmware.bin a.img && cp other.txt firmware.bin",
        ("firmware.bin", "a.img"),
        {"io.otaflux.firmware.path": "a.img"},
    ),
]

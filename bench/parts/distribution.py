"""Debian's docker-registry, plainly or with TLS."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from parts.programs import BOTH_CORES, Certificate, free_port, launched, program


@contextmanager
def distribution(folder: Path, pair: Certificate | None = None) -> Iterator[str]:
    """It runs on both cores; gives its address. What it holds lies in `folder`."""
    port = free_port()
    http: dict[str, Any] = {"addr": f"127.0.0.1:{port}", "secret": "not a secret"}
    if pair is not None:
        http["tls"] = {"certificate": str(pair.path), "key": str(pair.key)}
    config = {
        "version": 0.1,
        "log": {"level": "error", "accesslog": {"disabled": True}},
        "storage": {"filesystem": {"rootdirectory": str(folder / "registry")}},
        "http": http,
    }
    path = folder / "registry.json"
    path.write_text(json.dumps(config))
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    command = [str(program("docker-registry")), "serve", str(path)]
    with launched(command, port, cores=BOTH_CORES, **quiet):
        yield f"{'http' if pair is None else 'https'}://127.0.0.1:{port}"

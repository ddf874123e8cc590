"""What somebody would do by hand: fetch a blob and check its digest, unpack it, and sync.

The Go client `crane` where it is on PATH, else `curl` beside `openssl dgst`.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from parts.programs import program, shell


@dataclass(frozen=True, slots=True)
class ByHand:
    """A way to fetch blobs of `registry` into `folder`; `authority` is for a registry with TLS."""

    registry: str
    folder: Path
    authority: Path | None = None

    @property
    def name(self) -> str:
        """Which program fetches."""
        return "crane blob" if program("crane") else "curl + openssl"

    def fetch(self, repository: str, digest: str, unpack: str = "") -> float:
        """The seconds that it takes; `unpack` is a pipe's rest, as `| zstd -dc | tar -xO`."""
        host = self.registry.partition("://")[2]
        trust = self.authority
        if program("crane"):
            line = f"crane blob {'' if trust else '--insecure '}{host}/{repository}@{digest}"
            line = f"SSL_CERT_FILE={trust} {line}" if trust else line
        else:
            line = f"curl -sSfL {f'--cacert {trust} ' if trust else ''}"
            line += f"{self.registry}/v2/{repository}/blobs/{digest}"
            line += " | tee >(openssl dgst -sha256 > sum)"
        began = time.perf_counter()
        shell(f"{line} {unpack} > by-hand; sync by-hand", self.folder)
        took = time.perf_counter() - began
        (self.folder / "by-hand").unlink()
        return took

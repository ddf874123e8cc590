"""The key that `otaflux push --sign-key` signs with, and the password that opens it.

Neither is ever shown; messages name the file and say what is wrong with it.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec

from otaflux.errors import Refused
from otaflux.model.artifact import Digest
from otaflux.registry.source import Attached

if TYPE_CHECKING:
    from otaflux.signature.privatekey import PrivateKey

PASSWORD = "COSIGN_PASSWORD"  # noqa: S105 - the variable's name, which is cosign's


class Signing(msgspec.Struct, frozen=True):
    """Signs what is pushed."""

    key: PrivateKey

    @property
    def signer(self) -> str:
        """Who signs, for people."""
        return f"{self.key.public.kind} key {self.key.public.fingerprint}"

    def attach(self, subject: Digest) -> Attached:
        """The signature of a manifest."""
        from otaflux.signature.signing import ANNOTATIONS, BUNDLE_V03, sign

        return Attached(sign(subject, self.key), BUNDLE_V03, ANNOTATIONS)


def signing_with(path: Path) -> Signing:
    """What signs with the key in a file; raises `Refused` where that cannot be."""
    from otaflux.signature.privatekey import MAX_KEY_FILE, read_private_key

    try:
        with path.open("rb") as file:
            pem = file.read(MAX_KEY_FILE + 1)
    except OSError as error:
        raise Refused(f"--sign-key: cannot read {path}: {error.strerror or error}") from None
    try:
        return Signing(read_private_key(pem, _password))
    except Refused as error:
        raise Refused(f"--sign-key {path}: {error}") from None


def _password() -> str:
    """From the environment, where cosign looks too, else asked on a terminal."""
    given = os.environ.get(PASSWORD)
    if given is not None:
        return given
    if not sys.stdin.isatty():
        raise Refused(f"the key is encrypted: set {PASSWORD}, or run this on a terminal")
    return str(click.prompt("Password of the key", hide_input=True, default="", err=True,
                            show_default=False))  # fmt: skip

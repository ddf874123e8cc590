"""A signed update for Debian's swupdate, made of a few lines: a cpio with a signed description.

Debian builds swupdate with signed images (CMS) and hardware compatibility; see `swupdate(1)` and
"sw-description" in its documentation. The archive is cpio's "new CRC" format (070702).
"""

from __future__ import annotations

import datetime as dt
import hashlib
import subprocess
from functools import cache
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, pkcs7
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

HARDWARE = "test:1.0"
_TRAILER = "TRAILER!!!"


@cache
def options() -> str:
    """What the swupdate of this machine says of its options; each version has others."""
    said = subprocess.run(["swupdate", "--help"], capture_output=True, text=True, check=False)
    return said.stdout + said.stderr


def trusting(certificate: Path) -> tuple[str, ...]:
    """The options for updates that it signed; newer ones have to be told that it is no bare key."""
    cms = ("--digest-provider", "opensslCMS") if "--digest-provider" in options() else ()
    return ("-k", str(certificate), *cms)


class Signer:
    """A key and its certificate, which swupdate trusts with `-k`."""

    def __init__(self) -> None:
        self._key = rsa.generate_private_key(65537, 2048)
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "signer of tests")])
        now = dt.datetime.now(dt.UTC)
        self._certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(self._key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - dt.timedelta(days=1))
            .not_valid_after(now + dt.timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(
                x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION]), critical=False
            )
            .sign(self._key, hashes.SHA256())
        )

    @property
    def certificate(self) -> bytes:
        """PEM."""
        return self._certificate.public_bytes(Encoding.PEM)

    def update(self, payload: bytes, path: str) -> bytes:
        """An update that installs `payload` as the file `path`."""
        description = f"""software =
{{
  version = "1.0.0";
  hardware-compatibility: [ "{HARDWARE.split(":")[1]}" ];
  files: ( {{
    filename = "payload.bin";
    path = "{path}";
    sha256 = "{hashlib.sha256(payload).hexdigest()}";
  }} );
}}
""".encode()
        signature = (
            pkcs7.PKCS7SignatureBuilder()
            .set_data(description)
            .add_signer(self._certificate, self._key, hashes.SHA256())
            .sign(
                Encoding.DER,
                [
                    pkcs7.PKCS7Options.DetachedSignature,
                    pkcs7.PKCS7Options.Binary,
                    pkcs7.PKCS7Options.NoCapabilities,
                ],
            )
        )
        files = {
            "sw-description": description,
            "sw-description.sig": signature,
            "payload.bin": payload,
        }
        entries = [*files.items(), (_TRAILER, b"")]
        archive = b"".join(_entry(number, *entry) for number, entry in enumerate(entries, 1))
        return archive + b"\0" * (-len(archive) % 512)


def _entry(number: int, name: str, content: bytes) -> bytes:
    """One file: a head of hexadecimal fields, its name, and its bytes, each padded to four."""
    regular = name != _TRAILER
    fields = (
        number if regular else 0,
        0o100644 if regular else 0,
        0,
        0,
        1,
        0,
        len(content),
        0,
        0,
        0,
        0,
        len(name) + 1,
        sum(content) & 0xFFFFFFFF,
    )
    head = b"070702" + b"".join(b"%08X" % field for field in fields) + name.encode() + b"\0"
    return head + b"\0" * (-len(head) % 4) + content + b"\0" * (-len(content) % 4)

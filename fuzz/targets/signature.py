"""Any bytes as a signature, a bundle, a file of keys: signed only where a trusted key did it."""

from __future__ import annotations

import base64
import hashlib
import sys
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["otaflux"]):
    from otaflux.errors import Refused, Unsigned
    from otaflux.model.artifact import Digest
    from otaflux.signature.found import BundleBytes, SimpleSigning
    from otaflux.signature.identity import check_root
    from otaflux.signature.keys import parse_keys
    from otaflux.signature.privatekey import read_private_key
    from otaflux.signature.trust import Trust

ASSETS = Path(__file__).resolve().parents[2] / "tests" / "signature" / "assets"
TRUST = Trust(parse_keys((ASSETS / "keys" / "a.pub").read_bytes()))
SUBJECT = Digest("sha256", "0" * 64)  # which nobody signed


def test_one_input(data: bytes) -> None:
    """Judge it as each thing that it could be; nothing may hold, and each reason is printable."""
    body = data[1:]
    digest = Digest("sha256", hashlib.sha256(body).hexdigest())
    try:
        match data[0] % 5 if data else 0:
            case 0:
                TRUST.judge([BundleBytes(body)], SUBJECT)
                raise AssertionError
            case 1:
                signature = base64.b64encode(body[:72]).decode()
                TRUST.judge([SimpleSigning(body, signature, digest)], SUBJECT)
                raise AssertionError
            case 2:
                parse_keys(body)
            case 3:
                read_private_key(body, lambda: "password")
            case _:
                check_root(body)
    except (Unsigned, Refused) as refused:
        assert str(refused).isprintable()
        assert len(str(refused)) < 20_000


def seeds() -> list[bytes]:
    """Real manifests, bundles, payloads and keys."""
    contents = [path.read_bytes() for path in (ASSETS / "content").iterdir()]
    keys = [path.read_bytes() for path in (ASSETS / "keys").iterdir()]
    roots = [path.read_bytes() for path in (ASSETS / "keyless").glob("*/*.json")]
    small = [content for content in contents if len(content) < 4096]
    return [
        *(bytes([kind]) + content for kind in (0, 1) for content in small),
        *(bytes([kind]) + key for kind in (2, 3) for key in keys),
        *(bytes([kind]) + root for kind in (0, 4) for root in roots),
    ]


def main() -> None:
    """Begin with the seeds, then let the fuzzer work."""
    for argument in sys.argv[1:]:
        if Path(argument).is_dir():
            for number, seed in enumerate(seeds()):
                (Path(argument) / f"seed-{number}").write_bytes(seed)
    atheris.Setup(sys.argv, test_one_input)
    atheris.Fuzz()


if __name__ == "__main__":
    main()

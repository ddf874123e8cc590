"""The child's side: a bundle with a certificate, judged with Sigstore's library, offline.

The library verifies chain, log entry, time stamps and envelope. Who may sign is ours: its own
`Identity` policy knows exact names only, and a CI workflow's ends in the tag that it ran for.
"""

from __future__ import annotations

import base64
from functools import lru_cache
from importlib import resources
from typing import Any
from urllib.parse import quote

from cryptography.hazmat import asn1
from cryptography.x509 import (
    Certificate,
    ExtensionNotFound,
    ObjectIdentifier,
    OtherName,
    RFC822Name,
    SubjectAlternativeName,
    UniformResourceIdentifier,
    UnrecognizedExtension,
)
from sigstore.errors import VerificationError
from sigstore.models import Bundle, TrustedRoot
from sigstore.verify import Verifier

from otaflux.files.inmemory import path_to
from otaflux.keyless.logged import UNKNOWN_KIND, LoggedVerifier, check_intoto_entry
from otaflux.keyless.promised import verify_promised
from otaflux.signature.identity import Name
from otaflux.wording import MAX_SENTENCE, plain, quoted

_PUBLIC_INSTANCE = "https://tuf-repo-cdn.sigstore.dev"
# Fulcio's extensions (fulcio `docs/oid-info.md`): the issuer as DER, and as raw text before 2023.
_ISSUER = ObjectIdentifier("1.3.6.1.4.1.57264.1.8")
_ISSUER_RAW = ObjectIdentifier("1.3.6.1.4.1.57264.1.1")
_OTHER_NAME = ObjectIdentifier("1.3.6.1.4.1.57264.1.7")
MOST_NAMES = 16  # that one certificate has; Fulcio gives one


class RootUnreadable(Exception):
    """The trusted root cannot be used: nothing can be judged, and nothing is said of a bundle."""


class _NotTrusted(VerificationError):
    """Its certificate is good, and somebody else's; says whose, fit to be shown."""


class _MaySign:
    """The policy: one of these identities, with that issuer. Remembers whom it let through."""

    def __init__(self, identities: list[Name], issuer: Name) -> None:
        self._identities = identities
        self._issuer = issuer
        self.identity = ""
        self.issuer = ""

    def verify(self, cert: Certificate) -> None:
        """See sigstore's `VerificationPolicy`; raises `VerificationError`."""
        issuer, names = _issuer_of(cert), _names_of(cert)
        shown = quoted(names[0], MAX_SENTENCE) if names else "nobody"
        if not self._issuer.takes(issuer):
            by = f"{shown} of the issuer {quoted(issuer, MAX_SENTENCE)}"
            raise _NotTrusted(f"it was signed by {by}, which is not trusted")
        for name in names:
            if any(identity.takes(name) for identity in self._identities):
                self.identity, self.issuer = name, issuer
                return
        raise _NotTrusted(f"it was signed by {shown}, who is not trusted")


def judge(question: dict[str, Any]) -> dict[str, str]:
    """The answer to one question of the server; see `process`."""
    try:
        verifier = _verifier(base64.b64decode(question["root"]))
    except RootUnreadable as error:
        return {"undecided": str(error)}
    if "bundle" not in question:
        return {"root": "good"}
    policy = _MaySign([Name(text) for text in question["identities"]], Name(question["issuer"]))
    try:
        raw = base64.b64decode(question["bundle"])
        if "payload" in question:  # the old layout's, which is beside its signature
            kind, payload = "", base64.b64decode(question["payload"])
            verify_promised(verifier, raw, payload, policy)
        else:
            kind, payload = _verified(verifier, raw, policy)
    except (OSError, MemoryError) as error:
        return {"undecided": f"a certificate could not be judged: {plain(error)}"}
    except _NotTrusted as error:
        return {"unsigned": str(error)}
    except Exception as error:  # noqa: BLE001 - the library raises many kinds over hostile bytes
        reason = plain(str(error) or type(error).__name__, MAX_SENTENCE)
        return {"unsigned": f"its signature by a certificate does not hold: {reason}"}
    return {
        "identity": policy.identity,
        "issuer": policy.issuer,
        "type": kind,
        "payload": base64.b64encode(payload).decode(),
    }


def _verified(verifier: Verifier, raw: bytes, policy: _MaySign) -> tuple[str, bytes]:
    """The type and payload of a bundle's envelope; raises where anything of it does not hold."""
    bundle = Bundle.from_json(raw)
    try:
        return verifier.verify_dsse(bundle, policy)
    except VerificationError as error:
        if str(error) != UNKNOWN_KIND:
            raise
    return check_intoto_entry(bundle, raw)


@lru_cache(maxsize=2)
def _verifier(root: bytes) -> Verifier:
    """A verifier for a trusted root; empty is that of the public instance."""
    try:
        if not root:
            folder = resources.files("sigstore._store") / quote(_PUBLIC_INSTANCE, safe="")
            root = (folder / "trusted_root.json").read_bytes()
        with path_to(root) as path:
            return LoggedVerifier(trusted_root=TrustedRoot.from_file(path))
    except Exception as error:
        reason = plain(str(error) or type(error).__name__, MAX_SENTENCE)
        raise RootUnreadable(f"the trusted root cannot be used: {reason}") from error


def _names_of(cert: Certificate) -> list[str]:
    """Whom the certificate is for: mail addresses, addresses of workflows, other names."""
    try:
        names = cert.extensions.get_extension_for_class(SubjectAlternativeName).value
    except ExtensionNotFound:
        return []
    found = [
        *names.get_values_for_type(RFC822Name),
        *names.get_values_for_type(UniformResourceIdentifier),
        *(
            _text_in(name.value)
            for name in names.get_values_for_type(OtherName)
            if name.type_id == _OTHER_NAME
        ),
    ]
    return [_fit_to_show(name) for name in found[:MOST_NAMES]]


def _issuer_of(cert: Certificate) -> str:
    """Who said that it is they; empty where the certificate does not say."""
    for oid in (_ISSUER, _ISSUER_RAW):
        try:
            value = cert.extensions.get_extension_for_oid(oid).value
        except ExtensionNotFound:
            continue
        if isinstance(value, UnrecognizedExtension):
            raw = value.value
            return _fit_to_show(_text_in(raw) if oid == _ISSUER else raw.decode(errors="replace"))
    return ""


def _fit_to_show(name: str) -> str:
    """The name itself, which logs and terminals show once it is trusted."""
    if not name.isprintable():
        raise VerificationError(f"a name in its certificate cannot be shown: {quoted(name)}")
    return name


def _text_in(der: bytes) -> str:
    """The text of a DER UTF8String."""
    try:
        text: str = asn1.decode_der(str, der)
    except ValueError:
        raise VerificationError("a name in its certificate cannot be read") from None
    return text

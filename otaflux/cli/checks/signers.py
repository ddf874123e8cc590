"""Who may sign: each key and identity, and whether certificates can be judged here."""

from __future__ import annotations

from collections.abc import Iterator

from otaflux.app.trusted import trusted
from otaflux.cli.checks.finding import Finding, failed, note, works
from otaflux.errors import Undecided
from otaflux.settings import Settings

EVERYBODY = frozenset({".*", ".+", "^.*$", "^.+$"})  # patterns that take every name


def signers(settings: Settings) -> Iterator[Finding]:
    """What is trusted, as the server would have it now. Blocks: identities take a second or two."""
    current = trusted(settings)
    if current is None:
        yield note(
            "signatures",
            "none are asked for: everything in the registry is served",
            "Set COSIGN_PUB_KEY_PATH to serve only what you signed; docs/signing.md says how",
        )
        return
    try:
        trust = current.current()
    except Undecided as error:
        yield failed("signatures", error)
        return
    for line in trust.describe():
        yield works("may sign", line)
    if trust.identities is None:
        return
    for name in (*trust.identities.names, trust.identities.issuer):
        if name.pattern in EVERYBODY:
            yield note(
                f"pattern {name}",
                "takes every name there is",
                "Anybody can have a certificate: write down as much of the name as you can",
            )
    from otaflux.keyless.process import NotaryProcess

    notary = NotaryProcess()
    try:
        notary.check(trust.identities.root)
    except Undecided as error:
        yield failed("certificates", error)
    else:
        root = settings.sigstore_trusted_root_path or "the public instance, as sigstore has it"
        yield works("certificates", f"can be judged, with the root of {root}")
    finally:
        notary.close()

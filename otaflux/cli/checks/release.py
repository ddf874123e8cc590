"""What a server would make of a device's releases: signed by whom, fit or not, and odd in what.

The highest are looked at as a run does it, into a folder that is removed again, and no more than
`MOST_LOOKED` bytes of one are pulled for it.
"""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import assert_never

from otaflux.app.parts import Assembly
from otaflux.cli.checks.finding import Finding, failed, fails, note, works
from otaflux.errors import Undecided, Unusable
from otaflux.model.artifact import Gone, Index, Manifest
from otaflux.model.event import Priority
from otaflux.model.look import AwaitsSignature, HeldBack, Lacking, Look, Unbound, Unfit, Usable
from otaflux.model.names import Device
from otaflux.model.proof import SignatureProof
from otaflux.model.record import Record
from otaflux.reconcile.choice import Candidate
from otaflux.registry.source import Source
from otaflux.state.store import Store

MOST_TAGS = 3  # that are looked at, from the highest down, until one can be served
MOST_LOOKED = 16 << 20  # bytes of a blob that is pulled

SIGN = "Sign it (docs/signing.md), or look at COSIGN_PUB_KEY_PATH and COSIGN_IDENTITY"
MEND = "Correct what the reason says, and push it again or a higher version"
REBUILD = "Build the tag's version into the image, and push it under a higher one"


async def release(
    parts: Assembly, source: Source, device: Device, found: Sequence[Candidate], size: int
) -> AsyncIterator[Finding]:
    """What becomes of the highest of `found`, whose first blob has `size` bytes."""
    if size > MOST_LOOKED:
        async for finding in _signed(parts, source, device, found[0]):
            yield finding
        return
    try:
        with tempfile.TemporaryDirectory(prefix="otaflux-check-") as folder:
            async for finding in _looked_at(parts, source, device, found, Path(folder)):
                yield finding
    except OSError as error:
        yield note(f"releases of {device}", f"not looked into: {error}", "Is there a /tmp?")
    except Undecided as error:
        yield failed(f"releases of {device}", error)


async def _looked_at(
    parts: Assembly, source: Source, device: Device, found: Sequence[Candidate], folder: Path
) -> AsyncIterator[Finding]:
    store = Store(folder)
    store.prepare()
    puller = parts.puller(source, store)
    unsigned = False
    with store.claims() as claims:
        for each in found[:MOST_TAGS]:
            look = await puller.look(
                device,
                each.tag,
                each.version,
                record=Record(device, ""),
                priority=Priority.HOOK,
                claims=claims,
            )
            for finding in _findings(f"release {device}:{each.tag}", look):
                yield finding
            if isinstance(look, Usable):
                return
            unsigned = unsigned or isinstance(look, AwaitsSignature | Unbound)
    if unsigned:
        yield fails(
            f"signed releases of {device}", "none of the highest is one that may be served", SIGN
        )


def _findings(what: str, look: Look) -> list[Finding]:
    match look:
        case Usable(found, proof):
            good = works(what, f"can be served{_signed_by(proof)}")
            return [good, *(note(what, warning, REBUILD) for warning in found.warnings)]
        case AwaitsSignature(_, reason) | Unbound(_, reason):
            return [note(what, f"unsigned, and so not served: {reason}", SIGN)]
        case Unfit(_, reason) | Lacking(_, reason) | HeldBack(reason):
            return [note(what, f"cannot be served: {reason}", MEND)]
        case Gone():
            return [note(what, "was there a moment ago, and is gone")]
        case _:
            assert_never(look)


async def _signed(
    parts: Assembly, source: Source, device: Device, candidate: Candidate
) -> AsyncIterator[Finding]:
    """Of what is too large to be pulled for this, whether it is signed."""
    what = f"release {device}:{candidate.tag}"
    signing = parts.signing(source)
    if not signing.is_needed:
        return
    try:
        artifact = await source.resolve(device, candidate.tag)
        if not isinstance(artifact, Manifest | Index):
            yield note(what, "was there a moment ago, and is gone")
            return
        proof = await signing.proof(device, candidate.version, artifact)
    except Unusable as error:
        yield fails(what, f"unsigned, and so not served: {error}", SIGN)
    except Undecided as error:
        yield failed(what, error)
    else:
        yield works(what, f"is too large to be looked into here{_signed_by(proof)}")


def _signed_by(proof: SignatureProof | None) -> str:
    """Who signed, after a comma; nothing where nobody has to."""
    return f", signed by {', '.join(each.text for each in proof.signers)}" if proof else ""

"""`otaflux verify`: who signed what of a device, by the keys and identities that are set now.

It asks the registry, or the embedded folder, and pulls nothing: manifests and signatures alone. The
judgement is the server's own.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from typing import Any

import click
import msgspec

from otaflux.cli.columns import table
from otaflux.cli.flags import JUDGING, SOURCE, uses
from otaflux.cli.reference import device_and_version
from otaflux.errors import BadSetting, Undecided, Unusable
from otaflux.model.artifact import Gone
from otaflux.model.names import Device
from otaflux.model.proof import SignatureProof
from otaflux.model.signer import IdentitySigner, Signer
from otaflux.model.version import Version
from otaflux.reconcile import choice
from otaflux.reconcile.choice import Candidate
from otaflux.reconcile.signing import SignatureCheck
from otaflux.registry.source import Source, Unchanged
from otaflux.settings import Settings

MOST = 20  # versions of a device that are looked at where none is named, the highest first


class Verified(msgspec.Struct, frozen=True):
    """One tag: who signed it, or why nothing holds. `is_clear` says whether that could be learnt.

    `digest` is empty where the tag could not be resolved.
    """

    candidate: Candidate
    digest: str
    proof: SignatureProof | None
    reason: str = ""
    is_clear: bool = True


@click.command("verify")
@click.argument("device", metavar="DEVICE[:VERSION]")
@click.option("--json", "as_json", is_flag=True, help="JSON instead of a table.")
@uses(*SOURCE, *JUDGING)
def command(settings: Settings, device: str, *, as_json: bool) -> int:
    """Say who signed what of a device, by the keys and identities that are set.

    With VERSION that one, else the highest 20. Exits 0 if a signature holds.
    """
    name, version = device_and_version(device)
    if not settings.ask_for_signatures:
        raise BadSetting(
            "COSIGN_PUB_KEY_PATH: found none, expected a file with keys, or COSIGN_IDENTITY:"
            " without them nothing has to be signed"
        )
    found, left, trusted = asyncio.run(_verified(settings, name, version))
    if as_json:
        releases = [_plain(each) for each in found]
        shown = {"device": name.name, "trusted": trusted, "releases": releases}
        click.echo(json.dumps(shown, indent=2, ensure_ascii=False))
    else:
        click.echo(_table(found))
    if left:
        click.echo(f"otaflux: {left} lower versions were not looked at; name one", err=True)
    return 0 if any(each.proof for each in found) else 1


async def _verified(
    settings: Settings, device: Device, version: Version | None
) -> tuple[list[Verified], int, list[str]]:
    """What was looked at, how many versions were not, and who is trusted."""
    from otaflux.app.parts import Assembly

    parts = Assembly(settings)
    async with parts.open_source(patient=True) as source:
        candidates = choice.candidates((await source.tags(device)).tags)
        if version is not None:
            candidates = tuple(each for each in candidates if each.version == version)
        if not candidates:
            named = f" with version {version}" if version else ""
            raise Undecided(
                f"No releases of device '{device}'{named}",
                hint="`otaflux list` shows what there is",
            )
        most = len(candidates) if version is not None else MOST
        signing = parts.signing(source)
        found = [await _look(source, signing, device, each) for each in candidates[:most]]
        trust = parts.trust()
        return found, max(0, len(candidates) - most), [*trust.describe()] if trust else []


async def _look(
    source: Source, signing: SignatureCheck, device: Device, candidate: Candidate
) -> Verified:
    digest = ""
    try:
        artifact = await source.resolve(device, candidate.tag)
        if isinstance(artifact, Gone | Unchanged):
            return Verified(candidate, digest, None, "it is gone")
        digest = str(artifact.digest)
        proof = await signing.proof(device, candidate.version, artifact)
    except Undecided as error:
        return Verified(candidate, digest, None, error.with_hint, is_clear=False)
    except Unusable as error:
        return Verified(candidate, digest or error.digest, None, str(error))
    return Verified(candidate, digest, proof)


def _table(found: Sequence[Verified]) -> str:
    """A line for each version."""
    rows = [("TAG", "SIGNED", "BY")]
    for each in found:
        state = "yes" if each.proof else "no" if each.is_clear else "unknown"
        signers = each.proof.signers if each.proof else ()
        by = ", ".join(signer.text for signer in signers) or each.reason
        rows.append((each.candidate.tag.text, state, by))
    return table(rows)


def _plain(each: Verified) -> Mapping[str, Any]:
    """One release for programs; `signed_by` is the first of the signers."""
    signers = each.proof.signers if each.proof else ()
    return {
        "tag": each.candidate.tag.text,
        "version": each.candidate.version.text,
        "digest": each.digest or None,
        "signed_by": signers[0].text if signers else None,
        "signers": [_signer(signer) for signer in signers],
        "reason": each.reason or None,
    }


def _signer(signer: Signer) -> Mapping[str, str]:
    if isinstance(signer, IdentitySigner):
        return {"identity": signer.identity, "issuer": signer.issuer}
    return {"key": signer.fingerprint}

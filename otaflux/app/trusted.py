"""Who may sign, as the settings say it: keys and trusted root are read again when they change."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from otaflux.errors import Refused
from otaflux.secret import Current, Fixed, Reread
from otaflux.settings import Settings

if TYPE_CHECKING:
    from otaflux.signature.identity import Notary
    from otaflux.signature.trust import Trust


def trusted(settings: Settings, *, notary: Notary | None = None) -> Current[Trust] | None:
    """Who may sign now; None where neither keys nor identities are set.

    A file that is missing or wrong for a while changes nothing: the last good one stands, which is
    logged. `notary` judges certificates; else a child process does, which is started when it is
    first asked. Not for several threads at once.
    """
    if not settings.ask_for_signatures:
        return None
    if notary is None and settings.cosign_identity:
        from otaflux.keyless.process import NotaryProcess

        notary = NotaryProcess()
    files = {
        "COSIGN_PUB_KEY_PATH": settings.cosign_pub_key_path,
        "SIGSTORE_TRUSTED_ROOT_PATH": settings.sigstore_trusted_root_path
        if settings.cosign_identity
        else None,
    }
    there = {name: path for name, path in files.items() if path is not None}

    def parse(contents: Sequence[bytes]) -> Trust:
        read = dict(zip(there, contents, strict=True))
        try:
            return _trust(settings, read, notary)
        except Refused as error:
            raise ValueError(str(error)) from None

    if not there:
        return Fixed(parse(()))
    return Reread(" and ".join(there), [*there.values()], parse)


def _trust(settings: Settings, files: dict[str, bytes], notary: Notary | None) -> Trust:
    from otaflux.signature.identity import Identities, check_root
    from otaflux.signature.keys import parse_keys
    from otaflux.signature.trust import Trust

    pem, root = files.get("COSIGN_PUB_KEY_PATH"), files.get("SIGSTORE_TRUSTED_ROOT_PATH")
    if root is not None:
        check_root(root)
    identities = None
    if settings.cosign_identity and settings.cosign_issuer is not None:
        identities = Identities(settings.cosign_identity, settings.cosign_issuer, root or b"")
    return Trust(
        keys=parse_keys(pem) if pem is not None else (),
        identities=identities,
        require_bound=settings.require_bound_tag,
        notary=notary,
    )

"""That a manifest was found to be signed, by whom, as a record keeps it."""

from __future__ import annotations

import msgspec

from otaflux.model.signer import Signer


class SignatureProof(msgspec.Struct, frozen=True):
    """Who signed a manifest, of those that were trusted when it was judged; one at least.

    `identities` names the identities, issuer and root by which certificates were judged; it is
    empty where there are none among the signers. `is_bound` says that what was signed names its
    version and its device.
    """

    signers: tuple[Signer, ...]
    identities: str = ""
    is_bound: bool = False

    @property
    def text(self) -> str:
        """For people: who signed."""
        return ", ".join(signer.text for signer in self.signers)

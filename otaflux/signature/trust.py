"""Who may sign, and the judgement: what was found beside a release, against that.

One signature that holds is enough, in either layout, whatever else lies beside it. Where none does,
of all reasons the one is told that says most (see `Flaw`).

Judging by key takes some 0.1 ms for each pair of a signature and a key and holds no lock, but
blocks; with identities it may wait for another process. So `judge` is for a thread.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import assert_never

from otaflux.errors import Undecided, Unsigned
from otaflux.model.artifact import Digest
from otaflux.model.signer import Signer
from otaflux.signature import bundle, simplesigning
from otaflux.signature.certified import as_bundle
from otaflux.signature.flaw import Flaw, Flawed
from otaflux.signature.found import BundleBytes, FoundSignature, SimpleSigning
from otaflux.signature.identity import Identities, Notary, Vouched
from otaflux.signature.keys import PublicKey

NOTHING = "it has no signature"


@dataclass(frozen=True, slots=True)
class Trust:
    """Who may sign. There is at least one key, or identities with a notary who judges them.

    `require_bound` is `REQUIRE_BOUND_TAG`: see `otaflux.signature.binding`.
    """

    keys: tuple[PublicKey, ...] = ()
    identities: Identities | None = None
    require_bound: bool = False
    notary: Notary | None = field(default=None, compare=False, repr=False)

    @property
    def id(self) -> str:
        """A short name for all of it: it differs once anything was added, removed or changed."""
        parts = sorted(key.fingerprint for key in self.keys)
        if self.identities is not None:
            names = sorted(name.text for name in self.identities.names)
            root = hashlib.sha256(self.identities.root).hexdigest()
            parts += ["identities", *names, "issuer", self.identities.issuer.text, root]
        if self.require_bound:
            parts.append("bound")
        whole = b"".join(b"%d:%b" % (len(part.encode()), part.encode()) for part in parts)
        return hashlib.sha256(whole).hexdigest()[:16]

    def describe(self) -> Iterator[str]:
        """What is trusted, for people, one line each."""
        for key in self.keys:
            yield f"{key.kind} key {key.fingerprint}"
        if self.identities is not None:
            for name in self.identities.names:
                yield f"identity {name} (issuer {self.identities.issuer})"

    def judge(self, found: Sequence[FoundSignature], subject: Digest) -> Signer:
        """Who signed the manifest (or index) with the digest `subject`. Blocks.

        Raises `Unsigned` with the reason that says most where nothing holds, `Undecided` where that
        cannot be told now.
        """
        worst: Flawed | None = None
        unclear: Undecided | None = None
        for each in found:
            try:
                return self._judge(each, subject, unclear)
            except Undecided as error:
                unclear = error
            except Flawed as error:
                if worst is None or error.flaw > worst.flaw:
                    worst = error
        if unclear is not None:
            raise unclear
        raise Unsigned(str(worst or NOTHING))

    def _judge(self, found: FoundSignature, subject: Digest, unclear: Undecided | None) -> Signer:
        """Who signed; a notary that was `unclear` once is not asked again, for it may hang."""
        match found:
            case SimpleSigning():
                key = simplesigning.judge(found, subject, self.keys)
                return key or self._vouched(found, unclear).signer
            case BundleBytes(data):
                read = bundle.read_bundle(data)
                if not read.has_certificate:
                    return bundle.judge(read, subject, self.keys)
                bundle.check_content(read.payload_type, read.payload, subject, holds=False)
                vouched = self._vouched(found, unclear)
                bundle.check_content(vouched.payload_type, vouched.payload, subject, holds=True)
                return vouched.signer
            case _:
                assert_never(found)

    def _vouched(self, found: FoundSignature, unclear: Undecided | None) -> Vouched:
        """Who of the identities signed something by a certificate, and what exactly."""
        if self.identities is None or self.notary is None:
            reason = "its signature is by a certificate, and no identity is trusted here"
            raise Flawed(Flaw.NOT_OURS, reason)
        if unclear is not None:
            raise unclear
        try:
            if isinstance(found, SimpleSigning):
                return self.notary.vouch(as_bundle(found), self.identities, found.payload)
            return self.notary.vouch(found.data, self.identities)
        except Unsigned as error:
            raise Flawed(Flaw.NOT_OURS, str(error)) from None

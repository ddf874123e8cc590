"""What a look is about: the one value that its steps are given."""

from __future__ import annotations

from dataclasses import dataclass, replace

from otaflux.model.artifact import Artifact, Digest
from otaflux.model.event import Priority
from otaflux.model.names import Device, Tag
from otaflux.model.record import Record
from otaflux.model.version import Version
from otaflux.reconcile.resolve import Resolved
from otaflux.state.store import Claims


@dataclass(frozen=True, slots=True)
class Subject:
    """The tag that is looked at, what it stands for, and what is known of its device.

    With `anew` its signature is asked for again.
    """

    device: Device
    tag: Tag
    version: Version
    resolved: Resolved
    record: Record
    priority: Priority
    claims: Claims
    anew: bool = False

    @property
    def digest(self) -> Digest:
        """The digest that the tag stands for."""
        return self.resolved.digest

    @property
    def artifact(self) -> Artifact | None:
        """What is behind the digest; None while nobody had to ask for it."""
        return self.resolved.artifact

    @property
    def is_served(self) -> bool:
        """Whether it is told or kept as it is, under this tag."""
        return any(
            (release.tag, release.manifest_digest) == (self.tag, self.digest)
            for release in self.record.served()
        )

    def having(self, artifact: Artifact) -> Subject:
        """The same, once somebody asked for it."""
        return replace(self, resolved=replace(self.resolved, artifact=artifact))

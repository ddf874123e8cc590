"""What is kept up to date and how hard it is tried, as one value of plain values.

The settings say it once; whoever keeps to it is handed all of it. Below this room nobody sees
`Settings`.
"""

from __future__ import annotations

from dataclasses import dataclass

from otaflux.model.names import STABLE, Channel, Namespace
from otaflux.unpack.limits import Limits


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """Which devices, channels and releases there are, and how often they are looked at.

    `channels` are those besides the stable one, `default_channel` is that of polls that name none;
    `keep_versions` releases stay on disk below the current ones. Where channels `never_fall`,
    what one was told is told on until something higher can be. `withdraw_after` is how many seconds
    a tag has to be missing where no hook said that it was deleted. `recheck_interval` is in
    seconds, `registry_rate` in devices a second, `registry_concurrency` in devices at once; the
    embedded folder is looked at each `folder_looks` seconds. A run looks at `most_looks` tags and
    gives its place back. `limits` bound what one artifact may unpack to, and `judged_by` names what
    verdicts depend on.
    """

    namespace: Namespace
    channels: tuple[Channel, ...]
    default_channel: Channel = STABLE
    keep_versions: int
    never_fall: bool = False
    withdraw_after: float
    recheck_interval: float
    registry_rate: float
    registry_concurrency: int
    limits: Limits
    judged_by: str
    folder_looks: float = 1.0
    most_looks: int = 50

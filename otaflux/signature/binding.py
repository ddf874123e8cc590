"""Whether a signed manifest is for this device and version, as far as it names them.

A signature is over a digest, not over a name: without this a registry that was taken over could put
an old signed image under a higher tag, or another device's image under this one's name.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from otaflux.errors import BadName, Unsigned
from otaflux.model.artifact import DEVICE, VERSION
from otaflux.model.names import Device
from otaflux.model.version import Version
from otaflux.wording import quoted


def check_bound(
    device: Device,
    version: Version,
    manifests: Iterable[Mapping[str, str]],
    *,
    required: bool = False,
) -> None:
    """Raise `Unsigned` where a signed manifest names another device or version.

    `manifests` are the annotations of what was signed: the manifest's, or the index's and those of
    its child that is served, which its digest covers. Each has to agree where it names one; with
    `required` (`REQUIRE_BOUND_TAG`) both have to be named by one of them. The verdict is on this
    device and tag, not on the bytes: the same digest may be right under another tag.
    """
    named_device = named_version = False
    for manifest in manifests:
        if name := manifest.get(DEVICE):
            named_device = True
            if name != device.name:
                raise Unsigned(f"it was signed for another device: {DEVICE} is {quoted(name)}")
        if text := manifest.get(VERSION):
            named_version = True
            if not _agrees(text, version):
                raise Unsigned(f"it was signed for another version: {VERSION} is {quoted(text)}")
    if required and not (named_device and named_version):
        missing = [
            key for key, named in ((DEVICE, named_device), (VERSION, named_version)) if not named
        ]
        raise Unsigned(
            f"its signed manifest does not name {' and '.join(missing)}, which REQUIRE_BOUND_TAG"
            " asks for; `otaflux push` sets both"
        )


def _agrees(text: str, version: Version) -> bool:
    try:
        return Version.parse(text) == version
    except BadName:
        return False

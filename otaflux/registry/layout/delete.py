"""Taking a tag out of a layout's `index.json`, under the device's lock. Blocks: for a thread.

Blobs stay: other entries may name them, and other tools' entries are none that OtaFlux could judge.
The last tag leaves an index without entries behind, which says that the device has no release; a
missing index would say nothing.
"""

from __future__ import annotations

from otaflux.errors import NotFound
from otaflux.files import durable
from otaflux.model.names import Device, Tag
from otaflux.registry.layout.writing import Writing


def delete(work: Writing, device: Device, tag: Tag) -> str:
    """Take the tag out; returns the digest that the index had for it, as text.

    Raises `NotFound` where nothing has it, `Undecided` as the disk does.
    """
    missing = NotFound(f"{device} has no tag {tag} in the embedded folder")
    if not work.place.index.exists():
        raise missing
    with work.locked(device):
        index = work.index()
        named = index.find(tag)
        if named is None:
            raise missing
        durable.write(work.place.index, index.without_tag(tag).encode(), disk=work.disk)
    return named.digest_text

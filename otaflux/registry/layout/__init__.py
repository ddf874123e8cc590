"""The embedded folder: one OCI image layout a device, which other tools read and write as well.

`places.py` knows where a device lies, `index.py` reads and edits `index.json`, `source.py` answers
what every source answers, `blob.py` gives verified bytes to a thread, `push.py` writes.

Trust: the folder belongs to whoever runs the server, but it is written by other programs, without
our lock and not always by rename. So nothing in it is believed that its digest does not prove, and
what does not parse is `Undecided`, never empty.

Source of the format: OCI image specification 1.1, `image-layout.md`.
"""

from otaflux.registry.layout.source import Layout

__all__ = ["Layout"]

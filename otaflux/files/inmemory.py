"""A path to bytes, for libraries that read nothing else: in memory where the system can do that.

So what is secret is on no disk a second time, and no folder has to be writable, for a container may
have none. Blocks where the system has no such files.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def path_to(content: bytes) -> Iterator[str]:
    """The path of a file with that content, which is gone when the context ends."""
    if not hasattr(os, "memfd_create"):  # macOS has no such files
        with tempfile.NamedTemporaryFile(prefix="otaflux-") as file:  # nobody else may read it
            file.write(content)
            file.flush()
            yield file.name
        return
    with os.fdopen(os.memfd_create("otaflux"), "wb") as file:
        file.write(content)
        file.flush()
        yield f"/proc/self/fd/{file.fileno()}"

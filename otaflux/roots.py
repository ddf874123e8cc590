"""The system's roots, whose certificates are read once, and where TLS is spoken.

OpenSSL takes some 30 ms to read them. aiohttp does so twice when it is imported, for a context that
checks certificates and for one that does not: a quarter of what a short command takes, also where
the registry has none. So commands are loaded while OpenSSL's own two variables name no roots, and
whoever speaks TLS makes a context when it does. What would use aiohttp's own would trust nobody.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

_WHERE = ("SSL_CERT_FILE", "SSL_CERT_DIR")  # see SSL_CTX_set_default_verify_paths(3)


@contextmanager
def unread() -> Iterator[None]:
    """Have contexts that are made meanwhile know no roots; the environment is the same after it.

    For importing at a process's start: no other thread may look at the environment meanwhile.
    """
    before = {name: os.environ.get(name) for name in _WHERE}
    os.environ.update(dict.fromkeys(_WHERE, os.devnull))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value

"""Certificates of the system's roots are read where TLS is spoken, and nowhere else."""

from __future__ import annotations

import os
import ssl

import pytest

from otaflux import roots


@pytest.mark.parametrize("before", [None, "/etc/ssl/mine.pem"])
def test_nothing_reads_roots_meanwhile(monkeypatch: pytest.MonkeyPatch, before: str | None) -> None:
    """And the environment is what it was, also where loading failed."""
    monkeypatch.setenv("SSL_CERT_DIR", "/etc/ssl/certs")
    if before is None:
        monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    else:
        monkeypatch.setenv("SSL_CERT_FILE", before)
    with pytest.raises(ImportError), roots.unread():  # noqa: PT012 - as an import that fails
        assert not ssl.create_default_context().get_ca_certs()
        raise ImportError
    assert os.environ.get("SSL_CERT_FILE") == before
    assert os.environ["SSL_CERT_DIR"] == "/etc/ssl/certs"

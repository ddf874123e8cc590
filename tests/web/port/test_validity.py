"""When a certificate ends and for whom it is, as OpenSSL's own bindings say it too."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given
from hypothesis import strategies as st

from otaflux.web.port import validity


def test_it_says_what_openssl_says(tmp_path: Path) -> None:
    """The first of a chain, with a key before it in the file, its end and its names."""
    ends = datetime(2049, 12, 31, 23, 59, 58, tzinfo=UTC)
    made = trustme.CA().issue_cert("OTA.example", "*.lab.example", "192.0.2.7", not_after=ends)
    path = tmp_path / "both.pem"
    path.write_bytes(made.private_key_and_cert_chain_pem.bytes())
    found = validity.read(path)
    theirs = x509.load_pem_x509_certificate(made.cert_chain_pems[0].bytes())
    assert (found.begins, found.ends) == (
        theirs.not_valid_before_utc.timestamp(),
        ends.timestamp(),
    )
    assert sorted(found.names) == ["*.lab.example", "192.0.2.7", "ota.example"]
    for name in ("ota.example", "OTA.example.", "a.lab.example", "192.0.2.7"):
        assert found.covers(name), name
    for name in ("example", "lab.example", "a.b.lab.example", "ota.example.org", "192.0.2.8"):
        assert not found.covers(name), name


@pytest.mark.parametrize("year", [1955, 1999, 2026, 2050, 2300])
def test_both_forms_of_time_are_read(year: int) -> None:
    """Two digits of the year until 2049, four from then on; no names where there are none."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([])
    begins = datetime(year, 3, 1, 12, tzinfo=UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(begins)
        .not_valid_after(begins + timedelta(days=10))
        .sign(key, hashes.SHA256())
    )
    found = validity.parse(made.public_bytes(Encoding.DER))
    assert (found.begins, found.ends) == (begins.timestamp(), begins.timestamp() + 864_000)
    assert found.names == ()


DER = x509.load_pem_x509_certificate(
    trustme.CA().issue_cert("ota.example").cert_chain_pems[0].bytes()
).public_bytes(Encoding.DER)


@given(at=st.integers(0, len(DER) - 1), byte=st.integers(0, 255), cut=st.integers(0, len(DER)))
def test_broken_bytes_are_a_value_error(at: int, byte: int, cut: int) -> None:
    """Whatever stands there, nothing else is raised."""
    for broken in (DER[:at] + bytes([byte]) + DER[at + 1 :], DER[:cut]):
        try:
            validity.parse(broken)
        except ValueError:
            continue


def test_a_file_that_is_none(tmp_path: Path) -> None:
    """A file without a certificate raises, and so does one that is not there."""
    (tmp_path / "key.pem").write_text("-----BEGIN PRIVATE KEY-----\n")
    with pytest.raises(ValueError, match="not found"):
        validity.read(tmp_path / "key.pem")
    with pytest.raises(OSError, match="No such file"):
        validity.read(tmp_path / "none.pem")

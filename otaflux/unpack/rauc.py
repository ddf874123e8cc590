"""What a bundle of RAUC says of itself in its manifest, without mounting it. Pure but for `read`.

A bundle is a squashfs, in the format `verity` with its hash tree behind it, then a CMS signature,
then the signature's size as eight bytes, the highest first. In `verity` the manifest lies in the
signature itself; in `plain` it is the file `manifest.raucm` of the squashfs, which is read where it
is compressed with gzip, xz or zstd. Of the format `crypt` nothing can be read, and it does not even
begin as a squashfs. Sources: RAUC's documentation, "Bundle Formats" and "Manifest", and
`src/bundle.c` there; RFC 5652 section 5; GLib's `GKeyFile`. The signature is not checked: only the
board has the key.
"""

from __future__ import annotations

import struct

from otaflux.unpack import squashfs
from otaflux.unpack.squashfs import Read, Unreadable
from otaflux.wording import plain

_SIZE = struct.Struct(">Q")
_MANIFEST = "manifest.raucm"
_MAX_SIGNATURE = 256 << 10  # bytes; a bundle for many encryption keys has more, and no manifest
_SIGNED_DATA = bytes.fromhex("06092a864886f70d010702")  # 1.2.840.113549.1.7.2, as DER
_IS_LONG = 0x80
_SEQUENCE, _SET, _INTEGER, _OID, _OCTETS, _CONTEXT_0 = 0x30, 0x31, 0x02, 0x06, 0x04, 0xA0
MAX_VERSION = 64  # characters


def is_bundle(read: Read, size: int, used: int) -> bool:
    """Whether a file of that size, a squashfs of `used` bytes first, ends with a signature."""
    signature = _signature(read, size, used, most=2 * _SIZE.size + len(_SIGNED_DATA))
    return signature[:1] == bytes([_SEQUENCE]) and _SIGNED_DATA in signature


def version_of(read: Read, size: int, used: int) -> str:
    """The version in a bundle's manifest; empty where there is none, or none that can be read."""
    try:
        manifest = _content(_signature(read, size, used, most=_MAX_SIGNATURE))
        if not manifest:
            manifest = squashfs.file_in(read, _MANIFEST)
    except Unreadable:
        return ""
    return plain(_value(manifest.decode("utf-8", "replace"), "update", "version"), MAX_VERSION)


def _signature(read: Read, size: int, used: int, *, most: int) -> bytes:
    """The signature, or what of it is read; empty where there is none."""
    if size < used + _SIZE.size:
        return b""
    tail = read(_SIZE.size, size - _SIZE.size)
    if len(tail) < _SIZE.size:
        return b""
    (length,) = _SIZE.unpack(tail)
    start = size - _SIZE.size - length
    return read(min(length, most), start) if length and start >= used else b""


def _content(signature: bytes) -> bytes:
    """What is signed, where the signature holds it; empty where it lies elsewhere."""
    try:
        info = _inside(signature, _SEQUENCE)
        signed = _inside(_inside(_behind(info, _OID), _CONTEXT_0), _SEQUENCE)
        content = _inside(_behind(signed, _INTEGER, _SET), _SEQUENCE)
        held = _behind(content, _OID)
        return _inside(_inside(held, _CONTEXT_0), _OCTETS) if held else b""
    except IndexError:
        raise Unreadable("its signature is damaged") from None


def _behind(der: bytes, *tags: int) -> bytes:
    """What follows those elements."""
    for tag in tags:
        der = _element(der, tag)[1]
    return der


def _inside(der: bytes, tag: int) -> bytes:
    return _element(der, tag)[0]


def _element(der: bytes, tag: int) -> tuple[bytes, bytes]:
    """The content of a DER element, and what follows it (X.690 section 8.1)."""
    if der[0] != tag:
        raise IndexError
    length, start = der[1], 2
    if length & _IS_LONG:
        start += length & ~_IS_LONG
        length = int.from_bytes(der[2:start], "big")
    if der[1] == _IS_LONG or start + length > len(der):  # the first is a length that is not told
        raise IndexError
    return der[start : start + length], der[start + length :]


def _value(text: str, group: str, key: str) -> str:
    """A value of a key file; empty where there is none."""
    inside = ""
    for line in map(str.strip, text.splitlines()):
        if line.startswith("[") and line.endswith("]"):
            inside = line[1:-1]
        elif inside == group and line.partition("=")[0].strip() == key:
            return line.partition("=")[2].strip()
    return ""

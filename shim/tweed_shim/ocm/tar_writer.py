"""Tars with the same bytes for the same content, at any time and on any host: their digests are compared.

The headers are written here (POSIX ustar, IEEE Std 1003.1, "pax"), because those of Python's tarfile differ between
its versions. Modes and times are those of the reference implementation.
"""

import zlib
from collections.abc import Callable, Iterable, Iterator

from tweed_shim.base.records import Record
from tweed_shim.ocm.blob_access import Blob

BLOCK = 512
RECORD = 10_240
WRITTEN = 1_640_995_200  # 2022-01-01T00:00:00Z
FILE_MODE = 0o644
DIRECTORY_MODE = 0o755
LARGEST_OCTAL = 0o77777777777
LONGEST_NAME = 100
GZIP_LEVEL = 6

Pieces = Iterable[bytes]


class TarMember(Record):
    """A file of an archive, or a directory where `pieces` is None; `pieces` returns the `size` bytes of the content."""

    name: str
    size: int = 0
    pieces: Callable[[], Pieces] | None = None


def header(name: str, size: int, *, directory: bool = False, mode: int | None = None) -> bytes:
    """Return one header block. Raises ValueError for a name of more than 100 bytes; ours are shorter."""
    encoded = name.encode()
    if len(encoded) > LONGEST_NAME:
        raise ValueError(f"the name {name!r} is too long for a tar header")
    if mode is None:
        mode = DIRECTORY_MODE if directory else FILE_MODE
    length = b"%011o\0" % size if size <= LARGEST_OCTAL else b"\x80" + size.to_bytes(11, "big")
    owner = b"%07o\0" % 0
    block = b"".join(
        (
            encoded.ljust(100, b"\0"),
            b"%07o\0" % mode,
            owner * 2,
            length,
            b"%011o\0" % WRITTEN,
            b" " * 8,
            b"5" if directory else b"0",
            bytes(100),
            b"ustar\x0000",
            bytes(64),
            owner * 2,
            bytes(167),
        )
    )
    checksum = b"%06o\0 " % sum(block)
    return block[:148] + checksum + block[156:]


def member(name: str, blob: Blob) -> TarMember:
    """Return a file of an archive with the content of a blob."""
    return TarMember(name, blob.size, blob.pieces)


def archive_pieces(members: Iterable[TarMember]) -> Iterator[bytes]:
    """Yield the bytes of an archive in pieces."""
    for member in members:
        yield header(member.name, member.size, directory=member.pieces is None)
        if member.pieces is not None:
            yield from member.pieces()
            yield bytes(-member.size % BLOCK)
    yield bytes(2 * BLOCK)


def gzip_pieces(pieces: Pieces, level: int = GZIP_LEVEL) -> Iterator[bytes]:
    """Compress pieces with gzip (RFC 1952), without a name and a time in the header. level 0: wrap them only."""
    compressor = zlib.compressobj(level, zlib.DEFLATED, zlib.MAX_WBITS | 16)
    for piece in pieces:
        if data := compressor.compress(piece):
            yield data
    yield compressor.flush()

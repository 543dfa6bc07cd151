"""Tar archives written with the same bytes for the same content, whoever writes them and when.

The headers are made here (POSIX ustar, IEEE Std 1003.1, "pax"): those of Python's tarfile differ between its
versions. Modes and times are those that the reference's archives have.
"""

import zlib
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

BLOCK = 512
RECORD = 10_240
WRITTEN = 1_640_995_200  # 2022-01-01T00:00:00Z
FILE_MODE = 0o644
DIRECTORY_MODE = 0o755
LARGEST_OCTAL = 0o77777777777
LONGEST_NAME = 100
GZIP_LEVEL = 6

Pieces = Iterable[bytes]


class Member(NamedTuple):
    """A file of an archive, or with `pieces` None a directory; `pieces` gives the `size` bytes of its content."""

    name: str
    size: int = 0
    pieces: Callable[[], Pieces] | None = None


def header(name: str, size: int, *, directory: bool = False, mode: int | None = None) -> bytes:
    """One header block. Names are at most 100 bytes long, which is more than any archive of ours has."""
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


def archive(members: Iterable[Member]) -> Iterator[bytes]:
    """The bytes of an archive, piece by piece."""
    for member in members:
        yield header(member.name, member.size, directory=member.pieces is None)
        if member.pieces is not None:
            yield from member.pieces()
            yield bytes(-member.size % BLOCK)
    yield bytes(2 * BLOCK)


def compressed(pieces: Pieces, level: int = GZIP_LEVEL) -> Iterator[bytes]:
    """The pieces as gzip (RFC 1952), without a name and a time in it; with level 0 they are only wrapped."""
    compressor = zlib.compressobj(level, zlib.DEFLATED, zlib.MAX_WBITS | 16)
    for piece in pieces:
        if data := compressor.compress(piece):
            yield data
    yield compressor.flush()

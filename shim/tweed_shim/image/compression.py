"""Detects how a layer is compressed, and expands it within limits.

The first bytes decide, not the media type: old tools wrote wrong media types, and the digest of the content (the diff
id) is verified in any case.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import IO

from tweed_shim.errors import ImageError

HEAD = 4
MAGIC = {b"\x1f\x8b": "gzip", b"\x28\xb5\x2f\xfd": "zstd"}
# zstd's skippable frames, which seekable zstd files may begin with (RFC 8878, section 3.1.2).
SKIPPABLE = {bytes([0x50 + number, 0x2A, 0x4D, 0x18]) for number in range(16)}
# The default limit of the zstd program.
LARGEST_WINDOW = 128 * 1024 * 1024
LARGEST_CONTENT = 64 * 1024**3
PIECE = 1024 * 1024


def detect(head: bytes) -> str:
    """Return `gzip`, `zstd` or `none`. head: the first HEAD bytes."""
    if head[:HEAD] in SKIPPABLE:
        return "zstd"
    return next((how for magic, how in MAGIC.items() if head.startswith(magic)), "none")


class Damaged(Exception):
    """The compressed data is damaged."""


def _gzip(pieces: Iterable[bytes]) -> Iterator[bytes]:
    import gzip
    import zlib

    # The type stubs require a complete IO object; GzipFile calls only its read method.
    with gzip.GzipFile(fileobj=_Reader(pieces), mode="rb") as stream:  # type: ignore[call-overload]
        while data := _read(stream, (EOFError, gzip.BadGzipFile, zlib.error)):
            yield data


def _zstd(pieces: Iterable[bytes]) -> Iterator[bytes]:
    import zstandard

    decoder = zstandard.ZstdDecompressor(max_window_size=LARGEST_WINDOW)
    # As above.
    with decoder.stream_reader(_Reader(pieces), read_across_frames=True) as stream:  # type: ignore[arg-type]
        while data := _read(stream, (zstandard.ZstdError,)):
            yield data


def _read(stream: IO[bytes], faults: tuple[type[Exception], ...]) -> bytes:
    try:
        return stream.read(PIECE)
    except faults as error:
        raise Damaged(str(error)) from error


DECODERS: dict[str, Callable[[Iterable[bytes]], Iterable[bytes]]] = {"gzip": _gzip, "zstd": _zstd}


class _Reader:
    """Makes a file object, for decoders, of pieces."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._pieces = iter(pieces)
        self._rest = b""

    def read(self, count: int = PIECE) -> bytes:
        self._rest = self._rest or next(self._pieces, b"")
        data, self._rest = self._rest[:count], self._rest[count:]
        return data


def expand(pieces: Iterable[bytes], how: str, what: str) -> Iterator[bytes]:
    """Yield the content of compressed pieces. how: from `detect`. what: the name of the data in errors.

    Raises ImageError where the data is damaged, needs too much memory or expands to more than 64 GiB.
    """
    total = 0
    try:
        for piece in DECODERS[how](pieces):
            total += len(piece)
            if total > LARGEST_CONTENT:
                raise ImageError(
                    f"{what} expands to more than 64 GiB, which is not unpacked; use a smaller image"
                )
            yield piece
    except Damaged as error:
        raise ImageError(
            f"{what} is damaged: its {how} data cannot be read ({error}); fetch it again"
        ) from error

"""How a layer is compressed, told from its first bytes, and its content, with bounds.

The bytes decide and not the media type: tools of the past have mislabelled layers, and the digest of the
content (the diff id) is verified in either case.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import IO

from tweed_shim.errors import ImageError

HEAD = 4
MAGIC = {b"\x1f\x8b": "gzip", b"\x28\xb5\x2f\xfd": "zstd"}
# zstd's skippable frames, with which seekable kinds of it may begin: RFC 8878, 3.1.2.
SKIPPABLE = {bytes([0x50 + number, 0x2A, 0x4D, 0x18]) for number in range(16)}
# What the zstd program itself takes without being told otherwise.
LARGEST_WINDOW = 128 * 1024 * 1024
LARGEST_CONTENT = 64 * 1024**3
PIECE = 1024 * 1024


def detect(head: bytes) -> str:
    """`gzip`, `zstd` or `none`, from the first HEAD bytes."""
    if head[:HEAD] in SKIPPABLE:
        return "zstd"
    return next((how for magic, how in MAGIC.items() if head.startswith(magic)), "none")


class Damaged(Exception):
    """Compressed data cannot be read."""


def _gzip(pieces: Iterable[bytes]) -> Iterator[bytes]:
    import gzip
    import zlib

    # The stubs ask for a whole IO object; reading takes its one method.
    with gzip.GzipFile(fileobj=_Reader(pieces), mode="rb") as stream:  # type: ignore[call-overload]
        while data := _read(stream, (EOFError, gzip.BadGzipFile, zlib.error)):
            yield data


def _zstd(pieces: Iterable[bytes]) -> Iterator[bytes]:
    import zstandard

    decoder = zstandard.ZstdDecompressor(max_window_size=LARGEST_WINDOW)
    # Likewise.
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
    """The pieces as the file object that decoders read from."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._pieces = iter(pieces)
        self._rest = b""

    def read(self, count: int = PIECE) -> bytes:
        self._rest = self._rest or next(self._pieces, b"")
        data, self._rest = self._rest[:count], self._rest[count:]
        return data


def expand(pieces: Iterable[bytes], how: str, what: str) -> Iterator[bytes]:
    """Yield the content of compressed bytes, piece by piece; `what` names them in errors.

    Raises ImageError where they are damaged, want more memory than is fit, or expand to more than 64 GiB.
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

"""Layers without PAX global headers (pax(1), typeflag `g`), with which each archive of `git archive` begins.

No tool for images gives them a meaning: docker and containerd pass over them, and umoci 0.4.7 refuses the layer. What
else a tar holds stays as it is, byte for byte.
"""

from collections.abc import Iterable, Iterator

from tweed_shim.letters import decimal

BLOCK = 512
GLOBAL, EXTENDED, SPARSE = b"g", b"x", b"S"
# Links, devices, directories and pipes have no content, whatever their size is.
NO_CONTENT = frozenset((b"1", b"2", b"3", b"4", b"5", b"6"))
LARGEST_EXTENDED = 1 << 20


class _Stream:
    """Pieces of bytes, read by length."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._pieces = iter(pieces)
        self._rest = b""

    def take(self, count: int) -> Iterator[bytes]:
        """Yield the next `count` bytes, fewer where they end before."""
        while count > 0 and (piece := self._rest or next(self._pieces, b"")):
            taken, self._rest = piece[:count], piece[count:]
            count -= len(taken)
            yield taken

    def read(self, count: int) -> bytes:
        return b"".join(self.take(count))

    def all(self) -> Iterator[bytes]:
        yield self._rest
        yield from self._pieces


def without_global_headers(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Yield a tar without its global headers; what is no tar comes out as it went in, from there on."""
    stream = _Stream(pieces)
    extended: int | None = None
    while len(header := stream.read(BLOCK)) == BLOCK and (size := _number(header[124:136])) is not None:
        kind = header[156:157]
        if kind == GLOBAL:
            for _ in stream.take(_padded(size)):
                pass
            continue
        yield header
        if kind == EXTENDED:
            if size > LARGEST_EXTENDED:
                break
            body = stream.read(_padded(size))
            extended = _extended_size(body[:size], extended)
            yield body
            continue
        if kind == SPARSE:
            yield from _sparse_maps(header, stream)
        if kind not in NO_CONTENT:
            yield from stream.take(_padded(size if extended is None or kind in (b"L", b"K") else extended))
        if kind not in (b"L", b"K"):
            extended = None
    else:
        yield header
    yield from stream.all()


def _padded(size: int) -> int:
    return -(-size // BLOCK) * BLOCK


def _number(field: bytes) -> int | None:
    """Read a size: octal, or GNU's binary form; None for the zeros that end a tar, and for what is no number."""
    if field[:1] == b"\x80":
        return int.from_bytes(field[1:], "big")
    digits = field.strip(b"\0 ")
    # An empty field is all that tells the zeros at the end from a header with no content: that has "0".
    return int(digits, 8) if digits and not digits.strip(b"01234567") else None


def _extended_size(body: bytes, default: int | None) -> int | None:
    """Read the size in records `LENGTH KEY=VALUE\\n` of an extended header, which comes in the place of the field's."""
    while body:
        length, blank, _ = body.partition(b" ")
        end = decimal(length.decode("latin-1")) or 0
        if not blank or not 0 < end <= len(body):
            break
        key, _, value = body[len(length) + 1 : end].rstrip(b"\n").partition(b"=")
        if key == b"size" and (size := decimal(value.decode("latin-1"))) is not None:
            default = size
        body = body[end:]
    return default


def _sparse_maps(header: bytes, stream: _Stream) -> Iterator[bytes]:
    """Yield the blocks between the header of a sparse file of GNU tar and its content."""
    more = header[482:483] != b"\0"
    while more and len(block := stream.read(BLOCK)) == BLOCK:
        yield block
        more = block[504:505] != b"\0"

"""The bodies of answers: read with bounds, as they came or as they were before somebody compressed them on the way."""

import zlib
from collections.abc import Iterable, Iterator

import requests

from tweed_shim.http.network_faults import PassingFault, explained, host_of

CHUNK = 128 << 10
GZIP = b"\x1f\x8b"
GZIP_FORMAT = 16 + zlib.MAX_WBITS  # as zlib calls it


def read_all(response: requests.Response, limit: int) -> bytes | None:
    """Read the body; return None where it is longer than `limit` bytes. Closes the response.

    Compression on the way is undone, though nobody asked for it. Raises PassingFault where it is damaged.
    """
    with explained(host_of(response.url)), response:
        body = b""
        while len(body) <= limit and (chunk := response.raw.read1(CHUNK, decode_content=False)):
            body += chunk
    if len(body) <= limit and is_compressed(response) and body.startswith(GZIP):
        body = b"".join(decompressed([body], limit + 1, host_of(response.url)))
    return body if len(body) <= limit else None


def is_compressed(response: requests.Response) -> bool:
    """Tell whether a server says that it compressed a body for the way."""
    return response.headers.get("Content-Encoding", "").strip().lower() in ("gzip", "x-gzip")


def decompressed(chunks: Iterable[bytes], limit: int, host: str) -> Iterator[bytes]:
    """Undo compression on the way, for at most `limit` bytes. Raises PassingFault where it is damaged."""
    decoder = zlib.decompressobj(GZIP_FORMAT)
    try:
        for chunk in chunks:
            while limit > 0 and (chunk or decoder.unconsumed_tail):
                piece = decoder.decompress(decoder.unconsumed_tail + chunk, min(limit, CHUNK))
                chunk, limit = b"", limit - len(piece)
                if not piece:
                    break
                yield piece
    except zlib.error:
        raise PassingFault(f"the answer of the registry {host} is damaged: try again") from None


def read_chunks(response: requests.Response) -> Iterator[bytes]:
    """Yield the body as it comes, undecoded."""
    while True:
        with explained(host_of(response.url)):
            chunk: bytes = response.raw.read1(CHUNK, decode_content=False)
        if not chunk:
            return
        yield chunk

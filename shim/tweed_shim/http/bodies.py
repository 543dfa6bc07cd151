"""Response bodies, read within limits: as the server sent them, or with their Content-Encoding undone.

The client asks for no Content-Encoding. Some servers and proxies compress a body all the same.
"""

import zlib
from collections.abc import Iterable, Iterator

import requests

from tweed_shim.http.network_faults import PassingFault, explained, host_of

CHUNK = 128 << 10
GZIP = b"\x1f\x8b"
# zlib reads the gzip format where 16 is added to the window size (zlib.h, inflateInit2).
GZIP_FORMAT = 16 + zlib.MAX_WBITS


def read_all(response: requests.Response, limit: int) -> bytes | None:
    """Read the body and close the response; return None where the body is longer than `limit` bytes.

    Undoes a gzip Content-Encoding. Raises PassingFault where the compressed data is damaged.
    """
    with explained(host_of(response.url)), response:
        body = b""
        while len(body) <= limit and (chunk := response.raw.read1(CHUNK, decode_content=False)):
            body += chunk
    if len(body) <= limit and is_compressed(response) and body.startswith(GZIP):
        body = b"".join(decompressed([body], limit + 1, host_of(response.url)))
    return body if len(body) <= limit else None


def is_compressed(response: requests.Response) -> bool:
    """Tell whether the response states a gzip Content-Encoding."""
    return response.headers.get("Content-Encoding", "").strip().lower() in ("gzip", "x-gzip")


def decompressed(chunks: Iterable[bytes], limit: int, host: str) -> Iterator[bytes]:
    """Yield the gzip-decoded chunks, at most `limit` bytes in all. Raises PassingFault where the data is damaged."""
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
        raise PassingFault(f"the response of the registry {host} is damaged; try again") from None


def read_chunks(response: requests.Response) -> Iterator[bytes]:
    """Yield the chunks of the body as they arrive, without decoding them."""
    while True:
        with explained(host_of(response.url)):
            chunk: bytes = response.raw.read1(CHUNK, decode_content=False)
        if not chunk:
            return
        yield chunk

"""The lowest rate at which a server has to send.

A timeout for each read does not limit the whole transfer: it starts again with every byte. So the bytes of a response,
its header included, are counted over the time spent in reads. Time between two reads, such as writing to a slow disk,
does not count.
"""

import io
import time
from http.client import HTTPResponse
from typing import Any

from tweed_shim.base.records import Record


class TooSlow(TimeoutError):
    """A server sends at less than the lowest rate."""


class LowestRate(Record):
    """At least `bytes_per_second` on average, over each `seconds` spent in reads."""

    bytes_per_second: int = 1024
    seconds: float = 60.0


class _MeteredReader(io.RawIOBase):
    """A raw stream that measures the bytes and the time of its reads."""

    def __init__(self, raw: io.RawIOBase, lowest: LowestRate) -> None:
        self._raw = raw
        self._lowest = lowest
        self._waited = 0.0
        self._received = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        """Read as io.RawIOBase does. Raises TooSlow."""
        before = time.monotonic()
        count = self._raw.readinto(buffer)
        self._waited += time.monotonic() - before
        self._received += count or 0
        if self._waited >= self._lowest.seconds:
            if self._received < self._lowest.bytes_per_second * self._waited:
                raise TooSlow
            self._waited, self._received = 0.0, 0
        return count

    def close(self) -> None:
        self._raw.close()
        super().close()


def metered_response(lowest: LowestRate) -> type[HTTPResponse]:
    """Return a response class for http.client that raises TooSlow while a response is read."""

    class MeteredResponse(HTTPResponse):
        def __init__(self, *args: Any, **options: Any) -> None:
            super().__init__(*args, **options)
            self.fp = io.BufferedReader(_MeteredReader(self.fp.detach(), lowest))

    return MeteredResponse

"""The lowest rate at which a server has to answer.

A time-out for each read is none for the whole: it begins anew with every byte. So what comes of an answer, its header
included, is counted over the time that was spent waiting for it. What the caller does between two reads (writing to
a slow disk) does not count.
"""

import io
import time
from http.client import HTTPResponse
from typing import Any, NamedTuple


class TooSlow(TimeoutError):
    """A server sends less than the lowest rate."""


class LowestRate(NamedTuple):
    """At least `bytes_per_second` on average, over each `seconds` that are spent waiting."""

    bytes_per_second: int = 1024
    seconds: float = 60.0


class _MeteredReader(io.RawIOBase):
    """What comes from a connection, measured while it is waited for."""

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
    """Make a class of answers, for http.client, that raise TooSlow while they are read."""

    class MeteredResponse(HTTPResponse):
        def __init__(self, *args: Any, **options: Any) -> None:
            super().__init__(*args, **options)
            self.fp = io.BufferedReader(_MeteredReader(self.fp.detach(), lowest))

    return MeteredResponse

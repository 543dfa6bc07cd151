"""Where the bytes of a run go: a bounded result, a bounded log, and the shim's own streams."""

import errno
import os
from io import FileIO

from tweed_shim.base.files import PRIVATE_FILE
from tweed_shim.base.lean.typing import Protocol
from tweed_shim.runtime import log_space
from tweed_shim.runtime.log_space import LogSpace

LOG_HEAD = LOG_TAIL = 32 << 20
SHOWN_PENDING = 64 << 10
# A pipe that poll(2) calls writable takes this much without blocking: pipe(7), PIPE_BUF.
WRITE_WITHOUT_BLOCKING = 4096
COPY = 1 << 20


class Sink(Protocol):
    """Takes the bytes of a stream."""

    def write(self, data: bytes) -> None:
        """Take more bytes."""


class Result:
    """Captures a stream, up to `limit` bytes. What comes after is dropped, and `overflow` is set."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._data = bytearray()
        self.overflow = False

    def write(self, data: bytes) -> None:
        """Take more bytes."""
        room = self._limit - len(self._data)
        self.overflow = self.overflow or len(data) > room
        self._data += data[:room]

    def value(self) -> bytes:
        """Return all bytes that were captured."""
        return bytes(self._data)


class Log:
    """A file with the beginning and the end of what is written to it, and a line that says how much is missing.

    The file is made with the first byte. `close` brings it into its final form. Until then the end of a long log is in
    a second file, a ring: when it is full, new bytes replace the oldest. limit: what all logs of the store may take
    together, bytes; see log_space.py. Without a limit a log has the first `head` and the last `tail` bytes.
    """

    def __init__(
        self, path: str, *, head: int = LOG_HEAD, tail: int = LOG_TAIL, limit: int | None = None
    ) -> None:
        self._path = path
        self._head = head
        self._tail = tail
        self._limit = limit
        self._space: LogSpace | None = None
        self._is_long = limit is None
        self._written = 0
        self._is_growing = False
        self._file = -1
        self._ring = -1

    def write(self, data: bytes) -> None:
        """Take more bytes. Raises OSError where the disk has no room for them."""
        if self._file < 0:
            self._begin()
        if not self._is_long and self._written + len(data) > self._head:
            self._become_long()
        if self._is_growing and self._space and not self._space.has_disk():
            self._stop_growing(self._space)
        room = max(0, self._head - self._written)
        _write_all(self._file, data[:room])
        self._written += min(room, len(data))
        if rest := data[room:]:
            self._write_ring(rest)

    def _begin(self) -> None:
        self._file = self._open(self._path)
        if self._limit is not None:
            # ROOT/runs/N/log
            self._space = log_space.LogSpace(os.path.dirname(os.path.dirname(self._path)), self._limit)
            self._space.take_short()
            self._set_size(self._space.short)

    def _become_long(self) -> None:
        self._is_long = True
        if self._space and self._space.take_long():
            self._is_growing = True
            self._set_size(self._space.longest)

    def _stop_growing(self, space: LogSpace) -> None:
        """Keep the beginning, and only the last bytes from here on. Raises OSError where this log filled the disk."""
        if self._ring >= 0 or self._written >= space.left:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), self._path)
        self._is_growing = False
        self._head, self._tail = self._written, space.short // 2

    def _set_size(self, size: int) -> None:
        """Divide the size that the log may have between its beginning and its end."""
        self._head = size - size // 2
        self._tail = size // 2

    def _open(self, path: str) -> int:
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, PRIVATE_FILE)

    def _write_ring(self, data: bytes) -> None:
        if self._ring < 0:
            self._ring = self._open(f"{self._path}.tail")
        skipped = max(0, len(data) - self._tail)
        self._written += skipped
        data = data[skipped:]
        while data:
            offset = (self._written - self._head) % self._tail
            count = os.pwrite(self._ring, data[: self._tail - offset], offset)
            self._written += count
            data = data[count:]

    def close(self) -> None:
        """Append the end of a long log to its beginning, with a line between them that says what is missing."""
        if self._ring >= 0:
            beyond = self._written - self._head
            if beyond > self._tail:
                _write_all(self._file, b"\n[... %d bytes are missing here ...]\n" % (beyond - self._tail))
                oldest = beyond % self._tail
                self._copy_ring(oldest, self._tail)
                self._copy_ring(0, oldest)
            else:
                self._copy_ring(0, beyond)
            os.close(self._ring)
            os.unlink(f"{self._path}.tail")
        if self._file >= 0:
            os.close(self._file)
        self._file = self._ring = -1

    def _copy_ring(self, start: int, end: int) -> None:
        while start < end:
            chunk = os.pread(self._ring, min(COPY, end - start), start)
            _write_all(self._file, chunk)
            start += len(chunk)


class Shown:
    """One of the shim's own streams. Bytes that it cannot take at once wait, so that a slow reader blocks nothing."""

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self._pending = bytearray()
        self._open = True

    @property
    def waiting(self) -> bool:
        """Whether there is something to write once the stream can take it."""
        return bool(self._pending)

    @property
    def full(self) -> bool:
        """Whether no more should be read for it until it has taken some."""
        return len(self._pending) >= SHOWN_PENDING

    def write(self, data: bytes) -> None:
        """Take more bytes. They are dropped where the stream's reader is gone, or SHOWN_PENDING bytes wait already."""
        if self._open and not self.full:
            self._pending += data

    def flush_some(self) -> None:
        """Write a part, when poll(2) has said that the stream can take it."""
        try:
            count = os.write(self.fd, self._pending[:WRITE_WITHOUT_BLOCKING])
        except BlockingIOError:
            return
        except OSError:
            self._open = False
            count = len(self._pending)
        del self._pending[:count]


class Feed:
    """Data for a pipe that another process reads: written when the pipe can take it; then the pipe is closed."""

    def __init__(self, pipe: FileIO, data: bytes) -> None:
        self._pipe = pipe
        self.fd = pipe.fileno()
        os.set_blocking(self.fd, False)
        self._rest = memoryview(data)

    def feed_some(self) -> bool:
        """Write a part, when poll(2) has said that the pipe can take it; return False when no more is to be written."""
        try:
            self._rest = self._rest[os.write(self.fd, self._rest) :]
        except BlockingIOError:
            return True
        except BrokenPipeError:
            return False  # the program has closed its stdin without reading all of it
        return len(self._rest) > 0

    def close(self) -> None:
        """Close the pipe, so that its reader sees the end."""
        self._pipe.close()


def _write_all(fd: int, data: bytes) -> None:
    while data:
        data = data[os.write(fd, data) :]

"""Sees names change in directories: inotify(7)."""

import ctypes
import os
import struct


class Watch:
    """Counts the changes of names in directories."""

    _CHANGES = 0x00000040 | 0x00000080 | 0x00000100 | 0x00000200  # MOVED_FROM, MOVED_TO, CREATE, DELETE
    _EVENT = struct.Struct("iIII")

    def __init__(self, directories: list[str]) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True)
        self.fd = self._libc.inotify_init1(os.O_CLOEXEC | os.O_NONBLOCK)
        if self.fd < 0:
            raise OSError(ctypes.get_errno(), "inotify_init1")
        for path in directories:
            self._libc.inotify_add_watch(self.fd, os.fsencode(path), self._CHANGES)

    def __enter__(self) -> "Watch":
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self.fd)

    def changes(self) -> int:
        """How many there were since this was called last."""
        count = 0
        try:
            while data := os.read(self.fd, 65536):
                at = 0
                while at < len(data):
                    at += self._EVENT.size + self._EVENT.unpack_from(data, at)[3]
                    count += 1
        except BlockingIOError:
            pass
        return count

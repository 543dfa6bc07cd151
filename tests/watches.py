"""Sees names change in directories: inotify(7)."""

import ctypes
import os
import struct
from collections.abc import Sequence


class Watch:
    """Counts the changes of names in directories."""

    _CHANGES = 0x00000040 | 0x00000080 | 0x00000100 | 0x00000200  # MOVED_FROM, MOVED_TO, CREATE, DELETE
    _COMES = 0x00000080 | 0x00000100  # MOVED_TO, CREATE
    _IS_DIRECTORY = 0x40000000
    _EVENT = struct.Struct("iIII")

    def __init__(self, directories: Sequence[str], growing: Sequence[str] = ()) -> None:
        """growing: directories that are watched with those that come into being in them while changes are counted."""
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._growing: dict[int, str] = {}
        self.fd = self._libc.inotify_init1(os.O_CLOEXEC | os.O_NONBLOCK)
        if self.fd < 0:
            raise OSError(ctypes.get_errno(), "inotify_init1")
        for path in directories:
            self._add(path)
        for path in growing:
            self._grow(path)

    def _add(self, path: str) -> int:
        watch: int = self._libc.inotify_add_watch(self.fd, os.fsencode(path), self._CHANGES)
        return watch

    def _grow(self, path: str) -> None:
        if (watch := self._add(path)) >= 0:
            self._growing[watch] = path

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
                    watch, mask, _, length = self._EVENT.unpack_from(data, at)
                    at += self._EVENT.size
                    if mask & self._IS_DIRECTORY and mask & self._COMES and watch in self._growing:
                        name = data[at : at + length].rstrip(b"\0")
                        self._grow(os.path.join(self._growing[watch], os.fsdecode(name)))
                    at += length
                    count += 1
        except BlockingIOError:
            pass
        return count

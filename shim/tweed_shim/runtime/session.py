"""An interactive run: the caller's stdin goes to the program as it comes, and its terminal is the program's.

With a terminal the container has a pseudo-terminal of its own. The runtime hands its other end over a socket
(`--console-socket`) to process 1 of the sandbox (`handing_over`), and that to the shim (`Session.start`). The caller's
terminal is in raw mode for as long as the program runs, so that Ctrl-C and Ctrl-Z are the program's business. It gets
its mode back however the run ends but for SIGKILL. Only an interactive run imports this module.
"""

import fcntl
import os
import select
import socket
import struct
import termios
import tty
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from io import FileIO

from tweed_shim.base.lean.typing import Any
from tweed_shim.runtime.streams import WRITE_WITHOUT_BLOCKING, Shown

READ = 16 << 10
# The path in the bundle, which is the runtime's working directory: a socket's path has at most 107 bytes (unix(7)).
SOCKET = "console"
SIZE = "HHHH"  # struct winsize: ioctl_tty(2)


def size(fd: int) -> tuple[int, int]:
    """Return the rows and columns of a terminal."""
    rows, columns, _, _ = struct.unpack(SIZE, fcntl.ioctl(fd, termios.TIOCGWINSZ, bytes(8)))
    return rows, columns


@contextmanager
def handing_over(directory: str, shim: int) -> Iterator[None]:
    """Have the runtime start a container in the block; pass the terminal that it sends to SOCKET on to the shim.

    directory: the bundle, which becomes the working directory. shim: a socket, which is closed. Raises OSError.
    """
    with socket.socket(socket.AF_UNIX) as listener, socket.socket(fileno=shim) as target:
        os.chdir(directory)
        listener.bind(SOCKET)
        listener.listen(1)
        yield
        # The runtime has ended, so it has either connected or never will.
        listener.setblocking(False)
        connection, _ = listener.accept()
        with connection:
            _, fds, _, _ = socket.recv_fds(connection, READ, 1)
        socket.send_fds(target, [b"console"], fds)
        os.close(fds[0])


class Session:
    """The streams of an interactive run, beside those that every run has.

    stdin: the caller's descriptor, None for nothing to read. pipes: those of the sandbox. shown: where the terminal's
    output is shown, None where the run has no terminal. is_started: whether the streams are connected.
    """

    def __init__(self, stdin: int | None, pipes: Mapping[str, FileIO], shown: Shown | None) -> None:
        self._stdin = stdin
        self.shown = shown
        self.is_started = False
        self._pipes = pipes
        self._target: int | None = None
        self._console: FileIO | None = None
        self._pending = b""
        self._terminal = -1 if stdin is None else stdin
        self._mode: Any = None

    @property
    def is_drained(self) -> bool:
        """Whether nothing more comes from the terminal."""
        return self._console is None

    def start(self) -> None:
        """Connect the streams: the program runs."""
        self.is_started = True
        if self.shown is None:
            self._target = self._pipes["stdin"].fileno()
            os.set_blocking(self._target, False)
            if self._stdin is None:
                self._end_input()
            return
        with socket.socket(fileno=os.dup(self._pipes["stdout"].fileno())) as connection:
            _, fds, _, _ = socket.recv_fds(connection, READ, 1)
        self._console = FileIO(fds[0], "r+b")
        self._target = fds[0]
        os.set_blocking(fds[0], False)
        self.resize()
        self._mode = termios.tcgetattr(self._terminal)
        tty.setraw(self._terminal, termios.TCSADRAIN)

    def close(self) -> None:
        """Give the caller's terminal its mode back, and close the program's."""
        if self._mode is not None:
            with suppress(termios.error):
                termios.tcsetattr(self._terminal, termios.TCSADRAIN, self._mode)
            self._mode = None
        self._close_console()

    def _close_console(self) -> None:
        if self._console is not None:
            self._console.close()
            self._console = None
            self._target = None

    def resize(self) -> None:
        """Give the program's terminal the size of the caller's."""
        if self._console is not None:
            with suppress(OSError):
                current = fcntl.ioctl(self._terminal, termios.TIOCGWINSZ, bytes(8))
                fcntl.ioctl(self._console.fileno(), termios.TIOCSWINSZ, current)

    def register(self, poll: select.poll) -> None:
        """Register the descriptors that are waited for."""
        if self._target is None:
            return
        events = 0
        if self._pending:
            events = select.POLLOUT
        elif self._stdin is not None:
            poll.register(self._stdin, select.POLLIN)
        if self._console is not None and self.shown is not None and not self.shown.full:
            events |= select.POLLIN
        if events:
            poll.register(self._target, events)

    def handle(self, fd: int) -> bool:
        """Read or write where a descriptor is ready. Returns whether it is one of these."""
        if fd == self._stdin:
            self._read_input(fd)
        elif fd == self._target:
            if self._pending:
                self._write_input(fd)
            if self._console is not None:
                self._read_output(fd)
        else:
            return False
        return True

    def _read_input(self, fd: int) -> None:
        try:
            self._pending = os.read(fd, READ)
        except BlockingIOError:
            return
        except OSError:
            self._pending = b""  # the terminal has gone
        if not self._pending:
            self._end_input()

    def _end_input(self) -> None:
        """Read no more, and let a program that reads a pipe see its end."""
        self._stdin = None
        if self._console is None:
            self._target = None
            self._pipes["stdin"].close()

    def _write_input(self, fd: int) -> None:
        try:
            count = os.write(fd, self._pending[:WRITE_WITHOUT_BLOCKING])
        except BlockingIOError:
            return
        except OSError:
            # The program reads no more.
            self._pending, self._stdin = b"", None
            return
        self._pending = self._pending[count:]

    def _read_output(self, fd: int) -> None:
        try:
            data = os.read(fd, READ)
        except BlockingIOError:
            return
        except OSError:
            data = b""  # EIO: no process has the terminal any more
        if data and self.shown is not None:
            self.shown.write(data)
        elif not data:
            self._close_console()


@contextmanager
def closed(session: Session) -> Iterator[Session]:
    """Yield a session, and close it at the end of the block."""
    try:
        yield session
    finally:
        session.close()

"""The entry point: parse the command line, import the module of its command and no other, and call it."""

import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from tweed_shim.base import option_names, trace
from tweed_shim.base.lean import signal
from tweed_shim.base.lean.typing import Any, NoReturn
from tweed_shim.base.settings import Settings, default_log_limit, default_root
from tweed_shim.cli import commands, signals
from tweed_shim.cli.commands import Arguments, Context
from tweed_shim.cli.messages import Messages, messages_for
from tweed_shim.errors import HostError, ShimError


def _settings(arguments: Arguments) -> Settings:
    root = arguments.root or default_root(os.environ, os.geteuid())
    # An empty root is refused by the commands that need a store; the others do not.
    return Settings(os.path.abspath(root) if root else "", arguments.runtime, default_log_limit(os.environ))


def _open_standard_streams() -> None:
    """Open descriptors 0, 1 and 2 where they are closed, so that no pipe of the shim gets one of these numbers.

    Where stdout is closed, the output of an image goes to /dev/null. A result must not, so sys.stdout refuses it.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
            if name == "stdout":
                sys.stdout = io.TextIOWrapper(
                    io.BufferedWriter(_ClosedOutput(1, "w", closefd=False)), "utf-8"
                )
            else:
                setattr(sys, name, open(number, "w" if number else "r", closefd=False))  # noqa: SIM115 - for good


class _ClosedOutput(io.FileIO):
    """A standard output that was closed when the program began."""

    def write(self, _: Any) -> int:
        """Raise HostError."""
        raise HostError("the output cannot be written: stdout is closed; send it to a file or a pipe")


class _Output(io.FileIO):
    """Standard output that raises HostError: an OSError could also come from a file of the store."""

    def write(self, data: Any) -> int:
        """Write to the file. Raises HostError instead of OSError, but BrokenPipeError where the reader has gone."""
        try:
            # Another process that shares the file description may have set O_NONBLOCK on it.
            while (written := super().write(data)) is None:
                _wait_for_reader()
            return written
        except BrokenPipeError:
            raise
        except OSError as error:
            raise HostError(
                f"the output cannot be written ({error.strerror}); send it where there is room"
            ) from error


def _wait_for_reader() -> None:
    import select

    poll = select.poll()
    poll.register(1, select.POLLOUT)
    poll.poll()


@contextmanager
def _output() -> Iterator[None]:
    """Make sys.stdout an _Output for the block, unless the caller has replaced it, and flush it at the end."""
    if sys.stdout is sys.__stdout__ and sys.stdout is not None:
        stdout = sys.stdout
        buffer = io.BufferedWriter(_Output(1, "w", closefd=False))
        sys.stdout = io.TextIOWrapper(
            buffer, stdout.encoding, stdout.errors, line_buffering=stdout.line_buffering
        )
    try:
        yield
    except SystemExit:
        sys.stdout.flush()
        raise
    except BaseException:
        # The first error is the one that is reported.
        with suppress(OSError, HostError):
            sys.stdout.flush()
        raise
    else:
        sys.stdout.flush()


def main(argv: list[str] | None = None) -> int:
    """Run a command line and return its exit code (docs/using.md has the table)."""
    entry = trace.entry()
    with option_names.command_line():
        return _run(sys.argv[1:] if argv is None else argv, entry)


def _run(argv: list[str], entry: Any) -> int:
    messages, root = messages_for(argv), "/"
    try:
        _open_standard_streams()
        os.umask(0o077)
        signals.interrupting()
        with _output():
            arguments, call = commands.parse(argv)
            messages = Messages(arguments.level, arguments.log_format == "json")
            settings = _settings(arguments)
            root = settings.root or root
            with trace.recording(arguments.trace, entry):
                return call(arguments, Context(settings, messages))
    except ShimError as error:
        messages.error(str(error))
        return error.exit_code
    except BrokenPipeError:
        return 128 + signal.SIGPIPE
    except OSError as error:
        from tweed_shim.image import store

        messages.error(str(store.disk_fault(root, error)))
        return HostError.exit_code
    except MemoryError:
        from tweed_shim.host import resource_limits

        messages.error(resource_limits.memory())
        return HostError.exit_code
    except BaseException:
        # Interrupted itself, or an exception that replaced it: the import system wraps what interrupts an import.
        if not signals.received:
            raise
        return 128 + signals.received[0]


def program() -> NoReturn:
    """Run `main` as the command `tweed-shim`, and exit with its code.

    The process exits at once: all output is flushed, and the interpreter's own shutdown would take 10 % of a warm run.
    """
    sys.unraisablehook = signals.raise_again
    os._exit(main())

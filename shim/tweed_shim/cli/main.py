"""The entry: what the command line says, then the module of the command that was called, and no other."""

import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from tweed_shim import option_names, trace
from tweed_shim.cli import commands, signals
from tweed_shim.cli.commands import Arguments, Context
from tweed_shim.cli.voice import Voice, foretold
from tweed_shim.errors import HostError, ShimError
from tweed_shim.lean import signal
from tweed_shim.lean.typing import Any, NoReturn
from tweed_shim.settings import Settings, default_log_limit, default_root


def _settings(arguments: Arguments) -> Settings:
    root = arguments.root or default_root(os.environ, os.geteuid())
    # Not every command needs a store: those that do refuse an empty one.
    return Settings(os.path.abspath(root) if root else "", arguments.runtime, default_log_limit(os.environ))


def _open_standard_streams() -> None:
    """Have descriptors 0, 1 and 2 open: a pipe of ours that took the place of one would be mistaken for it.

    Where stdout is closed, what an image says goes to /dev/null. A result must not, so sys.stdout refuses it.
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
    """Standard output, whose errors name it: OSError does not tell it from a file of the store."""

    def write(self, data: Any) -> int:
        """Write as a file does; raises HostError where that raises OSError, unless the reader has gone."""
        try:
            # Whoever shares it with us may have made it one that does not wait.
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
    """Print to an _Output within the block, all of it by its end; whoever has put something else there keeps that."""
    if sys.stdout is sys.__stdout__ and sys.stdout is not None:
        about = sys.stdout
        buffer = io.BufferedWriter(_Output(1, "w", closefd=False))
        sys.stdout = io.TextIOWrapper(
            buffer, about.encoding, about.errors, line_buffering=about.line_buffering
        )
    try:
        yield
    except SystemExit:
        sys.stdout.flush()
        raise
    except BaseException:
        # What was wrong first is what is told.
        with suppress(OSError, HostError):
            sys.stdout.flush()
        raise
    else:
        sys.stdout.flush()


def main(argv: list[str] | None = None) -> int:
    """Run a command line and return its exit code (see the README's table)."""
    entry = trace.entry()
    with option_names.command_line():
        return _run(sys.argv[1:] if argv is None else argv, entry)


def _run(argv: list[str], entry: Any) -> int:
    voice, root = foretold(argv), "/"
    try:
        _open_standard_streams()
        os.umask(0o077)
        signals.interrupting()
        with _output():
            arguments, call = commands.parse(argv)
            voice = Voice(arguments.level, arguments.log_format == "json")
            settings = _settings(arguments)
            root = settings.root or root
            with trace.recording(arguments.trace, entry):
                return call(arguments, Context(settings, voice))
    except ShimError as error:
        voice.error(str(error))
        return error.exit_code
    except BrokenPipeError:
        return 128 + signal.SIGPIPE
    except OSError as error:
        from tweed_shim.image import store

        voice.error(str(store.disk_fault(root, error)))
        return HostError.exit_code
    except MemoryError:
        from tweed_shim import resource_limits

        voice.error(resource_limits.memory())
        return HostError.exit_code
    except BaseException:
        # Interrupted, or what came of that on its way: importing wraps exceptions.
        if not signals.received:
            raise
        return 128 + signals.received[0]


def program() -> NoReturn:
    """Be the command `tweed-shim`: the process ends with the exit code of `main`.

    It ends there and then. All is written, and to take the interpreter apart would cost a warm run a tenth of its time.
    """
    sys.unraisablehook = signals.raise_again
    os._exit(main())

"""The entry: what the command line says, then the module of the command that was called, and no other."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from tweed_shim import trace
from tweed_shim.cli import commands, signals
from tweed_shim.cli.commands import Arguments, Context
from tweed_shim.cli.voice import Voice, foretold
from tweed_shim.errors import HostError, ShimError
from tweed_shim.lean import signal
from tweed_shim.lean.typing import NoReturn
from tweed_shim.settings import Settings, default_root


def _settings(arguments: Arguments) -> Settings:
    root = arguments.root or default_root(os.environ, os.geteuid())
    return Settings(os.path.abspath(root), arguments.runtime)


def _open_standard_streams() -> None:
    """Have descriptors 0, 1 and 2 open: a pipe of ours that took the place of one would be mistaken for it."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
            setattr(sys, name, open(number, "w" if number else "r", closefd=False))  # noqa: SIM115 - for good


@contextmanager
def _flushed() -> Iterator[None]:
    """Write all of stdout within the block: at the interpreter's end nobody could tell what is wrong with it."""
    try:
        yield
    finally:
        try:
            sys.stdout.flush()
        except BrokenPipeError:
            _give_up_stdout()
            raise
        except OSError as error:
            _give_up_stdout()
            raise HostError(
                f"the output cannot be written ({error.strerror}); send it where there is room"
            ) from error


def _give_up_stdout() -> None:
    """Let the flush at the interpreter's end go nowhere, so that it has nothing to complain about."""
    os.dup2(os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC), 1)


def main(argv: list[str] | None = None) -> int:
    """Run a command line and return its exit code (see the README's table)."""
    entry = trace.entry()
    argv = sys.argv[1:] if argv is None else argv
    voice, root = foretold(argv), "/"
    try:
        _open_standard_streams()
        os.umask(0o077)
        signals.interrupting()
        with _flushed():
            arguments, call = commands.parse(argv)
            voice = Voice(arguments.level, arguments.log_format == "json")
            settings = _settings(arguments)
            root = settings.root
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

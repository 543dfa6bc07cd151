"""The entry: global options, then the module of the command that was called, and no other."""

import argparse
import os
import signal
import sys
from collections.abc import Callable, Container, Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module

from tweed_shim import __version__, trace
from tweed_shim.cli import signals
from tweed_shim.cli.voice import Voice, foretold
from tweed_shim.errors import HostError, ShimError, UsageError
from tweed_shim.hints import Any, NoReturn
from tweed_shim.records import Record
from tweed_shim.settings import Settings, default_root

Arguments = argparse.Namespace
Group = argparse._ArgumentGroup
# argparse looks for translations of its words, which nobody has: that would be a thirtieth of a warm run.
setattr(argparse, "_", str)  # noqa: B010 - a type checker does not know the name


class Command(Record):
    """A command: the module of its group, which holds `configure_NAME(parser)` and
    `NAME_command(arguments, context)`; or one with sub-commands, which hold `configure_NAME_PART(parser)` and so on."""

    module: str
    summary: str
    parts: Mapping[str, str] = {}


class Context(Record):
    """What every command gets: the store and the tools, and the shim's voice."""

    settings: Settings
    voice: Voice


COMMANDS = {
    "pull": Command("images", "have an image in the store, unpacked and ready to run"),
    "exec": Command("operations", "run an operation of a backend image"),
    "spec": Command("operations", "print the config.json that an operation would run with; runs nothing"),
    "images": Command("images", "list the images of the store"),
    "rm": Command("images", "remove images from the store"),
    "gc": Command("gc", "remove what no reference, cloud or interaction uses, and what crashes left"),
    "clouds": Command("clouds", "list the clouds and their interactions; 'clouds rm NAME' removes one"),
    "logs": Command("logs", "list the runs, or show what the image of one of them said"),
    "login": Command("logins", "log in to a registry"),
    "logout": Command("logins", "forget the login to a registry"),
    "doctor": Command("doctor", "check what a run needs of this host, and say what mends what is missing"),
    "ocm": Command(
        "ocm",
        "component versions of the Open Component Model",
        {
            "get": "list component versions, or print their descriptors",
            "resources": "list the resources of a component version",
            "download": "write the content of a resource, verified, to a file",
            "transfer": "have component versions, with what belongs to them, in another repository",
            "verify": "verify a signature of a component version, with all that it covers",
        },
    ),
    "spiff": Command(
        "spiff",
        "process dynaml templates",
        {
            "merge": "merge stubs into a template, and print what it comes to",
            "run": "process a document with a template and stubs",
            "diff": "compare two documents by structure",
            "convert": "print a document as YAML or JSON with its keys in order",
            "encrypt": "encrypt a document, or decrypt it",
        },
    ),
    "toi": Command(
        "toi",
        "install software that a component version describes (Tiny OCM Installer)",
        {
            "bootstrap": "carry out an action of a package",
            "config": "write the templates of the files that a package wants",
            "describe": "show what a package can do, and what it wants",
        },
    ),
    "version": Command("version", "print the versions of the shim and of the tools it uses"),
}


def _formatter(prog: str) -> argparse.HelpFormatter:
    """argparse makes one for every option; to find the width itself, it would import a tenth of a Python start."""
    width = int(columns) if (columns := os.environ.get("COLUMNS", "")).isdigit() else 0
    if not width and os.isatty(1):
        width = os.get_terminal_size(1).columns
    return argparse.RawDescriptionHelpFormatter(prog, width=max((width or 100) - 2, 40))


class Parser(argparse.ArgumentParser):
    """A parser whose complaint is one sentence, and that takes no abbreviated options.

    intermixed: options may stand between the words of one argument (`TEMPLATE --json STUB`).
    """

    intermixed = False

    def __init__(self, **options: Any) -> None:
        super().__init__(allow_abbrev=False, formatter_class=_formatter, **options)

    def parse_args(self, args: Any = None, namespace: Any = None) -> Any:
        """As argparse does, but what is not known may be a password and is not repeated: only options are named."""
        parse = self.parse_known_intermixed_args if self.intermixed else self.parse_known_args
        known, rest = parse(args, namespace)
        if rest:
            options = [each.partition("=")[0] for each in rest if each.startswith("-")]
            self.error(f"unknown option {', '.join(options)}" if options else "there are too many arguments")
        return known

    def error(self, message: str) -> NoReturn:
        """Raise UsageError, which says what cannot be parsed and where to read how it is written."""
        raise UsageError(f"{message}; see '{self.prog} --help'")


def _add_global_options(parser: Parser, *, default: object) -> None:
    """default: argparse.SUPPRESS after the command, so that what was said before it stays."""

    def say(value: object) -> object:
        return argparse.SUPPRESS if default is argparse.SUPPRESS else value

    group = parser.add_argument_group("global options")
    group.add_argument("--root", metavar="DIR", default=say(None), help="the store ($TWEED_SHIM_ROOT)")
    group.add_argument(
        "--runtime", metavar="PATH", default=say("runc"), help="the OCI runtime (default: runc)"
    )
    group.add_argument(
        "-v", "--verbose", dest="level", action="store_const", const=1, default=say(0), help="say more"
    )
    group.add_argument(
        "-q", "--quiet", dest="level", action="store_const", const=-1, default=say(0), help="errors only"
    )
    group.add_argument(
        "--log-format",
        choices=("text", "json"),
        default=say("text"),
        help="how the shim's own words are written",
    )
    group.add_argument(
        "--trace",
        metavar="FILE",
        default=say(None),
        help="write where the time went, as a Chrome trace (JSON)",
    )


def _listing_parser(prog: str, description: str, summaries: Mapping[str, str]) -> Parser:
    """A parser of what comes before the name of a command, and of that name."""
    width = max(map(len, summaries))
    listing = "\n".join(f"  {name:{width}}  {summary}" for name, summary in summaries.items())
    parser = Parser(
        prog=prog,
        usage=f"{prog} [OPTION...] COMMAND ...",
        description=description,
        epilog=f"commands:\n{listing}\n\n'{prog} COMMAND --help' explains a command.",
    )
    parser.add_argument("command", nargs="?", metavar="COMMAND", help=argparse.SUPPRESS)
    parser.add_argument("rest", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    return parser


def _top_parser() -> Parser:
    parser = _listing_parser(
        "tweed-shim",
        "Run Tweed backend images with runc: no daemon, as root or rootless.",
        {name: command.summary for name, command in COMMANDS.items()},
    )
    parser.add_argument("--version", action="version", version=f"tweed-shim {__version__}")
    _add_global_options(parser, default=None)
    return parser


def _named(parser: Parser, known: Arguments, names: Container[str]) -> str:
    """The command that was named; without one, all are listed."""
    if known.command is None:
        parser.print_help(sys.stderr)
        sys.exit(2)
    if known.command not in names:
        parser.error(f"there is no command '{known.command}'")
    return str(known.command)


def _parse(argv: list[str]) -> tuple[Arguments, Callable[[Arguments, Context], int]]:
    top = _top_parser()
    known = top.parse_args(argv)
    name = _named(top, known, COMMANDS)
    command, summary = COMMANDS[name], COMMANDS[name].summary
    words = [name]
    if command.parts:
        group = _listing_parser(f"tweed-shim {name}", f"{summary}.", command.parts)
        _add_global_options(group, default=argparse.SUPPRESS)
        known = group.parse_args(known.rest, known)
        words.append(_named(group, known, command.parts))
        summary = command.parts[words[-1]]
    module = import_module(f"tweed_shim.cli.{command.module}")
    parser = Parser(prog=f"tweed-shim {' '.join(words)}", description=f"{summary}.")
    getattr(module, f"configure_{'_'.join(words)}")(parser)
    _add_global_options(parser, default=argparse.SUPPRESS)
    arguments = parser.parse_args(known.rest, known)
    call: Callable[[Arguments, Context], int] = getattr(module, f"{'_'.join(words)}_command")
    return arguments, call


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
            arguments, call = _parse(argv)
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
    except signals.Interrupted as interrupted:
        return 128 + interrupted.number


def program() -> NoReturn:
    """Be the command `tweed-shim`: the process ends with the exit code of `main`.

    It ends there and then. All is written, and to take the interpreter apart would cost a warm run a tenth of its time.
    """
    os._exit(main())

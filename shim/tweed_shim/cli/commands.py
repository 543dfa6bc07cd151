"""The commands and their options: which module each is in, and what a command line says.

Most command lines are plain, and a `Sketch` reads them. What it does not understand, and all that is to be said about a
command line, is left to argparse: to import that and to build its parsers takes a twentieth of a warm `exec`.
"""

import sys
from collections.abc import Callable, Container, Mapping
from types import ModuleType

from tweed_shim import __version__, option_values
from tweed_shim.cli.sketch import REMAINDER, Sketch, Unclear
from tweed_shim.cli.voice import Voice
from tweed_shim.errors import ConfigError
from tweed_shim.lean.typing import TYPE_CHECKING, Any
from tweed_shim.option_values import Check
from tweed_shim.records import EMPTY, Record
from tweed_shim.settings import Settings

if TYPE_CHECKING:
    import argparse

    from tweed_shim.cli.parser import ArgparseParser

    Arguments = argparse.Namespace
    Group = argparse._ArgumentGroup
    Parser = ArgparseParser
else:
    Arguments = Group = Parser = Any


class Command(Record):
    """A command: the module of its group, which holds `configure_NAME(parser)` and `NAME_command(arguments, context)`.

    One with sub-commands (`parts`) holds `configure_NAME_PART(parser)` and so on. aliases: other names of parts.
    """

    module: str
    summary: str
    parts: Mapping[str, str] = EMPTY
    aliases: Mapping[str, str] = EMPTY


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
    "gc": Command("gc", "remove what no reference, cloud or interaction uses, logs, and what crashes left"),
    "fsck": Command("fsck", "check blobs, unpacked images and records for damage, and repair what can be"),
    "clouds": Command("clouds", "list the clouds and their interactions, remove them, or give them up"),
    "environment": Command("environment", "print the environment of an interaction that is set up"),
    "logs": Command("logs", "list the runs, or show what the image of one said; 'logs rm RUN' removes one"),
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
        # What the reference calls it.
        {"process": "run"},
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


Call = Callable[[Arguments, Context], int]


def _add_global_options(parser: Parser, *, again: bool = True) -> None:
    """again: after the command they have no defaults, so that what was said before it stays."""

    def say(value: object) -> object:
        return parser.SUPPRESS if again else value

    group = parser.add_argument_group("global options")
    group.add_argument(
        "--root",
        metavar="DIR",
        type=checked(option_values.path),
        default=say(None),
        help="the store ($TWEED_SHIM_ROOT)",
    )
    group.add_argument(
        "--runtime",
        metavar="PATH",
        type=checked(option_values.path),
        default=say("runc"),
        help="the OCI runtime (default: runc)",
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


def _listing_parser(
    kind: Callable[..., Any], prog: str, description: str, summaries: Mapping[str, str]
) -> Parser:
    """A parser of what comes before the name of a command, and of that name."""
    width = max(map(len, summaries))
    listing = "\n".join(f"  {name:{width}}  {summary}" for name, summary in summaries.items())
    parser: Parser = kind(
        prog=prog,
        usage=f"{prog} [OPTION...] COMMAND ...",
        description=description,
        epilog=f"commands:\n{listing}\n\n'{prog} COMMAND --help' explains a command.",
    )
    parser.add_argument("command", nargs="?", metavar="COMMAND", help=parser.SUPPRESS)
    parser.add_argument("rest", nargs=REMAINDER, help=parser.SUPPRESS)
    return parser


def _top_parser(kind: Callable[..., Any]) -> Parser:
    parser = _listing_parser(
        kind,
        "tweed-shim",
        "Run Tweed backend images with runc: no daemon, as root or rootless.",
        {name: command.summary for name, command in COMMANDS.items()},
    )
    parser.add_argument("--version", action="version", version=f"tweed-shim {__version__}")
    _add_global_options(parser, again=False)
    return parser


def _named(parser: Parser, known: Arguments, names: Container[str]) -> str:
    """The command that was named; without one, all are listed."""
    if known.command is None:
        parser.print_help(sys.stderr)
        sys.exit(2)
    if known.command not in names:
        parser.error(f"there is no command '{known.command}'")
    return str(known.command)


def _import(name: str) -> ModuleType:
    """Do what `importlib.import_module` does, without `importlib`, which takes 0.25 ms of every start."""
    __import__(name)
    return sys.modules[name]


def parse(argv: list[str]) -> tuple[Arguments, Call]:
    """What a command line says, and the function that carries it out. Raises UsageError."""
    try:
        return parse_with(Sketch, argv)
    except Unclear:
        from tweed_shim.cli.parser import ArgparseParser

        return parse_with(ArgparseParser, argv)


def parse_with(kind: Callable[..., Any], argv: list[str]) -> tuple[Arguments, Call]:
    """The same with one kind of parser."""
    top = _top_parser(kind)
    known = top.parse_args(argv)
    name = _named(top, known, COMMANDS)
    command, summary = COMMANDS[name], COMMANDS[name].summary
    words = [name]
    if command.parts:
        group = _listing_parser(kind, f"tweed-shim {name}", f"{summary}.", command.parts)
        _add_global_options(group)
        known = group.parse_args(known.rest, known)
        known.command = command.aliases.get(known.command, known.command)
        words.append(_named(group, known, command.parts))
        summary = command.parts[words[-1]]
    module = _import(f"tweed_shim.cli.{command.module}")
    parser: Parser = kind(prog=f"tweed-shim {' '.join(words)}", description=f"{summary}.")
    getattr(module, f"configure_{'_'.join(words)}")(parser)
    _add_global_options(parser)
    arguments = parser.parse_args(known.rest, known)
    call: Call = getattr(module, f"{'_'.join(words)}_command")
    return arguments, call


def checked(check: Check) -> Callable[[str], Any]:
    """The type of an option from the check that the Python API has for the same value."""

    def convert(text: str) -> Any:
        try:
            return check(text)
        except ConfigError as error:
            raise wrong_value(str(error)) from error

    return convert


def number(kind: type[int] | type[float], check: Check) -> Callable[[str], Any]:
    """Return the type of an option that is a number. The check refuses the text as it was typed."""

    def convert(text: str) -> Any:
        # int and float also take digits of all alphabets, underscores and blanks.
        is_plain = text.isascii() and "_" not in text and text == text.strip()
        try:
            return check(kind(text) if is_plain else text)
        except (ValueError, ConfigError):
            return check(text)

    return checked(convert)


def wrong_value(text: str) -> Exception:
    """What a type of option raises: the sentence says what is wrong with a value."""
    from argparse import ArgumentTypeError

    return ArgumentTypeError(text)

"""The table of commands, and the parser of command lines.

A fast parser (fast_parser.py) reads plain command lines. All others, and all messages about a command line, are left to
argparse, whose import and parsers take 5 % of a warm `exec`.
"""

import sys
from collections.abc import Callable, Collection, Mapping
from types import ModuleType

from tweed_shim._version import VERSION
from tweed_shim.base import option_values
from tweed_shim.base.lean.typing import TYPE_CHECKING, Any
from tweed_shim.base.option_values import Check
from tweed_shim.base.records import EMPTY, Record
from tweed_shim.base.settings import Settings
from tweed_shim.cli.fast_parser import REMAINDER, FastParser, Unclear
from tweed_shim.cli.messages import Messages
from tweed_shim.errors import ConfigError, UsageError

if TYPE_CHECKING:
    import argparse

    from tweed_shim.cli.parser import ArgparseParser

    Arguments = argparse.Namespace
    Group = argparse._ArgumentGroup
    Parser = ArgparseParser
else:
    Arguments = Group = Parser = Any


class Command(Record):
    """A command: its module, which has the functions `configure_NAME(parser)` and `NAME_command(arguments, context)`.

    The module of a command with subcommands has `configure_NAME_SUBCOMMAND(parser)` and so on. aliases: other names of
    subcommands. has_program: whether a program with its arguments may follow after `--`.
    """

    module: str
    summary: str
    subcommands: Mapping[str, str] = EMPTY
    aliases: Mapping[str, str] = EMPTY
    has_program: bool = False


class Context(Record):
    """The context of every command: the settings, and the messages to the user."""

    settings: Settings
    messages: Messages


COMMANDS = {
    "pull": Command("images", "pull an image into the store, unpacked and ready to run"),
    "exec": Command("operations", "run an operation of a backend or pattern image"),
    "spec": Command("operations", "print the config.json that an operation would run with; runs nothing"),
    "bundle": Command("bundles", "write an OCI bundle of an operation, for a look with runc; runs nothing"),
    "shell": Command(
        "shells", "open a shell, or run a program, in the sandbox of an operation", has_program=True
    ),
    "images": Command("images", "list the images of the store"),
    "rm": Command("images", "remove images from the store"),
    "gc": Command("gc", "remove unused images and blobs, old logs, and what crashes left"),
    "fsck": Command("fsck", "check blobs, unpacked images and records for damage, and repair them"),
    "clouds": Command("clouds", "list the clouds and their interactions, remove them, or give them up"),
    "environment": Command("environment", "print the environment of an interaction that is set up"),
    "instances": Command(
        "instances", "list the instances of patterns; show one, its files or credentials, or give one up"
    ),
    "logs": Command("logs", "list the runs, show the log of one, or remove runs with 'logs rm RUN'"),
    "login": Command("logins", "log in to a registry"),
    "logout": Command("logins", "forget the login to a registry"),
    "doctor": Command("doctor", "check what a run needs of this host, and how to get what is missing"),
    "ocm": Command(
        "ocm",
        "component versions of the Open Component Model",
        {
            "get": "list component versions, or print their descriptors",
            "resources": "list the resources of a component version",
            "download": "write the content of a resource, verified, to a file",
            "transfer": "copy component versions, with what belongs to them, to another repository",
            "verify": "verify a signature of a component version, and all that it covers",
        },
    ),
    "spiff": Command(
        "spiff",
        "process dynaml templates",
        {
            "merge": "merge stubs into a template, and print the result",
            "run": "process a document with a template and stubs",
            "diff": "compare two documents by structure",
            "convert": "print a document as YAML or JSON with its keys in order",
            "encrypt": "encrypt a document, or decrypt it",
        },
        # The name of spiff++.
        {"process": "run"},
    ),
    "toi": Command(
        "toi",
        "install software that a component version describes (Tiny OCM Installer)",
        {
            "bootstrap": "carry out an action of a package",
            "config": "write templates of the files that a package needs",
            "describe": "show the actions of a package, and what it needs",
        },
    ),
    "help": Command("help", "print the help of a command"),
    "completion": Command("completion", "print the script that completes command lines in bash, zsh or fish"),
    "version": Command("version", "print the versions of the shim and of the tools it uses"),
}


# The command that the scripts of `completion` ask; no list has it.
COMPLETE = "__complete"
# What other programs, or readers of the contract, call a command. Nothing is run under these names.
OTHER_NAMES = {
    "run": "exec",
    "ps": "logs",
    "ls": "images",
    "list": "images",
    "inspect": "spec",
    "rmi": "rm",
    "prune": "gc",
    "env": "environment",
    "info": "doctor",
    "metadata": "exec IMAGE metadata",
    "configure": "exec IMAGE configure",
    "check": "exec IMAGE check",
    "setup": "exec IMAGE setup",
    "teardown": "exec IMAGE teardown",
    "provision": "exec IMAGE provision",
    "bind": "exec IMAGE bind",
    "unbind": "exec IMAGE unbind",
    "deprovision": "exec IMAGE deprovision",
    "bootstrap": "toi bootstrap",
}

Call = Callable[[Arguments, Context], int]


def _add_global_options(parser: Parser, *, again: bool = True) -> None:
    """Add the global options. again: they are also read after the command; without defaults, to keep earlier values."""

    def default(value: object) -> object:
        return parser.SUPPRESS if again else value

    group = parser.add_argument_group("global options")
    group.add_argument(
        "--root",
        metavar="DIR",
        type=checked(option_values.path),
        default=default(None),
        help="the store ($TWEED_SHIM_ROOT)",
    )
    group.add_argument(
        "--runtime",
        metavar="PATH",
        type=checked(option_values.path),
        default=default("runc"),
        help="the OCI runtime (default: runc)",
    )
    group.add_argument(
        "-v", "--verbose", dest="level", action="store_const", const=1, default=default(0), help="say more"
    )
    group.add_argument(
        "-q", "--quiet", dest="level", action="store_const", const=-1, default=default(0), help="errors only"
    )
    group.add_argument(
        "--log-format",
        choices=("text", "json"),
        default=default("text"),
        help="the format of the shim's own messages",
    )
    group.add_argument(
        "--trace",
        metavar="FILE",
        default=default(None),
        help="write where the time went, as a Chrome trace (JSON)",
    )


def _listing_parser(
    kind: Callable[..., Any], prog: str, *, description: str, summaries: Mapping[str, str]
) -> Parser:
    """Return a parser of the options before a command's name, and of that name."""
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


def top_parser(kind: Callable[..., Any]) -> Parser:
    """Return a parser of the options before the name of a command, and of that name."""
    parser = _listing_parser(
        kind,
        "tweed-shim",
        description="Run Tweed backend and pattern images with runc: no daemon, as root or rootless.",
        summaries={name: command.summary for name, command in COMMANDS.items()},
    )
    parser.add_argument(
        "--version", action="version", version=f"tweed-shim {VERSION}", help="print the version, and exit"
    )
    _add_global_options(parser, again=False)
    return parser


def group_parser(kind: Callable[..., Any], name: str) -> Parser:
    """Return a parser of the options before the name of a subcommand, and of that name."""
    command = COMMANDS[name]
    parser = _listing_parser(
        kind, f"tweed-shim {name}", description=f"{command.summary}.", summaries=command.subcommands
    )
    _add_global_options(parser)
    return parser


def command_parser(kind: Callable[..., Any], words: list[str]) -> Parser:
    """Return a parser of what stands behind the name of a command. words: that name, and that of its subcommand."""
    command = COMMANDS[words[0]]
    summary = command.subcommands[words[1]] if command.subcommands else command.summary
    parser: Parser = kind(prog=f"tweed-shim {' '.join(words)}", description=f"{summary}.")
    getattr(_import(f"tweed_shim.cli.{command.module}"), f"configure_{'_'.join(words)}")(parser)
    _add_global_options(parser)
    return parser


def _named(parser: Parser, known: Arguments, names: Collection[str]) -> str:
    """Return the named command. Without a name, print the list of commands and exit."""
    if known.command is None:
        parser.print_help(sys.stderr)
        sys.exit(2)
    if known.command not in names:
        if names is COMMANDS and known.command in OTHER_NAMES:
            words = OTHER_NAMES[known.command]
            raise UsageError(
                f"there is no command '{known.command}': use tweed-shim {words}; "
                f"see 'tweed-shim {words.partition(' IMAGE')[0]} --help'"
            )
        from tweed_shim.cli.suggestions import did_you_mean

        parser.error(f"there is no command '{known.command}'{did_you_mean(known.command, names)}")
    return str(known.command)


def _import(name: str) -> ModuleType:
    """Do what `importlib.import_module` does, without `importlib`, which takes 0.25 ms of every start."""
    __import__(name)
    return sys.modules[name]


def parse(argv: list[str]) -> tuple[Arguments, Call]:
    """Parse a command line; return its arguments and the function of the command. Raises UsageError."""
    if argv[:1] == [COMPLETE]:
        # Its words are a command line that is not finished, so no parser reads them.
        completion = _import("tweed_shim.cli.completion")
        return completion.arguments(argv[1:]), completion.complete_command
    try:
        return parse_with(FastParser, argv)
    except Unclear:
        from tweed_shim.cli.parser import ArgparseParser

        return parse_with(ArgparseParser, argv)


def parse_with(kind: Callable[..., Any], argv: list[str]) -> tuple[Arguments, Call]:
    """Parse a command line with one class of parser. Raises UsageError, and Unclear with FastParser."""
    top = top_parser(kind)
    known = top.parse_args(argv)
    words = [_named(top, known, COMMANDS)]
    command = COMMANDS[words[0]]
    if command.subcommands:
        group = group_parser(kind, words[0])
        known = group.parse_args(known.rest, known)
        known.command = command.aliases.get(known.command, known.command)
        words.append(_named(group, known, command.subcommands))
    words_given, program = known.rest, []
    if command.has_program and "--" in words_given:
        end = words_given.index("--")
        words_given, program = words_given[:end], words_given[end + 1 :]
    arguments = command_parser(kind, words).parse_args(words_given, known)
    arguments.program = tuple(program)
    call: Call = getattr(sys.modules[f"tweed_shim.cli.{command.module}"], f"{'_'.join(words)}_command")
    return arguments, call


def checked(check: Check) -> Callable[[str], Any]:
    """Return the argparse type of an option, made of the check that the Python API has for the same value."""

    def convert(text: str) -> Any:
        try:
            return check(text)
        except ConfigError as error:
            raise wrong_value(str(error)) from error

    return convert


def number(kind: type[int] | type[float], check: Check) -> Callable[[str], Any]:
    """Return the argparse type of an option that is a number. The check gets other texts as they are."""

    def convert(text: str) -> Any:
        # int() and float() also accept digits of all alphabets, underscores and blanks.
        is_plain = text.isascii() and "_" not in text and text == text.strip()
        try:
            return check(kind(text) if is_plain else text)
        except (ValueError, ConfigError):
            return check(text)

    return checked(convert)


def wrong_value(text: str) -> Exception:
    """Return the exception that argparse expects of an option's type. text: a sentence about the value."""
    from argparse import ArgumentTypeError

    return ArgumentTypeError(text)

"""`help`: print the help of a command, as its option `--help` does."""

from contextlib import suppress

from tweed_shim.cli.commands import COMMANDS, Arguments, Context, Parser, parse_with
from tweed_shim.cli.parser import ArgparseParser
from tweed_shim.errors import UsageError


def configure_help(parser: Parser) -> None:
    """Add the options of `help`."""
    parser.add_argument(
        "words", nargs="*", metavar="COMMAND", complete="commands", help="the command, and its subcommand"
    )


def help_command(arguments: Arguments, _: Context) -> int:
    """Print the help of a command, or the list of commands. Raises UsageError where there is none of that name."""
    words = arguments.words
    if len(words) > 1 and words[0] in COMMANDS and len(words) > (2 if COMMANDS[words[0]].subcommands else 1):
        raise UsageError("'help' takes a command and its subcommand; see 'tweed-shim help'")
    # argparse ends the program when it has printed a help.
    with suppress(SystemExit):
        parse_with(ArgparseParser, [*words, "--help"])
    return 0

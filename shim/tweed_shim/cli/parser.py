"""The argparse parser: for help, for error messages, and for command lines that FastParser cannot parse."""

import argparse
import os

from tweed_shim.base.lean.typing import Any, NoReturn
from tweed_shim.base.text import decimal
from tweed_shim.cli.suggestions import did_you_mean
from tweed_shim.errors import UsageError


def _formatter(prog: str) -> argparse.HelpFormatter:
    """Return a formatter with a width: argparse makes one for each option, and would import shutil for the width."""
    width = decimal(os.environ.get("COLUMNS", "")) or 0
    if not width and os.isatty(1):
        width = os.get_terminal_size(1).columns
    return argparse.RawDescriptionHelpFormatter(prog, width=max((width or 100) - 2, 40))


class ArgparseParser(argparse.ArgumentParser):
    """A parser without abbreviated options, whose error messages are one sentence.

    intermixed: options may stand between the words of one argument (`TEMPLATE --json STUB`).
    """

    SUPPRESS = argparse.SUPPRESS  # the very object, which an equal text is not
    intermixed = False

    def __init__(self, **options: Any) -> None:
        super().__init__(allow_abbrev=False, formatter_class=_formatter, **options)

    def add_argument(self, *names: Any, **declaration: Any) -> Any:
        """Add an argument. With a default, `nargs="*"` is not listed among the missing arguments.

        `complete` is left out: it is for the completion (see declarations.py).
        """
        declaration.pop("complete", None)
        if declaration.get("nargs") == argparse.ZERO_OR_MORE:
            declaration.setdefault("default", [])
        return super().add_argument(*names, **declaration)

    def format_help(self) -> str:
        """Return the help, with examples and exit codes at its end."""
        from tweed_shim.cli import examples

        return super().format_help() + examples.epilog(self.prog.removeprefix("tweed-shim").strip())

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        """Raise ArgumentError, with what was meant, where a value is none of the choices."""
        if action.choices is None or value in action.choices:
            return
        choices = [*map(str, action.choices)]
        name = "/".join(action.option_strings) or action.metavar or action.dest.upper()
        raise argparse.ArgumentError(
            None,
            f"{name} cannot be {str(value)!r}{did_you_mean(str(value), choices)}; choose one of {', '.join(choices)}",
        )

    def parse_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Parse as argparse does. An unknown word may be a password, so the message names only unknown options."""
        parse = self.parse_known_intermixed_args if self.intermixed else self.parse_known_args
        known, rest = parse(args, namespace)
        if rest:
            options = [each.partition("=")[0] for each in rest if each.startswith("-")]
            self.error(self._unknown(options) if options else "there are too many arguments")
        return known

    def _unknown(self, options: list[str]) -> str:
        names = [name for name in self._option_string_actions if name.startswith("--")]
        return f"unknown option {', '.join(f'{each}{did_you_mean(each, names)}' for each in options)}"

    def error(self, message: str) -> NoReturn:
        """Raise UsageError with the message and the command that prints the help."""
        raise UsageError(f"{message}; see '{self.prog} --help'")

"""argparse as this program uses it: for help, for complaints, and for command lines that are not plain."""

import argparse
import os

from tweed_shim.errors import UsageError
from tweed_shim.lean.typing import Any, NoReturn
from tweed_shim.letters import decimal


def _formatter(prog: str) -> argparse.HelpFormatter:
    """argparse makes one for every option; to find the width itself, it would import a tenth of a Python start."""
    width = decimal(os.environ.get("COLUMNS", "")) or 0
    if not width and os.isatty(1):
        width = os.get_terminal_size(1).columns
    return argparse.RawDescriptionHelpFormatter(prog, width=max((width or 100) - 2, 40))


class ArgparseParser(argparse.ArgumentParser):
    """A parser whose complaint is one sentence, and that takes no abbreviated options.

    intermixed: options may stand between the words of one argument (`TEMPLATE --json STUB`).
    """

    SUPPRESS = argparse.SUPPRESS  # the very object, which an equal text is not
    intermixed = False

    def __init__(self, **options: Any) -> None:
        super().__init__(allow_abbrev=False, formatter_class=_formatter, **options)

    def add_argument(self, *names: Any, **told: Any) -> Any:
        """As argparse does; with a default, words that need not be there are not named among those that are missing."""
        if told.get("nargs") == argparse.ZERO_OR_MORE:
            told.setdefault("default", [])
        return super().add_argument(*names, **told)

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

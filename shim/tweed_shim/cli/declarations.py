"""The declared arguments of every command, for what describes the command line: completion and manual pages.

A command declares its arguments to whatever parser it is given. `Declarations` is a parser that only keeps them.
"""

from collections.abc import Callable, Iterable, Iterator

from tweed_shim.base.lean.typing import Any
from tweed_shim.base.records import Record
from tweed_shim.cli import commands
from tweed_shim.cli.fast_parser import ANY_NUMBER, REMAINDER

_SUPPRESS = "==SUPPRESS=="


class Argument(Record):
    """A declared argument, with the values that argparse takes.

    names: of an option; empty for a word. group: the heading that it stands under; "" without one. complete: what its
    values are, for the completion (see completion.py).
    """

    names: tuple[str, ...]
    dest: str
    group: str = ""
    action: str = "store"
    nargs: str | None = None
    metavar: str | None = None
    choices: tuple[str, ...] = ()
    required: bool = False
    help: str = ""
    complete: str = ""

    @property
    def takes_value(self) -> bool:
        """Whether it is an option with a value."""
        return bool(self.names) and self.action in ("store", "append")

    @property
    def repeats(self) -> bool:
        """Whether it is a word that may stand there more than once."""
        return self.nargs in (ANY_NUMBER, "+")

    @property
    def value_name(self) -> str:
        """What stands for its value in the help."""
        if self.choices and self.metavar is None:
            return f"{{{','.join(self.choices)}}}"
        return self.metavar or self.dest.upper()


HELP = Argument(("-h", "--help"), "help", action="help", help="print this help, and exit")


class Declarations:
    """A parser that keeps the declarations. Its methods are those of argparse.ArgumentParser that commands call.

    prog: as for argparse; with an empty one it has no option at all.
    """

    SUPPRESS = _SUPPRESS
    intermixed = False
    usage: str | None = None

    def __init__(self, prog: str, description: str = "", **_: object) -> None:
        self.prog, self.description = prog, description
        self.arguments = [HELP] if prog else []

    def add_argument(self, *names: str, group: str = "", **declaration: Any) -> None:
        """Keep an argument."""
        if declaration.get("help") == _SUPPRESS:
            return
        options = tuple(name for name in names if name.startswith("-"))
        long = next((name for name in names if name.startswith("--")), names[0])
        choices = declaration.pop("choices", None) or ()
        kept = {key: value for key, value in declaration.items() if key in Argument.FIELDS}
        kept.setdefault("dest", long.lstrip("-").replace("-", "_"))
        self.arguments.append(Argument(options, group=group, choices=tuple(map(str, choices)), **kept))

    def add_argument_group(self, title: str) -> "_Group":
        """Return a group of arguments with a heading."""
        return _Group(self, title)

    def add_mutually_exclusive_group(self, **_: bool) -> "_Group":
        """Return a group of arguments without a heading."""
        return _Group(self, "")

    @property
    def options(self) -> list[Argument]:
        """The options."""
        return [each for each in self.arguments if each.names]

    @property
    def words(self) -> list[Argument]:
        """The positional arguments."""
        return [each for each in self.arguments if not each.names]

    @property
    def synopses(self) -> list[str]:
        """The forms of the command line, without the program's name."""
        if self.usage is not None:
            return [each.removeprefix("tweed-shim ").strip() for each in self.usage.split(" | ")]
        required = [f"{each.names[0]} {each.value_name}" for each in self.options if each.required]
        words = [self.prog.removeprefix("tweed-shim"), "[OPTION...]", *required, *map(_synopsis, self.words)]
        return [" ".join(words).strip()]


class _Group:
    """A group of arguments."""

    def __init__(self, parser: Declarations, title: str) -> None:
        self._parser, self._title = parser, title

    def add_argument(self, *names: str, **declaration: Any) -> None:
        """Keep an argument of the group."""
        self._parser.add_argument(*names, group=self._title, **declaration)

    def add_mutually_exclusive_group(self, **_: bool) -> "_Group":
        """Return a group within this one."""
        return self


def _synopsis(word: Argument) -> str:
    name = word.value_name
    return {"?": f"[{name}]", ANY_NUMBER: f"[{name}...]", "+": f"{name}...", REMAINDER: f"{name} ..."}.get(
        word.nargs or "", name
    )


def of_top() -> Declarations:
    """Return what stands before a command's name."""
    return _declared(commands.top_parser)


def of_group(name: str) -> Declarations:
    """Return what stands before a subcommand's name."""
    return _declared(lambda kind: commands.group_parser(kind, name))


def of_command(words: Iterable[str]) -> Declarations:
    """Return the arguments of a command. words: its name, and that of its subcommand."""
    return _declared(lambda kind: commands.command_parser(kind, [*words]))


def _declared(make: Callable[[type[Declarations]], Any]) -> Declarations:
    declared: Declarations = make(Declarations)
    return declared


def all_commands() -> Iterator[tuple[str, ...]]:
    """Yield the words of each command in the order of the table: its name, and that of its subcommand."""
    for name, command in commands.COMMANDS.items():
        if command.subcommands:
            yield from ((name, part) for part in command.subcommands)
        else:
            yield (name,)

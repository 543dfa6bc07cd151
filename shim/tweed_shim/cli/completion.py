"""`completion`: print the script that completes command lines in a shell; and what the scripts ask.

It is done as in the programs of cobra (podman, skopeo, crane): a short script for each shell asks the program itself,
with the words up to the cursor. The answers are read from the parsers of the commands and from the store. So nothing is
listed twice, and an installed script fits every later version. shtab makes scripts of parsers, but they cannot know
what is in a store; argcomplete imports argparse and the modules of every command for each answer.

The first line of an answer is `values`, `files` or `directories`. After `values` each line is a value, a tab, and what
it means; a value that ends with one of `/:=` is not finished. After the others the shell completes a path itself.
"""

import os
import sys
from collections.abc import Iterable, Sequence
from contextlib import suppress
from types import SimpleNamespace

from tweed_shim.base.lean.typing import Any
from tweed_shim.base.settings import default_root, expand_home
from tweed_shim.cli import completion_scripts, completion_values, declarations
from tweed_shim.cli.commands import COMMANDS, Arguments, Context, Parser
from tweed_shim.cli.completion_values import DIRECTORIES, FILES, Line, Value
from tweed_shim.cli.declarations import Argument, Declarations

VALUES = "values"
_LONGEST_HELP = 70


def configure_completion(parser: Parser) -> None:
    """Add the options of `completion`."""
    parser.add_argument("shell", choices=tuple(completion_scripts.SCRIPTS), help="the shell")


def completion_command(arguments: Arguments, _: Context) -> int:
    """Print the script of a shell."""
    sys.stdout.write(completion_scripts.SCRIPTS[arguments.shell])
    return 0


def arguments(words: list[str]) -> Any:
    """Return the arguments of `complete_command`. words: those up to the cursor; the last may be empty."""
    return SimpleNamespace(
        root=None, runtime="runc", level=-1, log_format="text", trace=None, words=words or [""]
    )


def complete_command(arguments: Arguments, _: Context) -> int:
    """Print what can stand for the last word. It never fails: a message would be written into the line of the user."""
    kind, values = VALUES, list[Value]()
    # A store may be damaged, of another version, or not readable.
    with suppress(Exception):
        kind, values = answer(arguments.words)
    lines = dict.fromkeys(
        f"{value}\t{_one_line(meaning)}" for value, meaning in values if value.isprintable()
    )
    sys.stdout.write("".join(f"{line}\n" for line in (kind, *lines)))
    return 0


def _one_line(text: str) -> str:
    printable = "".join(character if character.isprintable() else " " for character in text)
    short = printable[:_LONGEST_HELP]
    return short if short == printable else f"{short.rpartition(' ')[0]} ..."


def answer(words: Sequence[str]) -> tuple[str, list[Value]]:
    """Return the kind of the answer, and its values. words: as in `arguments`."""
    *before, current = words
    reading = _Reading()
    for word in before:
        reading.take(word)
    if reading.pending is not None:
        return _values(reading.pending, reading.line(), current)
    if current.startswith("-") and current != "-":
        return _option_values(reading, current)
    if not reading.command_is_complete:
        source: Iterable[Value] = (
            COMMANDS[reading.command[0]].subcommands.items()
            if reading.command
            else ((name, command.summary) for name, command in COMMANDS.items())
        )
        return VALUES, _starting(source, current)
    positional = reading.next_word()
    return (VALUES, []) if positional is None else _values(positional, reading.line(), current)


def _option_values(reading: "_Reading", current: str) -> tuple[str, list[Value]]:
    name, equals, start = current.partition("=")
    if not equals:
        options = ((name, each.help) for each in reading.parser.options for name in each.names)
        return VALUES, _starting(options, current)
    option = reading.option(name)
    if option is None or not option.takes_value:
        return VALUES, []
    kind, values = _values(option, reading.line(), start)
    if kind != VALUES:
        values = list(completion_values.paths(start, directories=kind == DIRECTORIES))
    return VALUES, [(f"{name}={value}", meaning) for value, meaning in values]


def _values(argument: Argument, line: Line, current: str) -> tuple[str, list[Value]]:
    if argument.choices:
        return VALUES, _starting(((choice, "") for choice in argument.choices), current)
    kind = argument.complete or completion_values.BY_METAVAR.get(argument.metavar or "", "")
    if kind in (FILES, DIRECTORIES):
        return kind, []
    transport, colon, path = current.partition(":")
    if kind == "images" and colon and transport in ("oci", "oci-archive", "docker-archive"):
        found = list(completion_values.paths(path, directories=transport == "oci"))
        values = [(f"{transport}:{value}", meaning) for value, meaning in found]
        return VALUES, values + _starting(completion_values.SOURCES["stored images"](line), current)
    source = completion_values.SOURCES.get(kind)
    return VALUES, _starting(source(line), current) if source is not None else []


def _starting(values: Iterable[Value], start: str) -> list[Value]:
    return [each for each in values if each[0].startswith(start)]


class _Reading:
    """The words before the one that is completed, read one by one.

    parser: of the words to come; without arguments after an unknown command. pending: the option whose value is next.
    """

    def __init__(self) -> None:
        self.parser = declarations.of_top()
        self.command: tuple[str, ...] = ()
        self.command_is_complete = False
        self.pending: Argument | None = None
        self._words: list[str] = []
        self._options: dict[str, str] = {}

    def option(self, name: str) -> Argument | None:
        """Return the option of a name."""
        return next((each for each in self.parser.options if name in each.names), None)

    def take(self, word: str) -> None:
        """Read a word."""
        if self.pending is not None:
            self._options[self.pending.dest] = word
            self.pending = None
        elif word.startswith("-") and word != "-":
            self._take_option(*word.partition("="))
        elif self.command_is_complete:
            self._words.append(word)
        else:
            self._take_command(word)

    def _take_option(self, name: str, equals: str, value: str) -> None:
        option = self.option(name)
        if option is not None and option.takes_value:
            if equals:
                self._options[option.dest] = value
            else:
                self.pending = option

    def _take_command(self, word: str) -> None:
        known = COMMANDS.get(self.command[0] if self.command else word)
        if known is None:
            self._use(())
        elif self.command:
            part = known.aliases.get(word, word)
            self._use((*self.command, part) if part in known.subcommands else ())
        elif known.subcommands:
            self.command, self.parser = (word,), declarations.of_group(word)
        else:
            self._use((word,))

    def _use(self, command: tuple[str, ...]) -> None:
        self.command, self.command_is_complete = command, True
        self.parser = declarations.of_command(command) if command else Declarations("")

    def next_word(self) -> Argument | None:
        """Return the positional argument that the next word is."""
        words = self.parser.words
        if len(self._words) < len(words):
            return words[len(self._words)]
        return words[-1] if words and words[-1].repeats else None

    def line(self) -> Line:
        """Return what has been read."""
        root = self._options.get("root") or default_root(os.environ, os.geteuid())
        return Line(os.path.abspath(expand_home(root, os.environ)), self.command, self._words, self._options)

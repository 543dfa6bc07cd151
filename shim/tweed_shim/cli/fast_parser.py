"""Parse plain command lines without argparse, whose import costs a warm `exec` 5 %.

Arguments are declared by the same calls as for argparse. A plain command line, with options by their full names, their
values and single words, gives the same result. Everything else (help, versions, clusters of short options, repeated
words, mistakes) raises Unclear, and argparse parses it again.
"""

from collections.abc import Callable, Container, Iterable
from types import SimpleNamespace

from tweed_shim.base.lean.typing import Any
from tweed_shim.base.records import Record

# As argparse has them.
REMAINDER = "..."
ANY_NUMBER = "*"


class Unclear(Exception):
    """The command line is not plain."""


class _Argument(Record):
    """A declared argument; `name` is that of the attribute. group: its mutually exclusive group, if any."""

    name: str
    group: "_ExclusiveGroup | None" = None
    action: str = "store"
    nargs: str | None = None
    const: Any = None
    default: Any = None
    type: Callable[[str], Any] = str
    choices: Container[Any] | None = None
    required: bool = False

    def value(self, text: str) -> Any:
        """Convert a text. Raises Unclear where it is not allowed."""
        try:
            value = self.type(text)
        except Exception:  # noqa: BLE001 - any error: argparse parses the text again and reports it
            raise Unclear from None
        if self.choices is not None and value not in self.choices:
            raise Unclear
        return value


class FastParser:
    """A parser of plain command lines, with the methods of argparse.ArgumentParser."""

    SUPPRESS = "==SUPPRESS=="
    intermixed = False

    def __init__(self, **_: object) -> None:
        self._options: dict[str, _Argument] = {}
        self._words: list[_Argument] = []

    def add_argument(self, *names: str, **declaration: Any) -> None:
        """Declare an option or a word."""
        if declaration.get("action") == "version":
            return
        if declaration.get("action") == "store_true":
            declaration.update(action="store_const", const=True, default=False)
        if declaration.get("nargs") == ANY_NUMBER:
            declaration.setdefault("default", [])
        long = next((name for name in names if name.startswith("--")), names[0])
        name = declaration.pop("dest", None) or long.lstrip("-").replace("-", "_")
        # Help texts and the like are left out.
        argument = _Argument(
            name, **{key: value for key, value in declaration.items() if key in _Argument.FIELDS}
        )
        if names[0].startswith("-"):
            self._options.update(dict.fromkeys(names, argument))
        else:
            self._words.append(argument)

    def add_argument_group(self, *_: str) -> "FastParser":
        """Return this parser: headings are for the help only."""
        return self

    def add_mutually_exclusive_group(self, **_: bool) -> "_ExclusiveGroup":
        """Return a group of arguments, only one of which may be given."""
        return _ExclusiveGroup(self)

    def print_help(self, *_: object) -> None:
        """Leave it to argparse."""
        raise Unclear

    def error(self, _: str) -> None:
        """Leave it to argparse."""
        raise Unclear

    def parse_args(self, args: list[str], namespace: SimpleNamespace | None = None) -> SimpleNamespace:
        """Return the values of all arguments. Raises Unclear."""
        values = namespace or SimpleNamespace()
        for argument in (*self._options.values(), *self._words):
            if argument.default != self.SUPPRESS and not hasattr(values, argument.name):
                setattr(values, argument.name, argument.default)
        rest, words, given = args[::-1], self._words[::-1], []
        while rest:
            text = rest.pop()
            if text.startswith("-") and text != "-":
                given.append(self._take_option(text, rest, values))
            else:
                self._take_word(text, rest, words, values=values)
        if any(word.nargs not in ("?", ANY_NUMBER) for word in words):
            raise Unclear
        _check_given(given, self._options.values())
        return values

    def _take_option(self, text: str, rest: list[str], values: SimpleNamespace) -> _Argument:
        name, equals, value = text.partition("=")
        option = self._options.get(name)
        if option is None or option.nargs is not None or (equals and not name.startswith("--")):
            raise Unclear
        if option.action == "store_const" and not equals:
            setattr(values, option.name, option.const)
        elif option.action in ("store", "append"):
            if not equals:
                value = rest.pop() if rest else "-?"
                if value.startswith("-") and value != "-":
                    raise Unclear
            new = option.value(value)
            setattr(
                values,
                option.name,
                [*getattr(values, option.name), new] if option.action == "append" else new,
            )
        else:
            raise Unclear
        return option

    def _take_word(
        self, text: str, rest: list[str], words: list[_Argument], *, values: SimpleNamespace
    ) -> None:
        word = words.pop() if words else None
        if word is None:
            raise Unclear
        if word.nargs == ANY_NUMBER and self.intermixed:
            setattr(values, word.name, [*getattr(values, word.name), word.value(text)])
            words.append(word)
            return
        all_after = bool(words) and words[-1].nargs == REMAINDER
        if not (word.nargs is None or (word.nargs == "?" and all_after)):
            raise Unclear
        setattr(values, word.name, word.value(text))
        if all_after:
            setattr(values, words.pop().name, rest[::-1])
            rest.clear()


class _ExclusiveGroup:
    """A group of arguments, only one of which may be given."""

    def __init__(self, parser: FastParser) -> None:
        self._parser = parser

    def add_argument(self, *names: str, **declaration: Any) -> None:
        """Declare an argument of the group."""
        self._parser.add_argument(*names, group=self, **declaration)


def _check_given(given: list[_Argument], options: Iterable[_Argument]) -> None:
    names = {option.name for option in given}
    if any(option.required and option.name not in names for option in options):
        raise Unclear
    groups = {option.name: option.group for option in given if option.group}
    if len(set(groups.values())) != len(groups):
        raise Unclear

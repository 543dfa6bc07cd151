"""Parse plain command lines without argparse, whose import costs a warm `exec` 5 %.

Arguments are declared by the same calls as for argparse, and a plain command line gives the same result: options by
their full names, their values, and single words. Everything else (help, versions, clusters of short options,
repeated words, mistakes) raises Unclear, and argparse reads it again.
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
    """A declared argument; `name` is that of the attribute. rivals: the arguments of which only one may be given."""

    name: str
    rivals: "_Rivals | None" = None
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
        except Exception:  # noqa: BLE001 - whatever is wrong with it, argparse asks again and says so
            raise Unclear from None
        if self.choices is not None and value not in self.choices:
            raise Unclear
        return value


class Sketch:
    """See the module; the methods are those of argparse's parser."""

    SUPPRESS = "==SUPPRESS=="
    intermixed = False

    def __init__(self, **_: object) -> None:
        self._options: dict[str, _Argument] = {}
        self._words: list[_Argument] = []

    def add_argument(self, *names: str, **told: Any) -> None:
        """Declare an option or a word."""
        if told.get("action") == "version":
            return
        if told.get("action") == "store_true":
            told.update(action="store_const", const=True, default=False)
        if told.get("nargs") == ANY_NUMBER:
            told.setdefault("default", [])
        long = next((name for name in names if name.startswith("--")), names[0])
        name = told.pop("dest", None) or long.lstrip("-").replace("-", "_")
        # What is only said in the help is left out.
        argument = _Argument(name, **{key: value for key, value in told.items() if key in _Argument.FIELDS})
        if names[0].startswith("-"):
            self._options.update(dict.fromkeys(names, argument))
        else:
            self._words.append(argument)

    def add_argument_group(self, *_: str) -> "Sketch":
        """Arguments with a heading of their own are arguments like any other."""
        return self

    def add_mutually_exclusive_group(self, **_: bool) -> "_Rivals":
        """Arguments of which one may be given."""
        return _Rivals(self)

    def print_help(self, *_: object) -> None:
        """Leave it to argparse."""
        raise Unclear

    def error(self, _: str) -> None:
        """Leave it to argparse."""
        raise Unclear

    def parse_args(self, args: list[str], namespace: SimpleNamespace | None = None) -> SimpleNamespace:
        """Return the values of all arguments. Raises Unclear."""
        found = namespace or SimpleNamespace()
        for argument in (*self._options.values(), *self._words):
            if argument.default != self.SUPPRESS and not hasattr(found, argument.name):
                setattr(found, argument.name, argument.default)
        rest, words, given = args[::-1], self._words[::-1], []
        while rest:
            text = rest.pop()
            if text.startswith("-") and text != "-":
                given.append(self._take_option(text, rest, found))
            else:
                self._take_word(text, rest, words, found)
        if any(word.nargs not in ("?", ANY_NUMBER) for word in words):
            raise Unclear
        _check_given(given, self._options.values())
        return found

    def _take_option(self, text: str, rest: list[str], found: SimpleNamespace) -> _Argument:
        name, equals, value = text.partition("=")
        option = self._options.get(name)
        if option is None or option.nargs is not None or (equals and not name.startswith("--")):
            raise Unclear
        if option.action == "store_const" and not equals:
            setattr(found, option.name, option.const)
        elif option.action in ("store", "append"):
            if not equals:
                value = rest.pop() if rest else "-?"
                if value.startswith("-") and value != "-":
                    raise Unclear
            new = option.value(value)
            setattr(
                found, option.name, [*getattr(found, option.name), new] if option.action == "append" else new
            )
        else:
            raise Unclear
        return option

    def _take_word(self, text: str, rest: list[str], words: list[_Argument], found: SimpleNamespace) -> None:
        word = words.pop() if words else None
        if word is None:
            raise Unclear
        if word.nargs == ANY_NUMBER and self.intermixed:
            setattr(found, word.name, [*getattr(found, word.name), word.value(text)])
            words.append(word)
            return
        all_after = bool(words) and words[-1].nargs == REMAINDER
        if not (word.nargs is None or (word.nargs == "?" and all_after)):
            raise Unclear
        setattr(found, word.name, word.value(text))
        if all_after:
            setattr(found, words.pop().name, rest[::-1])
            rest.clear()


class _Rivals:
    """See `Sketch.add_mutually_exclusive_group`."""

    def __init__(self, sketch: Sketch) -> None:
        self._sketch = sketch

    def add_argument(self, *names: str, **told: Any) -> None:
        """Declare one of them."""
        self._sketch.add_argument(*names, rivals=self, **told)


def _check_given(given: list[_Argument], options: Iterable[_Argument]) -> None:
    names = {option.name for option in given}
    if any(option.required and option.name not in names for option in options):
        raise Unclear
    rivals = {option.name: option.rivals for option in given if option.rivals}
    if len(set(rivals.values())) != len(rivals):
        raise Unclear

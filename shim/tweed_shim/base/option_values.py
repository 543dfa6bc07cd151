"""Checks of option values, for the command line and for the Python API: one sentence each.

A check takes a value and returns it as the rest of the package has it. It raises ConfigError, whose sentence does not
name the option: the command line puts `argument --timeout: ` before it, `argument` puts `argument timeout: `.
This module is on the path of every run: it imports little.
"""

import os
from collections.abc import Callable, Mapping

from tweed_shim.base.lean.typing import Any
from tweed_shim.errors import ConfigError

Check = Callable[[Any], Any]

_LONGEST_SHOWN = 60


def checks(**by_name: Check) -> Mapping[str, Check]:
    """Return the checks of a record's fields, by the names of the fields: see `Record.CHECKS`."""
    return by_name


def argument(name: str, value: Any, check: Check) -> Any:
    """Check the argument of a function, or the field of a record. Raises ConfigError, which names it."""
    try:
        return check(value)
    except ConfigError as error:
        raise ConfigError(f"argument {name}: {error}") from None


def shown(value: object) -> str:
    """Return a value for a message, cut where it is long."""
    text = repr(value)
    return text if len(text) <= _LONGEST_SHOWN else f"{text[: _LONGEST_SHOWN - 3]}..."


def choice(*names: str) -> Check:
    """Return a check for one of a few words."""

    def check(value: object) -> str:
        if not isinstance(value, str) or value not in names:
            raise ConfigError(
                f"{shown(value)} is not one of its values; use {', '.join(names[:-1])} or {names[-1]}"
            )
        return value

    return check


PULL_POLICIES = ("always", "missing", "never")
pull_policy = choice(*PULL_POLICIES)


def number(*, most: float) -> Check:
    """Return a check for a number above 0 and at most `most`."""

    def check(value: object) -> float:
        # A bool is an int, and not a number is not between any two.
        if not isinstance(value, int | float) or isinstance(value, bool) or not 0 < value <= most:
            raise ConfigError(f"{shown(value)} is no positive number up to {most:g}; use one such as 2.5")
        return value

    return check


def whole_number(*, most: int, example: str, least: int = 1) -> Check:
    """Return a check for a whole number from `least` to `most`."""

    def check(value: object) -> int:
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
            raise ConfigError(
                f"{shown(value)} is no whole number from {least} to {most}; use one such as {example}"
            )
        return value

    return check


# A descriptor of a file: RLIMIT_NOFILE is at most 2**30 (fs.nr_open).
descriptor = whole_number(least=0, most=(1 << 30) - 1, example="2, or use None")


def function(value: object) -> object:
    """Check that a value can be called."""
    if not callable(value):
        raise ConfigError(f"{shown(value)} cannot be called; use a function")
    return value


def flag(value: object) -> bool:
    """Check that a value is a bool: an option that opens a door is not opened by the text `no`."""
    if not isinstance(value, bool):
        raise ConfigError(f"{shown(value)} is neither True nor False; use one of them")
    return value


def text(value: object) -> str:
    """Check that a value is a text with something in it."""
    if not isinstance(value, str) or not value or "\0" in value:
        raise ConfigError(f"{shown(value)} is no text, or has nothing or a NUL in it; use a text")
    return value


def path(value: object) -> str:
    """Check that a value is a path: a text, or what `os.fspath` makes one of."""
    try:
        name = os.fspath(value)  # type: ignore[call-overload]  # that is what is asked here
    except TypeError:
        name = None
    if not isinstance(name, str) or not name or "\0" in name:
        raise ConfigError(f"{shown(value)} is no path of a file; use a text or a pathlib.Path")
    return name


def sequence(check: Check) -> Check:
    """Return a check for a list or tuple whose entries pass a check; a text alone is not a list of its letters."""

    def check_all(values: object) -> tuple[Any, ...]:
        if not isinstance(values, list | tuple):
            raise ConfigError(f"{shown(values)} is no list; use a list or a tuple, such as ['x']")
        return tuple([check(value) for value in values])

    return check_all


def text_map(value: object) -> Mapping[str, str]:
    """Check that a value maps texts to texts."""
    if not isinstance(value, Mapping) or not all(
        isinstance(each, str) for pair in value.items() for each in pair
    ):
        raise ConfigError(f"{shown(value)} does not map texts to texts; use a dict such as {{'name': 'x'}}")
    return value


def instance(kind: type) -> Check:
    """Return a check for an instance of a class."""

    def check(value: object) -> object:
        if not isinstance(value, kind):
            raise ConfigError(f"{shown(value)} is no {kind.__name__}; use {kind.__name__}(...)")
        return value

    return check


def optional(check: Check) -> Check:
    """Return a check that also takes None."""
    return lambda value: None if value is None else check(value)

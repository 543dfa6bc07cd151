"""Values as the content of files and the input of commands, and the options for that."""

from __future__ import annotations

from tweed_shim.base.records import Record, replace
from tweed_shim.spiff.functions.arguments import parse_integer
from tweed_shim.spiff.functions.encodings import to_bytes
from tweed_shim.spiff.functions.strings import from_base64
from tweed_shim.spiff.tree.nodes import type_name
from tweed_shim.spiff.tree.output import to_yaml
from tweed_shim.spiff.tree.values import Fault, Value, is_integer, simple_text


class Options(Record):
    """How to write a value: mode bits; `binary`: strings are base64; `several`: each entry of a list is a document."""

    mode: int
    binary: bool = False
    several: bool = False


def options(value: Value, default: Options) -> Options:
    """Read the options that an argument gives: mode bits, or words and mode bits with commas. Raises Fault."""
    if is_integer(value):
        return replace(default, mode=_checked(value))
    if not isinstance(value, str):
        raise Fault(f"permissions must be given as int or int string, found {type_name(value)}")
    words = [word.strip() for word in value.split(",")]
    binary = any(word in ("binary", "#") for word in words)
    rest = [word for word in words if word not in ("binary", "#", "multiyaml")]
    if len(rest) > 1:
        raise Fault(f"invalid options {' '.join(rest)}, expecting file mode")
    mode = _mode(rest[0]) if rest else default.mode
    return Options(mode, binary or default.binary, "multiyaml" in words or default.several)


def _mode(text: str) -> int:
    number = parse_integer(text, 8 if text.startswith("0") else 10)
    if number is None:
        raise Fault(f"permissions must be given as int or int string: {text!r} is none")
    return _checked(number)


def _checked(mode: int) -> int:
    if not 0 <= mode <= 0o7777:
        raise Fault(f"permissions must be between 0 and 07777, found {mode}")
    return mode


def scalar(value: Value) -> str | None:
    """Return a simple value as text; None for anything else."""
    return f"{value:.64e}" if isinstance(value, float) else simple_text(value)


def text(value: Value, *, several: bool = False) -> str:
    """Return a value as text: a YAML document where it is not simple, one for each entry if `several`. Raises Fault."""
    plain = scalar(value)
    if plain is not None:
        return plain
    if value is None:
        raise Fault("yaml or empty data not supported")
    if not several:
        return f"---\n{to_yaml(value)}"
    if not isinstance(value, list):
        raise Fault("multi document mode requires a list")
    return "".join([f"---\n{to_yaml(entry)}" for entry in value])


def data(value: Value, how: Options) -> tuple[str, bytes]:
    """Return a value as text, and as the bytes to write; nil is empty. Raises Fault."""
    written = "" if value is None else text(value, several=how.several)
    if how.binary:
        try:
            return written, from_base64(written)
        except ValueError:
            pass  # It is no base64: the reference writes such a text as it is.
    return written, to_bytes(written)


def tagged(name: str) -> tuple[str, str]:
    """Split a file's name into its tags (`*` executable, `#` base64, then perhaps `:`) and the rest."""
    rest = name.lstrip("*#")
    return name[: len(name) - len(rest)], rest.removeprefix(":")

"""Read one YAML or JSON document that a stranger wrote, within limits, and keep the line of every value.

The result is plain data that JSON could hold: dict, list, str, int, float, bool and None. A key is always the text that
was written (`8080: x` has the key "8080"), and no map has a key twice. A plain YAML scalar is text, unless every reader
agrees that it is something else: `null` and `~`, `true` and `false` (also `True`, `TRUE` and so on), and decimal
numbers without leading zeros. So `yes`, `0123`, `1_000`, `12:30`, `2020-01-01`, `0x1F` and `.inf` are text. So is a
number that is beyond a double's range (`496e2714`, part of a digest), and the key `<<` is a key like any other. Of
YAML's tags only `!!str`, `!!map` and `!!seq` are known.

Errors are of the class of `tweed_shim.errors` that the caller names. They have the line and the column where these are
known, and never quote a value: it may be a secret.
"""

import json
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NoReturn

# Callers use the first and the last as names of this module.
from tweed_shim.data.document_builder import MAX_BYTES as MAX_BYTES
from tweed_shim.data.document_builder import MAX_DEPTH, DocumentBuilder
from tweed_shim.data.document_builder import Document as Document
from tweed_shim.errors import ConfigError, ShimError

if TYPE_CHECKING:
    import yaml

# All but c-printable of YAML 1.2.2, section 5.1; as a complement, because that compiles ten times as fast.
_UNPRINTABLE = re.compile("[\0-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f\ud800-\udfff\ufffe\uffff]")
_INTEGER = re.compile(r"[-+]?(?:0|[1-9][0-9]*)")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|(?:0|[1-9][0-9]*)(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_WORDS: dict[str, bool | None] = {
    "": None, "~": None, "null": None, "Null": None, "NULL": None,
    "true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False,
}  # fmt: skip
_JSON_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*+"|[\[\]{}]|[^\s,:\[\]{}"]+|\n')
_TAG_PREFIX = "tag:yaml.org,2002:"


def load(
    text: bytes | str,
    *,
    name: str,
    error: type[ShimError] = ConfigError,
    as_text: bool = False,
    json_only: bool = False,
    scalar: Callable[[str], Any] | None = None,
) -> Document:
    """Read one document; an empty one, or one of comments only, has the value None.

    name: what messages call it. as_text: every scalar is the text that was written, `~` and `null` too, and a missing
    one is "". json_only: it must be JSON (RFC 8259). Otherwise it is YAML; where it begins with `{` or `[`, JSON is
    tried first, because YAML 1.1, which PyYAML reads, is no superset of it. scalar: what a plain scalar means, for
    readers that have to agree with another program; by default `parse_scalar`.

    Raises `error` for text that is not well-formed, larger than 4 MiB, nested deeper than 100 levels, or of more than
    100,000 values (an alias counts as what it stands for), and for a key that is there twice, an unknown tag and a
    second document.
    """
    builder = DocumentBuilder(name, error, scalar or (str if as_text else parse_scalar))
    decoded = _decode(text, builder)
    if not json_only and decoded.lstrip()[:1] not in ("{", "["):
        return _read_yaml(decoded, builder)
    not_json = _json_fault(decoded, builder)
    if not_json is None:
        return _read_json(decoded, builder)
    if json_only:
        raise error(f"{name} is not JSON: {not_json}")
    try:
        return _read_yaml(decoded, builder)
    except ShimError as fault:
        not_yaml = str(fault).removeprefix(f"{name}, ")
        raise error(f"{name} is not JSON ({not_json}), and as YAML it is refused too ({not_yaml})") from None


def parse_scalar(text: str) -> Any:
    """Return what a plain scalar means: None, a bool, a number or, in most cases, the text itself.

    Raises ValueError for a number that is too large for a double, or has too many digits for Python.
    """
    if text in _WORDS:
        return _WORDS[text]
    if _INTEGER.fullmatch(text):
        return int(text)
    if _FLOAT.fullmatch(text):
        number = float(text)
        if number in (float("inf"), float("-inf")):
            raise ValueError
        return number
    return text


def _decode(text: bytes | str, builder: DocumentBuilder) -> str:
    if len(text) > MAX_BYTES:
        raise builder.error(f"{builder.name} is larger than 4 MiB, which is the most that is read")
    if isinstance(text, str):
        return text.removeprefix("\ufeff")
    try:
        return text.decode("utf-8-sig")
    except UnicodeDecodeError as fault:
        before = text[: fault.start].decode("utf-8", "replace")
        builder.refuse("it is not UTF-8", *_position(before))


def _position(before: str) -> tuple[int, int]:
    """Return the line and column, from 1, of the character that follows `before`."""
    return before.count("\n") + 1, len(before) - before.rfind("\n")


def _json_fault(text: str, builder: DocumentBuilder) -> str | None:
    """Return why the text is not well-formed JSON, or None where it is.

    NaN and Infinity, which Python's reader takes and RFC 8259 does not, are refused at once.
    """

    def refuse_constant(constant: str) -> NoReturn:
        raise builder.error(
            f"{builder.name} holds {constant}, which is no number in JSON; write a finite one, or quote it"
        )

    try:
        # Numbers stay text: Python refuses to convert one of more than 4300 digits.
        json.loads(text, parse_int=str, parse_float=str, parse_constant=refuse_constant)
    except json.JSONDecodeError as fault:
        return f"line {fault.lineno}, column {fault.colno}: {fault.msg.lower().removesuffix(': ')}"
    except RecursionError:
        raise builder.error(f"{builder.name} is nested more than {MAX_DEPTH} levels deep") from None
    return None


def _read_json(text: str, builder: DocumentBuilder) -> Document:
    """Build the document of a text that is known to be well-formed JSON.

    Python's own reader keeps no lines, so the text is cut into tokens here.
    """
    line = 1
    for match in _JSON_TOKEN.finditer(text):
        word = match[0]
        if word == "\n":
            line += 1
        elif word in ("{", "["):
            builder.open({} if word == "{" else [], line)
        elif word in ("}", "]"):
            builder.close()
        elif word[0] == '"':
            builder.scalar(json.loads(word), line, plain=False)
        else:
            builder.scalar(word, line, plain=True, is_json=True)
    return builder.document()


def _read_yaml(text: str, builder: DocumentBuilder) -> Document:
    import yaml

    builder.reset()
    if unprintable := _UNPRINTABLE.search(text):
        position = _position(text[: unprintable.start()])
        builder.refuse(f"the character U+{ord(unprintable[0]):04X} is not allowed in YAML", *position)
    # libyaml where PyYAML was built with it: the same events, some twenty times as fast.
    loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        for event in yaml.parse(text, Loader=loader):
            _take_event(event, builder)
    except yaml.MarkedYAMLError as fault:
        _refuse_yaml(fault, text, builder)
    except (yaml.YAMLError, ValueError, OverflowError):
        # PyYAML's own parser lets some of Python's errors through, such as for an escape beyond Unicode.
        problem = "an escape or a directive in it is malformed"
        raise builder.error(f"{builder.name} is not YAML: {problem}") from None
    return builder.document()


def _take_event(event: Any, builder: DocumentBuilder) -> None:
    # Any: the type stubs have every field of every event optional.
    import yaml

    line = event.start_mark.line + 1
    if isinstance(event, yaml.ScalarEvent):
        _check_tag(event.tag, "str", line, builder)
        plain = event.implicit[0] and event.tag is None
        builder.scalar(event.value, line, plain=plain, anchor=event.anchor)
    elif isinstance(event, yaml.MappingStartEvent):
        _check_tag(event.tag, "map", line, builder)
        builder.open({}, line, event.anchor)
    elif isinstance(event, yaml.SequenceStartEvent):
        _check_tag(event.tag, "seq", line, builder)
        builder.open([], line, event.anchor)
    elif isinstance(event, yaml.CollectionEndEvent):
        builder.close()
    elif isinstance(event, yaml.AliasEvent):
        builder.alias(event.anchor, line)
    elif isinstance(event, yaml.DocumentStartEvent) and builder.root:
        builder.refuse("a second document begins: leave one", line)


def _check_tag(tag: str | None, kind: str, line: int, builder: DocumentBuilder) -> None:
    # The message does not name the tag: it may be a password that begins with an exclamation mark.
    if tag not in (None, "!", _TAG_PREFIX + kind):
        builder.refuse("an unknown tag ('!' begins a tag: quote the value if it is text)", line)


def _refuse_yaml(fault: "yaml.MarkedYAMLError", text: str, builder: DocumentBuilder) -> NoReturn:
    mark = fault.problem_mark or fault.context_mark
    # PyYAML's own parser quotes the tag handle, which may be a secret that lacks its quotes.
    problem = (fault.problem or fault.context or "malformed").split(" handle ")[0]
    if mark is None:
        raise builder.error(f"{builder.name} is not YAML: {problem}")
    if text[mark.index : mark.index + 1] == "\t":
        problem = "a tab cannot indent: use spaces"
    builder.refuse(f"not YAML: {problem}", mark.line + 1, mark.column + 1)


def as_json(value: object, *, name: str) -> str:
    """Return a value as JSON, with its keys in their order. Raises ConfigError where JSON cannot hold it."""
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False)
        text.encode()
    except (TypeError, ValueError, RecursionError):
        verb = "hold" if name.endswith("s") else "holds"
        raise ConfigError(
            f"{name} {verb} a value that JSON cannot hold; use dict, list, str, int, finite float, bool and None"
        ) from None
    return text

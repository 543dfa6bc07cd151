"""YAML and JSON that strangers wrote: read within bounds, and every value keeps its place.

What is read is plain data: dict, list, str, int, float, bool and None, and nothing that JSON could not hold.
Keys are always the text that was written (`8080: x` has the key "8080"), and no map has a key twice. Of plain
YAML scalars only those are more than text which no reader takes for anything else: `null` and `~`, `true` and
`false` (also `True`, `TRUE` and so on), and decimal numbers without leading zeros. So `yes`, `0123`, `1_000`,
`12:30`, `2020-01-01`, `0x1F` and `.inf` are text, as is a number that no double is near to (`496e2714`, part of a
digest), and the key `<<` is a key like any other. Of YAML's tags only `!!str`, `!!map` and `!!seq` are known.

Faults are raised as the class of `tweed_shim.errors` that the caller names, with line and column where they
are known, and never quote a value: it may be a secret.
"""

import json
import re
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

from tweed_shim.errors import ConfigError, ShimError

if TYPE_CHECKING:
    import yaml

MAX_BYTES = 4 << 20
MAX_DEPTH = 100
MAX_NODES = 100_000

Path = Iterable[str | int]

# All but c-printable of YAML 1.2.2, section 5.1; as a complement, because that compiles ten times as fast.
_UNPRINTABLE = re.compile("[\0-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f\ud800-\udfff\ufffe\uffff]")
_SURROGATE = re.compile("[\ud800-\udfff]")
_INTEGER = re.compile(r"[-+]?(?:0|[1-9][0-9]*)")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|(?:0|[1-9][0-9]*)(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_WORDS: dict[str, bool | None] = {
    "": None, "~": None, "null": None, "Null": None, "NULL": None,
    "true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False,
}  # fmt: skip
_JSON_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*+"|[\[\]{}]|[^\s,:\[\]{}"]+|\n')
_TAG_PREFIX = "tag:yaml.org,2002:"
_SIMPLE_KEY = re.compile(r"[A-Za-z0-9_$-]{1,60}")


class _Node(NamedTuple):
    """A complete value; `entries` holds its parts and the line of each. Aliases count as what they name."""

    value: Any
    text: str | None
    entries: dict[str | int, tuple[int, "_Node"]]
    nodes: int
    characters: int
    depth: int


class _Frame:
    """A map or a list that is still open."""

    __slots__ = ("anchor", "characters", "depth", "entries", "key", "key_line", "line", "nodes", "value")

    def __init__(self, value: dict[str, Any] | list[Any], line: int, anchor: str | None) -> None:
        self.value = value
        self.line = line
        self.anchor = anchor
        self.entries: dict[str | int, tuple[int, _Node]] = {}
        self.key: str | None = None
        self.key_line = 0
        self.nodes = self.characters = 0
        self.depth = 1


class Document:
    """A document that was read: its `value`, and the place of everything in it.

    Parts of `value` that YAML aliases share are one object: take it as read-only.
    """

    def __init__(self, root: _Node, line: int) -> None:
        """Wrap what was read; `load` does it."""
        self.value = root.value
        self._root = root
        self._line = line

    def _find(self, path: Path) -> tuple[int, _Node | None]:
        line, node = self._line, self._root
        for key in path:
            if key not in node.entries:
                return line, None
            line, node = node.entries[key]
        return line, node

    def line(self, path: Path) -> int:
        """The line (from 1) of the value at `path`; where it is missing, of what it is missing from."""
        return self._find(path)[0]

    def text(self, path: Path) -> str | None:
        """The scalar at `path` as it was written, or None where there is none."""
        node = self._find(path)[1]
        return node.text if node else None

    def place(self, path: Path) -> str:
        """A path and its line for people: `inputs.port (line 12)`."""
        path = tuple(path)
        return f"{path_name(path)} (line {self.line(path)})"


def path_name(path: Path) -> str:
    """A path for people: `inputs.ports[0]`; a key that is no simple word is quoted, a long one cut."""
    name = ""
    for part in path:
        if isinstance(part, int):
            name += f"[{part}]"
        elif _SIMPLE_KEY.fullmatch(part):
            name += f".{part}" if name else part
        else:
            name += f"[{json.dumps(part if len(part) <= 60 else part[:60] + '...')}]"
    return name or "the document"


def listed(problems: Sequence[str]) -> str:
    """Many problems as part of one sentence; beyond twenty only their number."""
    more = [f"and {len(problems) - 20} more"] if len(problems) > 20 else []
    return "; ".join([*problems[:20], *more])


def load(
    text: bytes | str,
    *,
    name: str,
    error: type[ShimError] = ConfigError,
    as_text: bool = False,
    json_only: bool = False,
    scalar: Callable[[str], Any] | None = None,
) -> Document:
    """Read one document; nothing at all, or only comments, is None.

    name: what messages call it. as_text: every scalar is the text that was written, `~` and `null` as well,
    and one that is missing is "". json_only: it must be JSON (RFC 8259). Otherwise it is YAML, but where it
    begins with `{` or `[` JSON is tried first: YAML 1.1, which PyYAML reads, lacks some of it. scalar: what plain
    scalars mean, for readers that have to agree with another program about that; by default `typed`.

    Raises `error` for what is not well-formed, over 4 MiB, deeper than 100 levels or more than 100,000 values
    (aliases count as what they name), has a key twice or an unknown tag, or holds more than one document.
    """
    builder = _Builder(name, error, scalar or (str if as_text else typed))
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


def typed(text: str) -> Any:
    """What a plain scalar means: None, a bool, a number or, mostly, the text itself.

    Raises ValueError for a number that is too large to be kept.
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


class _Builder:
    """Makes the document out of what a parser finds, and watches over its bounds."""

    def __init__(self, name: str, error: type[ShimError], typed: Callable[[str], Any]) -> None:
        self.name = name
        self.error = error
        self.typed = typed
        self.begin()

    def begin(self) -> None:
        self.stack: list[_Frame] = []
        self.anchors: dict[str | None, _Node | None] = {}
        self.root: tuple[_Node, int] | None = None
        self.nodes = self.characters = 0

    def refuse(self, problem: str, line: int, column: int | None = None) -> NoReturn:
        place = f"line {line}" if column is None else f"line {line}, column {column}"
        raise self.error(f"{self.name}, {place}: {problem}")

    def document(self) -> Document:
        root, line = self.root or (_Node(None, "", {}, 1, 0, 0), 1)
        return Document(root, line)

    def open(self, value: dict[str, Any] | list[Any], line: int, anchor: str | None = None) -> None:
        frame = _Frame(value, line, anchor)
        frame.nodes, frame.characters = self.nodes, self.characters
        self._count(1, 0, 1, line)
        if anchor is not None:
            self.anchors[anchor] = None
        self.stack.append(frame)

    def close(self) -> None:
        frame = self.stack.pop()
        nodes, characters = self.nodes - frame.nodes, self.characters - frame.characters
        node = _Node(frame.value, None, frame.entries, nodes, characters, frame.depth)
        self._add(node, frame.line, frame.anchor)

    def scalar(
        self, text: str, line: int, *, plain: bool, is_json: bool = False, anchor: str | None = None
    ) -> None:
        self._count(1, len(text), 0, line)
        if _SURROGATE.search(text):
            self.refuse("an escape stands for half a character (a lone surrogate)", line)
        value = text
        if plain:
            try:
                value = self.typed(text)
            except ValueError:
                if is_json:
                    self.refuse("the number is too large: quote it if it is text", line)
        self._add(_Node(value, text, {}, 1, len(text), 0), line, anchor)

    def alias(self, anchor: str | None, line: int) -> None:
        if anchor not in self.anchors:
            self.refuse(
                "an alias without an anchor ('*' begins an alias: quote the value if it is text)", line
            )
        node = self.anchors[anchor]
        if node is None:
            self.refuse("an alias stands for what it is itself part of", line)
        self._count(node.nodes, node.characters, node.depth, line)
        self._add(node, line, None)

    def _count(self, nodes: int, characters: int, depth: int, line: int) -> None:
        self.nodes += nodes
        self.characters += characters
        if len(self.stack) + depth > MAX_DEPTH:
            self.refuse(f"it is nested more than {MAX_DEPTH} levels deep", line)
        if self.nodes > MAX_NODES:
            self.refuse(f"it holds more than {MAX_NODES:,} values", line)
        if self.characters > MAX_BYTES:
            self.refuse("it holds more than 4 MiB where its aliases are expanded", line)

    def _add(self, node: _Node, line: int, anchor: str | None) -> None:
        if anchor is not None:
            self.anchors[anchor] = node
        if not self.stack:
            self.root = (node, line)
            return
        frame = self.stack[-1]
        frame.depth = max(frame.depth, node.depth + 1)
        if isinstance(frame.value, list):
            frame.entries[len(frame.value)] = (line, node)
            frame.value.append(node.value)
        elif frame.key is None:
            self._begin_entry(frame, node, line)
        else:
            frame.entries[frame.key] = (frame.key_line, node)
            frame.value[frame.key] = node.value
            frame.key = None

    def _begin_entry(self, frame: _Frame, key: _Node, line: int) -> None:
        if key.text is None:
            self.refuse("a map or a list cannot be a key", line)
        if key.text in frame.entries:
            first = frame.entries[key.text][0]
            self.refuse(f"the key {path_name([key.text])} is there twice (first on line {first})", line)
        frame.key, frame.key_line = key.text, line


def _decode(text: bytes | str, builder: _Builder) -> str:
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
    """Line and column, from 1, of what comes after `before`."""
    return before.count("\n") + 1, len(before) - before.rfind("\n")


def _json_fault(text: str, builder: _Builder) -> str | None:
    """Why the text is not JSON's syntax, or None. What JSON has no words for is refused at once."""

    def refuse_constant(constant: str) -> NoReturn:
        raise builder.error(f"{builder.name} holds {constant}, which JSON has no number for")

    try:
        # Numbers are left as they are: Python refuses to read very long ones.
        json.loads(text, parse_int=str, parse_float=str, parse_constant=refuse_constant)
    except json.JSONDecodeError as fault:
        return f"line {fault.lineno}, column {fault.colno}: {fault.msg.lower().removesuffix(': ')}"
    except RecursionError:
        raise builder.error(f"{builder.name} is nested more than {MAX_DEPTH} levels deep") from None
    return None


def _read_json(text: str, builder: _Builder) -> Document:
    """Build the document of a text that is known to be well-formed."""
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


def _read_yaml(text: str, builder: _Builder) -> Document:
    import yaml

    builder.begin()
    if unprintable := _UNPRINTABLE.search(text):
        place = _position(text[: unprintable.start()])
        builder.refuse(f"the character U+{ord(unprintable[0]):04X} has no place in YAML", *place)
    # libyaml where PyYAML was built with it: the same events, some twenty times as fast.
    loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        for event in yaml.parse(text, Loader=loader):
            _take_event(event, builder)
    except yaml.MarkedYAMLError as fault:
        _refuse_yaml(fault, text, builder)
    except (yaml.YAMLError, ValueError, OverflowError):
        # PyYAML's own parser lets some of Python's errors through, as for an escape that is beyond Unicode.
        problem = "an escape or a directive in it is malformed"
        raise builder.error(f"{builder.name} is not YAML: {problem}") from None
    return builder.document()


def _take_event(event: Any, builder: _Builder) -> None:
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
        builder.refuse("a second document begins, where one is expected", line)


def _check_tag(tag: str | None, kind: str, line: int, builder: _Builder) -> None:
    # The tag is not named: it may well be a password that begins with an exclamation mark.
    if tag not in (None, "!", _TAG_PREFIX + kind):
        builder.refuse("an unknown tag ('!' begins a tag: quote the value if it is text)", line)


def _refuse_yaml(fault: "yaml.MarkedYAMLError", text: str, builder: _Builder) -> NoReturn:
    mark = fault.problem_mark or fault.context_mark
    # PyYAML's own parser names the tag handle, which may be a value without its quotes.
    problem = (fault.problem or fault.context or "malformed").split(" handle ")[0]
    if mark is None:
        raise builder.error(f"{builder.name} is not YAML: {problem}")
    if text[mark.index : mark.index + 1] == "\t":
        problem = "a tab cannot indent: use spaces"
    builder.refuse(f"not YAML: {problem}", mark.line + 1, mark.column + 1)


def as_json(value: object, *, name: str) -> str:
    """A value as JSON, names in their order. Raises ConfigError for one that JSON has no form for."""
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False)
        text.encode()
    except (TypeError, ValueError, RecursionError):
        verb = "hold" if name.endswith("s") else "holds"
        raise ConfigError(
            f"{name} {verb} a value that JSON has no form for: use dict, list, str, int, finite float, bool and None"
        ) from None
    return text

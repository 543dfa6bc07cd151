"""Read YAML as the reference's library does (candiedyaml, a reader of YAML 1.1 modelled on libyaml).

Plain scalars are null (`~`, `null`, nothing), bools (`y`, `yes`, `on`, `true` and their opposites, in any case),
integers of 64 bits (also `0x1F`, `0b1`, `0o17`, `017` and `1_000`), floats (also integers that need more than
64 bits), and texts. Keys must be texts: another key is refused. Dates stay the text that was written.
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any, NoReturn

from tweed_shim.spiff.tree.nodes import Node
from tweed_shim.spiff.tree.size import measure
from tweed_shim.spiff.tree.values import Fault, Value

if TYPE_CHECKING:
    import yaml

MAX_CHARACTERS = 32 << 20
MAX_NODES = 2_000_000
MAX_DEPTH = 200
"""The most characters of a stream, the most values in it (an alias counts as what it names), and their levels."""

_UNPRINTABLE = re.compile("[\0-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f\ud800-\udfff\ufffe\uffff]")
_INTEGER = re.compile(r"[-+]?(?:0[xX][0-9a-fA-F]+|0[bB][01]+|0[oO]?[0-7]*|[1-9][0-9]*)")
_FLOAT = re.compile(r"[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?")
_SPECIAL_FLOATS = {
    ".inf": math.inf, "+.inf": math.inf, "+inf": math.inf, "+infinity": math.inf,
    "-.inf": -math.inf, "-inf": -math.inf, "-infinity": -math.inf,
    ".nan": math.nan, "+.nan": math.nan, "-.nan": math.nan, "+nan": math.nan, "-nan": math.nan,
}  # fmt: skip
_NULLS = ("~", "null", "Null", "NULL", "")
_BOOLS = {
    "y": True, "yes": True, "true": True, "on": True, "n": False, "no": False, "false": False, "off": False,
}  # fmt: skip


class ReadFault(Fault):
    """A text is no YAML, or more than is read; the reason names the line."""


def scalar(text: str) -> Value:
    """Return the value of a plain scalar."""
    if text in _NULLS:
        return None
    first = text[0]
    if first in "0123456789+-.":
        number = _number(text)
        return text if number is None else number
    if first in "yYnNtTfFoO":
        return _BOOLS.get(text.lower(), text)
    return text


def _number(text: str) -> int | float | None:
    digits = text.replace("_", "")
    if text[0] != "." and _INTEGER.fullmatch(digits):
        number = _integer(digits)
        if -(1 << 63) <= number < 1 << 63:
            return number
    if _FLOAT.fullmatch(digits):
        value = float(digits)
        return None if math.isinf(value) else value
    return _SPECIAL_FLOATS.get(digits.lower())


def _integer(digits: str) -> int:
    sign = -1 if digits[0] == "-" else 1
    digits = digits.lstrip("+-")
    if len(digits) > 1 and digits[0] == "0" and digits[1] in "01234567":
        digits = f"0o{digits[1:]}"
    # Python refuses to convert very long decimal numbers (sys.set_int_max_str_digits); those are floats anyway.
    return sign * int(digits, 0) if len(digits) < 100 else 1 << 64


def read(text: str, source: str) -> list[Node]:
    """Read all documents of a text; an empty text is one document that is null. Raises ReadFault."""
    if len(text) > MAX_CHARACTERS:
        raise ReadFault(
            f"it is larger than {MAX_CHARACTERS >> 20} MiB, the most that is read; give a smaller one"
        )
    text = text.removeprefix("\ufeff")
    if not text.strip(" \t\n\r"):
        return [Node(None, source)]
    found = _UNPRINTABLE.search(text)
    if found:
        line = text.count("\n", 0, found.start()) + 1
        raise ReadFault(f"line {line}: it holds a character that YAML does not allow (U+{ord(found[0]):04X})")
    return _events(text, source)


def _events(text: str, source: str) -> list[Node]:
    import yaml

    # libyaml, if PyYAML was built with it: it makes the same events about twenty times as fast.
    loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    builder = _Builder(source)
    try:
        for event in yaml.parse(text, Loader=loader):
            builder.add(event)
    except yaml.MarkedYAMLError as fault:
        mark: Any = fault.problem_mark or fault.context_mark
        where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        raise ReadFault(f"{where}{fault.problem or fault.context}") from None
    except (yaml.YAMLError, ValueError, OverflowError, RecursionError) as fault:
        raise ReadFault(f"it cannot be read as YAML ({type(fault).__name__})") from None
    return builder.documents or [Node(None, source)]


class _Frame:
    """A map or a list that is still open."""

    __slots__ = ("anchor", "begun", "key", "value")

    def __init__(self, value: dict[str, Node] | list[Node], anchor: str | None, begun: int) -> None:
        self.value = value
        self.anchor = anchor
        self.key: str | None = None
        self.begun = begun


class _Builder:
    """Builds nodes from the events of a YAML parser."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.documents: list[Node] = []
        self.stack: list[_Frame] = []
        # The node that an anchor names, with the number of its values; None while that node is still open.
        self.anchors: dict[str, tuple[Node, int] | None] = {}
        self.nodes = 0

    def add(self, event: yaml.Event) -> None:
        """Process the next event."""
        import yaml

        if isinstance(event, yaml.ScalarEvent):
            self._scalar(event)
        elif isinstance(event, (yaml.MappingStartEvent, yaml.SequenceStartEvent)):
            self._open({} if isinstance(event, yaml.MappingStartEvent) else [], event)
        elif isinstance(event, yaml.CollectionEndEvent):
            frame = self.stack.pop()
            self._put(Node(frame.value, self.source), frame.anchor, self.nodes - frame.begun, event)
        elif isinstance(event, yaml.AliasEvent):
            self._alias(event)
        elif isinstance(event, yaml.DocumentStartEvent):
            self.anchors = {}

    def _refuse(self, event: yaml.Event, problem: str) -> NoReturn:
        mark: Any = event.start_mark
        raise ReadFault(f"line {mark.line + 1}, column {mark.column + 1}: {problem}")

    def _scalar(self, event: yaml.ScalarEvent) -> None:
        plain = event.implicit[0] or event.tag not in (None, "!")
        self._put(Node(scalar(event.value) if plain else event.value, self.source), event.anchor, 1, event)

    def _open(self, value: dict[str, Node] | list[Node], event: yaml.NodeEvent) -> None:
        if len(self.stack) >= MAX_DEPTH:
            self._refuse(event, f"it is nested more than {MAX_DEPTH} levels deep")
        if event.anchor is not None:
            self.anchors[event.anchor] = None
        self.stack.append(_Frame(value, event.anchor, self.nodes))

    def _alias(self, event: yaml.AliasEvent) -> None:
        if event.anchor not in self.anchors:
            self._refuse(event, f"the alias '*{event.anchor}' has no anchor")
        known = self.anchors[event.anchor]
        if known is None:
            self._refuse(event, f"the alias '*{event.anchor}' is within the value that it stands for")
        node, size = known
        if len(self.stack) + measure(node)[1] > MAX_DEPTH:
            self._refuse(event, f"it is nested more than {MAX_DEPTH} levels deep")
        self._put(node, None, size, event)

    def _put(self, node: Node, anchor: str | None, size: int, event: yaml.Event) -> None:
        # The entries of a map or list that ends here are counted already.
        self.nodes += 1 if isinstance(node.value, (dict, list)) and not self._is_alias(event) else size
        if self.nodes > MAX_NODES:
            self._refuse(event, f"it holds more than {MAX_NODES:,} values")
        if anchor is not None:
            self.anchors[anchor] = (node, size + 1)
        if not self.stack:
            self.documents.append(node)
            return
        frame = self.stack[-1]
        if isinstance(frame.value, list):
            frame.value.append(node)
        elif frame.key is None:
            if not isinstance(node.value, str):
                self._refuse(event, f"a key must be a text, but {_shown(node.value)} is not; quote it")
            frame.key = node.value
        else:
            frame.value[frame.key] = node
            frame.key = None

    @staticmethod
    def _is_alias(event: yaml.Event) -> bool:
        import yaml

        return isinstance(event, yaml.AliasEvent)


def _shown(value: Value) -> str:
    return "a map or a list" if isinstance(value, (dict, list)) else str(value).lower()

"""Build a document from the events of a parser, and enforce the limits on its size while that is done.

The limits protect the process: a YAML text of a few hundred bytes can expand to gigabytes through its aliases.
"""

import re
from collections.abc import Callable
from typing import Any, NamedTuple, NoReturn

from tweed_shim.data.document_paths import Path, path_name
from tweed_shim.errors import ShimError

MAX_BYTES = 4 << 20
MAX_DEPTH = 100
MAX_NODES = 100_000

_SURROGATE = re.compile("[\ud800-\udfff]")


class Node(NamedTuple):
    """A complete value. `entries` holds the values in it, each with its line.

    `nodes`, `characters` and `depth` count an alias as what it stands for. A NamedTuple, because a document may have
    100,000 of them and a Record takes five times as long to make.
    """

    value: Any
    text: str | None
    entries: dict[str | int, tuple[int, "Node"]]
    nodes: int
    characters: int
    depth: int


class _OpenCollection:
    """A map or a list whose end has not been read yet."""

    __slots__ = ("anchor", "characters", "depth", "entries", "key", "key_line", "line", "nodes", "value")

    def __init__(self, value: dict[str, Any] | list[Any], line: int, anchor: str | None) -> None:
        self.value = value
        self.line = line
        self.anchor = anchor
        self.entries: dict[str | int, tuple[int, Node]] = {}
        self.key: str | None = None
        self.key_line = 0
        self.nodes = self.characters = 0
        self.depth = 1


class Document:
    """A document that was read: its `value`, and the line of each value in it.

    Values that YAML aliases share are one object, so treat `value` as read-only.
    """

    def __init__(self, root: Node, line: int) -> None:
        """Wrap the root; use `documents.load` to read a document."""
        self.value = root.value
        self._root = root
        self._line = line

    def _find(self, path: Path) -> tuple[int, Node | None]:
        line, node = self._line, self._root
        for key in path:
            if key not in node.entries:
                return line, None
            line, node = node.entries[key]
        return line, node

    def line(self, path: Path) -> int:
        """Return the line (from 1) of the value at `path`; of the map or list that lacks it, where there is none."""
        return self._find(path)[0]

    def text(self, path: Path) -> str | None:
        """Return the scalar at `path` as it was written, or None where there is none."""
        node = self._find(path)[1]
        return node.text if node else None

    def location(self, path: Path) -> str:
        """Return a path and its line for people: `inputs.port (line 12)`."""
        path = tuple(path)
        return f"{path_name(path)} (line {self.line(path)})"


class DocumentBuilder:
    """Builds a document, and refuses one that exceeds the limits.

    name: what messages call the document. error: the class of the errors. parse_scalar: what a plain scalar means; it
    raises ValueError for a number that is too large.
    """

    def __init__(self, name: str, error: type[ShimError], parse_scalar: Callable[[str], Any]) -> None:
        self.name = name
        self.error = error
        self._parse_scalar = parse_scalar
        self.reset()

    def reset(self) -> None:
        """Forget what was built, to begin again with another parser."""
        self._stack: list[_OpenCollection] = []
        # None stands for an anchor whose value is not complete: an alias to it would be part of itself.
        self._anchors: dict[str | None, Node | None] = {}
        self.root: tuple[Node, int] | None = None
        self._nodes = self._characters = 0

    def refuse(self, problem: str, line: int, column: int | None = None) -> NoReturn:
        """Raise the error of this document for a problem at a line."""
        position = f"line {line}" if column is None else f"line {line}, column {column}"
        raise self.error(f"{self.name}, {position}: {problem}")

    def document(self) -> Document:
        """Return what was built; None as its value where there was nothing."""
        root, line = self.root or (Node(None, "", {}, 1, 0, 0), 1)
        return Document(root, line)

    def open(self, value: dict[str, Any] | list[Any], line: int, anchor: str | None = None) -> None:
        """Begin a map or a list; what is added until `close` goes into it."""
        collection = _OpenCollection(value, line, anchor)
        collection.nodes, collection.characters = self._nodes, self._characters
        self._count(1, 0, 1, line)
        if anchor is not None:
            self._anchors[anchor] = None
        self._stack.append(collection)

    def close(self) -> None:
        """End the map or list that was opened last."""
        collection = self._stack.pop()
        nodes, characters = self._nodes - collection.nodes, self._characters - collection.characters
        node = Node(collection.value, None, collection.entries, nodes, characters, collection.depth)
        self._add(node, collection.line, collection.anchor)

    def scalar(
        self, text: str, line: int, *, plain: bool, is_json: bool = False, anchor: str | None = None
    ) -> None:
        """Add a scalar. plain: it was written without quotes, so it may be more than text."""
        self._count(1, len(text), 0, line)
        if _SURROGATE.search(text):
            self.refuse("an escape stands for half a character (a lone surrogate)", line)
        value = text
        if plain:
            try:
                value = self._parse_scalar(text)
            except ValueError:
                if is_json:
                    self.refuse("the number is too large: quote it if it is text", line)
        self._add(Node(value, text, {}, 1, len(text), 0), line, anchor)

    def alias(self, anchor: str | None, line: int) -> None:
        """Add the value of an anchor again; it counts as often as it is used."""
        if anchor not in self._anchors:
            self.refuse(
                "an alias without an anchor ('*' begins an alias: quote the value if it is text)", line
            )
        node = self._anchors[anchor]
        if node is None:
            self.refuse("an alias stands for a value that contains the alias", line)
        self._count(node.nodes, node.characters, node.depth, line)
        self._add(node, line, None)

    def _count(self, nodes: int, characters: int, depth: int, line: int) -> None:
        self._nodes += nodes
        self._characters += characters
        if len(self._stack) + depth > MAX_DEPTH:
            self.refuse(f"it is nested more than {MAX_DEPTH} levels deep", line)
        if self._nodes > MAX_NODES:
            self.refuse(f"it holds more than {MAX_NODES:,} values", line)
        if self._characters > MAX_BYTES:
            self.refuse("it holds more than 4 MiB where its aliases are expanded", line)

    def _add(self, node: Node, line: int, anchor: str | None) -> None:
        if anchor is not None:
            self._anchors[anchor] = node
        if not self._stack:
            self.root = (node, line)
            return
        collection = self._stack[-1]
        collection.depth = max(collection.depth, node.depth + 1)
        if isinstance(collection.value, list):
            collection.entries[len(collection.value)] = (line, node)
            collection.value.append(node.value)
        elif collection.key is None:
            self._begin_entry(collection, node, line)
        else:
            collection.entries[collection.key] = (collection.key_line, node)
            collection.value[collection.key] = node.value
            collection.key = None

    def _begin_entry(self, collection: _OpenCollection, key: Node, line: int) -> None:
        if key.text is None:
            self.refuse("a map or a list cannot be a key", line)
        if key.text in collection.entries:
            first = collection.entries[key.text][0]
            self.refuse(f"the key {path_name([key.text])} is there twice (first on line {first})", line)
        collection.key, collection.key_line = key.text, line

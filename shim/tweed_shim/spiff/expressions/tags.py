"""Tags: the named nodes of a stream's documents, and the documents themselves as `doc.N`."""

from __future__ import annotations

from tweed_shim.base.records import Record, replace
from tweed_shim.base.text import decimal
from tweed_shim.spiff.tree.nodes import Node, Path
from tweed_shim.spiff.tree.paths import joined
from tweed_shim.spiff.tree.values import Fault

OWN, STREAM = 1, 2
"""A tag's scope: the document in process has defined it; it is gone at the end of its stream."""


class Tag(Record):
    """A named node of a document."""

    name: str
    node: Node
    path: Path | None = None
    scope: int = 0

    @property
    def level(self) -> int:
        """How many components the name has after the first one."""
        return self.name.count(".")


class Tags:
    """The tags of one merge, and the number of the document in process."""

    def __init__(self) -> None:
        self._tags: dict[str, Tag] = {}
        self._documents: dict[int, Node] = {}
        self._document = 1
        # The names of those that the document in process has defined.
        self._own: set[str] = set()

    def preset(self, name: str, node: Node) -> None:
        """Set a global tag of the caller's."""
        name = name.replace(":", ".")
        self._tags[name] = Tag(name, node)

    def define(self, tag: Tag) -> None:
        """Define a tag of the document in process. Raises Fault where another document or path has defined it."""
        name, path = tag.name.replace(":", "."), tag.path
        old = self._tags.get(name)
        if old and not old.scope & OWN:
            raise Fault(f'duplicate tag "{name}": {joined(path or ())} in foreign document')
        if old and old.path != path:
            raise Fault(f'duplicate tag "{name}": {joined(path or ())} <-> {joined(old.path or ())}')
        self._tags[name] = Tag(name, untagged(tag.node), path, tag.scope | OWN)
        self._own.add(name)

    def find(self, name: str) -> list[Tag]:
        """Return the tags with that name, or with it as their first components; the shortest names first."""
        name = name.replace(":", ".")
        if name.startswith("doc."):
            number = (decimal(name[4:].lstrip("-")) or 0) * (-1 if name[4] == "-" else 1)
            # Numbers below 1 count back from the document in process.
            node = self._documents.get(number if number > 0 else number + self._document)
            return [Tag(name, node)] if node is not None else []
        tags = [tag for tag in self._tags.values() if tag.name == name or tag.name.startswith(f"{name}.")]
        return sorted(tags, key=lambda tag: (tag.level, tag.name))

    def begin_stream(self) -> None:
        """Forget the documents and the tags of the stream before."""
        self._tags = {name: tag for name, tag in self._tags.items() if not tag.scope & STREAM}
        self._own.clear()
        self._documents.clear()
        self._document = 1

    def end_document(self, node: Node) -> None:
        """End a document of the stream: later ones reach it as `doc.N::`, and may not define its tags again."""
        self._documents[self._document] = untagged(node)
        for name in self._own:
            self._tags[name] = replace(self._tags[name], scope=self._tags[name].scope & ~OWN)
        self._own.clear()
        self._document += 1


def untagged(node: Node) -> Node:
    """Return the node without the tags of the nodes in it."""
    if node.inert():
        return node
    value = node.value
    if isinstance(value, dict):
        value = {key: untagged(entry.noted(tag="")) for key, entry in value.items()}
    elif isinstance(value, list):
        value = [untagged(entry.noted(tag="")) for entry in value]
    return node.with_value(value)


def check_name(name: str) -> None:
    """Check the name of a tag. Raises Fault with what is wrong with it."""
    for component in name.replace(":", ".").split("."):
        if not component:
            raise Fault("empty tag component not allowed")
        if component[0].isdigit():
            raise Fault("tag component must start with alnum rune")
        for letter in component:
            if not (letter.isascii() and letter.isalnum()):
                raise Fault(f'invalid character "{letter}" in tag component')

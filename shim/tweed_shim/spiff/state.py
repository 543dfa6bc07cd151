"""What all documents of one merge share: what is allowed, the features, caches, and the tags."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from typing import TYPE_CHECKING, Any, Protocol

from tweed_shim.letters import decimal
from tweed_shim.records import Record, replace
from tweed_shim.spiff.nodes import Node, Path, joined
from tweed_shim.spiff.values import Fault

if TYPE_CHECKING:
    from tweed_shim.spiff.environment import Environment
    from tweed_shim.spiff.evaluation import Evaluable
    from tweed_shim.spiff.unresolved import Unresolved

LOCAL, STREAM = 1, 2
"""A tag's scope: defined by the document in process; gone at the end of its stream."""

MAX_CALLS = 1_000
"""How deep lambdas and templates may be used inside of each other."""

MAX_AHEAD = 300
"""How many fields that refer to each other are processed before their turn, each for the one before."""


class Engine(Protocol):
    """What expressions ask of the parts that are built on them."""

    def expression(self, text: str, path: Path, stub_path: Path) -> Evaluable:
        """Parse an expression. Raises Fault."""

    def flow(self, env: Environment, node: Node) -> tuple[Node, Unresolved | None]:
        """Process a node where an expression stands, and tell what of it could not be resolved."""

    def merge(self, env: Environment, template: Node, stubs: list[Node]) -> Node:
        """Process a template with stubs as a document of its own. Raises Fault."""

    def documents(self, text: str, source: str) -> list[Node]:
        """Read YAML. Raises Fault."""


class Tag(Record):
    """A named node of a document."""

    name: str
    node: Node
    path: Path | None = None
    scope: int = 0

    @property
    def level(self) -> int:
        """How many components the name has beyond the first one."""
        return self.name.count(".")


class State:
    """See the module. `functions` are the caller's own: name to callable, which gets plain values."""

    def __init__(
        self,
        engine: Engine,
        *,
        files_allowed: bool = False,
        commands_allowed: bool = False,
        features: frozenset[str] = frozenset(),
        encryption_key: str = "",
        temporary_prefix: str = "spiff-",
        functions: Mapping[str, Callable[..., Any]] | None = None,
    ) -> None:
        self.engine = engine
        self.files_allowed = files_allowed
        self.commands_allowed = commands_allowed
        # Features are asked for very often.
        self.features = features
        self.control = "control" in features
        self.interpolation = "interpolation" in features
        self.encryption_key = encryption_key
        self.temporary_prefix = temporary_prefix
        self.functions = functions or {}
        self.cache: dict[Hashable, Any] = {}
        self.tags: dict[str, Tag] = {}
        self.document = 1
        # Those that the document in process has defined.
        self.local_tags: set[str] = set()
        self.documents: dict[int, Node] = {}
        self.calls = 0
        self.ahead = 0
        self._endings: list[Callable[[], None]] = []

    def at_end(self, action: Callable[[], None]) -> None:
        """See `Call.at_end`."""
        self._endings.append(action)

    def end(self) -> None:
        """Do what was to be done at the end of the merge."""
        while self._endings:
            self._endings.pop()()

    def set_tag(self, name: str, node: Node, path: Path | None, scope: int) -> None:
        """Define a tag. Raises Fault where another document, or another place, has defined it already."""
        name = name.replace(":", ".")
        old = self.tags.get(name)
        if old and not old.scope & LOCAL:
            raise Fault(f'duplicate tag "{name}": {joined(path or ())} in foreign document')
        if old and old.path != path:
            raise Fault(f'duplicate tag "{name}": {joined(path or ())} <-> {joined(old.path or ())}')
        self.tags[name] = Tag(name, untagged(node), path, scope)
        self.local_tags.add(name)

    def find_tags(self, name: str) -> list[Tag]:
        """The tags with that name or with that name as their first components, the shortest first."""
        name = name.replace(":", ".")
        if name.startswith("doc."):
            number = (decimal(name[4:].lstrip("-")) or 0) * (-1 if name[4] == "-" else 1)
            node = self.documents.get(number if number > 0 else number + self.document)
            return [Tag(name, node)] if node is not None else []
        tags = [tag for tag in self.tags.values() if tag.name == name or tag.name.startswith(f"{name}.")]
        return sorted(tags, key=lambda tag: (tag.level, tag.name))

    def begin_stream(self) -> None:
        """Forget the documents and the tags of the stream before."""
        self.tags = {name: tag for name, tag in self.tags.items() if not tag.scope & STREAM}
        self.local_tags.clear()
        self.documents.clear()
        self.document = 1

    def end_document(self, node: Node | None) -> None:
        """A document of the stream is done: later ones reach it as `doc.N::`, and its tags are foreign to them."""
        if node is not None:
            self.documents[self.document] = untagged(node)
        for name in self.local_tags:
            self.tags[name] = replace(self.tags[name], scope=self.tags[name].scope & ~LOCAL)
        self.local_tags.clear()
        self.document += 1


def untagged(node: Node) -> Node:
    """The node, the tags of what is in it taken away."""
    if node.inert():
        return node
    value = node.value
    if isinstance(value, dict):
        value = {key: untagged(entry.noted(tag="")) for key, entry in value.items()}
    elif isinstance(value, list):
        value = [untagged(entry.noted(tag="")) for entry in value]
    return node.with_value(value)


def check_tag_name(name: str) -> None:
    """Raises Fault with what is wrong with a tag's name."""
    for component in name.replace(":", ".").split("."):
        if not component:
            raise Fault("empty tag component not allowed")
        if component[0].isdigit():
            raise Fault("tag component must start with alnum rune")
        for letter in component:
            if not (letter.isascii() and letter.isalnum()):
                raise Fault(f'invalid character "{letter}" in tag component')

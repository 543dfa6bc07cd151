"""The names that a map declares for the expressions in it."""

from __future__ import annotations

from collections.abc import Callable

from tweed_shim.spiff.tree.nodes import Node, Path


class Scope:
    """The names that a map declares. Each pass renews them, so that lambdas see the newest values."""

    __slots__ = ("_node", "ahead", "children", "entries", "names", "next", "path", "root")

    def __init__(
        self,
        outer: Scope | None,
        path: Path | None,
        names: dict[str, Node] | None,
        entries: list[Node] | None = None,
    ) -> None:
        self.next = outer
        # None where the scope is no part of the document.
        self.path = path
        self.names = names
        # The entries of a document that is a list.
        self.entries = entries
        self.root: Scope | None = self if outer is None or outer.root is None else outer.root
        self.children: dict[Path, Scope] = {}
        # Processes a field early. It is None while the map is not being processed.
        self.ahead: Callable[[str], None] | None = None
        self._node: Node | None = None

    def known(self, name: str, *, control: bool) -> Node | None:
        """Return the node with a name, as far as it is known in this pass; process it first where that is possible."""
        node = self.names.get(name) if self.names is not None else None
        if node is None or self.ahead is None or node.resolved(control=control):
            return node
        self.ahead(name)
        return self.names.get(name) if self.names is not None else None

    def renew(self, names: dict[str, Node]) -> None:
        """Replace the names by what the map holds in this pass."""
        self.names = names
        self._node = None

    def node(self) -> Node:
        """Return the scope as a map that paths can be followed in."""
        if self._node is None:
            self._node = Node(self.names, "scope")
        return self._node

"""What an expression is evaluated in: its path, the scopes around it, the stubs, and what all of a merge shares."""

from __future__ import annotations

import os.path
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any, Protocol

from tweed_shim.spiff.expressions.outcomes import Outcome
from tweed_shim.spiff.expressions.scopes import Scope
from tweed_shim.spiff.expressions.tags import Tags
from tweed_shim.spiff.tree.nodes import DEFAULT, IMPLIED, Expression, Node, Path
from tweed_shim.spiff.tree.paths import find, joined
from tweed_shim.spiff.tree.unresolved import Unresolved

SELF, DOCUMENT, ROOT, CONTEXT = "_", "__", "___", "__ctx"
VERSION = "1.7.0"


class Evaluable(Expression):
    """An expression of the language. `str()` is its text in the reference's notation."""

    # Whether it replaces the call that made it: then the call is not evaluated again.
    deferred = False

    def evaluate(self, env: Environment, *, locally: bool = False) -> Outcome:
        """Return the value, or an expression where it is not known yet.

        Raises Fault where there is none.
        """
        raise NotImplementedError

    def merges_directly(self) -> bool:
        """Return whether the expression takes the value at its own path from a stub."""
        return False


class Engine(Protocol):
    """What expressions ask of the rooms above them: the parser, the passes and the merge."""

    def expression(self, text: str, path: Path, stub_path: Path) -> Evaluable:
        """Parse an expression. Raises Fault."""

    def flow(self, env: Environment, node: Node) -> tuple[Node, Unresolved | None]:
        """Process a node where an expression stands; return the result and what of it is unresolved, or None."""

    def merge(self, env: Environment, template: Node, stubs: list[Node]) -> Node:
        """Process a template with stubs as a document of its own. Raises Fault."""

    def documents(self, text: str, source: str) -> list[Node]:
        """Read the documents of a YAML text. Raises Fault."""


class State:
    """What all documents of one merge share. `functions` are the caller's own, by name; they get plain values."""

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
        self.features = features
        # Every node asks for these in every pass: an attribute is faster than a set.
        self.control = "control" in features
        self.interpolation = "interpolation" in features
        self.encryption_key = encryption_key
        self.temporary_prefix = temporary_prefix
        self.functions = functions or {}
        self.tags = Tags()
        self.cache: dict[Hashable, Any] = {}
        # How many lambdas and templates are in use within each other, and how many fields are processed early.
        self.calls = 0
        self.ahead = 0
        self._endings: list[Callable[[], None]] = []

    def at_end(self, action: Callable[[], None]) -> None:
        """Call a function when the merge has ended, well or not."""
        self._endings.append(action)

    def end(self) -> None:
        """Call the functions that `at_end` was given, the last one first."""
        while self._endings:
            self._endings.pop()()


class Environment:
    """Where an expression is evaluated. It is immutable: each `with_` method returns another one."""

    __slots__ = (
        "binding",
        "bound",
        "current_source",
        "no_merge",
        "outer",
        "path",
        "scope",
        "scopes",
        "source",
        "state",
        "stub_path",
        "stubs",
    )

    def __init__(
        self,
        state: State,
        source: str,
        stubs: Sequence[Node] = (),
        outer: Environment | None = None,
        *,
        binding: bool = False,
    ) -> None:
        self.state = state
        self.source = self.current_source = source
        self.stubs = tuple(stubs)
        self.outer = outer
        # Whether the scope holds the bindings of the caller of the merge.
        self.binding = binding
        self.scope: Scope | None = None
        # The outermost scopes of the tree that is processed.
        self.scopes: dict[Path, Scope] = {}
        self.path: Path = ()
        self.stub_path: Path = ()
        self.no_merge = False
        # What the lambdas and scopes around the expression have bound.
        self.bound: dict[str, Node] = {}

    def _copy(self) -> Environment:
        other = Environment.__new__(Environment)
        other.state, other.source, other.current_source = self.state, self.source, self.current_source
        other.stubs, other.outer, other.binding = self.stubs, self.outer, self.binding
        other.scope, other.path, other.stub_path = self.scope, self.path, self.stub_path
        other.no_merge, other.bound, other.scopes = self.no_merge, self.bound, self.scopes
        return other

    def with_source(self, source: str) -> Environment:
        """Return the environment for an expression of another document."""
        if source == self.source:
            return self
        other = self._copy()
        other.source = source
        return other

    def with_scope(self, names: dict[str, Node]) -> Environment:
        """Return the environment inside of the map at the path. Its scope holds a copy of `names`."""
        other = self._copy()
        siblings = self.scope.children if self.scope else self.scopes
        known = siblings.get(self.path)
        if known is None:
            known = siblings[self.path] = Scope(self.scope, self.path, dict(names))
        else:
            known.renew(dict(names))
        other.scope = known
        return other

    def with_list_scope(self, entries: list[Node]) -> Environment:
        """Return the environment inside of a document that is a list."""
        other = self._copy()
        other.scope = Scope(self.scope, self.path, None, entries)
        if self.scope is not None and self.scope.root is not None:
            other.scope.names = self.scope.names
        return other

    def with_new_root(self) -> Environment:
        """Return the environment of a document of its own: a path with a leading dot begins there."""
        other = self._copy()
        other.scope = Scope(self.scope, self.path, {})
        other.scope.root = None
        return other

    def with_bound(self, names: dict[str, Node]) -> Environment:
        """Return the environment with names that a lambda, a scope or a loop binds."""
        other = self._copy()
        other.bound = {**self.bound, **names}
        other.scope = Scope(self.scope, None, names)
        return other

    def with_fresh_scope(self) -> Environment:
        """Return the environment with a scope of its own, which nodes at this path have not used before."""
        other = self._copy()
        other.scope = Scope(self.scope, None, {})
        return other

    def with_scopes(self) -> Environment:
        """Return the environment for another tree, whose outermost scopes are its own."""
        other = self._copy()
        other.scopes = {}
        return other

    def with_step(self, name: str) -> Environment:
        """Return the environment one step further down."""
        other = self._copy()
        other.path = (*self.path, name)
        other.stub_path = (*self.stub_path, name)
        return other

    def redirected(self, path: Path) -> Environment:
        """Return the environment that merges from another path of the stubs; from none for an empty path."""
        other = self._copy()
        if path:
            other.stub_path, other.no_merge = path, False
        else:
            other.no_merge = True
        return other

    def root_names(self) -> dict[str, Node] | None:
        """Return the names of the document's root."""
        if self.scope is None or self.scope.root is None:
            return None
        return self.scope.root.names

    def from_root(self, path: Path) -> Node | None:
        """Return what an absolute path leads to."""
        scope = self.scope
        if scope is None or scope.root is None:
            return None
        control = self.state.control
        if scope.root.entries is None:
            if path:
                scope.root.known(path[0], control=control)
            # A new node, because the cached one may remember that it was not resolved.
            return (
                find(scope.root.node(), path, control=control, raw=True)
                if path
                else Node(scope.root.names, "scope")
            )
        if not path:
            return Node(scope.root.entries, "root")
        if path[0] != "__map":
            return find(Node(scope.root.entries, "scope"), path, control=control, raw=True)
        # `__map` is the outermost map around an expression in a document that is a list.
        outermost = None
        current: Scope | None = scope
        while current is not None:
            outermost = current.names if current.names is not None else outermost
            current = current.next
        return find(Node(outermost, "scope"), path[1:], control=control, raw=True)

    def reference(self, path: Path) -> Node | None:
        """Return what a relative path leads to, from the innermost scope that has its first name."""
        name = path[0]
        node, enclosing = self._symbol(name)
        control = self.state.control
        if node is None:
            if name == ROOT:
                return find(
                    Node(self._outermost().root_names() or {}, CONTEXT), path[1:], control=control, raw=True
                )
            if name == DOCUMENT and enclosing is not None:
                return self._in_scopes(enclosing, path[1:])
            return self.outer.reference(path) if self.outer else None
        if name == SELF and len(path) > 1:
            return node.resolver.reference(path[1:]) if node.resolver else None
        return find(node, path[1:], control=control, raw=True)

    def _outermost(self) -> Environment:
        outer = self
        while outer.outer is not None:
            outer = outer.outer
        return outer

    def _symbol(self, name: str) -> tuple[Node | None, Scope | None]:
        if name == CONTEXT:
            return self._context(), None
        enclosing = None
        scope = self.scope
        while scope is not None:
            if scope.names is not None:
                if enclosing is None and scope.path:
                    enclosing = scope
                node = scope.known(name, control=self.state.control)
                if node is not None:
                    return node, None
            scope = scope.next
        return None, enclosing

    def _in_scopes(self, scope: Scope | None, path: Path) -> Node | None:
        control = self.state.control
        if not path:
            return Node(scope.names, CONTEXT) if scope else None
        while scope is not None and scope.names is not None:
            node = scope.known(path[0], control=control)
            if node is not None:
                return find(node, path[1:], control=control, raw=True)
            scope = scope.next
        return None

    def in_stubs(self, path: Path) -> Node | None:
        """Return what the first stub that has the path holds there."""
        control = self.state.control
        for stub in self.stubs:
            node = find(stub, path, control=control)
            if node is not None and node.note.flags & (IMPLIED | DEFAULT) != IMPLIED:
                return node
        return None

    def has_stub(self) -> bool:
        """Return whether any stub has the path."""
        control = self.state.control
        # No generator: every node asks in every pass.
        for stub in self.stubs:  # noqa: SIM110
            if find(stub, self.stub_path, control=control) is not None:
                return True
        return False

    def _context(self) -> Node:
        def texts(path: Path) -> Node:
            return Node([Node(name, CONTEXT) for name in path], CONTEXT)

        source = self.current_source
        resolved = os.path.realpath(source) if self.state.files_allowed and os.path.exists(source) else source
        context = {
            "VERSION": VERSION,
            "FILE": source,
            "DIR": os.path.dirname(source) or ".",
            "RESOLVED_FILE": resolved,
            "RESOLVED_DIR": os.path.dirname(resolved) or ".",
            "PATHNAME": joined(self.path),
        }
        nodes = {name: Node(value, CONTEXT) for name, value in context.items()}
        nodes |= {"PATH": texts(self.path), "STUBPATH": texts(self.stub_path)}
        outers, bindings = self._outers()
        if outers or not bindings:
            nodes["OUTER"] = Node(outers, CONTEXT)
        nodes["BINDINGS"] = bindings or Node([], CONTEXT)
        return Node(nodes, CONTEXT)

    def _outers(self) -> tuple[list[Node], Node | None]:
        outers: list[Node] = []
        bindings = None
        outer = self.outer
        while outer is not None:
            names = outer.root_names()
            if outer.binding:
                bindings = Node(names or {}, CONTEXT)
            if names is not None:
                outers.append(Node(names, CONTEXT))
            outer = outer.outer
        return outers, bindings

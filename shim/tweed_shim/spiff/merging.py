"""A whole merge: stubs are processed from the last to the first, then each document of the template with all stubs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from tweed_shim.base.records import EMPTY, Record
from tweed_shim.spiff.expressions.environment import Environment, Evaluable, State
from tweed_shim.spiff.expressions.lambdas import TooDeep
from tweed_shim.spiff.expressions.tags import check_name
from tweed_shim.spiff.failures import Mistake
from tweed_shim.spiff.flow import fixpoint
from tweed_shim.spiff.recursion import deep
from tweed_shim.spiff.syntax import parser
from tweed_shim.spiff.tree import reading
from tweed_shim.spiff.tree.interpolation import unescaped_node
from tweed_shim.spiff.tree.nodes import LOCAL, STATE, TEMPORARY, Node, Path, derived
from tweed_shim.spiff.tree.plain import wrapped
from tweed_shim.spiff.tree.unresolved import Unresolved
from tweed_shim.spiff.tree.values import Fault

MODES = ("private", "files", "system")
FEATURES = ("control", "interpolation")


class Document(Record):
    """A text to be processed, and its name in messages."""

    text: str
    name: str


class Options(Record):
    """What a merge may do, and how; see `tweed_shim.spiff.merge`.

    preserve_escapes, preserve_temporary: escaped expressions, and what is marked &temporary or &local, stay in the
    result. encryption_key: the key for `encrypt` and `decrypt` where an expression gives none. temporary_prefix: the
    beginning of the names of temporary files.
    """

    features: Sequence[str] = ()
    mode: str = "private"
    bindings: Mapping[str, Any] | None = None
    tags: Mapping[str, Any] | None = None
    functions: Mapping[str, Callable[..., Any]] = EMPTY
    partial: bool = False
    preserve_escapes: bool = False
    preserve_temporary: bool = False
    encryption_key: str = ""
    temporary_prefix: str = "spiff-"


class Engine:
    """See `state.Engine`."""

    def expression(self, text: str, path: Path, stub_path: Path) -> Evaluable:
        """See `state.Engine`."""
        return parser.parse(text, path, stub_path)

    def flow(self, env: Environment, node: Node) -> tuple[Node, Unresolved | None]:
        """See `state.Engine`."""
        return fixpoint.flow(env, node, override=False)

    def merge(self, env: Environment, template: Node, stubs: list[Node]) -> Node:
        """See `state.Engine`."""
        prepared = _prepared(env, stubs, partial=False)
        result, unresolved = _nested(env, template, prepared)
        if unresolved:
            raise Fault(str(unresolved))
        return _cleaned(result, env.state, Options())

    def documents(self, text: str, source: str) -> list[Node]:
        """See `state.Engine`."""
        return reading.read(text, source)


def process(template: Document, stubs: Iterable[Document], options: Options) -> list[Node]:
    """Process all documents of a template with stubs, and return their results. Raises SpiffError."""
    state = _state(options)
    with _ended(state), deep(template.name):
        env = Environment(state, "context", binding=True)
        if options.bindings:
            env = env.with_bound(_bound(options.bindings))
        templates = _read(template)
        prepared = _prepared_stubs(env, [_single(stub) for stub in stubs], options)
        return [_applied(env, node, prepared, options) for node in templates]


def lasting(results: Iterable[Node]) -> list[Node]:
    """Return the documents of a stream that are not marked &temporary as a whole."""
    return [result for result in results if not result.note.flags & TEMPORARY]


def state_of(node: Node) -> Node:
    """Return what of a result is marked with &state: the state to keep for the next merge."""
    value = node.value
    if isinstance(value, dict):
        kept = {key: _kept_state(entry) for key, entry in value.items()}
        return node.with_value({key: entry for key, entry in kept.items() if entry is not None})
    return node.with_value([]) if isinstance(value, list) else node


def _kept_state(node: Node) -> Node | None:
    return node if node.note.flags & STATE else None


def _state(options: Options) -> State:
    if options.mode not in MODES:
        raise Mistake(f"the mode '{options.mode}' is unknown; use one of {', '.join(MODES)}")
    state = State(
        Engine(),
        files_allowed=options.mode != "private",
        commands_allowed=options.mode == "system",
        features=_features(options.features),
        encryption_key=options.encryption_key,
        temporary_prefix=options.temporary_prefix,
        functions=dict(options.functions),
    )
    for name, value in (options.tags or {}).items():
        try:
            check_name(name)
        except Fault as fault:
            raise Mistake(f"the tag name '{name}' is not valid: {fault}") from None
        node = value if isinstance(value, Node) else derived(wrapped(value, name), name)
        state.tags.preset(name, node)
    return state


def _features(names: Sequence[str]) -> frozenset[str]:
    features: set[str] = set()
    for name in names:
        plain = name.removeprefix("no")
        if plain not in FEATURES:
            raise Mistake(f"unknown feature flag '{name}' (known are {', '.join(FEATURES)})")
        if plain == name:
            features.add(name)
        else:
            features.discard(plain)
    return frozenset(features)


def _bound(bindings: Mapping[str, Any]) -> dict[str, Node]:
    return {
        name: value if isinstance(value, Node) else Node(wrapped(value, "bindings"), "bindings")
        for name, value in bindings.items()
    }


@contextmanager
def _ended(state: State) -> Iterator[None]:
    try:
        yield
    except TooDeep as fault:
        raise Mistake(str(fault)) from None
    finally:
        state.end()


def _read(document: Document) -> list[Node]:
    try:
        return reading.read(document.text, document.name)
    except Fault as fault:
        raise Mistake(f"{document.name}: {fault}") from None


def _single(document: Document) -> Node:
    nodes = _read(document)
    if len(nodes) > 1:
        raise Mistake(f"{document.name}: it has {len(nodes)} documents, but a stub has one; split the file")
    return nodes[0]


def _prepared_stubs(env: Environment, stubs: list[Node], options: Options) -> list[Node]:
    env.state.tags.begin_stream()
    try:
        prepared = _prepared(env, stubs, partial=options.partial)
    except _Unprepared as fault:
        raise fault.unresolved.error() from None
    env.state.tags.begin_stream()
    return prepared


class _Unprepared(Fault):
    """A stub cannot be resolved."""

    def __init__(self, unresolved: Unresolved) -> None:
        super().__init__(str(unresolved))
        self.unresolved = unresolved


def _prepared(env: Environment, stubs: list[Node], *, partial: bool) -> list[Node]:
    """Process every stub against the stubs behind it."""
    prepared: list[Node] = []
    for stub in reversed(stubs):
        if env.outer is None:
            env.state.tags.begin_stream()
        result, unresolved = _nested(env, stub, prepared)
        if unresolved and not partial:
            raise _Unprepared(unresolved)
        prepared = [_discarded(result, LOCAL), *prepared]
    return prepared


def _nested(outer: Environment, source: Node, stubs: list[Node]) -> tuple[Node, Unresolved | None]:
    return fixpoint.flow(Environment(outer.state, source.source, stubs, outer), source)


def _applied(env: Environment, template: Node, stubs: list[Node], options: Options) -> Node:
    if template.value is None:
        return template
    result, unresolved = _nested(env, template, stubs)
    if not unresolved:
        result = _cleaned(result, env.state, options)
        env.state.tags.end_document(result)
    elif not options.partial:
        raise unresolved.error()
    return result


def _cleaned(node: Node, state: State, options: Options) -> Node:
    if not options.preserve_temporary:
        node = _discarded(node, TEMPORARY | LOCAL)
    return node if options.preserve_escapes else _unescaped(node, interpolation=state.interpolation)


def _discarded(node: Node, flags: int) -> Node:
    """Return the node without the entries below it that have one of the flags."""
    if node.inert():
        return node
    value = node.value
    if isinstance(value, dict):
        return node.with_value(
            {key: _discarded(entry, flags) for key, entry in value.items() if not entry.note.flags & flags}
        )
    if isinstance(value, list):
        return node.with_value([_discarded(entry, flags) for entry in value if not entry.note.flags & flags])
    return node


def _unescaped(node: Node, *, interpolation: bool) -> Node:
    if node.inert():
        return node
    value = node.value
    if isinstance(value, dict):
        return node.with_value(
            {
                key: _unescaped(
                    unescaped_node(entry, interpolation=interpolation), interpolation=interpolation
                )
                for key, entry in value.items()
            }
        )
    if isinstance(value, list):
        return node.with_value(
            [
                _unescaped(unescaped_node(entry, interpolation=interpolation), interpolation=interpolation)
                for entry in value
            ]
        )
    return node

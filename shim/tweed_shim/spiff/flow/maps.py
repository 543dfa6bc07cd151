"""One pass over a map: its merge entry, its fields, the fields that its stub injects, and control structures."""

from __future__ import annotations

from tweed_shim.base.records import Record
from tweed_shim.spiff.expressions.environment import Environment, Evaluable
from tweed_shim.spiff.flow.control import TEMPLATE_OPTIONS, controlled
from tweed_shim.spiff.flow.passes import (
    Walker,
    inherited,
    is_optional_merge,
    is_text_of_expression,
    marker_of,
    substituted,
    updated,
)
from tweed_shim.spiff.tree.nodes import (
    DEFAULT,
    IMPLIED,
    INJECT,
    INJECTED,
    Issue,
    Node,
    Path,
    Template,
    type_name,
)

MAX_AHEAD = 300
"""How many fields may be processed early at the same time, each because the one before refers to it."""


class _Pass(Record, frozen=False):
    """What one pass finds out about a map."""

    env: Environment
    flags: int
    tag: str
    template: bool
    redirect: Path | None
    replace: bool
    # Whether the fields are processed in this pass.
    process: bool = True
    # Whether the fields are kept; `merge replace` drops them.
    fields: bool = True
    merged: bool = False
    merge_key: str | None = None
    # The merge entry, if it stays in the map.
    entry: Node | None = None
    refused: str = ""


def flow_map(walker: Walker, root: Node, env: Environment, *, override: bool, template: bool) -> Node:
    """Return a map after this pass."""
    entries: dict[str, Node] = root.value
    if "<<" in entries and "<<<" in entries:
        return root.with_issue(Issue("multiple merge keys not allowed"), error=True, failed=True)
    flags, stub = inherited(env)
    inside = env.with_scope(entries)
    note = root.note
    state = _Pass(inside, flags, note.tag, template, note.redirect, note.replace)
    result: dict[str, Node] = {}
    state.merge_key = "<<" if "<<" in entries else "<<<" if "<<<" in entries else None
    if state.merge_key is not None:
        base = walker.untagged_flow(entries[state.merge_key], inside)
        if base.note.undefined:
            return root.noted(undefined=True)
        _merge(state, base, root, initial=isinstance(entries[state.merge_key].value, str))
        if isinstance(base.value, dict):
            result.update(base.value)
    if state.template:
        state.process = False
    fields = _Fields(walker, state, entries, result, override=override)
    if state.fields:
        fields.process()
    _inject(state, stub, result)
    return _finished(state, root, result, fields.undefined, env)


def _merge(state: _Pass, base: Node, root: Node, *, initial: bool) -> None:
    """Note what the merge entry has become."""
    if isinstance(base.value, Evaluable):
        _pending_merge(state, base, root, initial=initial)
        return
    if base.note.redirect is not None:
        state.redirect = base.note.redirect
        state.env = state.env.redirected(base.note.redirect)
    state.merged = base.note.merged
    state.replace = base.note.replace
    unparsed = is_text_of_expression(base.value, state.env)
    if isinstance(base.value, dict) or base.value is None or not unparsed:
        state.fields = not state.replace
        if base.value is not None and not isinstance(base.value, dict):
            state.refused = f"require map value for '<<' insert, found '{type_name(base.value)}'"
    else:
        state.entry = base


def _pending_merge(state: _Pass, base: Node, root: Node, *, initial: bool) -> None:
    marker = marker_of(base.value, template=state.template)
    if marker:
        state.tag = marker.tag or state.tag
        state.flags |= marker.flags
        if marker.is_template:
            state.template = True
            state.entry = marker.template_of(root)
            return
    if initial or not is_optional_merge(base.value):
        state.process = False
        state.entry = base


class _Fields:
    """The fields of a map in one pass: processed in order, or early where another field refers to one."""

    def __init__(
        self,
        walker: Walker,
        state: _Pass,
        entries: dict[str, Node],
        result: dict[str, Node],
        *,
        override: bool,
    ) -> None:
        self.walker = walker
        self.state = state
        self.entries = entries
        self.result = result
        self.override = override
        self.undefined: dict[str, Node] = {}
        scope = state.env.scope
        self.names = scope.names if scope is not None and scope.names is not None else {}
        self.implied = state.flags & (IMPLIED | DEFAULT)
        self.waiting = set(entries)

    def process(self) -> None:
        """Process all fields."""
        scope = self.state.env.scope
        if scope is None or not self.state.process:
            self._process_waiting()
            return
        scope.ahead = self.ahead
        try:
            self._process_waiting()
        finally:
            scope.ahead = None

    def _process_waiting(self) -> None:
        for key in sorted(self.entries):
            if key in self.waiting:
                self.field(key)

    def ahead(self, key: str) -> None:
        """Process a field early because another one refers to it, if it still waits for its turn."""
        shared = self.state.env.state
        if key in self.waiting and key != self.state.merge_key and shared.ahead < MAX_AHEAD:
            shared.ahead += 1
            try:
                self.field(key)
            finally:
                shared.ahead -= 1

    def field(self, key: str) -> None:
        """Process one field, and put it into the result."""
        self.waiting.discard(key)
        state = self.state
        if key == state.merge_key:
            if state.entry is None:
                return
            node = state.entry
        elif state.process:
            node = self.walker.flow(
                self.entries[key],
                state.env.with_step(key),
                override=self.override,
                template=key in TEMPLATE_OPTIONS,
            )
        else:
            node = self.entries[key]
        if node.note.undefined:
            self.undefined[key] = node
            self.names.pop(key, None)
            return
        if self.implied:
            node = node.flagged(IMPLIED)
        # Fields that are processed later in this pass see the new value.
        self.result[key] = self.names[key] = node


def _inject(state: _Pass, stub: Node | None, result: dict[str, Node]) -> None:
    """Add the fields that the stub marks with &inject and &default."""
    if state.merged:
        state.flags |= INJECTED
    elif stub is not None and not state.flags & INJECTED and isinstance(stub.value, dict):
        for key, node in stub.value.items():
            if node.note.flags & (INJECT | DEFAULT) and key not in result:
                result[key] = substituted(node).flagged(INJECT | INJECTED)


def _finished(
    state: _Pass, root: Node, result: dict[str, Node], undefined: dict[str, Node], env: Environment
) -> Node:
    if state.template:
        prepared = Node(result, root.source)
        node = root.with_value(Template(state.env.path, prepared, root, env))
    else:
        node = root.with_value(root.value if _same(root.value, result) else result)
    node = node.noted(redirect=state.redirect, replace=root.note.replace or state.replace)
    if state.refused or root.note.failed:
        node = node.with_issue(
            Issue(state.refused) if state.refused else root.note.issue, error=True, failed=True
        )
    else:
        node = controlled(node, undefined, state.env)
    if isinstance(node.value, dict) and node.value is not root.value and _same(root.value, node.value):
        node = node.with_value(root.value)
    node = updated(node, state.flags, state.tag)
    return (
        root if node.value is root.value and node.note == root.note and node.source == root.source else node
    )


def _same(one: dict[str, Node], other: dict[str, Node]) -> bool:
    return len(one) == len(other) and all(other.get(key) is node for key, node in one.items())

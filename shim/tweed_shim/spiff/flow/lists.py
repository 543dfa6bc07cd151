"""One pass over a list: its merge entries, its key field, its entries, and the entries that its stub injects."""

from __future__ import annotations

from tweed_shim.base.records import Record
from tweed_shim.spiff.expressions.environment import Environment, Evaluable
from tweed_shim.spiff.flow.control import is_control
from tweed_shim.spiff.flow.loops import Refusal
from tweed_shim.spiff.flow.passes import (
    Walker,
    inherited,
    is_optional_merge,
    is_text_of_expression,
    marker_of,
    updated,
)
from tweed_shim.spiff.tree.nodes import (
    DEFAULT,
    INJECT,
    INJECTED,
    NO_MERGE,
    Issue,
    Node,
    Path,
    Template,
    merge_entry,
)
from tweed_shim.spiff.tree.nodes import field as field_of
from tweed_shim.spiff.tree.paths import find
from tweed_shim.spiff.tree.values import Value

# Stands for the key field of lists that are not merged by one (`key:!name`).
NO_KEY = "<<<NO LIST KEY>>"


class _Pass(Record, frozen=False):
    """What one pass finds out about a list."""

    env: Environment
    flags: int
    tag: str
    template: bool
    key_name: str
    merged: bool
    replace: bool
    redirect: Path | None
    # The entries of the new list: its own, with merged ones in the place of merge entries.
    entries: list[Node]
    process: bool = True


def flow_list(walker: Walker, root: Node, env: Environment, *, template: bool) -> Node:
    """Return a list after this pass."""
    note = root.note
    if note.merged:
        return root
    flags, stub = inherited(env)
    state = _Pass(env, flags, note.tag, template, note.key_name, note.merged, note.replace, note.redirect, [])
    if note.flags & NO_MERGE or any(_merges_directly(entry) for entry in root.value):
        # A merge entry puts the stub's entries in their place. Merging by key as well would change the order.
        state.flags |= NO_MERGE
    _splice(walker, state, root)
    value: Value
    if state.template:
        prepared = Node(state.entries, root.source)
        value = Template(env.path, prepared, root, env)
    else:
        value = _without_controls(walker, state)
    if state.process and not state.template:
        if state.redirect is not None:
            state.env = env.redirected(state.redirect)
        value = _processed(walker, state, value)
        value = _injected(state, stub, root, value)
    return _finished(state, root, value)


def _merges_directly(entry: Node) -> bool:
    merge = merge_entry(entry)
    return merge is not None and isinstance(merge[0].value, Evaluable) and merge[0].value.merges_directly()


def _splice(walker: Walker, state: _Pass, root: Node) -> None:
    """Put what merge entries stand for in their place."""
    for entry in root.value:
        merge = merge_entry(entry)
        if merge is not None:
            spliced = _spliced(walker, state, root, entry, *merge)
            if state.replace and not state.process:
                return
            if spliced is None:
                continue
            entry = spliced
        entry, key_name = _without_key_tag(entry)
        state.key_name = key_name or state.key_name
        state.entries.append(entry)


def _spliced(walker: Walker, state: _Pass, root: Node, entry: Node, node: Node, key: str) -> Node | None:
    """Return what a merge entry becomes in this pass; None where nothing is left of it."""
    initial = isinstance(node.value, str)
    result = walker.untagged_flow(node, state.env)
    state.key_name = result.note.key_name or state.key_name
    if isinstance(result.value, Evaluable):
        if not initial and is_optional_merge(node.value):
            return None
        return _pending_entry(state, root, entry, result, key)
    if isinstance(result.value, list):
        new = _new_entries(result.value, root.value, state.key_name, state.env)
        state.merged = True
        state.replace = result.note.replace
        state.redirect = result.note.redirect
        if state.replace:
            state.entries = new
            state.process = False
            return None
        state.entries += new
    if isinstance(result.value, list) or not is_text_of_expression(result.value, state.env):
        state.redirect = result.note.redirect
        state.merged = state.merged or result.note.merged
        return None
    return entry


def _pending_entry(state: _Pass, root: Node, entry: Node, result: Node, key: str) -> Node | None:
    marker = marker_of(result.value, template=state.template)
    kept: Node | None = result
    if marker:
        state.flags |= marker.flags
        state.tag = marker.tag or state.tag
        if marker.is_template:
            state.template = True
            state.process = False
            kept = marker.template_of(root)
    if kept is None:
        return None
    state.process = False
    return entry if kept is entry.value[key] else Node({key: kept}, root.source)


def _new_entries(entries: list[Node], old: list[Node], key_name: str, env: Environment) -> list[Node]:
    """Return the entries whose names the list does not have already, marked as merged."""
    key = key_name or "name"
    known = Node(old, root_source(old)).noted(key_name=key)
    result = []
    for entry in entries:
        name = field_of(entry, key, raw=True, control=False)
        if not isinstance(name, str) or find(known, [name], control=env.state.control, raw=True) is None:
            result.append(entry.noted(merged=True))
    return result


def root_source(entries: list[Node]) -> str:
    """Return the document of a list's entries."""
    return entries[0].source if entries else ""


def _without_key_tag(entry: Node) -> tuple[Node, str]:
    """Remove the tag of a key field (`key:name: x`): return the entry, and the field's name or ""."""
    fields = entry.value
    if not isinstance(fields, dict):
        return entry, ""
    tagged = [key.removeprefix("key:") for key in fields if key.startswith("key:")]
    if not tagged:
        return entry, ""
    names = {name.removeprefix("!") for name in tagged}
    key_name = names.pop() if len(names) == 1 and not tagged[0].startswith("!") else NO_KEY
    plain = {
        key.removeprefix("key:").removeprefix("!") if key.startswith("key:") else key: node
        for key, node in fields.items()
    }
    return entry.with_value(plain), key_name


def _without_controls(walker: Walker, state: _Pass) -> list[Node]:
    """Return the entries, with control structures replaced by their results."""
    result: list[Node] = []
    for entry in state.entries:
        try:
            control = is_control(entry, state.env)
        except Refusal as refusal:
            entry = entry.with_issue(Issue(refusal.reason), error=True, failed=True)
            control = False
        if control:
            entry = walker.untagged_flow(entry, state.env)
            if isinstance(entry.value, list):
                result += entry.value
                continue
            state.process = False
        result.append(entry)
    return result


def _processed(walker: Walker, state: _Pass, entries: list[Node]) -> list[Node]:
    """Process each entry under its name or index, and return those that are not undefined."""
    unique = state.key_name != NO_KEY and _unique(walker, state, entries)
    result = []
    for index, entry in enumerate(entries):
        name, keyed, known, _ = _step(walker, state, index, entry, unique=unique)
        if not keyed and state.flags & NO_MERGE:
            entry = entry.noted(merged=True)
        if known:
            entry = walker.flow(entry, state.env.with_step(name))
        if not entry.note.undefined:
            result.append(entry)
    return result


def _unique(walker: Walker, state: _Pass, entries: list[Node]) -> bool:
    """Return whether every entry has a name, and no two have the same."""
    names = set()
    for index, entry in enumerate(entries):
        name, _, known, has_name = _step(walker, state, index, entry, unique=True)
        if not known or not has_name or name in names:
            return False
        names.add(name)
    return True


def _step(
    walker: Walker, state: _Pass, index: int, entry: Node, *, unique: bool
) -> tuple[str, bool, bool, bool]:
    """Find the step of a path that leads to an entry.

    Return the step, whether it is a name, whether that is known already, and whether the entry has a name.
    """
    key = state.key_name or "name"
    control = state.env.state.control
    if unique:
        name = field_of(entry, key, raw=False, control=control)
        if isinstance(name, str):
            return f"{key}:{name}", True, True, True
    by_index = f"[{index}]"
    node = find(entry, [key], control=control, raw=True)
    if node is None or node.value is None:
        return by_index, False, True, False
    if isinstance(node.value, Evaluable):
        node = walker.flow(node, state.env.with_step(by_index))
        if isinstance(node.value, Evaluable):
            return by_index, False, False, False
    if isinstance(node.value, str) and unique:
        return f"{key}:{node.value}", True, True, True
    return by_index, False, True, False


def _injected(state: _Pass, stub: Node | None, root: Node, entries: list[Node]) -> list[Node]:
    """Return the entries behind those that the stub marks with &inject or &default."""
    if state.merged:
        state.flags |= INJECTED
        return entries
    if stub is None or root.note.flags & INJECTED:
        return entries
    state.flags |= INJECTED
    if not isinstance(stub.value, list):
        return entries
    return [entry for entry in stub.value if entry.note.flags & (INJECT | DEFAULT)] + entries


def _same(one: list[Node], other: list[Node]) -> bool:
    return len(one) == len(other) and all(mine is its for mine, its in zip(one, other, strict=True))


def _finished(state: _Pass, root: Node, value: Value) -> Node:
    if isinstance(value, list) and _same(value, root.value):
        value = root.value
    node = root.with_value(value)
    if state.key_name:
        node = node.noted(key_name=state.key_name)
    if state.replace:
        node = node.noted(replace=True, redirect=state.redirect)
    elif state.redirect is not None:
        node = node.noted(redirect=state.redirect)
    if state.flags | node.note.flags != node.note.flags:
        return node.flagged(state.flags)
    return updated(node, 0, state.tag)

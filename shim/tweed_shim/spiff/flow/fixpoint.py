"""The passes over a tree, repeated until nothing changes: they evaluate expressions and merge stubs.

An expression that depends on a node which is not known yet stays for the next pass."""

from __future__ import annotations

from tweed_shim.base.records import Record
from tweed_shim.spiff.expressions.environment import Environment, Evaluable
from tweed_shim.spiff.expressions.evaluation import Constant
from tweed_shim.spiff.expressions.lambdas import TooDeep
from tweed_shim.spiff.expressions.markers import Substitution
from tweed_shim.spiff.expressions.outcomes import NOTHING, Info, fault_info
from tweed_shim.spiff.expressions.tags import STREAM, Tag
from tweed_shim.spiff.flow.control import is_control
from tweed_shim.spiff.flow.lists import flow_list
from tweed_shim.spiff.flow.loops import Refusal
from tweed_shim.spiff.flow.maps import flow_map
from tweed_shim.spiff.flow.passes import marker_of, parsed, substituted
from tweed_shim.spiff.flow.unresolved_search import find_unresolved
from tweed_shim.spiff.tree.nodes import (
    DEFAULT,
    DYNAMIC,
    INJECT,
    INJECTED,
    NO_ISSUE,
    Issue,
    Node,
    Note,
    Path,
    Template,
)
from tweed_shim.spiff.tree.output import MAX_DEPTH, MAX_VALUES
from tweed_shim.spiff.tree.paths import joined
from tweed_shim.spiff.tree.size import measure
from tweed_shim.spiff.tree.unresolved import Unresolved
from tweed_shim.spiff.tree.values import Fault, Value

MAX_PASSES = 20_000
MAX_REWRITES = 500
"""The most passes over a tree, and how often an expression in it may become another one before it has a value."""


def flow(env: Environment, source: Node, *, override: bool = True) -> tuple[Node, Unresolved | None]:
    """Process a tree until nothing changes; return it, and what could not be resolved or None.

    override: stubs replace what the tree holds.
    """
    result = source
    walker = _Walker()
    env = env.with_scopes()
    for _ in range(MAX_PASSES):
        inside = env.with_list_scope(result.value) if isinstance(result.value, list) else env
        new = walker.flow(result, inside, override=override, template=False)
        if new.note.undefined:
            result = Node(None, source.source).noted(undefined=True)
            break
        if new is result:
            break
        result = new
    else:
        raise TooDeep(f"{env.source}: {joined(env.path) or 'the document'} never comes to an end")
    size, depth = measure(result)
    if size > MAX_VALUES or depth > MAX_DEPTH:
        what = f"{MAX_VALUES:,} values" if size > MAX_VALUES else f"{MAX_DEPTH:,} levels"
        raise TooDeep(
            f"{env.source}: the result of {joined(env.path) or 'the document'} has more than {what}"
        )
    return result, find_unresolved(result)


class _Evaluated(Record, frozen=False):
    """The result of a node's expression, and what decides whether stubs still replace it."""

    node: Node
    flags: int
    replace: bool
    redirect: Path | None
    key_name: str
    # Whether the stubs are left out: nothing replaces this value.
    final: bool


class _Walker:
    """Leads the passes over one tree; see `passes.Walker`."""

    def __init__(self) -> None:
        self.rewrites: dict[Path, int] = {}

    def flow(self, node: Node, env: Environment, *, override: bool = False, template: bool = False) -> Node:
        """See `passes.Walker`."""
        if not template and node.inert() and (not env.stubs or not env.has_stub()):
            return node
        settled = (self, env.stub_path, override, env.no_merge)
        if node.settled == settled:
            return node
        result = self.untagged_flow(node, env, override=override, template=template)
        control = env.state.control
        if (
            result.note.tag
            and not result.note.failed
            and not result.note.undefined
            and result.resolved(control=control)
        ):
            result = _with_tag(result, node, env)
        if result is node and node.resolved(control=control):
            # It has no expressions left: no later pass can change it.
            node.settled = settled
        return result

    def untagged_flow(
        self, node: Node, env: Environment, *, override: bool = False, template: bool = False
    ) -> Node:
        """See `passes.Walker`."""
        note = node.note
        if note.redirect is not None:
            env = env.redirected(note.redirect)
        value = node.value
        evaluated = _Evaluated(node, note.flags, note.replace, note.redirect, note.key_name, final=False)
        if not note.replace:
            if note.merged and not isinstance(value, Evaluable):
                return node
            if isinstance(value, dict):
                evaluated.node, evaluated.final = self._map(node, env, template=template)
            elif isinstance(value, list):
                return flow_list(self, node, env, template=template)
            elif isinstance(value, Evaluable):
                evaluated = _evaluated(node, value, env, override=override, template=template)
                if isinstance(evaluated.node.value, Evaluable) and evaluated.node is not node:
                    self._rewritten(env)
            elif isinstance(value, str):
                evaluated.node = parsed(node, env)
                evaluated.final = evaluated.node is not node
        if evaluated.final or note.merged or not override or env.no_merge:
            return evaluated.node
        return _overridden(evaluated, node, env)

    def _rewritten(self, env: Environment) -> None:
        """Count one more expression that became another one. Raises TooDeep above MAX_REWRITES."""
        self.rewrites[env.path] = count = self.rewrites.get(env.path, 0) + 1
        if count > MAX_REWRITES:
            raise TooDeep(f"{env.source}: {joined(env.path) or 'the document'} never comes to an end")

    def _map(self, node: Node, env: Environment, *, template: bool) -> tuple[Node, bool]:
        """Return a map after this pass, and whether it is final: stubs may replace the result of a control."""
        try:
            control = is_control(node, env)
        except Refusal as refusal:
            return _with_issue(node, Issue(refusal.reason), env, error=True, failed=True), True
        result = flow_map(self, node, env, override=not control, template=template)
        return result, not control or isinstance(result.value, dict)


def _evaluated(
    root: Node, expression: Evaluable, env: Environment, *, override: bool, template: bool
) -> _Evaluated:
    """Evaluate a node's expression."""
    inside = env.with_source(root.source)
    marker = marker_of(expression, template=template)
    if marker and marker.tag and not root.note.tag:
        root = root.noted(tag=marker.tag)
    flags = root.note.flags
    value: Value = None
    fault: Fault | None = None
    info = NOTHING
    made_of = root.template
    if marker and marker.is_template:
        flags |= marker.flags
        prepared = marker.template_of(root)
        if prepared is None:
            fault = Fault("empty template value")
        else:
            value = Template(inside.path, prepared, root, inside)
    else:
        try:
            value, info = expression.evaluate(inside)
        except Fault as problem:
            fault, info = problem, fault_info(problem)
    flags |= info.flags
    if flags & DYNAMIC and not fault and made_of is None:
        if isinstance(value, Template):
            value, made_of = Substitution(Constant(value)), value
        else:
            fault = Fault("dynamic marker for non-template value node")
    note = root.note
    replace = note.replace or info.replace
    if fault:
        failed = _with_issue(root, fault_info(fault).issue, env, error=True, failed=False)
        return _Evaluated(failed, flags, replace, note.redirect, note.key_name, not override)
    return _noted(root, value, info, made_of, flags, inside, override=override)


def _noted(
    root: Node,
    value: Value,
    info: Info,
    made_of: Template | None,
    flags: int,
    env: Environment,
    *,
    override: bool,
) -> _Evaluated:
    """Return the node of an expression's value, with what was found."""
    note = root.note
    replace = note.replace or info.replace
    redirect = info.redirect if info.redirect is not None else note.redirect
    if made_of is not None:
        flags |= INJECTED | DYNAMIC
    merged = not replace and (note.merged or info.merged)
    issue, failed = (info.issue, info.failed) if info.issue.text else (NO_ISSUE, False)
    if issue.text:
        issue = Issue(issue.text, env.path, issue.nested, issue.sequence)
    new = Note(
        redirect=redirect,
        replace=replace,
        preferred=note.preferred or info.preferred,
        merged=merged,
        key_name=info.key_name,
        failed=failed,
        undefined=info.undefined,
        issue=issue,
        tag=note.tag,
        flags=flags,
    )
    result = parsed(Node(value, info.source or root.source, new, made_of), env)
    pending = isinstance(result.value, Evaluable)
    if pending and result.value == root.value and new == note and result.source == root.source:
        result = root
    final = pending or merged or not override or new.preferred
    return _Evaluated(result, flags, replace, redirect, info.key_name or note.key_name, final)


def _overridden(evaluated: _Evaluated, original: Node, env: Environment) -> Node:
    """Return the stub's node in place of the node, where a stub has one."""
    note = evaluated.node.note
    if note.merged or note.replace or note.redirect:
        return evaluated.node
    stub = env.in_stubs(env.stub_path)
    if stub is None or stub.note.flags & (DEFAULT | INJECT) == DEFAULT or note.flags & INJECTED:
        return evaluated.node
    node = substituted(stub)
    changes: dict[str, object] = {}
    if evaluated.key_name:
        changes["key_name"] = evaluated.key_name
    if evaluated.replace:
        changes |= {"replace": True, "redirect": evaluated.redirect}
    elif evaluated.redirect is not None:
        changes["redirect"] = evaluated.redirect
    flags = evaluated.flags
    if flags & (DEFAULT | INJECT) == DEFAULT:
        flags = (flags | INJECT) & ~DEFAULT
    if changes:
        node = node.noted(**changes)
    node = node.flagged(flags)
    same = node.value is original.value or (
        node.value == original.value and isinstance(node.value, Evaluable)
    )
    if (
        same
        and node.note == original.note
        and node.source == original.source
        and node.template is original.template
    ):
        return original
    return node


def _with_issue(node: Node, issue: Issue, env: Environment, *, error: bool, failed: bool) -> Node:
    """Return the node with an issue. Its path is the environment's, unless the node has one already."""
    origin = node.note.issue.origin
    issue = Issue(issue.text, origin if origin is not None else env.path, issue.nested, issue.sequence)
    return node.with_issue(issue, error=error, failed=failed)


def _with_tag(node: Node, original: Node, env: Environment) -> Node:
    """Define the tag of a node that is resolved; return the node, failed where the tag is refused."""
    tag = node.note.tag
    scope = 0 if tag.startswith("*") else STREAM
    try:
        env.state.tags.define(Tag(tag.removeprefix("*"), node, env.path, scope))
    except Fault as fault:
        if node.value is None:
            node = node.with_value(original.value)
        failed = node.with_issue(Issue(fault.reason), error=True, failed=True)
        return original if failed.note == original.note and failed.value is original.value else failed
    return node

"""What the passes over maps, lists and expressions share."""

from __future__ import annotations

from typing import Protocol

from tweed_shim.spiff.expressions.environment import Environment, Evaluable
from tweed_shim.spiff.expressions.evaluation import Constant
from tweed_shim.spiff.expressions.markers import TEMPLATE, Marker, Merge, Substitution
from tweed_shim.spiff.tree.interpolation import expression_in
from tweed_shim.spiff.tree.nodes import DYNAMIC, INJECTED, STATE, TEMPORARY, Node, Template
from tweed_shim.spiff.tree.values import Fault, Value


class Walker(Protocol):
    """Leads one pass through the nodes of a tree."""

    def flow(self, node: Node, env: Environment, *, override: bool = False, template: bool = False) -> Node:
        """Return a node after this pass.

        override: stubs replace its value. template: the node is to become a template.
        """

    def untagged_flow(
        self, node: Node, env: Environment, *, override: bool = False, template: bool = False
    ) -> Node:
        """Return a node after this pass as `flow` does, but do not define its tag."""


def inherited(env: Environment) -> tuple[int, Node | None]:
    """Return the flags that a node takes from its stub, and the stub's node."""
    stub = env.in_stubs(env.stub_path)
    return (stub.note.flags & (TEMPORARY | STATE) if stub is not None else 0), stub


def updated(node: Node, flags: int, tag: str) -> Node:
    """Return a node with more flags, and with a tag where one is given."""
    node = node.flagged(flags)
    return node.noted(tag=tag) if tag and tag != node.note.tag else node


def marker_of(expression: Evaluable, *, template: bool) -> Marker | None:
    """Return the expression's marker. `template`: any other expression is marked as a template."""
    if isinstance(expression, Marker):
        return expression
    return Marker((TEMPLATE,), expression) if template else None


def substituted(node: Node) -> Node:
    """Return a stub's node as it is taken over: a dynamic template is processed at its new path."""
    value = node.value if isinstance(node.value, Template) else node.template
    if node.note.flags & DYNAMIC and isinstance(value, Template):
        dynamic = Node(Substitution(Constant(value)), "<substitute>", template=value)
        return dynamic.flagged(node.note.flags | INJECTED | DYNAMIC)
    return node


def parsed(node: Node, env: Environment) -> Node:
    """Return a node with the expression that its text is; the node itself where it is none, or cannot be parsed."""
    text = node.value
    if not isinstance(text, str) or "((" not in text:
        return node
    expression = expression_in(text, interpolation=env.state.interpolation)
    if expression is None:
        return node
    try:
        return node.with_value(env.state.engine.expression(expression, env.path, env.stub_path))
    except Fault:
        # `unresolved_search` reports at the end what is wrong with it.
        return node


def is_text_of_expression(value: Value, env: Environment) -> bool:
    """Return whether a value is the text of an expression, which then could not be parsed."""
    return isinstance(value, str) and expression_in(value, interpolation=env.state.interpolation) is not None


def is_optional_merge(value: Value) -> bool:
    """Return whether a value is a plain `merge`, which may find nothing under `<<`."""
    return isinstance(value, Merge) and not value.required

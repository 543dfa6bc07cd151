"""Control structures written as maps (the feature `control`): `<<if`, `<<switch`, `<<type`, `<<for`, `<<merge`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from tweed_shim.base.records import Record
from tweed_shim.spiff.expressions import lambdas
from tweed_shim.spiff.expressions.environment import Environment
from tweed_shim.spiff.flow import loops
from tweed_shim.spiff.flow.loops import Refusal
from tweed_shim.spiff.tree.equality import equivalent
from tweed_shim.spiff.tree.nodes import Issue, Lambda, Node, derived, short, type_name
from tweed_shim.spiff.tree.values import Fault, Value, shorten

PREFIX = "<<"


class Structure(Record):
    """A control structure: its name and value, its options, its other fields, and the node that holds all of them."""

    name: str
    value: Node
    options: Mapping[str, Node]
    fields: Mapping[str, Node]
    node: Node
    env: Environment

    @property
    def ready(self) -> bool:
        """Whether value, options and fields are resolved; an option or field that failed counts as resolved."""
        control = self.env.state.control
        known = not self.value.note.failed and self.value.resolved(control=control)
        if not (self.value.note.undefined or known):
            return False
        return all(
            accepted(node, control=control) for node in (*self.options.values(), *self.fields.values())
        )

    def refuse_fields(self) -> None:
        """Check that there are no other fields. Raises Refusal."""
        if self.fields:
            raise Refusal(f"no regular fields [{' '.join(sorted(self.fields))}] allowed")

    def nothing(self) -> Node:
        """Return an undefined node, as if the structure were not there."""
        return derived(None, self.env.source).noted(undefined=True)


def accepted(node: Node, *, control: bool) -> bool:
    """Return whether a node is resolved, or failed."""
    if node.note.failed or node.note.error or node.resolved(control=control):
        return True
    value = node.value
    if isinstance(value, dict) and node.complete(control=control):
        return _all_accepted(value.values(), control=control)
    return isinstance(value, list) and _all_accepted(value, control=control)


def _all_accepted(entries: Iterable[Node], *, control: bool) -> bool:
    # No generator: each level of nesting would need C stack, which `recursion.deep` cannot extend.
    for entry in entries:  # noqa: SIM110
        if not accepted(entry, control=control):
            return False
    return True


def _if(structure: Structure) -> Node | None:
    structure.refuse_fields()
    if not structure.ready:
        return None
    value = structure.value.value
    if value is not None and not isinstance(value, bool):
        raise Refusal(f"invalid condition value type: {type_name(value)}")
    branch = structure.options.get("then" if value else "else")
    return structure.nothing() if branch is None else branch


def _switch(structure: Structure) -> Node | None:
    if structure.value.note.undefined:
        return structure.nothing()
    cases = structure.options.get("cases")
    if cases is not None:
        structure.refuse_fields()
    if not structure.ready:
        return None
    if cases is None:
        return _selected(structure, structure.value.value)
    if not isinstance(cases.value, list):
        raise Refusal("cases must be a list")
    for number, case in enumerate(cases.value):
        matches, value = _case(structure, number, case)
        if matches is None:
            return None
        if matches:
            return structure.nothing() if value is None else value
    default = structure.options.get("default")
    if default is None:
        raise Refusal(f"invalid switch value: {shorten(short(structure.value.value))}")
    return default


def _case(structure: Structure, number: int, case: Node) -> tuple[bool | None, Node | None]:
    """Return whether a case matches (None: not known yet), and its value."""
    fields = case.value
    if not isinstance(fields, dict):
        raise Refusal(f"case {number} requires field 'case'")
    for key in sorted(fields):
        if key not in ("case", "match", "value"):
            raise Refusal(f'case {number} invalid field "{key}"')
    if not ("case" in fields or "match" in fields):
        raise Refusal(f"case {number} requires 'case' or `'match' field")
    value = fields.get("value")
    if "case" in fields and not equivalent(fields["case"].value, structure.value.value):
        return False, value
    match = fields.get("match")
    if match is None or not isinstance(match.value, Lambda):
        return True, value
    return _matched(structure, number, match.value), value


def _matched(structure: Structure, number: int, function: Lambda) -> bool | None:
    try:
        known, result, _ = lambdas.call(function, [structure.value.value], structure.env)
    except Fault:
        return False
    if known and not isinstance(result, bool):
        raise Refusal(f"case {number} boolean match result required, but got {type_name(result)}")
    return result if known else None


def _type(structure: Structure) -> Node | None:
    if not structure.ready:
        return None
    return _selected(
        structure, "undef" if structure.value.note.undefined else type_name(structure.value.value)
    )


def _selected(structure: Structure, key: Value) -> Node | None:
    """Return the field of that name, or the default."""
    if key is not None and not isinstance(key, str):
        raise Refusal(f"invalid switch value type: {type_name(key)}")
    result = structure.fields.get(key) if key is not None else None
    if result is None:
        result = structure.options.get("default")
    if result is None:
        raise Refusal(f'invalid switch value: "{key}"')
    return result


def _merge(structure: Structure) -> Node | None:
    if not structure.ready:
        return None
    fields = {key: node for key, node in structure.fields.items() if not node.note.undefined}
    value = structure.value.value
    if isinstance(value, dict):
        fields.update(value)
    elif isinstance(value, list):
        for number, entry in enumerate(value):
            if isinstance(entry.value, dict):
                fields.update(entry.value)
            elif entry.value is not None:
                raise Refusal(f"entry {number}: invalid entry type: {type_name(entry.value)}")
    elif value is not None:
        raise Refusal(f"invalid value type: {type_name(value)}")
    return derived(fields, structure.env.source)


def _for(structure: Structure) -> Node | None:
    structure.refuse_fields()
    if not structure.ready:
        return None
    body = structure.options.get("do")
    if body is None:
        raise Refusal("do field required")
    if structure.value.note.undefined:
        return structure.nothing()
    return loops.run(structure.value.value, body, structure.options.get("mapkey"), structure.env)


class Control(Record):
    """A control: the function that evaluates a structure (None: not known yet), and the names of its options."""

    run: Callable[[Structure], Node | None]
    options: tuple[str, ...] = ()


CONTROLS: dict[str, Control] = {
    "for": Control(_for, ("do", "mapkey")),
    "if": Control(_if, ("then", "else")),
    "merge": Control(_merge),
    "switch": Control(_switch, ("default", "cases")),
    "type": Control(_type, ("default",)),
}

OPTIONS = frozenset([option for control in CONTROLS.values() for option in control.options])

# The values of these options are templates: they are processed when the control uses them.
TEMPLATE_OPTIONS = ("<<do", "<<mapkey")


def structure_of(node: Node, undefined: Mapping[str, Node], env: Environment) -> Structure | None:
    """Return a map as a control structure, None where it is none. Raises Refusal where it is not well-formed."""
    if not env.state.control or not isinstance(node.value, dict):
        return None
    all_fields = {**node.value, **undefined}
    if not any(key.startswith(PREFIX) for key in all_fields):
        return None
    controls, options, fields = _sorted_out(all_fields)
    if not controls:
        if options:
            names = " ".join(sorted(options))
            raise Refusal(f"control options [{names}] without control")
        return None
    if len(controls) > 1:
        first, second = sorted(controls)[:2]
        raise Refusal(f'multiple controls "<<{first}" and "<<{second}"')
    ((name, value),) = controls.items()
    for option in sorted(options):
        if option not in CONTROLS[name].options:
            raise Refusal(f'invalid option "{option}" for control "{name}"')
    whole = node.with_value(all_fields) if undefined else node
    return Structure(name, value, options, fields, whole, env)


def _sorted_out(entries: Mapping[str, Node]) -> tuple[dict[str, Node], dict[str, Node], dict[str, Node]]:
    controls, options, fields = {}, {}, {}
    for key, node in entries.items():
        name = key.removeprefix(PREFIX)
        if name == key:
            fields[key] = node
        elif name in CONTROLS:
            controls[name] = node
        elif name in OPTIONS:
            options[name] = node
        elif name not in ("", "<") and not name.startswith("!"):
            raise Refusal(f'unknown control or control option "{key}"')
    return controls, options, fields


def is_control(node: Node, env: Environment) -> bool:
    """Return whether a node is a control structure. Raises Refusal."""
    return structure_of(node, {}, env) is not None


def controlled(node: Node, undefined: Mapping[str, Node], env: Environment) -> Node:
    """Evaluate a map that is a control structure: return its result, or the map while that is not known.

    Where the structure fails, the result is a failed node.
    """
    try:
        structure = structure_of(node, undefined, env)
    except Refusal as refusal:
        return _failed("<control>", refusal, node)
    if structure is None:
        return node
    try:
        result = CONTROLS[structure.name].run(structure)
    except Refusal as refusal:
        return _failed(f"<{structure.name} control>", refusal, node)
    except loops.BodyFault as fault:
        return structure.node.with_issue(fault.issue, error=True, failed=True)
    if result is None:
        return structure.node
    return result.flagged(node.note.flags)


def _failed(what: str, refusal: Refusal, node: Node) -> Node:
    return Node(what, node.source).with_issue(Issue(refusal.reason), error=True, failed=True)

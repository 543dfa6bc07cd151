"""The control `<<for`: evaluates its body for every combination of the values of its variables."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import product

from tweed_shim.base.records import Record
from tweed_shim.spiff.expressions.environment import Environment
from tweed_shim.spiff.expressions.evaluation import Constant, pending
from tweed_shim.spiff.expressions.markers import Substitution
from tweed_shim.spiff.expressions.outcomes import fault_issue
from tweed_shim.spiff.tree.nodes import Issue, Node, Template, derived, short, type_name
from tweed_shim.spiff.tree.values import Fault, Value, shorten

_NAME = re.compile("[a-zA-Z0-9_]+")


class Refusal(Fault):
    """A control structure is not well-formed, or its value has the wrong type."""


class BodyFault(Exception):
    """The body of a loop failed for some values."""

    def __init__(self, problems: Sequence[Issue]) -> None:
        super().__init__("error evaluating body")
        self.issue = Issue("error evaluating body", nested=tuple(problems))


class Variable(Record):
    """A variable of the loop: its name, the name of its index, and its values with their indices."""

    name: str
    index: str
    values: Sequence[tuple[Value, Node]]


def run(ranges: Value, body: Node, key: Node | None, env: Environment) -> Node | None:
    """Run a loop: return the list, or with a key the map, of the results; None where one is not known yet.

    Raises Refusal where the loop is not well-formed, BodyFault where the body fails.
    """
    if key is not None and not isinstance(key.value, Template):
        raise Refusal("mapkey must be an expression")
    try:
        variables = _variables(ranges)
    except Fault as fault:
        raise Refusal(fault.reason) from None
    results: list[tuple[str, Node]] = []
    problems: list[Issue] = []
    known = True
    for names, described in _combinations(variables):
        inside = env.with_bound(names)
        try:
            entry = _entry(body, key, inside, env.source)
        except Fault as fault:
            issue = fault_issue(fault)
            problems.append(Issue(f"{described}: {issue.text}", nested=issue.nested, sequence=issue.sequence))
            continue
        if entry is None:
            known = False
        else:
            results += entry
    if problems:
        raise BodyFault(problems)
    if not known:
        return None
    value: Value = [entry for _, entry in results] if key is None else dict(results)
    return derived(value, env.source)


def _entry(body: Node, key: Node | None, env: Environment, source: str) -> list[tuple[str, Node]] | None:
    """Return key and node of an iteration in a list, [] where it is left out, None where it is not known yet."""
    name, leave_out = "", False
    if key is not None:
        name, info = Substitution(Constant(key.value)).evaluate(env)
        if pending(name):
            return None
        leave_out = info.undefined or name is None
        if not leave_out and not isinstance(name, str):
            raise Fault(f"map key must be string, but found {type_name(name)}")
    if not isinstance(body.value, Template):
        return [] if leave_out else [(name, body)]
    value, info = Substitution(Constant(body.value)).evaluate(env)
    if pending(value):
        return None
    return [] if leave_out or info.undefined else [(name, derived(value, source))]


def _combinations(variables: Sequence[Variable]) -> Iterator[tuple[dict[str, Node], str]]:
    """Return the names for each combination with a description; the first variable changes slowest."""
    for values in product(*[variable.values for variable in variables]):
        names = {}
        described = []
        for variable, (index, value) in zip(variables, values, strict=True):
            names[variable.name] = value
            names[variable.index] = Node(index, "for")
            described.append(f" {variable.name}[{index}]={shorten(short(value.value))}")
        # The reference describes the variable that changes fastest first.
        yield names, "control variables: " + ";".join(reversed(described))


def _variables(ranges: Value) -> list[Variable]:
    if isinstance(ranges, dict):
        return sorted(
            [_from_field(spec, values) for spec, values in ranges.items()],
            key=lambda item: (item.name, item.index),
        )
    if isinstance(ranges, list):
        return [_from_entry(entry) for entry in ranges]
    raise Fault(f"value field must be map but got {type_name(ranges)}")


def _from_field(spec: str, values: Node) -> Variable:
    parts = [part.strip() for part in spec.split(",")]
    if len(parts) > 2:
        raise Fault(f'invalid control variable spec "{spec}"')
    index, name = parts if len(parts) == 2 else ("", parts[0])
    return _variable(name, index, values)


def _from_entry(entry: Node) -> Variable:
    spec = entry.value
    if not isinstance(spec, dict):
        raise Fault(f"control variable list entry requires may but got {type_name(spec)}")
    for field in ("name", "values"):
        if field not in spec:
            raise Fault(f"control variable list entry requires {field} field")
    unknown = sorted(spec.keys() - {"name", "values", "index"})
    if unknown:
        raise Fault(f'invalid control variable list entry field "{unknown[0]}"')
    index = spec["index"].value if "index" in spec else ""
    if not isinstance(index, str):
        raise Fault(f"control index variable name must be of type string but got {type_name(index)}")
    name = spec["name"].value
    return _variable(name if isinstance(name, str) else "", index, spec["values"])


def _variable(name: str, index: str, values: Node) -> Variable:
    for kind, given in (("range", name), ("index", index or name)):
        if not _NAME.search(given):
            raise Fault(f'invalid {kind} variable name "{given}" (must be {_NAME.pattern})')
    value = values.value
    if isinstance(value, dict):
        items: list[tuple[Value, Node]] = sorted(value.items())
    elif isinstance(value, list):
        items = list(enumerate(value))
    else:
        raise Fault(f'control variable "{name}" requires list or map value, but got {type_name(value)}')
    return Variable(name, index or f"index-{name}", items)

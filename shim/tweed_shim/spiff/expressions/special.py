"""The functions that need more than plain values: unevaluated arguments, stubs, or the engine.

Those in `LAZY` evaluate their arguments themselves; those in `STRICT` are given values that still hold nodes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tweed_shim.base.records import Record
from tweed_shim.spiff.expressions import static_ips, tags
from tweed_shim.spiff.expressions.environment import Environment, Evaluable
from tweed_shim.spiff.expressions.evaluation import pending
from tweed_shim.spiff.expressions.outcomes import NOTHING, UNDEFINED, Failure, Info, Outcome
from tweed_shim.spiff.expressions.recovery import Catch, Sync
from tweed_shim.spiff.expressions.references import Reference
from tweed_shim.spiff.tree.nodes import Node, Template, copied, derived, type_name
from tweed_shim.spiff.tree.paths import components, joined
from tweed_shim.spiff.tree.values import Fault, Value, truth


def _valid(call: Evaluable, arguments: Sequence[Evaluable], env: Environment) -> Outcome:
    valid = True
    unknown = False
    for argument in arguments:
        try:
            value, _ = argument.evaluate(env, locally=True)
        except Fault:
            if not unknown:
                return False, NOTHING
            continue
        unknown = unknown or pending(value)
        valid = valid and value is not None
    return (call if unknown else valid), NOTHING


def _defined(call: Evaluable, arguments: Sequence[Evaluable], env: Environment) -> Outcome:
    unknown = False
    for argument in arguments:
        try:
            value, info = argument.evaluate(env, locally=True)
        except Fault:
            if not unknown:
                return False, NOTHING
            continue
        unknown = unknown or pending(value)
        if not unknown and info.undefined:
            return False, NOTHING
    return (call if unknown else True), NOTHING


def _optional(call: Evaluable, arguments: Sequence[Evaluable], env: Environment) -> Outcome:
    if len(arguments) != 2:
        raise Failure("condition and template required for optional()")
    try:
        condition, info = arguments[0].evaluate(env)
    except Fault:
        return None, UNDEFINED
    if pending(condition):
        return call, info
    if info.undefined or not truth(condition):
        return None, UNDEFINED
    value, value_info = arguments[1].evaluate(env)
    return value, value_info.joined(info)


def _require(call: Evaluable, arguments: Sequence[Evaluable], env: Environment) -> Outcome:
    if len(arguments) != 1:
        raise Failure("one argument expected for 'require'")
    try:
        value, _ = arguments[0].evaluate(env, locally=True)
    except Fault:
        value = None
    if pending(value):
        return call, NOTHING
    if value is None:
        raise Failure(f'required expression "{arguments[0]}" undefined')
    return value, NOTHING


def _stub(call: Evaluable, arguments: Sequence[Evaluable], env: Environment) -> Outcome:
    if len(arguments) > 1:
        raise Failure("a maximum of one argument expected for 'stub'")
    path = env.path
    if arguments:
        argument = arguments[0]
        if isinstance(argument, Reference):
            path = argument.path
        else:
            value, info = argument.evaluate(env, locally=True)
            if pending(value):
                return call, info
            if not info.undefined:
                path = _stub_path(value)
    node = env.in_stubs(path)
    if node is None:
        raise Failure(f"'{joined(path)}' not found in any stub")
    return node.value, NOTHING


def _stub_path(value: Value) -> tuple[str, ...]:
    if isinstance(value, str):
        return components(value, leading=True)
    if not isinstance(value, list):
        raise Failure("stub() requires a string or reference argument")
    if not all(isinstance(entry.value, str) for entry in value):
        raise Failure("stub() requires a string entries in list")
    return tuple([entry.value for entry in value])


def _catch(call: Evaluable, arguments: Sequence[Evaluable], env: Environment) -> Outcome:  # noqa: ARG001 - see LAZY
    if len(arguments) != 1:
        raise Failure("catch requires a single argument")
    return _later(Catch(arguments[0]), env)


def _sync(call: Evaluable, arguments: Sequence[Evaluable], env: Environment) -> Outcome:  # noqa: ARG001 - see LAZY
    if not 2 <= len(arguments) <= 4:
        raise Failure("2 or 3 arguments required for sync")
    value = arguments[2] if len(arguments) > 2 else None
    timeout = arguments[3] if len(arguments) > 3 else None
    return _later(Sync(arguments[0], arguments[1], value, timeout, called=True), env)


def _later(expression: Evaluable, env: Environment) -> Outcome:
    """Make a document's expression this one in the next pass, as the reference does; evaluate it in a lambda."""
    return expression.evaluate(env) if env.bound else (expression, NOTHING)


def _static_ips(call: Evaluable, arguments: Sequence[Evaluable], env: Environment) -> Outcome:
    addresses, info = static_ips.addresses(arguments, env)
    return (call if addresses is None else addresses), info


LAZY: dict[str, Callable[[Evaluable, Sequence[Evaluable], Environment], Outcome]] = {
    "catch": _catch,
    "defined": _defined,
    "optional": _optional,
    "require": _require,
    "static_ips": _static_ips,
    "stub": _stub,
    "sync": _sync,
    "valid": _valid,
}


class StrictCall(Record):
    """A call of a function whose arguments are evaluated first: their values, and what was found with them."""

    values: Sequence[Value]
    info: Info
    env: Environment
    locally: bool = False


def _eval(call: StrictCall) -> Outcome:
    if len(call.values) != 1:
        raise Failure("one argument required for 'eval'")
    text = call.values[0]
    if not isinstance(text, str):
        raise Failure("string argument required for 'eval'")
    try:
        expression = call.env.state.engine.expression(text, call.env.path, call.env.stub_path)
    except Fault as fault:
        raise Failure(f"({text})\t {fault}") from None
    return expression.evaluate(call.env, locally=call.locally)


def _type(call: StrictCall) -> Outcome:
    if len(call.values) != 1:
        raise Failure("exactly one argument required for function 'type'")
    return ("undef", NOTHING) if call.info.undefined else (type_name(call.values[0]), call.info)


def _features(call: StrictCall) -> Outcome:
    if len(call.values) > 1:
        raise Failure("features acctepts a maximum of one arguments")
    if not call.values:
        return [derived(name, call.env.source) for name in sorted(call.env.state.features)], NOTHING
    if not isinstance(call.values[0], str):
        raise Failure("features: argument must be a string")
    return call.values[0] in call.env.state.features, NOTHING


def _merge(call: StrictCall) -> Outcome:
    if not call.values:
        raise Failure("at least one argument required for merge function")
    template, *stubs = [Node(entries, "dynaml") for entries in _maps("merge", call.values)]
    try:
        result = call.env.state.engine.merge(call.env, template, stubs)
    except Fault as fault:
        raise Failure(f"merging failed: {fault}") from None
    return result.value, NOTHING


def _deepmerge(call: StrictCall) -> Outcome:
    if not call.values:
        raise Failure("at least one argument required for deepmerge function")
    result: dict[str, Node] = {}
    for entries in _maps("deepmerge", call.values):
        result = _deep(result, entries)
    return result, NOTHING


def _deep(one: dict[str, Node], other: dict[str, Node]) -> dict[str, Node]:
    result = dict(one)
    for key, entry in other.items():
        old = result.get(key)
        if old is not None and isinstance(old.value, dict) and isinstance(entry.value, dict):
            entry = Node(_deep(old.value, entry.value), "<deepmerge>")
        result[key] = entry
    return result


def _maps(name: str, values: Sequence[Value]) -> list[dict[str, Node]]:
    """Return the maps that are given as arguments, or as the entries of one list."""
    if len(values) == 1 and isinstance(values[0], list):
        if not values[0]:
            raise Failure(f"{name}: no map found for merge")
        where, given = "entry of list argument: ", [entry.value for entry in values[0]]
    else:
        where, given = "argument ", list(values)
    return [_map(f"{name}: {where}{number}", value) for number, value in enumerate(given, 1)]


def _map(what: str, value: Value) -> dict[str, Node]:
    if isinstance(value, Template):
        value = copied(value.prepared).value
        if not isinstance(value, dict):
            raise Failure(f"{what}: template is not a map template")
    if not isinstance(value, dict):
        raise Failure(f"{what}: no map or map template, but {type_name(value)}")
    return value


_TAG_SCOPES = {"local": tags.STREAM, "global": 0}


def _tagdef(call: StrictCall) -> Outcome:
    """Tag a value, and return it."""
    if not 2 <= len(call.values) <= 3:
        raise Failure("two or three arguments expected for tagdef")
    name, value = call.values[0], call.values[1]
    if not isinstance(name, str):
        raise Failure("name argument for tagdef must be a string")
    scope = "local"
    if len(call.values) == 3:
        scope = call.values[2]
        if not isinstance(scope, str):
            raise Failure("type argument for tagdef must be a string (local or global)")
    elif name.startswith("*"):
        name, scope = name[1:], "global"
    try:
        tags.check_name(name)
    except Fault as fault:
        raise Failure(f'invalid tag name "{name}" for tagdef: {fault}') from None
    if scope not in _TAG_SCOPES:
        raise Failure(f'invalid scope argument "{scope}" for tagdef (must be local or global)')
    node = Node(value, f"tagdef({joined(call.env.path)})")
    call.env.state.tags.define(tags.Tag(name, node, call.env.path, _TAG_SCOPES[scope]))
    return value, NOTHING


STRICT: dict[str, Callable[[StrictCall], Outcome]] = {
    "deepmerge": _deepmerge,
    "eval": _eval,
    "features": _features,
    "merge": _merge,
    "tagdef": _tagdef,
    "type": _type,
}

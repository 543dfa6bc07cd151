"""`tagdef`: a tag that an expression defines."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from tweed_shim.spiff.evaluation import NOTHING, Failure, Info, Outcome
from tweed_shim.spiff.nodes import Node, joined
from tweed_shim.spiff.state import LOCAL, STREAM, check_tag_name
from tweed_shim.spiff.values import Fault, Value

if TYPE_CHECKING:
    from tweed_shim.spiff.environment import Environment

_SCOPES = {"local": STREAM, "global": 0}


def define(values: Sequence[Value], info: Info, env: Environment, locally: bool) -> Outcome:  # noqa: ARG001 - see `special.STRICT`
    """Tag a value; it is the result as well."""
    if not 2 <= len(values) <= 3:
        raise Failure("two or three arguments expected for tagdef")
    name, value = values[0], values[1]
    if not isinstance(name, str):
        raise Failure("name argument for tagdef must be a string")
    scope = "local"
    if len(values) == 3:
        scope = values[2]
        if not isinstance(scope, str):
            raise Failure("type argument for tagdef must be a string (local or global)")
    elif name.startswith("*"):
        name, scope = name[1:], "global"
    try:
        check_tag_name(name)
    except Fault as fault:
        raise Failure(f'invalid tag name "{name}" for tagdef: {fault}') from None
    if scope not in _SCOPES:
        raise Failure(f'invalid scope argument "{scope}" for tagdef (must be local or global)')
    env.state.set_tag(name, Node(value, f"tagdef({joined(env.path)})"), env.path, _SCOPES[scope] | LOCAL)
    return value, NOTHING

"""The functions that an executor's parameter mapping may call: `getCredentials` and `hasCredentials`.

Both take the executor's name of credentials, and optionally the name of a property. `*` or "" as the property stands
for the only one there is.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from tweed_shim.spiff.tree.values import Fault

Values = Mapping[str, Mapping[str, str]]
ONLY_PROPERTY = ("", "*")


def functions(values: Values) -> dict[str, Callable[..., Any]]:
    """Return the functions, by name, for the credentials `values`."""
    return {"getCredentials": partial(_get, values), "hasCredentials": partial(_has, values)}


def masked(values: Values) -> Values:
    """Return credentials with the same names, and `?` for every value."""
    return {name: dict.fromkeys(each, "?") for name, each in values.items()}


def _get(values: Values, *arguments: Any) -> Any:
    properties, name = _look_up(values, arguments)
    if properties is None:
        raise Fault(f"credential '{arguments[0]}' not found")
    if name is None:
        return dict(properties)
    if name in ONLY_PROPERTY:
        if len(properties) > 1:
            raise Fault(f"there are several properties in the credential '{arguments[0]}'")
        return next(iter(properties.values()), "")
    if name not in properties:
        raise Fault(f"there is no property '{name}' in the credential '{arguments[0]}'")
    return properties[name]


def _has(values: Values, *arguments: Any) -> bool:
    properties, name = _look_up(values, arguments)
    if properties is None or name is None:
        return properties is not None
    return len(properties) == 1 if name in ONLY_PROPERTY else name in properties


def _look_up(values: Values, arguments: Sequence[Any]) -> tuple[Mapping[str, str] | None, str | None]:
    """Return the credentials that the first argument names, and the second argument, the name of a property."""
    if not 1 <= len(arguments) <= 2 or not all(isinstance(each, str) for each in arguments):
        raise Fault("the name of a credential is needed as text, and optionally that of a property")
    return values.get(arguments[0]), arguments[1] if len(arguments) > 1 else None

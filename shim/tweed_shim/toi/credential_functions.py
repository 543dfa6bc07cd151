"""The functions that the parameter mapping of an executor may call: `getCredentials` and `hasCredentials`.

Both take the name of credentials as the executor knows them, and perhaps that of a property; `*`, or nothing, stands
for the only one there is.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from tweed_shim.spiff.tree.values import Fault

Values = Mapping[str, Mapping[str, str]]
ONLY = ("", "*")


def functions(values: Values) -> dict[str, Callable[..., Any]]:
    """The functions, for these credentials."""
    return {"getCredentials": partial(_get, values), "hasCredentials": partial(_has, values)}


def masked(values: Values) -> Values:
    """Credentials with the same names, and nothing of their values."""
    return {name: dict.fromkeys(each, "?") for name, each in values.items()}


def _get(values: Values, *arguments: Any) -> Any:
    found, property_name = _find(values, arguments)
    if found is None:
        raise Fault(f"credential '{arguments[0]}' not found")
    if property_name is None:
        return dict(found)
    if property_name in ONLY:
        if len(found) > 1:
            raise Fault(f"there are several properties in the credential '{arguments[0]}'")
        return next(iter(found.values()), "")
    if property_name not in found:
        raise Fault(f"there is no property '{property_name}' in the credential '{arguments[0]}'")
    return found[property_name]


def _has(values: Values, *arguments: Any) -> bool:
    found, property_name = _find(values, arguments)
    if found is None or property_name is None:
        return found is not None
    return len(found) == 1 if property_name in ONLY else property_name in found


def _find(values: Values, arguments: Sequence[Any]) -> tuple[Mapping[str, str] | None, str | None]:
    """The credentials that are named, and the property."""
    if not 1 <= len(arguments) <= 2 or not all(isinstance(each, str) for each in arguments):
        raise Fault("the name of a credential is needed as text, and perhaps that of a property")
    return values.get(arguments[0]), arguments[1] if len(arguments) > 1 else None

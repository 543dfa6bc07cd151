"""JSON Schema: find what in a value breaks a schema, and what in a schema makes it invalid.

A schema speaks the dialect that its `$schema` names, else draft 2020-12 or another default of the caller. Nothing is
ever fetched: a reference must stay within its schema. The messages are our own, because those of the library quote the
value, which may be a secret.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any

from tweed_shim.base.records import Record
from tweed_shim.data import document_paths
from tweed_shim.errors import ContractError

if TYPE_CHECKING:
    from jsonschema.protocols import Validator

Schema = Mapping[str, Any]

DRAFT_7 = "http://json-schema.org/draft-07/schema#"
DRAFT_2020_12 = "https://json-schema.org/draft/2020-12/schema"

_REFERENCES = ("$ref", "$dynamicRef", "$recursiveRef")
_KINDS = {
    "object": "a map", "array": "a list", "string": "text", "integer": "a whole number", "number": "a number",
    "boolean": "true/false", "null": "nothing",
}  # fmt: skip
_PROBLEMS = {
    "const": "must be {}",
    "minimum": "must be at least {}",
    "maximum": "must be at most {}",
    "exclusiveMinimum": "must be more than {}",
    "exclusiveMaximum": "must be less than {}",
    "multipleOf": "must be a multiple of {}",
    "minLength": "must have {} or more characters",
    "maxLength": "must have {} or fewer characters",
    "pattern": "must match the pattern {}",
    "format": "must be a valid {}",
    "minItems": "must hold {} or more values",
    "maxItems": "must hold {} or fewer values",
    "uniqueItems": "must not hold the same value twice",
    "minProperties": "must hold {} or more names",
    "maxProperties": "must hold {} or fewer names",
    "oneOf": "must fit exactly one of the forms that the schema allows",
    "anyOf": "must fit one of the forms that the schema allows",
}


class SchemaFault(Record):
    """One thing that breaks a schema: the path of the value, and a `problem` that continues the path's name."""

    path: tuple[str | int, ...]
    problem: str


def value_faults(
    schema: Schema,
    value: Any,
    *,
    what: str = "the JSON Schema",
    dialect: str = DRAFT_2020_12,
    formats: str = "",
) -> list[SchemaFault]:
    """Return everything in `value` that breaks `schema`, each fault once.

    what: names the schema in errors. dialect: the dialect of a schema without `$schema`. formats: the name of a module
    whose function `checker` returns the FormatChecker; without it no `format` is checked. It is a name because a
    SchemaWorker, which is another process, has to find the module as well. Raises ContractError where the schema cannot
    be applied: a reference leads nowhere, or in a circle.
    """
    import referencing

    checker = import_module(formats).checker() if formats else None
    validator_class = _validator_class(schema, dialect)
    validator = validator_class(schema, registry=referencing.Registry(), format_checker=checker)
    return _faults(validator, value, what)


def schema_faults(
    schema: Schema, *, what: str = "the JSON Schema", dialect: str = DRAFT_2020_12
) -> list[SchemaFault]:
    """Return everything that makes a schema invalid, references to other documents included."""
    validator_class = _validator_class(schema, dialect)
    if validator_class is None:
        return [SchemaFault(("$schema",), "is not a known dialect of JSON Schema")]
    checker = validator_class.FORMAT_CHECKER
    metaschema = validator_class(validator_class.META_SCHEMA, format_checker=checker)
    return [*_remote_references(schema, ()), *_faults(metaschema, schema, what)]


def describe_faults(faults: Iterable[SchemaFault], whole: str) -> str:
    """Return faults as one sentence; `whole` names the document where the fault is of all of it."""
    return document_paths.join_problems(
        [
            f"{document_paths.path_name(fault.path) if fault.path else whole} {fault.problem}"
            for fault in faults
        ]
    )


def _validator_class(schema: Schema, dialect: str) -> Any:
    """Return the library's validator for the schema's dialect, or None where the dialect is unknown."""
    from jsonschema.validators import validator_for

    unknown: Any = None
    return validator_for({"$schema": dialect, **schema}, default=unknown)


def _remote_references(schema: Any, path: tuple[str | int, ...]) -> Iterator[SchemaFault]:
    entries: Iterable[tuple[str | int, Any]] = ()
    if isinstance(schema, dict):
        entries = schema.items()
    elif isinstance(schema, list):
        entries = enumerate(schema)
    for key, entry in entries:
        if key in _REFERENCES and isinstance(entry, str) and not entry.startswith("#"):
            yield SchemaFault((*path, key), "must begin with #: a schema that is elsewhere is never fetched")
        yield from _remote_references(entry, (*path, key))


def _faults(validator: "Validator", value: Any, what: str) -> list[SchemaFault]:
    from jsonschema.exceptions import best_match

    try:
        errors = [best_match([error]) or error for error in validator.iter_errors(value)]
        return list(dict.fromkeys(fault for error in errors for fault in _explain(error)))
    except MemoryError:
        raise
    except Exception as error:  # noqa: BLE001 - the library raises very many errors for a stranger's schema
        kind = type(error).__name__
        raise ContractError(
            f"{what} cannot be applied: a reference in it leads nowhere or in a circle, or it has a rule that cannot "
            f"be checked ({kind}); ask its author to correct it"
        ) from None


def _explain(error: Any) -> Iterable[SchemaFault]:
    """Return what a ValidationError of the library means. Any: in its stubs every field may be unset."""
    path, keyword, expected = tuple(error.absolute_path), error.validator, error.validator_value
    if keyword in _FAULTS_BY_NAME:
        return [SchemaFault((*path, name), problem) for name, problem in _FAULTS_BY_NAME[keyword](error)]
    if keyword in ("anyOf", "oneOf") and error.context and not any(each.path for each in error.context):
        forms = dict.fromkeys(fault.problem for each in error.context for fault in _explain(each))
        return [SchemaFault(path, " or ".join(forms))]
    if keyword == "type":
        kinds = [expected] if isinstance(expected, str) else expected
        return [SchemaFault(path, "must be " + " or ".join(_KINDS.get(kind, kind) for kind in kinds))]
    if keyword == "enum":
        return [SchemaFault(path, "must be one of " + _excerpt(expected)[1:-1])]
    if keyword in _PROBLEMS:
        return [SchemaFault(path, _PROBLEMS[keyword].format(_excerpt(expected)))]
    if keyword is None:
        # The schema is `false`. The library does not say for which part of the value.
        return [SchemaFault(path, "is a value that the schema forbids")]
    return [SchemaFault(path, f"breaks the rule {_excerpt(keyword)} of the schema")]


def _excerpt(value: Any) -> str:
    """Return a part of a schema as JSON for a message, cut where it is long."""
    text = json.dumps(value)
    return text if len(text) <= 200 else text[:200] + "..."


def _missing_names(error: Any) -> Iterator[tuple[str, str]]:
    for name in error.validator_value:
        if name not in error.instance:
            yield name, "is required"


def _unknown_names(error: Any) -> Iterator[tuple[str, str]]:
    import difflib
    import re

    known = error.schema.get("properties", {})
    patterns = error.schema.get("patternProperties", {})
    for name in error.instance:
        if name in known or any(re.search(pattern, name) for pattern in patterns):
            continue
        close = difflib.get_close_matches(name, known, n=1)
        yield name, "is not known here" + (f" (did you mean {_excerpt(close[0])}?)" if close else "")


_FAULTS_BY_NAME: dict[str, Callable[[Any], Iterator[tuple[str, str]]]] = {
    "required": _missing_names,
    "additionalProperties": _unknown_names,
}

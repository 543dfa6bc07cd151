"""JSON Schema: what in a value breaks a schema, and what in a schema makes it none.

A schema speaks draft 2020-12, or the dialect that its `$schema` names. Nothing is ever fetched: a reference
stays within its schema. The words are ours because the library's quote the value, which may be a secret.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from tweed_shim.errors import ContractError, HostError

if TYPE_CHECKING:
    from jsonschema.protocols import Validator

Schema = Mapping[str, Any]

_REFERENCES = ("$ref", "$dynamicRef", "$recursiveRef")
# What tells a whole schema from a map of properties: keywords that hold what no property's schema can be.
_WHOLE: dict[str, type | tuple[type, ...]] = {
    "$schema": str, "$id": str, "$ref": str, "type": (str, list), "required": list,
    "allOf": list, "anyOf": list, "oneOf": list,
}  # fmt: skip
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


_MOST_MEMORY = 1 << 30
_CHILD = """
import json, sys
limits = json.loads(sys.argv[1])
sys.path[:] = limits["path"]
from tweed_shim.tweed import schema
schema.answer_parent(limits["seconds"])
"""


class Fault(NamedTuple):
    """What breaks a schema, and where: `problem` reads on from the name of the path."""

    path: tuple[str | int, ...]
    problem: str


def whole(inputs: Schema) -> Schema:
    """The JSON Schema of a configuration, from the `inputs` of an image's metadata.

    `inputs` is a whole schema where a keyword of JSON Schema holds in it what cannot be the schema of a
    property (`type: object`, `required: [host]`, `$schema: ...`), or where its `properties` holds nothing but
    schemas. Otherwise it is a map of property name to schema, as the contract shows it, and then a
    configuration has no other names: the contract says that the field names "will be those specified in the
    JSON Schema". An input that is itself called `properties` needs a keyword that holds no schema, such as
    `type`.
    """
    if _is_whole(inputs):
        return inputs
    return {"type": "object", "properties": inputs, "additionalProperties": False}


def faults(schema: Schema, value: Any) -> list[Fault]:
    """Everything in `value` that breaks `schema`, each fault once.

    Raises ContractError where the schema cannot be applied: a reference leads nowhere or round in a circle.
    """
    import referencing

    return _faults(_validator_class(schema)(schema, registry=referencing.Registry()), value)


def strangers_faults(schema: Schema, value: bytes, *, seconds: int = 10) -> list[Fault]:
    """The same for a schema that a stranger wrote and a value in JSON, in a process of its own.

    A regular expression or a nest of references can take for ever, and a regular expression stops every thread of
    the program that embeds this one. Raises ContractError also where `seconds` of processor time or 1 GiB of
    memory are not enough.
    """
    import subprocess
    import sys

    limits = {"seconds": seconds, "path": sys.path}
    command = [sys.executable, "-I", "-c", _CHILD, json.dumps(limits)]
    given = json.dumps(schema).encode() + b"\n" + value
    done = subprocess.run(command, input=given, capture_output=True, check=False)
    if done.returncode > 0:
        raise HostError(
            f"the configuration could not be checked: {sys.executable} failed with code {done.returncode} "
            "in a process of its own; install tweed-shim anew"
        )
    if done.returncode < 0:
        raise ContractError(
            "the JSON Schema of the image's inputs cannot be applied to the configuration within "
            f"{seconds} s of processor time; its author has to make it simpler"
        )
    answer = json.loads(done.stdout)
    if isinstance(answer, str):
        raise ContractError(answer)
    return [Fault(tuple(path), problem) for path, problem in answer]


def answer_parent(seconds: int) -> None:
    """Be the process of `strangers_faults`: schema and value are lines of stdin, the faults go to stdout."""
    import resource
    import sys

    # The processor's time, not the clock's: it also ends a process whose parent is gone.
    for kind, most in ((resource.RLIMIT_CPU, seconds), (resource.RLIMIT_AS, _MOST_MEMORY)):
        allowed = resource.getrlimit(kind)[1]
        if allowed == resource.RLIM_INFINITY or allowed > most:
            resource.setrlimit(kind, (most, most))
    schema, value = (json.loads(line) for line in sys.stdin.buffer)
    try:
        answer: object = faults(schema, value)
    except ContractError as refused:
        answer = str(refused)
    json.dump(answer, sys.stdout)


def schema_faults(inputs: Schema) -> list[Fault]:
    """Everything that keeps `inputs`, in either of its forms, from being a valid JSON Schema of a map."""
    schema = whole(inputs)
    kind = _validator_class(schema)
    if kind is None:
        return [Fault(("$schema",), "is not a known dialect of JSON Schema")]
    metaschema = kind(kind.META_SCHEMA, format_checker=kind.FORMAT_CHECKER)
    found = [*_remote_references(schema, ()), *_faults(metaschema, schema)]
    if "object" not in schema.get("type", "object"):
        found.append(Fault(("type",), "must be object: a configuration is a map of names to values"))
    if schema is inputs:
        return found
    return [Fault(path[1:], problem) for path, problem in found]


def _is_whole(inputs: Schema) -> bool:
    if any(isinstance(inputs.get(keyword), kinds) for keyword, kinds in _WHOLE.items()):
        return True
    properties = inputs.get("properties")
    return isinstance(properties, dict) and all(
        isinstance(entry, dict | bool) for entry in properties.values()
    )


def _validator_class(schema: Schema) -> Any:
    """The validator of the schema's dialect, or None where it is not known."""
    from jsonschema import Draft202012Validator
    from jsonschema.validators import validator_for

    if "$schema" not in schema:
        return Draft202012Validator
    unknown: Any = None
    return validator_for(schema, default=unknown)


def _remote_references(schema: Any, path: tuple[str | int, ...]) -> Iterator[Fault]:
    entries: Iterable[tuple[str | int, Any]] = ()
    if isinstance(schema, dict):
        entries = schema.items()
    elif isinstance(schema, list):
        entries = enumerate(schema)
    for key, entry in entries:
        if key in _REFERENCES and isinstance(entry, str) and not entry.startswith("#"):
            yield Fault((*path, key), "must begin with #: a schema that is elsewhere is never fetched")
        yield from _remote_references(entry, (*path, key))


def _faults(validator: "Validator", value: Any) -> list[Fault]:
    from jsonschema.exceptions import best_match

    try:
        errors = [best_match([error]) or error for error in validator.iter_errors(value)]
        return list(dict.fromkeys(fault for error in errors for fault in _explain(error)))
    except Exception as fault:  # noqa: BLE001 - a stranger's schema trips the library in many ways
        kind = type(fault).__name__
        raise ContractError(
            "the JSON Schema of the image's inputs cannot be applied: a reference in it leads nowhere or in "
            f"a circle, or a rule of it is beyond what can be checked ({kind}); its author has to mend it"
        ) from None


def _explain(error: Any) -> Iterable[Fault]:
    """Say what a ValidationError means; Any, because its stubs have every field possibly unset."""
    path, keyword, expected = tuple(error.absolute_path), error.validator, error.validator_value
    if keyword in _BY_NAME:
        return [Fault((*path, name), problem) for name, problem in _BY_NAME[keyword](error)]
    if keyword in ("anyOf", "oneOf") and error.context and not any(each.path for each in error.context):
        forms = dict.fromkeys(fault.problem for each in error.context for fault in _explain(each))
        return [Fault(path, " or ".join(forms))]
    if keyword == "type":
        kinds = [expected] if isinstance(expected, str) else expected
        return [Fault(path, "must be " + " or ".join(_KINDS.get(kind, kind) for kind in kinds))]
    if keyword == "enum":
        return [Fault(path, "must be one of " + _shown(expected)[1:-1])]
    if keyword in _PROBLEMS:
        return [Fault(path, _PROBLEMS[keyword].format(_shown(expected)))]
    if keyword is None:
        # A schema that is `false`; the library does not tell which part of the value it was held against.
        return [Fault(path, "holds what the schema forbids")]
    return [Fault(path, f"breaks the rule {_shown(keyword)} of the schema")]


def _shown(part: Any) -> str:
    """A part of a schema for people, cut where it is long."""
    text = json.dumps(part)
    return text if len(text) <= 200 else text[:200] + "..."


def _missing(error: Any) -> Iterator[tuple[str, str]]:
    for name in error.validator_value:
        if name not in error.instance:
            yield name, "is required"


def _unknown(error: Any) -> Iterator[tuple[str, str]]:
    import difflib
    import re

    known = error.schema.get("properties", {})
    patterns = error.schema.get("patternProperties", {})
    for name in error.instance:
        if name in known or any(re.search(pattern, name) for pattern in patterns):
            continue
        close = difflib.get_close_matches(name, known, n=1)
        yield name, "is not known here" + (f" (did you mean {_shown(close[0])}?)" if close else "")


_BY_NAME: dict[str, Callable[[Any], Iterator[tuple[str, str]]]] = {
    "required": _missing,
    "additionalProperties": _unknown,
}

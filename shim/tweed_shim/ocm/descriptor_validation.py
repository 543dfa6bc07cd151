"""Validation of component descriptors: `component-descriptor-schema.json`, and the rules beyond a schema.

The schema is JSON Schema (draft 2020-12). It is applied here and not by `jsonschema`, whose import takes longer than
a whole command on a component version. Only the keywords of that one schema are supported.
"""

import functools
import json
import os
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from tweed_shim.base.records import Record
from tweed_shim.ocm import component_descriptor as model
from tweed_shim.ocm import timestamps

_DEFINITIONS = {model.V2: "v2", model.V3: "v3alpha1"}
_LISTS = {
    model.V2: (("component",), ("sources", "componentReferences", "resources")),
    model.V3: (("spec",), ("sources", "references", "resources")),
}
_HEADS = {model.V2: "component", model.V3: "metadata"}

_KINDS: dict[str, tuple[type, str]] = {
    "object": (dict, "a map"),
    "array": (list, "a list"),
    "string": (str, "text"),
    "boolean": (bool, "true/false"),
    "null": (type(None), "nothing"),
}


class Fault(Record):
    """A fault in a document and its path; `problem` continues the sentence that the path begins."""

    path: tuple[str | int, ...]
    problem: str


def descriptor_faults(document: Any, schema: str) -> list[Fault]:
    """Return all faults of a document in a schema, one of `component_descriptor.SCHEMAS`."""
    return faults(document, _DEFINITIONS[schema]) or list(_ambiguities(document, schema))


def faults(value: Any, definition: str) -> list[Fault]:
    """Return all faults of a value in a definition of the JSON Schema."""
    return list(_check({"$ref": f"#/$defs/{definition}"}, value, ()))


@functools.cache
def schema_document() -> dict[str, Any]:
    """Return the JSON Schema of descriptors, with the definitions `v2` and `v3alpha1`."""
    path = os.path.join(os.path.dirname(__file__), "component-descriptor-schema.json")
    with open(path, encoding="utf-8") as file:
        schema: dict[str, Any] = json.load(file)
    return schema


def _check(schema: dict[str, Any], value: Any, path: tuple[str | int, ...]) -> Iterator[Fault]:
    while "$ref" in schema:
        schema = schema_document()["$defs"][schema["$ref"].removeprefix("#/$defs/")]
    if problem := _problem(schema, value):
        yield Fault(path, problem)
    elif isinstance(value, dict):
        yield from _check_map(schema, value, path)
    elif isinstance(value, list) and "items" in schema:
        for number, item in enumerate(value):
            yield from _check(schema["items"], item, (*path, number))


def _problem(schema: dict[str, Any], value: Any) -> str | None:
    """Return what is wrong with a value, apart from its parts; None where nothing is."""
    for keyword, check in _KEYWORDS.items():
        if keyword in schema and (problem := check(schema, value)):
            return problem
    return None


def _check_map(schema: dict[str, Any], value: dict[str, Any], path: tuple[str | int, ...]) -> Iterator[Fault]:
    properties = schema.get("properties", {})
    for name in schema.get("required", ()):
        if name not in value:
            yield Fault((*path, name), "is required")
    for name, part in value.items():
        if "propertyNames" in schema:
            yield from _check(schema["propertyNames"], name, (*path, name))
        inner = properties.get(name, schema.get("additionalProperties"))
        if inner is not None:
            yield from _check(inner, part, (*path, name))


def _type_problem(schema: dict[str, Any], value: Any) -> str | None:
    expected = schema["type"]
    kinds = [expected] if isinstance(expected, str) else expected
    if any(isinstance(value, _KINDS[kind][0]) for kind in kinds):
        return None
    return "must be " + " or ".join(_KINDS[kind][1] for kind in kinds)


def _enum_problem(schema: dict[str, Any], value: Any) -> str | None:
    return None if value in schema["enum"] else f"must be {' or '.join(schema['enum'])}"


def _pattern_problem(schema: dict[str, Any], value: Any) -> str | None:
    # fullmatch, because `$` matches before a line feed at the end.
    if not isinstance(value, str) or re.fullmatch(schema["pattern"], value):
        return None
    return f"is not {schema['description']}"


def _length_problem(schema: dict[str, Any], value: Any) -> str | None:
    if not isinstance(value, str):
        return None
    if len(value) < schema.get("minLength", 0):
        return f"must have {schema['minLength']} or more characters"
    if len(value) > schema.get("maxLength", len(value)):
        return f"must have {schema['maxLength']} or fewer characters"
    return None


def _time_problem(schema: dict[str, Any], value: Any) -> str | None:
    try:
        timestamps.normalised(value or "1970-01-01T00:00:00Z")
    except (ValueError, OverflowError):
        return f"is not {schema['description']}"
    return None


_KEYWORDS: dict[str, Callable[[dict[str, Any], Any], str | None]] = {
    "type": _type_problem,
    "enum": _enum_problem,
    "minLength": _length_problem,
    "maxLength": _length_problem,
    "pattern": _pattern_problem,
    "format": _time_problem,
}


def _ambiguities(document: dict[str, Any], schema: str) -> Iterator[Fault]:
    """Yield the elements with the identity of another one, and the labels with the name of another one."""
    head = _HEADS[schema]
    yield from _same_labels(document[head].get("labels"), (head, "labels"))
    path, names = _LISTS[schema]
    for name in names:
        elements = document[path[0]].get(name) or []
        yield from _same_elements(elements, (*path, name))
        for number, element in enumerate(elements):
            yield from _same_labels(element.get("labels"), (*path, name, number, "labels"))


def _same_elements(elements: Iterable[dict[str, Any]], path: tuple[str | int, ...]) -> Iterator[Fault]:
    seen: set[tuple[str, str, frozenset[tuple[str, str]]]] = set()
    for number, element in enumerate(elements):
        extra = element.get("extraIdentity") or {}
        if "name" in extra:
            yield Fault((*path, number, "extraIdentity", "name"), "is reserved for the element's own name")
        identity = (element["name"], element["version"], frozenset(extra.items()))
        if identity in seen:
            yield Fault((*path, number), "has the name, version and extra identity of another element")
        seen.add(identity)


def _same_labels(labels: list[dict[str, Any]] | None, path: tuple[str | int, ...]) -> Iterator[Fault]:
    seen: set[str] = set()
    for number, label in enumerate(labels or []):
        if label["name"] in seen:
            yield Fault((*path, number), "has the name of another label")
        seen.add(label["name"])

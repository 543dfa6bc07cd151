"""Component descriptors, read and written: `v2` and `ocm.software/v3alpha1`, as YAML or JSON.

Whatever was read can be written in either schema. What one schema has no place for keeps the place that the other
one gave it; a name that means something else there is refused.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from tweed_shim.base.records import replace
from tweed_shim.data import document_paths, documents
from tweed_shim.errors import ComponentError
from tweed_shim.ocm import descriptor as model
from tweed_shim.ocm import json_writer, shapes, validation
from tweed_shim.ocm.descriptor import V2, V3, Descriptor, Provider

FORMATS = ("yaml", "json")

Fields = dict[str, Any]


def decode(data: bytes, *, name: str = "the component descriptor") -> Descriptor:
    """Read a descriptor; `name` is what messages call it.

    Raises ComponentError, which lists every fault with its path and its line.
    """
    document = documents.load(data, name=name, error=ComponentError)
    schema = _schema(document.value, name)
    problems = [
        f"{document.location(path)} {problem}"
        for path, problem in validation.descriptor_faults(document.value, schema)
    ]
    if problems:
        raise ComponentError(
            f"{name} is no component descriptor of schema {schema}: {document_paths.join_problems(problems)}"
        )
    return _READERS[schema](document.value)


def encode(descriptor: Descriptor, *, schema: str = "", form: str = "yaml") -> bytes:
    """The bytes that the reference implementation writes for a descriptor.

    schema: one of `descriptor.SCHEMAS`, or the descriptor's own. form: `yaml` (what repositories hold) or `json`.
    Raises ComponentError where a field that is unknown to the descriptor's schema has a meaning in the other.
    """
    fields = to_fields(descriptor, schema=schema)
    if form == "yaml":
        from tweed_shim.ocm import yaml_writer

        return yaml_writer.dump(fields)
    return json_writer.dump(fields).encode()


def to_fields(descriptor: Descriptor, *, schema: str = "") -> Fields:
    """A descriptor as plain data in one of the schemas, its fields in the reference's order. Raises ComponentError."""
    return _WRITERS[schema or descriptor.schema](descriptor)


def _schema(value: Any, name: str) -> str:
    """The schema that a document says it has."""
    fields = value if isinstance(value, dict) else {}
    meta = fields.get("meta")
    said = [fields.get("apiVersion"), meta.get("schemaVersion") if isinstance(meta, dict) else None]
    named = [each for each in said if each is not None]
    if len(named) == 1 and named[0] in model.SCHEMAS:
        return str(named[0])
    if len(named) > 1:
        raise ComponentError(
            f"{name} names two schemas, in apiVersion and in meta.schemaVersion: only one of the fields may be there"
        )
    what = "has a schema that is not known" if named else "is no component descriptor: it names no schema"
    raise ComponentError(
        f"{name} {what} (meta.schemaVersion or apiVersion): use one of {', '.join(model.SCHEMAS)}"
    )


def _read_v2(document: Fields) -> Descriptor:
    rest = dict(document)
    component = dict(rest.pop("component"))
    rest["meta"] = {key: value for key, value in rest["meta"].items() if key != "schemaVersion"}
    if not rest["meta"]:
        del rest["meta"]
    found = Descriptor(
        name=component.pop("name"),
        version=component.pop("version"),
        provider=_provider(component.pop("provider")),
        schema=V2,
        labels=_read_all(shapes.LABEL, component, "labels"),
        creation_time=component.pop("creationTime", None) or "",
        repository_contexts=tuple(component.pop("repositoryContexts") or ()),
        resources=_read_all(shapes.RESOURCE, component, "resources"),
        sources=_read_all(shapes.SOURCE, component, "sources"),
        references=_read_all(shapes.REFERENCE, component, "componentReferences"),
        unknown_metadata=component,
    )
    return _with_signatures(found, rest)


def _read_v3(document: Fields) -> Descriptor:
    rest = {key: value for key, value in document.items() if key not in ("apiVersion", "kind")}
    metadata, spec = dict(rest.pop("metadata")), dict(rest.pop("spec"))
    found = Descriptor(
        name=metadata.pop("name"),
        version=metadata.pop("version"),
        provider=shapes.PROVIDER.read(metadata.pop("provider")),
        schema=V3,
        labels=_read_all(shapes.LABEL, metadata, "labels"),
        creation_time=metadata.pop("creationTime", None) or "",
        repository_contexts=tuple(rest.pop("repositoryContexts", None) or ()),
        resources=_read_all(shapes.RESOURCE, spec, "resources"),
        sources=_read_all(shapes.SOURCE, spec, "sources"),
        references=_read_all(shapes.REFERENCE, spec, "references"),
        unknown_metadata=metadata,
    )
    return _with_signatures(found, rest | ({"spec": spec} if spec else {}))


def _with_signatures(found: Descriptor, rest: Fields) -> Descriptor:
    signatures = _read_all(shapes.SIGNATURE, rest, "signatures")
    nested = tuple(rest.pop("nestedDigests", None) or ())
    return replace(found, signatures=signatures, nested_digests=nested, unknown=rest)


def _read_all(shape: shapes.Shape, fields: Fields, key: str) -> tuple[Any, ...]:
    return tuple(shape.read(each) for each in fields.pop(key, None) or ())


def _provider(text: str) -> Provider:
    """The provider of a v2 descriptor: its name, or the JSON of a map where it has more than a name."""
    if text.lstrip()[:1] == "{":
        try:
            value = documents.load(text, name="provider", error=ComponentError, json_only=True).value
        except ComponentError:
            return Provider(text)
        if not validation.faults(value, "provider"):
            provider: Provider = shapes.PROVIDER.read(value)
            return provider
    return Provider(text)


def _write_v2(descriptor: Descriptor) -> Fields:
    rest = dict(descriptor.unknown)
    meta = _joined({"schemaVersion": V2}, rest.pop("meta", {}), descriptor, "meta")
    component: Fields = {"name": descriptor.name, "version": descriptor.version}
    component |= _write_all(labels=descriptor.labels)
    if descriptor.creation_time:
        component["creationTime"] = descriptor.creation_time
    component |= {
        "repositoryContexts": [json_writer.ordered(each) for each in descriptor.repository_contexts],
        "provider": _provider_text(descriptor.provider),
        "sources": [],
        "componentReferences": [],
        "resources": [],
    }
    component |= _write_all(
        sources=descriptor.sources, componentReferences=descriptor.references, resources=descriptor.resources
    )
    component = _joined(component, descriptor.unknown_metadata, descriptor, "component")
    fields = {"meta": meta, "component": component, **_write_all(signatures=descriptor.signatures)}
    return _with_nested(fields, rest, descriptor)


def _write_v3(descriptor: Descriptor) -> Fields:
    rest = dict(descriptor.unknown)
    metadata: Fields = {"name": descriptor.name, "version": descriptor.version}
    metadata |= _write_all(labels=descriptor.labels)
    metadata["provider"] = shapes.PROVIDER.write(descriptor.provider)
    if descriptor.creation_time:
        metadata["creationTime"] = descriptor.creation_time
    spec = _write_all(
        sources=descriptor.sources, references=descriptor.references, resources=descriptor.resources
    )
    fields = {
        "apiVersion": V3,
        "kind": "ComponentVersion",
        "metadata": _joined(metadata, descriptor.unknown_metadata, descriptor, "metadata"),
        "repositoryContexts": [json_writer.ordered(each) for each in descriptor.repository_contexts],
        "spec": _joined(spec, rest.pop("spec", {}), descriptor, "spec"),
        **_write_all(signatures=descriptor.signatures),
    }
    return _with_nested(fields, rest, descriptor)


def _write_all(**parts: Sequence[Any]) -> Fields:
    """The lists that are not empty."""
    return {
        key: [_LIST_SHAPES[key].write(each) for each in elements]
        for key, elements in parts.items()
        if elements
    }


def _provider_text(provider: Provider) -> str:
    if not provider.labels and not provider.unknown:
        return provider.name
    return json_writer.dump(shapes.PROVIDER.write(provider))


def _with_nested(fields: Fields, rest: Fields, descriptor: Descriptor) -> Fields:
    if descriptor.nested_digests:
        fields["nestedDigests"] = list(descriptor.nested_digests)
    return _joined(fields, rest, descriptor, "")


def _joined(fields: Fields, unknown: Any, descriptor: Descriptor, place: str) -> Fields:
    """Known and unknown fields of one place together."""
    known = {*fields, *(_LISTS if place == "spec" else ())}
    strange = (
        [place] if not isinstance(unknown, Mapping) else [f"{place}.{key}" for key in unknown if key in known]
    )
    if strange:
        raise ComponentError(
            f"the component descriptor of {descriptor} cannot be written in the other schema, where its field "
            f"{strange[0].lstrip('.')} means something else: leave the field out or keep the schema"
        )
    return fields | dict(unknown)


_LISTS = ("sources", "references", "resources")
_LIST_SHAPES = {
    "labels": shapes.LABEL,
    "sources": shapes.SOURCE,
    "references": shapes.REFERENCE,
    "componentReferences": shapes.REFERENCE,
    "resources": shapes.RESOURCE,
    "signatures": shapes.SIGNATURE,
}
_READERS = {V2: _read_v2, V3: _read_v3}
_WRITERS = {V2: _write_v2, V3: _write_v3}

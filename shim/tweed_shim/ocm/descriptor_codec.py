"""Component descriptors, read and written: `v2` and `ocm.software/v3alpha1`, as YAML or JSON.

Every descriptor can be written in either schema. A field that a schema does not know keeps its place in the other
schema; a field that has another meaning there is refused.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from tweed_shim.base.records import replace
from tweed_shim.data import document_paths, documents
from tweed_shim.errors import ComponentError
from tweed_shim.ocm import component_descriptor as model
from tweed_shim.ocm import descriptor_fields, descriptor_validation, json_writer
from tweed_shim.ocm.component_descriptor import V2, V3, ComponentDescriptor, Provider

FORMATS = ("yaml", "json")

Fields = dict[str, Any]


def decode(data: bytes, *, name: str = "the component descriptor") -> ComponentDescriptor:
    """Parse a descriptor; `name` names it in messages.

    Raises ComponentError, which lists every fault with its path and its line.
    """
    document = documents.load(data, name=name, error=ComponentError)
    schema = _schema(document.value, name)
    problems = [
        f"{document.location(fault.path)} {fault.problem}"
        for fault in descriptor_validation.descriptor_faults(document.value, schema)
    ]
    if problems:
        raise ComponentError(
            f"{name} is no component descriptor of schema {schema}: {document_paths.join_problems(problems)}"
        )
    return _READERS[schema](document.value)


def encode(descriptor: ComponentDescriptor, *, schema: str = "", form: str = "yaml") -> bytes:
    """Return the bytes that the reference implementation writes for a descriptor.

    schema: one of `component_descriptor.SCHEMAS`, by default that of the descriptor. form: `yaml` (the form in
    repositories) or `json`. Raises ComponentError where a field that the descriptor's schema does not know has a
    meaning in the other.
    """
    fields = to_fields(descriptor, schema=schema)
    if form == "yaml":
        from tweed_shim.ocm import yaml_writer

        return yaml_writer.dump(fields)
    return json_writer.dump(fields).encode()


def to_fields(descriptor: ComponentDescriptor, *, schema: str = "") -> Fields:
    """Return a descriptor as plain data, its fields in the order of the reference. Raises ComponentError."""
    return _WRITERS[schema or descriptor.schema](descriptor)


def _schema(value: Any, name: str) -> str:
    """Return the schema that a document names."""
    fields = value if isinstance(value, dict) else {}
    meta = fields.get("meta")
    values = [fields.get("apiVersion"), meta.get("schemaVersion") if isinstance(meta, dict) else None]
    schemas = [each for each in values if each is not None]
    if len(schemas) == 1 and schemas[0] in model.SCHEMAS:
        return str(schemas[0])
    if len(schemas) > 1:
        raise ComponentError(
            f"{name} names two schemas, in apiVersion and in meta.schemaVersion; leave out one of them"
        )
    what = "has an unknown schema" if schemas else "is no component descriptor: it names no schema"
    raise ComponentError(
        f"{name} {what} (meta.schemaVersion or apiVersion); use one of {', '.join(model.SCHEMAS)}"
    )


def _read_v2(document: Fields) -> ComponentDescriptor:
    rest = dict(document)
    component = dict(rest.pop("component"))
    rest["meta"] = {key: value for key, value in rest["meta"].items() if key != "schemaVersion"}
    if not rest["meta"]:
        del rest["meta"]
    descriptor = ComponentDescriptor(
        name=component.pop("name"),
        version=component.pop("version"),
        provider=_provider(component.pop("provider")),
        schema=V2,
        labels=_read_all(descriptor_fields.LABEL, component, "labels"),
        creation_time=component.pop("creationTime", None) or "",
        repository_contexts=tuple(component.pop("repositoryContexts") or ()),
        resources=_read_all(descriptor_fields.RESOURCE, component, "resources"),
        sources=_read_all(descriptor_fields.SOURCE, component, "sources"),
        references=_read_all(descriptor_fields.REFERENCE, component, "componentReferences"),
        unknown_metadata=component,
    )
    return _with_signatures(descriptor, rest)


def _read_v3(document: Fields) -> ComponentDescriptor:
    rest = {key: value for key, value in document.items() if key not in ("apiVersion", "kind")}
    metadata, spec = dict(rest.pop("metadata")), dict(rest.pop("spec"))
    descriptor = ComponentDescriptor(
        name=metadata.pop("name"),
        version=metadata.pop("version"),
        provider=descriptor_fields.PROVIDER.read(metadata.pop("provider")),
        schema=V3,
        labels=_read_all(descriptor_fields.LABEL, metadata, "labels"),
        creation_time=metadata.pop("creationTime", None) or "",
        repository_contexts=tuple(rest.pop("repositoryContexts", None) or ()),
        resources=_read_all(descriptor_fields.RESOURCE, spec, "resources"),
        sources=_read_all(descriptor_fields.SOURCE, spec, "sources"),
        references=_read_all(descriptor_fields.REFERENCE, spec, "references"),
        unknown_metadata=metadata,
    )
    return _with_signatures(descriptor, rest | ({"spec": spec} if spec else {}))


def _with_signatures(descriptor: ComponentDescriptor, rest: Fields) -> ComponentDescriptor:
    signatures = _read_all(descriptor_fields.SIGNATURE, rest, "signatures")
    nested = tuple(rest.pop("nestedDigests", None) or ())
    return replace(descriptor, signatures=signatures, nested_digests=nested, unknown=rest)


def _read_all(shape: descriptor_fields.FieldTable, fields: Fields, key: str) -> tuple[Any, ...]:
    return tuple(shape.read(each) for each in fields.pop(key, None) or ())


def _provider(text: str) -> Provider:
    """Return the provider of a v2 descriptor: its name, or the JSON of a map where it has labels."""
    if text.lstrip()[:1] == "{":
        try:
            value = documents.load(text, name="provider", error=ComponentError, json_only=True).value
        except ComponentError:
            return Provider(text)
        if not descriptor_validation.faults(value, "provider"):
            provider: Provider = descriptor_fields.PROVIDER.read(value)
            return provider
    return Provider(text)


def _write_v2(descriptor: ComponentDescriptor) -> Fields:
    rest = dict(descriptor.unknown)
    meta = _joined({"schemaVersion": V2}, rest.pop("meta", {}), descriptor, at="meta")
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
    component = _joined(component, descriptor.unknown_metadata, descriptor, at="component")
    fields = {"meta": meta, "component": component, **_write_all(signatures=descriptor.signatures)}
    return _with_nested(fields, rest, descriptor)


def _write_v3(descriptor: ComponentDescriptor) -> Fields:
    rest = dict(descriptor.unknown)
    metadata: Fields = {"name": descriptor.name, "version": descriptor.version}
    metadata |= _write_all(labels=descriptor.labels)
    metadata["provider"] = descriptor_fields.PROVIDER.write(descriptor.provider)
    if descriptor.creation_time:
        metadata["creationTime"] = descriptor.creation_time
    spec = _write_all(
        sources=descriptor.sources, references=descriptor.references, resources=descriptor.resources
    )
    fields = {
        "apiVersion": V3,
        "kind": "ComponentVersion",
        "metadata": _joined(metadata, descriptor.unknown_metadata, descriptor, at="metadata"),
        "repositoryContexts": [json_writer.ordered(each) for each in descriptor.repository_contexts],
        "spec": _joined(spec, rest.pop("spec", {}), descriptor, at="spec"),
        **_write_all(signatures=descriptor.signatures),
    }
    return _with_nested(fields, rest, descriptor)


def _write_all(**parts: Sequence[Any]) -> Fields:
    """Return the lists that are not empty."""
    return {
        key: [_LIST_SHAPES[key].write(each) for each in elements]
        for key, elements in parts.items()
        if elements
    }


def _provider_text(provider: Provider) -> str:
    if not provider.labels and not provider.unknown:
        return provider.name
    return json_writer.dump(descriptor_fields.PROVIDER.write(provider))


def _with_nested(fields: Fields, rest: Fields, descriptor: ComponentDescriptor) -> Fields:
    if descriptor.nested_digests:
        fields["nestedDigests"] = list(descriptor.nested_digests)
    return _joined(fields, rest, descriptor, at="")


def _joined(fields: Fields, unknown: Any, descriptor: ComponentDescriptor, *, at: str) -> Fields:
    """Return the known and the unknown fields of an object together."""
    known = {*fields, *(_LISTS if at == "spec" else ())}
    ambiguous = (
        [at] if not isinstance(unknown, Mapping) else [f"{at}.{key}" for key in unknown if key in known]
    )
    if ambiguous:
        raise ComponentError(
            f"the component descriptor of {descriptor} cannot be written in the other schema, where its field "
            f"{ambiguous[0].lstrip('.')} has another meaning; leave it out or keep the schema"
        )
    return fields | dict(unknown)


_LISTS = ("sources", "references", "resources")
_LIST_SHAPES = {
    "labels": descriptor_fields.LABEL,
    "sources": descriptor_fields.SOURCE,
    "references": descriptor_fields.REFERENCE,
    "componentReferences": descriptor_fields.REFERENCE,
    "resources": descriptor_fields.RESOURCE,
    "signatures": descriptor_fields.SIGNATURE,
}
_READERS = {V2: _read_v2, V3: _read_v3}
_WRITERS = {V2: _write_v2, V3: _write_v3}

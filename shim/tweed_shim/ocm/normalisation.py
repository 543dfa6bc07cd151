"""The normal forms of component descriptors, which are hashed for digests and signatures.

They leave out what a transport may change: accesses, repository contexts, signatures, labels without `signing`. The
algorithms (ocm-spec, doc/04-extensions/04-algorithms, and the reference implementation where the two differ):

- `jsonNormalisation/v1`: the fields of the schema that the descriptor was read in; maps as lists of single entries.
- `jsonNormalisation/v2`: the same fields for both schemas, as canonical JSON (RFC 8785).
- `jsonNormalisation/v3`, and the identical `v4alpha1`: like v2, but without versions in ambiguous extra identities.
"""

from collections import Counter
from collections.abc import Callable
from typing import Any

from tweed_shim.base.records import replace
from tweed_shim.errors import ComponentError, Unverifiable
from tweed_shim.ocm import descriptor_fields, json_writer, timestamps
from tweed_shim.ocm.component_descriptor import V2, V3, ComponentDescriptor, Element, Label, Resource

V1_ALGORITHM = "jsonNormalisation/v1"
V2_ALGORITHM = "jsonNormalisation/v2"
V3_ALGORITHM = "jsonNormalisation/v3"
V4_ALGORITHM = "jsonNormalisation/v4alpha1"

NO_ACCESS = ("none", "None")

Fields = dict[str, Any]


def normalise(descriptor: ComponentDescriptor, algorithm: str) -> bytes:
    """Return the normal form of a descriptor. Raises Unverifiable for an unknown algorithm, else ComponentError."""
    if algorithm not in ALGORITHMS:
        raise Unverifiable(
            f"{descriptor} has a digest of the normal form {algorithm!r}, which is not supported; "
            f"sign it with one of {', '.join(ALGORITHMS)}"
        )
    try:
        return ALGORITHMS[algorithm](descriptor)
    except OverflowError:
        raise ComponentError(
            f"{descriptor} holds a number that is too large for a normal form; quote it if it is text"
        ) from None


def has_content(resource: Resource) -> bool:
    """Whether a resource has content, of which there can be a digest."""
    return resource.access.get("type") not in NO_ACCESS


def _v1(descriptor: ComponentDescriptor) -> bytes:
    fields = _FIELDS_OF_SCHEMA[descriptor.schema](_with_versions(descriptor))
    entries = _entries(_without_empty_names(fields))
    return json_writer.escape_html(json_writer.as_doubles(entries)).encode()


def _v2(descriptor: ComponentDescriptor) -> bytes:
    return _v3(_with_versions(descriptor))


def _v3(descriptor: ComponentDescriptor) -> bytes:
    provider = _known(descriptor_fields.PROVIDER, descriptor.provider)
    component = _head(descriptor) | {
        "provider": _labelled(provider, descriptor.provider.labels),
        "sources": [_part(descriptor_fields.SOURCE, each, "access") for each in descriptor.sources],
        # With all labels, like the reference implementation: its rule for labels has another name for this list.
        "componentReferences": [_known(descriptor_fields.REFERENCE, each) for each in descriptor.references],
        "resources": [_resource(each) for each in descriptor.resources],
    }
    return json_writer.canonical({"component": _without_empty_names(component)})


ALGORITHMS: dict[str, Callable[[ComponentDescriptor], bytes]] = {
    V1_ALGORITHM: _v1,
    V2_ALGORITHM: _v2,
    V3_ALGORITHM: _v3,
    V4_ALGORITHM: _v3,
}


def _fields_of_v2(descriptor: ComponentDescriptor) -> Fields:
    provider: Any = descriptor.provider.name
    if descriptor.provider.labels:
        provider = _labelled(
            _known(descriptor_fields.PROVIDER, descriptor.provider), descriptor.provider.labels
        )
    references = [_part(descriptor_fields.REFERENCE, each) for each in descriptor.references]
    resources = [_resource(each) for each in descriptor.resources]
    component = _head(descriptor) | {
        "provider": provider,
        "componentReferences": [{"extraIdentity": None} | each for each in references],
        "resources": [{"extraIdentity": None} | each for each in resources],
    }
    return {"meta": {"schemaVersion": V2}, "component": component}


def _fields_of_v3(descriptor: ComponentDescriptor) -> Fields:
    # The provider with all labels, like the reference implementation: its rule for them has another path.
    metadata = _head(descriptor) | {"provider": _known(descriptor_fields.PROVIDER, descriptor.provider)}
    lists = {
        "sources": [_part(descriptor_fields.SOURCE, each, "access") for each in descriptor.sources],
        "references": [_part(descriptor_fields.REFERENCE, each) for each in descriptor.references],
        "resources": [_resource(each) for each in descriptor.resources],
    }
    spec = {key: value for key, value in lists.items() if value}
    return {"apiVersion": V3, "kind": "ComponentVersion", "metadata": metadata, "spec": spec}


_FIELDS_OF_SCHEMA = {V2: _fields_of_v2, V3: _fields_of_v3}


def _head(descriptor: ComponentDescriptor) -> Fields:
    fields: Fields = {"name": descriptor.name, "version": descriptor.version}
    if descriptor.creation_time:
        fields["creationTime"] = timestamps.normalised(descriptor.creation_time)
    return _labelled(fields, descriptor.labels)


def _resource(resource: Resource) -> Fields:
    digest = () if has_content(resource) else ("digest",)
    return _part(descriptor_fields.RESOURCE, resource, "access", "srcRefs", *digest)


def _part(shape: descriptor_fields.FieldTable, element: Element, *excluded: str) -> Fields:
    fields = _labelled(_known(shape, element), element.labels)
    return {key: value for key, value in fields.items() if key not in excluded}


def _known(shape: descriptor_fields.FieldTable, part: Any) -> Fields:
    return shape.write(part, unknown=False)


def _labelled(fields: Fields, labels: tuple[Label, ...]) -> Fields:
    """Return the fields with the labels that are signed, without their merge rules."""
    signed = [replace(label, merge=None) for label in labels if label.signing]
    rest = {key: value for key, value in fields.items() if key != "labels"}
    return rest | ({"labels": [_known(descriptor_fields.LABEL, label) for label in signed]} if signed else {})


def _without_empty_names(value: Any) -> Any:
    """Return a value without the map entries whose name is empty: normal forms leave them out."""
    if isinstance(value, dict):
        return {key: _without_empty_names(part) for key, part in value.items() if key}
    if isinstance(value, list):
        return [_without_empty_names(each) for each in value]
    return value


def _with_versions(descriptor: ComponentDescriptor) -> ComponentDescriptor:
    """Add the version to ambiguous extra identities of resources, except for the last resource of each group."""

    def key(resource: Resource) -> tuple[str, frozenset[tuple[str, str]]]:
        return resource.name, frozenset(resource.extra_identity.items())

    resources = list(descriptor.resources)
    counts = Counter(map(key, resources))
    for number, resource in enumerate(resources):
        if counts[key(resource)] > 1:
            extra = {**resource.extra_identity, "version": resource.version}
            resources[number] = replace(resource, extra_identity=extra)
            # With its version the resource may be equal to another one that has the same version in its extra identity.
            counts[key(resource)] -= 1
            counts[key(resources[number])] += 1
    return replace(descriptor, resources=tuple(resources))


def _entries(value: Any) -> Any:
    """Return a value with its maps as sorted lists of maps with one entry."""
    if isinstance(value, dict):
        return [{key: _entries(value[key])} for key in sorted(value)]
    if isinstance(value, list):
        return [_entries(each) for each in value]
    return value

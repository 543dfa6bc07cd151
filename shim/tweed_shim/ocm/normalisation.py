"""The normal forms of component descriptors, of which signatures and digests are made.

What a transport may change is left out: access, repository contexts, signatures, labels that are not signed. The
algorithms (ocm-spec, doc/04-extensions/04-algorithms, and the reference implementation where the two differ):

- `jsonNormalisation/v1`: the fields of the schema that the descriptor was read in; maps as lists of single entries.
- `jsonNormalisation/v2`: the same fields whatever the schema, as canonical JSON (RFC 8785).
- `jsonNormalisation/v3`, and `v4alpha1`, which is the same: like v2, without its supplement to ambiguous identities.
"""

from collections import Counter
from collections.abc import Callable
from typing import Any

from tweed_shim.base.records import replace
from tweed_shim.errors import ComponentError, Unverifiable
from tweed_shim.ocm import json_writer, shapes, times
from tweed_shim.ocm.descriptor import V2, V3, Descriptor, Element, Label, Resource

V1_ALGORITHM = "jsonNormalisation/v1"
V2_ALGORITHM = "jsonNormalisation/v2"
V3_ALGORITHM = "jsonNormalisation/v3"
V4_ALGORITHM = "jsonNormalisation/v4alpha1"

NO_ACCESS = ("none", "None")

Fields = dict[str, Any]


def normalise(descriptor: Descriptor, algorithm: str) -> bytes:
    """Return the normal form of a descriptor. Raises Unverifiable for an unknown algorithm, else ComponentError."""
    if algorithm not in ALGORITHMS:
        raise Unverifiable(
            f"{descriptor} is to be normalised by {algorithm!r}, which is not known: "
            f"sign it by one of {', '.join(ALGORITHMS)}"
        )
    try:
        return ALGORITHMS[algorithm](descriptor)
    except OverflowError:
        raise ComponentError(
            f"{descriptor} holds a number that is too large for a normal form: quote it if it is text"
        ) from None


def has_content(resource: Resource) -> bool:
    """Whether there is something behind a resource, that a digest could be made of."""
    return resource.access.get("type") not in NO_ACCESS


def _v1(descriptor: Descriptor) -> bytes:
    fields = _FIELDS_OF_SCHEMA[descriptor.schema](_with_versions(descriptor))
    entries = _entries(_without_empty_names(fields))
    return json_writer.escape_html(json_writer.as_doubles(entries)).encode()


def _v2(descriptor: Descriptor) -> bytes:
    return _v3(_with_versions(descriptor))


def _v3(descriptor: Descriptor) -> bytes:
    provider = _known(shapes.PROVIDER, descriptor.provider)
    component = _head(descriptor) | {
        "provider": _labelled(provider, descriptor.provider.labels),
        "sources": [_part(shapes.SOURCE, each, "access") for each in descriptor.sources],
        # With all of their labels: so does the reference, whose rule names the list otherwise.
        "componentReferences": [_known(shapes.REFERENCE, each) for each in descriptor.references],
        "resources": [_resource(each) for each in descriptor.resources],
    }
    return json_writer.canonical({"component": _without_empty_names(component)})


ALGORITHMS: dict[str, Callable[[Descriptor], bytes]] = {
    V1_ALGORITHM: _v1,
    V2_ALGORITHM: _v2,
    V3_ALGORITHM: _v3,
    V4_ALGORITHM: _v3,
}


def _fields_of_v2(descriptor: Descriptor) -> Fields:
    provider: Any = descriptor.provider.name
    if descriptor.provider.labels:
        provider = _labelled(_known(shapes.PROVIDER, descriptor.provider), descriptor.provider.labels)
    references = [_part(shapes.REFERENCE, each) for each in descriptor.references]
    resources = [_resource(each) for each in descriptor.resources]
    component = _head(descriptor) | {
        "provider": provider,
        "componentReferences": [{"extraIdentity": None} | each for each in references],
        "resources": [{"extraIdentity": None} | each for each in resources],
    }
    return {"meta": {"schemaVersion": V2}, "component": component}


def _fields_of_v3(descriptor: Descriptor) -> Fields:
    # The provider with all of its labels: the reference has its rule for them in another place.
    metadata = _head(descriptor) | {"provider": _known(shapes.PROVIDER, descriptor.provider)}
    lists = {
        "sources": [_part(shapes.SOURCE, each, "access") for each in descriptor.sources],
        "references": [_part(shapes.REFERENCE, each) for each in descriptor.references],
        "resources": [_resource(each) for each in descriptor.resources],
    }
    spec = {key: value for key, value in lists.items() if value}
    return {"apiVersion": V3, "kind": "ComponentVersion", "metadata": metadata, "spec": spec}


_FIELDS_OF_SCHEMA = {V2: _fields_of_v2, V3: _fields_of_v3}


def _head(descriptor: Descriptor) -> Fields:
    fields: Fields = {"name": descriptor.name, "version": descriptor.version}
    if descriptor.creation_time:
        fields["creationTime"] = times.normal(descriptor.creation_time)
    return _labelled(fields, descriptor.labels)


def _resource(resource: Resource) -> Fields:
    digest = () if has_content(resource) else ("digest",)
    return _part(shapes.RESOURCE, resource, "access", "srcRefs", *digest)


def _part(shape: shapes.Shape, element: Element, *excluded: str) -> Fields:
    fields = _labelled(_known(shape, element), element.labels)
    return {key: value for key, value in fields.items() if key not in excluded}


def _known(shape: shapes.Shape, part: Any) -> Fields:
    return shape.write(part, unknown=False)


def _labelled(fields: Fields, labels: tuple[Label, ...]) -> Fields:
    """The fields with those of the labels that are signed, and nothing of how these are merged."""
    signed = [replace(label, merge=None) for label in labels if label.signing]
    rest = {key: value for key, value in fields.items() if key != "labels"}
    return rest | ({"labels": [_known(shapes.LABEL, label) for label in signed]} if signed else {})


def _without_empty_names(value: Any) -> Any:
    """An entry of a map whose name is the empty text has no part in a normal form."""
    if isinstance(value, dict):
        return {key: _without_empty_names(part) for key, part in value.items() if key}
    if isinstance(value, list):
        return [_without_empty_names(each) for each in value]
    return value


def _with_versions(descriptor: Descriptor) -> Descriptor:
    """Add the version to the extra identity of resources that cannot be told apart without, but for the last one."""

    def key(resource: Resource) -> tuple[str, frozenset[tuple[str, str]]]:
        return resource.name, frozenset(resource.extra_identity.items())

    resources = list(descriptor.resources)
    counts = Counter(map(key, resources))
    for number, resource in enumerate(resources):
        if counts[key(resource)] > 1:
            extra = {**resource.extra_identity, "version": resource.version}
            resources[number] = replace(resource, extra_identity=extra)
            # What has its version now may be like another one that has it already.
            counts[key(resource)] -= 1
            counts[key(resources[number])] += 1
    return replace(descriptor, resources=tuple(resources))


def _entries(value: Any) -> Any:
    """A value whose maps are lists of maps with one entry, in the order of their keys."""
    if isinstance(value, dict):
        return [{key: _entries(value[key])} for key in sorted(value)]
    if isinstance(value, list):
        return [_entries(each) for each in value]
    return value

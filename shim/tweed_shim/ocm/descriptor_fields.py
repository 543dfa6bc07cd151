"""The fields of each part of a component descriptor: one table per class, in the order of the reference's fields."""

from collections.abc import Mapping
from typing import Any

from tweed_shim.base.records import Record
from tweed_shim.ocm import component_descriptor as model
from tweed_shim.ocm import json_writer


class Field(Record):
    """A field: its name in documents, its name in the class, and the table of its value, if that is an object.

    many: it is a list. always: it is written even if it is empty. ordered: it is of any form, and written with the keys
    of all maps in order.
    """

    key: str
    attribute: str
    shape: "FieldTable | None" = None
    many: bool = False
    always: bool = False
    ordered: bool = False


# Equal to no value, so that a field without a default is always written.
_REQUIRED = object()


class FieldTable(Record):
    """A class of `component_descriptor` and its fields; `aliases` are old names of fields."""

    kind: type[Record]
    fields: tuple[Field, ...]
    aliases: tuple[tuple[str, str], ...] = ()

    def read(self, value: Mapping[str, Any]) -> Any:
        """Return the object of a map that was validated; null counts as missing."""
        rest = dict(value)
        for old, new in self.aliases:
            if rest.get(new) is None and old in rest:
                rest[new] = rest.pop(old)
        known = {}
        for field in self.fields:
            if (part := rest.pop(field.key, None)) is not None:
                known[field.attribute] = _read(field, part)
        return self.kind(**known, unknown=rest)

    def write(self, part: Any, *, unknown: bool = True) -> dict[str, Any]:
        """Return the map of an object: its fields in order, then the unknown ones unless `unknown` is False."""
        written = {}
        for field in self.fields:
            value = getattr(part, field.attribute)
            if field.always or value != self.kind.DEFAULTS.get(field.attribute, _REQUIRED):
                written[field.key] = _write(field, value, unknown=unknown)
        return written | dict(part.unknown) if unknown else written


def _read(field: Field, part: Any) -> Any:
    if field.shape is None:
        return part
    return tuple(field.shape.read(each) for each in part) if field.many else field.shape.read(part)


def _write(field: Field, value: Any, *, unknown: bool) -> Any:
    if field.shape is None:
        return json_writer.ordered(value) if field.ordered else value
    if field.many:
        return [field.shape.write(each, unknown=unknown) for each in value]
    return field.shape.write(value, unknown=unknown)


LABEL = FieldTable(
    model.Label,
    (
        Field("name", "name", always=True),
        Field("value", "value", always=True, ordered=True),
        Field("version", "version"),
        Field("signing", "signing"),
        Field("merge", "merge", ordered=True),
    ),
)
DIGEST = FieldTable(
    model.Digest,
    (
        Field("hashAlgorithm", "hash_algorithm", always=True),
        Field("normalisationAlgorithm", "normalisation", always=True),
        Field("value", "value", always=True),
    ),
)
_LABELS = Field("labels", "labels", LABEL, many=True)
_ELEMENT = (
    Field("name", "name", always=True),
    Field("version", "version", always=True),
    Field("extraIdentity", "extra_identity", ordered=True),
    _LABELS,
)
_SOURCE_REFERENCE = FieldTable(
    model.SourceReference, (Field("identitySelector", "identity_selector", ordered=True), _LABELS)
)
RESOURCE = FieldTable(
    model.Resource,
    (
        *_ELEMENT,
        Field("type", "type", always=True),
        Field("relation", "relation"),
        Field("srcRefs", "source_references", _SOURCE_REFERENCE, many=True),
        Field("access", "access", always=True, ordered=True),
        Field("digest", "digest", DIGEST),
    ),
    aliases=(("srcRef", "srcRefs"),),
)
SOURCE = FieldTable(
    model.Source,
    (*_ELEMENT, Field("type", "type", always=True), Field("access", "access", always=True, ordered=True)),
)
REFERENCE = FieldTable(
    model.ComponentReference,
    (*_ELEMENT, Field("componentName", "component", always=True), Field("digest", "digest", DIGEST)),
)
SIGNATURE = FieldTable(
    model.Signature,
    (
        Field("name", "name", always=True),
        Field("digest", "digest", DIGEST, always=True),
        Field(
            "signature",
            "value",
            FieldTable(
                model.SignatureValue,
                (
                    Field("algorithm", "algorithm", always=True),
                    Field("value", "value", always=True),
                    Field("mediaType", "media_type", always=True),
                    Field("issuer", "issuer"),
                ),
            ),
            always=True,
        ),
        Field("timestamp", "timestamp"),
    ),
)
PROVIDER = FieldTable(model.Provider, (Field("name", "name", always=True), _LABELS))

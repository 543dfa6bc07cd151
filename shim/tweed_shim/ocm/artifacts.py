"""OCI manifests and indexes of any kind of artifact: read and written.

`image.manifest` reads those of images, which it restricts to what can be unpacked and run.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from tweed_shim.base.records import Record
from tweed_shim.data import documents
from tweed_shim.errors import ComponentError
from tweed_shim.image.manifest import LARGEST_BLOB, OCI_MANIFEST, Descriptor, RawManifest

DIGEST = re.compile("sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128}")


class Part(Record):
    """An entry of a manifest or of an index."""

    descriptor: Descriptor
    annotations: Mapping[str, str]


class Artifact(Record):
    """A manifest or an index of any kind. parts: the layers of a manifest, or the manifests of an index."""

    media_type: str
    config: Descriptor | None
    parts: tuple[Part, ...]
    annotations: Mapping[str, str]

    @property
    def is_index(self) -> bool:
        """Whether its parts are artifacts themselves."""
        return self.config is None


def parse_artifact(raw: RawManifest, what: str) -> Artifact:
    """Parse a manifest or an index (image-spec manifest.md, image-index.md). Raises ComponentError."""
    return artifact_of(documents.load(raw.body, name=what, error=ComponentError, json_only=True).value, what)


def artifact_of(value: Any, what: str) -> Artifact:
    """Return the manifest or the index in parsed JSON. Raises ComponentError."""
    fields = json_object(value, what)
    is_index = "manifests" in fields
    if is_index == ("layers" in fields or "config" in fields):
        raise ComponentError(f"{what} is neither a manifest nor an index; build it again")
    key = "manifests" if is_index else "layers"
    config = None if is_index else blob_descriptor(fields.get("config"), f"config of {what}")
    parts = fields.get(key) or []
    if not isinstance(parts, list):
        raise ComponentError(f"{what} is malformed: its {key} must be a list; build it again")
    return Artifact(
        text_field(fields, "mediaType", what),
        config,
        tuple(_part(each, f"{key}[{number}] of {what}") for number, each in enumerate(parts)),
        _annotations(fields, what),
    )


def _part(value: Any, what: str) -> Part:
    return Part(blob_descriptor(value, what), _annotations(json_object(value, what), what))


def _annotations(fields: Mapping[str, Any], what: str) -> dict[str, str]:
    notes = json_object(fields.get("annotations") or {}, f"the annotations of {what}")
    return {key: value for key, value in notes.items() if isinstance(value, str)}


def json_object(value: Any, what: str) -> Mapping[str, Any]:
    """Check that a value is a JSON object. Raises ComponentError for another."""
    if not isinstance(value, dict):
        raise ComponentError(f"{what} is malformed: it must be a JSON object; build it again")
    return value


def text_field(fields: Mapping[str, Any], key: str, what: str) -> str:
    """Return a text of an object, empty where it is absent. Raises ComponentError."""
    value = fields.get(key)
    if value is not None and not isinstance(value, str):
        raise ComponentError(f"{what} is malformed: its {key} must be text; build it again")
    return value or ""


def blob_descriptor(value: Any, what: str) -> Descriptor:
    """Return the descriptor of a blob (image-spec descriptor.md), with a sha256 or a sha512. Raises ComponentError."""
    fields = json_object(value, what)
    size = fields.get("size")
    if not isinstance(size, int) or isinstance(size, bool) or not 0 <= size <= LARGEST_BLOB:
        raise ComponentError(f"{what} is malformed: its size must be a number of bytes; build it again")
    return Descriptor(text_field(fields, "mediaType", what), digest_field(fields, what), size)


def digest_field(fields: Mapping[str, Any], what: str) -> str:
    """Return the digest of an object. Raises ComponentError."""
    digest = text_field(fields, "digest", what)
    if not DIGEST.fullmatch(digest):
        raise ComponentError(f"{what} is malformed: its digest must be a sha256 or sha512; build it again")
    return digest


def descriptor_json(media_type: str, digest: str, size: int) -> dict[str, Any]:
    """Return a descriptor as manifests hold it."""
    return {"mediaType": media_type, "digest": digest, "size": size}


def manifest_json(
    config: Mapping[str, Any], layers: Sequence[Mapping[str, Any]], annotations: Mapping[str, str]
) -> dict[str, Any]:
    """Return a manifest, with its fields in the order of the reference implementation."""
    return {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": config,
        "layers": list(layers),
        "annotations": dict(sorted(annotations.items())),
    }

"""What can hold OCI artifacts, and so component versions: a registry, or the same content in files."""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from tweed_shim.base.records import Record
from tweed_shim.data import documents
from tweed_shim.errors import ComponentError
from tweed_shim.image.manifest import LARGEST_BLOB, OCI_MANIFEST, Descriptor, RawManifest
from tweed_shim.ocm.blobs import Blob

DIGEST = re.compile("sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128}")
# Go's encoding/json writes these so.
_ESCAPED = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"}


class Store(Protocol):
    """Repositories of OCI artifacts. Every method raises ComponentError or RegistryError for what is damaged."""

    what: str

    def repositories(self) -> list[str]:
        """The repositories there are. Raises ComponentError where that cannot be known."""
        ...

    def tags(self, repository: str) -> list[str]:
        """The tags of a repository, none where it does not exist."""
        ...

    def manifest(self, repository: str, reference: str) -> RawManifest | None:
        """What a tag or a digest stands for, verified; None where it is not there."""
        ...

    def blob(self, repository: str, /, blob: Descriptor, what: str) -> Blob:
        """A blob of a repository."""
        ...

    def put(self, repository: str, tag: str, manifest: RawManifest, blobs: Sequence[Blob]) -> None:
        """Have an artifact, all of its blobs with it, and let the tag stand for it."""
        ...


class Part(Record):
    """What a manifest or an index names."""

    descriptor: Descriptor
    annotations: Mapping[str, str]


class Artifact(Record):
    """A manifest or an index of any kind. parts: the layers of the one, the manifests of the other."""

    media_type: str
    config: Descriptor | None
    parts: tuple[Part, ...]
    annotations: Mapping[str, str]

    @property
    def is_index(self) -> bool:
        """Whether its parts are artifacts again."""
        return self.config is None


def parse(raw: RawManifest, what: str) -> Artifact:
    """Read a manifest or an index (image-spec manifest.md, image-index.md). Raises ComponentError."""
    return parse_value(documents.load(raw.body, name=what, error=ComponentError, json_only=True).value, what)


def parse_value(value: Any, what: str) -> Artifact:
    """Read one that has been read as JSON. Raises ComponentError."""
    fields = table(value, what)
    is_index = "manifests" in fields
    if is_index == ("layers" in fields or "config" in fields):
        raise ComponentError(f"{what} is neither a manifest nor an index: have it made again")
    key = "manifests" if is_index else "layers"
    config = None if is_index else read_descriptor(fields.get("config"), f"config of {what}")
    parts = fields.get(key) or []
    if not isinstance(parts, list):
        raise ComponentError(f"{what} is malformed: its {key} are no list; have it made again")
    return Artifact(
        text(fields, "mediaType", what),
        config,
        tuple(_part(each, f"{key}[{number}] of {what}") for number, each in enumerate(parts)),
        _annotations(fields, what),
    )


def _part(value: Any, what: str) -> Part:
    return Part(read_descriptor(value, what), _annotations(table(value, what), what))


def _annotations(fields: Mapping[str, Any], what: str) -> dict[str, str]:
    notes = table(fields.get("annotations") or {}, f"the annotations of {what}")
    return {key: value for key, value in notes.items() if isinstance(value, str)}


def table(value: Any, what: str) -> Mapping[str, Any]:
    """A JSON object. Raises ComponentError for anything else."""
    if not isinstance(value, dict):
        raise ComponentError(f"{what} is malformed: it is no JSON object; have it made again")
    return value


def text(fields: Mapping[str, Any], key: str, what: str) -> str:
    """A text of an object, empty where it is absent. Raises ComponentError."""
    value = fields.get(key)
    if value is not None and not isinstance(value, str):
        raise ComponentError(f"{what} is malformed: its {key} is no text; have it made again")
    return value or ""


def read_descriptor(value: Any, what: str) -> Descriptor:
    """What names a blob (image-spec descriptor.md). Raises ComponentError."""
    fields = table(value, what)
    size = fields.get("size")
    if not isinstance(size, int) or isinstance(size, bool) or not 0 <= size <= LARGEST_BLOB:
        raise ComponentError(f"{what} is malformed: its size is no number of bytes; have it made again")
    return Descriptor(text(fields, "mediaType", what), digest(fields, what), size)


def digest(fields: Mapping[str, Any], what: str) -> str:
    """The digest in an object. Raises ComponentError."""
    found = text(fields, "digest", what)
    if not DIGEST.fullmatch(found):
        raise ComponentError(f"{what} is malformed: its digest is no sha256 or sha512; have it made again")
    return found


def encode(value: Any) -> bytes:
    """JSON with the bytes that the reference's (Go's encoding/json) has: digests depend on them."""
    data = json.dumps(value, separators=(",", ":"), ensure_ascii=False)
    return "".join(_ESCAPED.get(letter, letter) for letter in data).encode()


def descriptor_fields(media_type: str, digest: str, size: int) -> dict[str, Any]:
    """A descriptor as manifests hold it."""
    return {"mediaType": media_type, "digest": digest, "size": size}


def manifest_fields(
    config: Mapping[str, Any], layers: Sequence[Mapping[str, Any]], annotations: Mapping[str, str]
) -> dict[str, Any]:
    """A manifest, its fields in the order that the reference writes them in."""
    return {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": config,
        "layers": list(layers),
        "annotations": dict(sorted(annotations.items())),
    }

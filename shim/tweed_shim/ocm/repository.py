"""Repositories of component versions: the one small interface that registries and archives share."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from tweed_shim.base.records import Record
from tweed_shim.errors import ComponentError
from tweed_shim.ocm.blobs import Blob
from tweed_shim.ocm.descriptor import Descriptor

Access = Mapping[str, Any]

LOCAL_BLOB = "localBlob"
# The names that local blobs have had, and where each keeps what names the blob.
_LOCAL_REFERENCES = {
    "localblob": "localReference",
    "localociblob": "digest",
    "localfilesystemblob": "fileName",
}


class ComponentVersion(Record):
    """A component version in its repository, which has to stay open as long as this is used.

    text: the descriptor as it is kept there. local_blob: gives a local blob by its reference and its media type;
    raises ComponentError where it is not there.
    """

    descriptor: Descriptor
    text: bytes
    repository: "Repository"
    local_blob: Callable[[str, str], Blob]

    def __str__(self) -> str:
        """What people call it: `name:version`."""
        return str(self.descriptor)


class Addition(Record):
    """A component version for another repository.

    text: its descriptor as it shall be kept there. blobs: its local blobs in the order of its resources and sources;
    the access of each names it by its digest.
    """

    descriptor: Descriptor
    text: bytes
    blobs: Sequence[Blob]


class Repository(Protocol):
    """Where component versions are."""

    @property
    def what(self) -> str:
        """What it is called in errors."""
        ...

    def components(self) -> list[str]:
        """The names of the components there are. Raises ComponentError where that cannot be known."""
        ...

    def versions(self, component: str) -> list[str]:
        """The versions of a component, in no particular order; none where it is not there."""
        ...

    def lookup(self, component: str, version: str) -> ComponentVersion | None:
        """A component version, None where it is not there. Raises ComponentError where it is damaged."""
        ...

    def add(self, addition: Addition) -> None:
        """Keep a component version, in place of one that is there."""
        ...


def kind_of(access: Access) -> str:
    """The type of an access specification, without its version, in lower-case letters: names came in both cases."""
    return str(access.get("type", "")).partition("/")[0].lower()


def local_reference(access: Access) -> str | None:
    """What names a local blob in its repository; None for an access to anything else. Raises ComponentError."""
    key = _LOCAL_REFERENCES.get(kind_of(access))
    if key is None:
        return None
    reference = access.get(key)
    if not isinstance(reference, str) or not reference:
        raise ComponentError(
            f"an access of type {access['type']} has no {key}: have the component version made again"
        )
    return reference


def media_type_of(access: Access) -> str:
    """The media type that an access tells, empty where it tells none."""
    found = access.get("mediaType")
    return found if isinstance(found, str) else ""

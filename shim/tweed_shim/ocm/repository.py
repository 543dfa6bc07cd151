"""Repositories of component versions: the one interface of registries and archives."""

from collections.abc import Callable, Sequence
from typing import Protocol

from tweed_shim.base.records import Record
from tweed_shim.ocm.blob_access import Blob
from tweed_shim.ocm.component_descriptor import ComponentDescriptor


class ComponentVersion(Record):
    """A component version in its repository, which must stay open while this is used.

    text: the stored descriptor. local_blob: returns a local blob by its reference and its media type; raises
    ComponentError where it is missing.
    """

    descriptor: ComponentDescriptor
    text: bytes
    repository: "Repository"
    local_blob: Callable[[str, str], Blob]

    def __str__(self) -> str:
        """Return `name:version`."""
        return str(self.descriptor)


class Addition(Record):
    """A component version to add to a repository.

    text: the descriptor to store. blobs: the local blobs in the order of the resources and sources, whose accesses name
    them by digest.
    """

    descriptor: ComponentDescriptor
    text: bytes
    blobs: Sequence[Blob]


class Repository(Protocol):
    """A set of component versions."""

    @property
    def what(self) -> str:
        """The name of the repository in errors."""
        ...

    def components(self) -> list[str]:
        """Return the names of all components. Raises ComponentError where the repository cannot list them."""
        ...

    def versions(self, component: str) -> list[str]:
        """Return the versions of a component in no particular order, none where it is missing."""
        ...

    def lookup(self, component: str, version: str) -> ComponentVersion | None:
        """Return a component version, None where it is missing. Raises ComponentError where it is damaged."""
        ...

    def add(self, addition: Addition) -> None:
        """Store a component version; it replaces an existing one."""
        ...

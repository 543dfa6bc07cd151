"""Stores of OCI artifacts: the one interface of a registry and of an archive that holds the same content as files."""

from collections.abc import Sequence
from typing import Protocol

from tweed_shim.image.manifest import Descriptor, RawManifest
from tweed_shim.ocm.blob_access import Blob


class ArtifactStore(Protocol):
    """Repositories of OCI artifacts. Every method raises ComponentError or RegistryError for damaged content."""

    what: str

    def repositories(self) -> list[str]:
        """Return the names of the repositories. Raises ComponentError where the store cannot list them."""
        ...

    def tags(self, repository: str) -> list[str]:
        """Return the tags of a repository, none where it does not exist."""
        ...

    def manifest(self, repository: str, reference: str) -> RawManifest | None:
        """Return the manifest that a tag or a digest names, verified; None where it is missing."""
        ...

    def blob(self, repository: str, /, blob: Descriptor, what: str) -> Blob:
        """Return a blob of a repository; `what` names it in errors."""
        ...

    def put(self, repository: str, tag: str, manifest: RawManifest, *, blobs: Sequence[Blob]) -> None:
        """Store an artifact with all of its blobs, and let the tag name it."""
        ...

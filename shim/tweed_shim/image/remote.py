"""An image in a registry as a source."""

from collections.abc import Sequence
from types import TracebackType
from typing import Self

from tweed_shim.base.deadline import Deadline
from tweed_shim.http.connect_options import ConnectOptions
from tweed_shim.image import download, registry
from tweed_shim.image.blobs import Job, Progress
from tweed_shim.image.manifest import RawManifest
from tweed_shim.image.reference import DEFAULT_TAG, Reference


class Remote:
    """An image in a registry. A sources.Source and a context manager, which closes the connections."""

    def __init__(self, reference: Reference, connect: ConnectOptions, deadline: Deadline) -> None:
        self._reference = reference
        self._repository = registry.open_repository(reference, connect=connect, deadline=deadline)

    def __enter__(self) -> Self:
        """Return self."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the connections."""
        self._repository.close()

    def resolve(self) -> RawManifest:
        """See sources.Source."""
        return self.manifest(self._reference.digest or self._reference.tag or DEFAULT_TAG)

    def manifest(self, digest: str) -> RawManifest:
        """See sources.Source."""
        return self._repository.manifest(digest)

    def fetch(self, jobs: Sequence[Job], progress: Progress) -> None:
        """See sources.Source."""
        download.download_all(self._repository, jobs, progress=progress)

"""Where images come from: a registry, a layout, an archive, the store, or what the caller supplies."""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

from tweed_shim.base import trace
from tweed_shim.base.deadline import Deadline
from tweed_shim.base.records import Record
from tweed_shim.errors import ImageError
from tweed_shim.host.userns import IdMap
from tweed_shim.http.connect_options import ConnectOptions
from tweed_shim.image import archive
from tweed_shim.image.blobs import Job, Progress
from tweed_shim.image.layout import in_directory, store_layout
from tweed_shim.image.manifest import RawManifest
from tweed_shim.image.progress import Report
from tweed_shim.image.reference import Reference


class PullRequest(Record):
    """The arguments of one `pull.obtain`.

    platform: as platforms.key returns it. policy: `missing`, `always` or `never`. source: opens the source to use in
    place of the one that the reference names.
    """

    root: str
    reference: Reference
    platform: str
    ids: IdMap
    policy: str
    connect: ConnectOptions
    deadline: Deadline
    report: Report
    source: "Opener | None" = None


class Source(Protocol):
    """Gives the documents and the blobs of one image."""

    def resolve(self) -> RawManifest:
        """Return the manifest or index that the reference names now, verified."""
        ...

    def manifest(self, digest: str) -> RawManifest:
        """Return a manifest or index that an index names, verified."""
        ...

    def fetch(self, jobs: Sequence[Job], progress: Progress, /) -> None:
        """Write each blob to the file of its job, verified. After a failure, every file that exists is whole."""
        ...


# Opens a source for the length of a with block.
Opener = Callable[[], AbstractContextManager[Source]]


class StoreSource:
    """Takes an image from the store, whatever reference it was pulled by. top: the digest of its manifest or index."""

    def __init__(self, root: str, top: str) -> None:
        self._layout = store_layout(root)
        self._top = top

    def resolve(self) -> RawManifest:
        """See Source."""
        return self.manifest(self._top)

    def manifest(self, digest: str) -> RawManifest:
        """See Source."""
        body = self._layout.document(digest)
        if body is None:
            raise ImageError(f"the store lacks the manifest {digest}; pull the image again")
        return RawManifest("", body, digest)

    def fetch(self, jobs: Sequence[Job], _progress: Progress) -> None:
        """See Source. The store has no blob that it lacks, so it raises ImageError."""
        raise ImageError(f"the store lacks the blob {jobs[0].blob.digest}; pull the image again")


@contextmanager
def open_source(request: PullRequest) -> Iterator[Source]:
    """Open the source of a request for the length of a with block."""
    reference = request.reference
    if request.source is not None:
        with request.source() as source:
            yield source
    elif reference.transport == "oci":
        yield in_directory(reference.path, reference.tag, request.platform)
    elif reference.path:
        with archive.opened_tar(reference.path, os.path.join(request.root, "tmp")) as fd:
            yield archive.open_archive(fd, reference, request.platform)
    else:
        with trace.span("imports"):
            from tweed_shim.image.remote import Remote

        with Remote(reference, request.connect, request.deadline) as source:
            yield source

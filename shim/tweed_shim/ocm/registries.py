"""OCI registries as stores of component versions (see stores.Store)."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING

from tweed_shim.base.records import Record
from tweed_shim.errors import ComponentError, HostError
from tweed_shim.http.connect_options import ConnectOptions
from tweed_shim.http.urls import Origin
from tweed_shim.image.archive_reader import Directory, Extent
from tweed_shim.image.blobs import Job
from tweed_shim.image.credential_files import Credentials
from tweed_shim.image.manifest import Descriptor, RawManifest
from tweed_shim.ocm import consumers
from tweed_shim.ocm.blobs import Blob

if TYPE_CHECKING:
    from tweed_shim.image.upload import WritableRepository

# The properties of the credentials for a consumer (`type`, `hostname`, ...), where there are some.
Find = Callable[[Mapping[str, str]], Mapping[str, str] | None]


def _nothing(_consumer: Mapping[str, str]) -> None:
    return None


class Connection(Record):
    """How servers are spoken to.

    connect: how any of them is spoken to. find: gives configured credentials; where it has none for a registry, those
    count that `login` keeps. verbs: HTTP methods, in capitals, that the access of a resource may ask for besides GET.
    """

    HIDDEN = ("environ",)

    connect: ConnectOptions = ConnectOptions()
    find: Find = _nothing
    environ: Mapping[str, str] = os.environ
    verbs: tuple[str, ...] = ()

    def caller(self, registry: str, repository: str, origin: Origin) -> Credentials | None:
        """Return the configured credentials for a repository of a registry that is connected to at `origin`."""
        found = self.find(consumers.of_registry(registry, repository, origin))
        if not found:
            return None
        name, token = found.get("username", ""), found.get("identityToken", "")
        return Credentials(name, found.get("password", ""), token) if name or token else None


class RegistryStore:
    """A registry `host[:port]`, open for as long as `stack` is; see Store. plain: it was said to speak HTTP."""

    def __init__(
        self,
        host: str,
        connection: Connection,
        stack: ExitStack,
        *,
        plain: bool = False,
        writing: bool = False,
    ) -> None:
        self.what = host
        self._connection = connection
        self._stack = stack
        self._plain = plain
        self._writing = writing
        self._open: dict[str, WritableRepository] = {}

    def repositories(self) -> list[str]:
        """See Store. A registry tells its repositories to its operator at most."""
        raise ComponentError(f"the registry {self.what} does not tell which components it has: name one")

    def tags(self, repository: str) -> list[str]:
        """See Store."""
        return sorted(self._repository(repository).tags())

    def manifest(self, repository: str, reference: str) -> RawManifest | None:
        """See Store."""
        place = self._repository(repository)
        if not place.has_manifest(reference):
            return None
        return place.manifest(reference)

    def blob(self, repository: str, blob: Descriptor, what: str) -> Blob:
        """See Store. It is fetched each time it is opened, and verified then."""
        place = self._repository(repository)
        return Blob(
            f"{what} in {self.what}/{repository}",
            blob.media_type,
            blob.digest,
            blob.size,
            lambda: _fetched(place, blob),
        )

    def put(self, repository: str, tag: str, manifest: RawManifest, blobs: Sequence[Blob]) -> None:
        """See Store. The manifest comes last: whoever finds it finds the rest."""
        place = self._repository(repository)
        for blob in blobs:
            if not place.has_blob(blob.digest):
                with blob.opened() as content:
                    place.push_blob(blob.digest, content)
        place.push_manifest(tag, manifest.media_type, manifest.body)

    def _repository(self, name: str) -> "WritableRepository":
        from tweed_shim.image import upload

        if name not in self._open:
            connection = self._connection
            self._open[name] = self._stack.enter_context(
                upload.open_writable(
                    self.what,
                    name,
                    writing=self._writing,
                    find=lambda origin: connection.caller(self.what, name, origin),
                    plain=self._plain,
                    connect=connection.connect,
                    environ=connection.environ,
                )
            )
        return self._open[name]


@contextmanager
def _fetched(repository: "WritableRepository", blob: Descriptor) -> Iterator[Extent]:
    import tempfile

    from tweed_shim.image import download

    with ExitStack() as stack:
        try:
            directory = stack.enter_context(tempfile.TemporaryDirectory(prefix="tweed-shim-"))
        except OSError as error:
            raise HostError(
                f"the directory for temporary files cannot be written ({error.strerror}): "
                "choose another with $TMPDIR"
            ) from None
        path = os.path.join(directory, "blob")
        download.download_blob(repository, Job(blob, path))
        content = stack.enter_context(Directory(directory).opened("blob"))
        # It has no name from here on, so that nothing is left of it wherever this process ends.
        with suppress(OSError):
            os.unlink(path)
        yield content

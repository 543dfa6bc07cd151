"""OCI registries as stores of artifacts, and how servers are reached."""

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
from tweed_shim.ocm import consumer_identity
from tweed_shim.ocm.blob_access import Blob

if TYPE_CHECKING:
    from tweed_shim.image.upload import WritableRepository

# Returns the properties of the credentials that are configured for a consumer (`type`, `hostname`, ...), None without.
FindCredentials = Callable[[Mapping[str, str]], Mapping[str, str] | None]


def _nothing(_consumer: Mapping[str, str]) -> None:
    return None


class ConnectionSettings(Record):
    """How servers are reached.

    connect: options of every connection. find: returns configured credentials; for a registry without any, those that
    `login` has stored are used. verbs: HTTP methods, in capitals, that the access of a resource may use besides GET.
    """

    HIDDEN = ("environ",)

    connect: ConnectOptions = ConnectOptions()
    find: FindCredentials = _nothing
    environ: Mapping[str, str] = os.environ
    verbs: tuple[str, ...] = ()

    def credentials_for(self, registry: str, repository: str, origin: Origin) -> Credentials | None:
        """Return the configured credentials for a repository of a registry that is reached at `origin`."""
        properties = self.find(consumer_identity.of_registry(registry, repository, origin))
        if not properties:
            return None
        name, token = properties.get("username", ""), properties.get("identityToken", "")
        return Credentials(name, properties.get("password", ""), token) if name or token else None


class RegistryStore:
    """A registry `host[:port]`, open as long as `stack`; see ArtifactStore. plain: the caller allows plain HTTP."""

    def __init__(
        self,
        host: str,
        connection: ConnectionSettings,
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
        """See ArtifactStore. At most the operator of a registry can list its repositories."""
        raise ComponentError(f"the registry {self.what} cannot list its components; name one")

    def tags(self, repository: str) -> list[str]:
        """See ArtifactStore."""
        return sorted(self._repository(repository).tags())

    def manifest(self, repository: str, reference: str) -> RawManifest | None:
        """See ArtifactStore."""
        opened = self._repository(repository)
        if not opened.has_manifest(reference):
            return None
        return opened.manifest(reference)

    def blob(self, repository: str, blob: Descriptor, what: str) -> Blob:
        """See ArtifactStore. The blob is fetched and verified each time it is opened."""
        opened = self._repository(repository)
        return Blob(
            f"{what} in {self.what}/{repository}",
            blob.media_type,
            blob.digest,
            blob.size,
            lambda: _fetched(opened, blob),
        )

    def put(self, repository: str, tag: str, manifest: RawManifest, *, blobs: Sequence[Blob]) -> None:
        """See ArtifactStore. The manifest is pushed last, so that its blobs exist when it can be found."""
        opened = self._repository(repository)
        for blob in blobs:
            if not opened.has_blob(blob.digest):
                with blob.opened() as content:
                    opened.push_blob(blob.digest, content)
        opened.push_manifest(tag, manifest.media_type, manifest.body)

    def _repository(self, name: str) -> "WritableRepository":
        from tweed_shim.image import upload

        if name not in self._open:
            connection = self._connection
            self._open[name] = self._stack.enter_context(
                upload.open_writable(
                    self.what,
                    name,
                    writing=self._writing,
                    find=lambda origin: connection.credentials_for(self.what, name, origin),
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
                f"the directory for temporary files cannot be written ({error.strerror}); "
                "choose another directory with $TMPDIR"
            ) from None
        path = os.path.join(directory, "blob")
        download.download_blob(repository, Job(blob, path))
        content = stack.enter_context(Directory(directory).opened("blob"))
        # The open file loses its name here, so that nothing is left of it wherever this process ends.
        with suppress(OSError):
            os.unlink(path)
        yield content

"""Component archives: one component version as files, which builds write.

    component-descriptor.yaml
    blobs/NAME              NAME is the `localReference` of a local blob, usually its digest as sha256.HEX

as a directory, a tar, or a gzipped tar. Source: OCM specification, doc/04-extensions/03-storage-backends/
component-archive.md. They are only read: a transport archive (`ctf`) can hold the same and more.
"""

from tweed_shim.errors import ComponentError
from tweed_shim.image.archive_reader import Members
from tweed_shim.image.content import digest_of
from tweed_shim.ocm import archive_files, artifacts, blob_access, descriptor_codec
from tweed_shim.ocm.blob_access import Blob
from tweed_shim.ocm.repository import Addition, ComponentVersion

DESCRIPTOR = "component-descriptor.yaml"
BLOBS = "blobs"


class ComponentArchive:
    """An open component archive; see repository.Repository."""

    def __init__(self, what: str, members: Members) -> None:
        """Read the descriptor. Raises ComponentError where there is none."""
        self.what = what
        self._members = members
        text = archive_files.read_small(members, DESCRIPTOR)
        if text is None:
            raise ComponentError(f"{what} is no component archive: it has no {DESCRIPTOR}; name another path")
        self._text = text
        self._descriptor = descriptor_codec.decode(text, name=f"{DESCRIPTOR} of {what}")

    def components(self) -> list[str]:
        """See Repository."""
        return [self._descriptor.name]

    def versions(self, component: str) -> list[str]:
        """See Repository."""
        return [self._descriptor.version] if component == self._descriptor.name else []

    def lookup(self, component: str, version: str) -> ComponentVersion | None:
        """See Repository."""
        if (component, version) != (self._descriptor.name, self._descriptor.version):
            return None
        return ComponentVersion(self._descriptor, self._text, self, self._blob)

    def add(self, addition: Addition) -> None:
        """See Repository."""
        raise ComponentError(
            f"{self.what} is a component archive, which is read-only; transfer {addition.descriptor} to a transport "
            "archive"
        )

    def _blob(self, reference: str, media_type: str) -> Blob:
        name = reference.replace(":", ".", 1)
        if "/" in name or name in (".", ".."):
            raise ComponentError(
                f"{self.what} names {reference!r} as a local blob, which is no file name; build it again"
            )
        path, what = f"{BLOBS}/{name}", f"the local blob {reference}"
        digest = name.replace(".", ":", 1)
        if not artifacts.DIGEST.fullmatch(digest):
            unnamed = blob_access.from_member(
                self._members, path, digest="", media_type=media_type, what=what
            )
            with unnamed.opened() as content:
                digest = digest_of(content.chunks())
        return blob_access.from_member(self._members, path, digest=digest, media_type=media_type, what=what)

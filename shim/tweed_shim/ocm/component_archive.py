"""Component archives: one component version as files, as builds make them.

    component-descriptor.yaml
    blobs/NAME              NAME is a local blob's `localReference`, mostly its digest as sha256.HEX

as a directory, a tar, or a gzipped tar. Source: OCM specification, doc/04-extensions/03-storage-backends/
component-archive.md. They are read, and not written: a transport archive holds whatever they can.
"""

from tweed_shim.errors import ComponentError
from tweed_shim.image.archive_reader import Members
from tweed_shim.image.content import digest_of
from tweed_shim.ocm import archives, blobs, codec, stores
from tweed_shim.ocm.blobs import Blob
from tweed_shim.ocm.repository import Addition, ComponentVersion

DESCRIPTOR = "component-descriptor.yaml"
BLOBS = "blobs"


class ComponentArchive:
    """A component archive that is open; see repository.Repository."""

    def __init__(self, what: str, members: Members) -> None:
        """Raises ComponentError where it is none."""
        self.what = what
        self._members = members
        text = archives.read(members, DESCRIPTOR)
        if text is None:
            raise ComponentError(f"{what} is no component archive: it has no {DESCRIPTOR}")
        self._text = text
        self._about = codec.decode(text, name=f"{DESCRIPTOR} of {what}")

    def components(self) -> list[str]:
        """See Repository."""
        return [self._about.name]

    def versions(self, component: str) -> list[str]:
        """See Repository."""
        return [self._about.version] if component == self._about.name else []

    def lookup(self, component: str, version: str) -> ComponentVersion | None:
        """See Repository."""
        if (component, version) != (self._about.name, self._about.version):
            return None
        return ComponentVersion(self._about, self._text, self, self._blob)

    def add(self, addition: Addition) -> None:
        """See Repository."""
        raise ComponentError(
            f"{self.what} is a component archive, which is only read: transfer {addition.descriptor} into another"
        )

    def _blob(self, reference: str, media_type: str) -> Blob:
        name = reference.replace(":", ".", 1)
        if "/" in name or name in (".", ".."):
            raise ComponentError(
                f"{self.what} names {reference!r} as a local blob, which is no name of a file in it"
            )
        path, what = f"{BLOBS}/{name}", f"the local blob {reference}"
        digest = name.replace(".", ":", 1)
        if not stores.DIGEST.fullmatch(digest):
            unnamed = blobs.of_member(self._members, path, "", media_type, what)
            with unnamed.opened() as content:
                digest = digest_of(content.chunks())
        return blobs.of_member(self._members, path, digest, media_type, what)

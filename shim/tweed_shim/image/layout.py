"""OCI image layouts (image-spec image-layout.md): reading anybody's, and keeping the store's own.

The store's layout is ROOT/images: shared blobs, and an index that names every image by its reference, so
that other tools (skopeo, umoci) can read it. Blobs are added under their digest by one rename, whole and
verified.
"""

import os
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress

from tweed_shim import files, state_files
from tweed_shim.errors import ImageError
from tweed_shim.image import documents, manifest, platforms
from tweed_shim.image.documents import Document
from tweed_shim.image.manifest import Descriptor, Raw
from tweed_shim.image.members import Directory, Members, read
from tweed_shim.image.platforms import Platform
from tweed_shim.image.reference import is_layout_name
from tweed_shim.lean import json
from tweed_shim.lean.typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tweed_shim.image.blobs import Job, Progress

REF_NAME = "org.opencontainers.image.ref.name"
# The reference and the platform that an entry of our index stands for.
REFERENCE = "tweed-shim.reference"
PLATFORM = "tweed-shim.platform"
VERSION = b'{"imageLayoutVersion": "1.0.0"}'


def blob_name(digest: str) -> str:
    """Where a layout keeps a blob, below its directory."""
    return "blobs/" + digest.replace(":", "/")


def read_index(members: Members) -> tuple[Document, ...]:
    """The entries of a layout's index.json. Raises ImageError where it is no layout."""
    what = f"the image layout {members.what}"
    try:
        version = documents.parse(read(members, "oci-layout"), f"oci-layout of {what}")
        index = documents.parse(read(members, "index.json"), f"index.json of {what}")
    except KeyError as error:
        raise ImageError(
            f"{members.what} is not an OCI image layout: it has no file {error.args[0]}; name one that has"
        ) from error

    if not version.text("imageLayoutVersion").startswith("1."):
        version.wrong("imageLayoutVersion", "is not 1.0.0")
    return index.children("manifests")


def choose(
    entries: tuple[Document, ...],
    tag: str | None,
    what: str,
    *,
    platform: str = "",
    is_image: Callable[[Descriptor], bool] = lambda _: True,
) -> Descriptor:
    """Find the entry that a tag names; without a tag the only one. Raises ImageError, listing what is there.

    Of several entries of one name the one for the platform is meant, which is as platforms.key gives it; is_image tells
    the image from what is about it.
    """
    names = [entry.child("annotations").text(REF_NAME, "") for entry in entries]
    fitting = [entry for entry, name in zip(entries, names, strict=True) if tag in (None, name)]
    every = found = _by_digest(map(manifest.read_descriptor, fitting))
    wanted = platforms.parse(platform) if platform else platforms.host()
    if len(every) > 1 and len({name for name in names if tag in (None, name)}) == 1:
        found = _for_platform(fitting, wanted)
        if len(found) > 1:
            found = [each for each in found[: manifest.MOST_LOOKS] if is_image(each)] or found
    if len(found) == 1:
        return found[0]
    there = ", ".join(sorted(set(filter(None, names)))) or "no named image"
    if tag is None and (found or not every):
        raise ImageError(f"{what} has {len(every)} images where one is meant; name one of: {there}")
    fault = "has more than one image" if found else f"has no image for {wanted}" if every else "has no image"
    raise ImageError(f"{what} {fault}{f' named {tag!r}' if tag else ''}; it has {there}")


def _for_platform(entries: list[Document], wanted: Platform) -> list[Descriptor]:
    """Those for the platform that fits best, or else those that do not say for which they are."""
    offers = [offer for offer in map(manifest.read_entry, entries) if offer.may_be_image]
    best = platforms.best(wanted, (offer.platform for offer in offers if offer.platform is not None))
    return _by_digest(offer.descriptor for offer in offers if offer.platform == best)


def _by_digest(descriptors: Iterable[Descriptor]) -> list[Descriptor]:
    return list({each.digest: each for each in descriptors}.values())


def read_blob(members: Members, digest: str) -> bytes:
    """A small blob (manifest, index, configuration) of a layout, verified.

    Raises ImageError where it is not there or damaged.
    """
    # Imported here, as a warm look-up in a layout needs its index only.
    from tweed_shim.image.blobs import digest_of

    try:
        body = read(members, blob_name(digest))
    except KeyError as error:
        raise ImageError(
            f"{members.what} lacks the blob {digest} that it names; copy the image again"
        ) from error
    if digest_of([body]) != digest:
        raise ImageError(f"the blob {digest} in {members.what} is damaged; copy the image again")
    return body


class Layout:
    """The store's own layout, at `path`. durable: what is written to its index survives a power cut."""

    def __init__(self, path: str, *, durable: bool = True) -> None:
        self.path = path
        self._durable = durable

    def create(self) -> bool:
        """Make it where it is not yet there; returns whether its index was made, which is then empty."""
        files.make_private(os.path.join(self.path, "blobs", "sha256"))
        empty = not os.path.lexists(self._index)
        if empty:
            self._write_entries([])
        if not os.path.exists(os.path.join(self.path, "oci-layout")):
            files.write_whole(os.path.join(self.path, "oci-layout"), VERSION, durable=self._durable)
        return empty

    def blob_path(self, digest: str) -> str:
        """Where the blob of a digest is, or would be."""
        return os.path.join(self.path, blob_name(digest))

    def has(self, blob: Descriptor) -> bool:
        """Whether a blob is there, as large as it ought to be."""
        try:
            return os.stat(self.blob_path(blob.digest)).st_size == blob.size
        except FileNotFoundError:
            return False

    def document(self, digest: str) -> bytes | None:
        """A small blob (manifest, index, configuration); None where it is not there or no longer whole."""
        try:
            return read_blob(Directory(self.path), digest)
        except ImageError:
            return None

    def add_bytes(self, digest: str, body: bytes) -> None:
        """Keep a small blob that has been verified. Not synced: whoever reads it verifies it."""
        files.write_whole(self.blob_path(digest), body, durable=False)

    def adopt(self, path: str, digest: str) -> None:
        """Take over a file that has been verified, by renaming it. Not synced, likewise."""
        os.rename(path, self.blob_path(digest))

    def drop_damaged(self, digests: Iterable[str]) -> None:
        """Remove those blobs that are no longer what their digest says, whoever uses them: they are brought again."""
        from tweed_shim.image.blobs import digest_of

        place = Directory(self.path)
        for digest in digests:
            with suppress(KeyError), place.opened(blob_name(digest)) as extent:
                if digest_of(extent.chunks()) != digest:
                    self.discard(digest)

    def discard(self, digest: str) -> None:
        """Remove a blob; the caller sees to it that nobody uses it."""
        with suppress(FileNotFoundError):
            os.unlink(self.blob_path(digest))

    def entries(self) -> tuple[Document, ...]:
        """What the index names, other tools' entries included. Raises DamagedRecord where it cannot be read."""
        mend = "move the file away, and pull an image: the index is then made of what the store knows"
        try:
            index = state_files.read(self._index, {"manifests": _are_entries}, mend=mend)
        except FileNotFoundError:
            raise state_files.damaged(
                self._index, "it is not there", "pull an image: it is then made"
            ) from None
        return Document(self._index, index).children("manifests")

    def put_entry(self, reference: str, platform: str, image: Descriptor) -> None:
        """Make the index name an image by a reference. The caller holds the index's lock."""
        entry = {
            **image_fields(image),
            "annotations": {
                REF_NAME: ref_name(reference, platform),
                REFERENCE: reference,
                PLATFORM: platform,
            },
        }
        self._write_entries([*self._entries_without({(reference, platform)}), entry])

    def remove_entries(self, names: set[tuple[str, str]]) -> None:
        """Forget (reference, platform) pairs. The caller holds the index's lock."""
        self._write_entries(self._entries_without(names))

    def _entries_without(self, names: set[tuple[str, str]]) -> list[dict[str, Any]]:
        ours = {(ref_name(*each), *each) for each in names}
        return [entry.fields for entry in self.entries() if _names(entry) not in ours]

    def _write_entries(self, entries: list[dict[str, Any]]) -> None:
        index = {"schemaVersion": 2, "mediaType": manifest.OCI_INDEX, "manifests": entries}
        files.write_whole(self._index, json.dumps(index).encode(), durable=self._durable)

    @property
    def _index(self) -> str:
        return os.path.join(self.path, "index.json")


def _are_entries(value: object) -> bool:
    """Say whether this is the list of an index (image-spec image-index.md), as far as the store reads it."""
    if value is None:
        return True
    if not isinstance(value, list):
        return False
    return all(
        isinstance(entry, dict)
        and isinstance(entry.get("digest"), str)
        and (entry.get("annotations") is None or state_files.texts(entry["annotations"]))
        for entry in value
    )


def _names(entry: Document) -> tuple[str, str, str]:
    """All three, as tools that copy an entry under another name copy our annotations too."""
    notes = entry.child("annotations")
    return notes.text(REF_NAME, ""), notes.text(REFERENCE, ""), notes.text(PLATFORM, "")


def own_name(entry: Document) -> tuple[str, str] | None:
    """The reference and the platform that we made an entry of the index for; None where another tool made it."""
    name, reference, platform = _names(entry)
    return (reference, platform) if reference and name == ref_name(reference, platform) else None


def image_fields(descriptor: Descriptor) -> dict[str, Any]:
    """A descriptor as manifests and indexes hold it."""
    return {"mediaType": descriptor.media_type, "digest": descriptor.digest, "size": descriptor.size}


def ref_name(reference: str, platform: str) -> str:
    """The name for other tools, in the letters that the specification's grammar for it allows.

    That is the reference itself for a registry's host name; what has other letters gets a name that is as near
    to it as can be, and unique.
    """
    name = reference.replace(":/", "/") + (f"+{platform.replace('/', '-')}" if platform else "")
    if is_layout_name(name):
        return name
    import hashlib

    return f"image-{hashlib.sha256(name.encode(errors='surrogateescape')).hexdigest()[:16]}"


class LayoutSource:
    """One image of a layout that is somebody else's, as something to pull from."""

    def __init__(self, members: Members, tag: str | None, platform: str = "") -> None:
        """platform: as platforms.key gives it."""
        self._members = members
        self._image = choose(
            read_index(members), tag, members.what, platform=platform, is_image=self._is_image
        )

    def _is_image(self, entry: Descriptor) -> bool:
        body = read_blob(self._members, entry.digest)
        return manifest.is_image(Raw(entry.media_type, body, entry.digest), self._members.what)

    @property
    def digest(self) -> str:
        """What the tag names: the digest of a manifest or of an index."""
        return self._image.digest

    def resolve(self) -> Raw:
        """See pull.Source."""
        return Raw(self._image.media_type, read_blob(self._members, self.digest), self.digest)

    def manifest(self, digest: str) -> Raw:
        """See pull.Source."""
        return Raw("", read_blob(self._members, digest), digest)

    def fetch(self, jobs: "Sequence[Job]", progress: "Progress") -> None:
        """See pull.Source."""
        from tweed_shim.image import blobs

        for job in jobs:
            blobs.copy(self._members, blob_name(job.blob.digest), job, progress)


def in_directory(path: str, tag: str | None, platform: str) -> LayoutSource:
    """Return an image of the layout in a directory. Raises ImageError."""
    if os.path.isdir(path):
        return LayoutSource(Directory(path), tag, platform)
    if os.path.exists(path):
        raise ImageError(
            f"{path} is not a directory; name a layout that is, or write oci-archive: or docker-archive: for a file"
        )
    raise ImageError(f"{path} does not exist; name the directory of an image layout that does")

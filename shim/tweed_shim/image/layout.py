"""OCI image layouts (image-spec image-layout.md): reads any layout, and changes the one of the store.

The store's layout is ROOT/images: blobs, and an index that names every image by its reference, so that other tools
(skopeo, umoci) can read it. A blob gets its name by one rename, after it is complete and verified.
"""

import os
import stat
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress

from tweed_shim.base import files, state_files
from tweed_shim.base.lean import json
from tweed_shim.base.lean.typing import TYPE_CHECKING, Any
from tweed_shim.errors import ImageError
from tweed_shim.image import json_fields, manifest, platforms
from tweed_shim.image.archive_reader import Directory, Members, read
from tweed_shim.image.json_fields import Document
from tweed_shim.image.manifest import Descriptor, RawManifest
from tweed_shim.image.platforms import Platform
from tweed_shim.image.reference import is_layout_name

if TYPE_CHECKING:
    from tweed_shim.image.blobs import Job, Progress

REF_NAME = "org.opencontainers.image.ref.name"
# The reference and the platform of an entry in the store's index.
REFERENCE = "tweed-shim.reference"
PLATFORM = "tweed-shim.platform"
VERSION = b'{"imageLayoutVersion": "1.0.0"}'


def blob_name(digest: str) -> str:
    """Return the path of a blob below the directory of a layout."""
    return "blobs/" + digest.replace(":", "/")


def read_index(members: Members) -> tuple[Document, ...]:
    """Return the entries of a layout's index.json. Raises ImageError where the files are no layout."""
    what = f"the image layout {members.what}"
    try:
        version = json_fields.parse(read(members, "oci-layout"), f"oci-layout of {what}")
        index = json_fields.parse(read(members, "index.json"), f"index.json of {what}")
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
    """Return the entry that a tag names; without a tag the only one. Raises ImageError, which lists the names.

    platform: as platforms.key returns it; it decides between several entries of one name. is_image: tells images from
    other entries, such as attestations and signatures.
    """
    names = [entry.child("annotations").text(REF_NAME, "") for entry in entries]
    matches = [entry for entry, name in zip(entries, names, strict=True) if tag in (None, name)]
    every = chosen = _by_digest(map(manifest.parse_descriptor, matches))
    wanted = platforms.parse(platform) if platform else platforms.host()
    if len(every) > 1 and len({name for name in names if tag in (None, name)}) == 1:
        chosen = _for_platform(matches, wanted)
        if len(chosen) > 1:
            chosen = [each for each in chosen[: manifest.MOST_PROBES] if is_image(each)] or chosen
    if len(chosen) == 1:
        return chosen[0]
    known = ", ".join(sorted(set(filter(None, names)))) or "no named image"
    if tag is None and (chosen or not every):
        raise ImageError(
            f"{what} has {len(every)} images, and the reference names none; add one of these tags: {known}"
        )
    fault = "has more than one image" if chosen else f"has no image for {wanted}" if every else "has no image"
    raise ImageError(f"{what} {fault}{f' named {tag!r}' if tag else ''}; name one of: {known}")


def _for_platform(entries: list[Document], wanted: Platform) -> list[Descriptor]:
    """Return the entries for the best matching platform, or else those that name no platform."""
    candidates = [each for each in map(manifest.parse_entry, entries) if each.may_be_image]
    best = platforms.best(wanted, (each.platform for each in candidates if each.platform is not None))
    return _by_digest(each.descriptor for each in candidates if each.platform == best)


def _by_digest(descriptors: Iterable[Descriptor]) -> list[Descriptor]:
    return list({each.digest: each for each in descriptors}.values())


def read_blob(members: Members, digest: str) -> bytes:
    """Return a small blob (manifest, index, configuration) of a layout, verified.

    Raises ImageError where it is missing or damaged.
    """
    # Imported here, because a warm look-up in a layout reads only its index.
    from tweed_shim.image.content import digest_of

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
    """A layout that the shim writes. durable: sync its index, so that it survives a power cut."""

    def __init__(self, path: str, *, durable: bool = True) -> None:
        self.path = path
        self._durable = durable

    def create(self) -> bool:
        """Create the layout where it is missing; return whether its index was created, which is then empty."""
        files.make_private(os.path.join(self.path, "blobs", "sha256"))
        is_new = not os.path.lexists(self._index)
        if is_new:
            self._write_entries([])
        if not os.path.exists(os.path.join(self.path, "oci-layout")):
            files.write_whole(os.path.join(self.path, "oci-layout"), VERSION, durable=self._durable)
        return is_new

    def blob_path(self, digest: str) -> str:
        """Return the path of a blob, whether it exists or not."""
        return os.path.join(self.path, blob_name(digest))

    def has(self, blob: Descriptor) -> bool:
        """Tell whether a blob exists and has the right size."""
        try:
            return os.stat(self.blob_path(blob.digest)).st_size == blob.size
        except FileNotFoundError:
            return False

    def document(self, digest: str) -> bytes | None:
        """Return a small blob (manifest, index, configuration); None where it is missing or damaged."""
        try:
            return read_blob(Directory(self.path), digest)
        except ImageError:
            return None

    def add_bytes(self, digest: str, body: bytes) -> None:
        """Write a small verified blob. It is not synced, because every reader verifies it."""
        files.write_whole(self.blob_path(digest), body, durable=False)

    def adopt(self, path: str, digest: str) -> None:
        """Rename a verified file to a blob. It is not synced, because every reader verifies it."""
        os.rename(path, self.blob_path(digest))

    def drop_damaged(self, digests: Iterable[str]) -> None:
        """Remove the damaged ones of some blobs, also where images use them: the next pull fetches them again."""
        from tweed_shim.image.content import digest_of

        directory = Directory(self.path)
        for digest in digests:
            with suppress(KeyError), directory.opened(blob_name(digest)) as extent:
                if digest_of(extent.chunks()) != digest:
                    self.discard(digest)

    def discard(self, digest: str) -> None:
        """Remove a blob. The caller makes sure that nothing uses it."""
        with suppress(FileNotFoundError):
            os.unlink(self.blob_path(digest))

    def entries(self) -> tuple[Document, ...]:
        """Return the entries of the index, with those of other tools. Raises DamagedRecord where it cannot be read."""
        hint = (
            "move the file away, and pull an image: the index is then created from the records of the store"
        )
        try:
            index = state_files.read(self._index, {"manifests": _are_entries}, mend=hint)
        except FileNotFoundError:
            raise state_files.damaged(
                self._index, "it is missing", "pull an image: it is then created"
            ) from None
        return Document(self._index, index).children("manifests")

    def put_entry(self, reference: str, platform: str, image: Descriptor) -> None:
        """Add an image to the index, or replace the one of the same reference. The caller holds the index's lock."""
        entry = {
            **descriptor_fields(image),
            "annotations": {
                REF_NAME: ref_name(reference, platform),
                REFERENCE: reference,
                PLATFORM: platform,
            },
        }
        self._write_entries([*self._entries_without({(reference, platform)}), entry])

    def remove_entries(self, names: set[tuple[str, str]]) -> None:
        """Remove the entries of (reference, platform) pairs. The caller holds the index's lock."""
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
    """Tell whether a value is the `manifests` of an index (image-spec image-index.md), as far as the store reads it."""
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
    """Return the annotations (ref name, reference, platform) of an entry.

    All three count, because tools that copy an entry under another name copy our annotations too.
    """
    annotations = entry.child("annotations")
    return annotations.text(REF_NAME, ""), annotations.text(REFERENCE, ""), annotations.text(PLATFORM, "")


def own_name(entry: Document) -> tuple[str, str] | None:
    """Return the (reference, platform) of an entry that the shim wrote; None for an entry of another tool."""
    name, reference, platform = _names(entry)
    return (reference, platform) if reference and name == ref_name(reference, platform) else None


def descriptor_fields(descriptor: Descriptor) -> dict[str, Any]:
    """Return a descriptor as the JSON of manifests and indexes (image-spec descriptor.md)."""
    return {"mediaType": descriptor.media_type, "digest": descriptor.digest, "size": descriptor.size}


def ref_name(reference: str, platform: str) -> str:
    """Return the name for other tools, within the grammar of the specification (image-spec annotations.md).

    It is the reference itself where the grammar allows it, with small replacements; otherwise a unique hash.
    """
    name = reference.replace(":/", "/") + (f"+{platform.replace('/', '-')}" if platform else "")
    if is_layout_name(name):
        return name
    import hashlib

    return f"image-{hashlib.sha256(name.encode(errors='surrogateescape')).hexdigest()[:16]}"


class LayoutSource:
    """One image of a layout. A sources.Source."""

    def __init__(self, members: Members, tag: str | None, platform: str = "") -> None:
        """platform: as platforms.key returns it."""
        self._members = members
        self._image = choose(
            read_index(members), tag, members.what, platform=platform, is_image=self._is_image
        )

    def _is_image(self, entry: Descriptor) -> bool:
        body = read_blob(self._members, entry.digest)
        return manifest.is_image(RawManifest(entry.media_type, body, entry.digest), self._members.what)

    @property
    def digest(self) -> str:
        """The digest that the tag names: of a manifest or of an index."""
        return self._image.digest

    def resolve(self) -> RawManifest:
        """See sources.Source."""
        return RawManifest(self._image.media_type, read_blob(self._members, self.digest), self.digest)

    def manifest(self, digest: str) -> RawManifest:
        """See sources.Source."""
        return RawManifest("", read_blob(self._members, digest), digest)

    def fetch(self, jobs: "Sequence[Job]", progress: "Progress") -> None:
        """See sources.Source."""
        from tweed_shim.image import blobs

        for job in jobs:
            blobs.copy(self._members, blob_name(job.blob.digest), job, progress=progress)


def in_directory(path: str, tag: str | None, platform: str) -> LayoutSource:
    """Open the image that a tag names in the layout at `path`. Raises ImageError."""
    try:
        is_directory = stat.S_ISDIR(os.stat(path).st_mode)
    except (FileNotFoundError, NotADirectoryError):
        raise ImageError(f"{path} does not exist; name the directory of an image layout that does") from None
    if not is_directory:
        raise ImageError(
            f"{path} is not a directory; name a layout that is, or write oci-archive: or docker-archive: for a file"
        )
    return LayoutSource(Directory(path), tag, platform)


def store_layout(root: str) -> Layout:
    """Return the layout of the store at `root`."""
    return Layout(os.path.join(root, "images"))

"""Images in one file: an OCI layout in a tar, and what `docker save` writes (Docker image v1.2).

Both may be compressed. Of a `docker save` archive the manifest is made here, always the same one for the same
content, as the archive holds none.
"""

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

from tweed_shim import files
from tweed_shim.errors import BadReference, ImageError
from tweed_shim.image import blobs, compression, config, documents, layout
from tweed_shim.image import manifest as manifests
from tweed_shim.image.blobs import Job, Progress
from tweed_shim.image.documents import Document
from tweed_shim.image.layout import LayoutSource
from tweed_shim.image.manifest import Descriptor, Raw
from tweed_shim.image.members import Extent, Members, Tar, read
from tweed_shim.image.reference import Reference
from tweed_shim.image.room import Room

DOCKER_INDEX = "manifest.json"


@contextmanager
def opened_tar(path: str, scratch: str) -> Iterator[int]:
    """A descriptor of the archive, of its expanded content where it is compressed, for the length of a block.

    That content has no name, but takes room in the directory `scratch`.
    """
    with ExitStack() as stack:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        stack.callback(os.close, fd)
        whole = Extent(fd, 0, os.fstat(fd).st_size)
        how = compression.detect(whole.head(compression.HEAD))
        if how != "none":
            fd = _nameless_file(scratch)
            stack.callback(os.close, fd)
            with open(fd, "wb", closefd=False) as file:
                file.writelines(Room(scratch, path).content(compression.expand(whole.chunks(), how, path)))
        yield fd


def _nameless_file(directory: str) -> int:
    # Not O_TMPFILE, which overlayfs lacks before Linux 6.2.
    path = os.path.join(directory, files.unique_name("archive-"))
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, files.PRIVATE_FILE)
    os.unlink(path)
    return fd


class DockerArchive:
    """One image of a `docker save` archive, as something to pull from."""

    def __init__(self, members: Members, tag: str | None) -> None:
        self._members = members
        self._names: dict[str, str] = {}
        self._manifest = self._convert(_choose(_entries(members), tag, members.what))

    @property
    def digest(self) -> str:
        """The digest of the manifest that is made for it."""
        return self._manifest.digest

    def resolve(self) -> Raw:
        """See pull.Source."""
        return self._manifest

    def manifest(self, digest: str) -> Raw:
        """See pull.Source."""
        raise ImageError(f"{self._members.what} has no manifest {digest}; save the image again")

    def fetch(self, jobs: Sequence[Job], progress: Progress) -> None:
        """See pull.Source."""
        for job in jobs:
            blobs.copy(self._members, self._names[job.blob.digest], job, progress)

    def _convert(self, entry: Document) -> Raw:
        config_name = entry.text("Config")
        layer_names = entry.texts("Layers")
        body = self._read(config_name)
        diff_ids = config.parse(body, f"{config_name} in {self._members.what}").diff_ids
        if len(diff_ids) != len(layer_names):
            entry.wrong("Layers", f"are {len(layer_names)}, and the configuration names {len(diff_ids)}")
        layers = [self._layer(name, diff_id) for name, diff_id in zip(layer_names, diff_ids, strict=True)]
        about = Descriptor(manifests.OCI_CONFIG, blobs.digest_of([body]), len(body))
        self._names[about.digest] = config_name
        manifest = {
            "schemaVersion": 2,
            "mediaType": manifests.OCI_MANIFEST,
            "config": layout.image_fields(about),
            "layers": [layout.image_fields(layer) for layer in layers],
        }
        made = json.dumps(manifest, sort_keys=True).encode()
        return Raw(manifests.OCI_MANIFEST, made, blobs.digest_of([made]))

    def _layer(self, name: str, diff_id: str) -> Descriptor:
        try:
            with self._members.opened(name) as extent:
                how = compression.detect(extent.head(compression.HEAD))
                # A plain tar's digest is its diff id, which is verified when the layer is copied.
                digest = diff_id if how == "none" else blobs.digest_of(extent.chunks())
                size = extent.size
        except KeyError as error:
            raise self._missing(name) from error
        self._names[digest] = name
        return Descriptor(manifests.OCI_LAYERS[how], digest, size)

    def _read(self, name: str) -> bytes:
        try:
            return read(self._members, name)
        except KeyError as error:
            raise self._missing(name) from error

    def _missing(self, name: str) -> ImageError:
        return ImageError(
            f"{self._members.what} lacks {name!r}, which its {DOCKER_INDEX} names; save the image again"
        )


def _entries(members: Members) -> tuple[Document, ...]:
    try:
        value = documents.load(read(members, DOCKER_INDEX), f"{DOCKER_INDEX} in {members.what}")
    except KeyError as error:
        raise ImageError(
            f"{members.what} is not a docker-archive: it has no {DOCKER_INDEX}; try oci-archive:"
        ) from error
    return Document(members.what, {DOCKER_INDEX: value}).children(DOCKER_INDEX)


def _is_named(entry: Document, tag: str) -> bool:
    """Whether a tag, or a reference in any of its forms, is one of an entry's names."""
    names = entry.texts("RepoTags")
    return (
        tag in names or _full(tag) in map(_full, names) or tag in (name.rpartition(":")[2] for name in names)
    )


def _full(name: str) -> str:
    from tweed_shim.image import reference

    try:
        return str(reference.parse(name))
    except BadReference:
        return name


def _choose(entries: tuple[Document, ...], tag: str | None, what: str) -> Document:
    fitting = [entry for entry in entries if tag is None or _is_named(entry, tag)]
    if len(fitting) == 1:
        return fitting[0]
    there = (
        ", ".join(sorted(name for entry in entries for name in entry.texts("RepoTags"))) or "no named image"
    )
    if tag is None:
        raise ImageError(f"{what} has {len(entries)} images where one is meant; name one of: {there}")
    fault = "has more than one image" if fitting else "has no image"
    raise ImageError(f"{what} {fault} named {tag!r}; it has {there}")


def open_archive(fd: int, reference: Reference, platform: str) -> "LayoutSource | DockerArchive":
    """The image that a reference names in an archive that `opened_tar` opened; without a tag the only one.

    platform: as for LayoutSource.
    """
    members = Tar(fd, reference.path)
    if reference.transport == "oci-archive":
        return LayoutSource(members, reference.tag, platform)
    return DockerArchive(members, reference.tag)

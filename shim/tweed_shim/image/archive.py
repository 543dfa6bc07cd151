"""Images in one file: an OCI layout in a tar (oci-archive), and the archives of `docker save` (docker-archive).

Both may be compressed. A docker-archive (Docker image specification v1.2) has no OCI manifest. The one that is made
here is the same each time for the same content.
"""

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

from tweed_shim.base import files
from tweed_shim.errors import BadReference, ImageError
from tweed_shim.image import blobs, compression, config, json_fields, layout
from tweed_shim.image import manifest as manifests
from tweed_shim.image.archive_reader import Extent, Members, TarMembers, read
from tweed_shim.image.blobs import Job, Progress
from tweed_shim.image.content import digest_of
from tweed_shim.image.disk_quota import DiskQuota
from tweed_shim.image.json_fields import Document
from tweed_shim.image.layout import LayoutSource
from tweed_shim.image.manifest import Descriptor, RawManifest
from tweed_shim.image.reference import Reference

DOCKER_INDEX = "manifest.json"


@contextmanager
def opened_tar(path: str, tmp: str) -> Iterator[int]:
    """Open an archive for the length of a with block; yield a file descriptor of the uncompressed tar.

    Compressed content is expanded into an unnamed file in the directory `tmp`.
    """
    with ExitStack() as stack:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        stack.callback(os.close, fd)
        archive = Extent(fd, 0, os.fstat(fd).st_size)
        how = compression.detect(archive.head(compression.HEAD))
        if how != "none":
            fd = _unnamed_file(tmp)
            stack.callback(os.close, fd)
            with open(fd, "wb", closefd=False) as file:
                file.writelines(DiskQuota(tmp, path).content(compression.expand(archive.chunks(), how, path)))
        yield fd


def _unnamed_file(directory: str) -> int:
    # Not O_TMPFILE, which overlayfs does not support before Linux 6.2.
    path = os.path.join(directory, files.unique_name("archive-"))
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, files.PRIVATE_FILE)
    os.unlink(path)
    return fd


class DockerArchive:
    """One image of a docker-archive. A sources.Source."""

    def __init__(self, members: Members, tag: str | None) -> None:
        self._members = members
        self._names: dict[str, str] = {}
        self._manifest = self._generate_manifest(_choose(_entries(members), tag, members.what))

    @property
    def digest(self) -> str:
        """The digest of the generated manifest."""
        return self._manifest.digest

    def resolve(self) -> RawManifest:
        """See sources.Source."""
        return self._manifest

    def manifest(self, digest: str) -> RawManifest:
        """See sources.Source."""
        raise ImageError(f"{self._members.what} has no manifest {digest}; save the image again")

    def fetch(self, jobs: Sequence[Job], progress: Progress) -> None:
        """See sources.Source."""
        for job in jobs:
            blobs.copy(self._members, self._names[job.blob.digest], job, progress=progress)

    def _generate_manifest(self, entry: Document) -> RawManifest:
        config_name = entry.text("Config")
        layer_names = entry.texts("Layers")
        body = self._read(config_name)
        diff_ids = config.parse(body, f"{config_name} in {self._members.what}").diff_ids
        if len(diff_ids) != len(layer_names):
            entry.wrong("Layers", f"are {len(layer_names)}, and the configuration names {len(diff_ids)}")
        layers = [self._layer(name, diff_id) for name, diff_id in zip(layer_names, diff_ids, strict=True)]
        descriptor = Descriptor(manifests.OCI_CONFIG, digest_of([body]), len(body))
        self._names[descriptor.digest] = config_name
        manifest = {
            "schemaVersion": 2,
            "mediaType": manifests.OCI_MANIFEST,
            "config": layout.descriptor_fields(descriptor),
            "layers": [layout.descriptor_fields(layer) for layer in layers],
        }
        data = json.dumps(manifest, sort_keys=True).encode()
        return RawManifest(manifests.OCI_MANIFEST, data, digest_of([data]))

    def _layer(self, name: str, diff_id: str) -> Descriptor:
        try:
            with self._members.opened(name) as extent:
                how = compression.detect(extent.head(compression.HEAD))
                # The digest of an uncompressed layer is its diff id. It is verified when the layer is copied.
                digest = diff_id if how == "none" else digest_of(extent.chunks())
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
        value = json_fields.load(read(members, DOCKER_INDEX), f"{DOCKER_INDEX} in {members.what}")
    except KeyError as error:
        raise ImageError(
            f"{members.what} is not a docker-archive: it has no {DOCKER_INDEX}; try oci-archive:"
        ) from error
    return Document(members.what, {DOCKER_INDEX: value}).children(DOCKER_INDEX)


def _is_named(entry: Document, tag: str) -> bool:
    """Tell whether a tag, a repository with a tag or a full reference is one of an entry's `RepoTags`."""
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
    matches = [entry for entry in entries if tag is None or _is_named(entry, tag)]
    if len(matches) == 1:
        return matches[0]
    names = (
        ", ".join(sorted(name for entry in entries for name in entry.texts("RepoTags"))) or "no named image"
    )
    if tag is None:
        raise ImageError(
            f"{what} has {len(entries)} images, and the reference names none; add one of these tags: {names}"
        )
    fault = "has more than one image" if matches else "has no image"
    raise ImageError(f"{what} {fault} named {tag!r}; name one of: {names}")


def open_archive(fd: int, reference: Reference, platform: str) -> "LayoutSource | DockerArchive":
    """Return the image that a reference names in an archive; without a tag the only one.

    fd: from `opened_tar`. platform: as for LayoutSource.
    """
    members = TarMembers(fd, reference.path)
    if reference.transport == "oci-archive":
        return LayoutSource(members, reference.tag, platform)
    return DockerArchive(members, reference.tag)

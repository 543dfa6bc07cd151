"""Parses manifests and indexes of OCI and Docker (image-spec manifest.md, image-index.md; Docker manifest v2.2)."""

from collections.abc import Callable, Iterable

from tweed_shim.base.option_names import option
from tweed_shim.base.records import Record
from tweed_shim.base.text import DIGITS, LOWER, joined
from tweed_shim.errors import ImageError
from tweed_shim.image import json_fields, platforms
from tweed_shim.image.json_fields import Document
from tweed_shim.image.platforms import Platform
from tweed_shim.image.reference import is_digest

OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
OCI_LAYERS = {
    "none": "application/vnd.oci.image.layer.v1.tar",
    "gzip": "application/vnd.oci.image.layer.v1.tar+gzip",
    "zstd": "application/vnd.oci.image.layer.v1.tar+zstd",
}
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json"
DOCKER_LAYER = "application/vnd.docker.image.rootfs.diff.tar"

MANIFESTS = {OCI_MANIFEST, DOCKER_MANIFEST}
INDEXES = {OCI_INDEX, DOCKER_LIST}
CONFIGS = {OCI_CONFIG, DOCKER_CONFIG}
# The media types of a configuration in Docker's manifests. Old registries changed it (distribution issue 1621), and
# docker accepts these.
DOCKER_CONFIGS = {*CONFIGS, "application/octet-stream", "application/json", "text/html", ""}
LAYERS = {*OCI_LAYERS.values(), DOCKER_LAYER, f"{DOCKER_LAYER}.gzip", f"{DOCKER_LAYER}.zstd"}

SCHEMA_1 = "application/vnd.docker.distribution.manifest.v1+"
NONDISTRIBUTABLE = (
    "application/vnd.oci.image.layer.nondistributable.",
    "application/vnd.docker.image.rootfs.foreign.",
)

MOST_LAYERS = 1024
# How many entries of an index are fetched to see whether they are images.
MOST_PROBES = 8
LARGEST_BLOB = 1 << 46


class Descriptor(Record):
    """The media type, the digest and the size in bytes of a blob (image-spec descriptor.md)."""

    media_type: str
    digest: str
    size: int


class RawManifest(Record):
    """An unparsed manifest or index. media_type: as announced by the source, may be empty. digest: of the body."""

    media_type: str
    body: bytes
    digest: str


class Manifest(Record):
    """The configuration and the layers, lowest first, of one image for one platform."""

    config: Descriptor
    layers: tuple[Descriptor, ...]

    @property
    def blobs(self) -> tuple[Descriptor, ...]:
        """All blobs of the image, the configuration first."""
        return (self.config, *self.layers)


class Entry(Record):
    """One entry of an index. platform: None where the index names none."""

    descriptor: Descriptor
    platform: Platform | None
    artifact_type: str = ""

    @property
    def may_be_image(self) -> bool:
        """Whether the entry does not say that it is something else: an attestation, an SBOM, a signature."""
        kind = self.descriptor.media_type
        return (
            (self.platform is None or self.platform.os != "unknown")
            and self.artifact_type in ("", *CONFIGS)
            and (kind in ("", *MANIFESTS, *INDEXES) or kind.startswith(SCHEMA_1))
        )


def parse_descriptor(document: Document) -> Descriptor:
    """Parse a descriptor, whose digest has to be sha256. Raises ImageError."""
    digest = document.text("digest")
    algorithm, colon, _ = digest.partition(":")
    if algorithm != "sha256" or not is_digest(digest):
        if colon and algorithm != "sha256" and joined(LOWER + DIGITS, frozenset("+._-"), algorithm):
            document.wrong("digest", f"is of the kind {algorithm}, and only sha256 is supported")
        document.wrong("digest", "is not a sha256 digest")
    return Descriptor(document.text("mediaType", ""), digest, document.number("size", LARGEST_BLOB))


def is_index(raw: RawManifest, what: str) -> bool:
    """Tell whether a document is an index; it is a manifest otherwise. Raises ImageError where it is neither."""
    return media_type(raw, what) in INDEXES


def media_type(raw: RawManifest, what: str) -> str:
    """Return the media type of a manifest or index, detected where none is stated. Raises ImageError for others."""
    return _media_type(json_fields.parse(raw.body, what), raw.media_type)


def _media_type(document: Document, announced: str) -> str:
    """Return the media type of a document. announced: the one that the source stated; it may not contradict it."""
    stated = document.text("mediaType", "")
    if document.fields.get("schemaVersion") == 1 or any(
        each.startswith(SCHEMA_1) for each in (stated, announced)
    ):
        raise ImageError(
            f"{document.what} has the media type {SCHEMA_1}json, which is out of use since 2017; "
            "push the image again with a current tool"
        )
    known = MANIFESTS | INDEXES
    # To announce Docker's type for OCI's is a harmless mistake; to announce an index for a manifest is not.
    if stated and announced in known and (stated in INDEXES) != (announced in INDEXES):
        document.wrong("mediaType", f"is {stated!r} where {announced!r} was announced")
    media_type = stated or (announced if announced in known else _detect(document))
    if media_type not in known:
        raise ImageError(
            f"{document.what} has the media type {media_type!r}, which is not one of a container image; name an image"
        )
    # A document that is a manifest and an index at once shows different images to different tools (CVE-2021-41190).
    foreign = "manifests" if media_type in MANIFESTS else "layers"
    if document.fields.get(foreign) is not None:
        document.wrong(foreign, f"does not belong into the media type {media_type!r}")
    return media_type


def _detect(document: Document) -> str:
    """Return the media type of an OCI document that states none, as the specification allows."""
    return OCI_INDEX if "manifests" in document.fields else OCI_MANIFEST


def parse_manifest(raw: RawManifest, what: str) -> Manifest:
    """Parse the manifest of one image. what: its name in errors. Raises ImageError."""
    document = json_fields.parse(raw.body, what)
    media_type = _media_type(document, raw.media_type)
    if media_type not in MANIFESTS:
        raise ImageError(
            f"{what} is an index of images where one image is needed; build or push the image again"
        )
    if document.fields.get("config") is None:
        document.wrong("config", "is missing")
    config = parse_descriptor(document.child("config"))
    if config.media_type not in (DOCKER_CONFIGS if media_type == DOCKER_MANIFEST else CONFIGS):
        raise ImageError(
            f"{what} is not a container image: its configuration has the media type {config.media_type!r}; "
            "name an image that can be run"
        )
    if config.size > json_fields.MAX_DOCUMENT:
        document.wrong("config", "is larger than 4 MiB")
    layers = tuple(_layer(child) for child in document.children("layers"))
    if len(layers) > MOST_LAYERS:
        document.wrong("layers", f"are more than {MOST_LAYERS}")
    return Manifest(config, layers)


def _layer(document: Document) -> Descriptor:
    layer = parse_descriptor(document)
    if layer.media_type.startswith(NONDISTRIBUTABLE):
        raise ImageError(
            f"{document.what} has the media type {layer.media_type!r}: it may not be distributed by "
            "registries; use an image without such layers"
        )
    if layer.media_type not in LAYERS:
        raise ImageError(
            f"{document.what} has the media type {layer.media_type!r}, which is not a layer to unpack; "
            "build the image with plain, gzip or zstd layers"
        )
    return layer


def parse_index(raw: RawManifest, what: str) -> tuple[Entry, ...]:
    """Parse the entries of an index. what: its name in errors. Raises ImageError."""
    document = json_fields.parse(raw.body, what)
    if _media_type(document, raw.media_type) not in INDEXES:
        raise ImageError(
            f"{what} is one image where an index of images is needed; build or push the image again"
        )
    return tuple(map(parse_entry, document.children("manifests")))


def parse_entry(document: Document) -> Entry:
    """Parse one entry of an index. Raises ImageError."""
    return Entry(parse_descriptor(document), _platform(document), document.text("artifactType", ""))


def is_image(raw: RawManifest, what: str) -> bool:
    """Tell whether a manifest is that of a runnable image, and not of another artifact. An index counts as one.

    Raises ImageError where the document is neither a manifest nor an index.
    """
    if is_index(raw, what):
        return True
    try:
        parse_manifest(raw, what)
    except ImageError:
        return False
    return True


def _platform(document: Document) -> Platform | None:
    if document.fields.get("platform") is None:
        return None
    platform = document.child("platform")
    return platforms.of_image(
        platform.text("os"), platform.text("architecture"), platform.text("variant", "")
    )


def choose(
    entries: tuple[Entry, ...],
    wanted: Platform,
    what: str,
    *,
    is_image: Callable[[Descriptor], bool] = lambda _: True,
) -> Descriptor:
    """Return the image of an index that matches a platform best. Raises ImageError, which lists the platforms.

    is_image: called where several entries may match and the index does not say which of them are images. A single
    image without a platform is taken where no other matches; its configuration is checked later.
    """
    candidates = [entry for entry in entries if entry.may_be_image]
    best = platforms.best(wanted, (entry.platform for entry in candidates if entry.platform is not None))
    matches = _unique(entry for entry in candidates if best is not None and entry.platform == best)
    unstated = _unique(entry for entry in candidates if entry.platform is None)
    if len(matches) + len(unstated) > 1:
        first = next((each for each in matches[:MOST_PROBES] if is_image(each)), None)
        if first is not None:
            return first
        unstated = [each for each in unstated[:MOST_PROBES] if is_image(each)]
    if len(unstated) == 1:
        return unstated[0]
    if matches:
        # It is not an image. The error for that comes when it is parsed.
        return matches[0]
    known = (
        ", ".join(sorted({str(entry.platform) for entry in candidates if entry.platform})) or "no platform"
    )
    raise ImageError(
        f"{what} has no image for {wanted}; it has images for {known}; choose one with {option('--platform')}"
    )


def _unique(entries: Iterable[Entry]) -> list[Descriptor]:
    return list(dict.fromkeys(entry.descriptor for entry in entries))

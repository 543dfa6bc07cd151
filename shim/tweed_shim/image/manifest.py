"""Manifests and indexes, OCI's and Docker's (image-spec manifest.md, image-index.md; Docker manifest v2.2)."""

from collections.abc import Callable, Iterable

from tweed_shim.errors import ImageError
from tweed_shim.image import documents, platforms
from tweed_shim.image.documents import Document
from tweed_shim.image.platforms import Platform
from tweed_shim.image.reference import is_digest
from tweed_shim.letters import DIGITS, LOWER, joined
from tweed_shim.option_names import option
from tweed_shim.records import Record

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
# How Docker's manifests may call their configuration: docker takes what registries have made of it (distribution issue
# 1621), and so do others.
DOCKER_CONFIGS = {*CONFIGS, "application/octet-stream", "application/json", "text/html", ""}
LAYERS = {*OCI_LAYERS.values(), DOCKER_LAYER, f"{DOCKER_LAYER}.gzip", f"{DOCKER_LAYER}.zstd"}

SCHEMA_1 = "application/vnd.docker.distribution.manifest.v1+"
ELSEWHERE = (
    "application/vnd.oci.image.layer.nondistributable.",
    "application/vnd.docker.image.rootfs.foreign.",
)

MOST_LAYERS = 1024
# Entries of an index that are fetched to see whether they are images.
MOST_LOOKS = 8
LARGEST_BLOB = 1 << 46


class Descriptor(Record):
    """What names a blob: its media type, its digest and its size in bytes."""

    media_type: str
    digest: str
    size: int


class Raw(Record):
    """A manifest or an index as it came: its media type where one was told, its bytes, and their digest."""

    media_type: str
    body: bytes
    digest: str


class Manifest(Record):
    """One image for one platform: its configuration and its layers, the lowest first."""

    config: Descriptor
    layers: tuple[Descriptor, ...]

    @property
    def blobs(self) -> tuple[Descriptor, ...]:
        """All that it takes, the configuration first."""
        return (self.config, *self.layers)


class Entry(Record):
    """One image of an index, and what it is for, where the index says so."""

    descriptor: Descriptor
    platform: Platform | None
    artifact_type: str = ""

    @property
    def may_be_image(self) -> bool:
        """Whether nothing says that it is something else: an attestation, a list of parts, a signature."""
        kind = self.descriptor.media_type
        return (
            (self.platform is None or self.platform.os != "unknown")
            and self.artifact_type in ("", *CONFIGS)
            and (kind in ("", *MANIFESTS, *INDEXES) or kind.startswith(SCHEMA_1))
        )


def read_descriptor(document: Document) -> Descriptor:
    """The descriptor in an object (image-spec descriptor.md). Raises ImageError."""
    digest = document.text("digest")
    algorithm, colon, _ = digest.partition(":")
    if algorithm != "sha256" or not is_digest(digest):
        if colon and algorithm != "sha256" and joined(LOWER + DIGITS, frozenset("+._-"), algorithm):
            document.wrong("digest", f"is of the kind {algorithm}, and only sha256 is supported")
        document.wrong("digest", "is not a sha256 digest")
    return Descriptor(document.text("mediaType", ""), digest, document.number("size", LARGEST_BLOB))


def is_index(raw: Raw, what: str) -> bool:
    """Whether it is an index of images, not one image's manifest. Raises ImageError where it is neither."""
    return media_type(raw, what) in INDEXES


def media_type(raw: Raw, what: str) -> str:
    """The media type of a manifest or an index, guessed where there is none. Raises ImageError for others."""
    return _media_type(documents.parse(raw.body, what), raw.media_type)


def _media_type(document: Document, told: str) -> str:
    """The media type that a document has; what it says itself and what was told about it may not differ."""
    said = document.text("mediaType", "")
    if document.fields.get("schemaVersion") == 1 or any(each.startswith(SCHEMA_1) for each in (said, told)):
        raise ImageError(
            f"{document.what} has the media type {SCHEMA_1}json, which is out of use since 2017; "
            "push the image again with a current tool"
        )
    known = MANIFESTS | INDEXES
    # Docker's word for OCI's, or the other way round, is a mistake that nothing hangs on; an index is no manifest.
    if said and told in known and (said in INDEXES) != (told in INDEXES):
        document.wrong("mediaType", f"is {said!r} where {told!r} was announced")
    found = said or (told if told in known else _guess(document))
    if found not in known:
        raise ImageError(
            f"{document.what} has the media type {found!r}, which is not one of a container image"
        )
    # One document that can be read both ways shows different images to different tools.
    strange = "manifests" if found in MANIFESTS else "layers"
    if document.fields.get(strange) is not None:
        document.wrong(strange, f"does not belong into the media type {found!r}")
    return found


def _guess(document: Document) -> str:
    """What an OCI document is that does not name its media type, which the specification allows."""
    return OCI_INDEX if "manifests" in document.fields else OCI_MANIFEST


def parse_manifest(raw: Raw, what: str) -> Manifest:
    """One image's manifest; `what` names it in errors. Raises ImageError."""
    document = documents.parse(raw.body, what)
    media_type = _media_type(document, raw.media_type)
    if media_type not in MANIFESTS:
        raise ImageError(
            f"{what} is an index of images where one image is needed; build or push the image again"
        )
    if document.fields.get("config") is None:
        document.wrong("config", "is missing")
    config = read_descriptor(document.child("config"))
    if config.media_type not in (DOCKER_CONFIGS if media_type == DOCKER_MANIFEST else CONFIGS):
        raise ImageError(
            f"{what} is no container image: its configuration has the media type {config.media_type!r}; "
            "name an image that can be run"
        )
    if config.size > documents.LARGEST:
        document.wrong("config", "is larger than 4 MiB")
    layers = tuple(_layer(child) for child in document.children("layers"))
    if len(layers) > MOST_LAYERS:
        document.wrong("layers", f"are more than {MOST_LAYERS}")
    return Manifest(config, layers)


def _layer(document: Document) -> Descriptor:
    layer = read_descriptor(document)
    if layer.media_type.startswith(ELSEWHERE):
        raise ImageError(
            f"{document.what} has the media type {layer.media_type!r}: it is kept elsewhere and may not be "
            "distributed; use an image without such layers"
        )
    if layer.media_type not in LAYERS:
        raise ImageError(
            f"{document.what} has the media type {layer.media_type!r}, which is not a layer to unpack; "
            "build the image with plain, gzip or zstd layers"
        )
    return layer


def parse_index(raw: Raw, what: str) -> tuple[Entry, ...]:
    """The images of an index; `what` names it in errors. Raises ImageError."""
    document = documents.parse(raw.body, what)
    if _media_type(document, raw.media_type) not in INDEXES:
        raise ImageError(
            f"{what} is one image where an index of images is needed; build or push the image again"
        )
    return tuple(map(read_entry, document.children("manifests")))


def read_entry(document: Document) -> Entry:
    """Read an entry of an index. Raises ImageError."""
    return Entry(read_descriptor(document), _platform(document), document.text("artifactType", ""))


def is_image(raw: Raw, what: str) -> bool:
    """Tell whether a manifest is that of an image, which runs, and not of something else that registries keep.

    An index counts: what is in it is to be looked at. Raises ImageError where it is neither.
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
    is_image: Callable[[Descriptor], bool] = lambda _: True,
) -> Descriptor:
    """The image of an index that fits a platform best.

    What is no image is passed over: is_image tells that where the index does not and more than one entry may be meant.
    One single image that does not say what it is for is taken where no other fits: its configuration tells. Raises
    ImageError, which lists the platforms that are there.
    """
    offers = [entry for entry in entries if entry.may_be_image]
    best = platforms.best(wanted, (entry.platform for entry in offers if entry.platform is not None))
    fitting = _unique(entry for entry in offers if best is not None and entry.platform == best)
    unsaid = _unique(entry for entry in offers if entry.platform is None)
    if len(fitting) + len(unsaid) > 1:
        first = next((each for each in fitting[:MOST_LOOKS] if is_image(each)), None)
        if first is not None:
            return first
        unsaid = [each for each in unsaid[:MOST_LOOKS] if is_image(each)]
    if len(unsaid) == 1:
        return unsaid[0]
    if fitting:
        # What is wrong with it is said when it is read.
        return fitting[0]
    there = ", ".join(sorted({str(entry.platform) for entry in offers if entry.platform})) or "no platform"
    raise ImageError(
        f"{what} has no image for {wanted}; it has images for {there}: choose one with {option('--platform')}"
    )


def _unique(entries: Iterable[Entry]) -> list[Descriptor]:
    return list(dict.fromkeys(entry.descriptor for entry in entries))

"""From a reference to the manifest for one platform, through the indexes between them."""

from collections.abc import Sequence

from tweed_shim.base.records import Record
from tweed_shim.errors import ImageError
from tweed_shim.image import manifest, platforms
from tweed_shim.image.manifest import Manifest, RawManifest
from tweed_shim.image.platforms import Platform
from tweed_shim.image.sources import Source


class ResolvedImage(Record):
    """The documents from the one that the reference names to the image's manifest, and that manifest parsed."""

    documents: tuple[RawManifest, ...]
    manifest: Manifest

    @property
    def top(self) -> str:
        """The digest that the reference itself names: of an index or of the manifest."""
        return self.documents[0].digest

    @property
    def digest(self) -> str:
        """The digest of the image's manifest, which identifies the image."""
        return self.documents[-1].digest


def resolve(source: Source, platform: str, what: str) -> ResolvedImage:
    """Resolve a reference, through at most two indexes, to the manifest for a platform. Raises ImageError.

    platform: as platforms.key returns it. what: the name of the image in errors.
    """
    wanted = platforms.parse(platform) if platform else platforms.host()
    documents = [source.resolve()]
    while manifest.is_index(documents[-1], what):
        if len(documents) > 2:
            raise ImageError(
                f"{what} is an index in an index in an index, which no tool makes; build it again"
            )
        documents.append(_choose_manifest(source, documents, wanted, what=what))
    return ResolvedImage(tuple(documents), manifest.parse_manifest(documents[-1], f"the manifest of {what}"))


def _choose_manifest(
    source: Source, documents: Sequence[RawManifest], wanted: Platform, *, what: str
) -> RawManifest:
    """Return the manifest for a platform that the last document, an index, names. Raises ImageError."""
    loaded: dict[str, RawManifest] = {}

    def get(digest: str) -> RawManifest:
        if digest in {each.digest for each in documents}:
            raise ImageError(f"{what} is an index that holds itself; build it again")
        if digest not in loaded:
            loaded[digest] = source.manifest(digest)
        return loaded[digest]

    entries = manifest.parse_index(documents[-1], what)
    chosen = manifest.choose(
        entries, wanted, what, is_image=lambda entry: manifest.is_image(get(entry.digest), what)
    )
    document = get(chosen.digest)
    if len(document.body) != chosen.size:
        raise ImageError(
            f"{what} names a manifest of {chosen.size} bytes that has {len(document.body)}; push it again"
        )
    return document

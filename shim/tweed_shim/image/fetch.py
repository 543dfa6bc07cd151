"""The cold half of `pull`: resolve, bring what is missing into the store, unpack, and keep the record."""

import hashlib
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import NamedTuple, Protocol

from tweed_shim import files, scratch, trace
from tweed_shim.connect_options import ConnectOptions
from tweed_shim.errors import DamagedRecord, HostError, ImageError, RegistryError, StateError
from tweed_shim.idmap import IdMap
from tweed_shim.image import (
    archive,
    config,
    manifest,
    platforms,
    present,
    progress,
    removal,
    store,
    unpack,
)
from tweed_shim.image.blobs import Job, Progress
from tweed_shim.image.config import Configuration
from tweed_shim.image.deadline import Deadline
from tweed_shim.image.layout import Layout, in_directory
from tweed_shim.image.manifest import Descriptor, Manifest, Raw
from tweed_shim.image.platforms import Platform
from tweed_shim.image.progress import Report, silent
from tweed_shim.image.reference import Reference
from tweed_shim.image.store import Image, Pulled
from tweed_shim.image.turns import turn
from tweed_shim.option_names import option
from tweed_shim.records import replace


class Wanted(NamedTuple):
    """What `pull.obtain` was asked for. platform: as platforms.key gives it; pull: the policy; source: see there."""

    root: str
    reference: Reference
    platform: str
    ids: IdMap
    pull: str
    connect: ConnectOptions
    deadline: Deadline
    report: Report
    source: "Opener | None" = None


class Source(Protocol):
    """Where an image comes from: a registry, somebody's layout, an archive, or the store itself."""

    def resolve(self) -> Raw:
        """What the reference names now: a manifest or an index, verified."""
        ...

    def manifest(self, digest: str) -> Raw:
        """A manifest or an index that an index names, verified."""
        ...

    def fetch(self, jobs: Sequence[Job], progress: Progress, /) -> None:
        """Make a file of each blob, verified. After a failure those that are there are whole."""
        ...


# Opens a source for the length of a block.
Opener = Callable[[], AbstractContextManager[Source]]


class Resolved(NamedTuple):
    """What a reference came to: the documents from the first to the manifest, and what that one says."""

    documents: tuple[Raw, ...]
    manifest: Manifest

    @property
    def top(self) -> str:
        """What the reference names itself."""
        return self.documents[0].digest

    @property
    def digest(self) -> str:
        """The image's identity: its manifest's digest."""
        return self.documents[-1].digest


def resolve(source: Source, platform: str, what: str) -> Resolved:
    """Follow a reference through at most two indexes to the manifest for a platform. Raises ImageError."""
    wanted = platforms.parse(platform) if platform else platforms.host()
    documents = [source.resolve()]
    while manifest.is_index(documents[-1], what):
        if len(documents) > 2:
            raise ImageError(
                f"{what} is an index in an index in an index, which no tool makes; build it again"
            )
        documents.append(_choose(source, documents, wanted, what))
    return Resolved(tuple(documents), manifest.parse_manifest(documents[-1], f"the manifest of {what}"))


def _choose(source: Source, documents: Sequence[Raw], wanted: Platform, what: str) -> Raw:
    """Get the manifest that the last document, an index, has for a platform. Raises ImageError."""
    found: dict[str, Raw] = {}

    def get(digest: str) -> Raw:
        if digest in {each.digest for each in documents}:
            raise ImageError(f"{what} is an index that holds itself; build it again")
        if digest not in found:
            found[digest] = source.manifest(digest)
        return found[digest]

    entries = manifest.parse_index(documents[-1], what)
    chosen = manifest.choose(entries, wanted, what, lambda entry: manifest.is_image(get(entry.digest), what))
    document = get(chosen.digest)
    if len(document.body) != chosen.size:
        raise ImageError(
            f"{what} names a manifest of {chosen.size} bytes that has {len(document.body)}; push it again"
        )
    return document


def fetch(wanted: Wanted) -> Image:
    """See pull.obtain, which has found that the image is not at hand, or was told to ask again."""
    try:
        return _fetch(wanted)
    except RegistryError:
        # A connection that the deadline ended ends in any of the faults that a connection can have.
        wanted.deadline.check()
        raise


def _fetch(wanted: Wanted) -> Image:
    started = time.monotonic()
    name, root = str(wanted.reference), wanted.root
    if wanted.pull == "never" and not store.check_version(root):
        raise _not_here(wanted)
    store.open_store(root)
    scratch.sweep_tmp(root, wanted.ids)
    _prepare_index(root)
    lock = "pull-" + hashlib.sha256(f"{name} {wanted.platform}".encode()).hexdigest()
    with turn(
        root,
        lock,
        wanted.deadline,
        waiting=lambda: wanted.report(f"waiting for another process that pulls {name}"),
    ):
        looking = wanted.pull == "missing"
        found = wanted.pull != "always" and present.at_hand(
            root, wanted.reference, wanted.platform, wanted.ids, looking=looking
        )
        return found or _bring(wanted, started)


def restore(wanted: Wanted, record: Pulled) -> None:
    """Bring what the store lacks of an image that it has a record of; what the reference means stays as it is.

    Raises StateError where the reference means another image by now, and what `pull.obtain` raises.
    """
    reference = wanted.reference
    if not reference.path:
        # The tag may have moved since.
        wanted = wanted._replace(reference=replace(reference, tag=None, digest=record.top))
    with _held_blobs(wanted), _elsewhere(wanted) as source:
        resolved = resolve(source, wanted.platform, str(reference))
        if resolved.digest != record.digest:
            raise StateError(f"{reference} means another image by now; pull it again")
        _complete(wanted, source, resolved)


def recorded(root: str, digest: str, name: str, ids: IdMap) -> unpack.Order:
    """What has to be unpacked for the manifest of a digest, all of which is in the store.

    Raises ImageError where something of it is not there, or is damaged as far as that can be told by its size.
    """
    source = _Store(root, digest)
    resolved, place = resolve(source, "", name), _layout(root)
    body = place.document(resolved.manifest.config.digest)
    if body is None:
        raise ImageError(f"the store lacks the configuration of {name}; pull the image again")
    for layer in resolved.manifest.layers:
        if not place.has(layer):
            raise ImageError(f"the store lacks the layer {layer.digest} of {name}; pull the image again")
    about = config.parse(body, f"the configuration of {name}")
    return unpack.Order(name, resolved.digest, resolved.manifest, about, ids)


def _prepare_index(root: str) -> None:
    """Have an index of the store's images that can be added to.

    Where there is none it is made of the store's own records. Raises DamagedRecord for one that cannot be read.
    """
    layout = _layout(root)
    if layout.create():
        with scratch.only_one(root, removal.INDEX_LOCK):
            for record in store.records(root, warn=lambda _: None):
                body = layout.document(record.digest)
                if body is not None:
                    kind = manifest.media_type(Raw("", body, record.digest), record.reference)
                    image = Descriptor(kind, record.digest, len(body))
                    layout.put_entry(record.reference, record.platform, image)
    layout.entries()


def _held_blobs(wanted: Wanted) -> AbstractContextManager[bool]:
    """Keep every blob from removal for the length of a block."""
    note = "waiting for another process that removes blobs (gc or rm)"
    blobs = os.path.join(wanted.root, "images", "blobs")
    return files.held_directory(blobs, waiting=lambda: wanted.report(note))


def _bring(wanted: Wanted, started: float) -> Image:
    bad: set[str] = set()
    try:
        # As long as this is held, nobody removes blobs that no record names yet.
        with _held_blobs(wanted):
            return _bring_and_unpack(wanted, bad, started)
    except ImageError:
        _layout(wanted.root).drop_damaged(bad)
        removal.discard_unused(wanted.root, bad)
        raise


def _bring_and_unpack(wanted: Wanted, bad: set[str], started: float) -> Image:
    name, root = str(wanted.reference), wanted.root
    before = _known(wanted)
    origin = _origin(wanted, before)
    with _resolved(wanted, before, origin) as (source, resolved):
        bad |= {document.digest for document in resolved.documents} | {
            blob.digest for blob in resolved.manifest.blobs
        }
        about = _complete(wanted, source, resolved)
    image = store.unpacked(root, name, resolved.digest, wanted.ids) or _unpack(wanted, resolved, about)
    if before is not None and before.digest == resolved.digest and before.top == resolved.top:
        wanted.report(f"{name} is up to date: {resolved.digest}")
    else:
        what = name if name.endswith(resolved.digest) else f"{name} {resolved.digest}"
        wanted.report(f"pulled {what} in {time.monotonic() - started:.1f} s")
    _keep(wanted, resolved, origin)
    return image


def _known(wanted: Wanted) -> Pulled | None:
    """What the store knows of the reference. Raises DamagedRecord where that cannot be read, nor be found out anew."""
    try:
        return store.look_up(wanted.root, str(wanted.reference), wanted.platform)
    except DamagedRecord as damage:
        if wanted.pull == "never":
            raise
        wanted.report(str(damage))
        return None


def _origin(wanted: Wanted, before: Pulled | None) -> str:
    """What to remember of where a local image came from, to know later without reading it that it is the same."""
    if wanted.pull == "never":
        return before.origin if before is not None else ""
    return present.origin(wanted.reference, wanted.platform) if wanted.reference.path else ""


def _layout(root: str) -> Layout:
    return Layout(os.path.join(root, "images"))


def _not_here(wanted: Wanted) -> StateError:
    # What a source of its own gives may be nowhere by this name.
    mend = "pull it first" if wanted.source is None else "let it be pulled once"
    return StateError(
        f"the image {wanted.reference} is not in the store, and the pull policy is never; {mend}"
    )


@contextmanager
def _resolved(wanted: Wanted, before: Pulled | None, origin: str) -> Iterator[tuple[Source, Resolved]]:
    """What the reference means, and where its blobs come from: the store, where all of it is there."""
    name, reference = str(wanted.reference), wanted.reference
    known = before.top if before is not None and before.origin == origin else None
    top = reference.digest if wanted.pull == "always" else known or reference.digest
    here = _in_store(wanted, top) if top else None
    if here is not None:
        yield here
    elif wanted.pull == "never":
        raise _not_here(wanted)
    else:
        with _elsewhere(wanted) as source:
            with trace.span("manifest"):
                resolved = resolve(source, wanted.platform, name)
            yield source, resolved


class _Store:
    """The store itself as a source: of what has been pulled under this or another reference."""

    def __init__(self, root: str, top: str) -> None:
        self._layout = _layout(root)
        self._top = top

    def resolve(self) -> Raw:
        return self.manifest(self._top)

    def manifest(self, digest: str) -> Raw:
        body = self._layout.document(digest)
        if body is None:
            raise ImageError(f"the store lacks the manifest {digest}; pull the image again")
        return Raw("", body, digest)

    def fetch(self, jobs: Sequence[Job], _progress: Progress) -> None:
        raise ImageError(f"the store lacks the blob {jobs[0].blob.digest}; pull the image again")


def _in_store(wanted: Wanted, top: str) -> tuple[Source, Resolved] | None:
    """The image if all of its blobs are in the store; the network is asked for what is not."""
    source = _Store(wanted.root, top)
    try:
        resolved = resolve(source, wanted.platform, str(wanted.reference))
    except ImageError:
        return None
    place = _layout(wanted.root)
    whole = all(map(place.has, resolved.manifest.blobs)) and place.document(resolved.manifest.config.digest)
    return (source, resolved) if whole else None


@contextmanager
def _elsewhere(wanted: Wanted) -> Iterator[Source]:
    reference = wanted.reference
    if wanted.source is not None:
        with wanted.source() as given:
            yield given
    elif reference.transport == "oci":
        yield in_directory(reference.path, reference.tag, wanted.platform)
    elif reference.path:
        with archive.opened_tar(reference.path, os.path.join(wanted.root, "tmp")) as fd:
            yield archive.open_archive(fd, reference, wanted.platform)
    else:
        with trace.span("imports"):
            from tweed_shim.image.remote import Remote

        with Remote(reference, wanted.connect, wanted.deadline) as source:
            yield source


def _complete(wanted: Wanted, source: Source, resolved: Resolved) -> Configuration:
    """Bring what is missing into the store, the configuration first: it tells whether to go on."""
    name, place = str(wanted.reference), _layout(wanted.root)
    unpack.program("umoci", "umoci")
    for document in resolved.documents:
        place.add_bytes(document.digest, document.body)
    blob = resolved.manifest.config
    body = place.document(blob.digest)
    if body is None:
        _transfer(wanted, source, [blob], silent)
        body = place.document(blob.digest)
    if body is None:
        raise HostError(f"the blob {blob.digest} has vanished from the store; run the command again")
    about = config.parse(body, f"the configuration of {name}")
    _check_fit(wanted, resolved.manifest, about)
    missing = [layer for layer in dict.fromkeys(resolved.manifest.layers) if not place.has(layer)]
    if missing:
        _transfer(wanted, source, missing, wanted.report)
    return about


def _check_fit(wanted: Wanted, image: Manifest, about: Configuration) -> None:
    name = str(wanted.reference)
    if len(about.diff_ids) != len(image.layers):
        raise ImageError(
            f"{name} has {len(image.layers)} layers and {len(about.diff_ids)} diff ids in its configuration, "
            "which have to be as many; build it again"
        )
    platform = platforms.parse(wanted.platform) if wanted.platform else platforms.host()
    if about.platform is not None and platforms.fit(platform, about.platform) is None:
        raise ImageError(
            f"{name} has no image for {platform}; it has one for {about.platform}: build or choose another"
        )


def _transfer(wanted: Wanted, source: Source, blobs: Sequence[Descriptor], report: Report) -> None:
    """Bring blobs into the store; what has come whole stays there even if another fails."""
    place, size = _layout(wanted.root), sum(blob.size for blob in blobs)
    about = os.statvfs(wanted.root)
    if size > about.f_bavail * about.f_frsize:
        raise HostError(
            f"{wanted.root} has {store.free_space(wanted.root)} of free space, and {wanted.reference} needs "
            f"{store.megabytes(size)} for its blobs alone; make room there, or give another {option('--root')}"
        )
    with scratch.directory(scratch.place(wanted.root), wanted.ids) as work:
        jobs = [Job(blob, os.path.join(work, blob.digest.partition(":")[2])) for blob in blobs]
        try:
            what = f"{len(jobs)} layer{'' if len(jobs) == 1 else 's'} of {wanted.reference}"
            with progress.shown(report, what, size) as tell, trace.span("fetch"):
                source.fetch(jobs, _timely(tell, wanted.deadline))
        finally:
            for job in jobs:
                if os.path.exists(job.path):
                    place.adopt(job.path, job.blob.digest)


def _timely(tell: Progress, deadline: Deadline) -> Progress:
    """What tells of progress, and ends it where the time is over."""

    def told(count: int) -> None:
        deadline.check()
        tell(count)

    return told


def _unpack(wanted: Wanted, resolved: Resolved, about: Configuration) -> Image:
    name = str(wanted.reference)
    # Another reference may mean the same manifest.
    with turn(wanted.root, f"unpack-{resolved.digest.partition(':')[2]}", wanted.deadline):
        if image := store.unpacked(wanted.root, name, resolved.digest, wanted.ids):
            return image
        order = unpack.Order(name, resolved.digest, resolved.manifest, about, wanted.ids, wanted.deadline)
        with progress.step(wanted.report, f"unpacking {name}", f"unpacked {name}"):
            return unpack.unpack(wanted.root, order)


def _keep(wanted: Wanted, resolved: Resolved, origin: str) -> None:
    last = resolved.documents[-1]
    size = sum(blob.size for blob in dict.fromkeys(resolved.manifest.blobs))
    record = Pulled(
        str(wanted.reference), wanted.platform, origin, resolved.top, resolved.digest, size, time.time()
    )
    image = Descriptor(manifest.media_type(last, record.reference), last.digest, len(last.body))
    with removal.index_lock(wanted.root, wanted.report):
        _layout(wanted.root).put_entry(record.reference, record.platform, image)
        store.write_record(wanted.root, record)

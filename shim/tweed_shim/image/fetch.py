"""The cold half of `pull`: resolve the reference, fetch missing blobs into the store, unpack, and write the record."""

import hashlib
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager

from tweed_shim.base import files, trace
from tweed_shim.base.deadline import Deadline
from tweed_shim.base.option_names import option
from tweed_shim.base.records import replace
from tweed_shim.errors import DamagedRecord, HostError, ImageError, RegistryError, StateError
from tweed_shim.host import workdirs
from tweed_shim.host.userns import IdMap
from tweed_shim.image import config, lookup, manifest, platforms, progress, removal, store, unpack
from tweed_shim.image.blobs import Job, Progress
from tweed_shim.image.config import Configuration
from tweed_shim.image.layout import store_layout
from tweed_shim.image.manifest import Descriptor, Manifest, RawManifest
from tweed_shim.image.progress import Report, silent
from tweed_shim.image.resolution import ResolvedImage, resolve
from tweed_shim.image.sources import PullRequest, Source, StoreSource, open_source
from tweed_shim.image.store import Image, ImageRecord
from tweed_shim.image.turns import turn


def fetch(request: PullRequest) -> Image:
    """Pull an image that is not unpacked yet, or whose reference has to be resolved again. Raises as pull.obtain."""
    try:
        return _fetch(request)
    except RegistryError:
        # The deadline ends connections, which may raise any network error.
        request.deadline.check()
        raise


def _fetch(request: PullRequest) -> Image:
    started = time.monotonic()
    name, root = str(request.reference), request.root
    if request.policy == "never" and not store.check_version(root):
        raise _not_in_store(request)
    store.open_store(root)
    workdirs.sweep_tmp(root, request.ids)
    _prepare_index(root)
    lock = "pull-" + hashlib.sha256(f"{name} {request.platform}".encode()).hexdigest()
    with turn(
        root,
        lock,
        request.deadline,
        waiting=lambda: request.report(f"waiting for another process that pulls {name}"),
    ):
        check_origin = request.policy == "missing"
        image = request.policy != "always" and lookup.unpacked_image(
            root, request.reference, request.platform, ids=request.ids, check_origin=check_origin
        )
        return image or _pull(request, started)


def restore(request: PullRequest, record: ImageRecord) -> None:
    """Fetch the blobs that the store lacks of a recorded image. The record stays as it is.

    Raises StateError where the reference names another image now, and as `pull.obtain`.
    """
    reference = request.reference
    if not reference.path:
        # The tag may name another image now, so fetch by the recorded digest.
        request = replace(request, reference=replace(reference, tag=None, digest=record.top))
    with _locked_blobs(request), open_source(request) as source:
        resolved = resolve(source, request.platform, str(reference))
        if resolved.digest != record.digest:
            raise StateError(f"{reference} names another image now; pull it again")
        _complete(request, source, resolved)


def recorded(root: str, digest: str, name: str, *, ids: IdMap) -> unpack.UnpackOrder:
    """Return the unpack order for the manifest of a digest, whose blobs are all in the store.

    Raises ImageError where a blob is missing or has the wrong size.
    """
    source = StoreSource(root, digest)
    resolved, layout = resolve(source, "", name), store_layout(root)
    body = layout.document(resolved.manifest.config.digest)
    if body is None:
        raise ImageError(f"the store lacks the configuration of {name}; pull the image again")
    for layer in resolved.manifest.layers:
        if not layout.has(layer):
            raise ImageError(f"the store lacks the layer {layer.digest} of {name}; pull the image again")
    about = config.parse(body, f"the configuration of {name}")
    return unpack.UnpackOrder(name, resolved.digest, resolved.manifest, about, ids)


def _prepare_index(root: str) -> None:
    """Create the index of the store's layout where it is missing, from the store's own records.

    Raises DamagedRecord for an index that cannot be read.
    """
    layout = store_layout(root)
    if layout.create():
        with workdirs.only_one(root, removal.INDEX_LOCK):
            for record in store.records(root, warn=lambda _: None):
                body = layout.document(record.digest)
                if body is not None:
                    kind = manifest.media_type(RawManifest("", body, record.digest), record.reference)
                    image = Descriptor(kind, record.digest, len(body))
                    layout.put_entry(record.reference, record.platform, image)
    layout.entries()


def _locked_blobs(request: PullRequest) -> AbstractContextManager[bool]:
    """Lock the blobs against removal for the length of a with block."""
    message = "waiting for another process that removes blobs (gc or rm)"
    blobs = os.path.join(request.root, "images", "blobs")
    return files.held_directory(blobs, waiting=lambda: request.report(message))


def _pull(request: PullRequest, started: float) -> Image:
    suspects: set[str] = set()
    try:
        # While this lock is held, no process removes blobs that no record names yet.
        with _locked_blobs(request):
            return _pull_and_unpack(request, suspects, started)
    except ImageError:
        store_layout(request.root).drop_damaged(suspects)
        removal.discard_unused(request.root, suspects)
        raise


def _pull_and_unpack(request: PullRequest, suspects: set[str], started: float) -> Image:
    name, root = str(request.reference), request.root
    before = _record_before(request)
    origin = _origin(request, before)
    with _resolved(request, before, origin) as (source, resolved):
        suspects |= {document.digest for document in resolved.documents} | {
            blob.digest for blob in resolved.manifest.blobs
        }
        about = _complete(request, source, resolved)
    image = store.unpacked(root, name, resolved.digest, ids=request.ids) or _unpack(request, resolved, about)
    if before is not None and before.digest == resolved.digest and before.top == resolved.top:
        request.report(f"{name} is up to date: {resolved.digest}")
    else:
        what = name if name.endswith(resolved.digest) else f"{name} {resolved.digest}"
        request.report(f"pulled {what} in {time.monotonic() - started:.1f} s")
    _record(request, resolved, origin)
    return image


def _record_before(request: PullRequest) -> ImageRecord | None:
    """Return the record of the reference, None for none. Raises DamagedRecord if it is damaged and not pulled anew."""
    try:
        return store.look_up(request.root, str(request.reference), request.platform)
    except DamagedRecord as damage:
        if request.policy == "never":
            raise
        request.report(str(damage))
        return None


def _origin(request: PullRequest, before: ImageRecord | None) -> str:
    """Return what identifies a local image without reading it, for its record; empty for a registry."""
    if request.policy == "never":
        return before.origin if before is not None else ""
    return lookup.origin(request.reference, request.platform) if request.reference.path else ""


def _not_in_store(request: PullRequest) -> StateError:
    # An image from the caller's source may not exist under this name anywhere else.
    hint = "pull it first" if request.source is None else "use another pull policy once"
    return StateError(
        f"the image {request.reference} is not in the store, and the pull policy is never; {hint}"
    )


@contextmanager
def _resolved(
    request: PullRequest, before: ImageRecord | None, origin: str
) -> Iterator[tuple[Source, ResolvedImage]]:
    """Resolve the reference; yield its source, which is the store where all blobs are there, and the result."""
    name, reference = str(request.reference), request.reference
    last = before.top if before is not None and before.origin == origin else None
    top = reference.digest if request.policy == "always" else last or reference.digest
    stored = _in_store(request, top) if top else None
    if stored is not None:
        yield stored
    elif request.policy == "never":
        raise _not_in_store(request)
    else:
        with open_source(request) as source:
            with trace.span("manifest"):
                resolved = resolve(source, request.platform, name)
            yield source, resolved


def _in_store(request: PullRequest, top: str) -> tuple[Source, ResolvedImage] | None:
    """Return the image with the store as its source; None where one of its blobs is missing."""
    source = StoreSource(request.root, top)
    try:
        resolved = resolve(source, request.platform, str(request.reference))
    except ImageError:
        return None
    layout = store_layout(request.root)
    whole = all(map(layout.has, resolved.manifest.blobs)) and layout.document(resolved.manifest.config.digest)
    return (source, resolved) if whole else None


def _complete(request: PullRequest, source: Source, resolved: ResolvedImage) -> Configuration:
    """Fetch missing blobs into the store: the configuration first, which shows whether the image fits the platform."""
    name, layout = str(request.reference), store_layout(request.root)
    unpack.program("umoci", "umoci")
    for document in resolved.documents:
        layout.add_bytes(document.digest, document.body)
    blob = resolved.manifest.config
    body = layout.document(blob.digest)
    if body is None:
        _transfer(request, source, [blob], report=silent)
        body = layout.document(blob.digest)
    if body is None:
        raise HostError(f"the blob {blob.digest} has vanished from the store; run the command again")
    about = config.parse(body, f"the configuration of {name}")
    _check_fit(request, resolved.manifest, about)
    missing = [layer for layer in dict.fromkeys(resolved.manifest.layers) if not layout.has(layer)]
    if missing:
        _transfer(request, source, missing, report=request.report)
    return about


def _check_fit(request: PullRequest, image: Manifest, about: Configuration) -> None:
    name = str(request.reference)
    if len(about.diff_ids) != len(image.layers):
        raise ImageError(
            f"{name} has {len(image.layers)} layers and {len(about.diff_ids)} diff ids in its configuration, "
            "which have to be as many; build it again"
        )
    platform = platforms.parse(request.platform) if request.platform else platforms.host()
    if about.platform is not None and platforms.fit(platform, about.platform) is None:
        raise ImageError(
            f"{name} has no image for {platform}; it has one for {about.platform}: build or choose another"
        )


def _transfer(request: PullRequest, source: Source, blobs: Sequence[Descriptor], *, report: Report) -> None:
    """Fetch blobs into the store. Blobs that arrived whole stay there, even if another one fails."""
    layout, size = store_layout(request.root), sum(blob.size for blob in blobs)
    disk = os.statvfs(request.root)
    if size > disk.f_bavail * disk.f_frsize:
        raise HostError(
            f"{request.root} has {store.free_space(request.root)} of free space, and {request.reference} needs "
            f"{store.megabytes(size)} for its blobs alone; make room there, or give another {option('--root')}"
        )
    with workdirs.directory(workdirs.tmp_directory(request.root), request.ids) as work:
        jobs = [Job(blob, os.path.join(work, blob.digest.partition(":")[2])) for blob in blobs]
        try:
            what = f"{len(jobs)} layer{'' if len(jobs) == 1 else 's'} of {request.reference}"
            with progress.shown(report, what, size) as advance, trace.span("fetch"):
                source.fetch(jobs, _until(request.deadline, advance))
        finally:
            for job in jobs:
                if os.path.exists(job.path):
                    layout.adopt(job.path, job.blob.digest)


def _until(deadline: Deadline, advance: Progress) -> Progress:
    """Return `advance` with a check of the deadline, so that each piece of a transfer can raise PullTimedOut."""

    def advance_in_time(count: int) -> None:
        deadline.check()
        advance(count)

    return advance_in_time


def _unpack(request: PullRequest, resolved: ResolvedImage, about: Configuration) -> Image:
    name = str(request.reference)
    # Another process may unpack the same manifest by another reference.
    with turn(request.root, f"unpack-{resolved.digest.partition(':')[2]}", request.deadline):
        if image := store.unpacked(request.root, name, resolved.digest, ids=request.ids):
            return image
        order = unpack.UnpackOrder(
            name, resolved.digest, resolved.manifest, about, request.ids, request.deadline
        )
        with progress.step(request.report, f"unpacking {name}", f"unpacked {name}"):
            return unpack.unpack(request.root, order)


def _record(request: PullRequest, resolved: ResolvedImage, origin: str) -> None:
    last = resolved.documents[-1]
    size = sum(blob.size for blob in dict.fromkeys(resolved.manifest.blobs))
    record = ImageRecord(
        str(request.reference), request.platform, origin, resolved.top, resolved.digest, size, time.time()
    )
    image = Descriptor(manifest.media_type(last, record.reference), last.digest, len(last.body))
    with removal.index_lock(request.root, request.report):
        store_layout(request.root).put_entry(record.reference, record.platform, image)
        store.write_record(request.root, record)

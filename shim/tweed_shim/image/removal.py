"""Removes images from the store: references, the blobs and trees that only they use, and unused ones.

Other records in the store, such as clouds, may need an image. The caller passes a `Users` function, which returns the
needed manifest digests and who needs them.
"""

import os
import re
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, suppress
from functools import partial

from tweed_shim.base import files
from tweed_shim.base.records import Record
from tweed_shim.errors import DamagedRecord, ImageError, StateError
from tweed_shim.host import workdirs
from tweed_shim.host.owned_trees import remove_tree
from tweed_shim.host.userns import detect
from tweed_shim.image import layout as layouts
from tweed_shim.image import manifest, reference, store
from tweed_shim.image.layout import Layout, store_layout
from tweed_shim.image.manifest import RawManifest
from tweed_shim.image.store import ImageRecord

INDEX_LOCK = "index"
# How many trees are locked at a time: each lock takes a file descriptor.
MOST_LOCKED = 200
_HEX = re.compile("[0-9a-f]{64}")

Warn = Callable[[str], None]
# Returns, for each needed digest, pairs of a user and the command that removes it.
Users = Callable[[], Mapping[str, Sequence[tuple[str, str]]]]


def blobs_of(layout: Layout, digests: Iterable[str]) -> set[str]:
    """Return the digests of manifests and indexes, and of everything in the store that they name."""
    every = set(digests)
    for digest in every.copy():
        body = layout.document(digest)
        if body is not None:
            # A malformed document was not written by the shim.
            with suppress(ImageError):
                every |= _named(layout, RawManifest("", body, digest))
    return every


def _named(layout: Layout, raw: RawManifest) -> set[str]:
    """Return the digests that a manifest names, or those in the store that an index names."""
    if not manifest.is_index(raw, raw.digest):
        return {blob.digest for blob in manifest.parse_manifest(raw, raw.digest).blobs}
    inner = {entry.descriptor.digest for entry in manifest.parse_index(raw, raw.digest)}
    return blobs_of(layout, {digest for digest in inner if os.path.exists(layout.blob_path(digest))})


def _roots(records: Iterable[ImageRecord]) -> set[str]:
    return {digest for record in records for digest in (record.top, record.digest)}


def remove(root: str, references: Iterable[str], users: Users = dict, *, warn: Warn = lambda _: None) -> None:
    """Remove references, and the trees and blobs that no other reference uses; all of them or none.

    warn: called before waiting for another process. Raises StateError where an image is not in the store or in use.
    During a pull, which may need them, blobs stay for `gc`.
    """
    names = {str(store.canonical(reference.parse(text))) for text in references}
    if not store.check_version(root):
        raise _not_there(min(names))
    ids, layout = detect(), store_layout(root)
    removed_trees = []
    with store.disk_faults(root), index_lock(root, warn), ExitStack() as held:
        # A damaged record may need anything, so read all of them first: DamagedRecord ends the removal.
        records, _, _ = store.records(root), layout.entries(), users()
        going = [record for record in records if record.reference in names]
        staying = [record for record in records if record.reference not in names]
        if missing := names - {record.reference for record in going}:
            raise _not_there(min(missing))
        trees = _lock_trees(root, going, staying, held=held)
        # Asked once the trees are locked: from now on no operation can start to use them.
        needed = users()
        _refuse_needed(going, staying, needed)
        blobs = blobs_of(layout, _roots(going))
        for record in going:
            os.unlink(store.record_path(root, record.reference, record.platform))
        layout.remove_entries({(record.reference, record.platform) for record in going})
        removed_trees = [workdirs.put_aside(root, tree) for tree in trees]
        _discard(layout, blobs, _roots(staying) | set(needed) | set(unpacked_digests(root)))
    for tree in removed_trees:
        remove_tree(ids, tree)


def _not_there(name: str) -> StateError:
    return StateError(f"the image {name} is not in the store; list them with: tweed-shim images")


def _only_of(going: list[ImageRecord], staying: list[ImageRecord]) -> dict[str, str]:
    """Return the digests that only the removed records name, each with one of their references for messages."""
    needed = {record.digest for record in staying}
    return {record.digest: record.reference for record in going if record.digest not in needed}


def _lock_trees(
    root: str, going: list[ImageRecord], staying: list[ImageRecord], *, held: ExitStack
) -> list[str]:
    """Lock the trees that only the removed records use. Raises StateError where an operation uses one."""
    trees = []
    for digest, name in _only_of(going, staying).items():
        tree = store.tree_path(root, digest)
        if not os.path.isdir(tree):
            continue
        if not held.enter_context(files.held_directory(tree, shared=False, wait=False)):
            raise StateError(
                f"the image {name} is in use by a running operation; remove it after that has ended"
            )
        trees.append(tree)
    return trees


def _refuse_needed(
    going: list[ImageRecord], staying: list[ImageRecord], needed: Mapping[str, Sequence[tuple[str, str]]]
) -> None:
    for digest, name in _only_of(going, staying).items():
        if users := needed.get(digest):
            who = ", ".join(each for each, _ in users)
            commands = " && ".join(command for _, command in users)
            raise StateError(f"the image {name} is in use by {who}; remove that first: {commands}")


def _discard(layout: Layout, digests: set[str], needed: set[str]) -> None:
    """Remove those of the blobs that neither the `needed` digests nor the index use; none during a pull."""
    with no_pull(layout) as alone:
        if alone:
            for digest in digests - _used(layout, needed):
                layout.discard(digest)


def index_lock(root: str, warn: Warn) -> AbstractContextManager[None]:
    """Lock the list of images for the length of a with block. warn: called before waiting for another process."""
    message = "waiting for another process that changes the list of images (gc, rm or a pull)"
    return workdirs.only_one(root, INDEX_LOCK, lambda: warn(message))


def no_pull(layout: Layout) -> AbstractContextManager[bool]:
    """Lock out pulls for the length of a with block; yield False where one is running."""
    return files.held_directory(os.path.join(layout.path, "blobs"), shared=False, wait=False)


def _used(layout: Layout, needed: set[str], without: Container[tuple[str, str]] = ()) -> set[str]:
    """Return the blobs of the digests and of the index, without its entries for some (reference, platform) pairs."""
    named = {entry.text("digest", "") for entry in layout.entries() if layouts.own_name(entry) not in without}
    return blobs_of(layout, needed | named)


def discard_unused(root: str, digests: set[str]) -> None:
    """Remove those of the blobs that no reference and no tree uses; none during a pull."""
    # A damaged record may need some of the blobs, so all of them stay.
    with workdirs.only_one(root, INDEX_LOCK), suppress(DamagedRecord):
        needed = _roots(store.records(root)) | set(unpacked_digests(root))
        _discard(store_layout(root), digests, needed)


def unpacked_digests(root: str) -> list[str]:
    """Return the manifest digests of the unpacked trees, the oldest first."""
    with suppress(FileNotFoundError), os.scandir(os.path.join(root, "rootfs")) as entries:
        trees = [(entry.stat(follow_symlinks=False).st_mtime, entry.name) for entry in entries]
        return [f"sha256:{name}" for _, name in sorted(trees) if _HEX.fullmatch(name)]
    return []


class Garbage(Record):
    """An unused part of a store.

    kind, name: for messages. path: the file or directory that takes space, "" for none. release: takes the part out of
    the store in one step, and returns the path that is left to remove, "" for none.
    """

    kind: str
    name: str
    path: str
    release: Callable[[], str]


def unused(root: str, users: Users, *, keep_last: int, warn: Callable[[str], None]) -> Iterator[Garbage]:
    """Yield the parts of a store's images that no reference and no user needs, the oldest first.

    A part stays unused until the next one is requested, so the caller may release it. keep_last: the number of newest
    unused trees to keep, with their blobs. Yields nothing during a pull, which may need anything, and calls `warn`.
    """
    layout = store_layout(root)
    if not os.path.exists(os.path.join(layout.path, "oci-layout")):
        return
    with store.disk_faults(root), index_lock(root, warn), no_pull(layout) as alone:
        if not alone:
            warn("an image is being pulled, so no images and blobs are removed; run gc again after that")
            return
        try:
            records, _, _ = store.records(root), layout.entries(), users()
        except DamagedRecord as damage:
            warn(f"no images and blobs are removed, because a damaged record may need them: {damage}")
            return
        yield from _unused_entries(layout, records)
        needed = _roots(records) | set(unpacked_digests(root))
        for digest in _unused_trees(root, {record.digest for record in records}, users, keep_last=keep_last):
            needed.discard(digest)
            tree = store.tree_path(root, digest)
            yield Garbage("image", digest, tree, partial(workdirs.put_aside, root, tree))
        yield from _unused_blobs(layout, needed | set(users()), records)


def _unused_trees(root: str, referred: set[str], users: Users, *, keep_last: int) -> Iterator[str]:
    needed = referred | set(users())
    going = [digest for digest in unpacked_digests(root) if digest not in needed]
    going = going[: max(0, len(going) - keep_last)]
    for start in range(0, len(going), MOST_LOCKED):
        with ExitStack() as held:
            claimed = [
                digest
                for digest in going[start : start + MOST_LOCKED]
                if held.enter_context(
                    files.held_directory(store.tree_path(root, digest), shared=False, wait=False)
                )
            ]
            # Asked again: an operation that ended since may have left a record that needs its image.
            needed = set(users())
            yield from (digest for digest in claimed if digest not in needed)


def _stray_entries(layout: Layout, records: list[ImageRecord]) -> set[tuple[str, str]]:
    """Return the (reference, platform) pairs in the index without a record, which a crash may leave."""
    known = {(record.reference, record.platform) for record in records}
    ours = map(layouts.own_name, layout.entries())
    return {pair for pair in ours if pair is not None and pair not in known}


def _unused_entries(layout: Layout, records: list[ImageRecord]) -> Iterator[Garbage]:
    def forget(pair: tuple[str, str]) -> str:
        layout.remove_entries({pair})
        return ""

    for pair in sorted(_stray_entries(layout, records)):
        yield Garbage("reference", " ".join(filter(None, pair)), "", partial(forget, pair))


def _unused_blobs(layout: Layout, needed: set[str], records: list[ImageRecord]) -> Iterator[Garbage]:
    def discard(digest: str) -> str:
        layout.discard(digest)
        return ""

    used = _used(layout, needed, without=_stray_entries(layout, records))
    directory = os.path.join(layout.path, "blobs", "sha256")
    for name in sorted(filter(_HEX.fullmatch, os.listdir(directory)), key=lambda name: _age(directory, name)):
        digest = f"sha256:{name}"
        if digest not in used:
            yield Garbage("blob", digest, layout.blob_path(digest), partial(discard, digest))


def _age(directory: str, name: str) -> float:
    return os.stat(os.path.join(directory, name)).st_mtime

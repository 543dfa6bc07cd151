"""Taking images out of the store: references, what only they used, and what nothing uses any more.

What a store keeps besides its images may need them. Who removes says what that is: a `Users` tells, when it is
called, which manifest digests are needed, and by what.
"""

import os
import re
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, suppress
from functools import partial
from typing import NamedTuple

from tweed_shim import files, scratch
from tweed_shim.errors import DamagedRecord, ImageError, StateError
from tweed_shim.idmap import detect, remove_tree
from tweed_shim.image import layout as layouts
from tweed_shim.image import manifest, reference, store
from tweed_shim.image.layout import Layout
from tweed_shim.image.manifest import Raw
from tweed_shim.image.store import Pulled

INDEX_LOCK = "index"
# Trees are claimed so many at a time, as each of them takes a descriptor.
AT_ONCE = 200
_HEX = re.compile("[0-9a-f]{64}")

Warn = Callable[[str], None]
# Of each digest: who needs it, and the command that ends this.
Users = Callable[[], Mapping[str, Sequence[tuple[str, str]]]]


def blobs_of(layout: Layout, digests: Iterable[str]) -> set[str]:
    """The digests of all that is in the store of manifests and indexes."""
    found = set(digests)
    for digest in found.copy():
        body = layout.document(digest)
        if body is not None:
            # What is malformed was not put there by us.
            with suppress(ImageError):
                found |= _named(layout, Raw("", body, digest))
    return found


def _named(layout: Layout, raw: Raw) -> set[str]:
    """What a manifest names, or what an index names that is here."""
    if not manifest.is_index(raw, raw.digest):
        return {blob.digest for blob in manifest.parse_manifest(raw, raw.digest).blobs}
    inner = {entry.descriptor.digest for entry in manifest.parse_index(raw, raw.digest)}
    return blobs_of(layout, {digest for digest in inner if os.path.exists(layout.blob_path(digest))})


def _roots(records: Iterable[Pulled]) -> set[str]:
    return {digest for record in records for digest in (record.top, record.digest)}


def remove(root: str, references: Iterable[str], users: Users = dict, *, warn: Warn = lambda _: None) -> None:
    """Forget references, and remove trees and blobs that no other reference uses; all or nothing.

    warn: is told what is waited for. Raises StateError where one is not there or in use. Blobs stay for `gc` where a
    pull is under way, which may count on them.
    """
    names = {str(store.canonical(reference.parse(text))) for text in references}
    if not store.check_version(root):
        raise _not_there(min(names))
    ids, layout = detect(), Layout(os.path.join(root, "images"))
    aside = []
    with store.disk_faults(root), index_lock(root, warn), ExitStack() as held:
        # What cannot be read may need anything: nothing is removed then.
        records, _, _ = store.records(root), layout.entries(), users()
        going = [record for record in records if record.reference in names]
        staying = [record for record in records if record.reference not in names]
        if missing := names - {record.reference for record in going}:
            raise _not_there(min(missing))
        trees = _claim_going(root, going, staying, held)
        # Only now, when no operation that is under way can come to need one of them.
        needed = users()
        _refuse_needed(going, staying, needed)
        blobs = blobs_of(layout, _roots(going))
        for record in going:
            os.unlink(store.record_path(root, record.reference, record.platform))
        layout.remove_entries({(record.reference, record.platform) for record in going})
        aside = [scratch.put_aside(root, tree) for tree in trees]
        _discard(layout, blobs, _roots(staying) | set(needed) | set(unpacked_digests(root)))
    for tree in aside:
        remove_tree(ids, tree)


def _not_there(name: str) -> StateError:
    return StateError(f"the image {name} is not in the store; `tweed-shim images` lists what is")


def _only_of(going: list[Pulled], staying: list[Pulled]) -> dict[str, str]:
    """The digests that only the going records mean, each with a reference for people."""
    kept = {record.digest for record in staying}
    return {record.digest: record.reference for record in going if record.digest not in kept}


def _claim_going(root: str, going: list[Pulled], staying: list[Pulled], held: ExitStack) -> list[str]:
    """Hold alone the trees that only the going records use; an error where somebody else holds one."""
    trees = []
    for digest, name in _only_of(going, staying).items():
        tree = store.tree_path(root, digest)
        if not os.path.isdir(tree):
            continue
        if not held.enter_context(files.held_directory(tree, shared=False, wait=False)):
            raise StateError(
                f"the image {name} is in use by a running operation; remove it when that has ended"
            )
        trees.append(tree)
    return trees


def _refuse_needed(
    going: list[Pulled], staying: list[Pulled], needed: Mapping[str, Sequence[tuple[str, str]]]
) -> None:
    for digest, name in _only_of(going, staying).items():
        if users := needed.get(digest):
            who = ", ".join(each for each, _ in users)
            commands = " && ".join(command for _, command in users)
            raise StateError(f"the image {name} is in use by {who}; remove that first: {commands}")


def _discard(layout: Layout, digests: set[str], needed: set[str]) -> None:
    """Remove blobs that neither `needed` digests nor the index use; none at all while somebody pulls."""
    with no_pull(layout) as alone:
        if alone:
            for digest in digests - _used(layout, needed):
                layout.discard(digest)


def index_lock(root: str, warn: Warn) -> AbstractContextManager[None]:
    """Be the only one who changes which images there are, for the length of a block. warn: is told of a wait."""
    note = "waiting for another process that changes the list of images (gc, rm or a pull)"
    return scratch.only_one(root, INDEX_LOCK, lambda: warn(note))


def no_pull(layout: Layout) -> AbstractContextManager[bool]:
    """Keep pulls out for the length of a block; False where one is under way."""
    return files.held_directory(os.path.join(layout.path, "blobs"), shared=False, wait=False)


def _used(layout: Layout, needed: set[str], without: Container[tuple[str, str]] = ()) -> set[str]:
    """The blobs of the digests, and of what the index names, but for these (reference, platform) pairs of ours."""
    named = {entry.text("digest", "") for entry in layout.entries() if layouts.own_name(entry) not in without}
    return blobs_of(layout, needed | named)


def discard_unused(root: str, digests: set[str]) -> None:
    """Remove those of the blobs that no reference and no tree uses; none at all while somebody pulls."""
    # Where a record is damaged, blobs stay that it may need.
    with scratch.only_one(root, INDEX_LOCK), suppress(DamagedRecord):
        needed = _roots(store.records(root)) | set(unpacked_digests(root))
        _discard(Layout(os.path.join(root, "images")), digests, needed)


def unpacked_digests(root: str) -> list[str]:
    """The manifest digests that are unpacked, the oldest first."""
    with suppress(FileNotFoundError), os.scandir(os.path.join(root, "rootfs")) as entries:
        found = [(entry.stat(follow_symlinks=False).st_mtime, entry.name) for entry in entries]
        return [f"sha256:{name}" for _, name in sorted(found) if _HEX.fullmatch(name)]
    return []


class Garbage(NamedTuple):
    """Something of a store that nothing uses any more.

    kind and name: for people. path: what takes the room, "" where nothing does. let_go: takes it out of the store
    in one step, and returns the path of what is left to be removed, "" where nothing is.
    """

    kind: str
    name: str
    path: str
    let_go: Callable[[], str]


def unused(root: str, users: Users, *, keep_last: int, warn: Callable[[str], None]) -> Iterator[Garbage]:
    """What no reference, and nothing that `users` tells, uses of a store's images, the oldest first.

    What is yielded can be let go: nobody comes to use it until the next is asked for. keep_last: so many trees,
    the newest, are not garbage, nor are their blobs. Yields nothing where a pull is under way, which may count on
    anything; `warn` is told so.
    """
    layout = Layout(os.path.join(root, "images"))
    if not os.path.exists(os.path.join(layout.path, "oci-layout")):
        return
    with store.disk_faults(root), index_lock(root, warn), no_pull(layout) as alone:
        if not alone:
            warn("an image is being pulled, so images and blobs are left alone; run gc again after that")
            return
        try:
            records, _, _ = store.records(root), layout.entries(), users()
        except DamagedRecord as damage:
            warn(f"images and blobs are left alone, as something may need them: {damage}")
            return
        yield from _unused_entries(layout, records)
        needed = _roots(records) | set(unpacked_digests(root))
        for digest in _unused_trees(root, {record.digest for record in records}, users, keep_last):
            needed.discard(digest)
            tree = store.tree_path(root, digest)
            yield Garbage("image", digest, tree, partial(scratch.put_aside, root, tree))
        yield from _unused_blobs(layout, needed | set(users()), records)


def _unused_trees(root: str, referred: set[str], users: Users, keep_last: int) -> Iterator[str]:
    needed = referred | set(users())
    going = [digest for digest in unpacked_digests(root) if digest not in needed]
    going = going[: max(0, len(going) - keep_last)]
    for start in range(0, len(going), AT_ONCE):
        with ExitStack() as held:
            claimed = [
                digest
                for digest in going[start : start + AT_ONCE]
                if held.enter_context(
                    files.held_directory(store.tree_path(root, digest), shared=False, wait=False)
                )
            ]
            # Asked again: an operation that has ended since may have left what needs its image.
            needed = set(users())
            yield from (digest for digest in claimed if digest not in needed)


def _stray_entries(layout: Layout, records: list[Pulled]) -> set[tuple[str, str]]:
    """The (reference, platform) pairs that a crash left in the index, before their record or after it."""
    known = {(record.reference, record.platform) for record in records}
    ours = map(layouts.own_name, layout.entries())
    return {pair for pair in ours if pair is not None and pair not in known}


def _unused_entries(layout: Layout, records: list[Pulled]) -> Iterator[Garbage]:
    def forget(pair: tuple[str, str]) -> str:
        layout.remove_entries({pair})
        return ""

    for pair in sorted(_stray_entries(layout, records)):
        yield Garbage("reference", " ".join(filter(None, pair)), "", partial(forget, pair))


def _unused_blobs(layout: Layout, needed: set[str], records: list[Pulled]) -> Iterator[Garbage]:
    def discard(digest: str) -> str:
        layout.discard(digest)
        return ""

    used = _used(layout, needed, without=_stray_entries(layout, records))
    place = os.path.join(layout.path, "blobs", "sha256")
    for name in sorted(filter(_HEX.fullmatch, os.listdir(place)), key=lambda name: _age(place, name)):
        digest = f"sha256:{name}"
        if digest not in used:
            yield Garbage("blob", digest, layout.blob_path(digest), partial(discard, digest))


def _age(place: str, name: str) -> float:
    return os.stat(os.path.join(place, name)).st_mtime

"""Taking images out of the store: references, and what only they used."""

import os
from collections.abc import Iterable
from contextlib import ExitStack, suppress

from tweed_shim import files, scratch
from tweed_shim.errors import ImageError, StateError
from tweed_shim.idmap import detect, remove_tree
from tweed_shim.image import manifest, reference, store
from tweed_shim.image.layout import Layout
from tweed_shim.image.manifest import Raw
from tweed_shim.image.store import Record

INDEX_LOCK = "index"


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


def _roots(records: Iterable[Record]) -> set[str]:
    return {digest for record in records for digest in (record.top, record.digest)}


def remove(root: str, references: Iterable[str]) -> None:
    """Forget references, and remove trees and blobs that no other reference uses; all or nothing.

    Raises StateError where one is not there or in use. Blobs stay for `gc` where a pull is under way, which
    may count on them.
    """
    names = {str(store.canonical(reference.parse(text))) for text in references}
    if not store.check_version(root):
        raise _not_there(min(names))
    ids, layout = detect(), Layout(os.path.join(root, "images"))
    aside = []
    with store.disk_faults(root), scratch.only_one(root, INDEX_LOCK), ExitStack() as held:
        records = store.records(root)
        going = [record for record in records if record.reference in names]
        staying = [record for record in records if record.reference not in names]
        if missing := names - {record.reference for record in going}:
            raise _not_there(min(missing))
        trees = _claim_trees(root, going, staying, held)
        blobs = blobs_of(layout, _roots(going))
        for record in going:
            os.unlink(store.record_path(root, record.reference, record.platform))
        layout.remove_entries({(record.reference, record.platform) for record in going})
        aside = [scratch.put_aside(root, tree) for tree in trees]
        _discard(layout, blobs, staying)
    for tree in aside:
        remove_tree(ids, tree)


def _not_there(name: str) -> StateError:
    return StateError(f"the image {name} is not in the store; `tweed-shim images` lists what is")


def _claim_trees(root: str, going: list[Record], staying: list[Record], held: ExitStack) -> list[str]:
    """Hold alone the trees that only the going records use; an error where somebody else holds one."""
    kept = {record.digest for record in staying}
    trees = []
    for digest, name in {
        record.digest: record.reference for record in going if record.digest not in kept
    }.items():
        tree = store.tree_path(root, digest)
        if not os.path.isdir(tree):
            continue
        if not held.enter_context(files.held_directory(tree, shared=False, wait=False)):
            raise StateError(
                f"the image {name} is in use by a running operation; remove it when that has ended"
            )
        trees.append(tree)
    return trees


def _discard(layout: Layout, digests: set[str], staying: list[Record]) -> None:
    """Remove blobs that neither a staying record nor the index uses; none at all while somebody pulls."""
    with files.held_directory(os.path.join(layout.path, "blobs"), shared=False, wait=False) as alone:
        if alone:
            named = {entry.text("digest", "") for entry in layout.entries()}
            used = blobs_of(layout, _roots(staying) | named)
            for digest in digests - used:
                layout.discard(digest)


def discard_unused(root: str, digests: set[str]) -> None:
    """Remove those of the blobs that no reference uses; none at all while somebody pulls."""
    with scratch.only_one(root, INDEX_LOCK):
        _discard(Layout(os.path.join(root, "images")), digests, store.records(root))

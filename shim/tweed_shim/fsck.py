"""Checking a store: blobs against their digests, unpacked images against their blobs, and the records' shape.

An image is unpacked once more into ROOT/tmp, and the two trees are compared byte by byte. So unpacking records nothing
for it, images that older versions unpacked are checked as well, and what is wrong can be replaced at once. It takes the
time and the room of one unpacking for each image.
"""

import os
from collections.abc import Iterator
from contextlib import suppress
from typing import NamedTuple

from tweed_shim import files, idmap, scratch, state_files
from tweed_shim.connect_options import ConnectOptions
from tweed_shim.errors import DamagedRecord, HostError, ImageError, ShimError
from tweed_shim.idmap import IdMap
from tweed_shim.image import compare_trees, config, fetch, reference, removal, store, unpack
from tweed_shim.image.blobs import digest_of
from tweed_shim.image.deadline import Deadline
from tweed_shim.image.layout import Layout
from tweed_shim.image.members import Extent
from tweed_shim.image.progress import Report, silent
from tweed_shim.image.store import Pulled
from tweed_shim.runtime import runs, scratch_directories
from tweed_shim.tweed import cloud_states

LISTED = 5  # of what is wrong with one image, for people
MEND = "run: tweed-shim fsck --repair"


class Damage(NamedTuple):
    """Something of a store that is not what it was.

    kind: `blob`, `image` or `record`. name: a digest, or the path of a record's file. problem: what is wrong with it.
    repaired: it is whole again. mend: what can be done where it is not. image: a reference that needs it, if one does.
    """

    kind: str
    name: str
    problem: str
    repaired: bool = False
    mend: str = ""
    image: str = ""


def check(root: str, repair: ConnectOptions | None = None, report: Report = silent) -> Iterator[Damage]:
    """Yield what is damaged in a store; with `repair`, after what can be fetched and unpacked again has been.

    repair: how registries are spoken to for that. report: is told each step of what takes long. Runs and pulls go on
    meanwhile: what they use is neither removed nor replaced. Raises StateError for a store of another version.
    """
    if not store.check_version(root):
        return
    ids = idmap.detect()
    yield from _records(root)
    bad = _bad_blobs(root, report)
    faults = _fetch_again(root, bad, ids, repair) if repair and bad else {}
    records = store.records(root, lambda _: None)
    needed = _needed(_layout(root), records)
    for digest, problem in bad.items():
        fault = faults.get(digest, "") if repair else MEND
        image = needed[digest].reference if digest in needed else ""
        yield Damage("blob", digest, problem, not fault, fault, image)
    names = {record.digest: record.reference for record in records}
    for digest in removal.unpacked_digests(root):
        found = _check_tree(root, digest, ids, report, repairing=repair is not None)
        if found is not None:
            yield found._replace(image=names.get(digest, ""))
    scratch.sweep_tmp(root, ids)


def _records(root: str) -> Iterator[Damage]:
    said: list[str] = []
    store.records(root, said.append)
    cloud_states.states(root, said.append)
    runs.records(root, newest=runs.KEPT, warn=said.append)
    for _ in scratch_directories.noted(root, said.append):
        pass
    if os.path.exists(os.path.join(root, "images", "oci-layout")):
        try:
            _layout(root).entries()
        except DamagedRecord as damage:
            said.append(str(damage))
    for text in said:
        path, _, rest = text.partition(" is damaged (")
        problem, _, mend = rest.partition("); ")
        yield Damage("record", path, problem, mend=mend)


def _layout(root: str) -> Layout:
    return Layout(os.path.join(root, "images"))


def _needed(layout: Layout, records: list[Pulled]) -> dict[str, Pulled]:
    """The blobs that the recorded images need, each with one of their records."""
    return {
        digest: record
        for record in records
        for digest in removal.blobs_of(layout, {record.top, record.digest})
    }


def _bad_blobs(root: str, report: Report) -> dict[str, str]:
    """What is wrong with each blob that is damaged, or is missing although a record needs it."""
    layout = _layout(root)
    place = os.path.join(layout.path, "blobs", "sha256")
    with suppress(FileNotFoundError):
        names = sorted(name for name in os.listdir(place) if files.BESIDE not in name)
        report(f"checking {len(names)} blobs")
        bad = {f"sha256:{name}": fault for name in names if (fault := _blob_fault(place, name))}
        # While a record and what belongs to it change together, neither is looked at.
        with scratch.only_one(root, removal.INDEX_LOCK):
            needed = _needed(layout, store.records(root, lambda _: None))
            missing = (digest for digest in needed if not os.path.exists(layout.blob_path(digest)))
            return {**bad, **dict.fromkeys(missing, "is missing")}
    return {}


def _blob_fault(place: str, name: str) -> str:
    try:
        fd = os.open(os.path.join(place, name), os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return ""  # removed since
    except OSError as error:
        return f"cannot be read ({error.strerror})"
    try:
        digest = digest_of(Extent(fd, 0, os.fstat(fd).st_size).chunks())
    except OSError as error:
        return f"cannot be read ({error.strerror})"
    finally:
        os.close(fd)
    return "" if digest == f"sha256:{name}" else f"its content has the digest {digest}"


def _fetch_again(root: str, bad: dict[str, str], ids: IdMap, repair: ConnectOptions) -> dict[str, str]:
    """Remove damaged blobs and fetch what the recorded images then lack; says why for those that still are missing."""
    layout = _layout(root)
    with removal.no_pull(layout) as alone:
        if not alone:
            return dict.fromkeys(bad, f"an image is being pulled; when that has ended, {MEND}")
        for digest in bad:
            layout.discard(digest)
    records = store.records(root, lambda _: None)
    faults: dict[str, str] = {}
    # A manifest that was damaged tells only now what else is needed.
    for record in records:
        if all(os.path.exists(layout.blob_path(each)) for each in _needed(layout, [record])):
            continue
        name = reference.parse(record.reference)
        deadline = Deadline(repair.timeout, record.reference)
        wanted = fetch.Wanted(root, name, record.platform, ids, "always", repair, deadline, silent)
        try:
            fetch.restore(wanted, record)
        except (ShimError, OSError) as error:
            faults.update(dict.fromkeys(_needed(layout, [record]), str(error)))
    return {digest: fault for digest, fault in faults.items() if not os.path.exists(layout.blob_path(digest))}


def _check_tree(root: str, digest: str, ids: IdMap, report: Report, *, repairing: bool) -> Damage | None:
    """Compare an unpacked image with a fresh one, which takes its place where it differs and we are `repairing`."""
    directory = store.tree_path(root, digest)
    report(f"checking the image {digest}")
    if _is_of_other_ids(directory, ids):
        report(f"{digest} was unpacked with other ids; it is unpacked again when it is used")
        return None
    try:
        order = fetch.recorded(root, digest, digest, ids)
        with unpack.unpacked_anew(root, order) as tree:
            problems = _problems(root, digest, tree, ids)
            if not problems:
                return None
            fault = _replace(root, digest, tree) if repairing else MEND
    except FileNotFoundError:
        if os.path.exists(directory):
            raise
        return None  # removed since
    except (ImageError, HostError) as error:
        problem, _, mend = str(error).rpartition("; ")
        is_blob = isinstance(error, ImageError) and not repairing
        return Damage("image", digest, f"cannot be checked ({problem})", mend=MEND if is_blob else mend)
    more = len(problems) - LISTED
    listed = [*problems[:LISTED], *([f"{more} more"] if more > 0 else [])]
    return Damage("image", digest, ", ".join(listed), not fault, fault)


def _is_of_other_ids(directory: str, ids: IdMap) -> bool:
    try:
        record = state_files.read(os.path.join(directory, "image.json"), store.UNPACKED, mend="")
    except (FileNotFoundError, DamagedRecord):
        return False
    return bool(record["ids"] != store.ids_text(ids))


def _problems(root: str, digest: str, tree: str, ids: IdMap) -> list[str]:
    """What is wrong with an unpacked image, of which `tree` is a fresh one."""
    directory = store.tree_path(root, digest)
    with files.held_directory(directory):
        image = store.unpacked(root, digest, digest, ids)
        if image is None:
            return ["its image.json is damaged"]
        fresh = state_files.read(os.path.join(tree, "image.json"), store.UNPACKED, mend="")
        problems = [] if image.config == config.from_record(fresh["config"]) else ["its image.json differs"]
        return problems + _differences(os.path.join(tree, "rootfs"), image.rootfs, ids)


def _differences(expected: str, found: str, ids: IdMap) -> list[str]:
    import json
    import sys

    # A caller with one id reads all that umoci has written for it.
    outside = IdMap("host") if ids.kind == "single" else ids
    code, output = idmap.run_mapped(
        outside, [sys.executable, "-I", "-S", compare_trees.__file__, expected, found]
    )
    try:
        *lines, count = map(json.loads, output.splitlines())
    except ValueError:
        count = None
    if code != 0 or not isinstance(count, int):
        said = output.decode(errors="replace").strip().rpartition("\n")[2]
        raise HostError(f"the trees could not be compared ({said or f'it ended with {code}'}); run it again")
    problems = [f"/{os.path.normpath(path)} {problem}".replace("/. ", "/ ") for path, problem in lines]
    return problems + ["another difference"] * (count - len(problems))


def _replace(root: str, digest: str, tree: str) -> str:
    """Put a fresh tree in the place of a damaged one; says why where that cannot be now."""
    with (
        scratch.only_one(root, f"unpack-{digest.partition(':')[2]}"),
        files.held_directory(store.tree_path(root, digest), shared=False, wait=False) as alone,
    ):
        if not alone:
            return f"it is in use by a running operation; when that has ended, {MEND}"
        unpack.put_in_place(root, digest, tree)
    return ""

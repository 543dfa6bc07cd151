"""Check a store: blobs by their digests, unpacked images by their blobs, records by their shape. Repair what it can.

An image is unpacked again into ROOT/tmp, and the two trees are compared byte by byte. So unpacking does not have to
record checksums, images that older versions unpacked can be checked as well, and a damaged tree can be replaced.
Each image takes the time and the disk space of one unpacking.
"""

import os
from collections.abc import Iterator
from contextlib import suppress

from tweed_shim.base import files, state_files
from tweed_shim.base.deadline import Deadline
from tweed_shim.base.records import Record, replace
from tweed_shim.errors import DamagedRecord, HostError, ImageError, ShimError
from tweed_shim.host import userns, workdirs
from tweed_shim.host.userns import IdMap
from tweed_shim.http.connect_options import ConnectOptions
from tweed_shim.image import compare_trees, config, fetch, reference, removal, sources, store, unpack
from tweed_shim.image.archive_reader import Extent
from tweed_shim.image.content import digest_of
from tweed_shim.image.layout import Layout
from tweed_shim.image.progress import Report, silent
from tweed_shim.image.store import ImageRecord
from tweed_shim.runtime import runs, scratch_directories
from tweed_shim.tweed import cloud_states, instance_states

MOST_LISTED = 5  # differences of one image
REMEDY = "run: tweed-shim fsck --repair"


class Damage(Record):
    """A damaged item of a store; `fsck --json` prints these fields.

    kind: `blob`, `image` or `record`. name: a digest, or the path of a record's file. problem: what is wrong with it.
    repaired: whether it has been repaired. mend: what to do where it has not. image: a reference that needs the item.
    """

    kind: str
    name: str
    problem: str
    repaired: bool = False
    mend: str = ""
    image: str = ""


def check(root: str, repair: ConnectOptions | None = None, report: Report = silent) -> Iterator[Damage]:
    """Yield what is damaged in a store; with `repair`, fetch and unpack it again first.

    repair: the options for connecting to registries. report: is called with each step of long work. Runs and pulls can
    go on meanwhile: what they use is neither removed nor replaced. Raises StateError for a store of another version.
    """
    if not store.check_version(root):
        return
    ids = userns.detect()
    yield from _records(root)
    bad = _bad_blobs(root, report)
    faults = _fetch_again(root, bad, repair, ids=ids) if repair and bad else {}
    records = store.records(root, lambda _: None)
    needed = _needed(_layout(root), records)
    for digest, problem in bad.items():
        fault = faults.get(digest, "") if repair else REMEDY
        image = needed[digest].reference if digest in needed else ""
        yield Damage("blob", digest, problem, not fault, fault, image)
    names = {record.digest: record.reference for record in records}
    for digest in removal.unpacked_digests(root):
        damage = _check_tree(root, digest, ids, report=report, repairing=repair is not None)
        if damage is not None:
            yield replace(damage, image=names.get(digest, ""))
    workdirs.sweep_tmp(root, ids)


def _records(root: str) -> Iterator[Damage]:
    warnings: list[str] = []
    store.records(root, warnings.append)
    cloud_states.states(root, warnings.append)
    instance_states.states(root, warnings.append)
    runs.records(root, newest=runs.MOST_RUNS, warn=warnings.append)
    for _ in scratch_directories.records(root, warnings.append):
        pass
    if os.path.exists(os.path.join(root, "images", "oci-layout")):
        try:
            _layout(root).entries()
        except DamagedRecord as damage:
            warnings.append(str(damage))
    for text in warnings:
        path, _, rest = text.partition(" is damaged (")
        problem, _, mend = rest.partition("); ")
        yield Damage("record", path, problem, mend=mend)


def _layout(root: str) -> Layout:
    return Layout(os.path.join(root, "images"))


def _needed(layout: Layout, records: list[ImageRecord]) -> dict[str, ImageRecord]:
    """Return the blobs that the recorded images need, each with one of their records."""
    return {
        digest: record
        for record in records
        for digest in removal.blobs_of(layout, {record.top, record.digest})
    }


def _bad_blobs(root: str, report: Report) -> dict[str, str]:
    """Return the problem of each blob that is damaged, or that a record needs and is missing."""
    layout = _layout(root)
    directory = os.path.join(layout.path, "blobs", "sha256")
    with suppress(FileNotFoundError):
        names = sorted(name for name in os.listdir(directory) if files.BESIDE not in name)
        report(f"checking {len(names)} blobs")
        bad = {f"sha256:{name}": fault for name in names if (fault := _blob_fault(directory, name))}
        # Under the lock, as a pull changes a record and its blobs together.
        with workdirs.only_one(root, removal.INDEX_LOCK):
            needed = _needed(layout, store.records(root, lambda _: None))
            missing = (digest for digest in needed if not os.path.exists(layout.blob_path(digest)))
            return {**bad, **dict.fromkeys(missing, "is missing")}
    return {}


def _blob_fault(directory: str, name: str) -> str:
    try:
        fd = os.open(os.path.join(directory, name), os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
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


def _fetch_again(root: str, bad: dict[str, str], repair: ConnectOptions, *, ids: IdMap) -> dict[str, str]:
    """Remove damaged blobs and fetch what the recorded images lack; return the fault of each blob still missing."""
    layout = _layout(root)
    with removal.no_pull(layout) as alone:
        if not alone:
            return dict.fromkeys(bad, f"an image is being pulled; when that has ended, {REMEDY}")
        for digest in bad:
            layout.discard(digest)
    records = store.records(root, lambda _: None)
    faults: dict[str, str] = {}
    # Which blobs an image needs is known only when its manifest has been fetched.
    for record in records:
        if all(os.path.exists(layout.blob_path(each)) for each in _needed(layout, [record])):
            continue
        name = reference.parse(record.reference)
        deadline = Deadline(repair.timeout, record.reference)
        request = sources.PullRequest(root, name, record.platform, ids, "always", repair, deadline, silent)
        try:
            fetch.restore(request, record)
        except (ShimError, OSError) as error:
            faults.update(dict.fromkeys(_needed(layout, [record]), str(error)))
    return {digest: fault for digest, fault in faults.items() if not os.path.exists(layout.blob_path(digest))}


def _check_tree(root: str, digest: str, ids: IdMap, *, report: Report, repairing: bool) -> Damage | None:
    """Compare an unpacked image with a fresh one; `repairing`, replace it where it differs."""
    directory = store.tree_path(root, digest)
    report(f"checking the image {digest}")
    if _is_of_other_ids(directory, ids):
        report(f"{digest} was unpacked with other ids; it is unpacked again when it is used")
        return None
    try:
        order = fetch.recorded(root, digest, digest, ids=ids)
        with unpack.unpacked_to_tmp(root, order) as tree:
            problems = _problems(root, digest, tree, ids=ids)
            if not problems:
                return None
            fault = _replace(root, digest, tree) if repairing else REMEDY
    except FileNotFoundError:
        if os.path.exists(directory):
            raise
        return None  # removed since
    except (ImageError, HostError) as error:
        problem, _, mend = str(error).rpartition("; ")
        is_blob = isinstance(error, ImageError) and not repairing
        return Damage("image", digest, f"cannot be checked ({problem})", mend=REMEDY if is_blob else mend)
    more = len(problems) - MOST_LISTED
    listed = [*problems[:MOST_LISTED], *([f"{more} more"] if more > 0 else [])]
    return Damage("image", digest, ", ".join(listed), not fault, fault)


def _is_of_other_ids(directory: str, ids: IdMap) -> bool:
    try:
        record = state_files.read(os.path.join(directory, "image.json"), store.TREE_FIELDS, mend="")
    except (FileNotFoundError, DamagedRecord):
        return False
    return bool(record["ids"] != store.ids_text(ids))


def _problems(root: str, digest: str, tree: str, *, ids: IdMap) -> list[str]:
    """Return the differences of an unpacked image from the freshly unpacked `tree`."""
    directory = store.tree_path(root, digest)
    with files.held_directory(directory):
        image = store.unpacked(root, digest, digest, ids=ids)
        if image is None:
            return ["its image.json is damaged"]
        fresh = state_files.read(os.path.join(tree, "image.json"), store.TREE_FIELDS, mend="")
        problems = [] if image.config == config.from_record(fresh["config"]) else ["its image.json differs"]
        return problems + _differences(os.path.join(tree, "rootfs"), image.rootfs, ids)


def _differences(expected: str, actual: str, ids: IdMap) -> list[str]:
    import json
    import sys

    # A caller with one id owns all that umoci unpacked, so no namespace is needed to read it.
    outside = IdMap("host") if ids.kind == "single" else ids
    code, output = userns.run_mapped(
        outside, [sys.executable, "-I", "-S", compare_trees.__file__, expected, actual]
    )
    try:
        *lines, count = map(json.loads, output.splitlines())
    except ValueError:
        count = None
    if code != 0 or not isinstance(count, int):
        fault = output.decode(errors="replace").strip().rpartition("\n")[2]
        raise HostError(f"the trees could not be compared ({fault or f'it ended with {code}'}); run it again")
    problems = [f"/{os.path.normpath(path)} {problem}".replace("/. ", "/ ") for path, problem in lines]
    return problems + ["another difference"] * (count - len(problems))


def _replace(root: str, digest: str, tree: str) -> str:
    """Replace a damaged tree with a fresh one; return the fault where it is in use, or an empty text."""
    with (
        workdirs.only_one(root, f"unpack-{digest.partition(':')[2]}"),
        files.held_directory(store.tree_path(root, digest), shared=False, wait=False) as alone,
    ):
        if not alone:
            return f"it is in use by a running operation; when that has ended, {REMEDY}"
        unpack.put_in_place(root, digest, tree)
    return ""

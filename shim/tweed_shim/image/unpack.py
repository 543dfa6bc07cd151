"""Unpacks images with umoci, from blobs in the store to ROOT/rootfs/HEX, which exists only once it is whole."""

import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager

from tweed_shim.base import files, trace
from tweed_shim.base.deadline import NO_DEADLINE, Deadline
from tweed_shim.base.option_names import option
from tweed_shim.base.records import Record, fields
from tweed_shim.errors import HostError, ImageError, ShimError
from tweed_shim.host import workdirs
from tweed_shim.host.programs import find_program
from tweed_shim.host.userns import IdMap, run_mapped
from tweed_shim.image import disk_quota, store, umoci_layout
from tweed_shim.image.config import Configuration
from tweed_shim.image.layout import store_layout
from tweed_shim.image.manifest import Manifest
from tweed_shim.image.store import Image

# How the output begins where the Go runtime ends a program.
CRASHES = ("panic:", "fatal error:", "runtime:", "SIG", "unexpected fault address")
# Patterns in the output of umoci, the class of the error, and its message.
FAULTS: tuple[tuple[str, type[ShimError], str], ...] = (
    (
        r"no space left on device|disk quota exceeded",
        HostError,
        "no space is left in {root} ({free}) to unpack {image}; make room, or give another {option}",
    ),
    (
        r"diffid mismatch",
        ImageError,
        "a layer of {image} does not have its diff id in the configuration; build the image again",
    ),
    (
        r"chown.*invalid argument",
        HostError,
        "{image} has files of ids outside of the subordinate ranges; grant more in /etc/subuid and /etc/subgid",
    ),
    (
        r"restore xattr metadata: .*operation not permitted",
        ImageError,
        "{image} has an extended attribute at {entry} that Linux does not allow there (user.* is only for files and "
        "directories, see xattr(7)); build it again without",
    ),
    (
        r"operation not permitted|permission denied|read-only file system",
        HostError,
        "{image} cannot be unpacked: the host does not permit it ({said}); run `tweed-shim doctor`",
    ),
    (
        r"gzip|flate|unexpected EOF|archive/tar|invalid checksum|digest mismatch|verified reader|size",
        ImageError,
        "a layer of {image} is damaged ({said}); pull it again, or build it again",
    ),
)


_GLOBAL_HEADER = re.compile(rb"unknown typeflag '\\x67'|unknown typeflag '?g")


class _HasGlobalHeaders(ImageError):
    """umoci found a PAX global header; see umoci_layout."""


class UnpackOrder(Record):
    """An image to unpack. name: for messages. digest: of the manifest. ids: to map its owners with."""

    name: str
    digest: str
    manifest: Manifest
    config: Configuration
    ids: IdMap
    deadline: Deadline = NO_DEADLINE


def program(name: str, package: str) -> str:
    """Return the path of a program. Raises HostError, which names the Debian package, where it is missing."""
    path = find_program(name)
    if path is None:
        raise HostError(f"{name} is not installed; install it with: apt install {package}")
    return path


@contextmanager
def unpacked_to_tmp(root: str, order: UnpackOrder) -> Iterator[str]:
    """Unpack an image to ROOT/tmp for the length of a with block; yield the directory, in the form of ROOT/rootfs/HEX.

    Raises ImageError for an image that cannot be unpacked, HostError for faults of the host.
    """
    with workdirs.directory(workdirs.tmp_directory(root), order.ids) as work:
        layout, tree = os.path.join(work, "layout"), os.path.join(work, "tree")
        blobs, quota = (
            store_layout(root),
            disk_quota.DiskQuota(root, order.name, order.deadline),
        )
        source = umoci_layout.StoredImage(blobs, order.manifest, order.config.diff_ids)
        with trace.span("convert"):
            umoci_layout.make(source, layout, quota)
        files.make_private(tree)
        with trace.span("umoci"):
            try:
                _run_umoci(root, order, layout=layout, dest=os.path.join(tree, "rootfs"), quota=quota)
            except _HasGlobalHeaders:
                layout, tree = f"{layout}-2", f"{tree}-2"
                umoci_layout.make(source, layout, quota, drop_global_headers=True)
                files.make_private(tree)
                _run_umoci(root, order, layout=layout, dest=os.path.join(tree, "rootfs"), quota=quota)
        record = {
            "digest": order.digest,
            "ids": store.ids_text(order.ids),
            "size": sum(blob.size for blob in order.manifest.blobs),
            "config": fields(order.config.run),
        }
        files.write_whole(os.path.join(tree, "image.json"), json.dumps(record).encode(), durable=False)
        yield tree


def put_in_place(root: str, digest: str, tree: str) -> bool:
    """Move a directory of `unpacked_to_tmp` to ROOT/rootfs/HEX; return whether it replaced an older one.

    The older one is then in ROOT/tmp, where it is removed once nothing uses it.
    """
    path = store.tree_path(root, digest)
    with trace.span("sync"):
        # After a power cut the tree is either whole or not there.
        files.sync_filesystem(tree)
    is_there = os.path.lexists(path)
    if is_there:
        workdirs.put_aside(root, path)
    os.rename(tree, path)
    files.sync_directory(os.path.dirname(path))
    return is_there


def unpack(root: str, order: UnpackOrder) -> Image:
    """Unpack an image and return it; replace a tree that was unpacked with other ids.

    The caller holds the lock for this manifest (see turns). Raises ImageError for an image that cannot be
    unpacked, HostError where the host is at fault; then nothing is left.
    """
    with unpacked_to_tmp(root, order) as tree:
        has_replaced = put_in_place(root, order.digest, tree)
    if has_replaced:
        workdirs.sweep_tmp(root, order.ids)
    image = store.unpacked(root, order.name, order.digest, ids=order.ids)
    if image is None:
        path = store.tree_path(root, order.digest)
        raise HostError(f"{path} was changed while it was unpacked; run the command again")
    return image


def _run_umoci(root: str, order: UnpackOrder, *, layout: str, dest: str, quota: disk_quota.DiskQuota) -> None:
    umoci = [program("umoci", "umoci"), "raw", "unpack"]
    work = os.path.dirname(layout)
    rootless = ["--rootless"] if order.ids.kind == "single" else []
    outside = IdMap("host") if order.ids.kind == "single" else order.ids
    code, output = run_mapped(
        outside,
        # Relative, because umoci reads the text after a ':' in a path as the tag.
        [
            *umoci,
            *rootless,
            "--image",
            f"{os.path.basename(layout)}:{umoci_layout.TAG}",
            os.path.relpath(dest, work),
        ],
        cwd=work,
        watch=quota.watch,
    )
    if code > 0 and _GLOBAL_HEADER.search(output):
        raise _HasGlobalHeaders(
            f"umoci cannot unpack {order.name}: a layer has PAX global headers; build it again without"
        )
    if code != 0:
        raise _fault(root, order.name, code=code, output=output.decode(errors="replace"))


def _fault(root: str, image: str, *, code: int, output: str) -> ShimError:
    """Return the error for a failed umoci, from its exit code and output."""
    if code < 0:
        return HostError(
            f"umoci was ended by signal {-code} while it unpacked {image}; run the command again"
        )
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    said = next((line for line in lines if line.startswith("⨯")), (lines or ["no reason given"])[-1])
    said = "".join(letter for letter in said.lstrip("⨯ ") if letter.isprintable())
    crash = next((line for line in lines if line.startswith(CRASHES)), None)
    for pattern, kind, sentence in FAULTS:
        # After a crash only its first line counts: the stack trace says nothing about the image.
        if re.search(pattern, crash or output):
            return kind(
                sentence.format(
                    entry=_entry(output),
                    root=root,
                    free=store.space_left(root),
                    image=image,
                    option=option("--root"),
                    said=said.rpartition(": ")[2],
                )
            )
    if crash is not None:
        return HostError(f"umoci crashed while it unpacked {image} ({crash[:300]}); run the command again")
    return ImageError(f"umoci cannot unpack {image} ({said[-300:]}); build the image again")


def _entry(output: str) -> str:
    """Return the path in the layer that the output names, as `/path`."""
    match = re.search(r"unpack entry: (.+?): (?:apply hdr|restore)", output)
    return f"/{match[1]}" if match and match[1].isprintable() else "an entry"

"""Unpacking with umoci: from blobs in the store to ROOT/rootfs/HEX, which is there only when it is whole."""

import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from tweed_shim import files, scratch, trace
from tweed_shim.errors import HostError, ImageError, ShimError
from tweed_shim.idmap import IdMap, find_program, run_mapped
from tweed_shim.image import convert, room, store
from tweed_shim.image.config import Configuration
from tweed_shim.image.deadline import NO_DEADLINE, Deadline
from tweed_shim.image.layout import Layout
from tweed_shim.image.manifest import Manifest
from tweed_shim.image.store import Image
from tweed_shim.option_names import option
from tweed_shim.records import fields

# How the words of a Go program begin that its own runtime ends.
CRASHES = ("panic:", "fatal error:", "runtime:", "SIG", "unexpected fault address")
# What umoci says, of which kind of fault it speaks, and what we say.
FAULTS: tuple[tuple[str, type[ShimError], str], ...] = (
    (
        r"no space left on device|disk quota exceeded",
        HostError,
        "no space is left in {root} ({free}) to unpack {image}; make room, or give another {option}",
    ),
    (
        r"diffid mismatch",
        ImageError,
        "{image} is not what it claims: a layer is not of its diff id in the configuration; build it again",
    ),
    (
        r"chown.*invalid argument",
        HostError,
        "{image} has files of ids that no subordinate range covers; grant more in /etc/subuid and /etc/subgid",
    ),
    (
        r"restore xattr metadata: .*operation not permitted",
        ImageError,
        "{image} has an extended attribute at {entry} that Linux does not allow there (user.* is for files and "
        "directories only, not for links); build it again without",
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
    """umoci has met a PAX global header; see convert."""


class Order(NamedTuple):
    """What is to be unpacked: `name` for people, the manifest's digest, what it says, and with which ids."""

    name: str
    digest: str
    manifest: Manifest
    config: Configuration
    ids: IdMap
    deadline: Deadline = NO_DEADLINE


def program(name: str, package: str) -> str:
    """The path of a program. Raises HostError, naming the Debian package, where it is missing."""
    path = find_program(name)
    if path is None:
        raise HostError(f"{name} is not installed; install it with: apt install {package}")
    return path


@contextmanager
def unpacked_anew(root: str, order: Order) -> Iterator[str]:
    """Unpack an image into ROOT/tmp for the length of a block; yields the directory, as it is in ROOT/rootfs.

    Raises ImageError for an image that cannot be unpacked, HostError where the host is at fault.
    """
    with scratch.directory(scratch.place(root), order.ids) as work:
        layout, tree = os.path.join(work, "layout"), os.path.join(work, "tree")
        blobs, space = Layout(os.path.join(root, "images")), room.Room(root, order.name, order.deadline)
        source = convert.Source(blobs, order.manifest, order.config.diff_ids)
        with trace.span("convert"):
            convert.make(source, layout, space)
        files.make_private(tree)
        with trace.span("umoci"):
            try:
                _run_umoci(root, order, layout, os.path.join(tree, "rootfs"), space)
            except _HasGlobalHeaders:
                layout, tree = f"{layout}-2", f"{tree}-2"
                convert.make(source, layout, space, drop_global_headers=True)
                files.make_private(tree)
                _run_umoci(root, order, layout, os.path.join(tree, "rootfs"), space)
        about = {
            "digest": order.digest,
            "ids": store.ids_text(order.ids),
            "size": sum(blob.size for blob in order.manifest.blobs),
            "config": fields(order.config.run),
        }
        files.write_whole(os.path.join(tree, "image.json"), json.dumps(about).encode(), durable=False)
        yield tree


def put_in_place(root: str, digest: str, tree: str) -> bool:
    """Make a directory that `unpacked_anew` has made the image of a digest; returns whether it replaced one.

    What it replaced is in ROOT/tmp then, to be swept when nobody uses it any more.
    """
    place = store.tree_path(root, digest)
    with trace.span("sync"):
        # So that a power cut leaves no half tree.
        files.sync_filesystem(tree)
    is_there = os.path.lexists(place)
    if is_there:
        scratch.put_aside(root, place)
    os.rename(tree, place)
    files.sync_directory(os.path.dirname(place))
    return is_there


def unpack(root: str, order: Order) -> Image:
    """The unpacked image; it is unpacked first where it is not, or is with other ids than these.

    The caller sees to it that nobody else unpacks the same. Raises ImageError for an image that cannot be
    unpacked, HostError where the host is at fault; then nothing is left.
    """
    with unpacked_anew(root, order) as tree:
        has_replaced = put_in_place(root, order.digest, tree)
    if has_replaced:
        scratch.sweep_tmp(root, order.ids)
    image = store.unpacked(root, order.name, order.digest, order.ids)
    if image is None:
        place = store.tree_path(root, order.digest)
        raise HostError(f"{place} was changed while it was made; run the command again")
    return image


def _run_umoci(root: str, order: Order, layout: str, dest: str, space: room.Room) -> None:
    umoci = [program("umoci", "umoci"), "raw", "unpack"]
    work = os.path.dirname(layout)
    rootless = ["--rootless"] if order.ids.kind == "single" else []
    outside = IdMap("host") if order.ids.kind == "single" else order.ids
    code, output = run_mapped(
        outside,
        # Relative, because umoci takes what follows a ':' in a path for the tag.
        [
            *umoci,
            *rootless,
            "--image",
            f"{os.path.basename(layout)}:{convert.TAG}",
            os.path.relpath(dest, work),
        ],
        cwd=work,
        watch=space.watch,
    )
    if code > 0 and _GLOBAL_HEADER.search(output):
        raise _HasGlobalHeaders(
            f"umoci cannot unpack {order.name}: it has PAX global headers; build it again"
        )
    if code != 0:
        raise _fault(root, order.name, code, output.decode(errors="replace"))


def _fault(root: str, image: str, code: int, output: str) -> ShimError:
    """umoci's complaint as one sentence."""
    if code < 0:
        return HostError(
            f"umoci was ended by signal {-code} while it unpacked {image}; run the command again"
        )
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    said = next((line for line in lines if line.startswith("⨯")), (lines or ["no reason given"])[-1])
    said = "".join(letter for letter in said.lstrip("⨯ ") if letter.isprintable())
    crash = next((line for line in lines if line.startswith(CRASHES)), None)
    for pattern, kind, sentence in FAULTS:
        # Where it was when it crashed says nothing of the image.
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
    """The entry of a layer that umoci complains of, as `/path`."""
    match = re.search(r"unpack entry: (.+?): (?:apply hdr|restore)", output)
    return f"/{match[1]}" if match and match[1].isprintable() else "an entry"

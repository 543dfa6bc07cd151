"""The store of images below ROOT: its records of references, and its unpacked trees.

    version                        the store's layout, "1"
    images/                        an OCI image layout (layout.py): blobs, and an index for other tools
    images/references/NAME.json    one record for each reference and platform, which the shim itself reads
    rootfs/HEX/                    for each unpacked manifest digest: `rootfs`, the tree, and `image.json`

A look-up reads three small files, however many images there are. Records and the index are changed together, under one
lock, in an order that leaves no record without an image after a crash: the index first to add a reference, the record
first to remove it. If another tool changes the index, references keep their meaning here; blobs that it removes are
fetched again.

This module is on the warm path of every run: it imports little.
"""

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

from tweed_shim.base import files, state_files, trust
from tweed_shim.base.lean import json
from tweed_shim.base.option_names import option
from tweed_shim.base.records import Record, fields, replace
from tweed_shim.base.settings import check_root
from tweed_shim.errors import BadReference, ConfigError, DamagedRecord, HostError, StateError
from tweed_shim.host.userns import IdMap, NamespaceError
from tweed_shim.image import config
from tweed_shim.image.config import ImageConfig
from tweed_shim.image.reference import Reference, is_digest, parse

VERSION = "1"
# The checks of the fields in a record. Directory names are made of the digests.
RECORD_FIELDS = {
    **dict.fromkeys(("reference", "platform", "origin"), state_files.text),
    **dict.fromkeys(("top", "digest"), is_digest),
    **dict.fromkeys(("size", "pulled"), state_files.number),
}
TREE_FIELDS = {"ids": state_files.text, "config": config.is_record}
LONGEST_NAME = 200


class Image(Record):
    """An unpacked image.

    reference: canonical. digest: of its manifest. directory: ROOT/rootfs/HEX. rootfs: the tree in it, which is never
    written to.
    """

    reference: str
    digest: str
    rootfs: str
    directory: str
    config: ImageConfig


class ImageRecord(Record):
    """The record of a reference: the image that it names.

    platform: empty for the host's (platforms.key). origin: what identified a local image when it was pulled (see
    lookup.origin); empty for a registry. top: the digest of the manifest or index that the reference named. digest: of
    the manifest. size: of all its blobs, bytes. pulled: seconds since the epoch.
    """

    reference: str
    platform: str
    origin: str
    top: str
    digest: str
    size: int
    pulled: float


class ListedImage(Record):
    """One image in the list of `images`: see ImageRecord. unpacked: whether its tree exists."""

    reference: str
    platform: str
    digest: str
    size: int
    pulled: float
    unpacked: bool


def platform_key(platform: str | None) -> str:
    """Return what distinguishes the images of one reference: see `platforms.key`, which a warm run need not import."""
    if platform is None:
        return ""
    from tweed_shim.image import platforms

    return platforms.key(platform)


def canonical(reference: Reference) -> Reference:
    """Return the reference with an absolute path, so that it is the same in every working directory."""
    if not reference.path:
        return reference
    try:
        reference.path.encode()
    except UnicodeEncodeError as error:
        raise BadReference(f"the path of {str(reference)!r} is not valid UTF-8; rename it") from error
    return replace(reference, path=os.path.abspath(reference.path))


def open_store(root: str) -> None:
    """Create the store where it is missing.

    Raises ConfigError where `root` cannot be a store or another user can change it, StateError for a store of another
    version, and HostError where it cannot be written.
    """
    with disk_faults(root):
        try:
            if not check_version(root):
                files.make_private(root, durable=True)
                # Another user may have created it since the check above.
                trust.check_store(root)
                # In this order, because another process may have made a store of it since.
                if _is_foreign(root) and not check_version(root):
                    raise ConfigError(
                        f"the directory {root} is neither empty nor a store; give another with {option('--root')}"
                    )
                os.chmod(root, files.PRIVATE_DIR)
                files.write_whole(os.path.join(root, "version"), f"{VERSION}\n".encode())
            for name in ("images", "rootfs", "tmp"):
                files.make_private(os.path.join(root, name))
        except NotADirectoryError as error:
            raise _no_directory(root) from error


def _is_foreign(root: str) -> bool:
    # A crash while the version was written leaves a file of ours.
    ours = ("version.new-", "lost+found")
    return any(not name.startswith(ours) for name in os.listdir(root))


def _no_directory(root: str) -> ConfigError:
    return ConfigError(f"the store {root} is not a directory; give one with {option('--root')}")


def check_version(root: str) -> bool:
    """Tell whether `root` is a store of this version.

    Raises ConfigError where it cannot be a store or another user can change it, and StateError for another version.
    """
    check_root(root)
    try:
        trust.check_store(root)
        with open(os.path.join(root, "version"), encoding="utf-8", errors="replace") as file:
            version = file.read(64).strip()
    except FileNotFoundError:
        return False
    except NotADirectoryError as error:
        raise _no_directory(root) from error
    except PermissionError as error:
        raise HostError(f"the store {root} cannot be read; give another with {option('--root')}") from error
    if version != VERSION:
        raise StateError(
            f"the store {root} has version {version!r}, and this tweed-shim knows {VERSION!r}; "
            f"use the release that made it, or another {option('--root')}"
        )
    return True


def record_path(root: str, reference: str, platform: str) -> str:
    """Return the path of the record of a reference, whether it exists or not."""
    return os.path.join(root, "images", "references", _record_name(reference, platform))


def _record_name(reference: str, platform: str) -> str:
    name = f"{reference} {platform}" if platform else reference
    name = name.replace("%", "%25").replace("/", "%2F")
    if len(name.encode()) > LONGEST_NAME:
        import hashlib

        name = hashlib.sha256(name.encode()).hexdigest()
    return f"{name}.json"


def _read_record(path: str, mend: str) -> ImageRecord:
    fields = state_files.read(path, RECORD_FIELDS, mend=mend)
    if _record_name(fields["reference"], fields["platform"]) != os.path.basename(path):
        raise state_files.damaged(path, "it is the record of another image", mend)
    return ImageRecord(*[fields[name] for name in ImageRecord.FIELDS])


def look_up(root: str, reference: str, platform: str) -> ImageRecord | None:
    """Return the record of a canonical reference, or None. platform: see ImageRecord. Raises DamagedRecord."""
    try:
        return _read_record(record_path(root, reference, platform), f"run: tweed-shim pull {reference}")
    except FileNotFoundError:
        return None


def write_record(root: str, record: ImageRecord) -> None:
    """Write a record. The caller holds the index's lock and has changed the index."""
    path = record_path(root, record.reference, record.platform)
    files.make_private(os.path.dirname(path))
    files.write_whole(path, json.dumps(fields(record)).encode())


def records(root: str, warn: Callable[[str], None] | None = None) -> list[ImageRecord]:
    """Return all records, by reference. warn: called for each damaged one, instead of raising DamagedRecord."""
    try:
        entries = list(os.scandir(os.path.join(root, "images", "references")))
    except FileNotFoundError:
        return []
    found = []
    for entry in entries:
        if entry.name.endswith(".json"):
            try:
                found.append(_read_record(entry.path, _remedy(entry.name)))
            except FileNotFoundError:
                continue  # removed since
            except DamagedRecord as damage:
                if warn is None:
                    raise
                warn(str(damage))
    return sorted(found, key=lambda record: (record.reference, record.platform))


def _remedy(name: str) -> str:
    """Return the remedy for a damaged record. name: of its file, see `record_path`."""
    reference, _, platform = name.removesuffix(".json").replace("%2F", "/").replace("%25", "%").partition(" ")
    if "/" not in reference and ":" not in reference:
        return "remove the file, and pull the image again that 'tweed-shim images' does not list any more"
    return f"run: tweed-shim pull {reference}" + (f" --platform {platform}" if platform else "")


def tree_path(root: str, digest: str) -> str:
    """Return the directory of the tree for a manifest digest, whether it exists or not."""
    return os.path.join(root, "rootfs", digest.partition(":")[2])


def ids_text(ids: IdMap) -> str:
    """Return ids as `image.json` holds them. A tree can be used only with the ids that it was unpacked with."""
    ranges = ("+".join(str(each).replace(" ", ",") for each in kind) for kind in (ids.uids, ids.gids))
    return " ".join((ids.kind, *ranges)).strip()


def unpacked(root: str, reference: str, digest: str, *, ids: IdMap | None) -> Image | None:
    """Return the image of a manifest digest if it is unpacked, else None. ids: only if unpacked with these."""
    directory = tree_path(root, digest)
    try:
        fields = state_files.read(os.path.join(directory, "image.json"), TREE_FIELDS, mend="")
    except (FileNotFoundError, DamagedRecord):
        # A tree with a damaged record is unpacked again.
        return None
    if ids is not None and fields["ids"] != ids_text(ids):
        return None
    rootfs = os.path.join(directory, "rootfs")
    return Image(reference, digest, rootfs, directory, config.from_record(fields["config"]))


def find(
    root: str, reference: Reference | str, platform: str | None = None, *, idmap: IdMap | None = None
) -> Image | None:
    """Return the unpacked image that a reference names in the store, or None. Nothing outside of the store is read.

    idmap: only if unpacked with these ids. Raises StateError for a store of another version.
    """
    if not check_version(root):
        return None
    name = str(canonical(parse(reference) if isinstance(reference, str) else reference))
    record = look_up(root, name, platform_key(platform))
    return None if record is None else unpacked(root, name, record.digest, ids=idmap)


def images(root: str, warn: Callable[[str], None] | None = None) -> list[ListedImage]:
    """Return all images in the store, by reference. warn: as in `records`."""
    check_version(root)
    return [
        ListedImage(
            record.reference,
            record.platform,
            record.digest,
            record.size,
            record.pulled,
            os.path.exists(os.path.join(tree_path(root, record.digest), "image.json")),
        )
        for record in records(root, warn)
    ]


@contextmanager
def hold(image: Image) -> Iterator[None]:
    """Lock an image against removal for the length of a with block, or until the process ends.

    Raises StateError where it was removed or replaced since it was looked up.
    """
    gone = f"the image {image.reference} was removed or replaced meanwhile; run the command again"
    with ExitStack() as stack:
        try:
            before = os.stat(image.directory)
            stack.enter_context(files.held_directory(image.directory))
            after = os.stat(image.directory)
        except FileNotFoundError as error:
            raise StateError(gone) from error
        if not os.path.samestat(before, after):
            raise StateError(gone)
        yield


@contextmanager
def disk_faults(root: str) -> Iterator[None]:
    """Turn OSError within the block into a HostError that names the path."""
    try:
        yield
    except OSError as error:
        raise disk_fault(root, error) from error


def disk_fault(root: str, error: OSError) -> HostError:
    """Return the HostError for an OSError of work with a store."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return HostError(
            f"no space is left in {root} ({space_left(root)}); make room there, or give another {option('--root')}"
        )
    if isinstance(error, NamespaceError):
        from tweed_shim.host import faults

        remedy = faults.ids_remedy() if error.is_map else faults.namespace_remedy(host_root=False)
        what = "no ids for a user namespace" if error.is_map else "no user namespace"
        return HostError(f"{what} can be created ({error.strerror}); {remedy}")
    if error.errno in (errno.EMFILE, errno.ENFILE):
        from tweed_shim.host import resource_limits

        return HostError(resource_limits.open_files())
    if error.errno == errno.ENOENT and not error.filename:
        return HostError("the working directory no longer exists; change to another one")
    name = os.fspath(error.filename or root)
    if error.errno == errno.EINTR:
        return HostError(f"{name} {error.strerror}; run it again")
    mend = _REMEDIES.get(error.errno or 0, "inspect it with: ls -ld {0}").format(name)
    if name.startswith(root) or root.startswith(name):
        mend += f", or give another {option('--root')}"
    return HostError(f"{name} cannot be used ({error.strerror or error}); {mend}")


# Below this number messages mention the free inodes: a large image has some hundred thousand files.
FEW_INODES = 100_000
_REMEDIES = {
    errno.EACCES: "give this user the right to use it",
    errno.EPERM: "give this user the right to use it",
    # The kernel returns it below /proc too, for every user.
    errno.EROFS: "have that file system mounted writable",
    errno.ENOTDIR: "remove the file that is in the way",
    errno.EIO: "check the disk (dmesg)",
}


def free_space(root: str) -> str:
    """Return the free space of the store's file system, for messages."""
    disk = _file_system(root)
    return megabytes(disk.f_bavail * disk.f_frsize)


def space_left(root: str) -> str:
    """Return the free bytes of the store's file system, and its free inodes if they are few, for messages."""
    disk = _file_system(root)
    # Some file systems (btrfs) have no fixed number of inodes, and report none.
    inodes = f" and {disk.f_favail} inodes" if disk.f_files and disk.f_favail < FEW_INODES else ""
    return f"{megabytes(disk.f_bavail * disk.f_frsize)}{inodes} are free"


def _file_system(path: str) -> os.statvfs_result:
    while not os.path.exists(path):
        path = os.path.dirname(path)
    return os.statvfs(path)


def megabytes(size: int) -> str:
    """Return a size in bytes as text in MB (10^6 bytes)."""
    return f"{size / 1e6:.1f} MB"

"""The store of images below ROOT: which references are there, and which of them are unpacked.

    version                        the store's layout, "1"
    images/                        an OCI image layout (layout.py): blobs, and an index for other tools
    images/references/NAME.json    one record for each reference and platform: what the shim itself reads
    rootfs/HEX/                    of each unpacked manifest digest: `rootfs`, the tree, and `image.json`

To look an image up costs three small files, however many there are. Records and index are changed together,
under one lock, in an order by which a crash leaves no record without an image: the index first when a reference
comes, the record first when it goes. What other tools change in the index does not change what a reference
means here; blobs that they removed are fetched again.

This module is on the path of every run: it imports little.
"""

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

from tweed_shim import files, state_files, trust
from tweed_shim.errors import BadReference, ConfigError, DamagedRecord, HostError, StateError
from tweed_shim.idmap import IdMap, NamespaceError
from tweed_shim.image import config
from tweed_shim.image.config import ImageConfig
from tweed_shim.image.reference import Reference, is_digest, parse
from tweed_shim.lean import json
from tweed_shim.option_names import option
from tweed_shim.records import Record, fields, replace
from tweed_shim.settings import check_root

VERSION = "1"
# Names of directories are made of the digests.
PULLED = {
    **dict.fromkeys(("reference", "platform", "origin"), state_files.text),
    **dict.fromkeys(("top", "digest"), is_digest),
    **dict.fromkeys(("size", "pulled"), state_files.number),
}
UNPACKED = {"ids": state_files.text, "config": config.is_record}
LONGEST_NAME = 200


class Image(Record):
    """An unpacked image.

    reference: canonical. digest: of its manifest. directory: ROOT/rootfs/HEX. rootfs: the tree in it; never
    to be written to.
    """

    reference: str
    digest: str
    rootfs: str
    directory: str
    config: ImageConfig


class Pulled(Record):
    """What a reference means.

    platform: empty for the host's (platforms.key). origin: what a local reference pointed to when it was resolved:
    a digest in a layout, an archive's stamp; empty for a registry. top: the digest of the manifest or index
    that it resolved to. digest: of the manifest. size: of all its blobs, bytes. pulled: seconds since the epoch.
    """

    reference: str
    platform: str
    origin: str
    top: str
    digest: str
    size: int
    pulled: float


class Stored(Record):
    """A line of `images`: see Pulled; `unpacked` says whether its tree is there."""

    reference: str
    platform: str
    digest: str
    size: int
    pulled: float
    unpacked: bool


def platform_key(platform: str | None) -> str:
    """Return what tells the images of one reference apart, see `platforms.key`; a platform is rarely named."""
    if platform is None:
        return ""
    from tweed_shim.image import platforms

    return platforms.key(platform)


def canonical(reference: Reference) -> Reference:
    """The reference with its path made absolute, so that it means the same from everywhere."""
    if not reference.path:
        return reference
    try:
        reference.path.encode()
    except UnicodeEncodeError as error:
        raise BadReference(f"the path of {str(reference)!r} is not valid UTF-8; rename it") from error
    return replace(reference, path=os.path.abspath(reference.path))


def open_store(root: str) -> None:
    """Make the store where it is not yet there.

    Raises ConfigError where `root` cannot be one or another user can change it, StateError where a store of another
    version is there, and HostError where it cannot be written.
    """
    with disk_faults(root):
        try:
            if not check_version(root):
                files.make_private(root, durable=True)
                # Another user may have made it since its absence was noticed.
                trust.check_store(root)
                # Looked at in this order, what another process has made of it since is no foreign directory.
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
    # What a crash while the version was written leaves is ours.
    ours = ("version.new-", "lost+found")
    return any(not name.startswith(ours) for name in os.listdir(root))


def _no_directory(root: str) -> ConfigError:
    return ConfigError(f"the store {root} is not a directory; give one with {option('--root')}")


def check_version(root: str) -> bool:
    """Say whether there is a store of our version.

    Raises ConfigError where there can be none or another user can change it, and StateError where it has another
    version.
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
    """Where the record of a reference is, or would be."""
    return os.path.join(root, "images", "references", _record_name(reference, platform))


def _record_name(reference: str, platform: str) -> str:
    name = f"{reference} {platform}" if platform else reference
    name = name.replace("%", "%25").replace("/", "%2F")
    if len(name.encode()) > LONGEST_NAME:
        import hashlib

        name = hashlib.sha256(name.encode()).hexdigest()
    return f"{name}.json"


def _read_record(path: str, mend: str) -> Pulled:
    fields = state_files.read(path, PULLED, mend=mend)
    if _record_name(fields["reference"], fields["platform"]) != os.path.basename(path):
        raise state_files.damaged(path, "it is that of another image", mend)
    return Pulled(*[fields[name] for name in Pulled.FIELDS])


def look_up(root: str, reference: str, platform: str) -> Pulled | None:
    """The record of a canonical reference, None where there is none. platform: see Pulled. Raises DamagedRecord."""
    try:
        return _read_record(record_path(root, reference, platform), f"run: tweed-shim pull {reference}")
    except FileNotFoundError:
        return None


def write_record(root: str, record: Pulled) -> None:
    """Keep a record. The caller holds the index's lock and has changed the index."""
    path = record_path(root, record.reference, record.platform)
    files.make_private(os.path.dirname(path))
    files.write_whole(path, json.dumps(fields(record)).encode())


def records(root: str, warn: Callable[[str], None] | None = None) -> list[Pulled]:
    """All records, by reference. warn: is told of each that is damaged; without it DamagedRecord is raised."""
    try:
        entries = list(os.scandir(os.path.join(root, "images", "references")))
    except FileNotFoundError:
        return []
    found = []
    for entry in entries:
        if entry.name.endswith(".json"):
            try:
                found.append(_read_record(entry.path, _mend(entry.name)))
            except FileNotFoundError:
                continue  # removed since
            except DamagedRecord as damage:
                if warn is None:
                    raise
                warn(str(damage))
    return sorted(found, key=lambda record: (record.reference, record.platform))


def _mend(name: str) -> str:
    """What a person can do about the damaged record of this file name: see `record_path`."""
    reference, _, platform = name.removesuffix(".json").replace("%2F", "/").replace("%25", "%").partition(" ")
    if "/" not in reference and ":" not in reference:
        return "remove the file, and pull the image again that 'tweed-shim images' does not list any more"
    return f"run: tweed-shim pull {reference}" + (f" --platform {platform}" if platform else "")


def tree_path(root: str, digest: str) -> str:
    """The directory of an unpacked manifest digest."""
    return os.path.join(root, "rootfs", digest.partition(":")[2])


def ids_text(ids: IdMap) -> str:
    """The ids a tree was unpacked with, as `image.json` keeps them: a tree is good for the very same only."""
    ranges = ("+".join(str(each).replace(" ", ",") for each in kind) for kind in (ids.uids, ids.gids))
    return " ".join((ids.kind, *ranges)).strip()


def unpacked(root: str, reference: str, digest: str, ids: IdMap | None) -> Image | None:
    """The image of a manifest digest if it is unpacked, with these ids where some are given."""
    directory = tree_path(root, digest)
    try:
        fields = state_files.read(os.path.join(directory, "image.json"), UNPACKED, mend="")
    except (FileNotFoundError, DamagedRecord):
        # A tree whose record is damaged is as good as none: it is unpacked again.
        return None
    if ids is not None and fields["ids"] != ids_text(ids):
        return None
    rootfs = os.path.join(directory, "rootfs")
    return Image(reference, digest, rootfs, directory, config.from_record(fields["config"]))


def find(
    root: str, reference: Reference | str, platform: str | None = None, *, idmap: IdMap | None = None
) -> Image | None:
    """The unpacked image that a reference names, by what is in the store alone; None where it is not there.

    idmap: only if it was unpacked with these ids. Raises StateError for a store of another version.
    """
    if not check_version(root):
        return None
    name = str(canonical(parse(reference) if isinstance(reference, str) else reference))
    record = look_up(root, name, platform_key(platform))
    return None if record is None else unpacked(root, name, record.digest, idmap)


def images(root: str, warn: Callable[[str], None] | None = None) -> list[Stored]:
    """All images that are in the store, by reference. warn: as in `records`."""
    check_version(root)
    return [
        Stored(
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
    """Keep an image from being removed for the length of a block, or until the process ends.

    Raises StateError where it was removed or replaced since it was found.
    """
    gone = f"the image {image.reference} was removed or replaced in this moment; run the command again"
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
    """Turn what the disk refuses within a block into a HostError that names the place."""
    try:
        yield
    except OSError as error:
        raise disk_fault(root, error) from error


def disk_fault(root: str, error: OSError) -> HostError:
    """What the system refused while it was worked with a store, for a person."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return HostError(
            f"no space is left in {root} ({space_left(root)}); make room there, or give another {option('--root')}"
        )
    if isinstance(error, NamespaceError):
        from tweed_shim import host_faults

        remedy = host_faults.ids_remedy() if error.is_map else host_faults.namespace_remedy(host_root=False)
        what = "no ids for a user namespace" if error.is_map else "no user namespace"
        return HostError(f"{what} could be had ({error.strerror}); {remedy}")
    if error.errno in (errno.EMFILE, errno.ENFILE):
        from tweed_shim import resource_limits

        return HostError(resource_limits.open_files())
    if error.errno == errno.ENOENT and not error.filename:
        return HostError("the working directory is not there any more; change to another")
    name = os.fspath(error.filename or root)
    if error.errno == errno.EINTR:
        return HostError(f"{name} {error.strerror}; run it again")
    mend = _REMEDIES.get(error.errno or 0, "look what is there with: ls -ld {0}").format(name)
    if name.startswith(root) or root.startswith(name):
        mend += f", or give another {option('--root')}"
    return HostError(f"{name} cannot be used ({error.strerror or error}); {mend}")


# What an image can come to need: a large one has some hundred thousand files.
FEW_INODES = 100_000
_REMEDIES = {
    errno.EACCES: "give this user the right to use it",
    errno.EPERM: "give this user the right to use it",
    # What the kernel answers in /proc, too, whatever the user.
    errno.EROFS: "have that file system mounted writable",
    errno.ENOTDIR: "remove the file that is in the way",
    errno.EIO: "check the disk (dmesg)",
}


def free_space(root: str) -> str:
    """The room that is left for us where the store is, for a person."""
    about = _file_system(root)
    return megabytes(about.f_bavail * about.f_frsize)


def space_left(root: str) -> str:
    """What is left where the store is and does not suffice, for a person: of bytes, or of inodes."""
    about = _file_system(root)
    # Some file systems (btrfs) have no fixed number of inodes, and report none.
    inodes = f" and {about.f_favail} inodes" if about.f_files and about.f_favail < FEW_INODES else ""
    return f"{megabytes(about.f_bavail * about.f_frsize)}{inodes} are free"


def _file_system(path: str) -> os.statvfs_result:
    while not os.path.exists(path):
        path = os.path.dirname(path)
    return os.statvfs(path)


def megabytes(size: int) -> str:
    """A size in bytes for a person, in MB (10^6 bytes)."""
    return f"{size / 1e6:.1f} MB"

"""Finds an unpacked image in the store, and tells whether a local reference still names it.

This module is on the warm path: code that reads layouts and archives is imported only for them.
"""

import os
import stat

from tweed_shim.errors import DamagedRecord, ImageError
from tweed_shim.host.userns import IdMap
from tweed_shim.image import store
from tweed_shim.image.reference import Reference
from tweed_shim.image.store import Image


def unpacked_image(
    root: str, reference: Reference, platform: str, *, ids: IdMap, check_origin: bool
) -> Image | None:
    """Return the image of a reference if it is unpacked for these ids, else None.

    check_origin: only where a local reference still names it, which reads the layout or looks at the archive.
    """
    if not store.check_version(root):
        return None
    try:
        record = store.look_up(root, str(reference), platform)
    except DamagedRecord:
        return None  # reported when the image is pulled
    if record is None or (check_origin and reference.path and origin(reference, platform) != record.origin):
        return None
    return store.unpacked(root, record.reference, record.digest, ids=ids)


def origin(reference: Reference, platform: str) -> str:
    """Return what identifies the image of a local reference: a digest in a layout, or the stamp of an archive.

    Raises ImageError where there is none.
    """
    if reference.transport != "oci":
        return _stamp(reference.path)
    from tweed_shim.image import layout

    return layout.in_directory(os.path.abspath(reference.path), reference.tag, platform).digest


def _stamp(path: str) -> str:
    """Return a stamp of a file, which differs after the file was changed or replaced. Raises ImageError for no file.

    It is made of the file's device, inode, size and times, as git does for its index.
    """
    try:
        status = os.stat(path)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise ImageError(f"{path} does not exist; name an image archive that does") from error
    if not stat.S_ISREG(status.st_mode):
        raise ImageError(
            f"{path} is not a file; name an image archive that is, or write oci: for a directory"
        )
    return f"{status.st_dev}:{status.st_ino}:{status.st_size}:{status.st_mtime_ns}:{status.st_ctime_ns}"

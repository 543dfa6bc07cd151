"""Which image is there already, and whether a local reference still means it.

This module is on the path of every run: what reads layouts and archives is imported only for them.
"""

import os
import stat

from tweed_shim.errors import DamagedRecord, ImageError
from tweed_shim.idmap import IdMap
from tweed_shim.image import store
from tweed_shim.image.reference import Reference
from tweed_shim.image.store import Image


def at_hand(root: str, reference: Reference, platform: str, ids: IdMap, *, looking: bool) -> Image | None:
    """The image if it is unpacked and, where one is `looking`, a local reference points to it still."""
    if not store.check_version(root):
        return None
    try:
        record = store.look_up(root, str(reference), platform)
    except DamagedRecord:
        return None  # whoever fetches the image says so
    if record is None or (looking and reference.path and origin(reference, platform) != record.origin):
        return None
    return store.unpacked(root, record.reference, record.digest, ids)


def origin(reference: Reference, platform: str) -> str:
    """Return what a local reference points to now: a layout's digest, an archive's stamp. Raises ImageError."""
    if reference.transport != "oci":
        return _stamp(reference.path)
    from tweed_shim.image import layout

    return layout.in_directory(os.path.abspath(reference.path), reference.tag, platform).digest


def _stamp(path: str) -> str:
    """Return what changes when a file does: enough to know, without reading it, that it is the one of before.

    Raises ImageError where there is no such file.
    """
    try:
        about = os.stat(path)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise ImageError(f"{path} does not exist; name an image archive that does") from error
    if not stat.S_ISREG(about.st_mode):
        raise ImageError(
            f"{path} is not a file; name an image archive that is, or write oci: for a directory"
        )
    return f"{about.st_dev}:{about.st_ino}:{about.st_size}:{about.st_mtime_ns}:{about.st_ctime_ns}"

"""The metadata of an image: the image is asked once, and the answer is kept beside the unpacked image.

No warm `setup` imports this module.
"""

import os
from collections.abc import Callable
from contextlib import suppress

from tweed_shim.base import files, state_files
from tweed_shim.base.lean import json
from tweed_shim.base.lean.typing import Any
from tweed_shim.errors import DamagedRecord
from tweed_shim.host import workdirs
from tweed_shim.image.store import Image

FILE = "metadata.json"
SHAPE = dict.fromkeys(("name", "version"), state_files.text)


def obtain(
    root: str, image: Image, ask: Callable[[], dict[str, Any]], *, waiting: Callable[[], None]
) -> dict[str, Any]:
    """Return the metadata of an image, from the cache or by a call of `ask`.

    One process asks at a time. `waiting` is called before this one waits for another. Raises what `ask` raises.
    """
    cached = recorded(image)
    if cached is not None:
        return cached
    has_waited = False

    def note_wait() -> None:
        nonlocal has_waited
        has_waited = True
        waiting()

    with workdirs.only_one(root, f"metadata-{os.path.basename(image.directory)}", note_wait):
        cached = recorded(image)
        if cached is not None:
            return cached
        if not has_waited:
            return _ask(image, ask)
    # The other process has failed. All that waited for it ask at the same time now, so that they do not also wait
    # for each other's failures.
    return _ask(image, ask)


def recorded(image: Image) -> dict[str, Any] | None:
    """Return the metadata of an image that was asked before, or None."""
    # A power cut can leave the file empty, as it is not synced: the image is asked again then.
    with suppress(FileNotFoundError, DamagedRecord):
        metadata = state_files.read(os.path.join(image.directory, FILE), SHAPE, mend="")
        # An earlier version of the shim accepted the metadata of a backend that also has the field `pattern`.
        if ("backend" in metadata) != ("pattern" in metadata):
            return metadata
    return None


def _ask(image: Image, ask: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    metadata = ask()
    files.write_whole(os.path.join(image.directory, FILE), json.dumps(metadata).encode(), durable=False)
    return metadata

"""Recovery from a setup that a kill or a full disk interrupted: finish it where its image had succeeded, else keep it.

No warm operation imports this module: a slot (clouds.py) without leftovers does not need it.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress

from tweed_shim.base.lean.typing import Any
from tweed_shim.errors import ShimError
from tweed_shim.tweed import command_lines, drafts


def recover(slot: str, entries: Sequence["os.DirEntry[str]"], warn: Callable[[str], None]) -> None:
    """Finish or keep what an interrupted setup left in the slot of an interaction, which the caller has locked.

    entries: what is in the slot besides the generation in force. warn: is called with a sentence about the setup.
    """
    directory = drafts.unfinished(slot)
    if directory is not None:
        warn_of_interrupted(slot, drafts.read_record(directory) or {}, warn)
        # Where the disk refuses the rename, the interaction counts as set up all the same.
        with suppress(OSError):
            drafts.finish(slot, directory)
    elif any(entry.name.startswith(drafts.PREFIX) for entry in entries):
        warn_of_interrupted(slot, None, warn)
        if _is_kept(slot):
            _warn_of_kept(slot, warn)


def keep_killed(
    slot: str, error: BaseException, record: Mapping[str, Any] | None, warn: Callable[[str], None]
) -> None:
    """Keep what an image wrote in the slot of an interaction, where its setup was interrupted by an error.

    It is unknown then whether the image succeeded, and the backend may hold what it made. An image that ends with a
    code other than 0 has failed, and nothing is kept. record: as in `warn_of_interrupted`.
    """
    is_interrupt = not isinstance(error, Exception)
    is_killed = isinstance(error, ShimError) and error.killed
    is_kept = record is None and (is_interrupt or is_killed) and _is_kept(slot)
    if is_kept or is_interrupt:
        warn_of_interrupted(slot, record, warn)
    if is_kept:
        _warn_of_kept(slot, warn)


def _is_kept(slot: str) -> bool:
    # Where the disk refuses the rename, the draft goes.
    with suppress(OSError):
        return drafts.keep_interrupted(slot)
    return False


def _warn_of_kept(slot: str, warn: Callable[[str], None]) -> None:
    warn(
        f"what it had written is kept in {os.path.join(slot, drafts.INTERRUPTED)}; teardown of interaction "
        f"'{os.path.basename(slot)}' is given it where nothing else is set up under this name"
    )


def warn_of_interrupted(slot: str, record: Mapping[str, Any] | None, warn: Callable[[str], None]) -> None:
    """Warn of an interrupted setup. record: that of its success, None where its image did not come so far."""
    interaction = os.path.basename(slot)
    cloud = os.path.basename(os.path.dirname(os.path.dirname(slot)))
    name = f"interaction '{interaction}' of cloud '{cloud}'"
    if record is None:
        warn(
            f"a setup of {name} was interrupted while its image ran: what that made in the backend, if anything, stays "
            "there, so look for it there"
        )
        return
    warn(
        f"a setup of {name} was interrupted after {record.get('image')} had succeeded: it is set up, so tear it down "
        f"with: {command_lines.teardown(str(record.get('image')), cloud, interaction)}"
    )

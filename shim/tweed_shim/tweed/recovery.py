"""Recovery from a setup that a kill or a full disk interrupted: finish it where its image had succeeded, else keep it.

No warm operation imports this module: a slot (clouds.py) without leftovers does not need it.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress

from tweed_shim.base.lean.typing import Any
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
        # Where the disk refuses the rename, the caller sweeps the draft.
        with suppress(OSError):
            if drafts.keep_interrupted(slot):
                warn(
                    f"what it had written is kept in {os.path.join(slot, drafts.INTERRUPTED)}; teardown of "
                    f"interaction '{os.path.basename(slot)}' is given it where nothing else is set up under this name"
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

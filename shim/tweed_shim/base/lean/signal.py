"""`signal` without its enumerations: signals and handlers are plain numbers."""

from tweed_shim.base.lean.typing import TYPE_CHECKING

# All of it is what this module is for.
if TYPE_CHECKING:
    from signal import *  # noqa: F403 - as above
else:
    from _signal import *  # noqa: F403 - as above

"""Known faults of runtimes, by their versions."""

import re

_VERSION = re.compile(r"runc version (\d+)\.(\d+)\.(\d+)(?:-rc\.?(\d+))?")
# Later than every release candidate.
_RELEASE = 1 << 16
# The first releases of runc with the fix of CVE-2026-41579, one of each series that has it.
_DEV_LINKS_FIXED = ((1, 3, 6, 0), (1, 4, 3, 0), (1, 5, 0, 3))


def follows_links_of_dev(version: str) -> bool:
    """Tell whether a runtime resolves an image's /dev with the host's root: CVE-2026-41579.

    version: the first line that it prints for `--version`. The answer is False where that does not tell.
    """
    match = _VERSION.match(version)
    # A build between two releases (+dev) may have the fix.
    if not match or "+dev" in version:
        return False
    numbers = tuple(int(each or _RELEASE) for each in match.groups())
    fixed = next((each for each in _DEV_LINKS_FIXED if numbers[:2] <= each[:2]), numbers)
    return numbers < fixed

"""Where the programs of the host are found."""

import os

# Where the tools of a system live.
SYSTEM_PLACES = ("/usr/local/sbin", "/usr/sbin", "/sbin", "/usr/local/bin", "/usr/bin", "/bin")


def find_program(name: str) -> str | None:
    """Return the path of a program, looked up on PATH and then in SYSTEM_PLACES, or None."""
    if os.path.dirname(name):
        return name if os.access(name, os.X_OK) else None
    places = os.environ.get("PATH", os.defpath).split(os.pathsep)
    for place in (*places, *SYSTEM_PLACES):
        path = os.path.join(place or ".", name)
        if os.access(path, os.X_OK) and os.path.isfile(path):
            return path
    return None

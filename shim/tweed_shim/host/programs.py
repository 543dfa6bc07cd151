"""Find the programs of the host."""

import os

# Where the tools of a system live.
SYSTEM_DIRECTORIES = ("/usr/local/sbin", "/usr/sbin", "/sbin", "/usr/local/bin", "/usr/bin", "/bin")


def find_program(name: str) -> str | None:
    """Return the path of a program, looked up on PATH and then in SYSTEM_DIRECTORIES, or None."""
    if os.path.dirname(name):
        return name if os.access(name, os.X_OK) else None
    directories = os.environ.get("PATH", os.defpath).split(os.pathsep)
    for directory in (*directories, *SYSTEM_DIRECTORIES):
        path = os.path.join(directory or ".", name)
        if os.access(path, os.X_OK) and os.path.isfile(path):
            return path
    return None

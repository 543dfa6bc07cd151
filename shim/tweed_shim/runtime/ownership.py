"""Whose a directory of the host is while a container has it, and after; for process 1 of a sandbox (sandbox.py)."""

import errno
import os
import stat


def give(directory: str, uid: int, gid: int) -> None:
    """Have a directory, with all that is in it, belong to a user, who may read it all. Raises OSError.

    Nobody else may be at work in it. What is nested deeper than a path can be long stays as it is.
    """
    _give(directory, uid, gid)
    for path, directories, names in os.walk(directory):
        for name in (*directories, *names):
            try:
                _give(os.path.join(path, name), uid, gid)
            except OSError as error:
                if error.errno != errno.ENAMETOOLONG:
                    raise


def _give(path: str, uid: int, gid: int) -> None:
    os.chown(path, uid, gid, follow_symlinks=False)
    mode = os.lstat(path).st_mode
    least = 0o700 if stat.S_ISDIR(mode) else 0o400
    if not stat.S_ISLNK(mode) and mode & least != least:
        os.chmod(path, stat.S_IMODE(mode) | least)

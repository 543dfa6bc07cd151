"""A store on a small disk of its own, which can be filled."""

import errno
import io
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from accounts import Account
from installed import Shim, fresh_shim
from leftovers import cgroups, end_work


def _fits(file: io.FileIO, data: bytes) -> bool:
    try:
        file.write(data)
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        return False
    return True


class Disk:
    """A file system of a few MiB at `place`."""

    def __init__(self, place: str, owner: Account, size: str = "16m") -> None:
        self.place = place
        os.mkdir(place)
        options = f"size={size},mode=0700,uid={owner.uid},gid={owner.gid}"
        subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", place], check=True)

    def resize(self, size: str) -> None:
        subprocess.run(["mount", "-o", f"remount,size={size}", self.place], check=True)

    def fill(self, *, leave: int = 0) -> None:
        """Fill it, but for some bytes, which are a multiple of the page size."""
        with open(os.path.join(self.place, "filling"), "wb", buffering=0) as file:
            for size in (1 << 20, 4096, 1):
                while _fits(file, bytes(size)):
                    pass
            file.truncate(file.tell() - leave)

    def relieve(self) -> None:
        with suppress(FileNotFoundError):
            os.unlink(os.path.join(self.place, "filling"))

    def clear(self) -> None:
        """Remove everything from it."""
        for path in os.scandir(self.place):
            shutil.rmtree(path) if path.is_dir(follow_symlinks=False) else os.unlink(path)

    def unmount(self) -> None:
        subprocess.run(["umount", self.place], check=True)
        os.rmdir(self.place)


@contextmanager
def shim_on_a_disk(account: Account, program: str, size: str = "16m") -> Iterator[tuple[Shim, Disk]]:
    """A shim whose store is on a small disk of its own."""
    with fresh_shim(account, program) as fresh:
        disk = Disk(os.path.join(os.path.dirname(fresh.root), "disk"), account, size)
        try:
            here = fresh._replace(root=os.path.join(disk.place, "store"))
            yield here, disk
            assert not cgroups(here.root), "a run that could not be kept left its control groups"
        except BaseException:
            end_work(os.path.dirname(fresh.root))
            raise
        finally:
            disk.unmount()

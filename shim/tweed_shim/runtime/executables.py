"""The program that an image's entrypoint names: found as execvp(3) does, and checked as the kernel will.

The kernel executes ELF programs for its own machine, scripts that name an interpreter in their first line, and files
that are registered with binfmt_misc. For anything else the runtime ends with an exit code that looks like the program's
own, so the image is refused before the run.

This module is on the path of every run.
"""

import errno
import os
import stat
import sys
from contextlib import suppress

from tweed_shim.base.lean.typing import TYPE_CHECKING
from tweed_shim.base.option_names import option
from tweed_shim.base.option_values import shown
from tweed_shim.errors import ImageError
from tweed_shim.host.children import Child
from tweed_shim.runtime import rootfs_path

if TYPE_CHECKING:
    from typing import Literal

    Order = Literal["little", "big"]

# A program of the image: its path there, and the host's path of the file, without links.
Program = tuple[str, str]

# The bytes by which the kernel recognises a program (BINPRM_BUF_SIZE, execve(2)).
_FIRST_BYTES = 256
# How many times an interpreter may be a script itself (bprm_execve in the kernel's fs/exec.c).
_MOST_SCRIPTS = 5
_LARGEST_TABLE = 64 << 10
_BINFMT = "/proc/sys/fs/binfmt_misc"

_ELF = b"\x7fELF"
_PT_INTERP = 3
_SMALLEST_HEADER = 52
_NAMES = {
    3: "i386", 8: "MIPS", 20: "PowerPC", 21: "64-bit PowerPC", 22: "s390x", 40: "32-bit Arm", 62: "x86-64",
    183: "64-bit Arm", 243: "RISC-V", 258: "LoongArch",
}  # fmt: skip
# Which e_machine (elf.h) runs where uname(2) says this. Under a 32-bit personality a
# 64-bit kernel gives the 32-bit name (setarch(8)).
_MACHINES = {
    "x86_64": (62, 3), "i386": (3, 62), "i686": (3, 62), "aarch64": (183, 40), "armv6l": (40,), "armv7l": (40,),
    "armv8l": (40, 183), "ppc64le": (21, 20), "ppc64": (21, 20), "s390x": (22,), "riscv64": (243,), "mips64": (8,),
    "loongarch64": (258,),
}  # fmt: skip


def find_executable(rootfs: str, argument: str, *, cwd: str, path_variable: str) -> str:
    """Return the path inside of the image of the program that `argument` names, as execvp(3) finds it from `cwd`.

    Where the caller may not read the image's files, `argument` is returned, and the runtime decides. Raises ImageError
    where the program is not there, or the kernel will not execute it.
    """
    try:
        program = _find(rootfs, argument, cwd=cwd, path_variable=path_variable)
        _check(rootfs, program, cwd=cwd, what=f"the entrypoint {shown(program[0])}")
    except PermissionError:
        return argument
    return program[0]


def _find(rootfs: str, argument: str, *, cwd: str, path_variable: str) -> Program:
    """Return the first program that `argument` names. Raises ImageError where there is none."""
    if not argument:
        raise ImageError("the entrypoint is an empty text; its author has to name a program")
    if (size := len(argument.encode("utf-8", "surrogatepass"))) >= rootfs_path.PATH_MAX:
        raise ImageError(
            f"the entrypoint {shown(argument)} has {size} bytes, and the kernel takes a path of at most "
            f"{rootfs_path.PATH_MAX - 1}; its author has to name a program by a shorter one"
        )
    directories = [cwd] if "/" in argument else [os.path.join(cwd, each) for each in path_variable.split(":")]
    paths = [os.path.join(each, argument) for each in directories]
    for path in paths:
        if (host_path := _executable(rootfs, path)) is not None:
            return path, host_path
    for path in paths:
        if rootfs_path.resolve(rootfs, path):
            raise ImageError(_not_executable(rootfs, argument, path))
    where = (
        "in the image"
        if "/" in argument
        else f"in any directory of the image's PATH ({shown(path_variable)})"
    )
    raise ImageError(
        f"the entrypoint {shown(argument)} is not {where}; its author has to correct one or the other"
    )


def _not_executable(rootfs: str, argument: str, path: str) -> str:
    """Return why the path that an entrypoint names is no program, as a sentence."""
    host_path = rootfs_path.resolve(rootfs, path)
    mode = os.lstat(host_path).st_mode if host_path else stat.S_IFREG
    if stat.S_ISREG(mode):
        fault = "is no executable file; its author has to give it the mode 0755 (chmod +x)"
    else:
        kind = "a directory" if stat.S_ISDIR(mode) else "no regular file"
        fault = f"is {kind}; its author has to name a program"
    return f"the entrypoint {shown(argument)} {fault}"


def _executable(rootfs: str, path: str) -> str | None:
    """Return the host's path, without links, of an executable file of the image; None for anything else."""
    host_path = rootfs_path.resolve(rootfs, path)
    if host_path is None:
        return None
    mode = os.lstat(host_path).st_mode
    return host_path if stat.S_ISREG(mode) and mode & 0o111 else None


def _check(rootfs: str, program: Program, *, cwd: str, what: str) -> None:
    """Raise ImageError where the kernel will not execute a program. what: its name in messages."""
    for _ in range(_MOST_SCRIPTS + 1):
        path, host_path = program
        fd = os.open(host_path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(fd, "rb", buffering=0) as file:
            start = file.read(_FIRST_BYTES)
            if start.startswith(_ELF):
                _check_elf(file.fileno(), rootfs, cwd=cwd, what=what)
                return
        if not start.startswith(b"#!"):
            _check_other(path, start, what)
            return
        program = _interpreter(rootfs, start, cwd=cwd, what=what)
        what = f"the interpreter {program[0]!r} of {what}"
    raise ImageError(f"{what} is a script, as are those before it; its author has to name a program")


def _interpreter(rootfs: str, start: bytes, *, cwd: str, what: str) -> Program:
    """Return the program that a script's first line names. Raises ImageError where the kernel finds none."""
    line, newline, _ = start[2:].partition(b"\n")
    # Only blanks and tabs separate: `#!/bin/sh` with the line end of Windows asks for `sh\r`.
    words = line.lstrip(b" \t").replace(b"\t", b" ").replace(b"\0", b" ").split(b" ")
    name = os.fsdecode(words[0])
    is_cut = not newline and len(start) == _FIRST_BYTES and len(words) == 1
    if not name or is_cut:
        raise ImageError(
            f"{what} names no interpreter in its first line, or one of more than {_FIRST_BYTES} bytes; its author has "
            "to begin it with a line such as #!/bin/sh"
        )
    if name.endswith("\r"):
        raise ImageError(
            f"{what} has CR LF line ends, so the kernel looks for the interpreter {name!r}; its author has to convert "
            "it to LF and build the image again"
        )
    path = os.path.join(cwd, name)
    host_path = _executable(rootfs, path)
    if host_path is None:
        raise ImageError(
            f"the interpreter {name!r} of {what} (from its first line) is not in the image, or not executable; its "
            "author has to install or name another"
        )
    return path, host_path


def _check_other(path: str, start: bytes, what: str) -> None:
    """Raise ImageError for a file that is neither a script nor an ELF program, unless binfmt_misc may know it."""
    if start.startswith((b"\xef\xbb\xbf#!", b"\xff\xfe", b"\xfe\xff")):
        raise ImageError(
            f"{what} begins with a byte order mark, with which the kernel executes no script; its author has to save "
            "it as UTF-8 without one"
        )
    if _may_be_registered(path, start):
        return
    fault = (
        "is empty" if not start else "is neither an ELF program nor a script whose first line begins with #!"
    )
    raise ImageError(
        f"{what} {fault}, and the kernel executes nothing else; its author has to begin it with a line such as "
        "#!/bin/sh, or build it for Linux"
    )


def _may_be_registered(path: str, start: bytes) -> bool:
    """Tell whether binfmt_misc (Documentation/admin-guide/binfmt-misc.rst) may have an interpreter for a file."""
    try:
        names = os.listdir(_BINFMT)
    except OSError:
        names = []
    if "status" not in names:
        # It is not mounted here, as in most containers. A magic number is no plain text, so a text file is in none.
        return b"\0" in start and _kernel_has_binfmt()
    entries = [_lines(os.path.join(_BINFMT, name)) for name in names if name not in ("register", "status")]
    enabled = _lines(os.path.join(_BINFMT, "status"))[:1] == ["enabled"]
    return enabled and any(_matches(lines, path, start) for lines in entries)


def _kernel_has_binfmt() -> bool:
    return any(line.endswith("binfmt_misc") for line in _lines("/proc/filesystems"))


def _lines(path: str) -> list[str]:
    with suppress(OSError), open(path, encoding="utf-8", errors="replace") as file:
        return file.read().splitlines()
    return []


def _matches(lines: list[str], path: str, start: bytes) -> bool:
    """Tell whether an entry of binfmt_misc is for a file. lines: those of the entry's own file."""
    if lines[:1] != ["enabled"]:
        return False
    fields = dict(line.split(" ", 1) for line in lines[1:] if " " in line)
    if "extension" in fields:
        return os.path.basename(path).endswith(fields["extension"])
    try:
        offset, magic = int(fields["offset"]), bytes.fromhex(fields["magic"])
        mask = bytes.fromhex(fields.get("mask", "ff" * len(magic)))
    except (KeyError, ValueError):
        return True  # the form of the entry is not known here, so the kernel has to decide
    part = start[offset : offset + len(magic)]
    return len(part) == len(magic) and all(
        (one ^ other) & bits == 0 for one, other, bits in zip(part, magic, mask, strict=False)
    )


def _check_elf(fd: int, rootfs: str, *, cwd: str, what: str) -> None:
    """Raise ImageError for an ELF program (elf(5)) of another machine, or one whose loader is not in the image."""
    header = os.pread(fd, 64, 0)
    order: Order = "big" if header[5:6] == b"\2" else "little"
    kind, machine = (int.from_bytes(header[at : at + 2], order) for at in (16, 18))
    is_whole = len(header) >= _SMALLEST_HEADER and kind in (2, 3)
    if is_whole and not _runs_here(header, machine, order):
        raise ImageError(
            f"{what} is a program for {_NAMES.get(machine, f'machine {machine} of elf.h')}, and this host is "
            f"{os.uname().machine}; choose another image or {option('--platform')}, or register an emulator such as "
            "qemu-user-static"
        )
    loader = _loader(fd, header, order) if is_whole else None
    if loader is None:
        raise ImageError(
            f"{what} is no whole ELF program, so the kernel does not execute it; its author has to build it again"
        )
    if loader and _executable(rootfs, os.path.join(cwd, loader)) is None:
        raise ImageError(
            f"the loader {loader!r} of {what}, which is linked with shared libraries, is not in the image; its "
            "author has to install the C library that it was built with, or to link it statically"
        )


def is_static(path: str) -> bool:
    """Tell whether a file of the host is a program for it that needs no libraries. Raises OSError."""
    with open(path, "rb") as file:
        header = os.pread(file.fileno(), 64, 0)
        order: Order = "big" if header[5:6] == b"\2" else "little"
        machine = int.from_bytes(header[18:20], order)
        return (
            header.startswith(_ELF)
            and _runs_here(header, machine, order)
            and _loader(file.fileno(), header, order) == ""
        )


def _runs_here(header: bytes, machine: int, order: "Order") -> bool:
    ours = _MACHINES.get(os.uname().machine)
    return ours is None or (machine in ours and order == sys.byteorder) or _is_emulated(header)


def _is_emulated(header: bytes) -> bool:
    """Tell whether binfmt_misc has an emulator for programs with such a header, by asking the kernel.

    The shim executes a header of its own, without any code. An emulator that takes it ends at once.
    """
    ident = header[4:6]
    stub = (_ELF + ident + b"\1").ljust(16, b"\0") + header[16:20]
    stub += (1).to_bytes(4, "big" if ident[1:] == b"\2" else "little")
    with Child() as child:
        try:
            program = child.open(os.memfd_create, "header")
            os.write(program.fileno(), stub.ljust(64, b"\0"))
            null = child.open(os.open, os.devnull, os.O_RDWR | os.O_CLOEXEC)
            streams = dict.fromkeys((0, 1, 2), null.fileno())
            child.spawn([f"/proc/self/fd/{program.fileno()}"], {}, files=streams)
        except OSError as error:
            # Where files in memory must not be executed (vm.memfd_noexec), the answer is unknown. The kernel decides.
            return error.errno != errno.ENOEXEC
        child.wait()
    return True


def _loader(fd: int, header: bytes, order: "Order") -> str | None:
    """Return the loader that an ELF program names (PT_INTERP), empty for none; None where the kernel cannot read it."""
    wide = header[4:5] == b"\2"

    def number(data: bytes, narrow: tuple[int, int], broad: tuple[int, int]) -> int:
        at, size = broad if wide else narrow
        return int.from_bytes(data[at : at + size], order)

    table, entry = number(header, (28, 4), (32, 8)), number(header, (42, 2), (54, 2))
    count = number(header, (44, 2), (56, 2))
    if (
        len(header) < (64 if wide else 52)
        or entry != (56 if wide else 32)
        or not 0 < count * entry <= _LARGEST_TABLE
    ):
        return None
    data = os.pread(fd, count * entry, table)
    if len(data) < count * entry:
        return None
    for start in range(0, len(data), entry):
        one = data[start : start + entry]
        if int.from_bytes(one[:4], order) == _PT_INTERP:
            offset, size = number(one, (4, 4), (8, 8)), number(one, (16, 4), (32, 8))
            name = os.pread(fd, size, offset) if 2 <= size <= rootfs_path.PATH_MAX else b""
            return os.fsdecode(name.split(b"\0")[0]) if name.endswith(b"\0") and len(name) == size else None
    return ""

"""The Python interpreter that the shim's own programs are started with.

`sys.executable` is not always Python: PyInstaller and its like put their own program there, uWSGI may put `uwsgi`, and
a program in C that embeds Python may leave it empty. To start such a program with Python's arguments starts the
program that embeds the shim once more, or worse.
"""

import os
import sys
from collections.abc import Iterator, Mapping

from tweed_shim import __version__
from tweed_shim.errors import HostError

OLDEST = (3, 11)
PROBE_SECONDS = 10.0
NO_PACKAGE = 78  # EX_CONFIG of sysexits.h
_IMPORT = """
import json, sys
settings = json.loads(sys.argv[1])
if settings["path"] is not None:
    sys.path[:] = settings["path"]
try:
    import tweed_shim
    if tweed_shim.__version__ != {version!r}:
        sys.exit({code})
    from tweed_shim import {module}
except ImportError:
    sys.exit({code})
"""
_PROBE = f"import sys; print(sys.version_info >= {OLDEST})"
# What PyInstaller makes the loader search first is not for programs outside of its bundle; it keeps the old values.
_LOADER_VARIABLES = ("LD_LIBRARY_PATH", "LD_PRELOAD")

_chosen = ""
_found = ""


def choose(path: str) -> None:
    """Use an interpreter from now on, in all of this process. Raises HostError where it is none that can be used."""
    global _chosen  # noqa: PLW0603, RUF100 - as sys.executable, it is one for the process
    if not _is_usable(path):
        raise HostError(
            f"{path} is no Python interpreter of version {_version(OLDEST)} or newer; name another one with the "
            "argument python of Shim"
        )
    _chosen = path


def find() -> str:
    """The path of the interpreter. Raises HostError where none is found."""
    global _found  # noqa: PLW0603, RUF100 - as above
    if _chosen:
        return _chosen
    executable = sys.executable or ""
    if not is_frozen() and _is_named_python(executable) and os.access(executable, os.X_OK):
        return executable
    if not (_found and os.access(_found, os.X_OK)):
        _found = next(filter(_is_usable, _candidates()), "")
    if _found:
        return _found
    raise HostError(
        f"no Python interpreter is found, which the shim needs to start programs of its own (sys.executable is "
        f"{sys.executable!r}): install Python {_version(OLDEST)} or newer, or name it with the argument python of Shim"
    )


def source_directory() -> str:
    """The directory that the package `tweed_shim` is in, as files. Raises HostError where it is not there as files."""
    package = os.path.dirname(os.path.abspath(__file__))
    if not os.path.isfile(os.path.join(package, "becoming.py")):
        raise HostError(
            f"the shim's source files are not in {package}, where programs of its own need them: have the program that "
            "embeds it collect them (PyInstaller: --collect-all tweed_shim)"
        )
    return os.path.dirname(package)


def import_path() -> list[str] | None:
    """Where the shim's own programs import from: as this one; None for where they themselves do.

    The modules of a frozen program are inside of its executable, where no other interpreter finds them.
    """
    return None if is_frozen() else sys.path


def import_in_child(module: str) -> str:
    """Return the code with which a program of the shim's own imports a module of the package.

    Its first argument is JSON with `path`, see `import_path`. It ends with NO_PACKAGE where there is no such package,
    or one of another version.
    """
    return _IMPORT.format(version=__version__, code=NO_PACKAGE, module=module)


def no_package(what: str) -> HostError:
    """Return the error for a child that ended with NO_PACKAGE. what: what it was to do, as a subject."""
    if not is_frozen():
        return HostError(
            f"{what} could not be done: a part of tweed-shim is missing; install tweed-shim anew"
        )
    return HostError(
        f"{what} takes tweed-shim {__version__} installed for a Python interpreter outside of this frozen program, and "
        f"{find()} has none: install it in a virtual environment, and name that one's bin/python with the argument "
        "python of Shim"
    )


def environment(environ: Mapping[str, str]) -> dict[str, str]:
    """An environment for programs outside of a frozen program's bundle."""
    found = dict(environ)
    if is_frozen():
        for name in _LOADER_VARIABLES:
            original = found.pop(f"{name}_ORIG", None)
            found.pop(name, None)
            if original is not None:
                found[name] = original
    return found


def is_frozen() -> bool:
    """Whether the program is a bundle of its own code and Python, as PyInstaller and cx_Freeze make it."""
    return bool(getattr(sys, "frozen", False))


def _version(version: tuple[int, int]) -> str:
    return ".".join(map(str, version))


def _is_named_python(path: str) -> bool:
    return os.path.isabs(path) and os.path.basename(path).startswith(("python", "pypy"))


def _candidates() -> Iterator[str]:
    from tweed_shim.idmap import find_program

    names = (f"python{_version(sys.version_info[:2])}", "python3")
    if not is_frozen():
        # The prefix of a bundle is the bundle.
        yield getattr(sys, "_base_executable", None) or ""
        yield from (
            os.path.join(prefix, "bin", name) for prefix in (sys.prefix, sys.base_prefix) for name in names
        )
    yield from (find_program(name) or "" for name in names)


def _is_usable(path: str) -> bool:
    """Whether a program is an interpreter that is new enough: it is asked, unless it is not even called Python.

    Another program would do what nobody wants, the one that embeds the shim start itself without end.
    """
    from tweed_shim.children import Child

    own = os.path.realpath(sys.executable) if is_frozen() and sys.executable else ""
    if not _is_named_python(path) or not os.access(path, os.X_OK) or os.path.realpath(path) == own:
        return False
    with Child() as child:
        read, write = child.pipe()
        null = child.open(os.open, os.devnull, os.O_RDWR | os.O_CLOEXEC)
        files = {0: null.fileno(), 1: write.fileno(), 2: null.fileno()}
        try:
            child.spawn([path, "-I", "-S", "-c", _PROBE], environment(os.environ), files=files)
        except OSError:
            return False
        write.close()
        return _answer(read.fileno()) == b"True\n"


def _answer(fd: int) -> bytes:
    """What a program writes within its time."""
    import select
    import time

    deadline = time.monotonic() + PROBE_SECONDS
    answer = b""
    while (left := deadline - time.monotonic()) > 0 and select.select([fd], [], [], left)[0]:
        data = os.read(fd, 64)
        if not data or len(answer) > 64:
            break
        answer += data
    return answer

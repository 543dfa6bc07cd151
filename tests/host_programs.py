"""An image of this host's own programs: busybox, and besides it Python with ctypes, which can make any system call."""

import glob
import os
import re
import shutil
import subprocess
from collections.abc import Iterable

import pytest

from layouts import File, Files, Layer, LayoutWriter, busybox_files, directory

PYTHON = "/usr/bin/python3"
PROGRAMS = ("bash", "curl", "git", "openssl", "perl", "redis-cli", "redis-server")
# Some of them are single files in older versions of Python.
PACKAGES = (
    *("collections", "ctypes", "encodings", "importlib", "json", "lib-dynload", "pathlib", "re"),
    *("string", "sysconfig"),
)
HOST_DIRECTORIES = ("/usr/bin", "/bin", "/usr/sbin")


def _libraries(program: str) -> set[str]:
    """The shared libraries of a program, and the loader, by the paths under which it asks for them (ldd(1))."""
    said = subprocess.run(["ldd", program], capture_output=True, text=True, check=False).stdout
    return set(re.findall(r"(/\S+) \(0x", said))


def with_libraries(programs: Iterable[str]) -> dict[str, File]:
    wanted = {path for program in programs for path in (program, *_libraries(program))}
    files = {}
    for path in sorted(wanted):
        with open(path, "rb") as file:
            files[path.lstrip("/")] = File(file.read(), mode=0o755)
    return files


def _python_files() -> dict[str, File]:
    real = os.path.realpath(PYTHON)
    home = f"/usr/lib/{os.path.basename(real)}"
    sources = glob.glob(f"{home}/*.py")
    for package in PACKAGES:
        sources += glob.glob(f"{home}/{package}/**/*.py", recursive=True)
    modules = glob.glob(f"{home}/lib-dynload/_*.so") + glob.glob(f"{home}/lib-dynload/[a-z]*.so")
    files = with_libraries([real, *modules])
    files[PYTHON.lstrip("/")] = files[real.lstrip("/")]
    for path in sources:
        with open(path, "rb") as file:
            files[path.lstrip("/")] = File(file.read())
    return files


def _installed() -> list[str]:
    path = os.pathsep.join(HOST_DIRECTORIES)
    return [found for name in PROGRAMS if (found := shutil.which(name, path=path))]


@pytest.fixture(scope="session")
def programs_layer() -> Files:
    """The files of an image's first layer: busybox, Python, and those of PROGRAMS that this host has."""
    parents = {name: directory() for name in ("usr/bin", "usr/lib", "lib", "lib64", "etc")}
    return {**busybox_files(), **parents, **with_libraries(_installed()), **_python_files()}


class ProgramsImage:
    """Makes images in whose first layer this host's programs are, each with an entrypoint of its own."""

    def __init__(self, place: str, programs: Files) -> None:
        self._writer = LayoutWriter(place)
        self._programs = programs
        self._count = 0

    def __call__(self, entrypoint: str, *, user: str = "", workdir: str = "") -> str:
        """The reference of an image whose entrypoint is the given text of a script, its first line included."""
        self._count += 1
        top = Layer({"entrypoint": File(entrypoint.encode(), mode=0o755)}, "none")
        config = {"Entrypoint": ["/entrypoint"], "User": user, "WorkingDir": workdir}
        image = self._writer.image([Layer(self._programs, "none"), top], config)
        tag = f"image-{self._count}"
        self._writer.tag(tag, image)
        return f"oci:{self._writer.path}:{tag}"


@pytest.fixture(scope="session")
def programs_image(public_directory: str, programs_layer: Files) -> ProgramsImage:
    """See ProgramsImage."""
    return ProgramsImage(os.path.join(public_directory, "programs"), programs_layer)

"""Programs that the kernel will not execute are refused with the reason; those that it executes are accepted."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from elf_programs import ELSEWHERE, elf
from installed import Shim
from layouts import File, Layer, LayoutWriter, busybox_files
from tweed_shim.errors import ImageError
from tweed_shim.runtime import executables

LOADER = "/lib/ld.so"


@pytest.fixture
def rootfs(tmp_path: Path) -> Path:
    for directory in ("bin", "lib", "app"):
        (tmp_path / directory).mkdir()
    write(tmp_path / "bin/sh", elf())
    write(tmp_path / "lib/ld.so", elf())
    return tmp_path


def write(path: Path, data: bytes) -> None:
    path.write_bytes(data)
    path.chmod(0o755)


def fault(rootfs: Path, data: bytes) -> str:
    """Return why a program with this content is refused, an empty text where it is not."""
    write(rootfs / "app/run", data)
    try:
        executables.find_executable(str(rootfs), "/app/run", cwd="/", path_variable="/bin")
    except ImageError as error:
        return str(error)
    return ""


REFUSED = {
    "empty": (b"", "is empty"),
    "no first line": (
        b"echo hello\n",
        "is neither an ELF program nor a script whose first line begins with #!",
    ),
    "a byte order mark": (b"\xef\xbb\xbf#!/bin/sh\n", "begins with a byte order mark"),
    "UTF-16": ("#!/bin/sh\n".encode("utf-16"), "begins with a byte order mark"),
    "CR LF": (b"#!/bin/sh\r\n", r"has CR LF line ends, so the kernel looks for the interpreter '/bin/sh\r'"),
    "no interpreter": (b"#!\n", "names no interpreter"),
    "blanks": (b"#! \t \n", "names no interpreter"),
    "a long interpreter": (b"#!/" + b"x" * 300 + b"\n", "names no interpreter"),
    "a missing interpreter": (b"#!/bin/bash\n", "the interpreter '/bin/bash' of the entrypoint '/app/run'"),
    "a missing loader": (
        elf(loader="/lib64/ld-linux.so.2"),
        "the loader '/lib64/ld-linux.so.2' of the entrypoint",
    ),
    "a loader at the end": (elf(loader="/nowhere", at=5000), "the loader '/nowhere'"),
    "another machine": (elf(ELSEWHERE), "is a program for "),
    "an unknown machine": (elf(60000), "is a program for machine 60000 of elf.h"),
    "another order of bytes": (elf(order=">"), "is a program for "),
    "a loader of another machine": (elf(ELSEWHERE, LOADER), "is a program for "),
    "a header that ends": (elf()[:20], "is no whole ELF program"),
    "a table that ends": (elf()[:100], "is no whole ELF program"),
    "no segments": (elf()[:56] + bytes(8), "is no whole ELF program"),
    "a library's object": (elf()[:16] + b"\1\0" + elf()[18:], "is no whole ELF program"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_file_that_the_kernel_does_not_execute_is_refused_with_the_reason(rootfs: Path, case: str) -> None:
    data, reason = REFUSED[case]
    message = fault(rootfs, data)
    assert reason in message
    assert "'/app/run'" in message
    assert re.search("; (its author has to|choose another image) ", message), "there is a remedy"


@pytest.mark.parametrize(
    "data",
    [
        elf(),
        elf(loader=LOADER),
        elf(loader="lib/ld.so"),
        elf(loader=LOADER, at=5000),
        elf(wide=False),
        elf(loader=LOADER, wide=False),
        b"#!/bin/sh",
        b"#!/bin/sh -x\n\xff\xfe",
        b"#!  /bin/sh\t" + b"x" * 300,
    ],
)
def test_a_file_that_the_kernel_executes_is_accepted(rootfs: Path, data: bytes) -> None:
    assert fault(rootfs, data) == ""


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="i386 is x86_64's sibling")
def test_programs_of_the_32_bit_machine_are_accepted(rootfs: Path) -> None:
    assert fault(rootfs, elf(3, wide=False)) == ""


@pytest.mark.parametrize(("scripts", "refused"), [(5, False), (6, True)])
def test_an_interpreter_may_be_a_script_as_often_as_in_the_kernel(
    rootfs: Path, scripts: int, refused: bool
) -> None:
    for number in range(1, scripts):
        write(rootfs / f"app/{number}", f"#!/app/{number + 1}\n".encode())
    write(rootfs / f"app/{scripts}", b"#!/bin/sh\n")
    assert ("is a script" in fault(rootfs, b"#!/app/2\n")) is refused


def test_the_fault_of_an_interpreter_names_it(rootfs: Path) -> None:
    write(rootfs / "bin/odd", b"text")
    assert fault(rootfs, b"#!/bin/odd\n").startswith(
        "the interpreter '/bin/odd' of the entrypoint '/app/run' is"
    )


@pytest.mark.parametrize(
    "data", [elf(), elf(ELSEWHERE), b"text\n", b"", b"#!\n", b"\xef\xbb\xbf#!/bin/sh\n", elf()[:20]]
)
def test_the_kernel_refuses_what_is_refused(tmp_path: Path, data: bytes) -> None:
    """A program without code is executed and dies, so only refused ones are compared."""
    write(tmp_path / "run", data)
    try:
        executables.find_executable("/", str(tmp_path / "run"), cwd="/", path_variable="/bin")
    except ImageError:
        with pytest.raises(OSError, match="Exec format error"):
            subprocess.run([str(tmp_path / "run")], check=False)


TORN = st.builds(
    lambda cut, extra: elf(loader=LOADER)[:cut] + extra, st.integers(0, 200), st.binary(max_size=90)
)


@given(st.binary(max_size=300) | TORN)
def test_no_file_breaks_the_check(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    root = tmp_path_factory.getbasetemp() / "any"
    (root / "app").mkdir(parents=True, exist_ok=True)
    fault(root, data)


# Emulators


def registered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, entries: dict[str, str], *, status: str = "enabled"
) -> None:
    place = tmp_path / "binfmt"
    place.mkdir()
    for name, text in {"register": "", "status": status, **entries}.items():
        (place / name).write_text(f"{text}\n", encoding="ascii")
    monkeypatch.setattr(executables, "_BINFMT", str(place))


@pytest.mark.parametrize(
    ("entry", "data", "taken"),
    [
        ("enabled\ninterpreter /x\nflags: \noffset 0\nmagic 4d5a", b"MZ\0", True),
        ("enabled\ninterpreter /x\nflags: \noffset 2\nmagic 4d5a", b"__MZ", True),
        ("enabled\ninterpreter /x\nflags: \noffset 0\nmagic 4d00\nmask ff00", b"MZ\0", True),
        ("enabled\ninterpreter /x\nflags: \noffset 0\nmagic 4d00\nmask ffff", b"MZ\0", False),
        ("enabled\ninterpreter /x\nflags: \noffset 0\nmagic 4d5a", b"M", False),
        ("disabled\ninterpreter /x\nflags: \noffset 0\nmagic 4d5a", b"MZ\0", False),
        ("enabled\ninterpreter /x\nflags: \nextension .run", b"text", False),
        ("enabled\ninterpreter /x\nflags: \nextension un", b"text", True),
        ("enabled\nof another kind", b"text", True),
    ],
)
def test_a_file_that_binfmt_misc_knows_is_accepted(
    rootfs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, entry: str, data: bytes, taken: bool
) -> None:
    registered(tmp_path, monkeypatch, {"entry": entry})
    assert (fault(rootfs, data) == "") is taken


def test_binfmt_misc_that_is_disabled_counts_for_nothing(
    rootfs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    registered(tmp_path, monkeypatch, {"entry": "enabled\noffset 0\nmagic 4d5a"}, status="disabled")
    assert "is neither" in fault(rootfs, b"MZ\0")


@pytest.mark.parametrize("kernel", [True, False])
def test_where_binfmt_misc_cannot_be_seen_text_is_refused(
    rootfs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kernel: bool
) -> None:
    monkeypatch.setattr(executables, "_BINFMT", str(tmp_path / "nowhere"))
    monkeypatch.setattr(executables, "_kernel_has_binfmt", lambda: kernel)
    assert fault(rootfs, b"echo hello\n") != ""
    assert (fault(rootfs, b"MZ\0") == "") is kernel


def test_a_program_for_an_emulated_machine_is_accepted(rootfs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[bytes] = []
    spawn = os.posix_spawn

    def emulated(path: str, arguments: list[str], environment: dict[str, str], **options: object) -> int:
        asked.append(Path(path).read_bytes())
        return spawn(sys.executable, [sys.executable, "-c", ""], environment)

    monkeypatch.setattr(os, "posix_spawn", emulated)
    assert fault(rootfs, elf(ELSEWHERE)) == ""
    assert fault(rootfs, elf(ELSEWHERE, "/nowhere")) != "", "its loader is still looked for"
    assert asked[0] == elf(ELSEWHERE)[:24].ljust(64, b"\0"), "nothing of the image is executed"


@pytest.mark.parametrize("account", ["root", "range"], indirect=True)
@pytest.mark.parametrize(
    "case", ["no first line", "a byte order mark", "a missing loader", "another machine"]
)
def test_an_image_that_cannot_be_executed_is_refused_by_name(
    shim: Shim, public_directory: str, case: str
) -> None:
    data, said = REFUSED[case]
    layout = os.path.join(public_directory, f"not-executable-{shim.account.kind}-{case.replace(' ', '-')}")
    writer = LayoutWriter(layout)
    files = {**busybox_files(), "run": File(data, mode=0o755)}
    writer.tag("latest", writer.image([Layer(files)], {"Entrypoint": ["/run"]}))
    done = shim.run("exec", f"oci:{layout}", "metadata")
    assert (done.code, done.out) == (125, b"")
    message = done.err.decode().splitlines()[-1]
    assert message.startswith(f"tweed-shim: oci:{layout}: ")
    assert said in message
    assert "'/run'" in message
    assert shim.run("logs", "--json").out == b"[]\n"

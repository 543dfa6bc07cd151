"""A program in the container tries to escape: each attempt is made, and fails."""

import glob
import hashlib
import json
import os
import secrets
import shutil
import socket
import tarfile
from collections.abc import Iterator
from typing import NamedTuple

import pytest

from host_programs import PYTHON, ProgramsImage
from hostile import attempts
from installed import Shim
from layouts import File, Files, build_layout
from script_images import METADATA, ScriptImage

SYMLINK = tarfile.SYMTYPE
# What the kernel or the filter answers. ENOSYS is for what is not there at all: clone3, a personality that is not
# allowed, a call that nobody knows; EAFNOSUPPORT is for sockets of other kinds.
REFUSALS = {
    "EPERM",
    "EACCES",
    "ENOENT",
    "ENOTDIR",
    "ENOSYS",
    "EROFS",
    "ECONNREFUSED",
    "ESRCH",
    "EAFNOSUPPORT",
}
# Those whose answer has to be the filter's own, whatever the kernel would say.
FILTERED = {
    "EPERM": (
        "add_a_key ask_for_the_session_keyring be_traced change_a_mount clone_a_mount clone_into_a_user_namespace "
        "enter_a_namespace handle_page_faults load_a_module load_a_program_into_the_kernel load_another_kernel "
        "make_a_ring_of_calls mount_a_tmpfs mount_a_bind move_a_mount open_a_filesystem pivot_to_another_root "
        "read_the_users_keyring reboot_the_machine request_a_key trace_the_first_process unmount_a_mask unmount_proc "
        "unshare_a_mount_namespace unshare_a_user_namespace watch_the_machine"
    ),
    "ENOSYS": (
        "clone3_into_a_user_namespace make_a_call_that_is_newer_than_all switch_off_address_randomisation"
    ),
    "EAFNOSUPPORT": (
        "make_a_pair_of_sockets_to_the_hypervisor open_a_packet_socket open_a_socket_of_bluetooth "
        "open_a_socket_to_the_hypervisor open_a_socket_to_the_kernels_cryptography"
    ),
}


class Host(NamedTuple):
    """Files and sockets of the host that a container could find."""

    canary: str
    port: int
    abstract: str


@pytest.fixture
def host(public_directory: str) -> Iterator[Host]:
    canary = os.path.join(public_directory, "canary")
    with open(canary, "w", encoding="utf-8") as file:
        file.write("of the host")
    abstract = f"tweed-{secrets.token_hex(8)}"
    with socket.create_server(("127.0.0.1", 0)) as tcp, socket.socket(socket.AF_UNIX) as unix:
        unix.bind("\0" + abstract)
        unix.listen()
        yield Host(canary, tcp.getsockname()[1], abstract)
    os.unlink(canary)


@pytest.fixture(scope="session")
def escapes_image(programs_image: ProgramsImage) -> str:
    with open(attempts.__file__, encoding="utf-8") as file:
        return programs_image(f"#!{PYTHON} -I\n{file.read()}")


def make_attempts(shim: Shim, image: str, host: Host, *options: str) -> dict[str, str]:
    disk = os.stat("/").st_dev
    told = {
        "canary": host.canary,
        "store": shim.root,
        "port": str(host.port),
        "abstract": host.abstract,
        "disk": f"{os.major(disk)}:{os.minor(disk)}",
    }
    done = shim.run("exec", image, "configure", *options, stdin=json.dumps(told).encode())
    assert done.code == 0, done
    outcomes: dict[str, str] = json.loads(done.out)
    assert outcomes.keys() == attempts.attempts.keys(), "every attempt was made"
    return outcomes


def test_no_attempt_to_escape_succeeds(shim: Shim, escapes_image: str, host: Host) -> None:
    # What the attempts look for in another cloud is there to be found.
    make_attempts(shim, escapes_image, host, "--network", "none", "--cloud", "other")
    [data] = glob.glob(os.path.join(shim.root, "clouds", "other", "config", "current", "data"))
    with open(os.path.join(data, "secret-of-another"), "w", encoding="utf-8") as file:
        file.write("secret")
    outcomes = make_attempts(shim, escapes_image, host, "--network", "none")
    assert {name: how for name, how in outcomes.items() if how not in REFUSALS} == {}
    for answer, names in FILTERED.items():
        assert {name: outcomes[name] for name in names.split() if outcomes[name] != answer} == {}


def test_with_the_hosts_network_the_same_attempts_reach_its_sockets(
    shim: Shim, escapes_image: str, host: Host
) -> None:
    outcomes = make_attempts(shim, escapes_image, host, "--network", "host")
    reached = {name for name, how in outcomes.items() if how == attempts.SUCCEEDED}
    assert reached == {"connect_to_the_hosts_loopback", "connect_to_the_hosts_abstract_socket"}


def test_without_the_profile_and_with_capabilities_the_same_attempts_succeed(
    shim: Shim, escapes_image: str, host: Host
) -> None:
    options = (
        "--network",
        "none",
        "--seccomp",
        "unconfined",
        "--cap-add",
        "SYS_ADMIN",
        "--cap-add",
        "SYS_PTRACE",
    )
    outcomes = make_attempts(shim, escapes_image, host, *options)
    succeeding = "mount_a_tmpfs unshare_a_mount_namespace name_the_host be_traced ask_for_the_session_keyring"
    assert {name: outcomes[name] for name in succeeding.split() if outcomes[name] != attempts.SUCCEEDED} == {}


def program_of_the_runtime() -> tuple[str, int, int]:
    path = shutil.which("runc", path="/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
    assert path is not None
    about = os.stat(path)
    with open(path, "rb") as file:
        return hashlib.sha256(file.read()).hexdigest(), about.st_mtime_ns, about.st_ino


# CVE-2019-5736: the first program of the container is the runtime itself, which then can be opened and overwritten.
@pytest.mark.parametrize(
    ("entrypoint", "files"),
    [
        ("/proc/self/exe", {}),
        ("/entrypoint", {"entrypoint": "#!/proc/self/exe\n"}),
        (
            "/entrypoint",
            {"entrypoint": "#!/proc/self/exe\n", "proc/self/exe": File(b"#!/bin/sh\n", mode=0o755)},
        ),
        ("/proc/self/exe", {"proc/self/exe": File(b"#!/bin/sh\n", mode=0o755)}),
        ("/entrypoint", {"entrypoint": File(kind=SYMLINK, link="/proc/self/exe")}),
    ],
)
def test_an_image_cannot_execute_the_runtime(
    shim: Shim, public_directory: str, request: pytest.FixtureRequest, entrypoint: str, files: Files
) -> None:
    before = program_of_the_runtime()
    layout = os.path.join(public_directory, f"runtime-{secrets.token_hex(4)}")
    build_layout(layout, entrypoint=(entrypoint,), files=files, compression="none")
    done = shim.run("exec", f"oci:{layout}", "metadata")
    shutil.rmtree(layout)
    assert done.code != 0
    assert done.out == b""
    assert program_of_the_runtime() == before


# CVE-2024-21626: a working directory that is a descriptor of the runtime's, and with it a place on the host.
def test_no_working_directory_leads_to_the_host(shim: Shim, script_image: ScriptImage, host: Host) -> None:
    script = f'cat "../../../../../../..{host.canary}"; {METADATA}'
    directories = [f"/proc/self/fd/{number}" for number in range(3, 12)]
    # Other names of the same: for the descriptors that runtimes were caught with.
    directories += [f"/proc/{name}/fd/{number}" for name in ("1", "thread-self") for number in (7, 8)]
    for directory in directories:
        done = shim.run("exec", script_image(script, workdir=directory), "metadata")
        assert b"of the host" not in done.out + done.err, directory
        assert done.code in (0, 125), done


def test_a_link_as_working_directory_leads_nowhere_else(
    shim: Shim, script_image: ScriptImage, host: Host
) -> None:
    for number in range(6, 9):
        files = {"work": File(kind=SYMLINK, link=f"/proc/self/fd/{number}/")}
        image = script_image(
            f'cat "../../../../../..{host.canary}"; {METADATA}', files=files, workdir="/work"
        )
        done = shim.run("exec", image, "metadata")
        assert b"of the host" not in done.out + done.err

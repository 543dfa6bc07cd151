"""Runs inside of the container: tries to get out of it, and reports how each attempt ended.

The first argument is the operation of the contract. `configure` reads what the host has for it to find, makes each
attempt in a process of its own, and writes one JSON object: of each attempt's name, the name of the error that ended
it, `killed by N`, or `SUCCEEDED` with what it brought.
"""

import ctypes
import errno
import json
import os
import signal
import socket
import stat
import sys
from collections.abc import Callable

SUCCEEDED = "SUCCEEDED"
AT_FDCWD = -100
CLONE_NEWUSER, CLONE_NEWNS, CLONE_NEWNET = 0x10000000, 0x20000, 0x40000000
MS_BIND, MS_REMOUNT = 4096, 32
PTRACE_ATTACH, PTRACE_SEIZE, PTRACE_TRACEME = 16, 0x4206, 0
AF_ALG, AF_BLUETOOTH, AF_PACKET, AF_VSOCK = 38, 31, 17, 40
ADDR_NO_RANDOMIZE = 0x40000

# Numbers of the calls that C libraries do not wrap: (x86_64, aarch64).
NUMBERS = {
    "add_key": (248, 217),
    "bpf": (321, 280),
    "clone": (56, 220),
    "clone3": (435, 435),
    "delete_module": (176, 106),
    "finit_module": (313, 273),
    "fsopen": (430, 430),
    "init_module": (175, 105),
    "io_uring_setup": (425, 425),
    "kexec_load": (246, 104),
    "keyctl": (250, 219),
    "mount_setattr": (442, 442),
    "move_mount": (429, 429),
    "open_tree": (428, 428),
    "perf_event_open": (298, 241),
    "pivot_root": (155, 41),
    "request_key": (249, 218),
    "userfaultfd": (323, 282),
}
MACHINE = 1 if os.uname().machine == "aarch64" else 0

libc = ctypes.CDLL(None, use_errno=True)
told: dict[str, str] = {}
attempts: dict[str, Callable[[], object]] = {}


def attempt(run: Callable[[], object]) -> Callable[[], object]:
    attempts[run.__name__] = run
    return run


def check(result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result


def call(name: str, *arguments: object) -> int:
    """Make a system call by its number. Raises OSError."""
    wide = [ctypes.c_long(each) if isinstance(each, int) else each for each in arguments]
    return check(libc.syscall(ctypes.c_long(NUMBERS[name][MACHINE]), *wide))


def plain(name: str, *arguments: object) -> int:
    """Call a function of the C library. Raises OSError."""
    wide = [ctypes.c_long(each) if isinstance(each, int) else each for each in arguments]
    return check(getattr(libc, name)(*wide))


def write(path: str, text: str = "x") -> None:
    fd = os.open(path, os.O_WRONLY)
    try:
        os.write(fd, text.encode())
    finally:
        os.close(fd)


def absent(path: str) -> None:
    """Return an error if nothing is there, as it should be."""
    os.lstat(path)


# Mounts and namespaces


@attempt
def mount_a_tmpfs() -> None:
    os.makedirs("/tmp/here", exist_ok=True)
    plain("mount", b"none", b"/tmp/here", b"tmpfs", 0, None)


@attempt
def mount_a_bind() -> None:
    plain("mount", b"/", b"/tmp", None, MS_BIND, None)


@attempt
def mount_control_groups_for_a_release_agent() -> None:
    os.makedirs("/tmp/cgroup", exist_ok=True)
    plain("mount", b"cgroup", b"/tmp/cgroup", b"cgroup", 0, b"memory")


@attempt
def mount_proc_again() -> None:
    os.makedirs("/tmp/proc", exist_ok=True)
    plain("mount", b"proc", b"/tmp/proc", b"proc", 0, None)


@attempt
def make_proc_sys_writable() -> None:
    plain("mount", None, b"/proc/sys", None, MS_REMOUNT | MS_BIND, None)


@attempt
def unmount_a_mask() -> None:
    plain("umount2", b"/proc/kcore", 2)


@attempt
def unmount_proc() -> None:
    plain("umount2", b"/proc", 2)


@attempt
def pivot_to_another_root() -> None:
    call("pivot_root", b"/tmp", b"/tmp")


@attempt
def open_a_filesystem() -> None:
    call("fsopen", b"tmpfs", 0)


@attempt
def clone_a_mount() -> None:
    call("open_tree", AT_FDCWD, b"/", 1)


@attempt
def move_a_mount() -> None:
    call("move_mount", AT_FDCWD, b"/proc", AT_FDCWD, b"/tmp", 0)


@attempt
def change_a_mount() -> None:
    call("mount_setattr", AT_FDCWD, b"/proc/sys", 0, (ctypes.c_uint64 * 4)(0, 1, 0, 0), 32)


@attempt
def unshare_a_user_namespace() -> None:
    plain("unshare", CLONE_NEWUSER)


@attempt
def unshare_a_mount_namespace() -> None:
    plain("unshare", CLONE_NEWNS)


@attempt
def clone_into_a_user_namespace() -> None:
    if call("clone", CLONE_NEWUSER | signal.SIGCHLD, 0, 0, 0, 0) == 0:
        os._exit(0)


@attempt
def clone3_into_a_user_namespace() -> None:
    arguments = (ctypes.c_uint64 * 8)(CLONE_NEWUSER, 0, 0, 0, signal.SIGCHLD)
    if call("clone3", arguments, 64) == 0:
        os._exit(0)


@attempt
def enter_a_namespace() -> None:
    plain("setns", os.open("/proc/1/ns/net", os.O_RDONLY), CLONE_NEWNET)


@attempt
def leave_by_two_chroots() -> None:
    os.makedirs("/tmp/jail", exist_ok=True)
    os.chroot("/tmp/jail")
    os.chdir("../../../../../../..")
    for _ in range(64):
        os.chdir("..")
    os.chroot(".")
    absent(told["canary"])


# Other processes, and what the runtime may have left


@attempt
def see_a_process_of_the_host() -> None:
    # Process 1 is this program: its parent is outside, and has no number here.
    with open("/proc/1/status", encoding="ascii") as file:
        parent = next(int(line.split()[1]) for line in file if line.startswith("PPid:"))
    os.kill(parent or 2**22, 0)


@attempt
def see_a_stranger_in_proc() -> None:
    family = {"1", *(str(pid) for pid in (os.getpid(), os.getppid()))}
    strangers = [name for name in os.listdir("/proc") if name.isdigit() and name not in family]
    if not strangers:
        raise FileNotFoundError(errno.ENOENT, "only ours")


@attempt
def trace_the_first_process() -> None:
    plain("ptrace", PTRACE_SEIZE, 1, 0, 0)


@attempt
def be_traced() -> None:
    plain("ptrace", PTRACE_TRACEME, 0, 0, 0)


@attempt
def read_the_memory_of_the_first_process() -> None:
    vector = (ctypes.c_void_p * 2)(ctypes.cast(ctypes.create_string_buffer(8), ctypes.c_void_p).value, 8)
    plain("process_vm_readv", 1, vector, 1, vector, 1, 0)


@attempt
def reach_the_hosts_root_through_proc() -> None:
    for name in filter(str.isdigit, os.listdir("/proc")):
        absent(f"/proc/{name}/root{told['canary']}")


@attempt
def reach_the_host_through_an_open_file() -> None:
    listing = os.open("/proc/self/fd", os.O_RDONLY | os.O_DIRECTORY)
    left = [fd for fd in map(int, os.listdir(listing)) if fd > 2 and fd != listing and is_open(fd)]
    for fd in left:
        absent(f"/proc/self/fd/{fd}/..{told['canary']}")
    if not left:
        raise FileNotFoundError(errno.ENOENT, "none is left open")


def is_open(fd: int) -> bool:
    try:
        return stat.S_IFMT(os.fstat(fd).st_mode) != stat.S_IFIFO
    except OSError:
        return False


@attempt
def overwrite_the_program_that_started_us() -> None:
    # CVE-2019-5736: while the runtime is still there, its program is somebody's /proc/PID/exe.
    own = os.stat("/proc/self/exe")
    for name in filter(str.isdigit, os.listdir("/proc")):
        if not os.path.samestat(own, os.stat(f"/proc/{name}/exe")):
            os.open(f"/proc/{name}/exe", os.O_WRONLY)
            return
    raise FileNotFoundError(errno.ENOENT, "every process is a program of the image")


# The kernel


@attempt
def load_a_program_into_the_kernel() -> None:
    call("bpf", 0, (ctypes.c_uint32 * 32)(1, 4, 4, 1), 128)


@attempt
def ask_for_the_session_keyring() -> None:
    call("keyctl", 0, -3, 0)


@attempt
def read_the_users_keyring() -> None:
    call("keyctl", 11, -4, ctypes.create_string_buffer(64), 64)


@attempt
def add_a_key() -> None:
    call("add_key", b"user", b"tweed", b"x", 1, -3)


@attempt
def request_a_key() -> None:
    call("request_key", b"user", b"tweed", None, 0)


@attempt
def watch_the_machine() -> None:
    call("perf_event_open", (ctypes.c_uint32 * 32)(1, 128), -1, 0, -1, 0)


@attempt
def handle_page_faults() -> None:
    call("userfaultfd", 1)


@attempt
def make_a_ring_of_calls() -> None:
    call("io_uring_setup", 1, (ctypes.c_uint32 * 30)())


@attempt
def load_another_kernel() -> None:
    call("kexec_load", 0, 0, None, 0)


@attempt
def load_a_module() -> None:
    call("init_module", b"x", 1, b"")


@attempt
def load_a_module_from_a_file() -> None:
    call("finit_module", os.open("/entrypoint", os.O_RDONLY), b"", 0)


@attempt
def remove_a_module() -> None:
    call("delete_module", b"tweed_none", 0)


@attempt
def reboot_the_machine() -> None:
    # The harmless command: to have Ctrl-Alt-Del send a signal, as it does.
    plain("reboot", 0)


@attempt
def read_the_kernels_log() -> None:
    plain("klogctl", 3, ctypes.create_string_buffer(64), 64)


@attempt
def swap_to_a_file() -> None:
    plain("swapon", b"/entrypoint", 0)


@attempt
def set_the_clock() -> None:
    plain("settimeofday", (ctypes.c_long * 2)(0, 0), None)


@attempt
def open_a_file_by_its_handle() -> None:
    handle = ctypes.create_string_buffer(b"\x08\0\0\0\x01\0\0\0\x02\0\0\0\0\0\0\0")
    plain("open_by_handle_at", os.open("/", os.O_RDONLY), handle, 0)


@attempt
def switch_off_address_randomisation() -> None:
    plain("personality", ADDR_NO_RANDOMIZE)


@attempt
def name_the_host() -> None:
    socket.sethostname("mine")


@attempt
def make_a_call_that_is_newer_than_all() -> None:
    check(libc.syscall(ctypes.c_long(999)))


# Files of the kernel


@attempt
def set_the_core_pattern() -> None:
    write("/proc/sys/kernel/core_pattern", "|/entrypoint")


@attempt
def set_the_module_loader() -> None:
    write("/proc/sys/kernel/modprobe", "/entrypoint")


@attempt
def press_magic_keys() -> None:
    write("/proc/sysrq-trigger", "h")


@attempt
def steer_interrupts() -> None:
    write("/proc/irq/default_smp_affinity", "1")


@attempt
def write_to_sys() -> None:
    write("/sys/kernel/mm/transparent_hugepage/enabled", "never")


@attempt
def set_the_helper_of_uevents() -> None:
    write("/sys/kernel/uevent_helper", "/entrypoint")


@attempt
def set_a_release_agent() -> None:
    for place, _, names in os.walk("/sys/fs/cgroup"):
        if "release_agent" in names:
            write(os.path.join(place, "release_agent"), "/entrypoint")
            return
    raise FileNotFoundError(errno.ENOENT, "there is none")


@attempt
def read_the_machines_memory() -> None:
    with open("/proc/kcore", "rb") as file:
        if not file.read(1):
            raise PermissionError(errno.EACCES, "empty: masked")


@attempt
def read_everybodys_keys() -> None:
    with open("/proc/keys", "rb") as file:
        if not file.read(1):
            raise PermissionError(errno.EACCES, "empty: masked")


@attempt
def raise_the_oom_score_above_others() -> None:
    write("/proc/self/oom_score_adj", "-1000")


# Devices


@attempt
def make_a_character_device() -> None:
    os.mknod("/tmp/null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
    os.close(os.open("/tmp/null", os.O_RDWR))


@attempt
def make_a_block_device() -> None:
    os.mknod("/tmp/disk", stat.S_IFBLK | 0o666, os.makedev(*map(int, told["disk"].split(":"))))
    os.close(os.open("/tmp/disk", os.O_RDONLY))


@attempt
def open_the_memory_device() -> None:
    os.open("/dev/mem", os.O_RDWR)


@attempt
def open_the_log_device() -> None:
    os.open("/dev/kmsg", os.O_RDONLY)


# Sockets


@attempt
def open_a_socket_to_the_hypervisor() -> None:
    socket.socket(AF_VSOCK, socket.SOCK_STREAM)


@attempt
def open_a_socket_to_the_kernels_cryptography() -> None:
    socket.socket(AF_ALG, socket.SOCK_SEQPACKET)


@attempt
def open_a_socket_of_bluetooth() -> None:
    socket.socket(AF_BLUETOOTH, socket.SOCK_RAW)


@attempt
def make_a_pair_of_sockets_to_the_hypervisor() -> None:
    # The kernel makes one, and loads its module, before it finds that there are no pairs of them.
    plain("socketpair", AF_VSOCK, socket.SOCK_STREAM, 0, (ctypes.c_int * 2)())


@attempt
def open_a_packet_socket() -> None:
    socket.socket(AF_PACKET, socket.SOCK_RAW)


@attempt
def open_a_raw_socket() -> None:
    socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)


@attempt
def connect_to_the_hosts_loopback() -> None:
    with socket.socket() as connection:
        connection.connect(("127.0.0.1", int(told["port"])))


@attempt
def connect_to_the_hosts_abstract_socket() -> None:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect("\0" + told["abstract"])


# The host's files


@attempt
def read_a_file_of_the_host() -> None:
    absent(told["canary"])


@attempt
def read_the_store() -> None:
    absent(told["store"])


@attempt
def read_another_cloud() -> None:
    for place, _, names in os.walk("/tweed"):
        if "secret-of-another" in names:
            absent(os.path.join(place, "secret-of-another"))
            return
    raise FileNotFoundError(errno.ENOENT, "only our own")


def outcome(run: Callable[[], object]) -> str:
    try:
        run()
    except OSError as error:
        return errno.errorcode.get(error.errno or 0, "?")
    return SUCCEEDED


def made(run: Callable[[], object]) -> str:
    """Make an attempt in a process of its own, so that the next finds things as they were."""
    receive, send = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.write(send, outcome(run).encode())
        except Exception as error:  # noqa: BLE001 - a fault of the attempt itself is told to the test
            os.write(send, f"broken: {error!r}".encode())
        finally:
            os._exit(0)
    os.close(send)
    with open(receive, encoding="utf-8") as file:
        said = file.read()
    status = os.waitpid(pid, 0)[1]
    return said or f"killed by {os.WTERMSIG(status)}"


def main() -> None:
    if sys.argv[1] == "metadata":
        sys.stdout.write("backend: tweed/v1\nname: escapes\nversion: '1'\n")
        return
    told.update(json.load(sys.stdin))
    json.dump({name: made(run) for name, run in attempts.items()}, sys.stdout)


if __name__ == "__main__":
    main()

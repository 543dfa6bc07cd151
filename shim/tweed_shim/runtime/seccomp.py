"""The seccomp profile: the system calls that a container may make, as the `linux.seccomp` object of `config.json`.

The profile is a list of the allowed calls. It knows every call up to Linux 6.7, and the newer `uprobe` and `uretprobe`,
which the kernel itself puts into programs that are observed from outside. It treats a call in one of four ways:

- allowed: programs need it for their work inside of the container;
- allowed with a capability: without the capability the kernel would refuse it anyway. It is refused here as well, so
  that a fault in that part of the kernel cannot be reached;
- refused with EPERM: it reaches beyond the container, or faults of the kernel are frequent there;
- unknown, because it is newer than the profile or than the host's libseccomp: ENOSYS, the kernel's own answer for a
  call that it does not have. C libraries then fall back to an older call. EPERM would make them give up.

ENOSYS is the filter's default, and the known calls that are refused are named. With EPERM as the default, unknown calls
would be answered with ENOSYS by runc only, which adds a rule of its own for them. (Kinds of socket and
personalities that are not allowed get the default, too: programs see a kernel that does not have them.)

32-bit programs are allowed only where the image names a 32-bit architecture. The filter for their calls would cost each
run several milliseconds, and `socketcall` would be a way around the rules for sockets.

The format is that of the OCI Runtime Specification 1.0, `config-linux.md`, "Seccomp".
"""

from collections.abc import Collection, Iterable

from tweed_shim.base.lean.typing import Any
from tweed_shim.runtime.options import DEFAULT_SECCOMP, Profile

DEFAULT, UNCONFINED = DEFAULT_SECCOMP, "unconfined"

EPERM, EINVAL, ENOSYS, EAFNOSUPPORT = 1, 22, 38, 97
AF_UNIX, AF_INET, AF_INET6, AF_NETLINK, AF_PACKET = 1, 2, 10, 16, 17
NETLINK_AUDIT = 9
# Both make sockets: for socketpair(2) the kernel makes one of a family, and loads its module, before it refuses.
SOCKET_CALLS = ("socket", "socketpair")
WORD = 2**64 - 1
# CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID and NEWNET: clone(2).
NEW_NAMESPACES = (0x20000, 0x2000000, 0x4000000, 0x8000000, 0x10000000, 0x20000000, 0x40000000)
# PER_LINUX, PER_LINUX32, each also with UNAME26, and 0xFFFFFFFF, which asks for the present one: personality(2).
PERSONALITIES = (0x0, 0x8, 0x20000, 0x20008, 0xFFFFFFFF)

# Machines whose own programs are 64-bit, so that they need none of the calls in ALLOWED_32.
WIDE = ("aarch64", "riscv64", "x86_64")
# Machines that have no socketcall(2). 32-bit Arm is listed by its names in uname(2).
DIRECT = (*WIDE, "armv6l", "armv7l", "armv8l")
# The 32-bit programs that a machine runs besides its own, by the architecture that their images name.
NARROW = {("x86_64", "386"): "SCMP_ARCH_X86", ("aarch64", "arm"): "SCMP_ARCH_ARM"}
NATIVE = {"x86_64": "SCMP_ARCH_X86_64", "aarch64": "SCMP_ARCH_AARCH64"}

ALLOWED = {
    "files": """
        access chdir chmod chown close close_range copy_file_range creat dup dup2 dup3 faccessat faccessat2 fadvise64
        fallocate fchdir fchmod fchmodat fchmodat2 fchown fchownat fcntl fdatasync flock fstat fstatfs fsync ftruncate
        futimesat getcwd getdents getdents64 ioctl lchown link linkat lseek lstat mkdir mkdirat mknod mknodat
        name_to_handle_at newfstatat open openat openat2 pipe pipe2 pread64 preadv preadv2 pwrite64 pwritev pwritev2
        read readahead readlink readlinkat readv rename renameat renameat2 rmdir sendfile splice stat statfs statx
        symlink symlinkat sync sync_file_range syncfs tee truncate umask unlink unlinkat utime utimensat utimes write
        writev fgetxattr flistxattr fremovexattr fsetxattr getxattr lgetxattr listxattr llistxattr lremovexattr
        lsetxattr removexattr setxattr fanotify_mark inotify_add_watch inotify_init inotify_init1 inotify_rm_watch
        io_cancel io_destroy io_getevents io_pgetevents io_setup io_submit vmsplice
    """,
    "memory": """
        brk cachestat get_mempolicy madvise map_shadow_stack membarrier memfd_create memfd_secret mincore mlock mlock2
        mlockall mmap mprotect mremap msync munlock munlockall munmap pkey_alloc pkey_free pkey_mprotect
        remap_file_pages shmat shmctl shmdt shmget
    """,
    "waiting": """
        epoll_create epoll_create1 epoll_ctl epoll_ctl_old epoll_pwait epoll_pwait2 epoll_wait epoll_wait_old eventfd
        eventfd2 pause poll ppoll pselect6 select futex futex_requeue futex_wait futex_waitv futex_wake
        get_robust_list set_robust_list mq_getsetattr mq_notify mq_open mq_timedreceive mq_timedsend mq_unlink msgctl
        msgget msgrcv msgsnd semctl semget semop semtimedop
    """,
    "network": """
        accept accept4 bind connect getpeername getsockname getsockopt listen recvfrom recvmmsg recvmsg sendmmsg
        sendmsg sendto setsockopt shutdown
    """,
    "processes": """
        execve execveat exit exit_group fork vfork wait4 waitid capget capset getegid geteuid getgid getgroups getpgid
        getpgrp getpid getppid getresgid getresuid getsid gettid getuid setfsgid setfsuid setgid setgroups setpgid
        setregid setresgid setresuid setreuid setsid setuid arch_prctl get_thread_area landlock_add_rule
        landlock_create_ruleset landlock_restrict_self prctl restart_syscall rseq seccomp set_thread_area
        set_tid_address kill pidfd_open pidfd_send_signal process_mrelease rt_sigaction rt_sigpending rt_sigprocmask
        rt_sigqueueinfo rt_sigreturn rt_sigsuspend rt_sigtimedwait rt_tgsigqueueinfo sigaltstack signalfd signalfd4
        tgkill tkill getcpu getpriority getrlimit getrusage ioprio_get ioprio_set prlimit64 sched_get_priority_max
        sched_get_priority_min sched_getaffinity sched_getattr sched_getparam sched_getscheduler sched_rr_get_interval
        sched_setaffinity sched_setattr sched_setparam sched_setscheduler sched_yield setpriority setrlimit getrandom
        sysinfo times uname uprobe uretprobe
    """,
    "time": """
        adjtimex alarm clock_adjtime clock_getres clock_gettime clock_nanosleep getitimer gettimeofday nanosleep
        setitimer time timer_create timer_delete timer_getoverrun timer_gettime timer_settime timerfd_create
        timerfd_gettime timerfd_settime
    """,
}

# The forms that these calls have where numbers of 32 bits are, or were, in use.
ALLOWED_32 = """
    _llseek _newselect arm_fadvise64_64 arm_sync_file_range breakpoint cacheflush chown32 clock_adjtime64
    clock_getres_time64 clock_gettime64 clock_nanosleep_time64 fadvise64_64 fchown32 fcntl64 fstat64 fstatat64
    fstatfs64 ftruncate64 futex_time64 getegid32 geteuid32 getgid32 getgroups32 getresgid32 getresuid32 getuid32
    io_pgetevents_time64 ipc lchown32 lstat64 mmap2 mq_timedreceive_time64 mq_timedsend_time64 nice ppoll_time64
    pselect6_time64 readdir recv recvmmsg_time64 rt_sigtimedwait_time64 sched_rr_get_interval_time64 semtimedop_time64
    send sendfile64 set_tls setfsgid32 setfsuid32 setgid32 setgroups32 setregid32 setresgid32 setresuid32 setreuid32
    setuid32 sigaction signal sigpending sigprocmask sigreturn sigsuspend stat64 statfs64 sync_file_range2
    timer_gettime64 timer_settime64 timerfd_gettime64 timerfd_settime64 truncate64 ugetrlimit utimensat_time64 waitpid
"""

# Calls that single machines have, by uname(2): programs that make code as they run (JITs) flush the instruction cache
# with riscv_flush_icache, and swapcontext(3) is a call on POWER. Those of s390x are docker's.
ALLOWED_ON = {
    "ppc": "swapcontext",
    "ppc64": "swapcontext",
    "ppc64le": "swapcontext",
    "riscv64": "riscv_flush_icache riscv_hwprobe",
    "s390x": "s390_pci_mmio_read s390_pci_mmio_write s390_runtime_instr",
}

# A call that either of two capabilities allows is listed with both.
GRANTED = {
    "CAP_BPF": "bpf",
    "CAP_DAC_READ_SEARCH": "open_by_handle_at",
    "CAP_PERFMON": "perf_event_open",
    "CAP_SYS_ADMIN": """
        bpf fanotify_init fsconfig fsmount fsopen fspick lookup_dcookie mount mount_setattr move_mount open_tree
        perf_event_open pivot_root quotactl quotactl_fd setdomainname sethostname setns umount umount2 unshare
    """,
    "CAP_SYS_BOOT": "reboot",
    "CAP_SYS_CHROOT": "chroot",
    "CAP_SYS_MODULE": "delete_module finit_module init_module",
    "CAP_SYS_NICE": "mbind migrate_pages move_pages set_mempolicy set_mempolicy_home_node",
    "CAP_SYS_PACCT": "acct",
    "CAP_SYS_PTRACE": "kcmp pidfd_getfd process_madvise process_vm_readv process_vm_writev ptrace",
    "CAP_SYS_RAWIO": "ioperm iopl",
    "CAP_SYS_TIME": "clock_settime clock_settime64 settimeofday stime",
    "CAP_SYS_TTY_CONFIG": "vhangup",
    "CAP_SYSLOG": "syslog",
}

# The kernel's keys belong to a user and not to a container. The other calls are for the host, or obsolete.
REFUSED = """
    add_key keyctl request_key
    io_uring_enter io_uring_register io_uring_setup userfaultfd
    kexec_file_load kexec_load nfsservctl swapoff swapon
    _sysctl afs_syscall bdflush break create_module ftime get_kernel_syms getpmsg gtty idle lock modify_ldt mpx
    oldfstat oldlstat oldolduname oldstat olduname pciconfig_iobase pciconfig_read pciconfig_write prof profil putpmsg
    query_module security sgetmask ssetmask stty sysfs tuxcall ulimit uselib ustat vm86 vm86old vserver
"""

Rule = dict[str, Any]
# The argument's index, the operator, its value, and a second one for MASKED_EQ: `value` is the mask then.
Test = tuple[int, str, int, int]


def _rule(names: Iterable[str], action: str, *arguments: Test, errno: int = 0) -> Rule:
    rule: Rule = {"names": list(names), "action": f"SCMP_ACT_{action}"}
    if errno:
        rule["errnoRet"] = errno
    if arguments:
        rule["args"] = [
            {"index": index, "op": f"SCMP_CMP_{operator}", "value": value, "valueTwo": second}
            for index, operator, value, second in arguments
        ]
    return rule


def _clone_rules(capabilities: Collection[str], machine: str) -> list[Rule]:
    if "CAP_SYS_ADMIN" in capabilities:
        return [_rule(["clone", "clone3"], "ALLOW")]
    # The flags of clone3 are in memory, which a filter cannot read. Without clone3, C libraries use clone.
    flags = 1 if machine == "s390x" else 0
    return [
        _rule(["clone"], "ALLOW", (flags, "MASKED_EQ", sum(NEW_NAMESPACES), 0)),
        *(_rule(["clone"], "ERRNO", (flags, "MASKED_EQ", new, new), errno=EPERM) for new in NEW_NAMESPACES),
        _rule(["clone3"], "ERRNO", errno=ENOSYS),
    ]


def _socket_rules(capabilities: Collection[str], *, multiplexed: bool) -> list[Rule]:
    """Return the rules that allow sockets of the network, and no others.

    AF_VSOCK leads out of the machine, and AF_ALG deep into its kernel. Other families get the answer of a kernel that
    does not have them: socket(2). multiplexed: whether programs may make sockets by socketcall(2). Its arguments are in
    memory, which a filter cannot read, so libseccomp allows it where any family is allowed, and takes no rule against
    it.
    """
    families = [AF_UNIX, AF_INET, AF_INET6, *([AF_PACKET] if "CAP_NET_RAW" in capabilities else [])]
    rules = [_rule(SOCKET_CALLS, "ALLOW", (0, "EQ", family, 0)) for family in families]
    highest = max(*families, AF_NETLINK)
    refused = [] if multiplexed else _refused_families(highest)
    rules += [_rule(SOCKET_CALLS, "ERRNO", test, errno=EAFNOSUPPORT) for test in refused]
    if "CAP_AUDIT_WRITE" in capabilities:
        return [*rules, _rule(SOCKET_CALLS, "ALLOW", (0, "EQ", AF_NETLINK, 0))]
    # useradd(8) and similar programs fail where the audit log is refused, and not where there is none.
    return [
        *rules,
        _rule(SOCKET_CALLS, "ALLOW", (0, "EQ", AF_NETLINK, 0), (2, "NE", NETLINK_AUDIT, 0)),
        _rule(SOCKET_CALLS, "ERRNO", (0, "EQ", AF_NETLINK, 0), (2, "EQ", NETLINK_AUDIT, 0), errno=EINVAL),
    ]


def _is_multiplexed(machine: str, narrow: str | None) -> bool:
    return machine not in DIRECT or narrow == "SCMP_ARCH_X86"


def _refused_families(highest: int) -> list[Test]:
    """Return tests for every family but AF_UNIX, AF_INET, AF_INET6, AF_NETLINK and, where it is highest, AF_PACKET.

    libseccomp compares an argument only once in a rule, so that a range needs a mask: it leaves out the lowest bits of
    the family, and `value` is the rest.
    """

    def block(first: int, size: int) -> Test:
        return (0, "MASKED_EQ", WORD - (size - 1), first)

    between = [block(0, 1), block(3, 1), block(4, 4), block(8, 2), block(11, 1), block(12, 4)]
    return [*between, (0, "GT", highest, 0)]


def _sorted(names: Iterable[str]) -> list[str]:
    return sorted(name for each in names for name in each.split())


def profile(capabilities: Collection[str], machine: str, architecture: str = "") -> dict[str, Any]:
    """Return the profile for a container that may have these capabilities.

    machine: the host's, as uname(2) names it. architecture: the one that the image names, empty where it names none.
    The runtime leaves out calls that the machine does not have.
    """
    narrow = NARROW.get((machine, architecture))
    old = [] if machine in WIDE and not narrow else [ALLOWED_32]
    own = ALLOWED_ON.get(machine, "")
    granted = {*_sorted(names for each, names in GRANTED.items() if each in capabilities)}
    refused = {*_sorted([REFUSED, *GRANTED.values()])} - granted
    rules = [
        _rule([*_sorted([*ALLOWED.values(), *old, own]), *sorted(granted)], "ALLOW"),
        _rule(sorted(refused), "ERRNO", errno=EPERM),
        *(_rule(["personality"], "ALLOW", (0, "EQ", value, 0)) for value in PERSONALITIES),
        *_clone_rules(capabilities, machine),
        *_socket_rules(capabilities, multiplexed=_is_multiplexed(machine, narrow)),
    ]
    architectures = {"architectures": [NATIVE[machine], narrow]} if narrow else {}
    return {
        "defaultAction": "SCMP_ACT_ERRNO",
        "defaultErrnoRet": ENOSYS,
        **architectures,
        "syscalls": rules,
    }


def load(choice: str) -> Profile:
    """Return the profile that the user chose: `default`, `unconfined`, or what is in the file of that name.

    Raises ConfigError for a file that cannot be read or is no profile.
    """
    if choice in (DEFAULT, UNCONFINED):
        return choice
    from tweed_shim.runtime import seccomp_file

    return seccomp_file.read(choice)

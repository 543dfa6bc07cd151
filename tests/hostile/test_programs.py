"""Ordinary programs work under the seccomp profile, as every kind of user."""

import json
import os
import shutil

import pytest

from host_programs import HOST_DIRECTORIES, PROGRAMS, PYTHON, ProgramsImage
from installed import Shim
from script_images import METADATA

# A sentence that each program says when it did its work.
WORK = {
    "bash": """
        exec 3< <(echo pipes)
        read -u 3 line
        coproc cat
        [ "$line" = pipes ] && kill $COPROC_PID && echo done
    """,
    "curl": "echo done > /tmp/file; curl -s file:///tmp/file",
    "git": """
        cd /tmp && git init -q --template= r && cd r
        git -c user.name=a -c user.email=b commit -q --allow-empty -m done
        git log --format=%s
    """,
    "openssl": """
        openssl genpkey -algorithm ed25519 -out /tmp/key 2>/dev/null
        openssl pkey -in /tmp/key -noout && openssl rand 16 > /tmp/random && echo done
    """,
    "perl": """
        perl -e 'if (my $pid = fork) { waitpid $pid, 0; print $? >> 8 == 7 ? "done" : $? } else { exit 7 }'
    """,
    "redis-server": """
        cd /tmp
        redis-server --port 0 --unixsocket /tmp/s --daemonize yes --logfile /tmp/log > /dev/null
        until redis-cli -s /tmp/s ping > /dev/null 2>&1; do sleep 0.05; done
        redis-cli -s /tmp/s set a done > /dev/null
        redis-cli -s /tmp/s bgsave > /dev/null
        redis-cli -s /tmp/s get a
    """,
}
PYTHON_WORK = """
import os, select, signal, socket, subprocess, sys, tempfile, threading, time

sums = []
threads = [threading.Thread(target=lambda: sums.append(sum(range(1000)))) for _ in range(8)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
assert len(sums) == 8
left, right = socket.socketpair()
left.sendmsg([b"x"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, (1).to_bytes(4, sys.byteorder))])
assert right.recvmsg(1, 100)[1]
with socket.socket(socket.AF_INET6) as six, socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0) as netlink:
    netlink.bind((0, 0))
assert subprocess.run(["/bin/busybox", "true"]).returncode == 0
with tempfile.TemporaryFile() as file:
    file.write(b"x" * 100)
    file.flush()
    os.posix_fallocate(file.fileno(), 0, 4096)
    os.fsync(file.fileno())
poll = select.epoll()
poll.register(os.pidfd_open(os.getpid()))
os.memfd_create("x")
os.sched_setaffinity(0, os.sched_getaffinity(0))
os.nice(1)
os.mkfifo("/tmp/fifo")
os.chown("/tmp/fifo", 0, 0)
signal.setitimer(signal.ITIMER_REAL, 100)
print("done")
"""

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can make the users")


def test_programs_of_this_host_work_under_the_profile(shim: Shim, programs_image: ProgramsImage) -> None:
    path = os.pathsep.join(HOST_DIRECTORIES)
    works = {name: work for name, work in WORK.items() if shutil.which(name, path=path)}
    assert {*works} <= {*PROGRAMS}
    cases = "".join(f"*'\"{name}\"'*)\n{work};;\n" for name, work in works.items())
    shell = "/usr/bin/bash" if "bash" in works else "/bin/sh"
    image = programs_image(
        f'#!{shell}\nexport HOME=/tmp\n[ "$1" = metadata ] && {{ {METADATA}; exit; }}\ncase $(cat) in\n{cases}esac\n'
    )
    for name in works:
        configuration = json.dumps({"program": name}).encode()
        done = shim.run("exec", image, "configure", "--network", "none", stdin=configuration)
        assert (done.code, done.out.strip()) == (0, b"done"), (name, done)


def test_a_python_program_works_under_the_profile(shim: Shim, programs_image: ProgramsImage) -> None:
    metadata = "backend: tweed/v1\\nname: n\\nversion: v"
    script = f"#!{PYTHON} -I\nimport sys\nif sys.argv[1] == 'metadata':\n    sys.exit(print('{metadata}'))\n"
    done = shim.run(
        "exec", programs_image(script + PYTHON_WORK), "configure", "--network", "none", stdin=b"{}"
    )
    assert done.code == 0, done
    assert done.out == b"done\n"

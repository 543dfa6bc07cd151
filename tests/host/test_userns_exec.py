"""A command in a user namespace does not outlive its caller."""

import os
import select
import signal
import subprocess
import sys

from tweed_shim.host import userns_exec

SECONDS = 20

# Starts a command, lets it go on only when it is stopped, and ends: in the very moment when it would bind its life.
PARENT = """
import os, signal, subprocess, sys
for number, fd in enumerate([*os.pipe(), *os.pipe()], 10):
    os.dup2(fd, number)
os.dup2(11, 3)
os.dup2(12, 4)
child = subprocess.Popen(sys.argv[1:], pass_fds=(3, 4), stdout=subprocess.DEVNULL)
assert os.read(10, 10) == b"ready \\n"
os.kill(child.pid, signal.SIGSTOP)
os.write(13, b".")
print(child.pid)
os._exit(0)
"""


def test_a_command_whose_caller_ends_before_it_has_begun_does_not_begin() -> None:
    command = [sys.executable, "-I", "-S", userns_exec.__file__, "host", "", "/bin/sleep", "1000"]
    done = subprocess.run([sys.executable, "-uc", PARENT, *command], stdout=subprocess.PIPE, check=True)
    pid = int(done.stdout)
    end = os.pidfd_open(pid)
    try:
        signal.pidfd_send_signal(end, signal.SIGCONT)
        assert select.select([end], [], [], SECONDS)[0], "it outlived its caller"
    finally:
        if not select.select([end], [], [], 0)[0]:
            signal.pidfd_send_signal(end, signal.SIGKILL)
        os.close(end)

"""`--network pasta`: names and TCP get out, and the host's loopback is out of reach.

The "host" is a network namespace of the test's own, behind another one that holds a name server and a web of one
word; no packet leaves this machine.
"""

import os
import socketserver
import stat
import struct
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest

from installed import Shim
from script_images import METADATA, ScriptImage
from tweed_shim.host.programs import find_program

OUTSIDE, HOST = "10.77.0.1", "10.77.0.2"
TUN = "/dev/net/tun"

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can make the network that is tested in")


def ip(*arguments: str) -> None:
    program = find_program("ip")
    assert program is not None
    subprocess.run([program, *arguments], check=True)


class _Word(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        self.wfile.write(b"heard " + self.rfile.readline())


class _Names(socketserver.BaseRequestHandler):
    """Every name is that of the outside host (RFC 1035, section 4)."""

    def handle(self) -> None:
        data, answer_on = self.request
        question = data[12 : data.index(b"\0", 12) + 5]
        is_address = question[-4:-2] == b"\0\1"
        answer = (
            b"\xc0\x0c\0\1\0\1\0\0\0\x3c\0\4" + bytes(map(int, OUTSIDE.split("."))) if is_address else b""
        )
        counts = struct.pack(">HHHH", 1, bool(answer), 0, 0)
        answer_on.sendto(data[:2] + b"\x81\x80" + counts + question + answer, self.client_address)


@contextmanager
def in_namespace(name: str) -> Iterator[None]:
    """Let this thread's new sockets belong to a network namespace."""
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    with open("/proc/thread-self/ns/net", "rb") as before, open(f"/run/netns/{name}", "rb") as inside:
        assert libc.setns(inside.fileno(), 0) == 0
        try:
            yield
        finally:
            assert libc.setns(before.fileno(), 0) == 0


@contextmanager
def serving(
    namespace: str, make: Callable[..., Any], address: tuple[str, int], handler: type
) -> Iterator[int]:
    with in_namespace(namespace):
        server = make(address, handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture(scope="module")
def network() -> Iterator[tuple[str, str]]:
    """Two connected namespaces, (outside, host)."""
    mark = os.urandom(2).hex()
    outside, host = f"tweed-out-{mark}", f"tweed-host-{mark}"
    mode = stat.S_IMODE(os.stat(TUN).st_mode)
    ip("netns", "add", outside)
    ip("netns", "add", host)
    try:
        # As every distribution has it; some virtual machines do not.
        os.chmod(TUN, 0o666)
        ip("link", "add", "out0", "netns", outside, "type", "veth", "peer", "name", "host0", "netns", host)
        for namespace, device, address in ((outside, "out0", OUTSIDE), (host, "host0", HOST)):
            ip("-n", namespace, "address", "add", f"{address}/24", "dev", device)
            ip("-n", namespace, "link", "set", device, "up")
            ip("-n", namespace, "link", "set", "lo", "up")
        ip("-n", host, "route", "add", "default", "via", OUTSIDE)
        yield outside, host
    finally:
        os.chmod(TUN, mode)
        ip("netns", "delete", outside)
        ip("netns", "delete", host)


def on_host(shim: Shim, host: str, resolver: str, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    """Run the program with the test's host as its network, and that host's name server."""
    bind = 'mount --bind "$0" /etc/resolv.conf && exec setpriv --reuid "$1" --regid "$2" --clear-groups -- "${@:3}"'
    return subprocess.run(
        [
            *("nsenter", f"--net=/run/netns/{host}", "unshare", "--mount", "bash", "-c", bind, resolver),
            *(str(shim.account.uid), str(shim.account.gid), shim.program, "--root", shim.root, *arguments),
        ],
        env=shim.environment(),
        cwd="/",
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
    )


def test_names_and_tcp_get_out_and_the_hosts_loopback_cannot_be_reached(
    shim: Shim, script_image: ScriptImage, network: tuple[str, str], public_directory: str
) -> None:
    outside, host = network
    resolver = os.path.join(public_directory, f"resolv-{shim.account.kind}.conf")
    with open(resolver, "w", encoding="ascii") as file:
        file.write(f"nameserver {OUTSIDE}\nsearch example.test\n")
    os.chmod(resolver, 0o644)
    config = os.path.join(public_directory, f"empty-{shim.account.kind}.json")
    with open(config, "w", encoding="ascii") as file:
        file.write("{}")
    os.chmod(config, 0o644)
    with ExitStack() as stack:
        word = stack.enter_context(serving(outside, socketserver.ThreadingTCPServer, (OUTSIDE, 0), _Word))
        stack.enter_context(serving(outside, socketserver.ThreadingUDPServer, (OUTSIDE, 53), _Names))
        loopback = stack.enter_context(
            serving(host, socketserver.ThreadingTCPServer, ("127.0.0.1", 0), _Word)
        )
        # Debian's pasta can repeat the end of a stream: one line of it is enough.
        ask = 'ask() { echo word | timeout 3 nc "$1" "$2" | head -n 1; } 2>/dev/null\n'
        image = script_image(
            f"case $1 in metadata) {METADATA}; exit;; esac\n{ask}"
            f"echo outside: $(ask {OUTSIDE} {word})\n"
            f"echo names: $(timeout 5 nslookup service | grep -c {OUTSIDE})\n"
            f"echo loopback: $(ask 127.0.0.1 {loopback}) $(ask {HOST} {loopback})\n"
            'echo own: $(wget -O - "http://$(hostname):1/" 2>&1 | grep -c "127.0.0.1.: Connection refused")'
        )
        assert shim.run("exec", image, "metadata").code == 0
        done = on_host(
            shim, host, resolver, "exec", image, "configure", "--network", "pasta", "--config", config
        )
    lines = [line for line in done.stdout.splitlines(keepends=True) if line != b"Terminated\n"]
    assert (done.returncode, b"".join(lines)) == (0, b"outside: heard word\nnames: 1\nloopback:\nown: 1\n"), (
        done
    )

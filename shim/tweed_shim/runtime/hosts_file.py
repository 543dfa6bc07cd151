"""The /etc/hosts of a container: the host's, where the container has a network, and names that always resolve.

Process 1 of a sandbox (sandbox.py) writes it to the bundle. As with podman, the container's own name resolves to its
loopback address. The host's file does not have that name, and an image's own file often has no `localhost` either.
"""

import os

HOST_FILE = "/etc/hosts"
# The container's own name: the field `hostname` of config.json.
HOSTNAME = "tweed"
LOCALHOST = "localhost"
# Some users have lists of millions of blocked names there; this is more.
LARGEST = 64 << 20


def compose(base: bytes) -> bytes:
    """Return the content of a hosts file (hosts(5)): `base`, and lines for the names that it lacks."""
    names: set[bytes] = set()
    for line in base.splitlines():
        names.update(line.partition(b"#")[0].split()[1:])
    lines = []
    if LOCALHOST.encode() not in names:
        lines += [f"127.0.0.1 {LOCALHOST}", f"::1 {LOCALHOST}"]
    if HOSTNAME.encode() not in names:
        lines.append(f"127.0.0.1 {HOSTNAME}")
    if base and not base.endswith(b"\n"):
        base += b"\n"
    return base + "".join(f"{line}\n" for line in lines).encode()


def write(path: str, base: str) -> None:
    """Write a container's hosts file, for everybody to read. base: the host's file, empty for none. Raises OSError."""
    content = b""
    if base and os.path.isfile(base):
        with open(base, "rb") as file:
            content = file.read(LARGEST)
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
    with open(fd, "wb") as file:
        os.fchmod(fd, 0o644)
        file.write(compose(content))

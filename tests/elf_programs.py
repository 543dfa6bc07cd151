"""ELF files (elf(5)) that the kernel would execute or refuse; there is no code in them."""

import os
import struct

MACHINES = {"x86_64": 62, "aarch64": 183, "riscv64": 243, "ppc64le": 21, "s390x": 22}
HERE = MACHINES.get(os.uname().machine, 62)
# One that is not this host's, and not its 32-bit sibling either.
ELSEWHERE = 183 if HERE != 183 else 62


def elf(
    machine: int = HERE, loader: str | None = None, *, wide: bool = True, order: str = "<", at: int = 0
) -> bytes:
    """A program of this machine, linked with a loader. at: where its table of segments is, by default at once."""
    ident = b"\x7fELF" + bytes([2 if wide else 1, 1 if order == "<" else 2, 1]) + bytes(9)
    header, entry = (64, 56) if wide else (52, 32)
    table = at or header
    name = b"" if loader is None else loader.encode() + b"\0"
    segments = [(1, 0, 0)] if loader is None else [(1, 0, 0), (3, table + 2 * entry, len(name))]
    head = ident + struct.pack(
        order + ("HHIQQQIHHHHHH" if wide else "HHIIIIIHHHHHH"),
        *(2, machine, 1, 0, table, 0, 0, header, entry, len(segments), 0, 0, 0),
    )
    rows = [
        struct.pack(order + "IIQQQQQQ", kind, 5, offset, 0, 0, size, size, 1)
        if wide
        else struct.pack(order + "IIIIIIII", kind, offset, 0, 0, size, size, 5, 1)
        for kind, offset, size in segments
    ]
    return head.ljust(table, b"\0") + b"".join(rows) + name

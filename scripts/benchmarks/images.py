"""The images that the bench pulls: the same bytes on every machine, made once and kept in a registry's storage."""

import gzip
import hashlib
import io
import os
import random
import shutil
import tarfile
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from layouts import (
    CONFIG,
    HOST_PLATFORM,
    LAYER_TYPES,
    MANIFEST,
    Descriptor,
    File,
    LayoutWriter,
    busybox_files,
)
from servers import RegistryServer, running_registry

Member = tuple[tarfile.TarInfo, bytes]

# With another one, the images that are kept are made again.
EDITION = "2"
ENTRYPOINT = '#!/bin/sh\ncase $1 in metadata) printf "backend: tweed/v1\\nname: bench\\nversion: v\\n";; '
ENTRYPOINT += 'setup) echo "A: b";; esac\n'
# What a backend and a pattern do at the least, also where a peer runs them without the contract's variables.
BACKEND_ENTRYPOINT = """#!/bin/sh
case $1 in
metadata) printf "backend: tweed/v1\\nname: bench\\nversion: v\\n" ;;
setup) echo token >"${OUT_CONFIG:-/dev/shm}/token" && echo "TOKEN: a" ;;
esac
"""
PATTERN_ENTRYPOINT = """#!/bin/sh
case $1 in
metadata) printf "pattern: tweed/v1\\nname: bench\\nversion: v\\ninputs:\\n  size: {type: integer}\\n" ;;
provision) echo secret >"${CREDSTORE:-/dev/shm}/password" ;;
bind) echo "password: a" ;;
esac
"""


class Layer(NamedTuple):
    """A layer to be made: how many files, and how many bytes they compress to, about."""

    files: int
    size: int


class Bundle(NamedTuple):
    """An image of the bench, by its program and what its layers hold besides that and busybox."""

    name: str
    layers: tuple[Layer, ...]
    entrypoint: str = ENTRYPOINT


MB = 10**6
SMALL = Bundle("small", (Layer(50, 1 * MB),))
MANY_LAYERS = Bundle("many-layers", (Layer(100, 5 * MB),) * 20)
# One layer has most of it, as where a language's packages are installed on top of a distribution.
LARGE = Bundle(
    "large",
    (Layer(6_000, 50 * MB), Layer(42_000, 330 * MB), Layer(6_000, 60 * MB), Layer(6_000, 60 * MB)),
)
BACKEND = Bundle("backend", SMALL.layers, BACKEND_ENTRYPOINT)
PATTERN = Bundle("pattern", SMALL.layers, PATTERN_ENTRYPOINT)
BUNDLES = {each.name: each for each in (SMALL, MANY_LAYERS, LARGE, BACKEND, PATTERN)}


def prepare(cache: str, bundle: Bundle) -> str:
    """The storage of a registry that holds the image as `bench:NAME`; it is made where it is not there yet."""
    storage = os.path.join(cache, f"{bundle.name}-{EDITION}")
    if not os.path.exists(storage):
        making = f"{storage}.new"
        shutil.rmtree(making, ignore_errors=True)
        layout = os.path.join(making, "layout")
        _write_layout(layout, bundle)
        with running_registry(making) as port:
            server = RegistryServer(f"127.0.0.1:{port}")
            server.push(layout, "latest", f"bench:{bundle.name}", extra=["--quiet", "--preserve-digests"])
        shutil.rmtree(layout)
        os.rename(making, storage)
    return storage


def _write_layout(path: str, bundle: Bundle) -> None:
    writer = LayoutWriter(path)
    layers, diff_ids = zip(
        *(_write_layer(writer, bundle, number) for number in range(len(bundle.layers))),
        strict=True,
    )
    config = {
        **HOST_PLATFORM,
        "config": {"Entrypoint": ["/entrypoint"]},
        "rootfs": {"type": "layers", "diff_ids": diff_ids},
    }
    manifest = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": writer.json_blob(config, CONFIG),
        "layers": layers,
    }
    writer.tag("latest", writer.json_blob(manifest, MANIFEST))


class _Tee(io.RawIOBase):
    """A file that is hashed while it is written."""

    def __init__(self, file: Any) -> None:
        self._file = file
        self.sha256 = hashlib.sha256()
        self.size = 0

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self._file.write(data)
        self.sha256.update(data)
        self.size += len(data)
        return len(data)


def _write_layer(writer: LayoutWriter, bundle: Bundle, number: int) -> tuple[Descriptor, str]:
    """Write a layer as large as it may be, of which no more than a file is in memory."""
    beside = os.path.join(writer.path, "layer")
    with open(beside, "wb") as file:
        packed = _Tee(file)
        with gzip.GzipFile("", "wb", 6, packed, mtime=0) as stream:
            plain = _Tee(stream)
            with tarfile.open(fileobj=plain, mode="w|", format=tarfile.PAX_FORMAT) as tar:
                for member, content in _members(bundle, number):
                    tar.addfile(member, io.BytesIO(content))
    digest = f"sha256:{packed.sha256.hexdigest()}"
    os.rename(beside, writer.blob_path(digest))
    descriptor = {"mediaType": LAYER_TYPES["gzip"], "digest": digest, "size": packed.size}
    return descriptor, f"sha256:{plain.sha256.hexdigest()}"


def _members(bundle: Bundle, number: int) -> Iterator[Member]:
    layer = bundle.layers[number]
    if number == 0:
        yield from _base(bundle.entrypoint)
    chance = random.Random(f"{number} {layer}")
    words = [chance.randbytes(6) for _ in range(500)]
    top = f"opt/layer-{number}"
    yield _directory("opt")
    yield _directory(top)
    for index in range(layer.files):
        if index % 100 == 0:
            yield _directory(f"{top}/{index // 100}")
        # Few files are large and most are small, as everywhere.
        size = int(layer.size / layer.files * chance.expovariate(1))
        yield _file(f"{top}/{index // 100}/file-{index}", 0o644, _content(chance, words, size))


def _content(chance: random.Random, words: Sequence[bytes], size: int) -> bytes:
    """What compresses to about `size` bytes, half as large as it is: a part is noise and a part is text."""
    noise = chance.randbytes(int(size * 0.6))
    text = b" ".join(chance.choices(words, k=max(1, int(size * 1.4) // 7)))
    return noise + text


def _base(entrypoint: str) -> Iterator[Member]:
    for name, entry in {**busybox_files(), "entrypoint": File(entrypoint.encode(), 0o755)}.items():
        member = tarfile.TarInfo(name)
        member.mode, member.type = entry.mode, entry.kind
        member.linkname, member.size = entry.link, len(entry.content)
        yield member, entry.content


def _directory(name: str) -> Member:
    member = tarfile.TarInfo(name)
    member.type, member.mode = tarfile.DIRTYPE, 0o755
    return member, b""


def _file(name: str, mode: int, content: bytes) -> Member:
    member = tarfile.TarInfo(name)
    member.mode, member.size = mode, len(content)
    return member, content

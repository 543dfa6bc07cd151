"""Builds OCI image layouts out of /bin/busybox and given files, in pure Python, for tests.

`build_layout` makes the usual image in one call. `LayoutWriter` is for the rest: other media types and
compressions, several platforms, and images that are wrong on purpose.
"""

import gzip
import hashlib
import io
import json
import os
import platform as host
import subprocess
import tarfile
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import zstandard

OCI = "application/vnd.oci.image."
DOCKER = "application/vnd.docker."
MANIFEST = OCI + "manifest.v1+json"
INDEX = OCI + "index.v1+json"
CONFIG = OCI + "config.v1+json"
DOCKER_MANIFEST = DOCKER + "distribution.manifest.v2+json"
DOCKER_LIST = DOCKER + "distribution.manifest.list.v2+json"
DOCKER_CONFIG = DOCKER + "container.image.v1+json"
LAYER_TYPES = {
    "none": OCI + "layer.v1.tar",
    "gzip": OCI + "layer.v1.tar+gzip",
    "zstd": OCI + "layer.v1.tar+zstd",
}
DOCKER_LAYER_TYPES = {
    "none": DOCKER + "image.rootfs.diff.tar",
    "gzip": DOCKER + "image.rootfs.diff.tar.gzip",
    "zstd": DOCKER + "image.rootfs.diff.tar.zstd",
}
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm"}
HOST_PLATFORM = {"os": "linux", "architecture": ARCHITECTURES.get(host.machine(), host.machine())}

Descriptor = dict[str, Any]


class File(NamedTuple):
    """One entry of a layer. `kind` is a tar type flag; `link` the target of a link."""

    content: bytes = b""
    mode: int = 0o644
    uid: int = 0
    gid: int = 0
    kind: bytes = tarfile.REGTYPE
    link: str = ""
    device: tuple[int, int] = (0, 0)


def directory(mode: int = 0o755, uid: int = 0, gid: int = 0) -> File:
    return File(mode=mode, uid=uid, gid=gid, kind=tarfile.DIRTYPE)


def symlink(target: str) -> File:
    return File(mode=0o777, kind=tarfile.SYMTYPE, link=target)


def hard_link(target: str) -> File:
    return File(kind=tarfile.LNKTYPE, link=target)


Files = Mapping[str, "File | str | bytes"]


def _entry(content: File | str | bytes) -> File:
    if isinstance(content, File):
        return content
    data = content.encode() if isinstance(content, str) else content
    return File(data, mode=0o755 if data.startswith(b"#!") else 0o644)


def tar_of(files: Files) -> bytes:
    """A tar with exactly these entries, in this order."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, content in files.items():
            entry = _entry(content)
            member = tarfile.TarInfo(name)
            member.mode, member.uid, member.gid = entry.mode, entry.uid, entry.gid
            member.type, member.linkname, member.size = entry.kind, entry.link, len(entry.content)
            member.devmajor, member.devminor = entry.device
            tar.addfile(member, io.BytesIO(entry.content))
    return buffer.getvalue()


def busybox_files() -> dict[str, File]:
    """A root filesystem of busybox and its applets' links, with the directories a program expects."""
    with open("/bin/busybox", "rb") as file:
        binary = file.read()
    listed = subprocess.run(["/bin/busybox", "--list"], capture_output=True, text=True, check=True)
    files = {name: directory() for name in ("bin", "dev", "etc", "proc", "root", "run", "sys", "usr", "var")}
    files["tmp"] = directory(0o1777)
    files["bin/busybox"] = File(binary, mode=0o755)
    for applet in sorted(set(listed.stdout.split()) - {"busybox"}):
        files[f"bin/{applet}"] = symlink("busybox")
    files["etc/passwd"] = File(b"root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n")
    files["etc/group"] = File(b"root:x:0:\nnogroup:x:65534:\n")
    return files


def compress(data: bytes, how: str) -> bytes:
    if how == "gzip":
        return gzip.compress(data, 1, mtime=0)
    if how == "zstd":
        return zstandard.ZstdCompressor(level=1).compress(data)
    return data


def digest_of(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


class Layer(NamedTuple):
    """A layer to be: its entries, and what may be claimed about it otherwise than is true.

    tar: its content, where entries cannot express it.
    """

    files: Files
    compression: str = "gzip"
    media_type: str | None = None
    diff_id: str | None = None
    tar: bytes | None = None


class LayoutWriter:
    """An OCI image layout under construction at `path`."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.index: list[Descriptor] = []
        os.makedirs(os.path.join(path, "blobs", "sha256"), exist_ok=True)
        self._write("oci-layout", json.dumps({"imageLayoutVersion": "1.0.0"}).encode())
        self._write_index()

    def _write(self, name: str, data: bytes) -> None:
        with open(os.path.join(self.path, name), "wb") as file:
            file.write(data)

    def _write_index(self) -> None:
        document = {"schemaVersion": 2, "mediaType": INDEX, "manifests": self.index}
        self._write("index.json", json.dumps(document).encode())

    def blob_path(self, digest: str) -> str:
        return os.path.join(self.path, "blobs", *digest.split(":"))

    def blob(self, data: bytes, media_type: str) -> Descriptor:
        """Add a blob; returns its descriptor."""
        digest = digest_of(data)
        self._write(os.path.join("blobs", *digest.split(":")), data)
        return {"mediaType": media_type, "digest": digest, "size": len(data)}

    def json_blob(self, document: object, media_type: str) -> Descriptor:
        return self.blob(json.dumps(document).encode(), media_type)

    def image(
        self,
        layers: Sequence[Layer],
        config: Mapping[str, Any] | None = None,
        *,
        platform: Mapping[str, str] = HOST_PLATFORM,
        docker: bool = False,
    ) -> Descriptor:
        """Add an image; `config` is what its configuration holds under `config`. Not yet tagged."""
        types = DOCKER_LAYER_TYPES if docker else LAYER_TYPES
        descriptors, diff_ids = [], []
        for layer in layers:
            tar = tar_of(layer.files) if layer.tar is None else layer.tar
            diff_ids.append(layer.diff_id or digest_of(tar))
            blob = compress(tar, layer.compression)
            descriptors.append(self.blob(blob, layer.media_type or types[layer.compression]))
        document = {
            **platform,
            "config": dict(config or {}),
            "rootfs": {"type": "layers", "diff_ids": diff_ids},
        }
        manifest_type = DOCKER_MANIFEST if docker else MANIFEST
        manifest = {
            "schemaVersion": 2,
            "mediaType": manifest_type,
            "config": self.json_blob(document, DOCKER_CONFIG if docker else CONFIG),
            "layers": descriptors,
        }
        return self.json_blob(manifest, manifest_type)

    def image_index(
        self, images: Sequence[tuple[Mapping[str, str], Descriptor]], *, docker: bool = False
    ) -> Descriptor:
        """Add an index (a Docker manifest list where `docker`) of (platform, descriptor) pairs."""
        media_type = DOCKER_LIST if docker else INDEX
        entries = [{**descriptor, "platform": dict(platform)} for platform, descriptor in images]
        return self.json_blob({"schemaVersion": 2, "mediaType": media_type, "manifests": entries}, media_type)

    def tag(self, name: str, descriptor: Descriptor) -> None:
        """Give a descriptor a name in the layout's index, moving the name where it was in use."""
        self.index = [
            each for each in self.index if each["annotations"]["org.opencontainers.image.ref.name"] != name
        ]
        self.index.append({**descriptor, "annotations": {"org.opencontainers.image.ref.name": name}})
        self._write_index()


def build_layout(
    dest: str,
    *,
    entrypoint: Sequence[str] | None = ("/entrypoint",),
    files: Files | None = None,
    env: Sequence[str] = (),
    user: str = "",
    workdir: str = "",
    stop_signal: str = "",
    layers: Sequence[Layer] = (),
    tag: str = "latest",
    platform: Mapping[str, str] = HOST_PLATFORM,
    docker: bool = False,
    compression: str = "gzip",
) -> str:
    """Make a layout at `dest` with one busybox image; returns the digest of its manifest.

    The first layer holds busybox and `files` (a text that begins with `#!` is made executable); `layers`
    come on top of it. `entrypoint` None leaves it out.
    """
    writer = LayoutWriter(dest)
    config: dict[str, Any] = {"Env": list(env), "User": user, "WorkingDir": workdir}
    if stop_signal:
        config["StopSignal"] = stop_signal
    if entrypoint is not None:
        config["Entrypoint"] = list(entrypoint)
    first = Layer({**busybox_files(), **(files or {})}, compression)
    descriptor = writer.image([first, *layers], config, platform=platform, docker=docker)
    writer.tag(tag, descriptor)
    digest: str = descriptor["digest"]
    return digest

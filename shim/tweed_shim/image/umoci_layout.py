"""Makes a temporary layout that umoci can read, to unpack one image.

umoci 0.4.7 reads plain and gzip layers of OCI media types only: it refuses Docker's manifests ("not implemented"), zstd
layers and all of Docker's layer types ("blob is not correct mediatype"), and it reports damage where the compression
differs from the media type. So umoci gets every image in the same form: a manifest and a configuration made here, with
the layers' true compression and the image's own diff ids, which umoci verifies. Layers that it can read are hard links
to the store's blobs; zstd layers are expanded.

umoci also refuses layers with PAX global headers. Searching for them takes as long as reading all layers, so umoci is
run first: where it complains, all layers are expanded and written without these headers.
"""

import json
import os
from collections.abc import Iterable

from tweed_shim.base import files
from tweed_shim.base.records import Record
from tweed_shim.errors import ImageError
from tweed_shim.image import blobs, compression, layout
from tweed_shim.image import manifest as manifests
from tweed_shim.image.archive_reader import Extent
from tweed_shim.image.content import digest_of
from tweed_shim.image.disk_quota import DiskQuota
from tweed_shim.image.global_headers import without_global_headers
from tweed_shim.image.layout import Layout
from tweed_shim.image.manifest import Descriptor, Manifest

TAG = "image"


class StoredImage(Record):
    """An image in the store: its manifest, and the digests of its uncompressed layers."""

    store: Layout
    image: Manifest
    diff_ids: tuple[str, ...]


def make(source: StoredImage, path: str, quota: DiskQuota, *, drop_global_headers: bool = False) -> None:
    """Make the layout at `path`, on the file system of the store. The tag of the image in it is TAG.

    Raises ImageError where an expanded layer is damaged or differs from its diff id, HostError where the disk is full.
    """
    target = Layout(path, durable=False)
    target.create()
    writer = _LayerWriter(source.store, target, quota, drop_global_headers)
    pairs = [writer.add(*each) for each in zip(source.image.layers, source.diff_ids, strict=True)]
    layers, diff_ids = [layer for layer, _ in pairs], [diff_id for _, diff_id in pairs]
    config = {"architecture": "", "os": "linux", "rootfs": {"type": "layers", "diff_ids": diff_ids}}
    manifest = {
        "schemaVersion": 2,
        "config": layout.descriptor_fields(_add(target, config, manifests.OCI_CONFIG)),
        "layers": [layout.descriptor_fields(layer) for layer in layers],
    }
    target.put_entry(TAG, "", _add(target, manifest, manifests.OCI_MANIFEST))


def _add(target: Layout, document: object, media_type: str) -> Descriptor:
    body = json.dumps(document).encode()
    digest = digest_of([body])
    target.add_bytes(digest, body)
    return Descriptor(media_type, digest, len(body))


class _LayerWriter(Record):
    """Writes the layers of an image to a layout."""

    store: Layout
    target: Layout
    quota: DiskQuota
    drop_global_headers: bool

    def add(self, layer: Descriptor, diff_id: str) -> tuple[Descriptor, str]:
        """Link or write one layer; return its descriptor and its diff id."""
        fd = os.open(self.store.blob_path(layer.digest), os.O_RDONLY | os.O_CLOEXEC)
        try:
            blob = Extent(fd, 0, layer.size)
            how = compression.detect(blob.head(compression.HEAD))
            if how != "zstd" and not self.drop_global_headers:
                _link_once(self.store.blob_path(layer.digest), self.target.blob_path(layer.digest))
                return Descriptor(manifests.OCI_LAYERS[how], layer.digest, layer.size), diff_id
            what = f"the layer {layer.digest} of {self.quota.what}"
            # umoci verifies the layers that it reads. The original of an expanded layer is verified here.
            if digest_of(blob.chunks()) != layer.digest:
                raise ImageError(f"{what} is damaged; pull the image again")
            content = blob.chunks() if how == "none" else compression.expand(blob.chunks(), how, what)
            return self._write(content, diff_id, f"the content of {what}")
        finally:
            os.close(fd)

    def _write(self, content: Iterable[bytes], diff_id: str, what: str) -> tuple[Descriptor, str]:
        """Write the content as an uncompressed layer; it has to match the diff id."""
        if self.drop_global_headers:
            # Verify the content first, because the layer that is written differs from it.
            path = files.unique_name(f"{self.target.blob_path(diff_id)}.whole.")
            blobs.write(self.quota.content(content), path, diff_id, what=what)
            try:
                return self._write_without(path)
            finally:
                os.unlink(path)
        path = files.unique_name(f"{self.target.blob_path(diff_id)}.")
        size = blobs.write(self.quota.content(content), path, diff_id, what=what)
        self.target.adopt(path, diff_id)
        return Descriptor(manifests.OCI_LAYERS["none"], diff_id, size), diff_id

    def _write_without(self, path: str) -> tuple[Descriptor, str]:
        with open(path, "rb") as file:
            layer = Extent(file.fileno(), 0, os.fstat(file.fileno()).st_size)
            digest = digest_of(without_global_headers(layer.chunks()))
            new = f"{path}.new"
            size = blobs.write(
                self.quota.content(without_global_headers(layer.chunks())), new, digest, what=path
            )
        self.target.adopt(new, digest)
        return Descriptor(manifests.OCI_LAYERS["none"], digest, size), digest


def _link_once(source: str, path: str) -> None:
    if not os.path.exists(path):
        os.link(source, path)

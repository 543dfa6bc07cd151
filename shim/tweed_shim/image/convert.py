"""A layout that umoci can read, made for one unpacking.

umoci 0.4.7 reads plain and gzip layers of OCI media types only: it refuses Docker's manifests ("not
implemented"), zstd layers and all of Docker's layer types ("blob is not correct mediatype"), and takes a
compression that differs from the media type for damage. So every image is shown to it in the same way: a
manifest and a configuration made here, with the layers' true compression and the image's own diff ids, which
umoci verifies. Layers that it can read are hard links to the store's blobs; zstd layers are expanded.
"""

import json
import os

from tweed_shim import files
from tweed_shim.errors import ImageError
from tweed_shim.image import blobs, compression, layout
from tweed_shim.image import manifest as manifests
from tweed_shim.image.layout import Layout
from tweed_shim.image.manifest import Descriptor, Manifest
from tweed_shim.image.members import Extent
from tweed_shim.image.room import Room

TAG = "image"


def make(store: Layout, image: Manifest, diff_ids: tuple[str, ...], path: str, room: Room) -> None:
    """Make the layout at `path`, on the filesystem of `store`; the image is called TAG in it.

    Raises ImageError where a layer that has to be expanded is damaged or is not that of its diff id, HostError where
    it needs more than the room that there is.
    """
    target = Layout(path, durable=False)
    target.create()
    layers = [
        _layer(store, target, layer, diff_id, room)
        for layer, diff_id in zip(image.layers, diff_ids, strict=True)
    ]
    config = {"architecture": "", "os": "linux", "rootfs": {"type": "layers", "diff_ids": diff_ids}}
    manifest = {
        "schemaVersion": 2,
        "config": layout.image_fields(_add(target, config, manifests.OCI_CONFIG)),
        "layers": [layout.image_fields(layer) for layer in layers],
    }
    target.put_entry(TAG, "", _add(target, manifest, manifests.OCI_MANIFEST))


def _add(target: Layout, document: object, media_type: str) -> Descriptor:
    body = json.dumps(document).encode()
    digest = blobs.digest_of([body])
    target.add_bytes(digest, body)
    return Descriptor(media_type, digest, len(body))


def _layer(store: Layout, target: Layout, layer: Descriptor, diff_id: str, room: Room) -> Descriptor:
    fd = os.open(store.blob_path(layer.digest), os.O_RDONLY | os.O_CLOEXEC)
    try:
        blob = Extent(fd, 0, layer.size)
        how = compression.detect(blob.head(compression.HEAD))
        if how != "zstd":
            _link_once(store.blob_path(layer.digest), target.blob_path(layer.digest))
            return Descriptor(manifests.OCI_LAYERS[how], layer.digest, layer.size)
        named = f"the layer {layer.digest} of {room.what}"
        # umoci verifies what it reads; of what is expanded here it never sees the original.
        if blobs.digest_of(blob.chunks()) != layer.digest:
            raise ImageError(f"{named} is damaged; pull the image again")
        return _expand(blob, target, diff_id, named, room)
    finally:
        os.close(fd)


def _link_once(source: str, path: str) -> None:
    if not os.path.exists(path):
        os.link(source, path)


def _expand(blob: Extent, target: Layout, diff_id: str, named: str, room: Room) -> Descriptor:
    path = files.unique_name(f"{target.blob_path(diff_id)}.")
    content = compression.expand(blob.chunks(), "zstd", named)
    size = blobs.write(room.content(content), path, diff_id, f"the content of {named}")
    target.adopt(path, diff_id)
    return Descriptor(manifests.OCI_LAYERS["none"], diff_id, size)

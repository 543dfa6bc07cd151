import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import layouts
from refusals import refusal
from tweed_shim.errors import ImageError
from tweed_shim.image import config, manifest
from tweed_shim.image.layout import LayoutSource
from tweed_shim.image.manifest import Descriptor, Raw
from tweed_shim.image.members import Extent
from tweed_shim.image.platforms import Platform
from tweed_shim.records import fields, replace

DIGEST = "sha256:" + "a" * 64
AMD64 = Platform("linux", "amd64")

Json = dict[str, Any]


def descriptor(media_type: str, **more: Any) -> Json:
    return {"mediaType": media_type, "digest": DIGEST, "size": 7, **more}


def image(**changes: Any) -> Json:
    return {
        "schemaVersion": 2,
        "mediaType": layouts.MANIFEST,
        "config": descriptor(layouts.CONFIG),
        "layers": [descriptor(layouts.LAYER_TYPES["gzip"])],
        **changes,
    }


def index(*entries: Json, **changes: Any) -> Json:
    return {"schemaVersion": 2, "mediaType": layouts.INDEX, "manifests": list(entries), **changes}


def entry(platform: str, **more: Any) -> Json:
    system, architecture, *variant = platform.split("/")
    about = {"os": system, "architecture": architecture, **({"variant": variant[0]} if variant else {})}
    return descriptor(layouts.MANIFEST, platform=about, **more)


def raw(document: object, media_type: str = "") -> Raw:
    return Raw(media_type, json.dumps(document).encode(), DIGEST)


def parsed(document: object, media_type: str = "") -> manifest.Manifest:
    return manifest.parse_manifest(raw(document, media_type), "the image")


def test_a_manifest_gives_its_configuration_and_its_layers_in_order() -> None:
    layers = [
        descriptor(each) for each in (*layouts.LAYER_TYPES.values(), *layouts.DOCKER_LAYER_TYPES.values())
    ]
    found = parsed(image(layers=layers))
    assert found.config == Descriptor(layouts.CONFIG, DIGEST, 7)
    assert [layer.media_type for layer in found.layers] == [layer["mediaType"] for layer in layers]


def test_a_docker_manifest_is_read_too() -> None:
    document = image(mediaType=layouts.DOCKER_MANIFEST, config=descriptor(layouts.DOCKER_CONFIG), layers=[])
    assert parsed(document, layouts.DOCKER_MANIFEST).layers == ()


def test_an_oci_manifest_need_not_say_that_it_is_one() -> None:
    document = image()
    del document["mediaType"]
    assert parsed(document, "text/plain").config.digest == DIGEST


@pytest.mark.parametrize(
    ("document", "told", "words"),
    [
        ({"schemaVersion": 1, "fsLayers": []}, "", "manifest.v1"),
        (image(), "application/vnd.docker.distribution.manifest.v1+prettyjws", "out of use"),
        (image(mediaType="application/vnd.example+json"), "", "application/vnd.example"),
        (image(), layouts.INDEX, "announced"),
        (index(), layouts.DOCKER_MANIFEST, "announced"),
        (image(manifests=[]), "", "manifests"),
        (index(layers=[]), "", "layers"),
        (image(config=None), "", "config is missing"),
        (image(config=descriptor("application/vnd.cncf.helm.config.v1+json")), "", "helm"),
        (image(config={**descriptor(layouts.CONFIG), "size": 5 << 20}), "", "4 MiB"),
        (image(config={**descriptor(layouts.CONFIG), "size": -1}), "", "size"),
        (image(config={**descriptor(layouts.CONFIG), "size": True}), "", "size"),
        (image(config={**descriptor(layouts.CONFIG), "digest": "sha512:" + "a" * 128}), "", "sha512"),
        (image(config={**descriptor(layouts.CONFIG), "digest": "sha256:../../etc/passwd"}), "", "digest"),
        (image(layers=[descriptor("application/vnd.example.layer")]), "", r"layers\[0\].*vnd.example.layer"),
        (image(layers=[descriptor("application/vnd.docker.image.rootfs.foreign.diff.tar.gzip")]), "", "foreign"),
        (image(layers=[descriptor(layouts.OCI + "layer.nondistributable.v1.tar")]), "", "nondistributable"),
        (image(layers=[descriptor(layouts.LAYER_TYPES["gzip"])] * 2000), "", "more than 1024"),
        (image(layers={}), "", "not a list"),
        (image(layers=[1]), "", "not an object"),
        ([], "", "not a JSON object"),
    ],
)  # fmt: skip
def test_a_manifest_that_cannot_be_used_is_refused_with_its_fault(
    document: object, told: str, words: str
) -> None:
    with pytest.raises(ImageError, match=words):
        parsed(document, told)


def test_a_manifest_over_4_mib_or_nested_without_end_or_not_json_is_refused() -> None:
    for body in (b" " * (4 << 20) + b"{}", b"[" * 1_000_000, b'{"a":' * 100_000, b"\xff", b"", b"9" * 5000):
        with pytest.raises(ImageError, match="the image"):
            manifest.parse_manifest(Raw("", body, DIGEST), "the image")


def test_of_an_index_the_image_for_the_platform_is_chosen_and_attestations_are_passed_over() -> None:
    entries = manifest.parse_index(
        raw(
            index(
                entry("unknown/unknown", size=1),
                entry("linux/arm64/v8", size=2),
                entry("linux/amd64", size=3),
                entry("linux/arm/v6", size=4),
                entry("linux/arm/v7", size=5),
            )
        ),
        "the image",
    )
    chosen = {
        str(platform): manifest.choose(entries, platform, "x").size
        for platform in (AMD64, Platform("linux", "arm64"), Platform("linux", "arm", "v7"))
    }
    assert chosen == {"linux/amd64": 3, "linux/arm64": 2, "linux/arm/v7": 5}


def test_an_index_without_the_platform_is_refused_with_a_list_of_those_it_has() -> None:
    document = index(entry("linux/s390x"), entry("linux/arm/v7"), entry("unknown/unknown"))
    with pytest.raises(
        ImageError, match="no image for linux/amd64; it has images for linux/arm/v7, linux/s390x"
    ):
        manifest.choose(manifest.parse_index(raw(document), "the image"), AMD64, "the image")


def test_one_image_of_no_stated_platform_is_taken_and_two_are_not() -> None:
    one = manifest.parse_index(raw(index(descriptor(layouts.MANIFEST))), "the image")
    assert manifest.choose(one, AMD64, "the image") == Descriptor(layouts.MANIFEST, DIGEST, 7)
    other = replace(one[0], descriptor=replace(one[0].descriptor, digest=f"sha256:{'0' * 64}"))
    with pytest.raises(ImageError, match="no image for"):
        manifest.choose((one[0], other), AMD64, "the image")
    # Named twice it is still one.
    assert manifest.choose(one * 2, AMD64, "the image") == one[0].descriptor


def test_a_configuration_gives_what_a_run_needs() -> None:
    body = json.dumps(
        {
            "architecture": "arm",
            "os": "linux",
            "variant": "v7",
            "config": {
                "Entrypoint": ["/e", "x"],
                "Cmd": None,
                "Env": ["A=1"],
                "User": "1:2",
                "WorkingDir": "/w",
            },
            "rootfs": {"type": "layers", "diff_ids": [DIGEST]},
        }
    ).encode()
    found = config.parse(body, "the configuration")
    assert found.run == config.ImageConfig(("/e", "x"), (), ("A=1",), "1:2", "/w", "arm")
    assert found.platform == Platform("linux", "arm", "v7")
    assert found.diff_ids == (DIGEST,)


def test_a_configuration_that_says_nothing_is_all_empty() -> None:
    for body in (b"{}", b'{"config":null,"rootfs":null}', b'{"config":{"Env":null}}'):
        assert config.parse(body, "the configuration") == config.Configuration(config.ImageConfig(), None, ())


def test_a_configuration_comes_back_whole_from_its_record() -> None:
    kept = config.ImageConfig(("/e",), ("c",), ("A=1", "B=2"), "u", "/w")
    assert config.from_record(json.loads(json.dumps(fields(kept)))) == kept


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ({"config": {"Entrypoint": "/e"}}, r"config: |config is malformed: Entrypoint is not a list"),
        ({"config": {"Entrypoint": ["/e\0x"]}}, r"Entrypoint\[0\] holds a NUL"),
        ({"config": {"Env": ["A=\ud800"]}}, r"Env\[0\] is not valid Unicode"),
        ({"config": {"User": 0}}, "User is not a text"),
        ({"config": []}, "config is not an object"),
        ({"rootfs": {"diff_ids": ["md5:1"]}}, r"diff_ids\[0\] is not a sha256 digest"),
    ],
)
def test_a_configuration_of_wrong_types_is_refused_with_the_place(document: Json, words: str) -> None:
    with pytest.raises(ImageError, match=words):
        config.parse(json.dumps(document).encode(), "the configuration")


SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
)
PATHS = st.lists(st.integers(0, 5), max_size=5)


def mangled(document: Any, path: list[int], value: Any) -> Any:
    """The document with the value at a path, which is counted off over keys and items, replaced."""
    if not path or not isinstance(document, dict | list) or not document:
        return value
    if isinstance(document, dict):
        key = list(document)[path[0] % len(document)]
        return {**document, key: mangled(document[key], path[1:], value)}
    at = path[0] % len(document)
    return [*document[:at], mangled(document[at], path[1:], value), *document[at + 1 :]]


@given(st.sampled_from([image(), index(entry("linux/amd64"), entry("linux/arm/v7"))]), PATHS, VALUES)
def test_nothing_mangled_raises_anything_but_an_image_error(
    document: Json, path: list[int], value: Any
) -> None:
    changed = raw(mangled(document, path, value))
    for read in (
        lambda: manifest.parse_manifest(changed, "the image"),
        lambda: manifest.choose(manifest.parse_index(changed, "the image"), AMD64, "the image"),
        lambda: manifest.media_type(changed, "the image"),
    ):
        sentence = refusal(read, ImageError)
        assert sentence is None or "\n" not in sentence


class Given:
    """A layout of three files that are given."""

    what = "the layout"

    def __init__(self, index: Any) -> None:
        self._files = {
            "oci-layout": b'{"imageLayoutVersion": "1.0.0"}',
            "index.json": json.dumps(index).encode(),
        }

    @contextmanager
    def opened(self, name: str) -> Iterator[Extent]:
        fd = os.memfd_create(name)
        try:
            yield Extent(fd, 0, os.write(fd, self._files[name]))
        finally:
            os.close(fd)


@given(PATHS, VALUES)
def test_no_mangled_layout_raises_anything_but_an_image_error(path: list[int], value: Any) -> None:
    notes = {"org.opencontainers.image.ref.name": "one"}
    members = Given(mangled(index(descriptor(layouts.MANIFEST, annotations=notes)), path, value))
    for tag in ("one", None):
        sentence = refusal(partial(LayoutSource, members, tag), ImageError)
        assert sentence is None or "\n" not in sentence


@given(PATHS, VALUES)
def test_no_mangled_configuration_raises_anything_but_an_image_error(path: list[int], value: Any) -> None:
    whole = {
        "os": "linux",
        "architecture": "arm",
        "config": {"Env": ["A=1"]},
        "rootfs": {"diff_ids": [DIGEST]},
    }
    body = json.dumps(mangled(whole, path, value)).encode()
    sentence = refusal(lambda: config.parse(body, "the configuration"), ImageError)
    assert sentence is None or "\n" not in sentence


@given(st.binary(max_size=200))
def test_no_bytes_raise_anything_but_an_image_error(body: bytes) -> None:
    for read in (manifest.parse_manifest, manifest.parse_index):
        with pytest.raises(ImageError):
            read(Raw("", body, DIGEST), "the image")

"""Pulling from a real registry: what is asked of it, and what is not."""

import json
import os
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

import layouts
from layouts import Layer, LayoutWriter
from servers import Fault, FaultyProxy, RegistryServer, corrupt, faulty_proxy
from tweed_shim.errors import RegistryError, ShimError
from tweed_shim.image import store
from tweed_shim.image.pull import obtain
from tweed_shim.image.store import Image

OTHER = {"os": "linux", "architecture": "s390x"}


@pytest.fixture
def root(tmp_path: Path) -> str:
    return str(tmp_path / "root")


@pytest.fixture
def layout(tmp_path: Path) -> LayoutWriter:
    return LayoutWriter(str(tmp_path / "layout"))


@pytest.fixture
def proxy(registry: RegistryServer) -> Iterator[FaultyProxy]:
    with faulty_proxy(registry.host) as proxy:
        yield proxy


def push(
    registry: RegistryServer, layout: LayoutWriter, name: str, *texts: str, compression: str = "gzip"
) -> str:
    """Push an image with a layer for each text; returns the digest of its manifest."""
    descriptor = layout.image([Layer({f"file{at}": text}, compression) for at, text in enumerate(texts)])
    layout.tag("pushed", descriptor)
    registry.push(layout.path, "pushed", name)
    digest: str = descriptor["digest"]
    return digest


def texts(image: Image) -> list[str]:
    return [Path(image.rootfs, name).read_text() for name in sorted(os.listdir(image.rootfs))]


def test_an_image_is_pulled_once_and_then_needs_no_network(
    root: str, layout: LayoutWriter, registry: RegistryServer, proxy: FaultyProxy
) -> None:
    digest = push(registry, layout, "once:1", "a", "b")
    image = obtain(root, f"{proxy.host}/once:1")
    assert (image.reference, image.digest, texts(image)) == (f"{proxy.host}/once:1", digest, ["a", "b"])
    proxy.seen.clear()
    assert obtain(root, f"{proxy.host}/once:1") == image
    assert obtain(root, f"{proxy.host}/once:1", pull="never") == image
    assert obtain(root, f"{proxy.host}/once@{digest}").rootfs == image.rootfs
    assert proxy.seen == []


def test_always_asks_for_the_manifest_alone_where_nothing_has_changed_and_moves_the_tag_where_it_has(
    root: str, layout: LayoutWriter, registry: RegistryServer, proxy: FaultyProxy
) -> None:
    push(registry, layout, "moving:1", "shared", "old")
    old = obtain(root, f"{proxy.host}/moving:1")
    proxy.seen.clear()
    assert obtain(root, f"{proxy.host}/moving:1", pull="always") == old
    assert proxy.requests("/blobs/") == []
    assert len(proxy.requests("/manifests/")) == 1
    push(registry, layout, "moving:1", "shared", "new")
    assert obtain(root, f"{proxy.host}/moving:1") == old
    proxy.seen.clear()
    new = obtain(root, f"{proxy.host}/moving:1", pull="always")
    assert texts(new) == ["shared", "new"]
    # The configuration and the layer that are new; the shared layer is in the store.
    assert len({request.path for request in proxy.requests("GET .*/blobs/")}) == 2
    assert [each.digest for each in store.images(root)] == [new.digest]


def test_a_tag_that_moves_on_while_the_registry_is_away_stays_what_it_was(
    root: str, layout: LayoutWriter, registry: RegistryServer, proxy: FaultyProxy
) -> None:
    push(registry, layout, "away:1", "a")
    image = obtain(root, f"{proxy.host}/away:1")
    proxy.spoil("/manifests/", Fault(status=404), times=10)
    with pytest.raises(RegistryError):
        obtain(root, f"{proxy.host}/away:1", pull="always")
    assert store.find(root, f"{proxy.host}/away:1") == image


def test_a_multi_platform_image_is_resolved_and_its_index_digest_needs_no_network_later(
    root: str, layout: LayoutWriter, registry: RegistryServer, proxy: FaultyProxy
) -> None:
    images = [
        (platform, layout.image([Layer({"file": name})], platform=platform))
        for name, platform in (("other", OTHER), ("host", layouts.HOST_PLATFORM))
    ]
    index = layout.image_index(images)
    layout.tag("pushed", index)
    registry.push(layout.path, "pushed", "platforms:1")
    image = obtain(root, f"{proxy.host}/platforms:1")
    assert texts(image) == ["host"]
    assert texts(obtain(root, f"{proxy.host}/platforms:1", platform="linux/s390x")) == ["other"]
    proxy.seen.clear()
    assert obtain(root, f"{proxy.host}/platforms@{index['digest']}").digest == image.digest
    assert proxy.seen == []


def test_a_docker_image_comes_from_a_registry_too(
    root: str, layout: LayoutWriter, registry: RegistryServer
) -> None:
    layout.tag("pushed", layout.image([Layer({"file": "docker"})], {"Entrypoint": ["/e"]}))
    registry.push(layout.path, "pushed", "docker:1", extra=["--format", "v2s2"])
    image = obtain(root, f"{registry.host}/docker:1")
    assert (texts(image), image.config.entrypoint) == (["docker"], ("/e",))
    manifest = Path(root, "images/blobs/sha256", image.digest.removeprefix("sha256:")).read_bytes()
    assert json.loads(manifest)["mediaType"] == layouts.DOCKER_MANIFEST


def test_zstd_layers_come_from_a_registry_too(
    root: str, layout: LayoutWriter, registry: RegistryServer, proxy: FaultyProxy
) -> None:
    push(registry, layout, "zstd:1", "a", "b", compression="zstd")
    assert texts(obtain(root, f"{proxy.host}/zstd:1")) == ["a", "b"]


def test_what_came_whole_before_a_failure_is_not_fetched_again(
    root: str, layout: LayoutWriter, registry: RegistryServer, proxy: FaultyProxy
) -> None:
    push(registry, layout, "half:1", "good", "bad")
    manifest = layout.index[0]["digest"]
    good, bad = (layer["digest"] for layer in _layers(layout, manifest))
    proxy.spoil(f"/blobs/{bad}", corrupt(5), times=10)
    with pytest.raises(ShimError, match=bad):
        obtain(root, f"{proxy.host}/half:1")
    assert store.images(root) == []
    assert os.listdir(f"{root}/tmp") == os.listdir(f"{root}/rootfs") == []
    assert bad.removeprefix("sha256:") not in os.listdir(f"{root}/images/blobs/sha256")
    good_came = good.removeprefix("sha256:") in os.listdir(f"{root}/images/blobs/sha256")
    with faulty_proxy(registry.host) as honest:
        assert texts(obtain(root, f"{honest.host}/half:1")) == ["good", "bad"]
        assert bool(honest.requests(f"/blobs/{good}")) is not good_came


def _layers(layout: LayoutWriter, digest: str) -> list[dict[str, str]]:
    layers: list[dict[str, str]] = json.loads(Path(layout.blob_path(digest)).read_bytes())["layers"]
    return layers


@pytest.mark.parametrize(
    ("reference", "said"),
    [
        ("unknown/image:1", "does not have the repository unknown/image; check its name"),
        ("known:unknown", "does not have .*/known:unknown; check the tag, as the repository is there"),
    ],
)
def test_an_unknown_image_is_one_sentence_and_nothing_is_recorded(
    root: str, registry: RegistryServer, layout: LayoutWriter, reference: str, said: str
) -> None:
    layout.tag("known", layout.image([Layer({"a": "x"})]))
    registry.push(layout.path, "known", "known:1")
    with pytest.raises(RegistryError, match=said):
        obtain(root, f"{registry.host}/{reference}")
    assert store.images(root) == []
    assert os.listdir(f"{root}/tmp") == []


def test_threads_that_want_the_same_cold_image_fetch_it_once(
    root: str, layout: LayoutWriter, registry: RegistryServer, proxy: FaultyProxy
) -> None:
    push(registry, layout, "threads:1", "a", "b", "c")
    found: list[Image] = []
    threads = [
        threading.Thread(target=lambda: found.append(obtain(root, f"{proxy.host}/threads:1")))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [found[0]] * 8
    paths = [request.path for request in proxy.requests("GET .*/(blobs|manifests)/")]
    assert sorted(paths) == sorted(set(paths))


def test_an_image_from_a_registry_is_named_in_the_store_as_people_name_it(
    root: str, layout: LayoutWriter, registry: RegistryServer
) -> None:
    push(registry, layout, "named:1", "a")
    obtain(root, f"{registry.host}/named:1")
    listed = subprocess.run(
        ["umoci", "ls", "--layout", f"{root}/images"], check=True, capture_output=True, text=True
    )
    assert listed.stdout.split() == [f"{registry.host}/named:1"]

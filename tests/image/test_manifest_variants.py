"""Images that docker, podman and skopeo take, though the specification does not have them as they are."""

import base64
import json
import os
from collections.abc import Mapping
from typing import Any

import pytest

import layouts
from layouts import HOST_PLATFORM, Layer, LayoutWriter
from servers import RegistryServer
from tweed_shim.errors import ImageError
from tweed_shim.image import credential_files, platforms, pull, stored_credentials
from tweed_shim.image.store import Image

SBOM = "application/spdx+json"
OTHER = {"os": "linux", "architecture": "s390x"}
REF_NAME = "org.opencontainers.image.ref.name"
Descriptor = dict[str, Any]


@pytest.fixture
def root(tmp_path: os.PathLike[str]) -> str:
    return os.path.join(tmp_path, "root")


@pytest.fixture
def layout(tmp_path: os.PathLike[str]) -> LayoutWriter:
    return LayoutWriter(os.path.join(tmp_path, "layout"))


def image(layout: LayoutWriter, text: str = "x", **options: Any) -> Descriptor:
    return layout.image([Layer({"file": text})], **options)


def changed(
    layout: LayoutWriter, manifest: Descriptor, config_type: str | None = None, **fields: Any
) -> Descriptor:
    """Another manifest of the same blobs."""
    with open(layout.blob_path(manifest["digest"]), encoding="utf-8") as file:
        document = {**json.load(file), **fields}
    if config_type is not None:
        document["config"]["mediaType"] = config_type
    return layout.json_blob(document, document["mediaType"])


def sbom(layout: LayoutWriter, config_type: str = "application/vnd.oci.empty.v1+json") -> Descriptor:
    """Something that is kept beside an image: a manifest that is none of an image's."""
    document = {
        "schemaVersion": 2,
        "mediaType": layouts.MANIFEST,
        "artifactType": SBOM,
        "config": layout.blob(b"{}", config_type),
        "layers": [layout.blob(b'{"spdx": 1}', SBOM)],
    }
    return layout.json_blob(document, layouts.MANIFEST)


def index_of(layout: LayoutWriter, *entries: Mapping[str, Any]) -> Descriptor:
    document = {"schemaVersion": 2, "mediaType": layouts.INDEX, "manifests": list(entries)}
    return layout.json_blob(document, layouts.INDEX)


def name_all(layout: LayoutWriter, name: str, *entries: Mapping[str, Any]) -> None:
    """Give several entries of the layout's index one name."""
    layout.index = [{**entry, "annotations": {REF_NAME: name}} for entry in entries]
    layout._write_index()


def file_of(found: Image) -> str:
    with open(os.path.join(found.rootfs, "file"), encoding="utf-8") as file:
        return file.read()


# ---- platforms in the words of uname


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("x86_64", "linux/amd64"), ("x86-64", "linux/amd64"), ("AMD64", "linux/AMD64"), ("aarch64", "linux/arm64/v8"),
        ("armhf", "linux/arm/v7"), ("i386", "linux/386"), ("s390x", "linux/s390x"), ("", "linux"),
    ],
)  # fmt: skip
def test_an_architecture_is_known_by_what_uname_calls_it(said: str, meant: str) -> None:
    assert str(platforms.of_image("linux", said, "")) == meant


def test_a_variant_that_is_named_counts() -> None:
    assert str(platforms.of_image("Linux", "aarch64", "v9")) == "linux/arm64/v9"


@pytest.mark.parametrize("where", ["configuration", "index"])
def test_an_image_for_x86_64_is_one_for_amd64(root: str, layout: LayoutWriter, where: str) -> None:
    spoken = {"os": "linux", "architecture": os.uname().machine}
    found = image(layout, platform=spoken if where == "configuration" else HOST_PLATFORM)
    other = image(layout, "other", platform=OTHER)
    layout.tag("one", layout.image_index([(OTHER, other), (spoken, found)]) if where == "index" else found)
    for platform in (None, "linux/" + HOST_PLATFORM["architecture"], f"linux/{os.uname().machine}"):
        got = pull.obtain(root, f"oci:{layout.path}:one", platform=platform)
        assert file_of(got) == "x"
        # By this the calls are chosen that a run may make.
        assert got.config.architecture == HOST_PLATFORM["architecture"]


# ---- manifests


@pytest.mark.parametrize("config_type", ["application/octet-stream", "application/json", "text/html", ""])
def test_a_docker_manifest_may_call_its_configuration_as_old_registries_do(
    root: str, layout: LayoutWriter, config_type: str
) -> None:
    layout.tag("old", changed(layout, image(layout, docker=True), config_type))
    assert file_of(pull.obtain(root, f"oci:{layout.path}:old")) == "x"
    layout.tag("new", changed(layout, image(layout), config_type))
    with pytest.raises(ImageError, match="is not a container image"):
        pull.obtain(root, f"oci:{layout.path}:new")


@pytest.mark.parametrize("docker", [False, True])
def test_a_layout_may_call_dockers_manifest_ocis_and_the_other_way_round(
    root: str, layout: LayoutWriter, docker: bool
) -> None:
    layout.tag(
        "one",
        {
            **image(layout, docker=docker),
            "mediaType": layouts.MANIFEST if docker else layouts.DOCKER_MANIFEST,
        },
    )
    assert file_of(pull.obtain(root, f"oci:{layout.path}:one")) == "x"
    index = layout.image_index([(HOST_PLATFORM, image(layout, "in an index", docker=docker))], docker=docker)
    layout.tag("two", {**index, "mediaType": layouts.INDEX if docker else layouts.DOCKER_LIST})
    assert file_of(pull.obtain(root, f"oci:{layout.path}:two")) == "in an index"


def test_a_layout_may_not_call_an_index_a_manifest(root: str, layout: LayoutWriter) -> None:
    layout.tag("one", {**index_of(layout, image(layout)), "mediaType": layouts.MANIFEST})
    with pytest.raises(ImageError, match="was announced"):
        pull.obtain(root, f"oci:{layout.path}:one")


# ---- indexes


@pytest.mark.parametrize("config_type", ["application/vnd.oci.empty.v1+json", layouts.CONFIG])
@pytest.mark.parametrize("told", [{"artifactType": SBOM}, {}])
@pytest.mark.parametrize("platform", [{}, {"platform": HOST_PLATFORM}])
@pytest.mark.parametrize("image_platform", [{}, {"platform": HOST_PLATFORM}])
def test_an_attestation_may_come_before_its_image_in_an_index(
    root: str,
    layout: LayoutWriter,
    config_type: str,
    told: dict[str, str],
    platform: dict[str, Any],
    image_platform: dict[str, Any],
) -> None:
    about = {**sbom(layout, config_type), **told, **platform}
    found = {**image(layout), **image_platform}
    layout.tag("one", index_of(layout, about, found))
    assert file_of(pull.obtain(root, f"oci:{layout.path}:one")) == "x"


def test_it_does_so_in_a_registry_too(root: str, layout: LayoutWriter, registry: RegistryServer) -> None:
    about = {**sbom(layout), "platform": HOST_PLATFORM}
    layout.tag("one", index_of(layout, about, {**image(layout), "platform": HOST_PLATFORM}))
    name = registry.push(layout.path, "one", "peers/sbom:1", extra=["--preserve-digests"])
    assert file_of(pull.obtain(root, name)) == "x"


def test_two_images_of_no_platform_are_not_guessed_between(root: str, layout: LayoutWriter) -> None:
    layout.tag("one", index_of(layout, sbom(layout), image(layout, "1"), image(layout, "2")))
    with pytest.raises(ImageError, match="no image for"):
        pull.obtain(root, f"oci:{layout.path}:one")


def test_an_index_of_attestations_only_is_refused(root: str, layout: LayoutWriter) -> None:
    layout.tag("one", index_of(layout, {**sbom(layout), "artifactType": SBOM}))
    with pytest.raises(ImageError, match="no image for"):
        pull.obtain(root, f"oci:{layout.path}:one")
    layout.tag("two", index_of(layout, {**sbom(layout), "platform": HOST_PLATFORM}))
    with pytest.raises(ImageError, match="is not a container image"):
        pull.obtain(root, f"oci:{layout.path}:two")


# ---- names in layouts


def test_one_name_for_two_platforms_means_the_one_that_fits(root: str, layout: LayoutWriter) -> None:
    here = {**image(layout, "here"), "platform": HOST_PLATFORM}
    there = {**image(layout, "there", platform=OTHER), "platform": OTHER}
    name_all(layout, "both", there, here)
    for reference in (f"oci:{layout.path}:both", f"oci:{layout.path}"):
        assert file_of(pull.obtain(root, reference)) == "here"
        assert file_of(pull.obtain(root, reference, platform="linux/s390x")) == "there"
        # Warm, and by the name alone.
        assert file_of(pull.obtain(root, reference, pull="never", platform="linux/s390x")) == "there"
        with pytest.raises(ImageError, match="has no image for linux/riscv64"):
            pull.obtain(root, reference, platform="linux/riscv64")


def test_a_name_that_is_there_twice_for_one_image_means_it(root: str, layout: LayoutWriter) -> None:
    one = image(layout)
    name_all(layout, "twice", one, {**one, "platform": HOST_PLATFORM})
    assert file_of(pull.obtain(root, f"oci:{layout.path}:twice")) == "x"


def test_an_attestation_may_have_the_ref_name_of_its_image(root: str, layout: LayoutWriter) -> None:
    name_all(layout, "one", sbom(layout), image(layout))
    assert file_of(pull.obtain(root, f"oci:{layout.path}:one")) == "x"


@pytest.mark.parametrize("platform", [{}, {"platform": HOST_PLATFORM}])
def test_a_name_of_two_images_for_one_platform_is_refused(
    root: str, layout: LayoutWriter, platform: dict[str, Any]
) -> None:
    name_all(layout, "two", {**image(layout, "1"), **platform}, {**image(layout, "2"), **platform})
    with pytest.raises(ImageError, match="has more than one image named 'two'"):
        pull.obtain(root, f"oci:{layout.path}:two")


# ---- credentials


@pytest.mark.parametrize("ending", ["\n", "\r\n"])
def test_a_login_may_be_broken_into_lines(tmp_path: os.PathLike[str], ending: str) -> None:
    encoded = base64.b64encode(b"me:" + b"p" * 100).decode()
    broken = ending.join([encoded[:76], encoded[76:], ""])
    path = os.path.join(tmp_path, "auth.json")
    with open(path, "w", encoding="utf-8") as file:
        json.dump({"auths": {"r.example": {"auth": broken}}}, file)
    found = stored_credentials.find(
        "r.example", "app", {"REGISTRY_AUTH_FILE": path, "HOME": os.fspath(tmp_path)}
    )
    assert found == credential_files.Credentials("me", "p" * 100)

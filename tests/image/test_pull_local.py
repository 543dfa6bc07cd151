"""Pulling from layouts and archives, which needs no network, with real umoci and skopeo."""

import gzip
import json
import os
import subprocess
import tarfile
from collections.abc import Sequence
from pathlib import Path

import pytest

import layouts
from layouts import HOST_PLATFORM, File, Layer, LayoutWriter, build_layout, symlink
from tweed_shim.errors import BadReference, ConfigError, HostError, ImageError, StateError
from tweed_shim.image import compression, fetch, store
from tweed_shim.image.blobs import Job, Progress
from tweed_shim.image.config import ImageConfig
from tweed_shim.image.manifest import Raw
from tweed_shim.image.pull import obtain

DIGEST = "sha256:" + "a" * 64
OTHER = {"os": "linux", "architecture": "s390x"}


@pytest.fixture
def root(tmp_path: Path) -> str:
    return str(tmp_path / "root")


@pytest.fixture
def layout(tmp_path: Path) -> LayoutWriter:
    return LayoutWriter(str(tmp_path / "layout"))


def small(text: str = "x") -> Layer:
    return Layer({"file": text})


def tar_directory(path: str, target: str) -> str:
    with tarfile.open(target, "w") as tar:
        tar.add(path, ".")
    return target


def content(image: store.Image, name: str = "file") -> str:
    return Path(image.rootfs, name).read_text()


def files_below(path: str) -> dict[str, bytes | None]:
    """What is there, lock files of a moment left out."""
    found: dict[str, bytes | None] = {}
    for place, directories, names in os.walk(path):
        found |= {os.path.join(place, name): None for name in directories}
        found |= {os.path.join(place, name): Path(place, name).read_bytes() for name in names}
    return found


def hurt(path: str) -> None:
    data = bytearray(Path(path).read_bytes())
    data[len(data) // 2] ^= 0xFF
    Path(path).write_bytes(data)


# Layouts


@pytest.mark.parametrize("docker", [False, True], ids=["oci", "docker"])
@pytest.mark.parametrize("how", ["none", "gzip", "zstd"])
def test_every_media_type_and_compression_is_unpacked_and_keeps_its_digest(
    root: str, tmp_path: Path, how: str, docker: bool
) -> None:
    digest = build_layout(
        str(tmp_path / "layout"),
        files={"entrypoint": "#!/bin/sh\n"},
        env=["A=1"],
        user="7:8",
        workdir="/tmp",
        layers=[Layer({"etc/motd": "hello"}, how)],
        docker=docker,
        compression=how,
    )
    image = obtain(root, f"oci:{tmp_path}/layout:latest")
    assert image.digest == digest
    assert image.reference == f"oci:{tmp_path}/layout:latest"
    assert image.directory == os.path.join(root, "rootfs", digest.removeprefix("sha256:"))
    architecture = HOST_PLATFORM["architecture"]
    assert image.config == ImageConfig(("/entrypoint",), (), ("A=1",), "7:8", "/tmp", architecture)
    assert content(image, "etc/motd") == "hello"
    assert os.stat(f"{image.rootfs}/entrypoint").st_mode & 0o7777 == 0o755
    assert Path(image.rootfs, "bin/busybox").read_bytes() == Path("/bin/busybox").read_bytes()


def test_a_mislabelled_compression_is_told_from_the_bytes(root: str, layout: LayoutWriter) -> None:
    layers = [
        Layer({name: name}, how, layouts.DOCKER_LAYER_TYPES["gzip"])
        for name, how in (("a", "none"), ("b", "zstd"), ("c", "gzip"))
    ]
    layout.tag("odd", layout.image(layers, docker=True))
    image = obtain(root, f"oci:{layout.path}:odd")
    assert sorted(os.listdir(image.rootfs)) == ["a", "b", "c"]


def test_whiteouts_empty_layers_repeated_layers_and_no_layers_at_all(root: str, layout: LayoutWriter) -> None:
    same = Layer({"file": "x"}, "zstd")
    layout.tag(
        "layers", layout.image([same, Layer({}), Layer({".wh.file": ""}), same, Layer({".wh.file": ""})])
    )
    layout.tag("none", layout.image([]))
    assert os.listdir(obtain(root, f"oci:{layout.path}:layers").rootfs) == []
    assert os.listdir(obtain(root, f"oci:{layout.path}:none").rootfs) == []


def test_without_a_tag_the_only_image_is_taken_and_several_are_listed(
    root: str, layout: LayoutWriter
) -> None:
    layout.tag("one", layout.image([small("1")]))
    assert content(obtain(root, f"oci:{layout.path}")) == "1"
    layout.tag("two", layout.image([small("2")]))
    with pytest.raises(ImageError, match=r"has 2 images where one is meant; name one of: one, two"):
        obtain(root, f"oci:{layout.path}")
    with pytest.raises(ImageError, match=r"has no image named 'three'; it has one, two"):
        obtain(root, f"oci:{layout.path}:three")


@pytest.mark.parametrize("name", ["", "oci-layout", "index.json"])
def test_what_is_no_layout_is_refused_by_name(root: str, layout: LayoutWriter, name: str) -> None:
    layout.tag("one", layout.image([small()]))
    path = f"{layout.path}/nowhere" if not name else layout.path
    if name:
        os.unlink(os.path.join(layout.path, name))
    with pytest.raises(
        ImageError, match=f"{path} {'is not an OCI image layout' if name else 'does not exist'}"
    ):
        obtain(root, f"oci:{path}:one")


def test_a_changed_tag_is_seen_at_the_next_use_and_the_same_tree_is_kept_else(
    root: str, layout: LayoutWriter
) -> None:
    layout.tag("one", layout.image([small("old")]))
    reference = f"oci:{layout.path}:one"
    old = obtain(root, reference)
    made = os.stat(old.directory).st_ino
    assert obtain(root, reference) == old
    assert os.stat(old.directory).st_ino == made
    layout.tag("one", layout.image([small("new")]))
    assert obtain(root, reference, pull="never") == old
    assert content(obtain(root, reference)) == "new"


def test_a_relative_path_means_the_same_image_from_everywhere(
    root: str, layout: LayoutWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    layout.tag("one", layout.image([small()]))
    monkeypatch.chdir(layout.path)
    assert obtain(root, "oci:.:one").reference == f"oci:{layout.path}:one"


# Platforms


def test_an_index_gives_the_image_of_the_host_or_of_the_platform_asked_for(
    root: str, layout: LayoutWriter
) -> None:
    entries = [
        (OTHER, layout.image([small("other")], platform=OTHER)),
        (layouts.HOST_PLATFORM, layout.image([small("host")])),
        ({"os": "unknown", "architecture": "unknown"}, layout.blob(b"{}", layouts.MANIFEST)),
    ]
    layout.tag("both", layout.image_index(entries))
    layout.tag("docker", layout.image_index(entries, docker=True))
    for tag in ("both", "docker"):
        reference = f"oci:{layout.path}:{tag}"
        host, other = obtain(root, reference), obtain(root, reference, platform="linux/s390x")
        assert (content(host), content(other)) == ("host", "other")
        assert host.digest == entries[1][1]["digest"]
        assert store.find(root, reference) == host
        assert store.find(root, reference, "linux/s390x") == other
        with pytest.raises(ImageError, match=r"no image for linux/riscv64; it has images for .*linux/s390x"):
            obtain(root, reference, platform="linux/riscv64")


def test_an_index_may_hold_an_index_but_not_deeper_and_not_itself(root: str, layout: LayoutWriter) -> None:
    inner = layout.image_index([(layouts.HOST_PLATFORM, layout.image([small("inner")]))])
    outer = layout.image_index([(layouts.HOST_PLATFORM, inner)])
    layout.tag("two", outer)
    layout.tag("three", layout.image_index([(layouts.HOST_PLATFORM, outer)]))
    assert content(obtain(root, f"oci:{layout.path}:two")) == "inner"
    with pytest.raises(ImageError, match="an index in an index in an index"):
        obtain(root, f"oci:{layout.path}:three")


def test_a_source_that_gives_an_index_as_its_own_child_is_refused() -> None:
    entry = {
        "mediaType": layouts.INDEX,
        "digest": DIGEST,
        "size": 1,
        "platform": layouts.HOST_PLATFORM,
    }
    body = json.dumps({"schemaVersion": 2, "mediaType": layouts.INDEX, "manifests": [entry]}).encode()

    class Liar:
        def resolve(self) -> Raw:
            return Raw(layouts.INDEX, body, DIGEST)

        def manifest(self, digest: str) -> Raw:
            raise AssertionError(f"asked for {digest}, which is what it is reading")

        def fetch(self, jobs: Sequence[Job], _progress: Progress) -> None:
            raise AssertionError(f"asked for {jobs}")

    with pytest.raises(ImageError, match="holds itself"):
        fetch.resolve(Liar(), "", "the image")


def test_a_single_image_for_another_platform_is_refused_unless_asked_for(
    root: str, layout: LayoutWriter
) -> None:
    layout.tag("other", layout.image([small()], platform=OTHER))
    with pytest.raises(ImageError, match=r"no image for .*; it has one for linux/s390x"):
        obtain(root, f"oci:{layout.path}:other")
    assert content(obtain(root, f"oci:{layout.path}:other", platform="linux/s390x")) == "x"


# Archives


@pytest.mark.parametrize("how", ["none", "gzip", "zstd"])
def test_an_oci_archive_is_read_plain_and_compressed(
    root: str, tmp_path: Path, layout: LayoutWriter, how: str
) -> None:
    layout.tag("one", layout.image([small("archived")]))
    archive = tmp_path / "image.tar"
    tar_directory(layout.path, str(archive))
    archive.write_bytes(layouts.compress(archive.read_bytes(), how))
    for reference in (f"oci-archive:{archive}", f"oci-archive:{archive}:one"):
        assert content(obtain(root, reference)) == "archived"
    assert os.listdir(f"{root}/tmp") == []


@pytest.mark.parametrize("kind", ["oci-archive", "docker-archive"])
def test_what_skopeo_archives_is_read(root: str, tmp_path: Path, kind: str) -> None:
    build_layout(str(tmp_path / "layout"), env=["A=1"], layers=[small("skopeo")])
    target = f"{kind}:{tmp_path}/image.tar:example.org/name:one"
    if kind == "oci-archive":
        target = f"{kind}:{tmp_path}/image.tar:one"
    subprocess.run(
        ["skopeo", "--insecure-policy", "copy", "-q", f"oci:{tmp_path}/layout:latest", target], check=True
    )
    for reference in (f"{kind}:{tmp_path}/image.tar", f"{kind}:{tmp_path}/image.tar:one", target):
        image = obtain(root, reference)
        assert content(image) == "skopeo"
        assert image.config.env == ("A=1",)


def docker_save(path: Path, images: dict[str, list[Layer]], *, legacy: bool) -> str:
    """What `docker save` writes: with symbolic links for repeated layers before version 25, blobs since."""
    entries: dict[str, File] = {}
    index = []
    for name, layers in images.items():
        tars = [layouts.tar_of(layer.files) for layer in layers]
        diff_ids = [layouts.digest_of(tar) for tar in tars]
        config = json.dumps(
            {**layouts.HOST_PLATFORM, "config": {"Entrypoint": ["/e"]}, "rootfs": {"diff_ids": diff_ids}}
        ).encode()
        config_name = layouts.digest_of(config).removeprefix("sha256:") + ".json"
        names = []
        for number, tar in enumerate(tars):
            hexes = diff_ids[number].removeprefix("sha256:")
            layer_name = f"{number}-{hexes[:12]}/layer.tar" if legacy else f"blobs/sha256/{hexes}"
            first = next((each for each in entries if entries[each].content == tar), None)
            entries[layer_name] = symlink(f"../{first}") if legacy and first else File(tar)
            names.append(layer_name)
        entries[config_name] = File(config)
        index.append({"Config": config_name, "RepoTags": [name] if name else None, "Layers": names})
    path.write_bytes(layouts.tar_of({**entries, "manifest.json": json.dumps(index)}))
    return str(path)


@pytest.mark.parametrize("legacy", [True, False])
def test_what_docker_saves_is_read_by_any_form_of_its_name(root: str, tmp_path: Path, legacy: bool) -> None:
    images = {
        "redis:7": [small("seven"), small("again"), small("seven")],
        "example.org/other:1": [small("other")],
    }
    archive = docker_save(tmp_path / "saved.tar", images, legacy=legacy)
    for tag in ("redis:7", "docker.io/library/redis:7", "7"):
        image = obtain(root, f"docker-archive:{archive}:{tag}")
        assert content(image) == "seven"
        assert image.config.entrypoint == ("/e",)
    assert content(obtain(root, f"docker-archive:{archive}:1")) == "other"
    with pytest.raises(
        ImageError, match=r"has 2 images where one is meant; name one of: example.org/other:1, redis:7"
    ):
        obtain(root, f"docker-archive:{archive}")


def test_the_same_docker_archive_is_always_the_same_image(root: str, tmp_path: Path) -> None:
    first = docker_save(tmp_path / "first.tar", {"": [small()]}, legacy=True)
    second = docker_save(tmp_path / "second.tar", {"a:1": [small()]}, legacy=False)
    assert obtain(root, f"docker-archive:{first}").digest == obtain(root, f"docker-archive:{second}").digest


def test_an_archive_that_has_not_changed_is_not_read_again_and_one_that_has_is(
    root: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = docker_save(tmp_path / "saved.tar", {"a:1": [small("old")]}, legacy=False)
    image = obtain(root, f"docker-archive:{archive}")
    with monkeypatch.context() as context:
        context.setattr("tweed_shim.image.archive.opened_tar", None)
        assert obtain(root, f"docker-archive:{archive}") == image
    docker_save(tmp_path / "saved.tar", {"a:1": [small("new")]}, legacy=False)
    assert content(obtain(root, f"docker-archive:{archive}")) == "new"


def test_archives_that_are_none_are_refused_and_leave_nothing(root: str, tmp_path: Path) -> None:
    store.open_store(root)
    plain = tmp_path / "plain.tar"
    plain.write_bytes(layouts.tar_of({"file": "x"}))
    noise = tmp_path / "noise"
    noise.write_bytes(os.urandom(5000))
    cut = tmp_path / "cut.tar.gz"
    cut.write_bytes(gzip.compress(os.urandom(100_000))[:50_000])
    for reference, words in (
        (f"oci-archive:{plain}", "not an OCI image layout"),
        (f"docker-archive:{plain}", "not a docker-archive"),
        (f"oci-archive:{noise}", "not a whole tar"),
        (f"docker-archive:{cut}", "cut.tar.gz is damaged"),
        (f"docker-archive:{tmp_path}/nothing.tar", "does not exist"),
        (f"oci-archive:{tmp_path}", "is not a file"),
    ):
        with pytest.raises(ImageError, match=words):
            obtain(root, reference)
    assert os.listdir(f"{root}/tmp") == os.listdir(f"{root}/rootfs") == []
    assert store.images(root) == []


def test_a_docker_archive_that_lies_about_its_layers_is_refused(root: str, tmp_path: Path) -> None:
    archive = Path(docker_save(tmp_path / "saved.tar", {"a:1": [small("truth")]}, legacy=False))
    with tarfile.open(archive) as tar:
        files = {member.name: File(tar.extractfile(member).read()) for member in tar}  # type: ignore[union-attr]  # files
    for name, entry in files.items():
        if name.startswith("blobs/"):
            files[name] = File(entry.content.replace(b"truth", b"false"))
    archive.write_bytes(layouts.tar_of(files))
    with pytest.raises(ImageError, match="is damaged"):
        obtain(root, f"docker-archive:{archive}")


# Verification


@pytest.mark.parametrize("part", ["config", "layer", "manifest"])
@pytest.mark.parametrize("fault", ["corrupt", "missing", "longer", "shorter"])
def test_a_blob_that_is_not_what_its_descriptor_says_is_refused_and_nothing_is_left(
    root: str, layout: LayoutWriter, part: str, fault: str
) -> None:
    store.open_store(root)
    obtain_base = layout.image([small("base")])
    layout.tag("base", obtain_base)
    obtain(root, f"oci:{layout.path}:base")
    before = files_below(root)
    image = layout.image([small("base"), Layer({"other": os.urandom(3000)})])
    layout.tag("one", image)
    manifest = json.loads(Path(layout.blob_path(image["digest"])).read_bytes())
    victims = {"manifest": image, "config": manifest["config"], "layer": manifest["layers"][1]}
    path = layout.blob_path(victims[part]["digest"])
    if fault == "corrupt":
        hurt(path)
    elif fault == "missing":
        os.unlink(path)
    else:
        os.truncate(path, os.path.getsize(path) + (1 if fault == "longer" else -1))
    with pytest.raises(ImageError, match=r"damaged|missing|lacks"):
        obtain(root, f"oci:{layout.path}:one")
    assert files_below(root) == before


@pytest.mark.parametrize("how", ["none", "gzip", "zstd"])
def test_a_layer_that_is_not_that_of_its_diff_id_is_refused_and_nothing_is_left(
    root: str, layout: LayoutWriter, how: str
) -> None:
    lie = layout.image([small(), Layer({"a": "b"}, how, diff_id="sha256:" + "0" * 64)])
    layout.tag("lie", lie)
    store.open_store(root)
    with pytest.raises(ImageError, match=r"diff id|is damaged"):
        obtain(root, f"oci:{layout.path}:lie")
    assert os.listdir(f"{root}/images/blobs/sha256") == []
    assert os.listdir(f"{root}/rootfs") == os.listdir(f"{root}/tmp") == []
    assert store.images(root) == []


def test_a_refused_image_leaves_what_another_reference_uses(root: str, layout: LayoutWriter) -> None:
    layout.tag("good", layout.image([small("shared")]))
    layout.tag("bad", layout.image([small("shared"), Layer({"a": "b"}, diff_id="sha256:" + "0" * 64)]))
    good = obtain(root, f"oci:{layout.path}:good")
    with pytest.raises(ImageError):
        obtain(root, f"oci:{layout.path}:bad")
    blobs = os.listdir(f"{root}/images/blobs/sha256")
    manifest = json.loads(Path(layout.blob_path(good.digest)).read_bytes())
    wanted = [good.digest, manifest["config"]["digest"], manifest["layers"][0]["digest"]]
    assert sorted(blobs) == sorted(digest.removeprefix("sha256:") for digest in wanted)


def test_layers_and_diff_ids_that_are_not_as_many_are_refused(root: str, layout: LayoutWriter) -> None:
    image = layout.image([small()])
    manifest = json.loads(Path(layout.blob_path(image["digest"])).read_bytes())
    manifest["layers"] *= 2
    layout.tag("odd", layout.json_blob(manifest, layouts.MANIFEST))
    with pytest.raises(ImageError, match="2 layers and 1 diff ids"):
        obtain(root, f"oci:{layout.path}:odd")


def test_a_zstd_bomb_is_refused_and_nothing_is_left(
    root: str, layout: LayoutWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compression, "LARGEST_CONTENT", 8 << 20)
    layout.tag("bomb", layout.image([Layer({"zeros": bytes(16 << 20)}, "zstd")]))
    with pytest.raises(ImageError, match="expands to more than"):
        obtain(root, f"oci:{layout.path}:bomb")
    assert os.listdir(f"{root}/tmp") == os.listdir(f"{root}/rootfs") == []


def test_a_hostile_layer_stays_inside_of_its_tree(root: str, layout: LayoutWriter, tmp_path: Path) -> None:
    layout.tag(
        "hostile",
        layout.image(
            [
                Layer({"out": symlink(str(tmp_path)), "up": symlink("../../../../..")}),
                Layer({"../../../escaped": "1", "/absolute": "2", "out/through-link": "3", "up/above": "4"}),
            ]
        ),
    )
    image = obtain(root, f"oci:{layout.path}:hostile")
    found = {name for _, _, names in os.walk(image.rootfs) for name in names}
    assert {"escaped", "absolute"} <= found
    everywhere = files_below(str(tmp_path))
    for name in ("escaped", "absolute", "through-link", "above"):
        places = [path for path in everywhere if os.path.basename(path) == name]
        assert all(path.startswith(image.rootfs) for path in places)


# Policies and faults


def test_never_takes_what_is_here_and_refuses_what_is_not(root: str, layout: LayoutWriter) -> None:
    layout.tag("one", layout.image([small()]))
    reference = f"oci:{layout.path}:one"
    with pytest.raises(StateError, match="is not in the store, and the pull policy is never"):
        obtain(root, reference, pull="never")
    assert not os.path.exists(root)
    image = obtain(root, reference)
    assert obtain(root, reference, pull="never") == image


def test_never_unpacks_again_what_is_here_but_not_unpacked(root: str, layout: LayoutWriter) -> None:
    layout.tag("one", layout.image([small()]))
    image = obtain(root, f"oci:{layout.path}:one")
    subprocess.run(["rm", "-rf", image.directory], check=True)
    os.rename(layout.path, f"{layout.path}.gone")
    assert obtain(root, f"oci:{layout.path}:one", pull="never") == image
    assert content(image) == "x"


def test_an_image_by_digest_that_came_by_another_name_needs_no_network(
    root: str, layout: LayoutWriter
) -> None:
    index = layout.image_index([(layouts.HOST_PLATFORM, layout.image([small("known")]))])
    layout.tag("one", index)
    image = obtain(root, f"oci:{layout.path}:one")
    for digest in (image.digest, index["digest"]):
        # Nobody answers at this address; a request would be an error.
        by_digest = obtain(root, f"registry.invalid/some/where@{digest}", pull="always")
        assert by_digest.digest == image.digest
        assert by_digest.rootfs == image.rootfs


def test_blobs_that_another_tool_removed_are_brought_again(root: str, layout: LayoutWriter) -> None:
    layout.tag("one", layout.image([small()]))
    image = obtain(root, f"oci:{layout.path}:one")
    subprocess.run(["rm", "-rf", image.directory], check=True)
    for name in os.listdir(f"{root}/images/blobs/sha256"):
        os.unlink(f"{root}/images/blobs/sha256/{name}")
    assert content(obtain(root, f"oci:{layout.path}:one")) == "x"


def test_a_blob_that_was_damaged_in_the_store_is_noticed_and_brought_again(
    root: str, layout: LayoutWriter
) -> None:
    layout.tag("one", layout.image([small(), Layer({"noise": os.urandom(5000)}, "zstd")]))
    reference = f"oci:{layout.path}:one"
    image = obtain(root, reference)
    for layer in json.loads(Path(layout.blob_path(image.digest)).read_bytes())["layers"]:
        subprocess.run(["rm", "-rf", image.directory], check=True)
        hurt(os.path.join(root, "images/blobs", *layer["digest"].split(":")))
        with pytest.raises(ImageError, match="damaged"):
            obtain(root, reference)
        assert content(obtain(root, reference)) == "x"


def test_each_step_is_reported_in_a_line_and_a_warm_image_in_none(root: str, layout: LayoutWriter) -> None:
    layout.tag("one", layout.image([small()]))
    lines: list[str] = []
    reference = f"oci:{layout.path}:one"
    image = obtain(root, reference, report=lines.append)
    assert [line.split()[0] for line in lines] == ["fetched", "unpacked", "pulled"]
    assert lines[0].startswith(f"fetched 1 layer of {reference}, ")
    assert image.digest in lines[-1]
    lines.clear()
    obtain(root, reference, report=lines.append)
    assert lines == []
    obtain(root, reference, pull="always", report=lines.append)
    assert lines[-1] == f"{reference} is up to date: {image.digest}"


def test_words_that_are_no_policy_no_platform_and_no_reference_are_refused_before_anything(root: str) -> None:
    with pytest.raises(ConfigError, match="'sometimes'"):
        obtain(root, "redis", pull="sometimes")
    with pytest.raises(ConfigError, match="'amd64'"):
        obtain(root, "redis", platform="amd64")
    with pytest.raises(BadReference):
        obtain(root, "Redis:latest:oldest")
    with pytest.raises(BadReference, match="UTF-8"):
        obtain(root, "oci:/tmp/\udcff")
    assert not os.path.exists(root)


def test_what_the_system_refuses_is_one_sentence_that_names_the_place(root: str) -> None:
    with pytest.raises(HostError, match=r"/x+/oci-layout cannot be used \(File name too long\)"):
        obtain(root, f"oci:/{'x' * 300}")


def test_a_missing_umoci_is_named_with_its_package_before_anything_is_fetched(
    root: str, layout: LayoutWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    layout.tag("one", layout.image([small()]))
    monkeypatch.setattr("tweed_shim.image.unpack.find_program", lambda _name: None)
    with pytest.raises(HostError, match="umoci is not installed; install it with: apt install umoci"):
        obtain(root, f"oci:{layout.path}:one")
    assert os.listdir(f"{root}/images/blobs/sha256") == []


def test_a_local_layout_at_hand_is_looked_up_by_its_index_alone(
    root: str, layout: LayoutWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    layout.tag("one", layout.image([small()]))
    image = obtain(root, f"oci:{layout.path}:one")
    subprocess.run(["rm", "-rf", f"{layout.path}/blobs"], check=True)
    monkeypatch.setenv("PATH", "/nonexistent")
    assert obtain(root, f"oci:{layout.path}:one") == image

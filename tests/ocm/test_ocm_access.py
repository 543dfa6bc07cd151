import hashlib
import json
import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from components import Elsewhere, Local, component, content, image, make_archive, move, put, with_image
from layouts import build_layout
from servers import RegistryServer
from token_servers import QuietHandler, Server, serving
from tweed_shim.errors import ComponentError, ShimError
from tweed_shim.ocm import access, resources
from tweed_shim.ocm.descriptor import Digest, Resource
from tweed_shim.ocm.registries import Connection
from tweed_shim.ocm.session import Session

DATA = b"some content" * 100


class Web(Server):
    """Gives what is in `pages`; `seen` has the methods, paths and headers that were asked."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _WebHandler)
        self.pages: dict[str, bytes] = {}
        self.types: dict[str, str] = {}
        self.seen: list[tuple[str, str, Mapping[str, str]]] = []


class _WebHandler(QuietHandler):
    server: Web

    def do_GET(self) -> None:  # noqa: N802 - the base class calls it so
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.seen.append((self.command, self.path, dict(self.headers)))
        if self.path == "/moved":
            return self.answer(302, headers={"Location": "/data"})
        found = self.server.pages.get(self.path)
        if found is None:
            return self.answer(404)
        said = self.server.types.get(self.path)
        return self.answer(200, found, headers={"content-TYPE": said} if said else {})

    do_POST = do_GET  # noqa: N815 - the base class calls them so


@pytest.fixture
def web() -> Iterator[Web]:
    server = Web()
    server.pages["/data"] = DATA
    with serving(server):
        yield server


def archive(tmp_path: Path, specification: Mapping[str, Any], data: bytes | None = DATA) -> str:
    """A component version with one resource that is accessed so; its digest is that of `data`."""
    about = component("example.com/app", "1.0.0", [Elsewhere("it", specification, data)])
    return make_archive(tmp_path / "a", about) + "//example.com/app:1.0.0"


@pytest.mark.parametrize("kind", ["wget", "wget/v1", "Wget"])
def test_a_resource_on_a_web_server(tmp_path: Path, web: Web, kind: str) -> None:
    source = archive(tmp_path, {"type": kind, "url": f"http://{web.host}/data", "mediaType": "text/plain"})
    assert content(source, "it") == DATA


@pytest.mark.parametrize(
    ("said", "media_type"),
    [
        ("text/html", "text/html"),
        ("Application/JSON ; charset=utf-8", "application/json"),
        ("application/vnd.a+b", "application/vnd.a+b"),
        *((each, "application/octet-stream") for each in ("", "html", "text/", "a b/c", "text/html/x")),
    ],
)
def test_content_is_copied_with_the_media_type_that_the_server_says(
    tmp_path: Path, web: Web, said: str, media_type: str
) -> None:
    web.types["/data"] = said
    for name, fields, expected in (("said", {}, media_type), ("known", {"mediaType": "text/x"}, "text/x")):
        access_fields = {"type": "wget", "url": f"http://{web.host}/data", **fields}
        source = archive(tmp_path / name, access_fields)
        target = str(tmp_path / f"{name}-target")
        move(source, target, copy_resources=True)
        with Session() as session:
            (found,) = session.component_version(f"{target}//example.com/app:1.0.0").descriptor.resources
        assert found.access["mediaType"] == expected


@pytest.mark.parametrize("verb", ["PO\r\nST", "5", 5, "GET /x", "*", "P\N{CYRILLIC CAPITAL LETTER O}ST"])
def test_a_verb_that_is_no_method_is_refused_and_not_advised(tmp_path: Path, web: Web, verb: object) -> None:
    source = archive(tmp_path, {"type": "wget", "url": f"http://{web.host}/data", "verb": verb})
    for verbs in ([], [str(verb)]):
        with pytest.raises(
            ComponentError, match="which is no HTTP method; have the component version made again"
        ):
            content(source, "it", verbs=verbs)
    assert web.seen == []


def test_a_web_server_is_asked_as_the_access_says(tmp_path: Path, web: Web) -> None:
    fields = {
        "URL": f"http://{web.host}/data",
        "verb": "POST",
        "header": {"X-One": ["a", "b"]},
        "body": "hello",
    }
    source = archive(tmp_path, {"type": "wget", **fields})
    with pytest.raises(ComponentError, match=r"the HTTP method 'POST'.*use allow_verbs=..POST'"):
        content(source, "it")
    assert content(source, "it", verbs=["POST"]) == DATA
    method, _, headers = web.seen[0]
    assert (method, headers["X-One"], headers["Content-Length"]) == ("POST", "a, b", "5")


def test_a_redirect_is_followed_unless_it_may_not_be(tmp_path: Path, web: Web) -> None:
    fields = {"type": "wget", "url": f"http://{web.host}/moved"}
    assert content(archive(tmp_path / "1", fields), "it") == DATA
    with pytest.raises(ComponentError, match="HTTP 302"):
        content(archive(tmp_path / "2", {**fields, "noRedirect": True}), "it")


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("http://HOST/none", r"does not give /none \(HTTP 404\)"),
        ("ftp://HOST/data", "no http or https address"),
        ("file:///etc/passwd", "no http or https address"),
        ("http://127.0.0.1:1/", "nobody answers"),
    ],
)
def test_an_address_that_gives_nothing(
    tmp_path: Path, web: Web, url: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tweed_shim.image.connection import Patience
    from tweed_shim.ocm import web as fetching

    monkeypatch.setattr(fetching, "PATIENCE", Patience(sleep=lambda _seconds: None))
    with pytest.raises(ComponentError, match=message) as raised:
        content(archive(tmp_path, {"type": "wget", "url": url.replace("HOST", web.host)}), "it")
    assert "registry" not in str(raised.value)


def test_content_with_another_digest_is_refused(tmp_path: Path, web: Web) -> None:
    source = archive(tmp_path, {"type": "wget", "url": f"http://{web.host}/data"}, b"other")
    with pytest.raises(ComponentError, match="not what its component version says"):
        content(source, "it")


@pytest.mark.parametrize("hash_name", ["SHA-256", "SHA-512"])
def test_the_recorded_digest_may_be_of_either_hash(tmp_path: Path, hash_name: str) -> None:
    about = component("example.com/app", "1.0.0", [Local("it", DATA)])
    path = make_archive(tmp_path / "a", about)
    value = hashlib.new(hash_name.replace("-", ""), DATA).hexdigest()
    with Session() as session:
        version = session.component_version(f"{path}//example.com/app")
        blob = version.local_blob(about.blobs[0].digest, "")
        resources.verify(blob, Digest(hash_name, "genericBlobDigest/v1", value))
        with pytest.raises(ComponentError, match="not what its component version says"):
            resources.verify(blob, Digest(hash_name, "genericBlobDigest/v1", value[::-1]))
        with pytest.raises(ComponentError, match="cannot be verified here"):
            resources.verify(blob, Digest(hash_name, "mavenArtifactDigest/v1", value))


def test_a_chart_of_a_helm_repository(tmp_path: Path, web: Web) -> None:
    web.pages["/charts/index.yaml"] = (
        b"apiVersion: v1\nentries:\n  chart:\n  - version: 1.0.1\n    urls: [x]\n"
        b"  - version: 1.0.0\n    urls: [sub/chart-1.0.0.tgz]\n"
    )
    web.pages["/charts/sub/chart-1.0.0.tgz"] = DATA
    fields = {"type": "helm", "helmRepository": f"http://{web.host}/charts/", "helmChart": "chart:1.0.0"}
    assert content(archive(tmp_path / "1", fields), "it") == DATA
    for chart in ("other:1.0.0", "chart:2.0.0"):
        with pytest.raises(ComponentError, match=f"does not have the chart {chart}"):
            content(archive(tmp_path / chart, {**fields, "helmChart": chart}), "it")


def test_artifacts_and_blobs_of_a_registry(tmp_path: Path, registry: RegistryServer) -> None:
    """What a component version of its own is made of serves as an artifact, and its local blob as a blob."""
    place = put(f"{registry.host}/access", component("example.com/held", "1.0.0", [Local("one", DATA)]))
    repository = f"{place}/component-descriptors/example.com/held"
    digest = f"sha256:{hashlib.sha256(DATA).hexdigest()}"
    blob = {"type": "ociBlob", "ref": repository, "digest": digest, "size": len(DATA), "mediaType": "a/b"}
    assert content(archive(tmp_path / "1", blob), "it") == DATA
    with pytest.raises(ComponentError, match="no digest and size"):
        content(archive(tmp_path / "2", {**blob, "size": "7"}), "it")
    for number, kind in enumerate(("ociArtifact", "ociArtifact/v1", "ociRegistry", "OCIImage", "ociImage")):
        source = archive(
            tmp_path / kind / str(number), {"type": kind, "imageReference": f"{repository}:1.0.0"}, None
        )
        with Session() as session:
            version = session.component_version(source)
            with resources.opened_image(
                version, version.descriptor.resources[0], session.connection
            ) as found:
                assert found.holder.blob(found.repository, found.main, "it").media_type == ""
    missing = archive(tmp_path / "3", {"type": "ociArtifact", "imageReference": f"{repository}:9"}, None)
    with pytest.raises(ComponentError, match="does not have"):
        content(missing, "it")


def test_an_artifact_relative_to_the_registry_of_its_component_version(registry: RegistryServer) -> None:
    inner = component("example.com/held", "1.0.0", [Local("one", DATA)])
    fields = {
        "type": "relativeOciReference",
        "reference": "relative/component-descriptors/example.com/held:1.0.0",
    }
    place = put(
        f"{registry.host}/relative", inner, component("example.com/app", "1.0.0", [Elsewhere("it", fields)])
    )
    with Session() as session:
        version = session.component_version(f"{place}//example.com/app")
        with resources.opened(version, version.descriptor.resources[0], session.connection) as blob:
            assert blob.media_type == "application/vnd.oci.image.manifest.v1+tar+gzip"
        assert access.name_hint(version, fields) == fields["reference"]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (
            {"type": "npm", "registry": "r", "package": "p", "version": "1"},
            "accessed by 'npm', which is not supported",
        ),
        ({"type": "maven/v1"}, "accessed by 'maven/v1', which is not supported"),
        ({"type": "none"}, "has no content"),
        ({"type": "wget"}, "has no URL"),
        ({"type": "ociArtifact"}, "has no imageReference"),
        ({"type": "ociArtifact", "imageReference": "A B"}, "is malformed"),
        ({"type": "localBlob"}, "has no localReference"),
        ({"type": "localBlob", "localReference": f"sha256:{'0' * 64}"}, "lacks the local blob"),
        ({"type": "gitHub", "repoUrl": "github.com/a/b", "commit": "main"}, "names no commit"),
        ({"type": "gitHub", "repoUrl": "github.com/a", "commit": "0" * 40}, "names no commit"),
        ({"type": "helm", "helmRepository": "http://127.0.0.1:1", "helmChart": "x"}, "has no version"),
        ({"type": "relativeOciReference", "reference": "x:1"}, "does not have x:1"),
    ],
)
def test_an_access_that_leads_nowhere(tmp_path: Path, fields: Mapping[str, Any], message: str) -> None:
    with pytest.raises(ComponentError, match=message):
        content(archive(tmp_path, fields, None), "it")


def test_a_bucket_takes_a_library_that_need_not_be_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "boto3", None)
    with pytest.raises(ComponentError, match="install tweed-shim"):
        content(archive(tmp_path, {"type": "s3", "bucket": "b", "key": "k"}), "it")


def test_local_blobs_by_their_old_names(tmp_path: Path) -> None:
    digest = f"sha256:{hashlib.sha256(DATA).hexdigest()}"
    for number, fields in enumerate(
        (
            {"type": "LocalBlob/v1", "localReference": digest, "mediaType": "a/b"},
            {"type": "localOciBlob", "digest": digest},
        )
    ):
        about = component(
            "example.com/app",
            "1.0.0",
            [Local("held", DATA), Resource("it", "1", type="t", relation="local", access=fields)],
        )
        path = make_archive(tmp_path / str(number), about)
        assert content(f"{path}//example.com/app", "it") == DATA


def test_a_component_archive_with_files_by_digest_and_by_name(tmp_path: Path) -> None:
    place = tmp_path / "ca"
    (place / "blobs").mkdir(parents=True)
    digest = hashlib.sha256(DATA).hexdigest()
    (place / "blobs" / f"sha256.{digest}").write_bytes(DATA)
    (place / "blobs" / "named").write_bytes(b"named")
    held = [
        Resource(name, "1", type="t", relation="local", access=fields)
        for name, fields in {
            "it": {"type": "localBlob", "localReference": f"sha256:{digest}"},
            "old": {"type": "localFilesystemBlob", "fileName": "named"},
            "out": {"type": "localFilesystemBlob", "fileName": "../x"},
        }.items()
    ]
    (place / "component-descriptor.yaml").write_bytes(component("example.com/app", "1.0.0", held).text)
    for source in (f"{place}//example.com/app", f"ca::{place}//example.com/app:1.0.0"):
        assert content(source, "it") == DATA
        assert content(source, "old") == b"named"
        with pytest.raises(ComponentError, match="no name of a file in it"):
            content(source, "out")
    (place / "blobs" / f"sha256.{digest}").write_bytes(DATA[:-1] + b"!")
    with pytest.raises(ComponentError, match="is damaged"):
        content(f"{place}//example.com/app", "it")


def test_an_image_in_an_archive_becomes_a_layout(tmp_path: Path) -> None:
    digest = build_layout(str(tmp_path / "layout"))
    about = with_image(component("example.com/app"), *image("image", str(tmp_path / "layout")))
    path = make_archive(tmp_path / "a", about, file_format="tgz")
    with Session() as session:
        version = session.component_version(f"{path}//example.com/app")
        (found,) = version.descriptor.resources
        reference = resources.write_layout(version, found, Connection(), str(tmp_path / "out"))
    assert reference == f"oci:{tmp_path}/out"
    index = json.loads((tmp_path / "out" / "index.json").read_bytes())
    assert [each["digest"] for each in index["manifests"]] == [digest]
    for name in (tmp_path / "out" / "blobs" / "sha256").iterdir():
        assert hashlib.sha256(name.read_bytes()).hexdigest() == name.name


def test_an_image_that_is_not_the_recorded_one_is_refused(tmp_path: Path) -> None:
    build_layout(str(tmp_path / "one"), env=["A=1"])
    build_layout(str(tmp_path / "two"), env=["A=2"])
    resource, _ = image("image", str(tmp_path / "one"))
    other, blob = image("image", str(tmp_path / "two"))
    lying = Resource(
        "image", "1", type="ociImage", relation="local", access=other.access, digest=resource.digest
    )
    path = make_archive(tmp_path / "a", with_image(component("example.com/app"), lying, blob))
    with Session() as session:
        version = session.component_version(f"{path}//example.com/app")
        with pytest.raises(ComponentError, match="not what its component version says"):
            resources.write_layout(
                version, version.descriptor.resources[0], Connection(), str(tmp_path / "out")
            )


def test_an_image_that_is_damaged_leaves_no_layout(tmp_path: Path) -> None:
    build_layout(str(tmp_path / "layout"))
    resource, blob = image("image", str(tmp_path / "layout"))
    path = make_archive(tmp_path / "a", with_image(component("example.com/app"), resource, blob))
    packed = tmp_path / "a" / "blobs" / blob.digest.replace(":", ".")
    with Session() as session:
        version = session.component_version(f"{path}//example.com/app")
        (found,) = version.descriptor.resources
        with pytest.raises(ShimError, match="cannot be written"):
            resources.write_layout(version, found, Connection(), "/proc/none/out")
        packed.write_bytes(packed.read_bytes()[:-2000] + bytes(2000))
        with pytest.raises(ShimError, match="damaged"):
            resources.write_layout(version, found, Connection(), str(tmp_path / "out"))
    assert sorted(os.listdir(tmp_path)) == ["a", "layout"]


def test_what_is_no_image_does_not_become_a_layout(tmp_path: Path) -> None:
    path = make_archive(tmp_path / "a", component("example.com/app", "1.0.0", [Local("it", DATA)]))
    with Session() as session:
        version = session.component_version(f"{path}//example.com/app")
        with pytest.raises(ShimError, match="is no OCI artifact, but has the media type 'text/plain'"):
            resources.write_layout(
                version, version.descriptor.resources[0], Connection(), str(tmp_path / "out")
            )
    assert not (tmp_path / "out").exists()

"""Component versions in registries: written, and read in every form that other tools write."""

import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from components import Local, component, content, make_archive, move, put, tree
from layouts import build_layout
from servers import Fault, RegistryServer, RegistryWithToken, corrupt, faulty_proxy
from tweed_shim.errors import ComponentError, ShimError
from tweed_shim.http.connect_options import ConnectOptions
from tweed_shim.image.archive_reader import Directory
from tweed_shim.image.content import digest_of
from tweed_shim.image.manifest import OCI_INDEX, OCI_MANIFEST, RawManifest
from tweed_shim.ocm import (
    artifacts,
    blob_access,
    oci_repository,
    resource_images,
)
from tweed_shim.ocm.artifact_sets import ArtifactSet
from tweed_shim.ocm.blob_access import Blob
from tweed_shim.ocm.component_descriptor import Digest, Resource
from tweed_shim.ocm.references import parse_repository
from tweed_shim.ocm.registry_store import ConnectionSettings
from tweed_shim.ocm.repositories import open_for_writing
from tweed_shim.ocm.repository import Addition
from tweed_shim.ocm.session import Session

LIB = component("example.com/lib", "0.3.0+build.7", [Local("notes", b"notes & <more>")])
APP = component(
    "example.com/app",
    "1.0.0",
    [Local("one", b"first"), Local("two", b"second" * 1000), Local("again", b"first")],
    ["example.com/lib:0.3.0+build.7"],
)


@pytest.fixture
def place(registry: RegistryServer, request: pytest.FixtureRequest) -> str:
    """A repository in the registry for a single test."""
    name = hashlib.sha256(request.node.nodeid.encode()).hexdigest()[:12]
    return f"{registry.host}/test-{name}"


def test_a_component_version_keeps_its_bytes_through_a_registry(place: str, tmp_path: Path) -> None:
    source = make_archive(tmp_path / "a", LIB, APP)
    move(f"{source}//example.com/app", place, recursive=True)
    move(f"{place}//example.com/app", f"{tmp_path}/b", recursive=True)
    assert tree(tmp_path / "a") == tree(tmp_path / "b")


def test_an_equal_component_version_is_not_pushed_again(place: str, tmp_path: Path) -> None:
    source = make_archive(tmp_path / "a", LIB)
    assert [each.done for each in move(f"{source}//example.com/lib", place)] == [True]
    assert [each.done for each in move(f"{source}//example.com/lib", place)] == [False]


def test_versions_of_a_component_are_listed(place: str) -> None:
    put(place, *(component("example.com/app", each) for each in ("1.0.0", "1.1.0-rc.1+a.b", "1.0.1")))
    with Session() as session:
        repository = session.repository(parse_repository(place))
        assert sorted(repository.versions("example.com/app")) == ["1.0.0", "1.0.1", "1.1.0-rc.1+a.b"]
        assert repository.versions("example.com/none") == []
        assert str(session.component_version(f"{place}//example.com/app")) == "example.com/app:1.1.0-rc.1+a.b"
        with pytest.raises(ComponentError, match="cannot list its components"):
            repository.components()


def test_a_configured_password_is_used_for_a_registry(
    registry_with_password: RegistryServer, tmp_path: Path
) -> None:
    def find(consumer: Any) -> dict[str, str]:
        host, _, port = registry_with_password.host.partition(":")
        assert (consumer["hostname"], consumer["port"]) == (host, port)
        return {"username": registry_with_password.user, "password": registry_with_password.password}

    connection = ConnectionSettings(find=find, environ={"HOME": os.fspath(tmp_path)})
    place = parse_repository(f"{registry_with_password.host}/with-password")
    with open_for_writing(place, connection) as repository:
        repository.add(LIB)
    with Session(connection=connection) as session:
        assert session.repository(place).lookup("example.com/lib", "0.3.0+build.7") is not None
    with (
        Session(connection=ConnectionSettings(environ={"HOME": os.fspath(tmp_path)})) as session,
        pytest.raises(ShimError, match="requires credentials for the repository"),
    ):
        session.repository(place).lookup("example.com/lib", "0.3.0+build.7")


def test_a_registry_with_tokens_or_tls_is_written_to(
    registry_with_token: RegistryWithToken, registry_with_tls: RegistryServer, tmp_path: Path
) -> None:
    about = component("example.com/app", "1.0.0", [Local("big", os.urandom(3 << 20))])
    nowhere = {"HOME": os.fspath(tmp_path)}
    given = {"username": registry_with_token.registry.user, "password": registry_with_token.registry.password}
    for host, connection in (
        (
            registry_with_token.registry.host,
            ConnectionSettings(find=lambda _consumer: given, environ=nowhere),
        ),
        (
            registry_with_tls.host,
            ConnectionSettings(connect=ConnectOptions(ca_file=registry_with_tls.ca_file), environ=nowhere),
        ),
    ):
        place = parse_repository(f"{host}/written")
        with open_for_writing(place, connection) as repository:
            repository.add(about)
        with Session(connection=connection) as session:
            version = session.repository(place).lookup("example.com/app", "1.0.0")
            assert version is not None
            blob = version.local_blob(about.blobs[0].digest, "")
            assert sum(map(len, blob.pieces())) == 3 << 20


def test_a_registry_blob_with_another_digest_is_refused(place: str, registry: RegistryServer) -> None:
    put(place, LIB)
    notes = hashlib.sha256(b"notes & <more>").hexdigest()
    with faulty_proxy(registry.host) as proxy:
        proxy.spoil(f"GET .*/blobs/sha256:{notes}", corrupt(3), times=2)
        with pytest.raises(
            ShimError,
            match=r"digest .*: the registry or a proxy changed it; push the image again, or use another network",
        ):
            content(f"{place.replace(registry.host, proxy.host)}//example.com/lib", "notes")


def test_an_upload_location_on_another_server_is_refused(place: str, registry: RegistryServer) -> None:
    with faulty_proxy(registry.host) as proxy:
        elsewhere = Fault(status=202, headers={"Location": "http://127.0.0.1:9/upload"})
        proxy.spoil("POST .*/blobs/uploads/", elsewhere)
        with pytest.raises(ShimError, match=r"names http://127\.0\.0\.1:9, which is not its own address"):
            put(place.replace(registry.host, proxy.host), LIB)


def _blob(data: bytes, media_type: str = "") -> Blob:
    return blob_access.from_bytes(data, media_type, "a blob")


class Pusher:
    """Pushes component versions to a registry in the forms of other tools."""

    def __init__(self, repository: oci_repository.OciRepository) -> None:
        self.store = repository.store
        self.prefix = repository.sub_path

    def put(
        self,
        repository: str,
        layer: Blob,
        *,
        tag: str = "1.0.0",
        config_type: str = oci_repository.CONFIG_TYPE,
        more: tuple[Blob, ...] = (),
    ) -> RawManifest:
        settings = {
            "componentDescriptorLayer": {
                "digest": layer.digest,
                "size": layer.size,
                "mediaType": layer.media_type,
            }
        }
        config = _blob(json.dumps(settings, indent=1).encode(), config_type)
        fields = [
            artifacts.descriptor_json(each.media_type, each.digest, each.size)
            for each in (config, layer, *more)
        ]
        body = json.dumps(artifacts.manifest_json(fields[0], fields[1:], {})).encode()
        raw = RawManifest(OCI_MANIFEST, body, digest_of([body]))
        self.store.put(f"{self.prefix}/{repository}", tag, raw, blobs=[config, layer, *more])
        return raw


@pytest.fixture
def pusher(place: str) -> Iterator[Pusher]:
    with open_for_writing(parse_repository(place), ConnectionSettings()) as repository:
        assert isinstance(repository, oci_repository.OciRepository)
        yield Pusher(repository)


SIMPLE = component("example.com/app", "1.0.0", [Local("one", b"first")])
PLAIN = min(oci_repository.PLAIN_TYPES)
REPOSITORY = "component-descriptors/example.com/app"


def _local(addition: Addition) -> tuple[Blob, ...]:
    return tuple(_blob(b"".join(each.pieces()), each.media_type) for each in addition.blobs)


@pytest.mark.parametrize("media_type", sorted(oci_repository.PLAIN_TYPES))
def test_a_descriptor_may_be_a_layer_of_its_own(place: str, pusher: Pusher, media_type: str) -> None:
    pusher.put(REPOSITORY, _blob(SIMPLE.text, media_type), more=_local(SIMPLE))
    assert content(f"{place}//example.com/app", "one") == b"first"


@pytest.mark.parametrize("kind", sorted(oci_repository.CONFIG_TYPES))
@pytest.mark.parametrize("media_type", sorted(oci_repository.TAR_TYPES))
def test_a_descriptor_layer_may_be_a_tar_of_any_known_media_type(
    place: str, pusher: Pusher, media_type: str, kind: str
) -> None:
    packed = _blob(oci_repository.compose(SIMPLE)[1][0].read(), media_type)
    pusher.put(REPOSITORY, packed, more=_local(SIMPLE), config_type=kind)
    assert content(f"{place}//example.com/app", "one") == b"first"


def test_components_under_hashed_names_are_read(place: str, pusher: Pusher) -> None:
    hashed = hashlib.sha256(b"example.com/app").hexdigest()
    pusher.put(hashed, _blob(SIMPLE.text, PLAIN), more=_local(SIMPLE))
    host, _, prefix = place.partition("/")
    fields = {
        "type": "OCIRegistry",
        "baseUrl": host,
        "subPath": prefix,
        "componentNameMapping": "sha256-digest",
    }
    assert content(f"{json.dumps(fields)}//example.com/app:1.0.0", "one") == b"first"
    with pytest.raises(ComponentError, match="read-only"):
        put(json.dumps(fields), SIMPLE)


@pytest.mark.parametrize("noted", [True, False])
def test_a_component_version_may_be_an_index(place: str, pusher: Pusher, noted: bool) -> None:
    layer = _blob(SIMPLE.text, PLAIN)
    raw = pusher.put(REPOSITORY, layer, more=_local(SIMPLE), tag="part")
    other = pusher.put(REPOSITORY, _blob(b"{}"), tag="other")
    entries: list[dict[str, Any]] = [
        artifacts.descriptor_json(OCI_MANIFEST, each.digest, len(each.body)) for each in (raw, other)
    ]
    if noted:
        entries[0]["annotations"] = {oci_repository.DESCRIPTOR_NOTE: "true"}
        entries.reverse()
    body = json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries}).encode()
    pusher.store.put(
        f"{pusher.prefix}/{REPOSITORY}", "1.0.0", RawManifest(OCI_INDEX, body, digest_of([body])), blobs=[]
    )
    assert content(f"{place}//example.com/app:1.0.0", "one") == b"first"


@pytest.mark.parametrize(
    ("layer", "kind", "message"),
    [
        (_blob(SIMPLE.text, "text/plain"), oci_repository.CONFIG_TYPE, "media type 'text/plain'"),
        (_blob(SIMPLE.text, PLAIN), "application/json", "no component version"),
        (_blob(b"a: b", PLAIN), oci_repository.CONFIG_TYPE, "names no schema"),
        (_blob(b"meta: {schemaVersion: v9}", PLAIN), oci_repository.CONFIG_TYPE, "has an unknown schema"),
        (_blob(b"no tar", oci_repository.TAR_TYPE), oci_repository.CONFIG_TYPE, "not a whole tar"),
        (
            _blob(component("example.com/other").text, PLAIN),
            oci_repository.CONFIG_TYPE,
            "it holds example.com/other:1.0.0 instead",
        ),
    ],
)  # fmt: skip
def test_an_artifact_that_is_no_component_version_is_refused(
    place: str, pusher: Pusher, layer: Blob, kind: str, message: str
) -> None:
    pusher.put(REPOSITORY, layer, config_type=kind)
    with pytest.raises(ComponentError, match=message):
        content(f"{place}//example.com/app:1.0.0", "one")


def test_a_local_blob_in_several_layers_is_joined(place: str, pusher: Pusher) -> None:
    parts = (_blob(b"one ", "text/plain"), _blob(b"two", "text/plain"))
    about = component("example.com/app", "1.0.0", [Local("one", b"one two")])
    reference = ",".join(each.digest for each in parts)
    text = about.text.replace(about.blobs[0].digest.encode(), reference.encode())
    pusher.put(REPOSITORY, _blob(text, PLAIN), more=parts)
    assert content(f"{place}//example.com/app", "one") == b"one two"


def test_a_local_blob_that_is_missing_is_named(place: str, pusher: Pusher) -> None:
    pusher.put(REPOSITORY, _blob(SIMPLE.text, PLAIN))
    with pytest.raises(ComponentError, match="lacks the local blob sha256:"):
        content(f"{place}//example.com/app", "one")


def test_a_local_blob_may_be_an_artifact_beside_the_component_version(
    place: str, pusher: Pusher, tmp_path: Path
) -> None:
    build_layout(str(tmp_path / "layout"))
    layout = ArtifactSet(Directory(str(tmp_path / "layout")), "the layout")
    image = [part.content for part in layout.main.parts()]
    manifest = image.pop()
    raw = RawManifest(OCI_MANIFEST, manifest.read(), manifest.digest)
    pusher.store.put(f"{pusher.prefix}/{REPOSITORY}", "image", raw, blobs=image)
    access = {"type": "LocalBlob/v1", "localReference": manifest.digest, "mediaType": OCI_MANIFEST}
    recorded = Digest("SHA-256", "ociArtifactDigest/v1", manifest.digest.partition(":")[2])
    resource = Resource("image", "1", type="ociImage", relation="local", access=access, digest=recorded)
    about = component("example.com/app", "1.0.0", [resource])
    pusher.put(REPOSITORY, _blob(about.text, PLAIN))
    move(f"{place}//example.com/app:1.0.0", f"{tmp_path}/t")
    with Session() as session:
        version = session.component_version(f"{tmp_path}/t//example.com/app")
        (found,) = version.descriptor.resources
        assert found.access["type"] == "localBlob"
        with resource_images.open_image(version, found, session.connection) as opened:
            assert opened.digest == manifest.digest

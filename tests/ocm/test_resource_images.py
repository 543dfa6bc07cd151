"""Images that are resources: run and pulled from archives."""

import os
import shutil
from pathlib import Path

import pytest

from components import Elsewhere, component, image, make_archive, with_image
from installed import Shim
from layouts import build_layout
from script_images import METADATA
from servers import RegistryServer, faulty_proxy
from tweed_shim.base.records import replace
from tweed_shim.errors import StateError
from tweed_shim.host.userns import detect
from tweed_shim.image import pull, store
from tweed_shim.ocm import resource_content, resource_images
from tweed_shim.ocm.component_descriptor import Digest
from tweed_shim.ocm.session import Session


def test_an_image_is_run_from_an_archive_without_a_registry(shim: Shim, public_directory: str) -> None:
    place = os.path.join(public_directory, f"ocm-{shim.account.name}")
    build_layout(f"{place}-layout", files={"entrypoint": f"#!/bin/sh\n{METADATA}\n"}, compression="none")
    about = with_image(component("example.com/app"), *image("image", f"{place}-layout"))
    archive = make_archive(f"{place}.tgz", about, file_format="tgz")
    os.chmod(archive, 0o644)
    layout = os.path.join(os.path.dirname(shim.root), "layout")
    done = shim.run("ocm", "download", f"{archive}//example.com/app", "image", "--oci-layout", "-O", layout)
    assert (done.code, done.err) == (0, b"")
    done = shim.run("exec", f"oci:{layout}", "metadata")
    assert done.code == 0, done.err
    assert b"backend: tweed/v1" in done.out


def test_an_image_that_is_a_resource_is_pulled_once(tmp_path: os.PathLike[str]) -> None:
    layout, root = f"{tmp_path}/layout", f"{tmp_path}/store"
    digest = build_layout(layout)
    path = make_archive(
        f"{tmp_path}/a",
        with_image(component("example.com/app"), *image("image", layout)),
        with_image(component("example.com/other"), *image("image", layout, record=False)),
    )
    with Session() as session:
        for name in ("app", "other"):
            version = session.component_version(f"{path}//example.com/{name}")
            (found,) = version.descriptor.resources
            pulled = resource_images.pull_image(root, version, found, session.connection, idmap=detect())
            assert (pulled.reference, pulled.digest) == (f"example.com/{name}@{digest}", digest)
    # The store has the image by its digest, so neither the archive nor a registry is asked again.
    again = pull.obtain(root, f"example.com/app@{digest}", idmap=detect())
    assert again.rootfs == pulled.rootfs
    assert {each.reference for each in store.images(root)} == {
        f"example.com/app@{digest}",
        f"example.com/other@{digest}",
    }


def test_no_registry_is_asked_for_a_stored_image_with_or_without_a_recorded_digest(
    registry: RegistryServer, tmp_path: Path
) -> None:
    layout, root = f"{tmp_path}/layout", f"{tmp_path}/store"
    digest = build_layout(layout)
    registry.push(layout, "latest", "acme/tagged:1")
    with faulty_proxy(registry.host) as proxy, Session() as session:
        pushed = f"{proxy.host}/acme/tagged"
        access = {"type": "ociArtifact", "imageReference": f"{pushed}:1"}
        bare = component("example.com/bare", "1.0.0", [Elsewhere("image", access, type="ociImage")])
        recorded = replace(
            bare.descriptor.resources[0],
            digest=Digest("SHA-256", resource_content.ARTIFACT_DIGEST, digest[7:]),
        )
        archive = make_archive(f"{tmp_path}/a", bare, component("example.com/known", "1.0.0", [recorded]))

        def pulled(name: str, policy: str) -> str:
            version = session.component_version(f"{archive}//example.com/{name}")
            (found,) = version.descriptor.resources
            return resource_images.pull_image(
                root, version, found, session.connection, policy=policy, idmap=detect()
            ).reference

        for name, called in (("bare", f"{pushed}:1"), ("known", f"{pushed}@{digest}")):
            with pytest.raises(
                StateError, match=f"{called} is not in the store.*use another pull policy once"
            ):
                pulled(name, "never")
            assert not proxy.seen
            assert pulled(name, "missing") == called
            proxy.seen.clear()
            assert {pulled(name, policy) for policy in ("never", "missing")} == {called}
            assert not proxy.seen
            shutil.rmtree(root)

import os

from components import component, image, make_archive, with_image
from installed import Shim
from layouts import build_layout
from script_images import METADATA
from tweed_shim.idmap import detect
from tweed_shim.image import pull, store
from tweed_shim.ocm import resources
from tweed_shim.ocm.session import Session


def test_an_image_is_run_out_of_an_archive_without_a_registry(shim: Shim, public_directory: str) -> None:
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
            pulled = resources.pull(root, version, found, session.connection, idmap=detect())
            assert (pulled.reference, pulled.digest) == (f"example.com/{name}@{digest}", digest)
    # It is there by its digest, and neither the archive nor a registry is asked for it again.
    again = pull.obtain(root, f"example.com/app@{digest}", idmap=detect())
    assert again.rootfs == pulled.rootfs
    assert {each.reference for each in store.images(root)} == {
        f"example.com/app@{digest}",
        f"example.com/other@{digest}",
    }

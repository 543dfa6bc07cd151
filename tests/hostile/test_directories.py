"""Hostile archives and layouts in directory form: their links lead to no file of the host."""

import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from accounts import Account, open_to_all
from components import Local, component, make_archive, tree
from installed import Result, Shim
from layouts import Layer, LayoutWriter, build_layout
from toi_packages import executor_layout, make_component_archive, package, with_executor
from tweed_shim.ocm.component_descriptor import Resource

SECRET = b"root:of the host:1\n"
APP = "example.com/app:1.0.0"
DESCRIPTOR, INDEX, OLDER_INDEX = (
    "component-descriptor.yaml",
    "artifact-index.json",
    "artifact-descriptor.json",
)


class Victim(NamedTuple):
    """A directory of the host that the caller, and nobody else, may read and write."""

    path: Path
    account: Account

    def hold(self, name: str, source: Path) -> Path:
        """Have a copy of something of an archive: a link to it would be as good if it were followed."""
        target = self.path / name
        subprocess.run(["cp", "-r", source, target], check=True)
        subprocess.run(["chown", "-R", f"{self.account.uid}:{self.account.gid}", target], check=True)
        return target


@pytest.fixture
def victim(shim: Shim) -> Victim:
    path = Path(os.path.dirname(shim.root), "host")
    path.mkdir(0o700)
    os.chown(path, shim.account.uid, shim.account.gid)
    victim = Victim(path, shim.account)
    secret = path.with_name("secret")
    secret.write_bytes(SECRET)
    victim.hold("leak", secret)
    (path / "leak").chmod(0o600)
    secret.unlink()
    return victim


def given(shim: Shim, source: str) -> Path:
    """Return a stranger's directory as a caller has it, who may write to it."""
    path = Path(os.path.dirname(shim.root), "given")
    shutil.copytree(source, path, symlinks=True)
    subprocess.run(["chown", "-R", f"{shim.account.uid}:{shim.account.gid}", path], check=True)
    return path


def replaced(path: Path, target: Path | str) -> None:
    """Put a link in the place of a file or a directory, or where nothing was."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
    path.symlink_to(target)


def up(path: Path) -> str:
    return "../" * 32 + os.fspath(path).lstrip("/")


def assert_refused(done: Result, archive: Path, entry: str, hint: str = "") -> None:
    """Check that a refusal is one sentence that names the archive and the entry, and ends with the hint."""
    assert done.code == 125, done
    sentence = done.err.decode().splitlines()[-1]
    begin = rf"tweed-shim: {re.escape(entry)}(/[\w./]+)? in {archive} cannot be used: it leads out "
    wanted = f"{begin}.* use the copy{hint}"
    assert re.fullmatch(wanted, sentence), done
    assert b"Traceback" not in done.err
    assert SECRET not in done.out + done.err


@pytest.fixture(scope="module")
def component_archive(public_directory: str) -> Iterator[str]:
    """Return a component archive with a TOI package that has a resource without digest, the local blob `leak`."""
    directory = os.path.join(public_directory, "directories")
    layout = executor_layout(os.path.join(directory, "image"), "cat /toi/inputs/ocmrepo > /toi/outputs/all")
    access = {"type": "localBlob", "localReference": "leak", "mediaType": "text/plain"}
    leak = Resource("leak", "1.0.0", type="blob", relation="local", access=access)
    entry = {"resourceRef": {"resource": {"name": "image"}}, "outputs": {"all": "all"}}
    app = component("example.com/app", "1.0.0", [package({"executors": [entry]}), leak])
    archive = make_component_archive(os.path.join(directory, "archive"), with_executor(app, layout))
    open_to_all(directory)
    yield archive
    shutil.rmtree(directory)


def link_descriptor(archive: Path, victim: Victim) -> None:
    replaced(archive / DESCRIPTOR, victim.hold(DESCRIPTOR, archive / DESCRIPTOR))


def link_blobs(archive: Path, victim: Victim) -> None:
    for name in os.listdir(archive / "blobs"):
        victim.hold(name, archive / "blobs" / name)
    replaced(archive / "blobs", victim.path)


def link_in_two_steps(archive: Path, victim: Victim) -> None:
    (archive / "second").symlink_to(victim.path)
    (archive / "blobs/leak").symlink_to("../second/leak")


# Each makes a component archive disclose a file of the host, and names what of the archive is refused.
LEAKS: dict[str, tuple[Callable[[Path, Victim], object], str]] = {
    "absolute": (lambda archive, host: replaced(archive / "blobs/leak", host.path / "leak"), "blobs/leak"),
    "upwards": (lambda archive, host: replaced(archive / "blobs/leak", up(host.path / "leak")), "blobs/leak"),
    "two steps": (link_in_two_steps, "blobs/leak"),
    "blobs": (link_blobs, "blobs"),
    "descriptor": (link_descriptor, DESCRIPTOR),
}


@pytest.mark.parametrize("leak", LEAKS)
def test_no_file_of_the_host_is_read_through_an_archive(
    shim: Shim, victim: Victim, component_archive: str, leak: str
) -> None:
    archive = given(shim, component_archive)
    make, entry = LEAKS[leak]
    make(archive, victim)
    beside = sorted(os.listdir(archive.parent))
    named, target = f"{archive}//{APP}", os.fspath(archive.with_name("target"))
    assert_refused(shim.run("ocm", "download", named, "leak", "-O", target), archive, entry)
    assert_refused(shim.run("ocm", "download", named, "leak", "-O", "-"), archive, entry)
    for file_format in ("directory", "tgz"):
        assert_refused(shim.run("ocm", "transfer", "-t", file_format, named, target), archive, entry)
    assert sorted(os.listdir(archive.parent)) == beside


@pytest.mark.parametrize("leak", ["absolute", "blobs"])
def test_no_file_of_the_host_reaches_an_executor(
    shim: Shim, victim: Victim, component_archive: str, leak: str
) -> None:
    archive = given(shim, component_archive)
    make, entry = LEAKS[leak]
    make(archive, victim)
    done = shim.run("toi", "bootstrap", "--ocmconfig", "None", "install", f"{archive}//{APP}")
    assert_refused(done, archive, entry)
    assert shim.run("logs", "--json").out.strip() in (b"", b"[]")


def test_links_inside_of_an_archive_are_followed(shim: Shim, component_archive: str) -> None:
    archive = given(shim, component_archive)
    os.rename(archive / "blobs", archive / "real")
    (archive / "blobs").symlink_to("real")
    (archive / "text").write_bytes(b"inside")
    (archive / "real/leak").symlink_to("../real/../text")
    done = shim.run("ocm", "download", f"{archive}//{APP}", "leak", "-O", "-")
    assert (done.code, done.out) == (0, b"inside"), done


def test_a_pipe_in_an_archive_is_not_waited_for(shim: Shim, component_archive: str) -> None:
    archive = given(shim, component_archive)
    os.mkfifo(archive / "blobs/leak")
    done = shim.run("ocm", "download", f"{archive}//{APP}", "leak", "-O", "-", timeout=20)
    assert done.code == 125, done
    assert "lacks the local blob leak" in done.err.decode()


# Transport archives

NEW = component("example.com/new", "1.0.0", [Local("text", b"what is new")])


def move_out(archive: Path, victim: Victim, name: str) -> None:
    replaced(archive / name, victim.hold(name, archive / name))


def move_older_index_out(archive: Path, victim: Victim) -> None:
    os.rename(archive / INDEX, archive / OLDER_INDEX)
    move_out(archive, victim, OLDER_INDEX)


# Each has a transfer into an archive write elsewhere, and names what of the archive is refused.
ESCAPES: dict[str, tuple[Callable[[Path, Victim], object], str]] = {
    "blobs": (lambda archive, host: move_out(archive, host, "blobs"), "blobs"),
    "blobs that are not there": (
        lambda archive, host: replaced(archive / "blobs", host.path / "new"),
        "blobs",
    ),
    "index": (lambda archive, host: move_out(archive, host, INDEX), INDEX),
    "index that is not there": (lambda archive, host: replaced(archive / INDEX, host.path / "new"), INDEX),
    "older index": (move_older_index_out, OLDER_INDEX),
}


@pytest.fixture(scope="module")
def sources(public_directory: str) -> Iterator[str]:
    """Yield a directory with an archive `new` to transfer from, and one `old` to transfer into."""
    directory = os.path.join(public_directory, "transports")
    os.mkdir(directory)
    make_archive(f"{directory}/new", NEW)
    make_archive(f"{directory}/old", component("example.com/old", "1.0.0", [Local("text", b"what is old")]))
    open_to_all(directory)
    yield directory
    shutil.rmtree(directory)


@pytest.mark.parametrize("escape", ESCAPES)
def test_a_transfer_writes_nothing_outside_of_its_target(
    shim: Shim, victim: Victim, sources: str, escape: str
) -> None:
    archive = given(shim, f"{sources}/old")
    make, entry = ESCAPES[escape]
    make(archive, victim)
    before = tree(victim.path), sorted(os.listdir(archive))
    done = shim.run("ocm", "transfer", f"{sources}/new//example.com/new:1.0.0", os.fspath(archive))
    assert_refused(done, archive, entry)
    assert (tree(victim.path), sorted(os.listdir(archive))) == before


def test_a_blob_that_is_a_link_is_replaced_and_not_written_through(
    shim: Shim, victim: Victim, sources: str
) -> None:
    archive = given(shim, f"{sources}/old")
    names = os.listdir(f"{sources}/new/blobs")
    for number, name in enumerate(names):
        # One of the right size and dangling ones.
        target = victim.hold(name, Path(sources, "new/blobs", name)) if number == 0 else victim.path / "new"
        (archive / "blobs" / name).symlink_to(target)
    before = tree(victim.path)
    done = shim.run("ocm", "transfer", f"{sources}/new//example.com/new:1.0.0", os.fspath(archive))
    assert done.code == 0, done
    assert tree(victim.path) == before
    assert not any((archive / "blobs" / name).is_symlink() for name in names)
    read = shim.run("ocm", "download", f"{archive}//example.com/new:1.0.0", "text", "-O", "-")
    assert read.out == b"what is new", read


@pytest.mark.parametrize("name", [INDEX, "blobs"])
def test_nothing_outside_of_a_transport_archive_is_read(
    shim: Shim, victim: Victim, sources: str, name: str
) -> None:
    archive = given(shim, f"{sources}/old")
    move_out(archive, victim, name)
    for words in (("get",), ("resources",), ("download", "text", "-O", "-")):
        command, *more = words
        done = shim.run("ocm", command, f"{archive}//example.com/old:1.0.0", *more)
        assert_refused(done, archive, name)
        assert b"what is old" not in done.out


# Image layouts


@pytest.fixture(scope="module")
def layout(public_directory: str) -> Iterator[str]:
    path = os.path.join(public_directory, "layout-with-links")
    writer = LayoutWriter(path)
    writer.tag("latest", writer.image([Layer({"file": "of the image"})]))
    open_to_all(path)
    yield path
    shutil.rmtree(path)


def entries(layout: Path) -> list[str]:
    """Return the files and directories of a layout: each can be a link."""
    return sorted(os.fspath(path.relative_to(layout)) for path in layout.rglob("*"))


def test_nothing_outside_of_a_layout_is_read(shim: Shim, victim: Victim, layout: str) -> None:
    names = entries(Path(layout))
    assert len(names) == 7
    for name in names:
        made = given(shim, layout)
        held = victim.hold("held", made / name)
        replaced(made / name, held)
        assert_refused(shim.run("pull", f"oci:{made}"), made, name)
        shutil.rmtree(made)
        subprocess.run(["rm", "-rf", held], check=True)
    assert shim.run("images", "--json").out.strip() == b"[]"


def test_a_layout_whose_index_becomes_a_link_is_refused_though_its_image_is_there(
    shim: Shim, victim: Victim, public_directory: str, tmp_path: Path
) -> None:
    build_layout(f"{tmp_path}/layout", files={"entrypoint": "#!/bin/sh\necho 'version: 1'\n"})
    made = given(shim, f"{tmp_path}/layout")
    assert shim.run("pull", f"oci:{made}").code == 0
    replaced(made / "index.json", victim.hold("index.json", made / "index.json"))
    hint = "; or use the image as it is in the store: --pull never"
    assert_refused(shim.run("exec", f"oci:{made}", "metadata"), made, "index.json", hint)


def test_links_inside_of_a_layout_are_followed(shim: Shim, layout: str) -> None:
    made = given(shim, layout)
    os.rename(made / "blobs/sha256", made / "real")
    (made / "blobs/sha256").symlink_to("../real")
    done = shim.run("pull", f"oci:{made}")
    assert done.code == 0, done


def test_a_layout_of_links_can_be_used_once_it_is_copied_as_its_refusal_says(
    shim: Shim, victim: Victim, layout: str
) -> None:
    made = given(shim, layout)
    # As build tools make them: each blob is a link to where it was built.
    for path in (made / "blobs/sha256").iterdir():
        replaced(path, victim.hold(path.name, path))
    assert_refused(shim.run("pull", f"oci:{made}"), made, "blobs/sha256")
    copy = made.with_name("copy")
    subprocess.run(["cp", "-rL", made, copy], check=True)
    open_to_all(os.fspath(copy))
    done = shim.run("pull", f"oci:{copy}")
    assert done.code == 0, done

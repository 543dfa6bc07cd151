"""Where a host forbids something, the message has the true cause and a remedy."""

import json
import os
import re
import subprocess
from pathlib import Path

import pytest

from accounts import Account
from installed import Result, Shim, fresh_shim
from layouts import Layer, build_layout
from outer_namespaces import container
from script_images import METADATA, ScriptImage
from tweed_shim.host import faults


@pytest.fixture
def image(script_image: ScriptImage) -> str:
    return script_image(METADATA)


def sentence(done: Result) -> str:
    """The last line of a refusal of the shim's."""
    assert done.code == 125, done
    return done.err.decode().rstrip("\n").rpartition("\n")[2]


def finding(shim: Shim, name: str) -> dict[str, str]:
    done = shim.run("doctor", "--json")
    assert done.err == b"", done
    found: dict[str, str] = next(each for each in json.loads(done.out) if each["name"] == name)
    return found


def in_mount_namespace(shim: Shim, before: str) -> Shim:
    """The program as its account, after root has run a script in a mount namespace of its own."""
    account = shim.account
    become = f"setpriv --reuid={account.uid} --regid={account.gid} --clear-groups"
    return shim._replace(
        account=account._replace(uid=0, gid=0),
        wrapper=("unshare", "-m", "sh", "-c", f'{before} && exec {become} "$@"', "sh"),
    )


@pytest.mark.parametrize("kind", ["range", "single"])
def test_a_masked_proc(accounts: dict[str, Account], program: str, image: str, kind: str) -> None:
    with fresh_shim(accounts[kind], program) as shim:
        masked = in_mount_namespace(shim, "mount -t tmpfs -o ro tmpfs /proc/sys/kernel/random")
        said = sentence(masked.run("exec", image, "metadata"))
    assert "proc" in said
    assert "systempaths=unconfined" in said
    assert "sysctl" not in said


def test_a_user_with_no_new_privs_is_refused_with_the_cause(
    accounts: dict[str, Account], program: str, image: str
) -> None:
    with fresh_shim(accounts["range"], program) as shim:
        held = shim._replace(wrapper=("setpriv", "--no-new-privs"))
        done = held.run("exec", image, "metadata")
        found = finding(held, "ids")
    said = sentence(done)
    assert "no_new_privs" in said
    for text in (done.err.decode(), found["found"]):
        assert text.count("newuidmap: ") <= 1, text
    assert (found["state"], "no_new_privs" in found["mend"]) == ("missing", True)


@pytest.mark.parametrize("kind", ["root", "range"])
def test_a_disk_without_inodes(accounts: dict[str, Account], program: str, image: str, kind: str) -> None:
    with fresh_shim(accounts[kind], program) as shim:
        place = os.path.join(os.path.dirname(shim.root), "disk")
        os.mkdir(place)
        try:
            mount = f"mount -t tmpfs -o size=100m,nr_inodes=40,uid={shim.account.uid} tmpfs {place}"
            small = in_mount_namespace(shim._replace(root=os.path.join(place, "store")), mount)
            said = sentence(small.run("pull", image))
        finally:
            os.rmdir(place)
    assert re.search(r"\([0-9.]+ MB and \d+ inodes are free\)", said), said


@pytest.mark.parametrize(
    "content", ["", "{", "[1]", '{"manifests": [1]}', '{"manifests": [{"annotations": 1}]}']
)
def test_a_damaged_list_of_images(
    accounts: dict[str, Account], program: str, image: str, demo_image: str, content: str
) -> None:
    with fresh_shim(accounts["root"], program) as shim:
        assert shim.run("pull", image).code == 0
        index = Path(shim.root, "images/index.json")
        index.write_text(content)
        done = shim.run("pull", f"oci:{demo_image}")
        assert (done.code, index.read_text()) == (125, content)
        said = sentence(done)
        assert "push or build" not in said
        assert str(index) in said
        assert "move the file away" in said
        assert shim.run("exec", image, "metadata").code == 0
        subprocess.run(["mv", index, f"{index}.damaged"], check=True)
        assert shim.run("pull", f"oci:{demo_image}").code == 0
        assert json.loads(index.read_text())["manifests"]


def test_a_home_that_cannot_be_written(accounts: dict[str, Account], program: str, image: str) -> None:
    account = accounts["range"]
    for home, reason in (
        ("/proc", "No such file"),
        ("/root", "cannot be read"),
        ("/dev/null", "not a directory"),
    ):
        done = subprocess.run(
            [program, "exec", image, "metadata"],
            env={"HOME": home, "PATH": os.environ["PATH"]},
            user=account.uid,
            group=account.gid,
            extra_groups=[],
            capture_output=True,
            check=False,
        )
        said = done.stderr.decode()
        assert (done.returncode, said.count("\n")) == (125, 1), said
        assert home in said
        assert reason in said
        assert "--root" in said
        assert "mend that" not in said


def test_an_extended_attribute_where_linux_keeps_none(
    accounts: dict[str, Account], program: str, public_directory: str
) -> None:
    import io
    import tarfile

    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w", format=tarfile.PAX_FORMAT) as tar:
        link = tarfile.TarInfo("linked")
        link.type, link.linkname = tarfile.SYMTYPE, "etc"
        link.pax_headers = {"SCHILY.xattr.user.note": "x"}
        tar.addfile(link)
    layout = os.path.join(public_directory, "attribute")
    build_layout(
        layout,
        files={"entrypoint": f"#!/bin/sh\n{METADATA}\n"},
        layers=[Layer({}, tar=content.getvalue())],
    )
    with fresh_shim(accounts["root"], program) as shim:
        said = sentence(shim.run("exec", f"oci:{layout}", "metadata"))
    assert "extended attribute at /linked" in said
    assert "the host does not permit" not in said
    for kind in ("range", "single"):
        # umoci leaves such an attribute out where a user unpacks.
        with fresh_shim(accounts[kind], program) as shim:
            assert shim.run("exec", f"oci:{layout}", "metadata").code == 0


def test_a_container_with_dockers_masks_is_named(
    accounts: dict[str, Account], program: str, image: str, tmp_path: Path
) -> None:
    masks = ("/proc/kcore", "/proc/keys", "/sys/firmware")
    with (
        fresh_shim(accounts["root"], program) as shim,
        container(os.fspath(tmp_path), "/var/tmp", masked=masks) as wrapper,
    ):
        inner = shim._replace(wrapper=wrapper)
        said, found = sentence(inner.run("exec", image, "metadata")), finding(inner, "/proc")
    assert "systempaths=unconfined" in said
    assert (found["state"], "systempaths=unconfined" in found["mend"]) == ("missing", True)


@pytest.mark.parametrize("kind", ["root", "range"])
def test_a_chroot_whose_root_is_no_mount_point(
    accounts: dict[str, Account], program: str, image: str, kind: str
) -> None:
    with fresh_shim(accounts[kind], program) as shim:
        directory = os.path.join(os.path.dirname(shim.root), "chroot")
        account = shim.account
        script = f"""
            mkdir {directory} && cd {directory} && mkdir -p usr etc var/tmp proc sys dev tmp run var/lib
            for each in bin sbin lib lib64; do ln -s usr/$each $each; done
            for each in usr etc var/tmp proc sys dev; do mount --rbind /$each $each; done
            exec chroot --userspec={account.uid}:{account.gid} . "$@"
        """
        inner = shim._replace(
            account=account._replace(uid=0, gid=0), wrapper=("unshare", "-m", "sh", "-ec", script, "sh")
        )
        said = sentence(inner.run("exec", image, "metadata"))
        subprocess.run(["rm", "-rf", "--one-file-system", directory], check=True)
    assert "the root directory is no mount point" in said
    assert "sysctl" not in said


@pytest.mark.parametrize(
    ("complaint", "words"),
    [
        (
            "cgroups in hybrid mode not supported, drop all controllers from cgroupv2",
            "use the runtime runc, or",
        ),
        ("error jailing process inside rootfs: pivot_root .: invalid argument", "no mount point"),
    ],
)
def test_runtime_errors_that_the_host_causes_are_explained(complaint: str, words: str) -> None:
    assert words in (faults.of_runtime(complaint) or "")
    assert faults.of_runtime('exec: "/x": no such file') is None


@pytest.mark.parametrize("kind", ["root", "range", "single"])
def test_a_scratch_that_cannot_keep_extended_attributes(
    accounts: dict[str, Account], program: str, script_image: ScriptImage, kind: str
) -> None:
    with fresh_shim(accounts[kind], program) as shim:
        place = os.path.join(os.path.dirname(shim.root), "ramfs")
        os.mkdir(place)
        mount = f"mount -t ramfs ramfs {place} && chown {shim.account.uid}:{shim.account.gid} {place}"
        inner = in_mount_namespace(shim, mount)
        image = script_image(f'[ "$1" = metadata ] && {{ {METADATA}; exit; }}; rm -rf /etc && mkdir /etc')
        done = inner.run("exec", "--scratch", place, image, "configure", "--cloud", "c", stdin=b"{}")
        said, found = sentence(done), finding(inner._replace(root=os.path.join(place, "store")), "overlay")
        os.rmdir(place)
    assert "name a directory on ext4, xfs or btrfs" in said
    assert (found["state"], "on tmpfs only" in found["found"]) == ("warning", True)

"""Images with Debian packages, from a mirror on loopback: what scripts/build-bundle makes of PACKAGES in image.conf."""

import hashlib
import os
import shutil
import subprocess
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import NamedTuple

import pytest

from accounts import Account, open_to_all
from sample_images import PROJECT
from script_runs import content, index, run_as

IMAGE_CONF = """
DESCRIPTION="A sample with packages"
VERSION=1
ENTRYPOINT=/bin/sh
APPLETS="sh cat sed"
PACKAGES="{packages}"
WITHOUT="heavy"
"""
# Files of each package, and what it depends on.
PACKAGES = {
    "tool": (
        {
            "bin/tool": "tool",
            "bin/sed": "not the applet",
            "etc/tool.conf": "of the package",
            "usr/share/doc/tool/copyright": "its licence",
            "usr/share/doc/tool/changelog": "history",
            "usr/share/man/man1/tool.1": "manual",
            "usr/share/locale/de/tool.mo": "translation",
        },
        "library (>= 1.0), heavy",
    ),
    "library": ({"lib/library.so": "library"}, ""),
    "heavy": ({"usr/bin/heavy": "heavy"}, "baggage"),
    "baggage": ({"usr/bin/baggage": "baggage"}, ""),
    # Nothing needs it.
    "other": ({"usr/bin/other": "other"}, ""),
}


def build_package(directory: Path, name: str) -> str:
    """Make one package; returns its stanza in the mirror's list."""
    files, depends = PACKAGES[name]
    control = (
        f"Package: {name}\nVersion: 1.0-1\nArchitecture: all\nMaintainer: nobody\nDescription: a sample\n"
    )
    control += f"Depends: {depends}\n" if depends else ""
    tree = directory / name
    for path, text in (files | {"DEBIAN/control": control}).items():
        (tree / path).parent.mkdir(parents=True, exist_ok=True)
        (tree / path).write_text(text)
    file = directory / f"{name}_1.0-1_all.deb"
    subprocess.run(
        ["dpkg-deb", "--root-owner-group", "--build", tree, file], check=True, stdout=subprocess.DEVNULL
    )
    shutil.rmtree(tree)
    data = file.read_bytes()
    return (
        f"{control}Filename: ./{file.name}\nSize: {len(data)}\nSHA256: {hashlib.sha256(data).hexdigest()}\n\n"
    )


class Mirror(NamedTuple):
    """A mirror, and the copy of the scripts that works with it.

    requests: the paths that were asked for. down: whether it answers with an error.
    """

    url: str
    project: str
    requests: list[str]
    down: threading.Event

    def build(
        self,
        account: Account,
        directory: str,
        *,
        trusted: bool = True,
        url: str | None = None,
        more: str = "",
    ) -> subprocess.CompletedProcess[str]:
        """Build the image `directory`/layout with this mirror alone; `more` are lines of apt's configuration."""
        self.requests.clear()
        sources = os.path.join(directory, "sources.list")
        settings = os.path.join(directory, "apt.conf")
        Path(sources).write_text(f"deb [trusted={'yes' if trusted else 'no'}] {url or self.url} ./\n")
        Path(settings).write_text(
            f'Dir::Etc::sourcelist "{sources}";\nDir::Etc::sourceparts "/nosuch";\nAcquire::Retries "0";\n{more}'
        )
        environment = {"APT_CONFIG": settings, "XDG_CACHE_HOME": os.path.join(directory, "cache")}
        layout = os.path.join(directory, "layout")
        return run_as(account, f"{self.project}/scripts/build-bundle", "sample", layout, env=environment)

    def fetched(self) -> list[str]:
        """The packages that the last build has downloaded."""
        return sorted(path.split("_")[0].strip("/.") for path in self.requests if path.endswith(".deb"))


def write_bundle(project: str, packages: str) -> None:
    Path(project, "bundles/sample/image.conf").write_text(IMAGE_CONF.format(packages=packages))


@pytest.fixture(scope="module")
def mirror(public_directory: str) -> Iterator[Mirror]:
    """A mirror with PACKAGES, and a bundle that takes `tool` from it."""
    project, directory = os.path.join(public_directory, "packages"), Path(public_directory, "mirror")
    shutil.copytree(os.path.join(PROJECT, "scripts"), os.path.join(project, "scripts"))
    rootfs = Path(project, "bundles/sample/rootfs/etc")
    rootfs.mkdir(parents=True)
    (rootfs / "tool.conf").write_text("of the bundle")
    write_bundle(project, "tool")
    open_to_all(project)
    directory.mkdir()
    listed = "".join(build_package(directory, name) for name in PACKAGES).encode()
    (directory / "Packages").write_bytes(listed)
    (directory / "Release").write_text(
        f"Date: Thu, 01 Jan 2026 00:00:00 UTC\nSHA256:\n {hashlib.sha256(listed).hexdigest()} {len(listed)} Packages\n"
    )
    requests: list[str] = []
    down = threading.Event()

    class Handler(SimpleHTTPRequestHandler):
        def __init__(self, *args: object) -> None:
            super().__init__(*args, directory=os.fspath(directory))  # type: ignore[arg-type]  # as the base has it

        def do_GET(self) -> None:
            if down.is_set():
                self.send_error(503)
            else:
                super().do_GET()

        def log_message(self, *_: object) -> None:
            requests.append(self.path)

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield Mirror(f"http://127.0.0.1:{server.server_port}", project, requests, down)
        server.shutdown()
        thread.join()
    for path in (project, directory):
        shutil.rmtree(path)


@pytest.fixture
def own_directory(public_directory: str, account: Account) -> Iterator[str]:
    """An empty directory of the account's own, whose files the tests may write too."""
    path = os.path.join(public_directory, f"packages-{account.kind}")
    os.mkdir(path)
    os.chown(path, account.uid, account.gid)
    yield path
    shutil.rmtree(path)


AS_ONE_USER = pytest.mark.parametrize("account", ["single"], indirect=True)
# The digest of the image by which other callers measure theirs.
first: list[str] = []


def test_an_image_has_its_packages_whoever_builds_it(
    mirror: Mirror, own_directory: str, account: Account
) -> None:
    built = mirror.build(account, own_directory)
    assert (built.returncode, built.stderr) == (0, ""), built
    # What is left out takes with it what it alone needs.
    assert mirror.fetched() == ["library", "tool"]
    layout = os.path.join(own_directory, "layout")
    files = content(layout)
    assert {
        path: files.get(path) for path in ("usr/bin/tool", "usr/lib/library.so", "usr/bin/cat", "bin", "lib")
    } == {
        "usr/bin/tool": "tool",
        "usr/lib/library.so": "library",
        "usr/bin/cat": "busybox",
        "bin": "usr/bin",
        "lib": "usr/lib",
    }
    assert (files["usr/bin/sed"], files["etc/tool.conf"]) == ("not the applet", "of the bundle")
    assert [path for path in files if path.startswith("usr/share/")] == [
        "usr/share/doc",
        "usr/share/doc/tool",
        "usr/share/doc/tool/copyright",
    ]
    assert "Version: 1.0-1\n" in files["var/lib/dpkg/status.d/tool"]
    first.append(index(layout)["latest"])
    assert set(first) == {first[0]}


@AS_ONE_USER
def test_a_download_is_used_again_and_verified_each_time(
    mirror: Mirror, own_directory: str, account: Account
) -> None:
    layout = os.path.join(own_directory, "layout")
    assert mirror.build(account, own_directory).returncode == 0
    digests = index(layout)
    [kept] = Path(own_directory).rglob("tool_*.deb")
    assert mirror.build(account, own_directory).returncode == 0
    assert (mirror.fetched(), index(layout)) == ([], digests)
    # As large as it was, which is all that apt looks at.
    kept.write_bytes(bytes(kept.stat().st_size))
    assert mirror.build(account, own_directory).returncode == 0
    assert (mirror.fetched(), index(layout)) == (["tool"], digests)


def sentence(built: subprocess.CompletedProcess[str]) -> str:
    """The only line that a build has written, which has failed."""
    assert (built.returncode, built.stdout) == (1, ""), built
    [line] = built.stderr.splitlines()
    return line


@AS_ONE_USER
def test_a_mirror_that_does_not_answer_is_one_sentence(
    mirror: Mirror, own_directory: str, account: Account
) -> None:
    closed = "http://127.0.0.1:9"
    line = sentence(mirror.build(account, own_directory, url=closed))
    assert line.startswith(
        "unpack-packages: The Debian mirror does not answer: Failed to fetch http://127.0.0.1:9/"
    )
    assert line.endswith("; check the network and /etc/apt, then build again.")
    assert sorted(os.listdir(own_directory)) == ["apt.conf", "cache", "sources.list"]


@AS_ONE_USER
def test_a_mirror_that_is_down_is_done_without_where_all_is_in_the_cache(
    mirror: Mirror, own_directory: str, account: Account
) -> None:
    layout = os.path.join(own_directory, "layout")
    assert mirror.build(account, own_directory).returncode == 0
    digests = index(layout)
    mirror.down.set()
    try:
        built = mirror.build(account, own_directory)
    finally:
        mirror.down.clear()
    assert (built.returncode, index(layout)) == (0, digests), built
    assert built.stderr.startswith(
        "unpack-packages: The lists of an earlier build are used: Failed to fetch "
    )


@AS_ONE_USER
def test_a_mirror_without_a_signature_is_refused(
    mirror: Mirror, own_directory: str, account: Account
) -> None:
    line = sentence(mirror.build(account, own_directory, trusted=False))
    assert "is not signed" in line
    assert mirror.fetched() == []


@AS_ONE_USER
def test_a_package_that_there_is_not_is_named(mirror: Mirror, own_directory: str, account: Account) -> None:
    write_bundle(mirror.project, "tool nosuch")
    try:
        line = sentence(mirror.build(account, own_directory))
    finally:
        write_bundle(mirror.project, "tool")
    assert line == (
        "unpack-packages: The packages cannot be taken: Unable to locate package nosuch; "
        "correct their names or /etc/apt."
    )


@AS_ONE_USER
def test_hooks_of_the_machine_do_not_run(mirror: Mirror, own_directory: str, account: Account) -> None:
    mark = os.path.join(own_directory, "mark")
    hooks = "".join(
        f'APT::Update::{when} {{ "touch {mark}"; }};\n'
        for when in ("Pre-Invoke", "Post-Invoke", "Post-Invoke-Success")
    )
    assert mirror.build(account, own_directory, more=hooks).returncode == 0
    assert not os.path.exists(mark)

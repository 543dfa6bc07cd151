"""A cloud belongs to the image that configured it: its stored passwords are given to no other image."""

import json
import os
import shutil
import subprocess
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accounts import Account, in_turn
from installed import Result, Shim, done
from layouts import build_layout
from script_images import METADATA, ScriptImage
from servers import RegistryServer
from tweed_shim.image.reference import parse, repository_key
from tweed_shim.tweed.ownership import same_repository

SECRET = "swordfish-and-more"
CONFIGURATION = json.dumps({"password": SECRET}).encode()
# Prints all that it is given.
CURIOUS = f"""
[ $1 = metadata ] || cat "$IN_CONFIG"/* >&2
case $1 in
    metadata) {METADATA} ;;
    configure) cat > "$OUT_CONFIG/config" ;;
    setup) cp "$IN_CONFIG/config" "$OUT_CONFIG/config"; echo "A: b" ;;
esac
exit 0
"""


def layout(path: str, version: str) -> str:
    build_layout(path, files={"entrypoint": f"#!/bin/sh\n# {version}\n{CURIOUS}"})
    return path


@pytest.fixture
def account(request: pytest.FixtureRequest, accounts: dict[str, Account]) -> Account:
    """Whose a cloud is does not depend on who asks."""
    return in_turn(accounts, request)


class Images(NamedTuple):
    """Where the images are: layouts and archives in a directory, and a registry (`host:port`)."""

    directory: str
    registry: str

    def local(self, name: str) -> str:
        return f"oci:{self.directory}/{name}"


@pytest.fixture(scope="module")
def images(registry: RegistryServer, public_directory: str) -> Images:
    directory = os.path.join(public_directory, "ownership")
    first = layout(f"{directory}/first", "1")
    newer = layout(f"{directory}/newer", "2")
    stranger = layout(f"{directory}/stranger", "of somebody else")
    for source, name in (
        (first, "team/redis:1"),
        (newer, "team/redis:2"),
        (first, "mirror/redis:1"),
        (stranger, "team/pg:1"),
    ):
        registry.push(source, "latest", name)
    shutil.copytree(first, f"{directory}/copy")
    os.symlink("first", f"{directory}/link")
    for source in (first, stranger):
        subprocess.run(["tar", "-C", source, "-cf", f"{source}.tar", "."], check=True)
    subprocess.run(
        [
            *("skopeo", "--insecure-policy", "copy", f"oci:{stranger}:latest"),
            f"docker-archive:{stranger}-docker.tar:redis:1",
        ],
        check=True,
        stdout=subprocess.PIPE,
    )
    subprocess.run(["chmod", "-R", "a+rX", directory], check=True)
    return Images(directory, registry.host)


def contents(root: str) -> dict[str, bytes | str]:
    """All that is in a store: directories, links and the content of files, by their paths."""
    found: dict[str, bytes | str] = {}
    for path, names, files in os.walk(root):
        found.update((os.path.join(path, name), "directory") for name in names)
        for name in files:
            entry = os.path.join(path, name)
            if os.path.islink(entry):
                found[entry] = os.readlink(entry)
            else:
                with open(entry, "rb") as file:
                    found[entry] = file.read()
    return found


def do(shim: Shim, image: str, operation: str, *options: str) -> Result:
    stdin = CONFIGURATION if operation == "configure" else None
    return shim.run("exec", image, operation, "--cloud", "prod", *options, stdin=stdin)


def refused(shim: Shim, image: str, operation: str, *options: str) -> str:
    """The one sentence of an operation that was refused before anything was run, and changed nothing."""
    done(shim.run("pull", image))
    before = contents(shim.root)
    result = do(shim, image, operation, *options)
    assert (result.code, result.out) == (125, b""), result
    [line] = result.err.decode().splitlines()
    assert SECRET not in line
    assert contents(shim.root) == before
    return line


def check_refused(shim: Shim, owner: str, image: str) -> None:
    """Every operation on cloud prod and its interaction, both of `owner`, is refused to an image."""
    for operation in ("check", "setup", "configure", "teardown"):
        message = refused(shim, image, operation)
        assert f"by {owner}, not by {image}" in message
        assert "prod" in message


def set_up(shim: Shim, image: str) -> None:
    done(do(shim, image, "configure"))
    done(do(shim, image, "setup"))


@pytest.mark.parametrize(
    ("name", "allowed"),
    [
        ("{registry}/team/redis:2", True),
        ("docker://{registry}/team/redis:2", True),
        ("{registry}/mirror/redis:1", True),
        ("oci-archive:{directory}/first.tar", True),
        ("{registry}/team/pg:1", False),
        ("oci:{directory}/stranger", False),
        ("oci-archive:{directory}/stranger.tar", False),
        ("docker-archive:{directory}/stranger-docker.tar:redis:1", False),
    ],
)
def test_what_an_image_of_a_registry_configured_is_for_its_repository_and_for_the_same_image(
    shim: Shim, images: Images, name: str, allowed: bool
) -> None:
    owner, other = f"{images.registry}/team/redis:1", name.format(**images._asdict())
    set_up(shim, owner)
    if not allowed:
        check_refused(shim, owner, other)
        done(do(shim, owner, "check"))
        done(do(shim, owner, "teardown"))
        return
    assert SECRET in done(do(shim, other, "check")).out.decode()
    done(do(shim, other, "teardown"))
    done(do(shim, other, "setup"))
    done(do(shim, other, "configure"))
    done(do(shim, owner, "teardown"))


@pytest.mark.parametrize(
    ("name", "allowed"),
    [
        ("oci:{directory}/first:latest", True),
        ("oci:{directory}/link", True),
        ("oci:{directory}/copy", True),
        ("oci-archive:{directory}/first.tar", True),
        ("{registry}/team/redis:1", True),
        ("oci:{directory}/newer", False),
        ("oci-archive:{directory}/stranger.tar", False),
        ("{registry}/team/redis:2", False),
    ],
)
def test_what_a_local_image_configured_is_for_its_path_and_for_the_same_image(
    shim: Shim, images: Images, name: str, allowed: bool
) -> None:
    owner, other = images.local("first"), name.format(**images._asdict())
    set_up(shim, owner)
    if allowed:
        for operation in ("check", "configure", "teardown", "setup"):
            done(do(shim, other, operation))
        done(do(shim, owner, "teardown"))
    else:
        check_refused(shim, owner, other)


def test_a_local_image_that_is_built_again_at_its_path_stays_the_owner(
    shim: Shim, public_directory: str
) -> None:
    path = layout(os.path.join(public_directory, "ownership-rebuilt"), "1")
    set_up(shim, f"oci:{path}")
    layout(path, "2")
    for operation in ("check", "configure", "teardown", "setup"):
        done(do(shim, f"oci:{path}", operation))


def test_images_that_share_a_layout_under_names_of_their_own_share_no_cloud(
    shim: Shim, public_directory: str
) -> None:
    path = os.path.join(public_directory, "ownership-shared")
    sources = [layout(f"{path}-{name}", name) for name in ("redis", "newer", "pg")]
    for source, tag in zip(sources, ("x/redis:1", "x/redis:2", "x/pg:1"), strict=True):
        subprocess.run(
            ["skopeo", "--insecure-policy", "copy", f"oci:{source}:latest", f"oci:{path}:{tag}"],
            check=True,
            stdout=subprocess.PIPE,
        )
    set_up(shim, f"oci:{path}:x/redis:1")
    done(do(shim, f"oci:{path}:x/redis:2", "check"))
    check_refused(shim, f"oci:{path}:x/redis:1", f"oci:{path}:x/pg:1")


def test_not_even_the_metadata_of_an_image_is_asked_for_where_it_may_not_configure_the_cloud(
    shim: Shim, images: Images, script_image: ScriptImage
) -> None:
    done(do(shim, images.local("first"), "configure"))
    stranger = script_image("echo run >&2; exit 1")
    refused(shim, stranger, "configure")
    operations = [run["image"] for run in json.loads(shim.run("logs", "--json").out)]
    assert stranger not in operations


def test_configure_with_replace_gives_a_cloud_over_and_what_was_set_up_stays_with_its_image(
    shim: Shim, images: Images
) -> None:
    old, new = f"{images.registry}/team/redis:1", f"{images.registry}/team/pg:1"
    done(do(shim, old, "configure"))
    done(do(shim, old, "setup", "--interaction", "shop"))
    before = refused(shim, new, "configure")
    assert before.endswith("use another --cloud, or configure with --replace to give it over")
    given = done(do(shim, new, "configure", "--replace")).err.decode()
    assert f"no longer belongs to {old}; the interactions in it (shop) stay set up" in given
    assert json.loads(shim.run("clouds", "--json").out)[0]["image"] == new
    done(do(shim, new, "setup", "--interaction", "other"))
    for operation in ("check", "setup", "configure"):
        assert f"was configured by {new}, not by {old}" in refused(shim, old, operation)
    message = refused(shim, new, "teardown", "--interaction", "shop")
    assert message.endswith(f"was set up by {old}, not by {new}; tear it down with {old}")
    assert f"is already set up by {old}" in refused(shim, new, "setup", "--interaction", "shop")
    done(do(shim, old, "teardown", "--interaction", "shop"))
    assert b"stay set up" not in done(do(shim, new, "configure", "--replace")).err


def test_a_replacement_that_fails_leaves_the_cloud_with_its_owner(
    shim: Shim, images: Images, script_image: ScriptImage
) -> None:
    owner = images.local("first")
    done(do(shim, owner, "configure"))
    broken = script_image(f"case $1 in metadata) {METADATA} ;; *) exit 7 ;; esac")
    assert do(shim, broken, "configure", "--replace").code == 7
    done(do(shim, owner, "check"))
    refused(shim, broken, "check")


def test_an_image_with_only_the_same_digest_does_not_become_the_owner(shim: Shim, images: Images) -> None:
    """Or the next version under its name, which nobody compared with anything, would be trusted."""
    owner, same = f"{images.registry}/team/redis:1", images.local("copy")
    done(do(shim, owner, "configure"))
    done(do(shim, same, "configure"))
    done(do(shim, same, "setup"))
    assert json.loads(shim.run("clouds", "--json").out)[0]["image"] == owner
    done(do(shim, f"{images.registry}/team/redis:2", "teardown"))
    done(do(shim, same, "configure", "--replace"))
    assert json.loads(shim.run("clouds", "--json").out)[0]["image"] == same


def test_a_removed_cloud_has_no_owner(shim: Shim, images: Images) -> None:
    done(do(shim, images.local("first"), "configure"))
    done(shim.run("clouds", "rm", "prod"))
    set_up(shim, images.local("stranger"))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("redis", "docker.io/library/redis:7"),
        ("redis", "docker://index.docker.io/redis"),
        ("redis", "registry-1.docker.io/library/redis"),
        ("redis", "Docker.IO/redis"),
        ("docker.io:443/redis", "redis"),
        ("acme/redis", "docker.io/acme/redis:2"),
        ("Registry.Example/redis:1", "registry.example/redis:2"),
        ("registry.example/redis", "registry.example:443/redis"),
        ("registry.example:0443/redis", "registry.example/redis"),
        ("registry.example:05000/redis", "registry.example:5000/redis"),
        ("[::1]:5000/redis", "[0:0:0:0:0:0:0:1]:5000/redis"),
        ("[2001:DB8::1]/redis", "[2001:db8:0::1]:443/redis"),
        ("oci:/a/b", "oci:/a/../a/b/"),
        ("oci:/a/b", "oci:/a/b:latest"),
        ("oci:/a/b:1", "oci:/a/b:2"),
        ("oci-archive:/a/b:redis:1", "docker-archive:/a/b:docker.io/library/redis:2"),
    ],
)
def test_names_that_mean_one_repository(one: str, other: str) -> None:
    assert same_repository(parse(one), parse(other))
    assert same_repository(parse(other), parse(one))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("redis", "acme/redis"),
        ("redis", "registry.example/library/redis"),
        ("registry.example/a/redis", "registry.example/b/redis"),
        ("registry.example/redis", "registry.example/redis/redis"),
        ("registry.example/redis", "registry.example:80/redis"),
        ("registry.example/redis", "registry.example:5000/redis"),
        ("registry.example/redis", "registry.example.org/redis"),
        ("localhost/redis", "localhost:443/redis"),
        ("localhost/redis", "localhost:0443/redis"),
        ("localhost:5000/redis", "127.0.0.1:5000/redis"),
        ("oci:/a/b", "oci:/a/c"),
        ("oci:/redis", "redis"),
        ("docker-archive:/a/b:redis:1", "docker-archive:/a/b:pg:1"),
        ("oci:/a/b:x/redis", "oci:/a/b:x/pg"),
        ("oci:/a/b:x/redis", "oci:/a/b"),
    ],
)
def test_names_that_mean_two_repositories(one: str, other: str) -> None:
    assert not same_repository(parse(one), parse(other))
    assert not same_repository(parse(other), parse(one))


hosts = st.sampled_from(["registry.example", "Registry.Example:443", "[::1]:5000", "docker.io", "x.y:80"])
repositories = st.from_regex(r"[a-z0-9]{1,3}(/[a-z0-9]{1,3}){0,2}", fullmatch=True)


@given(host=hosts, repository=repositories, other=repositories)
def test_no_two_repositories_of_a_registry_are_one(host: str, repository: str, other: str) -> None:
    def key(name: str) -> tuple[str, str]:
        return repository_key(parse(f"{host}/{name}:1"))

    def in_full(name: str) -> str:
        return name if host != "docker.io" or "/" in name else f"library/{name}"

    assert (key(repository) == key(other)) == (in_full(repository) == in_full(other))

import base64
import json
import os
import stat
import subprocess
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tweed_shim.errors import ConfigError, HostError, ShimError
from tweed_shim.image.credentials import Credentials, find, forget, keep

HOST = "r.example:5000"
# Keeps what it is given in files of a directory, and says what it was asked, like the real ones.
PROGRAM = """#!/bin/sh
dir=$(dirname "$0")/kept
mkdir -p "$dir"
echo "$1" >> "$dir/calls"
case $1 in
store) cat > "$dir/secret" ;;
erase) cat > "$dir/erased"; rm "$dir/secret" ;;
get) cat > "$dir/asked"
    if [ -e "$dir/secret" ]; then cat "$dir/secret"; else echo 'credentials not found in native keychain'; exit 1; fi ;;
esac
"""


@pytest.fixture
def environ(tmp_path: os.PathLike[str]) -> dict[str, str]:
    """A home without anything in it, and a PATH with a place for programs of one's own."""
    home = os.fspath(tmp_path)
    return {"HOME": home, "XDG_RUNTIME_DIR": f"{home}/run", "PATH": f"{home}/bin:{os.environ['PATH']}"}


def write(path: str, document: object) -> str:
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="utf-8") as file:
        file.write(document if isinstance(document, str) else json.dumps(document))
    return path


def read(path: str) -> Any:
    with open(path, encoding="utf-8") as file:
        return json.load(file)


def docker(environ: Mapping[str, str]) -> str:
    return os.path.join(environ["HOME"], ".docker", "config.json")


def entry(username: str, password: str) -> dict[str, str]:
    return {"auth": base64.b64encode(f"{username}:{password}".encode()).decode()}


def auths(**entries: str) -> dict[str, Any]:
    return {"auths": {HOST: entry(**entries)}}


def install(environ: Mapping[str, str], name: str, text: str = PROGRAM) -> str:
    path = write(os.path.join(environ["HOME"], "bin", f"docker-credential-{name}"), text)
    os.chmod(path, 0o755)
    return os.path.join(os.path.dirname(path), "kept")


def places(environ: dict[str, str]) -> list[str]:
    home = environ["HOME"]
    environ["REGISTRY_AUTH_FILE"] = f"{home}/auth-file.json"
    environ["DOCKER_CONFIG"] = f"{home}/docker"
    return [
        f"{home}/auth-file.json",
        f"{home}/docker/config.json",
        f"{home}/.docker/config.json",
        f"{home}/run/containers/auth.json",
        f"{home}/.config/containers/auth.json",
    ]


@pytest.mark.parametrize("first", range(5))
def test_the_first_file_that_knows_the_registry_counts(environ: dict[str, str], first: int) -> None:
    for number, path in enumerate(places(environ)):
        write(
            path,
            auths(username=f"user{number}", password="p") if number >= first else {"auths": {"other": {}}},
        )
    assert find(HOST, "a", environ) == Credentials(f"user{first}", "p")


def test_without_any_file_there_are_none(environ: dict[str, str]) -> None:
    assert find(HOST, "a", environ) is None


@pytest.mark.parametrize(
    ("repository", "user"),
    [
        ("ns/app", "app"),
        ("ns/app/deep", "app"),
        ("ns/apple", "namespace"),
        ("ns", "namespace"),
        ("other", "host"),
    ],
)
def test_the_longest_key_that_fits_counts(environ: dict[str, str], repository: str, user: str) -> None:
    keys = {HOST: "host", f"{HOST}/ns": "namespace", f"{HOST}/ns/app": "app", "example:5000": "another"}
    write(docker(environ), {"auths": {key: entry(name, "p") for key, name in keys.items()}})
    assert find(HOST, repository, environ) == Credentials(user, "p")


@pytest.mark.parametrize(
    "key",
    [
        "https://index.docker.io/v1/",
        "index.docker.io",
        "docker.io",
        "https://registry-1.docker.io/v2/",
        "docker.io/library",
    ],
)
def test_docker_hub_is_found_by_all_of_its_names(environ: dict[str, str], key: str) -> None:
    write(docker(environ), {"auths": {key: entry("user", "p")}})
    assert find("docker.io", "library/redis", environ) == Credentials("user", "p")


@pytest.mark.parametrize(
    "key", ["https://R.example:5000", "http://r.example:5000/v2/", "r.example:5000/v1/", "r.example:5000/"]
)
def test_a_registry_is_found_by_its_older_spellings(environ: dict[str, str], key: str) -> None:
    write(docker(environ), {"auths": {key: entry("user", "p")}})
    assert find(HOST, "a/b", environ) == Credentials("user", "p")


@pytest.mark.parametrize(
    ("key", "registry", "found"),
    [
        ("r.example", "R.Example:443", True),
        ("https://r.example:443/v1/", "r.example", True),
        ("r.example.", "r.example", True),
        ("[0::1]:5000", "[::1]:5000", True),
        ("Registry-1.Docker.io:443", "docker.io", True),
        ("r.example", "r.example:80", False),
        ("r.example", "r.example:5000", False),
        ("r.example:5000", "r.example", False),
        ("r.example", "sub.r.example", False),
        ("docker.io", "auth.docker.io", False),
        ("docker.io", "hub.docker.io:5000", False),
    ],
)
def test_a_registry_is_found_by_its_host_and_port(
    environ: dict[str, str], key: str, registry: str, *, found: bool
) -> None:
    write(docker(environ), {"auths": {key: entry("user", "p")}})
    assert (find(registry, "a/b", environ) is not None) is found


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (entry("user", "with:colon é"), Credentials("user", "with:colon é")),
        ({"auth": base64.b64encode(b"user:p\0\0").decode()}, Credentials("user", "p")),
        ({"username": "user", "password": "p"}, Credentials("user", "p")),
        ({**entry("user", ""), "identitytoken": "t"}, Credentials("user", identity_token="t")),
        ({}, None),
        ({"auth": "", "email": "x"}, None),
    ],
)
def test_an_entry_is_read(environ: dict[str, str], value: object, expected: Credentials | None) -> None:
    write(docker(environ), {"auths": {HOST: value}})
    assert find(HOST, "a", environ) == expected


@pytest.mark.parametrize(
    "document",
    [
        "{not json",
        "[]",
        '"x"',
        {"auths": []},
        {"auths": {HOST: "x"}},
        {"auths": {HOST: {"auth": "hunter2!"}}},
        {"auths": {HOST: {"auth": base64.b64encode(b"hunter2").decode()}}},
        {"auths": {HOST: {"auth": base64.b64encode(b"\xff:hunter2").decode()}}},
        {"auths": {HOST: {"auth": 7}}},
        {"credHelpers": "x"},
        {"credHelpers": {HOST: "../x"}},
        {"credsStore": 1},
        "[" * 100_000,
    ],
)
def test_a_bad_file_is_named_and_its_secrets_are_not(environ: dict[str, str], document: object) -> None:
    path = write(docker(environ), document)
    with pytest.raises(ConfigError) as refusal:
        find(HOST, "a", environ)
    assert path in str(refusal.value)
    assert "hunter2" not in str(refusal.value)


def test_a_file_that_cannot_be_read_is_named(environ: dict[str, str]) -> None:
    os.makedirs(docker(environ))
    with pytest.raises(ConfigError, match=r"config\.json cannot be read"):
        find(HOST, "a", environ)


def test_an_empty_file_is_as_good_as_none(environ: dict[str, str]) -> None:
    write(docker(environ), "")
    assert find(HOST, "a", environ) is None


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from([HOST, f"https://{HOST}", "auth", "identitytoken", "username"]) | st.text(), inner
        )
    ),
    max_leaves=8,
)


# A credential program that is looked for takes as long as the machine is busy.
@settings(deadline=None)
@given(st.dictionaries(st.sampled_from(["auths", "credHelpers", "credsStore"]), JSON))
def test_whatever_a_file_holds_is_understood_or_refused(
    tmp_path_factory: pytest.TempPathFactory, document: object
) -> None:
    home = os.fspath(tmp_path_factory.getbasetemp() / "any-document")
    environ = {"HOME": home, "XDG_RUNTIME_DIR": home, "PATH": home}
    write(docker(environ), document)
    try:
        found = find(HOST, "a", environ)
    except ShimError:
        return
    assert found is None or isinstance(found, Credentials)


def test_a_program_for_the_registry_comes_before_an_entry(environ: dict[str, str]) -> None:
    kept = install(environ, "one")
    write(f"{kept}/secret", {"ServerURL": HOST, "Username": "from program", "Secret": "s"})
    write(docker(environ), {**auths(username="from entry", password="p"), "credHelpers": {HOST: "one"}})
    assert find(HOST, "a", environ) == Credentials("from program", "s")
    with open(f"{kept}/asked", encoding="utf-8") as asked:
        assert asked.read() == HOST


def test_the_program_for_all_is_asked_where_the_entry_is_empty(environ: dict[str, str]) -> None:
    kept = install(environ, "all")
    write(f"{kept}/secret", {"Username": "user", "Secret": "s"})
    write(docker(environ), {"auths": {HOST: {}}, "credsStore": "all"})
    assert find(HOST, "a", environ) == Credentials("user", "s")


def test_a_program_is_asked_for_docker_hub_by_its_old_address(environ: dict[str, str]) -> None:
    kept = install(environ, "all")
    write(docker(environ), {"credsStore": "all"})
    assert find("docker.io", "library/redis", environ) is None
    with open(f"{kept}/asked", encoding="utf-8") as asked:
        assert asked.read() == "https://index.docker.io/v1/"


def test_a_program_without_credentials_leaves_the_next_file_to_answer(environ: dict[str, str]) -> None:
    install(environ, "all")
    first, second = places(environ)[:2]
    write(first, {"credsStore": "all"})
    write(second, auths(username="user", password="p"))
    assert find(HOST, "a", environ) == Credentials("user", "p")


def test_a_program_may_give_an_identity_token(environ: dict[str, str]) -> None:
    kept = install(environ, "one")
    write(f"{kept}/secret", {"Username": "<token>", "Secret": "t"})
    write(docker(environ), {"credHelpers": {HOST: "one"}})
    assert find(HOST, "a", environ) == Credentials("<token>", identity_token="t")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "docker-credential-one, which .*config.json names for r.example:5000, is not installed"),
        ("#!/bin/sh\necho hunter2; exit 3\n", r"docker-credential-one.*failed \(exit code 3\)"),
        ("#!/bin/sh\necho hunter2\n", "docker-credential-one.*gave no name and password"),
        ("#!/bin/sh\necho '{\"Username\": 1}'\n", "docker-credential-one.*gave no name and password"),
    ],
)
def test_a_program_that_fails_is_named(environ: dict[str, str], text: str | None, said: str) -> None:
    if text is not None:
        install(environ, "one", text)
    write(docker(environ), {"credHelpers": {HOST: "one"}})
    with pytest.raises(HostError, match=said) as refusal:
        find(HOST, "a", environ)
    assert "hunter2" not in str(refusal.value)


def test_a_password_is_in_no_representation() -> None:
    assert "hunter2" not in repr(Credentials("user", "hunter2", "hunter2"))
    assert "hunter2" not in f"{Credentials('user', 'hunter2', 'hunter2')}"


def test_what_is_kept_is_found_and_private(environ: dict[str, str]) -> None:
    path = keep(HOST, Credentials("user", "p:é"), environ)
    assert path == docker(environ)
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    assert stat.S_IMODE(os.stat(os.path.dirname(path)).st_mode) == 0o700
    assert os.listdir(os.path.dirname(path)) == ["config.json"]
    assert find(HOST, "a", environ) == Credentials("user", "p:é")


def test_an_identity_token_is_kept_as_one(environ: dict[str, str]) -> None:
    keep(HOST, Credentials("user", identity_token="t"), environ)
    assert find(HOST, "a", environ) == Credentials("user", identity_token="t")


def test_what_else_is_in_the_file_stays(environ: dict[str, str]) -> None:
    path = write(
        docker(environ),
        {"psFormat": "x", "auths": {"other": {"auth": "eA==", "email": "e"}}, "proxies": {"a": 1}},
    )
    os.chmod(path, 0o644)
    keep(HOST, Credentials("user", "p"), environ)
    assert read(path) == {
        "psFormat": "x",
        "auths": {"other": {"auth": "eA==", "email": "e"}, HOST: entry("user", "p")},
        "proxies": {"a": 1},
    }
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600


def test_older_spellings_of_the_registry_are_replaced_and_its_repositories_are_not(
    environ: dict[str, str],
) -> None:
    scoped = {f"{HOST}/ns": entry("scoped", "p")}
    path = write(docker(environ), {"auths": {f"https://{HOST}/v1/": entry("old", "p"), **scoped}})
    keep(HOST, Credentials("new", "p"), environ)
    assert read(path)["auths"] == {**scoped, HOST: entry("new", "p")}


def test_docker_hub_is_kept_under_the_key_that_docker_reads(environ: dict[str, str]) -> None:
    path = keep("docker.io", Credentials("user", "p"), environ)
    assert list(read(path)["auths"]) == ["https://index.docker.io/v1/"]


@pytest.mark.parametrize("first", range(5))
def test_what_is_kept_is_what_is_found_next(environ: dict[str, str], first: int) -> None:
    paths = places(environ)
    del environ["REGISTRY_AUTH_FILE"], environ["DOCKER_CONFIG"]
    if first < 2:
        name = ("REGISTRY_AUTH_FILE", "DOCKER_CONFIG")[first]
        environ[name] = (paths[0], os.path.dirname(paths[1]))[first]
    else:
        write(paths[first], {})
    write(paths[-1], auths(username="old", password="p"))
    assert keep(HOST, Credentials("new", "p"), environ) == paths[first]
    assert find(HOST, "a", environ) == Credentials("new", "p")


def test_a_link_to_the_file_stays_a_link(environ: dict[str, str]) -> None:
    real = write(os.path.join(environ["HOME"], "dotfiles", "docker.json"), {})
    os.makedirs(os.path.dirname(docker(environ)))
    os.symlink(real, docker(environ))
    keep(HOST, Credentials("user", "p"), environ)
    assert os.path.islink(docker(environ))
    assert HOST in read(real)["auths"]


def test_a_relative_file_is_meant_from_here(environ: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(environ["HOME"])
    environ["REGISTRY_AUTH_FILE"] = "auth.json"
    keep(HOST, Credentials("user", "p"), environ)
    assert find(HOST, "a", environ) == Credentials("user", "p")


def test_a_program_keeps_the_secret_and_the_file_only_a_mark(environ: dict[str, str]) -> None:
    kept = install(environ, "one")
    path = write(docker(environ), {**auths(username="old", password="p"), "credHelpers": {HOST: "one"}})
    assert keep(HOST, Credentials("user", "s"), environ) == "docker-credential-one"
    assert read(f"{kept}/secret") == {"ServerURL": HOST, "Username": "user", "Secret": "s"}
    assert read(path)["auths"] == {HOST: {}}
    assert find(HOST, "a", environ) == Credentials("user", "s")


def test_a_program_that_cannot_keep_leaves_the_file_as_it_was(environ: dict[str, str]) -> None:
    path = write(docker(environ), {**auths(username="old", password="p"), "credsStore": "missing"})
    before = read(path)
    with pytest.raises(HostError):
        keep(HOST, Credentials("user", "hunter2"), environ)
    assert read(path) == before


def test_a_place_that_cannot_be_written_is_named(environ: dict[str, str]) -> None:
    environ["REGISTRY_AUTH_FILE"] = os.path.join(write(docker(environ), {}), "auth.json")
    with pytest.raises(ConfigError, match=r"config\.json/auth\.json cannot be written"):
        keep(HOST, Credentials("user", "p"), environ)


def test_what_is_forgotten_is_in_no_file(environ: dict[str, str]) -> None:
    for path in places(environ):
        write(path, {"auths": {f"https://{HOST}": entry("user", "p"), "other": entry("user", "p")}, "x": 1})
    assert forget(HOST, environ)
    assert find(HOST, "a", environ) is None
    for path in places(environ):
        assert read(path) == {"auths": {"other": entry("user", "p")}, "x": 1}
    assert not forget(HOST, environ)


def test_a_program_forgets_too(environ: dict[str, str]) -> None:
    kept = install(environ, "all")
    write(docker(environ), {"credsStore": "all"})
    keep(HOST, Credentials("user", "s"), environ)
    assert forget(HOST, environ)
    with open(f"{kept}/erased", encoding="utf-8") as erased:
        assert erased.read() == HOST
    assert find(HOST, "a", environ) is None
    assert not forget(HOST, environ)


def test_nothing_is_made_where_there_is_nothing_to_forget(environ: dict[str, str]) -> None:
    assert not forget(HOST, environ)
    assert os.listdir(environ["HOME"]) == []


def test_many_who_keep_at_once_lose_nothing(environ: dict[str, str]) -> None:
    code = (
        "import os, sys; from tweed_shim.image.credentials import *;"
        "keep(sys.argv[1], Credentials('user', 'p'), os.environ)"
    )
    source = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(keep.__code__.co_filename))))
    python = os.path.realpath("/proc/self/exe")
    hosts = [f"r{number}.example" for number in range(8)]
    full = {**environ, "PYTHONPATH": os.pathsep.join([source])}
    running = [subprocess.Popen([python, "-c", code, host], env=full) for host in hosts]
    assert [each.wait() for each in running] == [0] * len(hosts)
    assert sorted(read(docker(environ))["auths"]) == hosts

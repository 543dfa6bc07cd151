"""Bad input is refused with one sentence on stderr and exit code 125, and nothing changes on disk."""

import json
import os

import pytest

from accounts import KINDS, Account, in_turn
from installed import Result, Shim, fresh_shim
from layouts import HOST_PLATFORM, File, Layer, LayoutWriter, busybox_files
from script_images import ScriptImage
from servers import RegistryServer, corrupt, faulty_proxy

CONFIGURABLE = """backend: tweed/v1
name: n
version: v
inputs:
  host: {type: string}
  port: {type: integer, minimum: 1}
"""


def tree(directory: str) -> dict[str, tuple[int, int] | None]:
    """Every file below a directory with its size and time of change; but not what each run leaves: its log."""
    found: dict[str, tuple[int, int] | None] = {}
    for path, names, files in os.walk(directory):
        if path == directory:
            names[:] = set(names) - {"runs", "scratch"}
        found.update((os.path.join(path, name), None) for name in names)
        for name in files:
            about = os.lstat(os.path.join(path, name))
            found[os.path.join(path, name)] = (about.st_size, about.st_mtime_ns)
    return found


def refused(
    shim: Shim, *arguments: str, stdin: bytes | None = None, env: dict[str, str] | None = None
) -> str:
    """The one sentence of a refused command, which must leave the store as it was."""
    before = tree(shim.root)
    done = shim.run(*arguments, stdin=stdin, env=env)
    message = one_sentence(done)
    assert tree(shim.root) == before
    return message


def one_sentence(done: Result) -> str:
    assert (done.code, done.out) == (125, b""), done
    [line] = done.err.decode().splitlines()
    assert line.startswith("tweed-shim: ")
    return line.removeprefix("tweed-shim: ")


@pytest.fixture
def account(request: pytest.FixtureRequest, accounts: dict[str, Account]) -> Account:
    """Bad input is bad whoever gives it."""
    kind = getattr(request, "param", None)
    return accounts[kind] if kind else in_turn(accounts, request)


@pytest.fixture
def ready(shim: Shim, demo_image: str) -> Shim:
    """A shim whose store is there, so that only a change of it can be seen."""
    assert shim.run("exec", f"oci:{demo_image}", "configure", stdin=b"{}").code == 0
    return shim


def test_an_unknown_operation(ready: Shim, demo_image: str) -> None:
    done = ready.run("exec", f"oci:{demo_image}", "deploy")
    assert (done.code, done.out) == (2, b""), done
    assert b"OPERATION cannot be 'deploy'" in done.err
    assert b"metadata, configure, check, setup, teardown" in done.err


@pytest.mark.parametrize(
    ("reference", "named"),
    [
        ("Registry/Upper", "Upper"),
        ("host:port/x", "port"),
        ("x:a b", "a b"),
        ("", "repository"),
        ("x@sha256:12", "12"),
    ],
)
def test_a_malformed_reference(ready: Shim, reference: str, named: str) -> None:
    assert named in refused(ready, "exec", reference, "metadata")


def test_a_registry_that_cannot_be_reached(accounts: dict[str, Account], program: str) -> None:
    # Once only, because it is tried for seconds.
    with fresh_shim(accounts["single"], program) as shim:
        done = shim.run("exec", "127.0.0.1:1/x:1", "metadata")
    assert "127.0.0.1:1" in one_sentence(done)


def test_a_tag_that_the_registry_does_not_have(
    ready: Shim, registry: RegistryServer, demo_image: str
) -> None:
    registry.push(demo_image, "latest", "some/image:1")
    assert "nonesuch" in refused(ready, "exec", f"{registry.host}/some/image:nonesuch", "metadata")


def test_a_registry_that_wants_a_login(
    ready: Shim, registry_with_password: RegistryServer, demo_image: str
) -> None:
    image = registry_with_password.push(demo_image, "latest", "demo-backend:1")
    assert f"tweed-shim login {registry_with_password.host}" in refused(ready, "exec", image, "metadata")


def test_an_image_for_no_platform_of_ours(ready: Shim, public_directory: str) -> None:
    layout = os.path.join(public_directory, f"other-platform-{ready.account.kind}")
    writer = LayoutWriter(layout)
    platform = {"os": "linux", "architecture": "s390x"}
    index = writer.image_index([(platform, writer.image([Layer(busybox_files())], platform=platform))])
    writer.tag("latest", index)
    message = refused(ready, "exec", f"oci:{layout}", "metadata")
    assert "s390x" in message
    assert HOST_PLATFORM["architecture"] in message


def test_a_blob_that_is_not_what_its_digest_says(
    shim: Shim, registry: RegistryServer, demo_image: str
) -> None:
    registry.push(demo_image, "latest", "demo-backend:2")
    with faulty_proxy(registry.host) as proxy:
        proxy.spoil("GET .*/blobs/", corrupt(10), times=1000)
        message = one_sentence(shim.run("exec", f"{proxy.host}/demo-backend:2", "metadata"))
    assert "sha256:" in message
    assert os.listdir(os.path.join(shim.root, "rootfs")) == []
    assert b"[]" in shim.run("images", "--json").out


def test_an_image_without_an_entrypoint(ready: Shim, public_directory: str) -> None:
    layout = os.path.join(public_directory, f"no-entrypoint-{ready.account.kind}")
    writer = LayoutWriter(layout)
    writer.tag("latest", writer.image([Layer(busybox_files())], {"Cmd": ["/bin/sh"]}))
    assert ready.run("pull", f"oci:{layout}").code == 0
    assert "has no entrypoint" in refused(ready, "exec", f"oci:{layout}", "metadata")


@pytest.mark.parametrize("account", KINDS, indirect=True)
@pytest.mark.parametrize(
    ("entrypoint", "content", "named"),
    [
        ("/nothing", "", "'/nothing'"),
        ("/bin", "", "'/bin'"),
        ("/etc/passwd", "", "'/etc/passwd'"),
        ("/entry", "#!/bin/bash\n", "'/bin/bash'"),
        ("nothing-on-path", "", "'nothing-on-path'"),
    ],
)
def test_an_entrypoint_that_cannot_be_executed(
    ready: Shim, public_directory: str, entrypoint: str, content: str, named: str
) -> None:
    layout = os.path.join(public_directory, f"entry-{ready.account.kind}-{entrypoint.replace('/', '-')}")
    writer = LayoutWriter(layout)
    files: dict[str, File] = busybox_files()
    if content:
        files["entry"] = File(content.encode(), mode=0o755)
    writer.tag("latest", writer.image([Layer(files)], {"Entrypoint": [entrypoint]}))
    assert ready.run("pull", f"oci:{layout}").code == 0
    assert named in refused(ready, "exec", f"oci:{layout}", "metadata")


BOMB = "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 10)}]\n"
    for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    ("metadata", "named"),
    [
        ("just: [unclosed", "line"),
        ("- a\n- list\n", "map"),
        ("backend: tweed/v2\nname: n\nversion: v\n", "backend"),
        ("backend: tweed/v1\nname: n\n", "version"),
        ("backend: tweed/v1\nname: n\nversion: v\nicon: {base64: aGVsbG8=}\n", "icon"),
        (BOMB, "alias"),
    ],
    ids=["not-yaml", "a-list", "another-contract", "no-version", "no-png", "alias-bomb"],
)
def test_metadata_that_breaks_the_contract(
    shim: Shim, script_image: ScriptImage, metadata: str, named: str
) -> None:
    image = script_image("cat /metadata", files={"metadata": metadata})
    assert shim.run("pull", image).code == 0
    assert named in refused(shim, "exec", image, "metadata").lower()


def test_metadata_that_never_ends(shim: Shim, script_image: ScriptImage) -> None:
    image = script_image("yes")
    assert shim.run("pull", image).code == 0
    assert "more than 4 MiB" in refused(shim, "exec", image, "metadata")


@pytest.fixture
def configurable(shim: Shim, script_image: ScriptImage) -> str:
    image = script_image(
        'case $1 in metadata) cat /metadata;; configure) cat > "$OUT_CONFIG/c"; echo reached;; esac',
        files={"metadata": CONFIGURABLE},
    )
    assert shim.run("exec", image, "metadata").code == 0
    return image


def test_a_configuration_that_breaks_the_schema_has_each_fault_listed(shim: Shim, configurable: str) -> None:
    message = refused(shim, "exec", configurable, "configure", stdin=b'{"host": 5, "port": "s3cret"}')
    assert "host" in message
    assert "port" in message
    assert "s3cret" not in message


@pytest.mark.parametrize("text", [b"{not json", b'{"a": 1, "a": 2}', b"[1]", b"", b"\xff\xfe"])
def test_a_configuration_that_cannot_be_read(shim: Shim, configurable: str, text: bytes) -> None:
    refused(shim, "exec", configurable, "configure", stdin=text)


def test_a_configuration_file_that_is_not_there(shim: Shim, configurable: str) -> None:
    assert "/no/such/file" in refused(shim, "exec", configurable, "configure", "--config", "/no/such/file")


def test_invalid_names_of_clouds_and_interactions(ready: Shim, demo_image: str) -> None:
    image = f"oci:{demo_image}"
    assert "'../up'" in refused(ready, "exec", image, "check", "--cloud", "../up")
    for command in ("exec", "spec"):
        assert "'a b'" in refused(ready, command, image, "setup", "--interaction", "a b")


def test_an_image_that_must_not_be_pulled_and_is_not_there(ready: Shim) -> None:
    assert "redis" in refused(ready, "exec", "redis", "metadata", "--pull", "never")


@pytest.mark.parametrize("account", KINDS, indirect=True)
def test_a_limit_that_the_host_cannot_enforce(ready: Shim, demo_image: str) -> None:
    if ready.account.kind == "root":
        assert ready.run("exec", f"oci:{demo_image}", "check", "--memory", "64m").code == 0
    elif not os.path.exists("/sys/fs/cgroup/cgroup.controllers"):
        assert "--memory cannot be enforced" in refused(
            ready, "exec", f"oci:{demo_image}", "check", "--memory", "64m"
        )


def test_a_runtime_that_is_not_installed(ready: Shim, demo_image: str) -> None:
    message = refused(ready, "--runtime", "nonesuch", "exec", f"oci:{demo_image}", "check")
    assert "'nonesuch' is not installed" in message


@pytest.mark.parametrize("account", KINDS, indirect=True)
@pytest.mark.parametrize("scratch", ["/proc", "/etc/passwd", "/no/such/directory"])
def test_an_unusable_scratch_directory(ready: Shim, demo_image: str, scratch: str) -> None:
    message = refused(ready, "exec", f"oci:{demo_image}", "check", "--scratch", scratch)
    assert f"the scratch '{scratch}' cannot be used" in message
    assert json.loads(ready.run("logs", "--json").out)[0]["state"] == "failed"


def test_a_store_is_not_started_among_other_peoples_files(shim: Shim, demo_image: str) -> None:
    directory = os.path.dirname(shim.root)
    with open(os.path.join(directory, "precious"), "w", encoding="ascii") as file:
        file.write("data")
    done = shim.run("--root", directory, "exec", f"oci:{demo_image}", "metadata")
    assert "neither empty nor a store" in one_sentence(done)
    assert os.listdir(directory) == ["precious"]


def test_a_configuration_given_as_its_path_is_not_repeated(shim: Shim, configurable: str) -> None:
    message = refused(shim, "exec", configurable, "configure", "--config", '{"password": "s3cret"}')
    assert "s3cret" not in message
    assert "stdin" in message


def test_a_password_on_the_command_line_is_not_repeated(shim: Shim) -> None:
    done = shim.run("login", "127.0.0.1:1", "-u", "me", "-p", "s3cret")
    assert done.code == 2
    assert b"unknown option -p" in done.err
    assert b"s3cret" not in done.err


@pytest.mark.parametrize(
    "arguments",
    [
        ["exec"],
        ["exec", "image"],
        ["nonesuch"],
        ["exec", "image", "setup", "--config", "x"],
        ["exec", "image", "check", "--interaction", "x"],
        ["exec", "image", "check", "--format", "json"],
        ["exec", "image", "check", "--timeout", "-1"],
        ["exec", "image", "check", "--memory", "many"],
        ["exec", "image", "check", "--nonesuch"],
    ],
)
def test_a_command_line_that_cannot_be_parsed(shim: Shim, arguments: list[str]) -> None:
    done = shim.run(*arguments)
    assert (done.code, done.out) == (2, b"")
    [line] = done.err.decode().splitlines()
    assert line.startswith("tweed-shim: ")
    assert not os.path.exists(shim.root)


@pytest.mark.parametrize(
    "arguments",
    [
        ["nonesuch", "--log-format", "json"],
        ["--log-format=json", "exec", "image"],
        ["exec", "image", "check", "--nonesuch", "--log-format", "json"],
    ],
)
def test_a_command_line_that_asks_for_json_is_refused_in_json(
    accounts: dict[str, Account], program: str, arguments: list[str]
) -> None:
    with fresh_shim(accounts["root"], program) as shim:
        done = shim.run(*arguments)
    assert (done.code, done.out) == (2, b"")
    [line] = done.err.splitlines()
    output = json.loads(line)
    assert (output["level"], {*output}) == ("error", {"time", "level", "message"})
    assert "--help" in output["message"]

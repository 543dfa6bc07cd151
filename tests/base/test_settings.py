"""Without a home directory nothing is looked up in one, and a command that needs one says so."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from accounts import open_to_all
from components import Local, component, make_archive
from installed import PROJECT, Result
from leftovers import work_directory
from script_images import METADATA, ScriptImage
from servers import RegistryServer
from tweed_shim import Shim as Api
from tweed_shim.base.settings import default_root, expand_home, home_directory
from tweed_shim.errors import ConfigError

# An id that no /etc/passwd has, as OpenShift gives one to each container.
NOBODY = 1000650000
HOMELESS: dict[str, dict[str, str]] = {"unset": {}, "empty": {"HOME": ""}, "relative": {"HOME": "here"}}


@pytest.fixture
def place() -> Iterator[Path]:
    """A working directory in which another user has prepared what would be found at `~`."""
    with work_directory(mode=0o755) as path:
        for home in ("~", "here", ""):
            prepared = Path(path) / home
            (prepared / ".docker").mkdir(parents=True)
            (prepared / ".docker" / "config.json").write_text("{ this is read by nobody")
            (prepared / ".ocmconfig").write_text("{ this is read by nobody")
            (prepared / ".local" / "share" / "tweed-shim").mkdir(parents=True)
        open_to_all(path)
        os.chmod(path, 0o1777)
        yield Path(path)


def call(program: str, place: Path, environ: dict[str, str], *arguments: str) -> Result:
    done = subprocess.run(
        [program, *arguments],
        cwd=place,
        env={"PATH": os.environ["PATH"], "LANG": "C.UTF-8", **environ},
        user=NOBODY,
        group=0,
        extra_groups=[],
        capture_output=True,
        input=b"secret",
        check=False,
    )
    return Result(done.returncode, done.stdout, done.stderr)


def refusal(result: Result) -> str:
    assert (result.code, result.out) == (125, b""), result
    [line] = result.err.decode().splitlines()
    assert "user 1000650000" in line
    assert "set HOME" in line
    return line


def listing(place: Path) -> list[str]:
    return sorted(os.fspath(path) for path in place.rglob("*"))


@pytest.mark.parametrize("environ", HOMELESS.values(), ids=HOMELESS)
@pytest.mark.usefixtures("accounts")
def test_a_user_without_a_home_is_asked_for_one_or_for_a_store(
    program: str, place: Path, environ: dict[str, str], script_image: ScriptImage
) -> None:
    image = script_image(f"case $1 in metadata) {METADATA} ;; esac")
    before = listing(place)
    for command in (
        ("pull", image),
        ("exec", image, "metadata"),
        ("exec", image, "metadata", "--pull", "never"),
        ("exec", image, "setup"),
        ("spec", image, "check"),
        ("images",),
        ("rm", image),
        ("gc",),
        ("clouds",),
        ("clouds", "rm", "default"),
        ("logs",),
        ("logs", "1"),
    ):
        assert "--root" in refusal(call(program, place, environ, *command))
    assert "$REGISTRY_AUTH_FILE" in refusal(
        call(program, place, environ, "login", "127.0.0.1:1", "-u", "user", "--password-stdin")
    )
    examined = call(program, place, environ, "doctor")
    assert examined.code == 1
    assert b"there is no home directory" in examined.out
    assert listing(place) == before
    for named in (
        environ | {"TWEED_SHIM_ROOT": "store"},
        environ | {"XDG_DATA_HOME": os.fspath(place / "data")},
    ):
        done = call(program, place, named, "pull", image)
        assert done.code == 0, done


@pytest.mark.parametrize("environ", HOMELESS.values(), ids=HOMELESS)
@pytest.mark.usefixtures("accounts")
def test_what_needs_no_home_works_without_one(program: str, place: Path, environ: dict[str, str]) -> None:
    archive = make_archive(place / "archive", component("example.com/a", "1", [Local("one", b"first")]))
    (place / "template.yaml").write_text("a: (( 1 + 1 ))\n")
    open_to_all(os.fspath(place))
    before = listing(place)
    for command, printed in (
        (("version",), b"tweed-shim"),
        (("ocm", "get", archive), b"example.com/a"),
        (("spiff", "merge", "template.yaml"), b"a: 2"),
        (("logout", "127.0.0.1:1"), b""),
    ):
        done = call(program, place, environ, *command)
        assert done.code == 0, done
        assert printed in done.out
    assert listing(place) == before


@pytest.mark.parametrize("environ", HOMELESS.values(), ids=HOMELESS)
@pytest.mark.usefixtures("accounts")
def test_a_path_that_begins_with_a_tilde_is_refused_without_a_home(
    program: str, place: Path, registry: RegistryServer, environ: dict[str, str]
) -> None:
    archive = make_archive(place / "archive", component("example.com/a", "1"))
    (place / "template.yaml").write_text('a: (( read("~/.ocmconfig", "text") ))\n')
    (place / "docker.yaml").write_text(
        "type: credentials.config.ocm.software\n"
        "repositories: [{repository: {type: DockerConfig, dockerConfigFile: ~/.docker/config.json}}]\n"
    )
    open_to_all(os.fspath(place))
    for command, more in (
        (("ocm", "get", archive, "--ocmconfig", "~/.ocmconfig"), {}),
        (("ocm", "get", archive), {"OCM_CONFIG": "~/.ocmconfig"}),
        (("ocm", "get", f"{registry.host}/a//example.com/a:1", "--ocmconfig", "docker.yaml"), {}),
        (("spiff", "merge", "template.yaml"), {}),
    ):
        result = call(program, place, environ | more, *command)
        assert (result.code, result.out) == (125, b""), result
        assert b"there is no home directory" in result.err
        assert b"this is read by nobody" not in result.err


def test_home_is_what_the_variable_says_or_else_passwd() -> None:
    import pwd

    listed = pwd.getpwuid(os.getuid()).pw_dir
    assert home_directory({"HOME": "/somewhere"}) == "/somewhere"
    for environ in HOMELESS.values():
        assert home_directory(environ) == listed
        assert expand_home("~/a", environ) == f"{listed}/a"
        assert default_root(environ, 1) == f"{listed}/.local/share/tweed-shim"
    assert expand_home("~a/b", {}) == "~a/b"
    assert default_root({"HOME": "/h", "XDG_DATA_HOME": "relative"}, 1) == "/h/.local/share/tweed-shim"


def test_the_api_wants_a_directory_too() -> None:
    with pytest.raises(ConfigError, match="there is no directory for the store"):
        Api("")


def test_no_other_module_expands_a_home() -> None:
    for path in Path(PROJECT, "shim", "tweed_shim").rglob("*.py"):
        text = path.read_text()
        assert "expanduser" not in text.replace("`os.path.expanduser`", ""), path
        if path.name != "settings.py":
            assert '"HOME")' not in text, path
            # Names of variables in a container are no places on the host.
            named = text.replace('("HOME", HOME', "").replace('("HOME", "CREDSTORE"', "")
            assert '"HOME",' not in named, path

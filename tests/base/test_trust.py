"""Directories and files that another user prepared: a real other user tries, and none of them is followed or used."""

import json
import os
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from accounts import Account
from components import component, make_archive
from installed import Result, Shim, refusal
from script_images import METADATA, ScriptImage
from servers import RegistryServer
from toi_packages import package

SCRIPT = f"case $1 in metadata) {METADATA} ;; esac"
LOGIN = json.dumps({"auths": {"r.example": {"auth": "dTpw"}}})
OCM = "type: generic.config.ocm.software/v1\nconfigurations: []\n"
VICTIM = "nobody but its owner writes this"


@pytest.fixture
def stranger(account: Account, accounts: dict[str, Account]) -> Account:
    """A user who is neither root nor the one who runs the program."""
    return accounts["single" if account.kind == "range" else "range"]


@pytest.fixture
def work(shim: Shim) -> Path:
    """A directory that everybody may write to and that is sticky, as /tmp is."""
    path = Path(os.path.dirname(shim.root)) / "shared"
    path.mkdir()
    path.chmod(0o1777)
    return path


def as_user(account: Account, script: str, directory: Path) -> None:
    subprocess.run(
        ["sh", "-ec", script],
        cwd=directory,
        user=account.uid,
        group=account.gid,
        extra_groups=[],
        check=True,
    )


def everything(directory: Path) -> dict[str, tuple[int, int, int, int]]:
    found = {}
    for path in (directory, *directory.rglob("*")):
        about = path.lstat()
        found[os.fspath(path)] = (about.st_mode, about.st_uid, about.st_mtime_ns, about.st_ino)
    return found


def call(
    shim: Shim, root: Path, *arguments: str, cwd: Path = Path("/"), env: Mapping[str, str] | None = None
) -> Result:
    """Run the program with a store and a working directory of the test's choice."""
    done = subprocess.run(
        shim._replace(root=os.fspath(root)).command(*arguments),
        cwd=cwd,
        env=shim.environment() | dict(env or {}),
        user=shim.account.uid,
        group=shim.account.gid,
        extra_groups=[],
        capture_output=True,
        input=b"{}",
        check=False,
    )
    return Result(done.returncode, done.stdout, done.stderr)


def commands(image: str) -> list[tuple[str, ...]]:
    return [
        ("pull", image),
        *(("exec", image, name) for name in ("metadata", "configure", "check", "setup", "teardown")),
        ("exec", image, "metadata", "--pull", "always"),
        ("spec", image, "check"),
        ("images",),
        ("rm", image),
        ("gc",),
        ("clouds",),
        ("clouds", "rm", "default"),
        ("logs",),
        ("logs", "1"),
    ]


def test_a_store_that_another_user_prepared_is_refused_and_no_planted_link_is_followed(
    shim: Shim, work: Path, stranger: Account, script_image: ScriptImage
) -> None:
    image = script_image(SCRIPT)
    victim = Path(os.path.dirname(shim.root)) / "victim"
    victim.write_text(VICTIM)
    os.chown(victim, shim.account.uid, shim.account.gid)
    planted = work / "planted"
    as_user(
        stranger,
        f"""mkdir -m 777 planted planted/runs planted/images planted/clouds planted/tmp
        echo 1 > planted/version
        ln -s {victim} planted/runs/lock
        ln -s {victim} planted/tmp/lock-index
        mkdir -m 777 planted/clouds/default
        ln -s {victim} planted/clouds/default/lock""",
        work,
    )
    before = everything(work)
    for command in commands(image):
        line = refusal(call(shim, planted, *command))
        assert f"{planted} belongs to {stranger.name} (uid {stranger.uid})" in line
        assert "another --root" in line
    assert victim.read_text() == VICTIM
    assert everything(work) == before


@pytest.mark.parametrize(
    ("prepare", "root", "said"),
    [
        ("mkdir -m 755 theirs", "theirs", "theirs belongs to"),
        ("mkdir -m 777 theirs", "theirs", "theirs belongs to"),
        ("mkdir -m 755 theirs", "theirs/new/store", "theirs belongs to"),
        ("mkdir -m 777 theirs; mkdir theirs/inner", "theirs/inner/new", "theirs belongs to"),
        ("mkdir theirs; ln -s theirs link", "link", "/link belongs to"),
        ("ln -s /var/tmp link", "link/new", "/link belongs to"),
        ("ln -s /var/tmp/not-there-yet link", "link", "/link belongs to"),
    ],
)
def test_a_directory_that_another_user_owns_or_leads_to_is_not_adopted(
    shim: Shim, work: Path, stranger: Account, script_image: ScriptImage, prepare: str, root: str, said: str
) -> None:
    as_user(stranger, prepare, work)
    before = everything(work)
    for command in (("pull", script_image(SCRIPT)), ("images",)):
        line = refusal(call(shim, work / root, *command))
        assert re.search(said, line), line
    assert everything(work) == before
    assert not os.path.exists("/var/tmp/not-there-yet")


@pytest.mark.parametrize(
    ("modes", "store", "said"),
    [
        ({"place": 0o777}, "place/store", "the directory .*/place can be written by everybody"),
        ({"place": 0o777}, "place", "place can be written by everybody"),
        ({"place": 0o1777}, "place", "place can be written by everybody"),
        ({"place": 0o777, "place/inner": 0o755}, "place/inner/store", "/place can be written by everybody"),
        ({"place": 0o2775}, "place/store", "/place can be written by the group"),
    ],
)
def test_a_place_of_ones_own_that_others_can_write_to_is_refused(
    shim: Shim, stranger: Account, script_image: ScriptImage, modes: Mapping[str, int], store: str, said: str
) -> None:
    above = Path(os.path.dirname(shim.root))
    for name, mode in modes.items():
        (above / name).mkdir()
        group = stranger.gid if mode == 0o2775 else shim.account.gid
        os.chown(above / name, shim.account.uid, group)
        (above / name).chmod(mode)
    before = everything(above)
    image = script_image(SCRIPT)
    line = refusal(call(shim, above / store, "pull", image))
    assert re.search(said, line), line
    assert everything(above) == before
    if store != "place":
        safe = {"TWEED_SHIM_SAFE_DIRECTORY": f"/nowhere:{above / 'place'}"}
        trusted = call(shim, above / store, "pull", image, env=safe)
        assert trusted.code == 0, trusted


def test_a_store_that_others_can_write_to_later_is_refused_with_what_mends_it(
    shim: Shim, script_image: ScriptImage
) -> None:
    image = script_image(SCRIPT)
    assert shim.run("exec", image, "metadata").code == 0
    os.chmod(shim.root, 0o777)
    line = refusal(shim.run("exec", image, "metadata"))
    assert f"the store {shim.root} can be written by everybody" in line
    assert f"chmod 700 {shim.root}" in line
    os.chmod(shim.root, 0o700)
    assert shim.run("exec", image, "metadata").code == 0


def test_nobody_is_advised_to_close_a_directory_that_is_shared_on_purpose(shim: Shim, work: Path) -> None:
    shared = work / "shared"
    shared.mkdir()
    os.chown(shared, shim.account.uid, shim.account.gid)
    shared.chmod(0o1777)
    done = shim._replace(root=os.fspath(shared)).run("images")
    assert done.code == 125
    [line] = done.err.decode().splitlines()
    assert line.startswith(f"tweed-shim: the store {shared} can be written by everybody")
    assert "chmod" not in line


def test_stores_in_usual_directories_are_accepted(shim: Shim, work: Path, script_image: ScriptImage) -> None:
    """A sticky directory, a link of one's own, an empty directory, and one of the group that is the user's alone."""
    image, account = script_image(SCRIPT), shim.account
    as_user(
        account,
        "mkdir -m 775 mine mine/empty; ln -s mine link; mkdir -m 700 apart; ln -s ../mine/empty apart/link",
        work,
    )
    for root in ("new", "mine/new", "link/other", "apart/link"):
        done = call(shim, work / root, "pull", image)
        assert done.code == 0, (root, done)
        assert call(shim, work / root, "images").code == 0
    assert (work / "mine" / "empty").stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("account", ["range", "single"], indirect=True)
def test_in_a_user_namespace_the_hosts_root_is_trusted_and_nobody_else(
    shim: Shim, work: Path, stranger: Account
) -> None:
    """There the owner of / and of all that other users have is shown as 65534."""
    as_user(stranger, "mkdir theirs", work)
    as_user(shim.account, "mkdir mine", work)
    for name, code in (("mine/store", 0), ("theirs/store", 125)):
        mapped = [
            "unshare",
            "--user",
            "--map-root-user",
            shim.program,
            "--root",
            os.fspath(work / name),
            "images",
        ]
        done = subprocess.run(
            mapped, user=shim.account.uid, group=shim.account.gid, extra_groups=[], capture_output=True,
            env=shim.environment(), check=False,
        )  # fmt: skip
        assert done.returncode == code, done


@pytest.mark.parametrize(
    ("prepare", "code"),
    [("mkdir -m 777 theirs", 125), ("mkdir -m 755 theirs", 125), ("ln -s . theirs", 125), ("true", 0)],
    ids=["open", "closed", "link", "shared"],
)
def test_a_scratch_directory_that_another_user_can_change_is_refused_before_anything(
    shim: Shim, work: Path, stranger: Account, script_image: ScriptImage, prepare: str, code: int
) -> None:
    as_user(stranger, prepare, work)
    scratch = os.fspath(work / "theirs" if code else work)
    result = shim.run("exec", script_image(SCRIPT), "metadata", "--scratch", scratch)
    assert result.code == code, result
    if code:
        assert f"the scratch {scratch} is not safe" in refusal(result)
        assert not os.path.exists(shim.root)


@pytest.mark.parametrize("account", ["root"], indirect=True)
def test_the_caller_of_sudo_is_trusted_on_the_way_but_not_with_a_store(
    shim: Shim, work: Path, stranger: Account
) -> None:
    as_user(stranger, f"mkdir theirs; mkdir -p home/.docker; echo '{LOGIN}' > home/.docker/config.json", work)
    sudo = {"SUDO_UID": str(stranger.uid)}
    for name, env, code in (
        ("theirs/new", sudo, 0),
        ("theirs/new", {}, 125),
        ("theirs/new", {"SUDO_UID": "999999999999"}, 125),
        ("theirs", sudo, 125),
    ):
        result = call(shim, work / name, "images", env=env)
        assert result.code == code, (name, env, result)


# What each command reads credentials from: the file, its content, and the command with the file's path for FILE.
CREDENTIAL_FILES = {
    "REGISTRY_AUTH_FILE": ("auth.json", LOGIN, "REGISTRY_AUTH_FILE=FILE", ["pull", "REGISTRY"]),
    "DOCKER_CONFIG": ("config.json", LOGIN, "DOCKER_CONFIG=DIR", ["pull", "REGISTRY"]),
    "docker": (".docker/config.json", LOGIN, "HOME=HERE", ["pull", "REGISTRY"]),
    "XDG_RUNTIME_DIR": ("containers/auth.json", LOGIN, "XDG_RUNTIME_DIR=HERE", ["pull", "REGISTRY"]),
    "XDG_CONFIG_HOME": ("containers/auth.json", LOGIN, "XDG_CONFIG_HOME=HERE", ["pull", "REGISTRY"]),
    "ocmconfig": (".ocmconfig", OCM, "HOME=HERE", ["ocm", "get", "ARCHIVE"]),
    "OCM_CONFIG": ("ocm", OCM, "OCM_CONFIG=FILE", ["ocm", "get", "ARCHIVE"]),
    "--ocmconfig": ("ocm", OCM, "", ["ocm", "get", "ARCHIVE", "--ocmconfig", "FILE"]),
    "TOICredentials": ("TOICredentials", "{}", "", ["toi", "bootstrap", "install", "ARCHIVE", "--dry-run"]),
    "TOIParameters": ("TOIParameters", "{}", "", ["toi", "bootstrap", "install", "ARCHIVE", "--dry-run"]),
    "--credentials": ("c", "{}", "", ["toi", "bootstrap", "install", "ARCHIVE", "--dry-run", "-c", "FILE"]),
}


@pytest.mark.parametrize("name", CREDENTIAL_FILES)
@pytest.mark.parametrize("fault", ["owner", "mode", "group"])
def test_a_file_of_credentials_that_another_user_can_change_is_not_used(
    shim: Shim,
    work: Path,
    stranger: Account,
    public_directory: str,
    registry: RegistryServer,
    name: str,
    fault: str,
) -> None:
    file, content, setting, command = CREDENTIAL_FILES[name]
    place = Path(public_directory, f"archive-{os.urandom(4).hex()}")
    archive = make_archive(place, component("example.com/a", "1", [package({"executors": []})]))
    subprocess.run(["chmod", "-R", "a+rX", archive], check=True)
    # The archive's own index names the version; what is in it does not matter here.
    owner = stranger if fault == "owner" else shim.account
    as_user(
        owner,
        f"mkdir -p $(dirname here/{file}); printf '%s' \"$0\" > here/{file}".replace("$0", content),
        work,
    )
    path = work / "here" / file
    if fault == "mode":
        path.chmod(0o666)
    if fault == "group":
        os.chown(path, -1, stranger.gid)
        path.chmod(0o664)
    words = {"FILE": os.fspath(path), "DIR": os.fspath(path.parent), "HERE": os.fspath(work / "here")}
    words |= {"ARCHIVE": f"{archive}//example.com/a:1", "REGISTRY": f"{registry.host}/a"}
    variable, _, value = setting.partition("=")
    env = {variable: words[value]} if setting else {}
    arguments = [words.get(word, word) for word in command]
    line = refusal(call(shim, Path(shim.root), *arguments, cwd=work / "here", env=env))
    expected = {
        "owner": f"belongs to {stranger.name} (uid {stranger.uid}), not to you or root, and is not used",
        "mode": "can be written by everybody, and is not used",
        "group": f"can be written by the group {stranger.name}, and is not used",
    }
    assert os.path.basename(path) in line
    assert expected[fault] in line

"""`instances`: what it lists and shows, in which form, and what it never prints."""

import json
import os
from pathlib import Path

import pytest
import yaml

from accounts import Account, in_turn
from installed import Shim, done, refusal
from pattern_images import PATTERN_METADATA, Service, pattern_image
from script_images import ScriptImage
from tweed_shim.host import tree_walk, userns
from tweed_shim.tweed import instances, recorded_instance
from tweed_shim.tweed.recorded_instance import RecordedInstance

FILES = "files: [{filename: manifest.yaml, summary: A manifest}, {filename: b, description: Long}]"
SECRET = "the-secret"


@pytest.fixture
def account(request: pytest.FixtureRequest, accounts: dict[str, Account]) -> Account:
    """Who asks makes no difference: one account a test is enough."""
    return in_turn(accounts, request)


@pytest.fixture
def service(shim: Shim, script_image: ScriptImage) -> Service:
    """A pattern with an instance `shop`, which has a binding `web` and a failed binding `bad`."""
    metadata = f'{PATTERN_METADATA}; echo "{FILES}"'
    service = Service(shim, pattern_image(script_image, metadata, user="2000:2000"))
    done(
        service.provision(
            "--instance",
            "shop",
            token=SECRET,
            provision="echo kind: Pod > $OUTPUTS/manifest.yaml; echo x > $OUTPUTS/zzz; cp $INPUTS $CREDSTORE/root",
            bind=f"echo HOST: db.example; echo PASSWORD: {SECRET}; test -e /tweed/credstore/bad && exit 3; true",
        )
    )
    done(service.run("bind", "--instance", "shop", "--binding", "web"))
    Path(service.path("shop", "credstore", "bad")).touch()
    assert service.run("bind", "--instance", "shop", "--binding", "bad").code == 3
    return service


def test_instances_are_listed_and_shown_without_a_secret(service: Service) -> None:
    run = service.shim.run
    shown = done(run("instances", "show", "shop", "--json"))
    state = json.loads(shown.out)
    times = {state["time"], *(each["time"] for each in state["bindings"])}
    assert all(len(time) == len("2026-01-01T00:00:00Z") for time in times)
    bindings = [{"name": "bad", "state": "failed"}, {"name": "web", "state": "ready"}]
    assert [{key: each[key] for key in ("name", "state")} for each in state["bindings"]] == bindings
    assert [(each["name"], each["size"], each["note"], each["summary"]) for each in state["files"]] == [
        ("manifest.yaml", 10, "", "A manifest"),
        ("b", None, "missing", ""),
        ("zzz", 2, "", ""),
    ]
    assert {key: state[key] for key in ("name", "state", "image", "cloud", "left_behind")} == {
        "name": "shop",
        "state": "ready",
        "image": service.pattern,
        "cloud": "",
        "left_behind": [],
    }
    [listed] = json.loads(done(run("instances", "--json")).out)
    assert listed == {key: state[key] for key in listed}
    table = done(run("instances")).out.decode().splitlines()
    assert table[1].split() == [
        "shop",
        "ready",
        service.pattern,
        "-",
        state["time"],
        "bad",
        "(failed),",
        "web",
    ]
    text = done(run("instances", "show", "shop")).out.decode()
    for words in (
        ("instance", "shop"),
        ("state", "ready"),
        ("bad", "failed"),
        ("web", "ready"),
        ("b", "missing"),
    ):
        assert any({*words} <= {*line.split()} for line in text.splitlines()), words
    for line in ("instances show shop", "instances show shop --json", "instances files shop", "instances"):
        result = done(run(*line.split()))
        assert SECRET.encode() not in result.out + result.err
    assert SECRET.encode() not in done(run("logs")).out


def test_files_are_printed_as_they_are(service: Service, script_image: ScriptImage) -> None:
    run = service.shim.run
    assert done(run("instances", "files", "shop", "manifest.yaml")).out == b"kind: Pod\n"
    table = done(run("instances", "files", "shop")).out.decode().splitlines()
    assert [line.split()[0] for line in table] == ["FILE", "manifest.yaml", "b", "zzz"]
    assert [each["name"] for each in json.loads(done(run("instances", "files", "shop", "--json")).out)] == [
        "manifest.yaml",
        "b",
        "zzz",
    ]
    binary = Service(
        service.shim,
        script_image(
            f"case $1 in metadata) {PATTERN_METADATA} ;; *) printf '\\377\\0\\1' > $OUTPUTS/bin; head -c 3000000 "
            "/dev/zero > $OUTPUTS/large; printf x > $OUTPUTS/$(printf 'a\\033[1m') ;; esac"
        ),
    )
    done(binary.provision())
    assert done(run("instances", "files", "default", "bin")).out == b"\xff\0\1"
    assert len(done(run("instances", "files", "default", "large")).out) == 3_000_000
    # A name that the image chose does not reach the terminal.
    assert b"\x1b" not in done(run("instances", "files", "default")).out
    assert b"\x1b" not in done(run("instances", "show", "default")).out


def recorded(directory: Path, state: str = "ready") -> RecordedInstance:
    """An instance `shop` without an image, whose outputs have a directory `inner` with the file `x`."""
    instance = instances.at(str(directory / "store"), "shop", userns.detect())
    instances.create(instance, b"{}")
    record = {
        "state": state,
        "image": "oci:/image",
        "digest": f"sha256:{'0' * 64}",
        "cloud": "",
        "time": "now",
    }
    instances.write(instance.directory, record)
    Path(instance.outputs, "inner").mkdir()
    Path(instance.outputs, "inner/x").write_text("x", encoding="ascii")
    return RecordedInstance(instance, lambda _: None)


def swap(monkeypatch: pytest.MonkeyPatch, directory: Path) -> Path:
    """Have `inner` be a link to a directory of the host once its parent was listed; return that directory."""
    outside = directory / "outside"
    outside.mkdir()
    (outside / "secret").touch()
    inner, moved = directory / "store/instances/shop/outputs/inner", tree_walk._moved

    def swapped(current: int, name: str, expected: os.stat_result) -> int:
        if name == "inner" and not inner.is_symlink():
            inner.rename(directory / "away")
            inner.symlink_to(outside)
        return moved(current, name, expected)

    monkeypatch.setattr(tree_walk, "_moved", swapped)
    return outside


def test_a_link_that_is_swapped_in_for_a_directory_leads_nowhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    instance = recorded(tmp_path)
    outside = swap(monkeypatch, tmp_path)
    names: list[str] = []
    with pytest.raises(NotADirectoryError):
        names += (name for name, _ in recorded_instance._below(instance._instance.outputs))
    assert names == []
    with pytest.raises(NotADirectoryError):
        recorded_instance._opened(instance._instance.outputs, "inner/secret")
    # Once it is a link from the beginning, it is listed as one.
    assert [(each.name, each.note) for each in instance.files()] == [("inner", "a symbolic link")]
    assert os.listdir(outside) == ["secret"]


def test_nothing_is_said_of_files_while_the_image_moves_their_directories(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    instance = recorded(tmp_path, "provisioning")
    with instances.locked(instance._instance):
        assert [each.name for each in instance.files()] == ["inner/x"]
        swap(monkeypatch, tmp_path)
        assert instance.files() == []
        assert instance.state().state == "provisioning"


def test_files_are_listed_and_printed_however_deep_they_are(shim: Shim, script_image: ScriptImage) -> None:
    """Deeper than the recursion of Python, and by longer paths than the kernel takes."""
    write = (
        "cd $OUTPUTS; deep=$(printf 'd/%.0s' $(seq 1500)); mkdir -p $deep; echo text > ${deep}x; "
        "part=$(printf '%0255d/' $(seq 10)); mkdir -p 1/$part; echo text > 1/${part}y; mkdir -p 2/$part; mv 1 2/$part"
    )
    service = Service(shim, pattern_image(script_image, user="2000:2000"))
    done(service.provision(provision=write))
    part = "".join(f"{number:0255d}/" for number in range(1, 11))
    names = [f"2/{part}1/{part}y", f"{'d/' * 1500}x"]
    listed = json.loads(done(shim.run("instances", "files", "default", "--json")).out)
    assert [(each["name"], each["size"]) for each in listed] == [(name, 5) for name in names]
    for name in names:
        assert done(shim.run("instances", "files", "default", name)).out == b"text\n"
    done(shim.run("instances", "show", "default"))
    done(service.run("deprovision"))
    assert service.states() == {}


def test_credentials_are_printed_again_in_each_format(service: Service) -> None:
    def printed(*words: str) -> str:
        return done(service.shim.run("instances", "credentials", "shop", "web", *words)).out.decode()

    expected = {"HOST": "db.example", "PASSWORD": SECRET}
    assert yaml.safe_load(printed()) == expected
    assert json.loads(printed("--json")) == json.loads(printed("--format", "json")) == expected
    assert printed("--format", "shell") == f"export HOST='db.example'\nexport PASSWORD='{SECRET}'\n"
    assert printed("--format", "env-file") == f"HOST=db.example\nPASSWORD={SECRET}\n"
    assert refusal(service.shim.run("instances", "credentials", "shop")) == (
        "tweed-shim: instance 'shop' has no binding 'default'; 'tweed-shim instances show shop' lists those it has"
    )
    assert refusal(service.shim.run("instances", "credentials", "shop", "bad")) == (
        "tweed-shim: binding 'bad' of instance 'shop' has no credentials: its bind has failed or was interrupted; "
        f"unbind it and bind again: tweed-shim exec {service.pattern} unbind --instance shop --binding bad"
    )


def test_nested_and_steering_credentials_are_made_and_can_be_printed_in_another_format(
    shim: Shim, script_image: ScriptImage
) -> None:
    service = Service(shim, pattern_image(script_image))
    done(service.provision(bind="echo 'PATH: /evil'; echo 'nested: {a: b}'"))
    result = service.run("bind", "--format", "shell")
    again = "tweed-shim instances credentials default default"
    unbind = f"tweed-shim exec {service.pattern} unbind --instance default --binding default"
    assert (result.code, result.out, service.bindings()) == (125, b"", {"default": "ready"})
    fault = (
        "the format shell holds only text under names of variables, and in the credentials that the image printed "
        "nested is a map: use --format yaml or json"
    )
    assert result.err.decode().splitlines()[-1] == (
        f"tweed-shim: {fault}; binding 'default' is made all the same: print its credentials with '{again}', or end "
        f"it with: {unbind}"
    )
    assert refusal(shim.run(*again.split()[1:], "--format", "dotenv")) == (
        f"tweed-shim: {fault.replace('shell', 'dotenv')}"
    )
    assert yaml.safe_load(done(shim.run(*again.split()[1:])).out) == {"PATH": "/evil", "nested": {"a": "b"}}
    steering = Service(shim, pattern_image(script_image, user="1:1"))
    done(steering.provision("--instance", "steering", bind="echo 'PATH: /evil'"))
    result = steering.run("bind", "--instance", "steering", "--format", "shell")
    assert (result.code, result.out) == (125, b"")
    assert "PATH (steers " in result.err.decode()
    assert (
        "tweed-shim instances credentials steering default --format shell --allow PATH" in result.err.decode()
    )
    command = ("instances", "credentials", "steering", "--format", "shell", "--allow", "PATH")
    assert done(shim.run(*command)).out == b"export PATH='/evil'\n"


def test_a_reader_that_has_gone_does_not_lose_credentials(service: Service) -> None:
    os.unlink(service.path("shop", "credstore", "bad"))
    words = ("exec", service.pattern, "bind", "--instance", "shop", "--binding", "late")
    with service.shim.start(*words) as process:
        assert process.stdout is not None
        process.stdout.close()
        process.stdout = None
        _, err = process.communicate(timeout=60)
    assert process.returncode == 125
    assert err.decode().splitlines()[-1] == (
        "tweed-shim: the reader of the output has gone; binding 'late' is made all the same: print its credentials "
        f"with 'tweed-shim instances credentials shop late', or end it with: tweed-shim exec {service.pattern} unbind "
        "--instance shop --binding late"
    )
    printed = done(service.shim.run("instances", "credentials", "shop", "late")).out
    assert yaml.safe_load(printed) == {"HOST": "db.example", "PASSWORD": SECRET}


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (
            "show",
            "'instances show' takes the name of an instance; 'tweed-shim instances' lists the instances",
        ),
        (
            "show a b",
            "'instances show' takes the name of an instance; 'tweed-shim instances' lists the instances",
        ),
        (
            "files a b c",
            "'instances files' takes the name of an instance and at most one more; 'tweed-shim instances' lists the "
            "instances",
        ),
        (
            "forget",
            "'instances forget' takes the name of an instance; 'tweed-shim instances' lists the instances",
        ),
        ("show a --format json", "--format and --allow go with 'instances credentials'"),
        ("--allow PATH", "--format and --allow go with 'instances credentials'"),
    ],
)
def test_a_command_line_that_cannot_be_meant(shim: Shim, words: str, sentence: str) -> None:
    result = shim.run("instances", *words.split())
    assert (result.code, result.out) == (2, b"")
    assert result.err.decode().splitlines()[0] == f"tweed-shim: {sentence}"
    assert not os.path.exists(shim.root)


def test_a_store_that_is_not_there_has_no_instances(shim: Shim) -> None:
    assert done(shim.run("instances", "--json")).out == b"[]\n"
    for words in (("show", "x"), ("files", "x"), ("credentials", "x"), ("forget", "x")):
        assert refusal(shim.run("instances", *words)) == (
            "tweed-shim: there is no instance 'x'; 'tweed-shim instances' lists those there are"
        )
    assert not os.path.exists(os.path.join(shim.root, "instances"))

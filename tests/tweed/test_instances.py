"""Instances that are used by several operations at once, by other images, and that are in the way of a removal."""

import json
import os
import signal
import subprocess
from collections.abc import Callable

import pytest

from accounts import Account, in_turn
from installed import Shim, done, refusal
from pattern_images import (
    BACKEND,
    PATTERN,
    PATTERN_METADATA,
    STAY,
    STAY_ON_STDERR,
    Service,
    Started,
    backend_image,
    listing,
    pattern_image,
)
from script_images import ScriptImage

WAIT = 60


@pytest.fixture
def account(request: pytest.FixtureRequest, accounts: dict[str, Account]) -> Account:
    """Who asks makes no difference: one account a test is enough."""
    return in_turn(accounts, request)


@pytest.fixture
def service(shim: Shim, script_image: ScriptImage) -> Service:
    """A pattern and a configured cloud."""
    service = Service(
        shim,
        pattern_image(script_image, user="2000:2000"),
        backend_image(script_image, user="1000:1000"),
    )
    service.configure()
    return service


def start(service: Service, operation: str, *options: str) -> subprocess.Popen[bytes]:
    return service.shim.start("exec", service.pattern, operation, *options)


def waits(process: subprocess.Popen[bytes]) -> str:
    """The sentence with which an operation begins to wait."""
    assert process.stderr is not None
    line = process.stderr.readline().decode().strip()
    assert line.startswith("tweed-shim: waiting for "), line
    return line


def terminate(*running: Started) -> None:
    for each in running:
        each.process.send_signal(signal.SIGTERM)
    for each in running:
        assert each.end()[0] == 143


def test_a_second_provision_waits_for_the_first_and_follows_or_is_refused(service: Service) -> None:
    service.configure(setup=STAY_ON_STDERR)
    first = Started(service, "provision", where="stderr")
    second = start(service, "provision", "--cloud", "prod")
    waiting = waits(second)
    assert waiting.endswith("on instance 'default' to end")
    service.configure()
    terminate(first)
    # The setup of the first has failed, so there is no instance yet.
    second.communicate(timeout=WAIT)
    assert (second.returncode, service.states()) == (0, {"default": "ready"})
    # While the pattern of the first runs there is one.
    first = Started(service, "provision", "--instance", "other", where="stdout", provision=STAY)
    assert service.states()["other"] == "provisioning"
    refused = refusal(service.provision("--instance", "other"))
    assert refused.startswith("tweed-shim: instance 'other' exists already and is in use by run ")
    assert refused.endswith(f" of instance 'other', process {first.process.pid}); use another --instance")
    terminate(first)
    assert service.states() == {"default": "ready", "other": "failed"}


def test_bindings_of_an_instance_are_made_at_the_same_time(service: Service) -> None:
    done(service.provision(bind=f"echo a: b; {STAY_ON_STDERR}"))
    # Both have begun, and neither has ended.
    both = [Started(service, "bind", "--binding", name, where="stderr") for name in ("one", "two")]
    assert service.bindings() == {"one": "binding", "two": "binding"}
    same = start(service, "bind", "--binding", "one")
    assert waits(same) == (
        "tweed-shim: waiting for another operation on binding 'one' of instance 'default' to end"
    )
    deprovision = start(service, "deprovision")
    waiting = waits(deprovision)
    assert waiting.endswith(" on instance 'default' to end")
    assert waiting.count("run ") == 2
    terminate(*both)
    _, err = same.communicate(timeout=WAIT)
    assert same.returncode == 125
    assert b"whose bind has failed or was interrupted" in err or b"there is no instance 'default'" in err
    deprovision.communicate(timeout=WAIT)
    assert (deprovision.returncode, service.states(), service.setups()) == (0, {}, [])
    assert os.listdir(service.path()) == []


def test_instances_of_one_cloud_are_independent(service: Service) -> None:
    names = [f"i{number}" for number in range(4)]
    started = [start(service, "provision", "--cloud", "prod", "--instance", name) for name in names]
    for process in started:
        process.communicate(timeout=WAIT)
    assert [process.returncode for process in started] == [0] * len(names)
    assert service.states() == dict.fromkeys(names, "ready")
    # The longest name that an instance can have.
    longest = "x" * 128
    done(service.provision("--instance", longest))
    done(service.run("deprovision", "--instance", longest))
    assert service.setups() == []


def test_images_and_clouds_that_instances_need_are_not_removed(service: Service) -> None:
    done(service.provision("--instance", "shop"))
    shim, deprovision = service.shim, f"tweed-shim exec {service.pattern} deprovision --instance shop"
    refused = refusal(shim.run("rm", service.pattern))
    assert "instance 'shop'" in refused
    assert deprovision in refused
    assert "cloud 'prod'" in refusal(shim.run("rm", service.backend))
    assert refusal(shim.run("clouds", "rm", "prod")) == (
        "tweed-shim: cloud 'prod' still has instances of patterns (shop); 'tweed-shim instances show shop' names the "
        "command that deprovisions the first of them"
    )
    # gc removes what no reference names any more, but not what an instance uses.
    for path in (service.pattern, service.backend):
        os.rename(path.removeprefix("oci:"), f"{path.removeprefix('oci:')}-away")
    done(shim.run("gc", "--keep-last", "0"))
    bound = done(service.run("bind", "--instance", "shop"))
    assert (
        f"there is no {service.pattern.removeprefix('oci:')} any more: using {service.shown('shop')['digest']}, which "
        "made what is recorded, from the store"
    ) in bound.err.decode()
    # A cloud that is given up takes no instance with it, and says what that one loses.
    warned = done(shim.run("clouds", "forget", "prod")).err.decode()
    assert (
        "tweed-shim: instance 'shop' loses its cloud 'prod': only 'tweed-shim instances forget shop' removes it from "
        "now on, or configure the cloud again"
    ) in warned.splitlines()
    unbound = service.run("unbind", "--instance", "shop")
    assert unbound.code == 125
    assert unbound.err.decode().splitlines()[-1] == (
        f"tweed-shim: cloud 'prod' of instance 'shop' is not configured any more; configure it again: tweed-shim exec "
        f"{service.backend} configure --cloud prod --config FILE, or give the instance up with: tweed-shim "
        "instances forget shop"
    )
    assert service.bindings("shop") == {"default": "ready"}
    done(shim.run("instances", "forget", "shop"))
    done(shim.run("rm", service.pattern))
    assert service.states() == {}


def test_an_instance_is_given_up_unless_an_operation_uses_it(service: Service) -> None:
    done(service.provision(unbind=STAY))
    done(service.run("bind"))
    unbinding = Started(service, "unbind", where="stdout")
    refused = refusal(service.shim.run("instances", "forget", "default"))
    assert refused.startswith("tweed-shim: instance 'default' is in use by run ")
    assert f"process {unbinding.process.pid}" in refused
    terminate(unbinding)
    assert service.bindings() == {"default": "ready"}
    assert done(service.shim.run("instances", "forget", "default")).err.decode() == (
        "tweed-shim: instance 'default' is given up: what its image deployed stays there, with all that has "
        "credentials for it, and no deprovision can remove it any more; remove it by hand\n"
    )
    assert (service.states(), os.listdir(service.path())) == ({}, [])
    assert os.listdir(os.path.join(service.shim.root, "tmp")) == []
    assert refusal(service.shim.run("instances", "forget", "default")) == (
        "tweed-shim: there is no instance 'default'; 'tweed-shim instances' lists those there are"
    )


def replaced(script_image: ScriptImage, service: Service, script: str) -> None:
    """Have the path of the pattern hold another version of its image."""
    path, new = (
        each.removeprefix("oci:") for each in (service.pattern, script_image(script, user="3000:3000"))
    )
    os.rename(path, f"{path}-old")
    os.rename(new, path)


def test_another_version_takes_an_instance_over_only_where_that_is_meant(
    service: Service, script_image: ScriptImage
) -> None:
    done(service.provision(provision="echo one > $CREDSTORE/written; chmod 600 $CREDSTORE/written"))
    first = service.shown()["digest"]
    other = Service(
        service.shim, script_image(f"{PATTERN}\n# another repository".replace("METADATA", PATTERN_METADATA))
    )
    for operation in ("bind", "deprovision"):
        for options in ((), ("--replace",)):
            refused = other.run(operation, *options)
            assert refused.code == 125
            assert refused.err.decode().splitlines()[-1] == (
                f"tweed-shim: instance 'default' was provisioned by {service.pattern}, not by {other.pattern}; "
                f"{operation} with {service.pattern}"
            )
    script = f"case $1 in metadata) {PATTERN_METADATA} ;; bind) echo file: $(cat $CREDSTORE/written) ;; esac"
    replaced(script_image, service, script)
    refused = service.run("bind")
    assert (refused.code, refused.out, service.bindings()) == (125, b"", {})
    sentence = refused.err.decode().splitlines()[-1]
    assert sentence.startswith(
        f"tweed-shim: instance 'default' was provisioned by {service.pattern} with the digest {first}, and "
        f"{service.pattern} has sha256:"
    )
    assert sentence.endswith(
        ": another version; bind with --replace if that version is to take the instance over"
    )
    assert service.shown()["digest"] == first
    # The other version runs as another user, and reads what the first one wrote.
    assert done(service.run("bind", "--replace")).out == b"file: one\n"
    assert service.shown()["digest"] != first
    done(service.run("unbind"))
    done(service.run("deprovision"))
    assert service.states() == {}


def test_a_version_that_fails_does_not_take_an_instance_over(
    service: Service, script_image: ScriptImage
) -> None:
    done(service.provision())
    first = service.shown()
    replaced(script_image, service, f"case $1 in metadata) {PATTERN_METADATA} ;; *) exit 9 ;; esac")
    assert service.run("deprovision", "--replace").code == 9
    assert service.shown() == first
    assert service.run("bind", "--replace").code == 9
    assert (service.shown()["digest"], service.bindings()) == (first["digest"], {"default": "failed"})


def test_an_instance_keeps_to_the_backend_that_provisioned_it(
    service: Service, script_image: ScriptImage
) -> None:
    """Another backend's cloud may be another system, where the instance is not."""
    done(service.provision(bind="echo a: b"))
    done(service.run("bind", "--binding", "old"))
    other = service._replace(backend=script_image(f"{BACKEND}\n# another repository"))
    done(service.shim.run("clouds", "forget", "prod"))
    for operation, *words in (("bind",), ("unbind", "--binding", "old"), ("deprovision",)):
        refused = service.run(operation, *words)
        assert (refused.code, refused.out) == (125, b"")
        assert refused.err.decode().splitlines()[-1] == (
            "tweed-shim: cloud 'prod' of instance 'default' is not configured any more; configure it again: tweed-shim "
            f"exec {service.backend} configure --cloud prod --config FILE, or give the instance up with: tweed-shim "
            "instances forget default"
        )
    other.configure()
    before, operations = service.shown(), service.operations()
    for operation, *words in (("bind",), ("unbind", "--binding", "old"), ("deprovision",)):
        refused = service.run(operation, *words)
        assert (refused.code, refused.out) == (125, b"")
        assert refused.err.decode().splitlines()[-1] == (
            f"tweed-shim: instance 'default' was provisioned with access by {service.backend}, and cloud 'prod' "
            f"belongs to {other.backend} now; configure it with {service.backend} again, or give --replace if both "
            "lead to the same system"
        )
    assert (service.shown(), service.operations()) == (before, operations)
    # Once it is meant, the instance belongs to the other backend.
    done(service.run("bind", "--replace"))
    done(service.run("unbind", "--binding", "old"))
    done(service.shim.run("clouds", "forget", "prod"))
    service.configure()
    assert f"provisioned with access by {other.backend}, and" in service.run("deprovision").err.decode()
    done(service.shim.run("clouds", "forget", "prod"))
    other.configure()
    done(service.run("deprovision"))
    assert (service.states(), service.setups()) == ({}, [])


def test_a_version_of_the_backend_is_no_other_backend(service: Service, script_image: ScriptImage) -> None:
    done(service.provision())
    path, new = (
        each.removeprefix("oci:") for each in (service.backend, script_image(f"{BACKEND}\n# another version"))
    )
    os.rename(path, f"{path}-old")
    os.rename(new, path)
    service.configure()
    done(service.run("bind"))
    done(service.run("deprovision"))


def link(path: str) -> None:
    os.rename(path, f"{path}-real")
    os.symlink(f"{path}-real", path)


def file(path: str) -> None:
    os.rename(path, f"{path}-real")
    os.close(os.open(path, os.O_CREAT))


def missing(path: str) -> None:
    os.rename(path, f"{path}-real")


@pytest.mark.parametrize("damage", [link, file, missing])
def test_an_instance_whose_directories_are_none_is_damaged_and_nothing_is_run(
    service: Service, damage: Callable[[str], None]
) -> None:
    """An image would write wherever a link leads to."""
    for name in ("credstore", "outputs", "bindings"):
        done(service.provision("--instance", name))
        done(service.run("bind", "--instance", name))
        damage(service.path(name, name))
    if damage is missing:
        assert service.bindings("bindings") == {}, "an instance without bindings has no such directory"
        done(service.run("bind", "--instance", "bindings"))
    before, operations = listing(service.shim.root), service.operations()
    for name in ("credstore", "outputs", "bindings"):
        if damage is missing and name == "bindings":
            continue
        what = "is missing" if damage is missing else "is no directory"
        for words in (
            ("exec", service.pattern, "provision", "--instance", name, "--cloud", "prod"),
            *(
                ("exec", service.pattern, each, "--instance", name)
                for each in ("bind", "unbind", "deprovision")
            ),
            ("instances", "files", name),
            ("instances", "credentials", name),
        ):
            sentence = refusal(service.shim.run(*words))
            assert sentence.startswith(f"tweed-shim: {service.path(name, name)} is damaged (it {what}); "), (
                words
            )
            assert sentence.endswith(
                f"restore it from a backup, or give instance '{name}' up with: tweed-shim instances forget {name}"
            )
        assert f"{service.path(name, name)} is damaged" in service.shim.run("instances").err.decode()
    assert (listing(service.shim.root), service.operations()) == (before, operations)
    done(service.shim.run("instances", "forget", "credstore"))
    assert os.path.isdir(service.path("credstore")) is False


def test_what_can_be_no_instance_is_ignored(service: Service) -> None:
    """What somebody has put there by hand, or a file system made there."""
    done(service.provision())
    done(service.run("bind"))
    owner = (service.shim.account.uid, service.shim.account.gid)
    strays = []
    for place in (service.path(), service.path("default", "bindings")):
        for name in ("stray", ".hidden"):
            with open(os.path.join(place, name), "wb") as made:
                os.fchown(made.fileno(), *owner)
        for name in ("lost+found", ".snapshot", "a b"):
            os.mkdir(os.path.join(place, name), 0o700)
            os.chown(os.path.join(place, name), *owner)
        os.symlink("default", os.path.join(place, "link"))
        strays += sorted(os.listdir(place))
    assert (service.states(), service.bindings()) == ({"default": "ready"}, {"default": "ready"})
    assert done(service.shim.run("instances")).err == b""
    done(service.shim.run("gc"))
    done(service.shim.run("clouds"))
    done(service.shim.run("images"))
    assert strays == sorted(os.listdir(service.path())) + sorted(
        os.listdir(service.path("default", "bindings"))
    )
    assert "instance 'default'" in refusal(service.shim.run("rm", service.pattern))
    done(service.run("deprovision"))
    assert service.states() == {}


def test_a_record_says_which_operation_an_interaction_belongs_to(service: Service) -> None:
    done(service.provision("--instance", "shop", "--keep-backend"))
    done(service.run("bind", "--instance", "shop", "--binding", "web", "--keep-backend"))
    names = [(setup["instance"], setup["operation"]) for setup in service.setups()]
    assert sorted(names) == [("shop", "bind"), ("shop", "provision")]
    runs = {run["operation"]: run for run in service.listed("logs")}
    assert [runs["provision"].get(name) for name in ("instance", "cloud")] == ["shop", "prod"]
    assert [runs["bind"].get(name) for name in ("instance", "binding")] == ["shop", "web"]


def test_what_a_crash_left_of_an_instance_is_not_seen_by_the_next(service: Service) -> None:
    """A kill between the first directory of an instance and its record; no image was run for it."""
    for name in ("swept", "new"):
        for directory in ("credstore", "outputs"):
            os.makedirs(service.path(name, directory))
            with open(service.path(name, directory, "old"), "wb"):
                pass
        with open(service.path(name, "inputs.json"), "wb") as file:
            file.write(b"{}")
    owner = f"{service.shim.account.uid}:{service.shim.account.gid}"
    subprocess.run(["chown", "-R", owner, service.path()], check=True)
    assert service.states() == {}
    result = done(service.provision("--instance", "new", provision="ls -A $CREDSTORE $OUTPUTS"))
    assert result.out.split() == [b"/tweed/credstore:", b"commands", b"/tweed/outputs:"]
    swept = json.loads(done(service.shim.run("gc", "--json")).out)
    assert [each["name"] for each in swept if each["kind"] == "instance"] == ["instances/swept"]
    assert os.listdir(service.path()) == ["new"]


def test_nothing_that_is_said_holds_a_secret(service: Service) -> None:
    secret = "the-secret-itself"
    service.configure(environment=f"PASSWORD: {secret}")
    results = [
        service.shim.run("-v", "exec", service.pattern, *words, stdin=stdin)
        for words, stdin in (
            (
                ("provision", "--cloud", "prod", "--inputs", "-"),
                json.dumps(
                    {"token": secret, "bind": f"echo password: {secret}", "unbind": "exit 3"}
                ).encode(),
            ),
            (("bind", "--binding", "bad", "--format", "shell", "--timeout", "0.01"), None),
            (("bind",), None),
            (("unbind",), None),
            (("deprovision",), None),
        )
    ]
    assert [result.code for result in results] == [0, 124, 0, 3, 0]
    for result in results:
        assert secret.encode() not in result.err
    assert secret.encode() in results[2].out
    for run in service.listed("logs"):
        with open(os.path.join(service.shim.root, "runs", str(run["run"]), "run.json"), "rb") as file:
            assert secret.encode() not in file.read()

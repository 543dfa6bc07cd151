"""The chain of a backend's setup, a pattern's operation and the backend's teardown, however one of them ends."""

import os
import signal
from typing import Any

import pytest
import yaml

from accounts import AS_ONE_USER
from installed import Shim, done, refusal
from pattern_images import BACKEND, STAY, STAY_ON_STDERR, Service, Started, backend_image, pattern_image
from script_images import ScriptImage

# Says that it has begun, and that it is sent SIGTERM, and still does not end.
STUBBORN = "trap 'echo asked' TERM; echo begun; while :; do sleep 0.1; done"


@pytest.fixture
def service(shim: Shim, script_image: ScriptImage) -> Service:
    """A pattern as one user, in a cloud whose backend runs as another user."""
    return Service(
        shim,
        pattern_image(script_image, user="2000:2000"),
        backend_image(script_image, user="1000:1000"),
    )


def left(service: Service, operation: str, *, interrupted: bool = False) -> str:
    """Check that an operation left one interaction behind, which is named everywhere; return how to tear it down."""
    [setup] = service.setups()
    name = setup["name"]
    assert name.startswith(f"default-{operation}-")
    known = {key: setup[key] for key in ("instance", "operation", "left", "interrupted")}
    assert known == {"instance": "default", "operation": operation, "left": True, "interrupted": interrupted}
    command = f"tweed-shim exec {service.backend} teardown --cloud prod --interaction {name}"
    sentence = (
        f"tweed-shim: interaction '{name}' of cloud 'prod' was left behind by {operation} of instance 'default'; tear "
        f"it down with: {command}"
    )
    for listed in ("clouds", "instances"):
        assert sentence in done(service.shim.run(listed)).err.decode().splitlines(), listed
    if "default" in service.states():
        [shown] = service.shown()["left_behind"]
        assert shown == {"name": name, "cloud": "prod", "operation": operation, "command": command}
    return command


def tear_down(service: Service, command: str) -> None:
    done(service.shim.run(*command.split()[1:]))
    assert service.setups() == []


def test_nothing_is_run_after_a_setup_that_fails(service: Service) -> None:
    service.configure(setup="exit 3")
    result = service.provision(provision="echo never")
    assert (result.code, result.out) == (3, b"")
    assert f"{service.backend} setup ended with exit code 3; " in result.err.decode()
    assert (
        "provision was not run for it, and the state of instance 'default' is as it was"
        in result.err.decode()
    )
    assert (service.states(), service.setups(), service.operations()[-1]) == ({}, [], "setup")
    assert os.listdir(service.path()) == []
    # Each operation leaves the instance as it was.
    service.configure()
    done(service.provision())
    done(service.run("bind"))
    before = service.shown()
    service.configure(setup="exit 4")
    for operation in ("bind", "unbind", "deprovision"):
        name = ("--binding", "new") if operation == "bind" else ()
        result = service.run(operation, *name)
        assert result.code == 4
        assert (
            f"{operation} was not run for it, and the state of instance 'default' is as it was"
            in (result.err.decode().splitlines()[-1])
        )
        assert service.operations()[-1] == "setup"
        assert (service.shown(), service.setups()) == (before, [])


def test_a_setup_may_not_set_the_variables_of_the_contract(service: Service) -> None:
    service.configure(environment="{HOME: /x, INPUTS: /y, A: b, CREDSTORE: c, OUTPUTS: d, BINDING: e}")
    result = service.provision(provision="echo never")
    assert (result.code, result.out) == (125, b"")
    assert result.err.decode().splitlines()[-1] == (
        f"tweed-shim: setup of {service.backend} sets HOME, CREDSTORE, INPUTS, OUTPUTS, BINDING, which the pattern "
        "contract sets itself; have the backend's image use other names"
    )
    assert (service.states(), service.setups()) == ({}, [])
    # What setup has set up is torn down.
    assert service.operations()[-2:] == ["setup", "teardown"]
    service.configure(environment="[1, 2]")
    result = service.provision(provision="echo never")
    assert (result.code, service.states(), service.setups()) == (125, {}, [])
    assert f"setup of {service.backend} printed no environment" in result.err.decode()


# Variables that decide which code a program runs, and some of those that a backend is there to tell a pattern.
CODE = ("PATH", "LD_PRELOAD", "PYTHONPATH", "BASH_ENV", "NODE_OPTIONS", "PERL5LIB", "GIT_EDITOR")
TOLD = ("HTTP_PROXY", "KUBECONFIG", "SSL_CERT_FILE", "AWS_PROFILE", "no_proxy")


@AS_ONE_USER
def test_a_setup_may_not_choose_the_code_of_the_pattern_unless_that_is_meant(service: Service) -> None:
    """The backend is another image, with other rights: what it prints is not to be run in the pattern's sandbox."""
    service.configure(environment="{" + ", ".join(f"{name}: /tweed/out/x" for name in TOLD) + "}")
    told = done(service.provision("--instance", "told", provision="env", bind="echo never")).out.decode()
    assert {*TOLD} <= {line.partition("=")[0] for line in told.splitlines()}
    for name in CODE:
        service.configure(environment=f"{{A: b, {name}: /tweed/out/x}}")
        result = service.provision(provision="echo never")
        assert (result.code, result.out) == (125, b""), name
        sentence = result.err.decode().splitlines()[-1]
        assert sentence.startswith(f"tweed-shim: setup of {service.backend} sets {name} (steers "), name
        assert sentence.endswith(
            "), so that the backend could run code of its own as the pattern; have its image use other names, or give "
            f"--allow {name} if that is meant"
        )
        assert "default" not in service.states()
        assert (service.setups(), service.operations()[-2:]) == ([], ["setup", "teardown"])
    service.configure(environment="{PATH: '/tweed/out:/bin', LD_DEBUG_OUTPUT: y}")
    for operation in ("bind", "deprovision"):
        refused = service.run(operation, "--instance", "told", "--allow", "PATH")
        assert (refused.code, refused.out, service.states()) == (125, b"", {"told": "ready"})
        assert " sets LD_DEBUG_OUTPUT (steers " in refused.err.decode()
    allow = ("--allow", "PATH", "--allow", "LD_DEBUG_OUTPUT")
    assert done(service.provision(*allow, provision="echo $PATH")).out == b"/tweed/out:/bin\n"
    done(service.run("deprovision", *allow))


ENDS = {"success": ("true", 0), "failure": ("exit 5", 5), "timeout": (STAY, 124)}


def test_teardown_follows_however_the_pattern_ends(service: Service) -> None:
    service.configure()
    for number, (command, code) in enumerate(ENDS.values()):
        result = service.provision("--instance", f"i{number}", "--timeout", "3", provision=command)
        assert result.code == code
        assert service.operations()[-3:] == ["setup", "provision", "teardown"]
        assert (service.setups(), b"tearing down\n" in result.err) == ([], True)
    assert service.states() == {"i0": "ready", "i1": "failed", "i2": "failed"}


def test_a_teardown_that_fails_does_not_change_the_result(service: Service) -> None:
    service.configure(teardown="test -e /tweed/in/again || exit 6")
    result = done(service.provision(provision="echo done", bind="echo a: b; exit 5"))
    assert (result.out, service.states()) == (b"done\n", {"default": "ready"})
    command = left(service, "provision")
    [interaction] = [setup["name"] for setup in service.setups()]
    run = service.listed("logs")[0]["run"]
    assert result.err.decode().splitlines()[-1] == (
        f"tweed-shim: interaction '{interaction}' of cloud 'prod' is not torn down ({service.backend} teardown ended "
        f"with exit code 6; all of interaction '{interaction}' is kept for another try; where none can succeed, give "
        f"it up with: tweed-shim clouds forget prod {interaction}; 'tweed-shim logs {run}' shows what it said); tear "
        f"it down with: {command}"
    )
    assert service.shim.run(*command.split()[1:]).code == 6
    done(service.shim.run("clouds", "forget", "prod", interaction))
    # The result of a bind that fails is that of the bind.
    assert (service.run("bind").code, service.bindings()) == (5, {"default": "failed"})
    left(service, "bind")


@AS_ONE_USER
def test_a_backend_is_kept_for_a_look_or_left_out(service: Service) -> None:
    service.configure(environment="KUBECONFIG: /tweed/out/keys/kubeconfig")
    result = done(service.provision("--keep-backend"))
    command = left(service, "provision")
    [interaction] = [setup["name"] for setup in service.setups()]
    assert result.err.decode().splitlines()[-1] == (
        f"tweed-shim: interaction '{interaction}' of cloud 'prod' stays set up; tear it down with: {command}"
    )
    environment = done(service.shim.run("environment", "--cloud", "prod", "--interaction", interaction)).out
    assert yaml.safe_load(environment) == {"KUBECONFIG": "/tweed/out/keys/kubeconfig"}
    tear_down(service, command)
    operations = service.operations()
    done(service.provision("--no-backend", "--instance", "alone", provision="ls /tweed"))
    assert service.operations() == [*operations, "provision"]
    for words, line in (
        (
            ("--cloud", "prod", "--no-backend"),
            "--cloud and --no-backend do not go together; give one of them",
        ),
        (("--binding", "x"), "--binding does not go with provision; it goes with bind and unbind"),
    ):
        usage = service.run("provision", *words)
        assert (usage.code, usage.out) == (2, b"")
        assert usage.err.decode().splitlines()[0] == f"tweed-shim: {line}"
    usage = service.run("bind", "--cloud", "prod")
    assert usage.code == 2
    assert b"an instance remembers its cloud" in usage.err


@AS_ONE_USER
def test_the_image_that_configured_the_cloud_is_its_backend(
    shim: Shim, script_image: ScriptImage, service: Service
) -> None:
    """By its digest: wherever the image has gone, and whatever its path holds now."""
    service.configure(environment="A: b")
    path = service.backend.removeprefix("oci:")
    os.rename(path, f"{path}-away")
    done(service.provision())
    another = script_image(f"{BACKEND}\n# another image")
    os.rename(another.removeprefix("oci:"), path)
    done(service.run("bind"))
    digests = {run["digest"] for run in service.listed("logs") if run["operation"] in ("configure", "setup")}
    assert len(digests) == 1


def test_the_first_signal_ends_the_pattern_and_teardown_follows(service: Service) -> None:
    service.configure()
    running = Started(service, "provision", where="stdout", provision=STAY)
    running.process.send_signal(signal.SIGTERM)
    code, _, err = running.end()
    assert (code, "tearing down" in err.splitlines()) == (143, True)
    assert (service.states(), service.setups()) == ({"default": "failed"}, [])
    assert service.operations()[-3:] == ["setup", "provision", "teardown"]
    done(service.run("deprovision"))
    # An image that hears the signal may finish its work.
    tidy = "trap 'echo tidy; exit 0' TERM; echo begun; while :; do sleep 0.1; done"
    running = Started(service, "provision", where="stdout", provision=tidy)
    running.process.send_signal(signal.SIGTERM)
    code, out, _ = running.end()
    assert (code, out, service.setups()) == (143, "tidy\n", [])
    assert service.states() == {"default": "failed"}


@AS_ONE_USER
def test_a_second_signal_gives_up_and_says_what_is_left(service: Service) -> None:
    service.configure()
    running = Started(service, "provision", where="stdout", provision=STUBBORN)
    running.process.send_signal(signal.SIGTERM)
    running.read_until("asked", where="stdout")
    running.process.send_signal(signal.SIGTERM)
    code, _, err = running.end()
    assert (code, service.operations()[-1]) == (143, "provision")
    command = left(service, "provision")
    assert f"stays set up; tear it down with: {command}" in err
    tear_down(service, command)
    assert service.states() == {"default": "failed"}
    done(service.run("deprovision"))
    # The second signal may also come while teardown runs, which is then given up.
    service.configure(teardown=STAY)
    running = Started(service, "provision", where="stdout", provision=STAY)
    running.process.send_signal(signal.SIGTERM)
    running.read_until("begun", where="stderr")
    running.process.send_signal(signal.SIGTERM)
    code, _, err = running.end()
    assert code == 143
    assert "is not torn down (" in err
    assert f"; tear it down with: {left(service, 'provision')}" in err


@AS_ONE_USER
def test_a_signal_during_teardown_does_not_change_the_result(service: Service) -> None:
    service.configure(teardown=f"test -e /tweed/in/again || {{ {STAY}; }}")
    running = Started(service, "provision", where="stderr")
    running.process.send_signal(signal.SIGTERM)
    code, _, err = running.end()
    assert (code, service.states()) == (0, {"default": "ready"})
    assert "is not torn down (" in err
    assert f"; tear it down with: {left(service, 'provision')}" in err


@AS_ONE_USER
def test_a_signal_during_setup_ends_the_operation_before_the_pattern(service: Service) -> None:
    service.configure(setup=STAY_ON_STDERR)
    running = Started(service, "provision", where="stderr")
    running.process.send_signal(signal.SIGINT)
    assert running.end()[0] == 130
    assert (service.states(), service.operations()[-1]) == ({}, "setup")
    # The image does not end by the signal, and is killed: what it made may be there.
    tear_down(service, left(service, "provision", interrupted=True))


def test_a_shim_that_is_killed_during_setup_leaves_no_instance(service: Service) -> None:
    service.configure(setup=STAY_ON_STDERR)
    Started(service, "provision", where="stderr").kill()
    assert service.states() == {}
    command = left(service, "provision", interrupted=True)
    tear_down(service, command)
    # What is left of the instance that has never been is swept.
    done(service.shim.run("gc"))
    assert os.listdir(service.path()) == []
    service.configure()
    done(service.provision())


def test_a_shim_that_is_killed_while_the_pattern_runs_loses_nothing(service: Service) -> None:
    service.configure()
    wrote = "mkdir -p $CREDSTORE/deep; echo secret > $CREDSTORE/deep/password; "
    Started(service, "provision", where="stdout", provision=f"{wrote}{STAY}").kill()
    with open(service.path("default", "credstore", "deep", "password"), encoding="ascii") as file:
        assert file.read() == "secret\n"
    assert service.states() == {"default": "failed"}
    tear_down(service, left(service, "provision"))
    done(service.run("deprovision"))
    commands = {"bind": f"echo a: b; {STAY_ON_STDERR}", "unbind": STAY, "deprovision": f"{wrote}{STAY}"}
    done(service.provision(**commands))
    Started(service, "bind", where="stderr").kill()
    assert (service.states(), service.bindings()) == ({"default": "ready"}, {"default": "failed"})
    tear_down(service, left(service, "bind"))
    Started(service, "unbind", where="stdout").kill()
    assert service.bindings() == {"default": "failed"}, "as it was"
    tear_down(service, left(service, "unbind"))
    Started(service, "deprovision", where="stdout").kill()
    assert service.states() == {"default": "failed"}
    tear_down(service, left(service, "deprovision"))
    with open(service.path("default", "credstore", "deep", "password"), encoding="ascii") as file:
        assert file.read() == "secret\n"
    assert refusal(service.run("bind", "--binding", "other")) == (
        "tweed-shim: bind is not possible: the last deprovision of instance 'default' has failed or was interrupted; "
        f"only deprovision may follow: tweed-shim exec {service.pattern} deprovision --instance default"
    )
    # The inputs are as they were, so that deprovision can be tried again.
    Started(service, "deprovision", where="stdout").kill()
    tear_down(service, left(service, "deprovision"))


def test_a_shim_that_is_killed_during_teardown_keeps_the_result(service: Service) -> None:
    service.configure(teardown=f"test -e /tweed/in/again || {{ {STAY}; }}")
    states: list[Any] = []
    for operation, options in (("provision", ()), ("bind", ()), ("unbind", ()), ("deprovision", ())):
        Started(service, operation, *options, where="stderr").kill()
        left(service, operation)
        states.append((service.states(), service.bindings() if service.states() else None))
        [interaction] = [setup["name"] for setup in service.setups()]
        done(service.shim.run("clouds", "forget", "prod", interaction))
    # What a killed shim left of its run is swept.
    done(service.shim.run("gc"))
    ready = {"default": "ready"}
    assert states == [(ready, {}), (ready, ready), (ready, {}), ({}, None)]


@AS_ONE_USER
def test_teardown_can_follow_where_the_backend_has_been_reconfigured_meanwhile(service: Service) -> None:
    service.configure()
    done(service.provision("--keep-backend"))
    command = left(service, "provision")
    service.configure(environment="NEW: one", setup="exit 1")
    tear_down(service, command)
    assert service.run("deprovision").code == 1


@pytest.mark.parametrize("confined_shim", ["root-userns"], indirect=True)
def test_operations_in_a_user_namespace_and_outside_of_it_share_an_instance(
    confined_shim: Shim, script_image: ScriptImage
) -> None:
    inside = Service(
        confined_shim,
        pattern_image(script_image, user="2000:2000"),
        backend_image(script_image, user="1000:1000"),
    )
    outside = inside._replace(shim=confined_shim._replace(userns=False))
    inside.configure(environment="KUBECONFIG: /tweed/out/keys/kubeconfig")
    look = "id -u; cat $KUBECONFIG $CREDSTORE/*/secret"
    write = (
        "mkdir -p $CREDSTORE/$(id -u); echo $1 > $CREDSTORE/deep; umask 077; mkdir $CREDSTORE/first; "
        "echo text > $CREDSTORE/first/secret; echo text > $OUTPUTS/out"
    )
    commands = {"provision": write, "bind": f"({look}) >&2; echo a: b", "unbind": look, "deprovision": look}
    for first, second in ((inside, outside), (outside, inside)):
        done(first.provision(**commands))
        bound = done(second.run("bind"))
        assert bound.err.decode().splitlines()[:3] == ["2000", "the-key", "text"]
        assert done(first.shim.run("instances", "files", "default", "out")).out == b"text\n"
        assert done(first.run("unbind")).out.decode().splitlines() == ["2000", "the-key", "text"]
        assert done(second.run("deprovision")).out.decode().splitlines() == ["2000", "the-key", "text"]
        assert (first.states(), first.setups()) == ({}, [])

"""The sample TOI package, through the installed program, as each kind of caller: installed out of its archive."""

import os
from typing import Any

import yaml

from installed import Result, Shim
from sample_images import TOI_DEMO

COMPONENT = TOI_DEMO.removeprefix("//")
PASSWORD = "s3cret-password"
CREDENTIALS: dict[str, Any] = {"target": {"credentials": {"username": "it's me", "password": PASSWORD}}}


def bootstrap(
    shim: Shim, action: str, component: str, parameters: dict[str, Any], credentials: dict[str, Any]
) -> Result:
    options = []
    for name, value in (("parameters", parameters), ("credentials", {"credentials": credentials})):
        path = os.path.join(os.path.dirname(shim.root), name)
        with open(path, "w", encoding="utf-8") as file:
            yaml.safe_dump(value, file)
        os.chown(path, shim.account.uid, shim.account.gid)
        options += [f"--{name}", path]
    done = shim.run("toi", "bootstrap", action, component, "platform=local", *options)
    assert PASSWORD.encode() not in done.out + done.err
    return done


def test_the_demo_is_installed_and_uninstalled(shim: Shim, toi_demo: str) -> None:
    licensed = {**CREDENTIALS, "license": {"credentials": {"key": "any"}}}
    done = bootstrap(shim, "install", toi_demo, {"host": "example.org", "port": 80}, licensed)
    assert done.code == 0, done
    assert yaml.safe_load(done.out) == {
        "outputs": {
            "greeter": {"url": "http://example.org:80/greeting", "greeting": "Hello"},
            "receipt": {"action": "install", "component": COMPONENT},
        }
    }
    assert b"Installing a greeter for it's me at http://example.org:80/greeting." in done.err
    done = bootstrap(shim, "uninstall", toi_demo, {"host": "example.org"}, CREDENTIALS)
    assert done.code == 0, done
    assert yaml.safe_load(done.out)["outputs"] == {"receipt": {"action": "uninstall", "component": COMPONENT}}


def test_parameters_that_break_the_scheme_never_reach_the_executor(shim: Shim, toi_demo: str) -> None:
    done = bootstrap(shim, "install", toi_demo, {"greeting": "<b>", "prt": 1}, CREDENTIALS)
    assert (done.code, done.out) == (125, b"")
    for words in (b"host is required", b"greeting must match", b"did you mean", b"prt is not known"):
        assert words in done.err
    assert b"toi-demo" not in done.err.replace(toi_demo.encode(), b"")

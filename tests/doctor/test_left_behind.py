"""`doctor` names what operations of patterns left behind, with the command that ends it."""

import json
import os
import shlex
from typing import Any

from installed import Shim
from script_images import METADATA, ScriptImage

BACKEND = f"case $1 in metadata) {METADATA};; setup) echo secret >$OUT_CONFIG/token; echo 'TOKEN: a';; esac"
PATTERN = 'case $1 in metadata) printf "pattern: tweed/v1\\nname: p\\nversion: v\\n";; esac'


def _findings(shim: Shim) -> list[dict[str, Any]]:
    done = shim.run("doctor", "--json")
    assert (done.code, done.err) == (0, b""), done
    return [each for each in json.loads(done.out) if each["name"] == "interactions"]


def _interactions(shim: Shim) -> list[str]:
    done = shim.run("clouds", "--json")
    assert done.code == 0, done
    return [name for cloud in json.loads(done.out) for name in cloud["interactions"]]


def test_each_interaction_that_was_left_behind_is_named_and_its_command_ends_it(
    shim: Shim, script_image: ScriptImage
) -> None:
    backend, pattern = script_image(BACKEND), script_image(PATTERN)
    # No store yet, one without interactions, and one with an interaction that belongs to no instance.
    expected = [("ok", "no operation of a pattern left one behind", "", "")]
    assert [tuple(each.values())[1:] for each in _findings(shim)] == expected
    assert not os.path.exists(shim.root)
    assert shim.run("exec", backend, "configure", "--cloud", "prod", stdin=b"{}").code == 0
    assert shim.run("exec", backend, "setup", "--cloud", "prod").code == 0
    assert [tuple(each.values())[1:] for each in _findings(shim)] == expected

    options = ("--instance", "shop", "--keep-backend")
    assert shim.run("exec", pattern, "provision", "--cloud", "prod", *options).code == 0
    assert shim.run("exec", pattern, "bind", *options).code != 0, "this image prints no credentials"
    left = [name for name in _interactions(shim) if name != "default"]
    findings = _findings(shim)
    assert len(left) == len(findings) == 2
    for name, finding in zip(left, findings, strict=True):
        operation = name.split("-")[1]
        assert finding == {
            "name": "interactions",
            "state": "warning",
            "found": f"'{name}' of cloud 'prod' was left behind by {operation} of instance 'shop'",
            "effect": "what its setup made in the backend stays there, and can be used",
            "mend": f"tweed-shim exec {backend} teardown --cloud prod --interaction {name}",
        }
        assert shim.run(*shlex.split(finding["mend"])[1:]).code == 0
    assert _interactions(shim) == ["default"]
    assert [tuple(each.values())[1:] for each in _findings(shim)] == expected


def test_interactions_of_a_store_that_another_version_made_are_not_looked_for(shim: Shim) -> None:
    assert shim.run("images").code == 0
    os.makedirs(shim.root, 0o700, exist_ok=True)
    os.chown(shim.root, shim.account.uid, shim.account.gid)
    with open(os.path.join(shim.root, "version"), "w", encoding="ascii") as file:
        file.write("2\n")
    findings = {each["name"]: each for each in json.loads(shim.run("doctor", "--json").out)}
    assert findings["store"]["state"] == "missing"
    assert findings["interactions"]["found"] == "cannot be tried without a store that can be read"

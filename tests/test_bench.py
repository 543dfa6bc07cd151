"""scripts/bench: what it prints, with as few turns as can be."""

import json
import os
import subprocess
import sys

import pytest

BENCH = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "scripts", "bench")

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can make what is measured")


def _bench(*arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([sys.executable, BENCH, *arguments], check=False, capture_output=True, text=True)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Where the images are, which are made once."""
    return os.fspath(tmp_path_factory.mktemp("cache"))


def test_every_account_gets_a_ratio_of_each_case(cache: str) -> None:
    result = _bench(
        "--json", "--rounds", "1", "--case", "a,b,c-small,spiff-merge,spiff-import", "--cache", cache
    )
    assert result.returncode == 0, result.stderr
    figures = json.loads(result.stdout)["figures"]
    compared = {(figure["account"], figure["case"]) for figure in figures if figure["theirs"]}
    cases = {"a", "b"} | {each["case"] for each in figures if "podman pull" in each["what"]}
    cases.add("spiff-merge")
    assert compared >= {(account, case) for account in ("root", "range") for case in cases}
    assert all(figure["value"] > 0 for figure in figures)
    sums = [figure for figure in figures if figure["what"] == "all security checks of one run"]
    assert [(each["account"], each["case"], each["most"]) for each in sums] == [
        ("root", "b", 1),
        ("range", "b", 1),
    ]


def test_operations_of_a_pattern_are_compared_with_bare_runs(cache: str) -> None:
    result = _bench("pattern", "--json", "--rounds", "1", "--cache", cache)
    assert result.returncode == 0, result.stderr
    figures = json.loads(result.stdout)["figures"]
    assert [(each["account"], each["what"].split(" / ")[0], each["most"]) for each in figures] == [
        (account, f"exec {operation}", goal)
        for account in ("root", "range")
        for operation, goal in (("provision", 1.7), ("bind", None), ("deprovision", None))
    ]
    assert all(each["case"] == "pattern-chain" and each["ours"] and each["theirs"] for each in figures)


def test_a_peer_that_fails_is_reported_and_left_out(cache: str) -> None:
    # As podman does whose runtime is crun, on a host with hybrid control groups.
    podman = "#!/bin/sh\\necho crun: hybrid mode not supported >&2; exit 126\\n"
    path = "/usr/local/bin/podman"
    hide = f"mount -t tmpfs tmpfs /usr/local/bin && printf '{podman}' > {path}; chmod 755 {path}"
    options = ("--json", "--rounds", "1", "--case", "a,c-small", "--accounts", "root", "--cache", cache)
    result = subprocess.run(
        ["unshare", "--mount", "sh", "-euc", f'{hide}; exec "$@"', "sh", sys.executable, BENCH, *options],
        check=False,
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    assert result.stderr.count("podman does not work here and is left out") == 2
    assert "crun: hybrid mode not supported" in result.stderr
    figures = json.loads(result.stdout)["figures"]
    assert {"a", "c-small"} == {each["case"] for each in figures}
    assert not [each for each in figures if "podman" in each["what"]]


@pytest.mark.parametrize("group", [(), ("pattern",)])
def test_the_profile_names_the_steps_and_adds_up(cache: str, group: tuple[str, ...]) -> None:
    result = _bench(*group, "--profile", "--accounts", "root", "--rounds", "1", "--cache", cache)
    assert result.returncode == 0, result.stderr
    steps = {}
    for line in result.stdout.splitlines()[2:]:
        name, value = line.rsplit(maxsplit=1)
        steps[name[2:]] = float(value)
    own = [value for name, value in steps.items() if not name.startswith(" ") and name != "whole"]
    assert {"start", "imports", "resolve", "prepare", "run", "collect", "commit"} <= set(steps)
    assert sum(own) == pytest.approx(steps["whole"], rel=0.1)


def test_a_case_that_does_not_exist_is_refused() -> None:
    result = _bench("--case", "a,z")
    assert result.returncode == 2
    assert "there is no 'z'" in result.stderr

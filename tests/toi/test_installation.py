"""Packages from Python: one call, with data for parameters and outputs."""

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import yaml

from components import component, make_archive
from leftovers import work_directory
from packages import executor_layout, package, with_executor
from tweed_shim import Shim
from tweed_shim.errors import ComponentError, ConfigError, OperationFailed, TimedOut
from tweed_shim.runtime.container import Console
from tweed_shim.runtime.options import RunOptions

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="the images are made by root's fixtures")

SCRIPT = """
echo "$2" > /toi/outputs/action
cat /toi/inputs/parameters > /toi/outputs/parameters
cat /toi/inputs/ocmconfig > /toi/outputs/credentials
echo more > /toi/outputs/more
[ "$2" = uninstall ] && exit 3
[ "$2" = wait ] && sleep 60
exit 0
"""
PACKAGE = {
    "executors": [
        {
            "resourceRef": {"resource": {"name": "image"}},
            "outputs": {name: name for name in ("action", "parameters", "credentials", "never")},
        }
    ],
    "configTemplate": {"size": 1, "host": "(( merge ))"},
    "configScheme": {"type": "object", "properties": {"host": {"type": "string"}}},
    "credentials": {
        "target": {"description": "where to", "properties": {"password": "any"}, "optional": True}
    },
}
APP = "example.com/app:1.0.0"


@pytest.fixture(scope="module")
def repository(public_directory: str) -> str:
    layout = executor_layout(os.path.join(public_directory, "installation-executor"), SCRIPT)
    app = component("example.com/app", "1.0.0", [package(PACKAGE)])
    return str(make_archive(os.path.join(public_directory, "installation"), with_executor(app, layout)))


@pytest.fixture
def shim() -> Iterator[Shim]:
    with work_directory() as directory:
        yield Shim(os.path.join(directory, "store"))


def test_data_in_and_outputs_out(shim: Shim, repository: str) -> None:
    said: list[str] = []
    shim = Shim(shim.settings.root, console=Console(warn=said.append))
    outputs = shim.bootstrap(
        "install",
        f"{repository}//{APP}",
        parameters={"host": "a: b"},
        credentials={"credentials": {"target": {"credentials": {"password": "s3cret"}}}},
        ocm_config="None",
    )
    assert outputs["action"] == b"install\n"
    assert yaml.safe_load(outputs["parameters"]) == {"size": 1, "host": "a: b"}
    assert b"s3cret" in outputs["credentials"]
    assert "more" not in outputs
    assert said == ["the executor did not write never, which is mapped to an output"]
    text = shim.bootstrap(
        "update", APP, repository=repository, parameters="host: x", every_output=True, ocm_config="None"
    )
    assert (yaml.safe_load(text["parameters"])["host"], text["more"]) == ("x", b"more\n")


def test_a_failure_has_the_outputs(shim: Shim, repository: str) -> None:
    given = {"parameters": {"host": "x"}, "ocm_config": "None"}
    with pytest.raises(OperationFailed, match="ended with exit code 3") as failed:
        shim.bootstrap("uninstall", f"{repository}//{APP}", **given)  # type: ignore[arg-type]  # as they are named
    assert failed.value.exit_code == 3
    assert failed.value.outputs["action"] == b"uninstall\n"
    with pytest.raises(TimedOut) as late:
        shim.bootstrap("wait", f"{repository}//{APP}", options=RunOptions(timeout=1), **given)  # type: ignore[arg-type]  # likewise
    assert late.value.outputs["action"] == b"wait\n"


@pytest.fixture
def slow(public_directory: str) -> str:
    """A component version whose template hashes for weeks."""
    about = {
        "executors": [{"image": {"ref": "localhost:1/nothing"}}],
        "configTemplate": {"hash": '(( bcrypt("x", 31) ))'},
    }
    app = component("example.com/app", "1.0.0", [package(about)])
    path = os.path.join(public_directory, "installation-slow")
    return f"{make_archive(path, app)}//{APP}"


@pytest.mark.parametrize("threads", [1, 2])
def test_the_timeout_is_one_of_the_templates_too(shim: Shim, slow: str, threads: int) -> None:
    def install() -> None:
        with pytest.raises(TimedOut, match=r"the template of .* took longer than 1 second") as late:
            shim.bootstrap(
                "install", slow, parameters={"host": "x"}, options=RunOptions(timeout=1), ocm_config="None"
            )
        assert (dict(late.value.outputs), late.value.run) == ({}, "")

    with ThreadPoolExecutor(threads) as pool:
        for each in [pool.submit(install) for _ in range(threads)]:
            each.result()


def test_a_program_with_threads_evaluates_templates(shim: Shim, repository: str) -> None:
    with ThreadPoolExecutor(1) as pool:
        outputs = pool.submit(
            shim.bootstrap, "install", f"{repository}//{APP}", parameters={"host": "x"}, ocm_config="None"
        ).result()
    assert yaml.safe_load(outputs["parameters"]) == {"size": 1, "host": "x"}


@pytest.mark.parametrize("value", [b"host: x", {"host": {1}}, {"host": float("nan")}])
def test_data_that_json_has_no_form_for_is_refused(shim: Shim, repository: str, value: object) -> None:
    component = f"{repository}//{APP}"
    with pytest.raises(ConfigError, match="the parameters hold a value that JSON has no form for"):
        shim.bootstrap("install", component, parameters=value, ocm_config="None")
    with pytest.raises(ConfigError, match="the credentials hold a value that JSON has no form for"):
        shim.bootstrap("install", component, credentials=value, ocm_config="None")


def test_a_path_is_a_repository_and_no_component(shim: Shim, repository: str) -> None:
    outputs = shim.bootstrap(
        "install", APP, repository=Path(repository), parameters={"host": "x"}, ocm_config=Path("None")
    )
    assert outputs["action"] == b"install\n"
    component: Any = Path(f"{repository}//{APP}")
    with pytest.raises(ConfigError, match=r"the component PosixPath[^ ]* is no text"):
        shim.bootstrap("install", component, ocm_config="None")


def test_what_is_wrong_is_told_before_anything_runs(shim: Shim, repository: str) -> None:
    with pytest.raises(ConfigError, match="the parameters"):
        shim.bootstrap("install", f"{repository}//{APP}", parameters={"host": 5}, ocm_config="None")
    with pytest.raises(ComponentError, match="not there"):
        shim.bootstrap("install", f"{repository}//example.com/app:2.0.0", ocm_config="None")
    with pytest.raises(ComponentError, match=r"\{'platform': 'aws'\}|platform"):
        shim.bootstrap("install", f"{repository}//{APP}", package={"platform": "aws"}, ocm_config="None")
    assert not os.path.exists(os.path.join(shim.settings.root, "runs"))

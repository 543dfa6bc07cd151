"""The Python API, in the process of whoever embeds it: a broker, with threads."""

import json
import os
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager

import pytest

from leftovers import work_directory
from script_images import METADATA, ScriptImage
from tweed_shim import Shim, files
from tweed_shim.errors import ConfigError, ContractError, OperationFailed, StateError, TimedOut
from tweed_shim.image import store
from tweed_shim.runtime.container import Console
from tweed_shim.tweed.backend import Backend, Options

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="the images are made by root's fixtures")

SCRIPT = f"""
case $1 in
    metadata) {METADATA}; printf 'inputs: {{greeting: {{type: string}}}}\\n' ;;
    configure) cat > "$OUT_CONFIG/config" ;;
    check) grep -q hello "$IN_CONFIG/config" ;;
    setup) echo made > "$OUT_CONFIG/made"; printf 'USER: "0123"\\nTLS: yes\\n' ;;
    teardown) cat "$IN_CONFIG/made" ;;
esac
"""


@pytest.fixture
def shim() -> Iterator[Shim]:
    with work_directory() as directory:
        yield Shim(os.path.join(directory, "store"))


@pytest.fixture
def backend(shim: Shim, script_image: ScriptImage) -> Backend:
    return shim.backend(script_image(SCRIPT), cloud="prod")


def test_a_whole_interaction(shim: Shim, backend: Backend) -> None:
    assert backend.metadata()["backend"] == "tweed/v1"
    backend.configure({"greeting": "hello"})
    backend.check()
    with backend.setup("shop") as environment:
        assert dict(environment) == {"USER": "0123", "TLS": "yes"}
        assert [cloud.interactions for cloud in shim.clouds()] == [("shop",)]
    assert [cloud.interactions for cloud in shim.clouds()] == [()]
    shim.remove_cloud("prod")
    assert shim.clouds() == []


def test_an_image_that_is_removed_when_it_has_just_been_found_is_had_once_more(
    shim: Shim, backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    hold, found = store.hold, []

    def hold_late(image: store.Image) -> AbstractContextManager[None]:
        found.append(image)
        if len(found) == 1:
            shim.remove([image.reference])
            shim.gc()
            assert not os.path.exists(image.directory)
        return hold(image)

    monkeypatch.setattr(store, "hold", hold_late)
    assert backend.metadata()["name"] == "n"
    assert len(found) == 2


def test_an_end_by_a_forbidden_system_call_is_explained(shim: Shim, script_image: ScriptImage) -> None:
    backend = shim.backend(script_image("sh -c 'kill -SYS $$'; exit $?"))
    with pytest.raises(OperationFailed, match=r"SIGSYS, as by a 32-bit system call.*seccomp"):
        backend.metadata()


def test_a_cloud_is_as_durable_as_its_first_configuration(
    shim: Shim, backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    sync, synced = files.sync_directory, []

    def noted(path: str) -> None:
        synced.append(os.path.relpath(path, shim.settings.root))
        sync(path)

    monkeypatch.setattr(files, "sync_directory", noted)
    backend.configure({"greeting": "hello"})
    assert {"clouds", "clouds/prod", "clouds/prod/config"} <= {*synced}
    synced.clear()
    backend.configure({"greeting": "hello"})
    assert "clouds/prod/config" in synced


def test_an_exception_in_the_block_still_tears_down_and_goes_on(shim: Shim, backend: Backend) -> None:
    backend.configure({"greeting": "hello"})
    with pytest.raises(ZeroDivisionError), backend.setup():
        raise ZeroDivisionError
    assert [cloud.interactions for cloud in shim.clouds()] == [()]


def test_the_errors_tell_what_kind_of_thing_went_wrong(shim: Shim, script_image: ScriptImage) -> None:
    broken = shim.backend(
        script_image(f"case $1 in metadata) {METADATA};; check) exit 7;; setup) echo '- list';; esac"),
        options=Options(timeout=5),
    )
    with pytest.raises(StateError, match="not configured"):
        broken.check()
    broken.configure({})
    with pytest.raises(OperationFailed) as failed:
        broken.check()
    assert failed.value.exit_code == 7
    assert failed.value.run.isdigit()
    with pytest.raises(ContractError, match="map"):
        broken.setup()
    with pytest.raises(ConfigError, match="cannot name a cloud"):
        shim.backend("x", cloud="../up")


def test_a_cloud_is_given_over_with_replace_only(
    shim: Shim, backend: Backend, script_image: ScriptImage
) -> None:
    backend.configure({"greeting": "hello"})
    environment = backend.setup("shop")
    said: list[str] = []
    other = Shim(shim.settings.root, console=Console(warn=said.append)).backend(
        script_image(f"{SCRIPT}\n# another"), cloud="prod"
    )
    for refused in (other.check, other.setup, lambda: other.configure({}), lambda: other.teardown("shop")):
        with pytest.raises(StateError, match=r"by oci:.*-1, not by oci:.*-2; "):
            refused()
    assert said == []
    other.configure({"greeting": "hello"}, replace=True)
    other.check()
    assert [sentence for sentence in said if "(shop) stay set up" in sentence] == said
    with pytest.raises(StateError, match="not by"):
        backend.check()
    with environment:
        pass


def test_a_configuration_that_breaks_the_schema_is_refused(backend: Backend) -> None:
    with pytest.raises(ConfigError, match="greeting"):
        backend.configure({"greeting": 5})


def test_time_that_is_up(shim: Shim, script_image: ScriptImage) -> None:
    slow = script_image(f"case $1 in metadata) {METADATA};; configure) sleep 1000;; esac")
    assert shim.backend(slow).metadata()["name"] == "n"
    with pytest.raises(TimedOut):
        shim.backend(slow, options=Options(timeout=0.2)).configure({})


def test_one_backend_serves_several_threads(backend: Backend) -> None:
    backend.configure({"greeting": "hello"})
    seen: dict[str, dict[str, str]] = {}

    def work(name: str) -> None:
        with backend.setup(name) as environment:
            backend.check()
            seen[name] = dict(environment)

    threads = [threading.Thread(target=work, args=(f"thread-{number}",)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == {f"thread-{number}": {"USER": "0123", "TLS": "yes"} for number in range(4)}


def test_spec_describes_a_run_without_one(shim: Shim, backend: Backend) -> None:
    config = backend.spec("metadata")
    assert config["process"]["args"] == ["/entrypoint", "metadata"]
    assert {"type": "network"} in config["linux"]["namespaces"]
    json.dumps(config)
    assert not os.path.exists(os.path.join(shim.settings.root, "runs"))

"""The work for a component version grows with its size, and not with the square of its size."""

import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import CodeType

import pytest

from components import Local, component, make_archive
from packages import make_component_archive, package
from tweed_shim.cli.main import main
from tweed_shim.ocm import codec, identity, normalisation, signatures
from tweed_shim.ocm.descriptor import Source
from tweed_shim.ocm.repository import Addition
from tweed_shim.records import replace
from work import growth, lines

APP = "example.com/app:1.0.0"
SIZES = (20, 40)
# What is linear doubles, sorting takes a little more, and what is done for each pair takes four times as much.
MOST_GROWTH = 3


def application(count: int) -> Addition:
    """A component version with resources and sources of which each two can be told apart by their versions alone."""
    files = [Local(f"file{number // 2}", b"%d" % number, version=f"1.0.{number}") for number in range(count)]
    about = {"executors": [{"image": {"ref": "localhost/x"}}]}
    addition = component("example.com/app", "1.0.0", [package(about), *files])
    access = addition.descriptor.resources[1].access
    sources = [Source(each.name, each.version, type="git", access=access) for each in files]
    descriptor = replace(addition.descriptor, sources=tuple(sources))
    return Addition(descriptor, codec.encode(descriptor), addition.blobs)


def archive(directory: str, count: int) -> str:
    return f"{make_archive(f'{directory}/archive', application(count))}//{APP}"


def component_archive(directory: str, count: int) -> str:
    return f"{make_component_archive(f'{directory}/archive', application(count))}//{APP}"


def repository(directory: str, count: int) -> str:
    """An archive with many component versions, one of which references the others."""
    leaves = [component(f"example.com/leaf{number}") for number in range(count)]
    references = [f"example.com/leaf{number}:1.0.0" for number in range(count)]
    top = component("example.com/app", "1.0.0", references=references)
    return make_archive(f"{directory}/archive", *leaves, top)


COMMANDS: dict[str, tuple[Callable[[str, int], str], str]] = {
    "resources": (archive, "ocm resources SOURCE"),
    "resources of all that is referenced": (repository, f"ocm resources -r SOURCE//{APP}"),
    "transfer": (archive, "ocm transfer -V --copy-sources SOURCE TARGET"),
    "transfer of a component archive": (component_archive, "ocm transfer SOURCE TARGET"),
    "transfer of all that is referenced": (repository, f"ocm transfer -r SOURCE//{APP} TARGET"),
    "get": (repository, "ocm get SOURCE"),
    "download": (archive, "ocm download SOURCE file1 version=1.0.2 -O TARGET"),
    "describe": (archive, "toi describe SOURCE"),
}


def grown(small: Counter[CodeType], large: Counter[CodeType]) -> dict[str, float]:
    return {where: times for where, times in growth(small, large).items() if times > MOST_GROWTH}


@pytest.mark.parametrize("name", COMMANDS)
def test_the_work_of_a_command_grows_with_the_number_of_elements(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], name: str
) -> None:
    make, command = COMMANDS[name]
    codes: list[int] = []

    def prepared(count: int, place: str) -> Callable[[], None]:
        directory = os.fspath(tmp_path / place)
        os.mkdir(directory)
        source = make(directory, count)
        words = command.replace("SOURCE", source).replace("TARGET", f"{directory}/target").split()
        return lambda: codes.append(main([*words, "--ocmconfig", "None", "-q"]))

    # The first one imports, and fills what is cached.
    prepared(SIZES[0], "warm")()
    small, large = (lines(prepared(size, str(size))) for size in SIZES)
    assert (codes, capfd.readouterr().err) == ([0, 0, 0], "")
    assert grown(small, large) == {}


@pytest.mark.parametrize("algorithm", normalisation.ALGORITHMS)
def test_the_work_of_a_normal_form_grows_with_the_number_of_elements(algorithm: str) -> None:
    def work(count: int) -> Counter[CodeType]:
        about = application(count).descriptor
        return lines(lambda: signatures.digest_of(about, hash_algorithm="SHA-256", algorithm=algorithm))

    assert grown(*map(work, SIZES)) == {}


def test_the_work_of_a_reference_to_a_resource_grows_with_the_number_of_resources() -> None:
    def work(count: int) -> Counter[CodeType]:
        there = application(count).descriptor.resources
        wanted = {"name": there[-1].name, "version": there[-1].version}
        return lines(lambda: identity.resolve(there, wanted))

    assert grown(*map(work, (200, 400))) == {}

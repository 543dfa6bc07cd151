"""Images and clouds in use are not removed, and the message names their users and the command that ends the use."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from accounts import Account, in_turn
from installed import Shim, done, refusal
from script_images import METADATA, ScriptImage

# Setup and teardown of `slow` last until the end of the test.
BACKEND = f"""case $1 in
metadata) {METADATA} ;;
configure) cat > "$OUT_CONFIG/config" ;;
setup) grep -q slow "$IN_CONFIG/config" && {{ echo begun >&2; exec sleep 600; }}; echo "HOST: db.example" ;;
esac"""


@pytest.fixture
def account(request: pytest.FixtureRequest, accounts: dict[str, Account]) -> Account:
    """Who asks makes no difference: one account a test is enough."""
    return in_turn(accounts, request)


@contextmanager
def slow_setup(shim: Shim, image: str) -> Iterator[int]:
    """Have a setup of interaction `shop` of cloud `prod` go on for the length of a block; yields its process."""
    done(shim.run("exec", image, "configure", "--cloud", "prod", stdin=b'{"slow": true}'))
    with shim.start("exec", image, "setup", "--cloud", "prod", "--interaction", "shop") as process:
        try:
            assert process.stderr is not None
            while b"begun" not in (line := process.stderr.readline()):
                assert line, "the setup ended"
            yield process.pid
        finally:
            process.terminate()
            process.communicate()


@pytest.mark.parametrize(
    "words", [("rm", "prod"), ("forget", "prod"), ("forget", "prod", "shop")], ids=" ".join
)
def test_a_cloud_in_use_is_refused_at_once_with_the_run_that_uses_it(
    shim: Shim, script_image: ScriptImage, words: tuple[str, ...]
) -> None:
    with slow_setup(shim, script_image(BACKEND)) as process:
        message = refusal(shim.run("clouds", *words))
        [run] = [each for each in json.loads(shim.run("logs", "--json").out) if each["state"] == "running"]
    assert (
        f"is in use by run {run['run']} (setup of interaction 'shop', process {process}); run it again"
        in message
    )
    assert os.path.isdir(os.path.join(shim.root, "clouds", "prod"))


def test_an_operation_that_waits_for_another_names_its_run(shim: Shim, script_image: ScriptImage) -> None:
    image = script_image(BACKEND)
    with (
        slow_setup(shim, image) as process,
        shim.start("exec", image, "setup", "--cloud", "prod", "--interaction", "shop") as second,
    ):
        assert second.stderr is not None
        line = second.stderr.readline().decode()
        second.kill()
        second.communicate()
    assert "waiting for run " in line
    assert f"(setup of interaction 'shop', process {process}) on cloud 'prod' to end" in line


def test_lists_of_clouds_say_which_image_set_each_interaction_up(
    shim: Shim, script_image: ScriptImage
) -> None:
    image = script_image(BACKEND)
    done(shim.run("exec", image, "configure", "--cloud", "prod", stdin=b"{}"))
    done(shim.run("exec", image, "setup", "--cloud", "prod", "--interaction", "blog"))
    done(shim.run("exec", image, "setup", "--cloud", "prod", "--interaction", "shop"))
    other = script_image(BACKEND)
    done(shim.run("exec", other, "configure", "--replace", "--cloud", "prod", stdin=b"{}"))
    done(shim.run("exec", other, "configure", "--cloud", "empty", stdin=b"{}"))
    listed = {each["name"]: each for each in json.loads(done(shim.run("clouds", "--json")).out)}
    assert listed["empty"]["setups"] == []
    assert listed["prod"]["image"] == other
    assert listed["prod"]["interactions"] == ["blog", "shop"]
    digests = {each["reference"]: each["digest"] for each in json.loads(shim.run("images", "--json").out)}
    for each, name in zip(listed["prod"]["setups"], ("blog", "shop"), strict=True):
        assert (each["name"], each["image"], each["digest"]) == (name, image, digests[image])
        assert each["time"].endswith("Z")
    heading, *lines = done(shim.run("clouds")).out.decode().splitlines()
    assert " ".join(heading.split()) == (
        "CLOUD CONFIGURED FOR CONFIGURED INTERACTION SET UP BY SET UP FOR INSTANCE"
    )
    assert [line.split()[:5:2] for line in lines] == [
        ["empty", listed["empty"]["configured"], "-"],
        ["prod", listed["prod"]["configured"], image],
        ["prod", listed["prod"]["configured"], image],
    ]


def test_an_image_in_use_is_refused_with_each_of_its_users_and_the_command_that_ends_this(
    shim: Shim, script_image: ScriptImage
) -> None:
    image = script_image(BACKEND)
    for cloud in ("prod", "test"):
        done(shim.run("exec", image, "configure", "--cloud", cloud, stdin=b"{}"))
    for interaction in ("blog", "shop"):
        done(shim.run("exec", image, "setup", "--cloud", "prod", "--interaction", interaction))
    message = refusal(shim.run("rm", image))
    for who in ("interaction 'shop' of cloud 'prod'", "interaction 'blog' of cloud 'prod'", "cloud 'test'"):
        assert who in message
    commands = message.partition("remove that first: ")[2].split(" && ")
    assert len(commands) == 4
    for command in commands:
        program, *words = command.split()
        assert program == "tweed-shim"
        done(shim.run(*words))
    done(shim.run("rm", image))
    assert json.loads(shim.run("images", "--json").out) == []

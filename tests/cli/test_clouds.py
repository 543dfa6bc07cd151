"""`clouds forget` and `environment`: an interaction without its image, through the installed program and in Python."""

import json
import os
import shutil

import pytest

from accounts import Account, in_turn
from installed import Shim, done, fresh_shim, refusal
from script_images import METADATA, ScriptImage
from tweed_shim import Shim as Api
from tweed_shim.cli import environment_output
from tweed_shim.errors import StateError
from tweed_shim.runtime.console import Console
from tweed_shim.tweed import environment as environments

# Its backend is gone: no teardown can succeed.
LOST = f"""case $1 in
metadata) {METADATA} ;;
setup) echo "HOST: db.example"; echo 'PASSWORD: "a b"' ;;
teardown) echo "the backend does not answer" >&2; exit 1 ;;
esac"""


@pytest.fixture
def account(request: pytest.FixtureRequest, accounts: dict[str, Account]) -> Account:
    """Who asks makes no difference: one account a test is enough."""
    return in_turn(accounts, request)


def set_up(shim: Shim, image: str, *interactions: str) -> None:
    done(shim.run("exec", image, "configure", "--cloud", "prod", stdin=b"{}"))
    for interaction in interactions:
        done(shim.run("exec", image, "setup", "--cloud", "prod", "--interaction", interaction))


def interactions(shim: Shim) -> dict[str, list[str]]:
    return {each["name"]: each["interactions"] for each in json.loads(done(shim.run("clouds", "--json")).out)}


def lose(shim: Shim, image: str) -> None:
    """Remove an image, in the store and where it came from."""
    shutil.rmtree(image.removeprefix("oci:"))
    shutil.rmtree(os.path.join(shim.root, "rootfs"))


def test_an_interaction_that_no_teardown_can_remove_is_given_up(
    shim: Shim, script_image: ScriptImage
) -> None:
    image = script_image(LOST)
    set_up(shim, image, "shop", "blog")
    failed = shim.run("exec", image, "teardown", "--cloud", "prod", "--interaction", "shop")
    assert failed.code == 1
    assert "tweed-shim clouds forget prod shop" in failed.err.decode()
    lose(shim, image)
    given_up = done(shim.run("clouds", "forget", "prod", "shop"))
    assert given_up.out == b""
    [line] = given_up.err.decode().splitlines()
    assert f"interaction 'shop' of cloud 'prod' is given up: what {image}" in line
    assert "stays there" in line
    assert interactions(shim) == {"prod": ["blog"]}
    assert os.listdir(os.path.join(shim.root, "clouds", "prod", "interactions")) == ["blog"]
    assert "is not set up" in refusal(shim.run("clouds", "forget", "prod", "shop"))


def test_a_cloud_is_given_up_with_all_of_its_interactions(shim: Shim, script_image: ScriptImage) -> None:
    image = script_image(LOST)
    set_up(shim, image, "shop", "blog")
    assert "tweed-shim clouds forget prod" in refusal(shim.run("clouds", "rm", "prod"))
    lose(shim, image)
    output = done(shim.run("clouds", "forget", "prod")).err.decode()
    for what in ("interaction 'shop'", "interaction 'blog'", "the configuration of cloud 'prod'"):
        assert output.count(what) == 1
    assert interactions(shim) == {}
    assert os.listdir(os.path.join(shim.root, "clouds")) == []
    assert "there is no cloud 'prod'" in refusal(shim.run("clouds", "forget", "prod"))


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ((), 2),
        (("a", "b", "c"), 2),
        (("../prod",), 125),
        (("prod", "../../config"), 125),
        (("prod", "other"), 125),
    ],
)
def test_forget_refuses_an_unknown_cloud_or_interaction(
    shim: Shim, script_image: ScriptImage, arguments: tuple[str, ...], code: int
) -> None:
    set_up(shim, script_image(LOST), "shop")
    assert shim.run("clouds", "forget", *arguments).code == code
    assert interactions(shim) == {"prod": ["shop"]}


def test_an_interaction_whose_record_is_damaged_can_be_given_up(
    shim: Shim, script_image: ScriptImage
) -> None:
    set_up(shim, script_image(LOST), "shop")
    with open(os.path.join(shim.root, "clouds/prod/interactions/shop/current/record.json"), "wb"):
        pass
    where = ("--cloud", "prod", "--interaction", "shop")
    message = refusal(shim.run("environment", *where))
    assert "record.json is damaged (it is empty)" in message
    done(shim.run(*message.rpartition(": tweed-shim ")[2].split()))
    assert interactions(shim) == {"prod": []}


def test_an_environment_is_shown_again_without_its_image(shim: Shim, script_image: ScriptImage) -> None:
    image = script_image(LOST)
    set_up(shim, image)
    where = ("--cloud", "prod", "--interaction", "shop")
    first = done(shim.run("exec", image, "setup", *where)).out
    lose(shim, image)
    assert done(shim.run("environment", *where)).out == first
    # Those of GitHub print no variables (test_github_output.py).
    for kind in (each for each in environment_output.FORMATS if not each.startswith("github")):
        printed = done(shim.run("environment", *where, "--format", kind)).out.decode()
        assert printed == environments.render({"HOST": "db.example", "PASSWORD": "a b"}, kind)
    assert not os.path.exists(os.path.join(shim.root, "rootfs"))


def test_environment_refuses_an_interaction_that_is_not_set_up(shim: Shim, script_image: ScriptImage) -> None:
    assert "interaction 'default' of cloud 'default' is not set up" in refusal(shim.run("environment"))
    assert not os.path.exists(shim.root)
    set_up(shim, script_image(LOST), "shop")
    assert "is not set up" in refusal(shim.run("environment", "--cloud", "prod", "--interaction", "other"))
    assert shim.run("environment", "--format", "xml").code == 2


def test_environment_refuses_variables_that_steer_a_shell(shim: Shim, script_image: ScriptImage) -> None:
    image = script_image(f"case $1 in metadata) {METADATA} ;; setup) echo 'PATH: /evil' ;; esac")
    set_up(shim, image, "shop")
    where = ("--cloud", "prod", "--interaction", "shop", "--format", "shell")
    command = refusal(shim.run("environment", *where)).partition("if you mean it: tweed-shim ")[2].split()
    assert command == ["environment", *where, "--allow", "PATH"]
    assert done(shim.run(*command)).out == b"export PATH='/evil'\n"


def test_a_setup_whose_environment_is_refused_says_how_to_see_it(
    shim: Shim, script_image: ScriptImage
) -> None:
    image = script_image(f"case $1 in metadata) {METADATA} ;; setup) echo 'PATH: /evil' ;; esac")
    set_up(shim, image)
    line = refusal(shim.run("exec", image, "setup", "--cloud", "prod", "--format", "shell"))
    hint = line.partition("'tweed-shim environment ")[2].partition("'")[0].split()
    assert hint == ["--cloud", "prod", "--interaction", "default"]
    assert done(shim.run("environment", *hint)).out == b'PATH: "/evil"\n'


def test_the_formats_of_the_command_line_are_those_of_the_library() -> None:
    assert environment_output.FORMATS == environments.FORMATS


def test_the_api_gives_up_interactions_and_returns_environments(
    accounts: dict[str, Account], program: str, script_image: ScriptImage
) -> None:
    image, output = script_image(LOST), list[str]()
    with fresh_shim(accounts["root"], program) as fresh:
        api = Api(fresh.root, console=Console(warn=output.append))
        backend = api.backend(image)
        backend.configure({})
        environment = dict(backend.setup("shop"))
        assert dict(backend.environment("shop")) == api.environment(interaction="shop") == environment
        with pytest.raises(StateError, match="is not set up"):
            backend.environment("other")
        api.forget("default", "shop")
        assert [line.partition(":")[0] for line in output] == [
            "interaction 'shop' of cloud 'default' is given up"
        ]
        with pytest.raises(StateError, match="is not set up"):
            api.environment(interaction="shop")
        api.forget("default")
        assert api.clouds() == []

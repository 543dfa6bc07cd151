"""A local image that was moved: its clouds and interactions go on with the image in the store."""

import json
import os
import shutil
from pathlib import Path

import pytest

from accounts import Account, in_turn
from installed import Shim, done, refusal
from layouts import build_layout
from script_images import METADATA, ScriptImage

BACKEND = f"""case $1 in
metadata) {METADATA} ;;
configure) cat > "$OUT_CONFIG/config" ;;
check) echo checked "$(cat "$IN_CONFIG/config")" ;;
setup) echo made > "$OUT_CONFIG/made"; echo "HOST: db.example" ;;
teardown) echo "removed what was $(cat "$IN_CONFIG/made")" ;;
esac"""


@pytest.fixture
def account(request: pytest.FixtureRequest, accounts: dict[str, Account]) -> Account:
    """Who asks makes no difference: one account a test is enough."""
    return in_turn(accounts, request)


def test_a_moved_image_is_taken_from_the_store_for_what_it_made(
    shim: Shim, script_image: ScriptImage
) -> None:
    image = script_image(BACKEND)
    done(shim.run("exec", image, "configure", stdin=b"{}"))
    done(shim.run("exec", image, "setup"))
    digest = json.loads(shim.run("images", "--json").out)[0]["digest"]
    path = image.removeprefix("oci:")
    os.rename(path, f"{path}-moved")
    for words, out in (
        (("check",), b"checked {}\n"),
        (("setup", "--interaction", "more"), b'HOST: "db.example"\n'),
        (("teardown",), b"removed what was made\n"),
        (("teardown", "--interaction", "more"), b"removed what was made\n"),
    ):
        result = done(shim.run("exec", image, *words))
        assert result.out == out
        [line] = result.err.decode().splitlines()
        assert f"there is no {path} any more: using {digest}" in line
    assert f"{path} does not exist" in refusal(shim.run("exec", image, "metadata"))


def test_the_image_that_set_it_up_is_taken_and_not_a_newer_one_of_that_path(
    shim: Shim, script_image: ScriptImage
) -> None:
    image = script_image(BACKEND)
    path = image.removeprefix("oci:")
    done(shim.run("exec", image, "configure", stdin=b"{}"))
    done(shim.run("exec", image, "setup"))
    shutil.rmtree(path)
    build_layout(path, files={"entrypoint": "#!/bin/sh\necho newer\n"}, compression="none")
    done(shim.run("pull", image))
    shutil.rmtree(path)
    assert done(shim.run("exec", image, "teardown")).out == b"removed what was made\n"


def test_an_unknown_path_is_not_taken_for_a_moved_image(shim: Shim, script_image: ScriptImage) -> None:
    image = script_image(BACKEND)
    done(shim.run("exec", image, "configure", stdin=b"{}"))
    done(shim.run("exec", image, "setup"))
    for operation in ("check", "teardown"):
        message = refusal(shim.run("exec", f"{image}-mistyped", operation))
        assert f"{image.removeprefix('oci:')}-mistyped does not exist" in message


def test_an_error_of_a_local_image_names_the_copy_in_the_store(shim: Shim, script_image: ScriptImage) -> None:
    image = script_image(BACKEND)
    done(shim.run("pull", image))
    Path(image.removeprefix("oci:"), "index.json").write_text("{")
    message = refusal(shim.run("exec", image, "metadata"))
    assert message.endswith("; or use the image as it is in the store: --pull never")
    assert b"backend" in done(shim.run("exec", image, "metadata", "--pull", "never")).out


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (("setup",), "cloud 'nosuch' is not configured"),
        (("check",), "cloud 'nosuch' is not configured"),
        (("teardown",), "is not set up: there is no cloud 'nosuch'"),
    ],
)
def test_missing_state_is_reported_before_a_missing_image(
    shim: Shim, words: tuple[str, ...], part: str
) -> None:
    # A registry of this name cannot be asked, so that an attempt would be another error.
    message = refusal(shim.run("exec", "nosuch.invalid/backend:1", *words, "--cloud", "nosuch"))
    assert part in message
    assert not os.path.exists(os.path.join(shim.root, "images"))

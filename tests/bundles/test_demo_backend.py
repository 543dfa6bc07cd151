"""The sample image that needs no server, through the installed program, as each kind of caller."""

import json

import yaml

from installed import Result, Shim

CONFIGURATION = {"greeting": 'It\'s "quoted"\n\ttwice: é', "volume": 11}


def run(shim: Shim, image: str, operation: str, *options: str, stdin: bytes | None = None) -> Result:
    return shim.run("exec", f"oci:{image}", operation, *options, stdin=stdin)


def configured(shim: Shim, image: str) -> None:
    done = run(shim, image, "configure", "--config", "-", stdin=json.dumps(CONFIGURATION).encode())
    assert done.code == 0, done


def test_metadata_says_what_the_image_is(shim: Shim, demo_image: str) -> None:
    done = run(shim, demo_image, "metadata")
    assert done.code == 0, done
    metadata = yaml.safe_load(done.out)
    assert (metadata["backend"], metadata["name"], metadata["version"]) == ("tweed/v1", "Demo", "1.0.0")
    assert set(metadata["inputs"]) == {"greeting", "volume"}


def test_one_interaction_from_configure_to_teardown(shim: Shim, demo_image: str) -> None:
    configured(shim, demo_image)
    checked = run(shim, demo_image, "check")
    assert (checked.code, checked.out) == (0, b"demo-backend: The configuration is there.\n")
    ready = run(shim, demo_image, "setup")
    assert ready.code == 0, ready
    environment = yaml.safe_load(ready.out)
    assert set(environment) == {"DEMO_USERNAME", "DEMO_TOKEN", "DEMO_CONFIG", "DEMO_USER_FILE"}
    assert len(environment["DEMO_TOKEN"]) == 32
    assert json.loads(environment["DEMO_CONFIG"]) == CONFIGURATION
    done = run(shim, demo_image, "teardown")
    assert done.code == 0, done
    assert environment["DEMO_USERNAME"].encode() in done.out


def test_two_interactions_have_nothing_in_common(shim: Shim, demo_image: str) -> None:
    configured(shim, demo_image)
    outputs = [run(shim, demo_image, "setup", "--interaction", name).out for name in ("one", "two")]
    one, two = map(yaml.safe_load, outputs)
    assert one["DEMO_USERNAME"] != two["DEMO_USERNAME"]
    assert one["DEMO_TOKEN"] != two["DEMO_TOKEN"]


def test_a_configuration_that_breaks_the_schema_never_reaches_the_image(shim: Shim, demo_image: str) -> None:
    done = run(shim, demo_image, "configure", "--config", "-", stdin=b'{"volume": 12}')
    assert done.code == 125
    assert b"demo-backend" not in done.out
    assert b"volume" in done.err

"""The sample pattern that needs no server, with its backend, through the installed program."""

import json

import pytest
import yaml

from accounts import AS_ONE_USER
from installed import Result, Shim, done


def run(shim: Shim, image: str, operation: str, *options: str, stdin: bytes | None = None) -> Result:
    return shim.run("exec", f"oci:{image}", operation, *options, stdin=stdin)


@pytest.fixture
def cloud(shim: Shim, demo_image: str) -> str:
    """The name of a cloud of the demo backend."""
    done(run(shim, demo_image, "configure", "--cloud", "prod", stdin=b'{"greeting": "hello"}'))
    return "prod"


def provisioned(shim: Shim, image: str, cloud: str) -> None:
    inputs = json.dumps({"database": "shop", "connections": 5}).encode()
    done(run(shim, image, "provision", "--cloud", cloud, "--instance", "shop", "--inputs", "-", stdin=inputs))


@AS_ONE_USER
def test_metadata_says_what_the_image_is(shim: Shim, demo_pattern: str) -> None:
    metadata = yaml.safe_load(done(run(shim, demo_pattern, "metadata")).out)
    assert (metadata["pattern"], metadata["name"], metadata["version"]) == ("tweed/v1", "Demo", "1.0.0")
    assert set(metadata["inputs"]) == {"database", "connections"}
    assert [file["filename"] for file in metadata["files"]] == ["manifests/database.yml"]


def test_an_instance_from_provision_to_deprovision(shim: Shim, demo_pattern: str, cloud: str) -> None:
    provisioned(shim, demo_pattern, cloud)
    manifest = yaml.safe_load(done(shim.run("instances", "files", "shop", "manifests/database.yml")).out)
    assert (manifest["database"], manifest["connections"]) == ("shop", 5)
    # This stands in a file that setup wrote for its own user, who is not the pattern's.
    assert manifest["deployed-by"].startswith("demo-")
    assert json.loads(done(shim.run("clouds", "--json")).out)[0]["interactions"] == []
    bound = done(run(shim, demo_pattern, "bind", "--instance", "shop", "--binding", "web"))
    credentials = yaml.safe_load(bound.out)
    assert set(credentials) == {"database", "username", "password", "port"}
    assert (credentials["database"], credentials["port"]) == ("shop", 5432)
    again = done(shim.run("instances", "credentials", "shop", "web", "--format", "json"))
    assert json.loads(again.out) == credentials
    ended = done(run(shim, demo_pattern, "unbind", "--instance", "shop", "--binding", "web"))
    assert f"Deleted the user {credentials['username']}.".encode() in ended.out
    gone = done(run(shim, demo_pattern, "deprovision", "--instance", "shop"))
    assert b"demo-pattern: Deleted the database shop.\n" in gone.out
    assert json.loads(done(shim.run("instances", "--json")).out) == []


@AS_ONE_USER
def test_two_bindings_have_nothing_in_common(shim: Shim, demo_pattern: str, cloud: str) -> None:
    provisioned(shim, demo_pattern, cloud)
    one, two = (
        yaml.safe_load(done(run(shim, demo_pattern, "bind", "--instance", "shop", "--binding", name)).out)
        for name in ("one", "two")
    )
    assert one["username"] != two["username"]
    assert one["password"] != two["password"]
    done(run(shim, demo_pattern, "deprovision", "--instance", "shop"))


@AS_ONE_USER
def test_inputs_that_break_the_schema_never_reach_the_image(
    shim: Shim, demo_pattern: str, cloud: str
) -> None:
    refused = run(
        shim, demo_pattern, "provision", "--cloud", cloud, "--instance", "shop", "--inputs", "-",
        stdin=b'{"database": "Shop", "connections": 0}',
    )  # fmt: skip
    assert (refused.code, refused.out) == (125, b"")
    assert b"database" in refused.err
    assert b"connections" in refused.err
    assert json.loads(done(shim.run("instances", "--json")).out) == []


@AS_ONE_USER
def test_without_a_backend_the_image_says_that_it_needs_one(shim: Shim, demo_pattern: str) -> None:
    failed = run(shim, demo_pattern, "provision", "--no-backend", "--instance", "shop")
    assert failed.code == 1
    assert b"demo-pattern: There is no cloud of demo-backend; provision needs one.\n" in failed.out
    done(run(shim, demo_pattern, "deprovision", "--instance", "shop"))

"""The PostgreSQL pattern image with its backend against a real PostgreSQL, through the installed program."""

import json
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import pytest
import yaml

from accounts import Account
from installed import Result, Shim, done, fresh_shim
from postgres_servers import ADMINISTRATOR, PASSWORD, PostgresError, PostgresServer, psql


class Instances(NamedTuple):
    """The instances of one pattern image in one cloud; the names of what they make begin with `prefix`."""

    shim: Shim
    backend: str
    image: str
    server: PostgresServer
    prefix: str

    def configure(self, **more: str) -> None:
        configuration = {
            "host": self.server.host,
            "port": self.server.port,
            "username": ADMINISTRATOR,
            "password": PASSWORD,
            "prefix": self.prefix,
            **more,
        }
        options = ("--cloud", self.prefix, "--replace", "--config", "-")
        document = json.dumps(configuration).encode()
        done(self.shim.run("exec", f"oci:{self.backend}", "configure", *options, stdin=document))

    def run(self, operation: str, *options: str, stdin: bytes | None = None) -> Result:
        return self.shim.run(
            "exec", f"oci:{self.image}", operation, "--instance", self.prefix, *options, stdin=stdin
        )

    def provision(self, **inputs: Any) -> Result:
        document = json.dumps(inputs).encode()
        return self.run("provision", "--cloud", self.prefix, "--inputs", "-", stdin=document)

    def bind(self, binding: str) -> dict[str, str]:
        result = done(self.run("bind", "--binding", binding, "--format", "json"))
        credentials: dict[str, str] = json.loads(result.out)
        assert credentials["PGPASSWORD"].encode() not in result.err
        return credentials

    def left(self) -> set[str]:
        """What the server has of it beside the lasting owner, which the backend never drops."""
        made = self.server.roles() | self.server.databases()
        return {name for name in made if name.startswith(self.prefix)} - {f"{self.prefix}_owner"}

    def credstore(self) -> dict[str, str]:
        directory = Path(self.shim.root, "instances", self.prefix, "credstore")
        return {path.name: path.read_text() for path in directory.iterdir()}

    def owner(self) -> str:
        return self.credstore()["owner"]


@pytest.fixture(scope="module", params=["root", "range"])
def each_shim(request: pytest.FixtureRequest, accounts: dict[str, Account], program: str) -> Iterator[Shim]:
    """One store of root's, and one of a user with subordinate ids: backend and pattern run as different users."""
    with fresh_shim(accounts[request.param], program) as fresh:
        yield fresh


# For what is the same for every kind of user.
AS_ONE_USER = pytest.mark.parametrize("each_shim", ["range"], indirect=True)


@pytest.fixture
def instances(
    each_shim: Shim,
    postgres_image: str,
    postgres_pattern: str,
    postgres_server: PostgresServer,
    request: pytest.FixtureRequest,
) -> Iterator[Instances]:
    """One instance that can be provisioned; at the end, neither the server nor the store may have anything of it."""
    prefix = f"p{zlib.crc32(request.node.name.encode())}"
    made = Instances(each_shim, postgres_image, postgres_pattern, postgres_server, prefix)
    made.configure()
    yield made
    done(made.run("deprovision"))
    assert made.left() == set()
    listed = json.loads(done(each_shim.run("instances", "--json")).out)
    assert prefix not in json.dumps(listed)


def test_bindings_share_a_database_that_nobody_else_can_use(instances: Instances) -> None:
    done(
        instances.provision(database=f"{instances.prefix}_shop", extensions=["pgcrypto"], connection_limit=9)
    )
    one, two = instances.bind("one"), instances.bind("two")
    assert one["PGDATABASE"] == f"{instances.prefix}_shop"
    assert one["PGUSER"] != two["PGUSER"]
    psql(one, "CREATE TABLE goods AS SELECT encode(digest('x', 'md5'), 'hex') AS name;")
    assert psql(two, "SELECT length(name) FROM goods") == "32"
    limit = f"SELECT datconnlimit FROM pg_database WHERE datname = '{one['PGDATABASE']}'"
    assert instances.server.run(limit) == "9"
    instances.server.run(f"CREATE ROLE {instances.prefix}_stranger LOGIN PASSWORD 'x'")
    stranger = {**one, "PGUSER": f"{instances.prefix}_stranger", "PGPASSWORD": "x"}
    with pytest.raises(PostgresError, match="permission denied for database"):
        psql(stranger, "SELECT 1")
    instances.server.run(f"DROP ROLE {instances.prefix}_stranger")
    with pytest.raises(PostgresError, match="permission denied to create"):
        psql(one, "CREATE DATABASE other")
    with instances.server.session(one, "BEGIN; LOCK TABLE goods;"):
        done(instances.run("unbind", "--binding", "one"))
    with pytest.raises(PostgresError, match="password authentication failed"):
        psql(one, "SELECT 1")
    assert psql(two, "SELECT count(*) FROM goods") == "1"


@AS_ONE_USER
def test_what_a_binding_itself_owns_stays_with_the_instance(instances: Instances) -> None:
    done(instances.provision())
    binding = instances.bind("web")
    psql(binding, "SET ROLE NONE; CREATE TABLE kept AS SELECT 7 AS value;")
    done(instances.run("unbind", "--binding", "web"))
    assert (
        instances.server.run(
            "SELECT tableowner, value FROM pg_tables, kept WHERE tablename = 'kept'",
            database=binding["PGDATABASE"],
        )
        == f"{instances.owner()}\t7"
    )


@AS_ONE_USER
def test_files_and_bindings_tell_all_and_nothing_else_has_a_password(instances: Instances) -> None:
    done(instances.provision(extensions=["hstore"]))
    binding = instances.bind("web")
    url = urlsplit(binding["DATABASE_URL"])
    assert (url.scheme, url.hostname, str(url.port), url.username, url.password, url.path[1:]) == (
        "postgresql",
        *(binding[f"PG{name}"] for name in ("HOST", "PORT", "USER", "PASSWORD", "DATABASE")),
    )

    def content(name: str) -> str:
        return done(instances.shim.run("instances", "files", instances.prefix, name)).out.decode()

    schema = yaml.safe_load(content("schema.yaml"))
    assert schema["database"] == binding["PGDATABASE"]
    assert set(schema["extensions"]) == {"hstore", "plpgsql"}
    assert schema["owner"] in content("connection.md")
    log = Path(instances.server.log).read_text()
    assert binding["PGUSER"] in log
    for secret in (instances.credstore()["password"], binding["PGPASSWORD"]):
        assert secret not in log + content("connection.md") + content("schema.yaml")


@AS_ONE_USER
def test_a_provision_that_fails_makes_nothing_and_its_password_is_kept(instances: Instances) -> None:
    result = instances.provision(extensions=["pgcrypto", "nosuch"])
    assert b"it has no extension nosuch." in result.out, result
    assert instances.left() == set()
    assert set(instances.credstore()) == {"owner", "password", "database"}


@AS_ONE_USER
def test_a_database_of_somebody_else_is_left_alone(instances: Instances) -> None:
    taken = f"x{instances.prefix}"
    instances.server.run(f"CREATE DATABASE {taken}")
    result = instances.provision(database=taken)
    assert f'database "{taken}" already exists.'.encode() in result.out, result
    done(instances.run("deprovision"))
    assert taken in instances.server.databases()
    instances.server.run(f"DROP DATABASE {taken}")
    done(instances.provision())


@AS_ONE_USER
def test_unbind_follows_a_bind_that_failed_and_one_whose_role_is_gone(instances: Instances) -> None:
    done(instances.provision())
    owner, away = instances.owner(), f"{instances.prefix}_away"
    instances.server.run(f"ALTER ROLE {owner} RENAME TO {away}")
    failed = instances.run("bind", "--binding", "web")
    assert f'role "{owner}" does not exist.'.encode() in failed.err, failed
    instances.server.run(f"ALTER ROLE {away} RENAME TO {owner}")
    assert b"its bind has failed" in done(instances.run("unbind", "--binding", "web")).out
    role = instances.bind("web")["PGUSER"]
    instances.server.run(f"DROP ROLE {role}")
    assert b"gone already" in done(instances.run("unbind", "--binding", "web")).out


@AS_ONE_USER
def test_deprovision_finds_bindings_that_nobody_knows_and_a_renamed_database(instances: Instances) -> None:
    done(instances.provision())
    binding, owner = instances.bind("web"), instances.owner()
    lost = f"{owner}_0123456789abcdef"
    instances.server.run(f"CREATE ROLE {lost} LOGIN IN ROLE {owner} PASSWORD 'x'")
    instances.server.run(f"ALTER DATABASE {binding['PGDATABASE']} RENAME TO {instances.prefix}_renamed")
    with instances.server.session({**binding, "PGDATABASE": f"{instances.prefix}_renamed"}, "BEGIN;"):
        done(instances.run("deprovision"))
    assert instances.left() == set()
    # For the check at the end, which deprovisions.
    done(instances.provision())


@AS_ONE_USER
def test_the_authority_that_signed_the_servers_certificate_reaches_the_pattern(instances: Instances) -> None:
    authority = Path(instances.server.ca_file).read_text()
    instances.configure(sslmode="verify-full", sslrootcert=authority)
    done(instances.provision())
    assert instances.bind("web")["PGSSLMODE"] == "verify-full"
    another = Path(instances.server.ca_file).with_name("server.pem").read_text()
    instances.configure(sslmode="verify-full", sslrootcert=another)
    failed = instances.run("bind", "--binding", "other")
    assert b"certificate verify failed" in failed.err, failed
    instances.configure(sslmode="verify-full", sslrootcert=authority)

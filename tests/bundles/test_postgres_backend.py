"""The PostgreSQL backend image against a real PostgreSQL, through the installed program."""

import json
import socket
import stat
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from accounts import Account
from installed import Result, Shim, done, fresh_shim
from postgres_servers import ADMINISTRATOR, PASSWORD, SUPERUSER, PostgresError, PostgresServer, psql

Properties = str | int


def run(shim: Shim, image: str, operation: str, *options: str, stdin: bytes | None = None) -> Result:
    return shim.run("exec", f"oci:{image}", operation, "--network", "host", *options, stdin=stdin)


def configure(shim: Shim, image: str, cloud: str, **properties: Properties) -> None:
    document = json.dumps(properties).encode()
    done(run(shim, image, "configure", "--cloud", cloud, "--config", "-", stdin=document))


def access(server: PostgresServer, username: str = ADMINISTRATOR) -> dict[str, Properties]:
    return {"host": server.host, "port": server.port, "username": username, "password": PASSWORD}


def set_up(shim: Shim, image: str, cloud: str) -> dict[str, str]:
    """The environment of a new interaction, in the words of psql's own variables."""
    result = done(run(shim, image, "setup", "--cloud", cloud))
    environment: dict[str, str] = yaml.safe_load(result.out)
    assert environment["PGPASSWORD"].encode() not in result.err
    return environment


def client(environment: dict[str, str]) -> dict[str, str]:
    """Without the file, which lies where the container had it."""
    return {name: value for name, value in environment.items() if name != "PGPASSFILE"}


def at(port: int) -> str:
    return f"PostgreSQL at 127.0.0.1 port {port}"


@pytest.fixture(scope="module")
def one_shim(accounts: dict[str, Account], program: str) -> Iterator[Shim]:
    """One store of one user for all the tests that are the same for every caller."""
    with fresh_shim(accounts["range"], program) as fresh:
        yield fresh


@pytest.fixture
def cloud(
    one_shim: Shim,
    postgres_image: str,
    postgres_server: PostgresServer,
    request: pytest.FixtureRequest,
) -> str:
    """A cloud that is configured for the server, and named as the prefix of all that is made there."""
    name = f"t{zlib.crc32(request.node.name.encode())}"
    configure(one_shim, postgres_image, name, **access(postgres_server), prefix=name)
    return name


def test_what_an_interaction_makes_outlives_its_role(
    shim: Shim, postgres_image: str, postgres_server: PostgresServer
) -> None:
    prefix = shim.account.kind
    configure(shim, postgres_image, "prod", **access(postgres_server), prefix=prefix)
    checked = done(run(shim, postgres_image, "check", "--cloud", "prod"))
    assert b"answers, and lets us make roles and databases" in checked.out
    environment = set_up(shim, postgres_image, "prod")
    role, database = environment["PGUSER"], f"{prefix}_database"
    assert role.startswith(f"{prefix}_setup_")
    assert (environment["PGHOST"], environment["PGPORT"]) == (postgres_server.host, str(postgres_server.port))
    assert environment["POSTGRES_PREFIX"] == prefix
    psql(client(environment), f"CREATE DATABASE {database}; CREATE ROLE {prefix}_made;")
    done(run(shim, postgres_image, "teardown", "--cloud", "prod"))
    assert {name for name in postgres_server.roles() if name.startswith(prefix)} == {
        f"{prefix}_owner",
        f"{prefix}_made",
    }
    with pytest.raises(PostgresError, match="password authentication failed"):
        psql(client(environment), "SELECT 1")
    # The next interaction may change what the last one made, and may remove it.
    environment = set_up(shim, postgres_image, "prod")
    psql(
        client(environment),
        f"DROP DATABASE {database}; ALTER ROLE {prefix}_made LOGIN; DROP ROLE {prefix}_made;",
    )
    done(run(shim, postgres_image, "teardown", "--cloud", "prod"))


def test_teardown_ends_sessions_and_keeps_what_the_role_itself_owns(
    one_shim: Shim, postgres_image: str, postgres_server: PostgresServer, cloud: str
) -> None:
    environment = set_up(one_shim, postgres_image, cloud)
    role, database = environment["PGUSER"], f"{cloud}_database"
    psql(client(environment), f"CREATE DATABASE {database}")
    inside = {**client(environment), "PGDATABASE": database}
    psql(inside, "SET ROLE NONE; CREATE TABLE kept AS SELECT 7 AS value; GRANT SELECT ON kept TO PUBLIC;")
    owner = "SELECT tableowner FROM pg_tables WHERE tablename = 'kept'"
    assert postgres_server.run(owner, database=database) == role
    with postgres_server.session(inside, "SET ROLE NONE; BEGIN; LOCK TABLE kept;"):
        done(run(one_shim, postgres_image, "teardown", "--cloud", cloud))
    assert postgres_server.run(owner, database=database) == f"{cloud}_owner"
    assert role not in postgres_server.roles()
    assert postgres_server.run("SELECT value FROM kept", database=database) == "7"


def test_teardown_of_a_role_that_is_gone_succeeds(
    one_shim: Shim, postgres_image: str, postgres_server: PostgresServer, cloud: str
) -> None:
    role = set_up(one_shim, postgres_image, cloud)["PGUSER"]
    postgres_server.run(f"DROP ROLE {role}")
    result = done(run(one_shim, postgres_image, "teardown", "--cloud", cloud))
    assert b"gone already" in result.out


def test_the_password_is_in_a_file_of_libpq_and_in_no_log_of_the_server(
    one_shim: Shim, postgres_image: str, postgres_server: PostgresServer, cloud: str
) -> None:
    environment = set_up(one_shim, postgres_image, cloud)
    assert environment["PGPASSFILE"].startswith("/tweed/")
    [path] = Path(one_shim.root).rglob("pgpass")
    assert path.read_text() == f"*:*:*:{environment['PGUSER']}:{environment['PGPASSWORD']}\n"
    assert {stat.S_IMODE(each.stat().st_mode) for each in path.parent.iterdir()} == {0o600}
    assert environment["PGUSER"] in Path(postgres_server.log).read_text()
    assert environment["PGPASSWORD"] not in Path(postgres_server.log).read_text()
    done(run(one_shim, postgres_image, "teardown", "--cloud", cloud))


def test_a_setup_that_is_ended_drops_its_role_again(
    one_shim: Shim, postgres_image: str, postgres_server: PostgresServer, cloud: str
) -> None:
    # The lock that the first setup of a prefix takes.
    lock = f"SELECT pg_advisory_lock(hashtext('tweed {cloud}_owner')) IS NULL AS lock \\gset"
    waiting = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
    superuser = postgres_server.environment(SUPERUSER, PASSWORD)
    with postgres_server.session(superuser, lock):
        setup = one_shim.start(
            *("exec", f"oci:{postgres_image}", "setup", "--network", "host", "--cloud", cloud)
        )
        while postgres_server.run(waiting) == "0":
            assert setup.poll() is None
        setup.terminate()
    # The session is over, so the role is made; only then does the script come to its signal.
    _, said = setup.communicate(timeout=60)
    assert setup.returncode != 0
    assert {name for name in postgres_server.roles() if name.startswith(cloud)} <= {f"{cloud}_owner"}, said


def test_a_database_of_the_backends_own_is_opened_to_interactions(
    one_shim: Shim, postgres_image: str, postgres_server: PostgresServer
) -> None:
    own = {**access(postgres_server), "database": "own", "prefix": "own"}
    psql(postgres_server.environment(ADMINISTRATOR, PASSWORD), "CREATE DATABASE own")
    postgres_server.run("REVOKE ALL ON DATABASE own FROM PUBLIC")
    configure(one_shim, postgres_image, "own", **own)
    environment = set_up(one_shim, postgres_image, "own")
    assert psql(client(environment), "SELECT current_database(), current_user") == "own\town_owner"
    done(run(one_shim, postgres_image, "teardown", "--cloud", "own"))


@pytest.mark.parametrize("operation", ["check", "setup"])
def test_a_wrong_password_fails_and_is_not_repeated(
    one_shim: Shim, postgres_image: str, postgres_server: PostgresServer, operation: str
) -> None:
    before = postgres_server.roles()
    configure(one_shim, postgres_image, "wrong", **access(postgres_server) | {"password": "s3same 'open'"})
    result = run(one_shim, postgres_image, operation, "--cloud", "wrong")
    said = result.out + result.err
    assert (result.code, b"s3same" in said) == (1, False), result
    complaint = f'{at(postgres_server.port)}: password authentication failed for user "{ADMINISTRATOR}".\n'
    assert f"postgres-backend: {complaint}".encode() in said
    assert postgres_server.roles() == before


def test_a_role_that_may_not_make_databases_fails_the_check(
    one_shim: Shim, postgres_image: str, postgres_server: PostgresServer
) -> None:
    postgres_server.run(f"CREATE ROLE plain LOGIN CREATEROLE PASSWORD $x${PASSWORD}$x$")
    configure(one_shim, postgres_image, "plain", **access(postgres_server, "plain"))
    result = run(one_shim, postgres_image, "check", "--cloud", "plain")
    postgres_server.run("DROP ROLE plain")
    assert result.code == 1, result
    assert b"the role plain needs CREATEROLE and CREATEDB." in result.out


def test_a_superuser_is_taken_and_advised_against(
    one_shim: Shim, postgres_image: str, postgres_server: PostgresServer
) -> None:
    configure(one_shim, postgres_image, "super", **access(postgres_server, SUPERUSER), prefix="super")
    checked = done(run(one_shim, postgres_image, "check", "--cloud", "super"))
    assert b"The role postgres is a superuser, and patterns can read its password" in checked.out
    environment = set_up(one_shim, postgres_image, "super")
    assert psql(
        client(environment), "SELECT current_user, rolsuper FROM pg_roles WHERE rolname = current_user"
    ) == ("super_owner\tf")
    done(run(one_shim, postgres_image, "teardown", "--cloud", "super"))


def test_a_setup_that_fails_leaves_no_role(
    one_shim: Shim, postgres_image: str, postgres_server: PostgresServer, cloud: str
) -> None:
    postgres_server.run(f"CREATE ROLE {cloud}_owner LOGIN")
    before = postgres_server.roles()
    result = run(one_shim, postgres_image, "setup", "--cloud", cloud)
    assert (result.code, result.out) == (1, b""), result
    assert f"the role {cloud}_owner is somebody else's; configure another prefix." in result.err.decode()
    assert postgres_server.roles() == before
    postgres_server.run(f"DROP ROLE {cloud}_owner")


def test_a_server_that_is_not_there_is_named(one_shim: Shim, postgres_image: str) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        # Bound but not listening: connections are refused, and nobody else gets the port.
        port = probe.getsockname()[1]
        configure(one_shim, postgres_image, "nowhere", host="127.0.0.1", port=port)
        result = run(one_shim, postgres_image, "check", "--cloud", "nowhere")
    assert result.code == 1, result
    assert f"postgres-backend: {at(port)}: Connection refused.\n".encode() in result.out


@pytest.mark.parametrize(
    "properties",
    [{"port": 5432}, {"host": "a b"}, {"host": "h", "prefix": "Tweed"}, {"host": "h", "sslmode": "maybe"}],
)
def test_a_configuration_that_breaks_the_schema_is_refused(
    one_shim: Shim, postgres_image: str, properties: dict[str, Properties]
) -> None:
    document = json.dumps(properties).encode()
    result = run(one_shim, postgres_image, "configure", "--cloud", "bad", "--config", "-", stdin=document)
    assert result.code == 125, result


def test_metadata_names_the_inputs(one_shim: Shim, postgres_image: str) -> None:
    metadata = yaml.safe_load(done(one_shim.run("exec", f"oci:{postgres_image}", "metadata")).out)
    assert set(metadata["inputs"]["properties"]) == {
        *("host", "port", "database", "username", "password", "sslmode", "sslrootcert", "prefix"),
    }

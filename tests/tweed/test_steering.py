"""Variables that steer a shell: a format that is evaluated does not print them, unless they are allowed by name."""

import json
import os
import re
import shlex
import subprocess
from collections.abc import Iterator

import pytest

from accounts import AS_ONE_USER
from installed import PROJECT, Result, Shim, refusal
from script_images import METADATA, ScriptImage
from tweed_shim.errors import SteeringVariable
from tweed_shim.tweed import environment
from tweed_shim.tweed.environment import EVALUATED
from tweed_shim.tweed.steering import GROUPS, Group, steering, what_steers

# JSON is YAML: what is configured is what setup prints.
ECHO = f"""
case $1 in
    metadata) {METADATA} ;;
    configure) cat > "$OUT_CONFIG/config" ;;
    setup) cat "$IN_CONFIG/config" ;;
esac
"""
# These a shell sets itself, and a backend may well set them, too; no shell makes anything of their values.
HARMLESS = {"CPUTYPE", "HOST", "HOSTNAME", "LC_CTYPE", "LOGNAME", "TTY", "USER", "USERNAME", "VENDOR"}
# sudoers(5), "env_delete", of sudo 1.9, and ld.so's list of what it removes for programs that are set-user-ID.
SUDO_AND_GLIBC = """
    AUTHSTATE BASHOPTS BASH_ENV CDPATH DLC_ACE DYLD_INSERT_LIBRARIES ENV FPATH GCONV_PATH GETCONF_DIR GLIBC_TUNABLES
    GLOBIGNORE HOSTALIASES IFS JAVA_TOOL_OPTIONS KRB5_CONFIG KRB5_KTNAME LDR_PRELOAD LD_AUDIT LD_LIBRARY_PATH
    LD_PRELOAD LIBPATH LOCALDOMAIN LOCPATH MALLOC_TRACE NIS_PATH NLSPATH NULLCMD PATH_LOCALE PERL5DB PERL5LIB PERL5OPT
    PERLIO_DEBUG PERLLIB PS4 PYTHONHOME PYTHONINSPECT PYTHONPATH PYTHONUSERBASE READNULLCMD RESOLV_HOST_CONF
    RES_OPTIONS RUBYLIB RUBYOPT SHELLOPTS SHLIB_PATH TERMCAP TERMINFO TERMINFO_DIRS TERMPATH TMPDIR TMPPREFIX TZDIR
    USR_ACE VAR_ACE ZDOTDIR _RLD_LIST
"""
RUN_SOMETHING = """
    AWS_PAGER BASH_FUNC_ls BROWSER BUNDLE_GEMFILE CC CLASSPATH DBUS_SESSION_BUS_ADDRESS DOTNET_STARTUP_HOOKS EDITOR
    FZF_DEFAULT_OPTS GEM_HOME GIT_ASKPASS GIT_CONFIG_COUNT GIT_CONFIG_KEY_0 GIT_EXEC_PATH GIT_EXTERNAL_DIFF GIT_PAGER
    GIT_PROXY_COMMAND GIT_SSH GIT_SSH_COMMAND GOFLAGS HOME JDK_JAVA_OPTIONS JULIA_DEPOT_PATH KUBE_EDITOR LESSCLOSE
    LESSOPEN LUA_CPATH_5_4 LUA_INIT LUA_INIT_5_4 LUA_PATH MAKEFLAGS MANPAGER MAVEN_OPTS NODE_OPTIONS NODE_PATH
    NPM_CONFIG_PREFIX OPENSSL_CONF PAGER PATH PERL5OPT PHPRC PHP_INI_SCAN_DIR PIP_INDEX_URL PROMPT_COMMAND PS0 PS1
    PSQLRC PSQL_PAGER PYTHONBREAKPOINT PYTHONSTARTUP RSYNC_RSH RUSTC_WRAPPER R_PROFILE_USER SHELL SQLPATH SSH_ASKPASS
    SUDO_ASKPASS SUDO_EDITOR SVN_SSH SYSTEMD_PAGER TAR_OPTIONS VIMINIT VISUAL WGETRC XDG_CONFIG_HOME ZDOTDIR
    _JAVA_OPTIONS http_proxy
"""
FOR_SERVICES = """
    ACCOUNT AMQP_URL API_TOKEN AWS_ACCESS_KEY_ID AWS_REGION AWS_SECRET_ACCESS_KEY AWS_SESSION_TOKEN BUCKET
    CASSANDRA_HOSTS CA_CERT DATABASE_URL DB_PASSWORD DOCKER_HOST ENDPOINT GITHUB_TOKEN GOOGLE_APPLICATION_CREDENTIALS
    GOOGLE_CLOUD_PROJECT HOST HOSTNAME KAFKA_BROKERS KUBECONFIG LANG LC_ALL LOGNAME MAILGUN_API_KEY MAIL_HOST
    MINIO_ROOT_USER MONGODB_URI MYSQL_HOST MYSQL_PWD NATS_URL NODE_ENV NODE_NAME PASSWORD PGDATABASE PGHOST PGPASSFILE
    PGPASSWORD PGPORT PGSSLMODE PGUSER PORT RABBITMQ_URL REDISCLI_AUTH REDIS_HOST REDIS_URL RSYNC_PASSWORD S3_ENDPOINT
    SMTP_HOST TOKEN TZ URI URL USER USERNAME VAULT_ADDR VAULT_TOKEN VCAP_SERVICES
"""


def examples(group: Group) -> Iterator[str]:
    yield from sorted(group.names)
    yield from (f"{prefix}X" for prefix in group.prefixes)
    yield from (f"X_{suffix}" for suffix in group.suffixes)


ASSIGNMENTS = {"fish": "set -gx {} ", "github": "{}<<"}
EVERY_NAME = [name for group in GROUPS for name in examples(group)]


def test_the_documentation_has_the_table_of_the_code() -> None:
    with open(os.path.join(PROJECT, "docs", "environment.md"), encoding="utf-8") as file:
        rows = re.findall(r"^\| ([^|]*) \| (`[^|]*`) \| ([^|]*) \|$", file.read(), re.MULTILINE)
    assert rows == [
        (
            group.steers,
            " ".join(
                f"`{name}`"
                for name in (
                    *sorted(group.names),
                    *(f"{prefix}*" for prefix in group.prefixes),
                    *(f"*{suffix}" for suffix in group.suffixes),
                )
            ),
            group.how,
        )
        for group in GROUPS
    ]


def test_no_name_is_listed_twice() -> None:
    for group in GROUPS:
        others = [each for each in GROUPS if each is not group]
        for name in group.names:
            assert not name.startswith(group.prefixes), name
            assert not name.endswith(group.suffixes), name
            assert not any(name in other.names for other in others), name


@pytest.mark.parametrize("kind", sorted(EVALUATED))
def test_each_name_is_refused_by_the_formats_that_are_evaluated_and_printed_when_allowed(kind: str) -> None:
    # GitHub itself refuses this name (test_github_files.py).
    for name in {*EVERY_NAME} - ({"NODE_OPTIONS"} if kind == "github" else set()):
        variables = {"REDIS_URL": "redis://", name: "x"}
        with pytest.raises(SteeringVariable, match=rf"sets {name} .*allow=\['{name}'\] if you mean it"):
            environment.render(variables, kind)
        assert f"{ASSIGNMENTS.get(kind, '{}=').format(name)}" in environment.render(
            variables, kind, allow=[name]
        )


def test_the_formats_that_set_nothing_print_every_name() -> None:
    variables = dict.fromkeys(EVERY_NAME, "x")
    for kind in set(environment.FORMATS) - EVALUATED:
        printed = environment.render(variables, kind)
        assert all(name in printed for name in EVERY_NAME)


@pytest.mark.parametrize("kind", ["yaml", "json"])
def test_yaml_and_json_print_every_name(kind: str) -> None:
    variables = dict.fromkeys(EVERY_NAME, "x")
    assert environment.parse(environment.render(variables, kind).encode(), image="i") == variables


@pytest.mark.parametrize("names", [SUDO_AND_GLIBC, RUN_SOMETHING], ids=["sudo and glibc", "run something"])
def test_names_that_are_known_to_be_dangerous_are_in_the_list(names: str) -> None:
    assert [name for name in names.split() if what_steers(name) is None] == []


def test_the_usual_variables_of_backends_are_not_in_the_list() -> None:
    assert steering(FOR_SERVICES.split()) == {}


@pytest.mark.parametrize(
    "command",
    [
        ["bash", "--norc", "-c", "compgen -v"],
        ["bash", "--norc", "-i", "-c", "compgen -v"],
        ["bash", "--norc", "-c", "{ declare -rp; declare -ip; } | sed 's/^declare [^ ]* //; s/=.*//'"],
        ["dash", "-c", "set | sed -n 's/^\\([A-Za-z_]*\\)=.*/\\1/p'"],
        ["busybox", "sh", "-c", "set | sed -n 's/^\\([A-Za-z_]*\\)=.*/\\1/p'"],
        ["fish", "--no-config", "-c", "set --names"],
    ],
    ids=" ".join,
)
def test_what_a_shell_sets_itself_is_in_the_list(command: list[str]) -> None:
    done = subprocess.run(
        command, env={"PATH": "/usr/bin:/bin"}, stdin=subprocess.DEVNULL, capture_output=True, check=True
    )
    own = set(done.stdout.decode().split())
    assert len(own) > 3
    assert {name for name in own if what_steers(name) is None} <= HARMLESS


def test_a_message_names_a_few_of_many_and_no_value() -> None:
    variables = {f"LD_{number}": "hunter2" for number in range(1000)}
    with pytest.raises(SteeringVariable) as caught:
        environment.render(variables, "shell")
    message = str(caught.value)
    assert "LD_4 (steers the dynamic loader and the C library) and 995 more" in message
    assert "hunter2" not in message
    assert len(message) < 600


@pytest.fixture
def image(script_image: ScriptImage) -> str:
    return script_image(ECHO)


def configure(shim: Shim, image: str, **variables: str) -> None:
    done = shim.run("exec", image, "configure", stdin=json.dumps(variables).encode())
    assert done.code == 0, done


def interactions(shim: Shim) -> list[str]:
    found: list[str] = json.loads(shim.run("clouds", "--json").out)[0]["interactions"]
    return found


@AS_ONE_USER
@pytest.mark.parametrize("kind", sorted(EVALUATED - {"github"}))
@pytest.mark.parametrize("name", ["PATH", "UID", "LD_PRELOAD", "PYTHONSTARTUP", "GIT_SSH_COMMAND"])
def test_what_an_image_may_not_set_in_a_shell_is_not_printed_and_the_interaction_is_set_up(
    shim: Shim, image: str, kind: str, name: str
) -> None:
    configure(shim, image, REDIS_URL="redis://:hunter2@h", **{name: "hunter2"})
    message = refusal(shim.run("exec", image, "setup", "--interaction", "shop", "--format", kind))
    assert f"sets {name} (steers" in message
    assert "use --format yaml or json, or if you mean it: " in message
    assert "hunter2" not in message
    command = message.partition("if you mean it: tweed-shim ")[2].partition(";")[0]
    assert command == (f"environment --cloud default --interaction shop --format {kind} --allow {name}")
    printed = shim.run(*command.split())
    assert (printed.code, printed.err) == (0, b""), printed
    assert name in printed.out.decode()
    assert interactions(shim) == ["shop"]
    # The last part of the message is the command that undoes it.
    assert shim.run(*message.rpartition(": tweed-shim ")[2].split()).code == 0
    assert interactions(shim) == []
    done = shim.run("exec", image, "setup", "--format", "json")
    assert json.loads(done.out) == {"REDIS_URL": "redis://:hunter2@h", name: "hunter2"}


@AS_ONE_USER
def test_only_what_is_allowed_by_name_is_printed(shim: Shim, image: str) -> None:
    configure(shim, image, PATH="/opt/x", IFS=":")
    setup = ("exec", image, "setup", "--format", "shell", "--replace", "--allow", "PATH")
    message = refusal(shim.run(*setup))
    assert "sets IFS" in message
    assert "PATH" not in message
    done = shim.run(*setup, "--allow", "IFS")
    assert (done.code, done.out) == (0, b"export PATH='/opt/x'\nexport IFS=':'\n")


@AS_ONE_USER
@pytest.mark.parametrize("shell", ["bash", "dash"])
def test_a_real_shell_gets_what_is_allowed_to_the_letter_and_nothing_of_what_is_not(
    shim: Shim, image: str, shell: str
) -> None:
    value = "/opt/x:$(echo ran >&2)'; echo ran >&2; '\\"
    configure(shim, image, PATH=value)

    def in_shell(*options: str) -> Result:
        command = shim.command("exec", image, "setup", "--replace", "--format", "shell", *options)
        script = f'eval "$({shlex.join(command)} 2>/dev/null)"; printf %s "$PATH"'
        done = subprocess.run(
            [shell, "-c", script],
            env=shim.environment(),
            user=shim.account.uid,
            group=shim.account.gid,
            extra_groups=[],
            cwd=os.path.dirname(shim.root),
            capture_output=True,
            check=False,
        )
        return Result(done.returncode, done.stdout, done.stderr)

    assert in_shell() == (0, shim.environment()["PATH"].encode(), b"")
    assert in_shell("--allow", "PATH") == (0, value.encode(), b"")


def test_an_assignment_alone_can_run_a_command() -> None:
    """Why what shells set themselves is in the list."""
    hostile = {"OPTIND": "a[$(echo ran >&2)]"}
    text = environment.render(hostile, "shell", allow=["OPTIND"])
    done = subprocess.run(["bash", "-c", 'eval "$1"', "bash", text], capture_output=True, check=False)
    assert done.stderr == b"ran\n"
    with pytest.raises(SteeringVariable):
        environment.render(hostile, "shell")


@AS_ONE_USER
@pytest.mark.parametrize(
    ("operation", "options", "said"),
    [
        ("setup", ["--allow", "LD_*"], "'LD_*' is not the name of a variable"),
        ("setup", ["--allow", "PATH,IFS"], "'PATH,IFS' is not the name of a variable"),
        ("check", ["--allow", "PATH"], "--allow does not go with check; it goes with setup"),
    ],
)
def test_what_cannot_be_allowed_is_said_before_anything_is_run(
    shim: Shim, operation: str, options: list[str], said: str
) -> None:
    done = shim.run("exec", "oci:/not/there", operation, *options)
    assert (done.code, done.out) == (2, b"")
    assert said in done.err.decode()

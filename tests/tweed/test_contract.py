"""The contract's table, tested from inside the container by an image that reports what it sees."""

import json
from typing import Any

import pytest
import yaml

from installed import Result, Shim
from script_images import ScriptImage

# Writes a JSON report of what it sees to the stream that the operation leaves for diagnostics.
REPORT = r"""
kind() {
    if [ ! -e "$1" ]; then echo none; return; fi
    if ( : > "$1/.probe" ) 2>/dev/null; then rm "$1/.probe"; echo writable; else echo readonly; fi
}
text() { printf '"%s": "%s", ' "$1" "$2"; }
report() {
    printf '{'
    text args "$*"
    text HOME "${HOME-}"
    text IN_CONFIG "${IN_CONFIG-}"
    text OUT_CONFIG "${OUT_CONFIG-}"
    text home "$(kind "${HOME:-/x}")"
    text in "$(kind "${IN_CONFIG:-/x}")"
    text out "$(kind "${OUT_CONFIG:-/x}")"
    text cwd "$PWD"
    text home_entries "$(ls -A "$HOME")"
    text fds "$(ls /proc/self/fd | tr '\n' ' ')"
    text interfaces "$(ls /sys/class/net | tr '\n' ' ')"
    text tty "$([ -t 0 ] || [ -t 1 ] || [ -t 2 ] && echo yes || echo no)"
    printf '"count": %d, "pid": %d, "uid": %d, "gid": %d, "stdin_bytes": %d}\n' \
        $# $$ "$(id -u)" "$(id -g)" "$(wc -c)"
}
touch "$HOME/left"
rm "$HOME/left"
case $1 in
    metadata) report "$@" >&2; printf 'backend: tweed/v1\nname: Probe\nversion: "1"\n' ;;
    configure) report "$@"; echo kept > "$OUT_CONFIG/file" ;;
    setup) report "$@" >&2; cat "$IN_CONFIG/file" > "$OUT_CONFIG/from-config"; echo "A: b" ;;
    check) report "$@" ;;
    teardown) report "$@"; cat "$IN_CONFIG/from-config" >&2 ;;
esac
"""


@pytest.fixture
def probe(script_image: ScriptImage) -> str:
    return script_image(REPORT)


def call(shim: Shim, image: str, operation: str, *options: str, stdin: bytes | None = None) -> Result:
    done = shim.run("exec", image, operation, *options, stdin=stdin)
    assert done.code == 0, done
    return done


def seen(text: bytes) -> dict[str, Any]:
    line = next(line for line in text.splitlines() if line.startswith(b'{"args"'))
    report: dict[str, Any] = json.loads(line)
    return report


def test_every_operation_sees_what_the_contract_gives_it(shim: Shim, probe: str) -> None:
    stdin = b'{"a": 1}\n'
    reports = {
        "metadata": seen(call(shim, probe, "metadata").err),
        "configure": seen(call(shim, probe, "configure", stdin=b"a: 1").out),
        "check": seen(call(shim, probe, "check").out),
        "setup": seen(call(shim, probe, "setup").err),
        "teardown": seen(call(shim, probe, "teardown").out),
    }
    for operation, report in reports.items():
        assert (report["args"], report["count"], report["pid"]) == (operation, 1, 1)
        assert (report["uid"], report["gid"], report["cwd"]) == (0, 0, "/")
        assert report["HOME"].startswith("/tweed/")
        assert (report["home"], report["home_entries"]) == ("writable", "")
        assert report["fds"].split() == ["0", "1", "2", "3"], "3 is the directory that ls lists"
        assert report["tty"] == "no"
        assert report["stdin_bytes"] == (len(stdin) if operation == "configure" else 0)
    kinds = {operation: (report["in"], report["out"]) for operation, report in reports.items()}
    assert kinds == {
        "metadata": ("none", "none"),
        "configure": ("none", "writable"),
        "check": ("readonly", "none"),
        "setup": ("readonly", "writable"),
        "teardown": ("readonly", "none"),
    }
    for operation, report in reports.items():
        assert bool(report["IN_CONFIG"]) == (operation in ("check", "setup", "teardown"))
        assert bool(report["OUT_CONFIG"]) == (operation in ("configure", "setup"))
        for name in ("IN_CONFIG", "OUT_CONFIG"):
            assert report[name] == "" or report[name].startswith("/tweed/")


def test_metadata_has_no_network_and_the_others_have_the_hosts(shim: Shim, probe: str) -> None:
    assert seen(call(shim, probe, "metadata").err)["interfaces"].split() == ["lo"]
    shared = seen(call(shim, probe, "configure", stdin=b"{}").out)["interfaces"].split()
    with open("/proc/net/dev", encoding="ascii") as file:
        assert set(shared) == {line.split(":")[0].strip() for line in file.readlines()[2:]}
    assert seen(call(shim, probe, "check", "--network", "none").out)["interfaces"].split() == ["lo"]


def test_teardown_reads_what_the_setup_of_its_interaction_wrote(shim: Shim, probe: str) -> None:
    call(shim, probe, "configure", stdin=b"{}")
    call(shim, probe, "setup", "--interaction", "one")
    done = call(shim, probe, "teardown", "--interaction", "one")
    assert b"kept\n" in done.out


def test_what_the_contract_merges_arrives_in_order_on_stdout(shim: Shim, script_image: ScriptImage) -> None:
    image = script_image(
        'case $1 in metadata) printf "backend: tweed/v1\\nname: n\\nversion: v\\n"; exit;; esac\n'
        "i=0; while [ $i -lt 500 ]; do echo out $i; echo err $i >&2; i=$((i+1)); done"
    )
    done = call(shim, image, "configure", stdin=b"{}")
    expected = [f"{stream} {number}" for number in range(500) for stream in ("out", "err")]
    assert done.out.decode().splitlines() == expected
    assert b"err 1" not in done.err


def test_diagnostics_of_setup_leave_on_stderr_and_its_environment_on_stdout(shim: Shim, probe: str) -> None:
    call(shim, probe, "configure", stdin=b"{}")
    done = call(shim, probe, "setup")
    assert yaml.safe_load(done.out) == {"A": "b"}
    assert b'"args": "setup"' in done.err


def test_an_environment_that_is_written_to_stderr_can_be_read_from_there(
    shim: Shim, script_image: ScriptImage
) -> None:
    image = script_image(
        'case $1 in metadata) printf "backend: tweed/v1\\nname: n\\nversion: v\\n";;'
        " setup) echo progress; echo 'A: b' >&2;; esac"
    )
    call(shim, image, "configure", stdin=b"{}")
    done = call(shim, image, "setup", "--env-stream", "stderr", "--format", "json")
    assert json.loads(done.out[done.out.index(b"{") :]) == {"A": "b"}


def test_the_images_own_settings_are_honoured(shim: Shim, script_image: ScriptImage) -> None:
    image = script_image(
        'echo "$GREETING|$PWD|$(id -un)|$(id -u):$(id -g)|$(id -G)|$HOME" >&2; touch "$HOME/x" && echo home >&2\n'
        "printf 'backend: tweed/v1\\nname: n\\nversion: v\\n'",
        files={
            "etc/passwd": "root:x:0:0::/root:/bin/sh\napp:x:1234:1235::/home/app:/bin/sh\n",
            "etc/group": "root:x:0:\napp:x:1235:\nextra:x:77:app\n",
        },
        user="app",
        env=["GREETING=hello world", "HOME=/nowhere"],
        workdir="/var",
    )
    done = call(shim, image, "metadata")
    who = "root|0:0|0" if shim.account.kind == "single" else "app|1234:1235|1235 77"
    assert done.err.decode().splitlines()[-2:] == [f"hello world|/var|{who}|/tweed/home", "home"]


def test_a_named_user_can_write_its_output_directory(shim: Shim, script_image: ScriptImage) -> None:
    image = script_image(
        'case $1 in metadata) printf "backend: tweed/v1\\nname: n\\nversion: v\\n";;'
        ' configure) cat > "$OUT_CONFIG/c";; check) cat "$IN_CONFIG/c";; esac',
        user="1234:1235",
    )
    call(shim, image, "configure", stdin=b'{"k": "v"}')
    assert json.loads(call(shim, image, "check").out) == {"k": "v"}

"""An invalid option value is refused when the options are created, with the message of the command line."""

import copy
import inspect
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from refusals import refusal
from tweed_shim import Shim
from tweed_shim.base.records import Record, fields, replace
from tweed_shim.base.settings import Settings
from tweed_shim.cli.commands import parse_with
from tweed_shim.cli.parser import ArgparseParser
from tweed_shim.errors import ConfigError, ShimError, UsageError
from tweed_shim.http.connect_options import ConnectOptions
from tweed_shim.runner import RunOptions
from tweed_shim.runtime.console import Console
from tweed_shim.runtime.options import Limits
from tweed_shim.tweed.operation_runner import Options

NAN, INFINITE = float("nan"), float("inf")
# Of every kind that a caller may give by mistake.
VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, 1, -1, 3.0, 0.5, -0.0, NAN, INFINITE, -INFINITE, 10**400, -(10**400), 1j),
    *("", "no", "None", "bridge", "NET_RAW", "linux/arm64", "windows/amd64", "a\0b", b"host", b""),
    *((), [], {}, {"none"}, ("NET_RAW",), ["none"], [5], object(), print, Path("x"), Limits(), RunOptions()),
)


def is_one_of(*allowed: Any) -> Callable[[Any], bool]:
    return lambda value: any(type(value) is type(each) and value == each for each in allowed)


def is_path(value: Any) -> bool:
    return isinstance(value, Path) or (isinstance(value, str) and value != "" and "\0" not in value)


is_flag = is_one_of(True, False)
is_number = is_one_of(1, 3.0, 0.5)
is_count = is_one_of(1)
is_list_of_capabilities = is_one_of((), [], ("NET_RAW",))

# Which of the values a field may have.
ALLOWED: dict[type[Record], dict[str, Callable[[Any], bool]]] = {
    Limits: {
        "memory": lambda value: value is None or is_count(value),
        "cpus": lambda value: value is None or is_number(value),
        "pids": lambda value: value is None or is_count(value),
    },
    Settings: {
        "root": lambda value: value == "" or is_path(value),
        "runtime": is_path,
        "log_limit": is_count,
    },
    Console: {
        "stdout": is_one_of(None, 0, 1),
        "stderr": is_one_of(None, 0, 1),
        "catching": callable,
        "warn": callable,
        "info": callable,
        "report": lambda value: value is None or callable(value),
        "stdin": is_one_of(None, 0, 1),
    },
    ConnectOptions: {
        "insecure": is_flag,
        "ca_file": lambda value: value is None or is_path(value),
        "cert_file": lambda value: value is None or is_path(value),
        "key_file": lambda value: value is None or is_path(value),
        "timeout": lambda value: value is None or is_number(value),
    },
    Options: {
        "keep_limit": is_count,
        "pull": is_one_of(),
        "platform": is_one_of(None, "linux/arm64"),
        "insecure": is_flag,
        "ca_file": lambda value: value is None or is_path(value),
        "cert_file": lambda value: value is None or is_path(value),
        "key_file": lambda value: value is None or is_path(value),
        "pull_timeout": lambda value: value is None or is_number(value),
        "network": is_one_of(),
        "timeout": lambda value: value is None or is_number(value),
        "limits": is_one_of(Limits()),
        "read_only": is_flag,
        "scratch": lambda value: value is None or is_path(value),
        "cap_add": is_list_of_capabilities,
        "cap_drop": is_list_of_capabilities,
        "userns": is_one_of(None, True, False),
        "seccomp": is_path,
        "env_stream": is_one_of(),
        "keep": lambda value: value is None or is_path(value),
    },
}
USUAL: dict[type[Record], dict[str, Any]] = {Settings: {"root": "/r"}}


def test_every_field_that_a_caller_sets_has_a_check() -> None:
    for kind, allowed in ALLOWED.items():
        assert set(kind.FIELDS) == set(kind.CHECKS) == set(allowed)
    assert set(RunOptions.CHECKS) == set(RunOptions.FIELDS)


@pytest.mark.parametrize(("kind", "name"), [(kind, name) for kind in ALLOWED for name in ALLOWED[kind]])
def test_a_field_takes_no_value_that_it_cannot_have(kind: type[Record], name: str) -> None:
    for value in VALUES:
        values = {**USUAL.get(kind, {}), name: value}
        if ALLOWED[kind][name](value):
            kind(**values)
            continue
        with pytest.raises(ConfigError, match=f"^argument {name}: .*; |capability|platform"):
            kind(**values)
        with pytest.raises(ConfigError):
            replace(kind(**USUAL.get(kind, {})), **{name: value})


@given(
    st.sampled_from(Options.FIELDS),
    st.one_of(
        st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.binary(), st.lists(st.text())
    ),
)
def test_a_value_is_kept_as_it_is_or_refused(name: str, value: Any) -> None:
    made: list[Options] = []
    refused = refusal(lambda: made.append(Options(**{name: value})), ConfigError)
    if refused is not None:
        assert refused.startswith(f"argument {name}: ")
        return
    kept = fields(made[0])[name]
    if name in ("cap_add", "cap_drop"):
        assert isinstance(kept, tuple)
        assert all(each == "ALL" or each.startswith("CAP_") for each in kept)
    else:
        assert (type(kept), kept) == (type(value), value)


def test_what_is_accepted_has_the_form_that_the_rest_relies_on() -> None:
    options = Options(cap_add=["net_raw"], scratch=Path("/x"))  # type: ignore[arg-type]  # a list and a path will do
    assert (options.cap_add, options.scratch) == (("CAP_NET_RAW",), "/x")
    assert pickle.loads(pickle.dumps(options)) == copy.copy(options) == options


@pytest.mark.parametrize(
    ("option", "text", "build"),
    [
        ("--network", "bridge", lambda: Options(network="bridge")),
        ("--network", "", lambda: Options(network="")),
        ("--pull", "sometimes", lambda: Options(pull="sometimes")),
        ("--env-stream", "foo", lambda: Options(env_stream="foo")),
        ("--timeout", "-1", lambda: Options(timeout=-1.0)),
        ("--timeout", "nan", lambda: Options(timeout=NAN)),
        ("--timeout", "inf", lambda: Options(timeout=INFINITE)),
        ("--cpus", "0", lambda: Limits(cpus=0.0)),
        ("--pids", "0", lambda: Limits(pids=0)),
        ("--memory", "9999999999g", lambda: Limits(memory=9999999999 << 30)),
        ("--cap-add", "NET_RAT", lambda: Options(cap_add=("NET_RAT",))),
        ("--platform", "windows/amd64", lambda: Options(platform="windows/amd64")),
        ("--scratch", "", lambda: Options(scratch="")),
        ("--runtime", "", lambda: Settings("/r", "")),
    ],
)
def test_the_command_line_says_the_same(option: str, text: str, build: Callable[[], object]) -> None:
    with pytest.raises(ConfigError) as refused:
        build()
    name, sentence = str(refused.value).removeprefix("argument ").split(": ", 1)
    with pytest.raises(UsageError) as unread:
        parse_with(ArgparseParser, ["exec", "image", "check", f"{option}={text}"])
    assert option.replace("-", "_").endswith(name)
    if option in ("--timeout", "--cpus", "--pids"):
        # A number is shown as it was typed.
        value, _, rest = sentence.partition(" ")
        assert float(value) == float(text) or "nan" in (value, text)
        sentence = f"{text!r} {rest}"
    assert str(unread.value).startswith(f"argument {option}: {sentence}; see ")


# Whatever takes part in them by another way than a check is named in messages of its own.
CALLS: dict[str, tuple[str, ...]] = {
    "backend": ("image",),
    "bootstrap": ("action", "component"),
    "pull": ("image",),
    "remove": ("images",),
    "gc": (),
    "remove_cloud": ("name",),
}
ANYTHING = {"parameters", "credentials"}


def arguments() -> list[tuple[str, str]]:
    return [
        (call, name)
        for call in CALLS
        for name in inspect.signature(getattr(Shim, call)).parameters
        if name not in {"self", *ANYTHING}
    ]


@pytest.mark.parametrize(("call", "name"), arguments())
def test_an_argument_that_makes_no_sense_is_refused_before_anything_is_done(
    call: str, name: str, tmp_path: Path
) -> None:
    root = tmp_path / "store"
    for value in (object(), -5, b"x", NAN):
        usual = dict.fromkeys(CALLS[call], "oci:/nothing")
        given = {**usual, "ocm_config": "None"} if call == "bootstrap" else usual
        with pytest.raises(ShimError) as refused:
            getattr(Shim(root), call)(**{**given, name: value})
        assert refused.type.__name__ in ("ConfigError", "BadReference")
        assert not os.path.exists(root)


def test_a_text_alone_is_no_list_of_its_letters(tmp_path: Path) -> None:
    shim: Any = Shim(tmp_path / "store")
    with pytest.raises(ConfigError, match="argument images: 'redis' is no list"):
        shim.remove("redis")
    with pytest.raises(ConfigError, match="argument lookups: '/a' is no list"):
        shim.bootstrap("install", "x:1", lookups="/a", ocm_config="None")


def test_the_calls_of_a_backend_refuse_what_makes_no_sense(tmp_path: Path) -> None:
    backend: Any = Shim(tmp_path / "store").backend("oci:/nothing")
    calls: tuple[Callable[[], Any], ...] = (
        lambda: backend.configure([1]),
        lambda: backend.configure("text"),
        lambda: backend.configure({1: "x"}),
        lambda: backend.setup(replace="no"),
        lambda: backend.setup(5),
        lambda: backend.teardown(None),
        lambda: backend.spec("deploy"),
        lambda: backend.spec(["check"]),
    )
    for call in calls:
        with pytest.raises(ConfigError):
            call()
    with pytest.raises(ConfigError) as refused:
        backend.configure(["s3cret"])
    assert "s3cret" not in str(refused.value)
    assert not os.path.exists(tmp_path / "store")

"""What the lean half of ctypes calls answers as it does when the whole of it calls, and needs nothing of the whole."""

import ctypes
import errno
import os
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tweed_shim.lean import ctypes as lean

LIBRARIES = [lean.CDLL(None, use_errno=True), ctypes.CDLL(None, use_errno=True)]
SHIM = os.path.join(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))), "shim")


@given(st.integers(-(2**31), 2**31 - 1), st.binary(max_size=20).filter(lambda data: 0 not in data))
def test_numbers_and_texts_are_given_and_returned_as_by_the_whole(number: int, text: bytes) -> None:
    assert [library.toupper(number & 0x7F) for library in LIBRARIES] == [
        ctypes.CDLL(None).toupper(number & 0x7F)
    ] * 2
    assert [library.strlen(text) for library in LIBRARIES] == [len(text)] * 2
    assert LIBRARIES[0].atoi(str(number).encode()) == number


def test_long_numbers_are_given_whole() -> None:
    buffer = ctypes.create_string_buffer(64)
    length = LIBRARIES[0].snprintf(
        buffer, lean.c_ulong(64), b"%ld %lu", lean.c_long(-(2**40)), lean.c_ulong(2**63)
    )
    assert (length, buffer.value) == (34, b"-1099511627776 9223372036854775808")


@pytest.mark.parametrize("kind", ["", "tweed"])
def test_an_error_has_the_number_that_the_whole_sees(kind: str) -> None:
    numbers = []
    for library, get_errno in zip(LIBRARIES, (lean.get_errno, ctypes.get_errno), strict=True):
        assert library.mount(b"none", b"/there/is/no/such", kind.encode(), ctypes.c_ulong(0), b"") == -1
        numbers.append(get_errno())
    assert numbers[0] == numbers[1] != 0


def test_a_function_that_there_is_not_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError):
        _ = LIBRARIES[0].there_is_no_such_function


def test_the_kernel_is_asked_without_the_whole() -> None:
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); from tweed_shim.runtime import kernel\n"
        "try: kernel.set_mount_attributes('/there/is/no/such', 1)\n"
        "except OSError as error: print(error.errno)\n"
        "print(*({'ctypes', 'struct'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", code, SHIM], check=True, capture_output=True, text=True
    )
    number, loaded = done.stdout.split("\n")[:2]
    assert int(number) in (errno.ENOENT, errno.ENOSYS, errno.EPERM)
    assert loaded == ""

"""A child process that calls functions for this one, so that a signal or a time limit can end any of them.

The interpreter runs Python's signal handlers between two of its instructions. One call of C code can take hours without
such a moment: bcrypt with a high cost, the making of a large RSA key, a regular expression that backtracks. The caller
of a worker waits in poll(2) instead, which a signal interrupts at once.

A process with one thread forks, which takes about a millisecond. One with more starts a new interpreter, because a
forked copy of a process with several threads may wait for ever for a lock that another thread holds (man 2 fork).
Functions and arguments travel as pickles in both cases: functions are named by their modules.
"""

import os
import select
import sys
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from io import FileIO
from types import FrameType
from typing import Any, NoReturn, Self, TypeVar

from tweed_shim import interpreter
from tweed_shim.children import Child
from tweed_shim.errors import HostError, ShimError, TimedOut
from tweed_shim.lean import signal
from tweed_shim.runtime import kernel

GRACE = 1.0
"""Seconds between SIGTERM and SIGKILL for a worker that has to stop, so that the whole takes less than two."""

# More than documents and their results are nested, and less than the 8 MiB of a main thread's stack hold.
_DEEPEST_PICKLE = 5_000
_LENGTH_BYTES = 8
_PIECE = 64 << 10
_QUESTIONS, _ANSWERS = 3, 4
_SERVE = 'worker_process.serve_parent(settings["parent"])'

_T = TypeVar("_T")


class _Stopped(BaseException):
    """The parent asks the worker to stop what it does."""


class WorkerProcess:
    """A child process that calls functions, for the length of a `with` block. The first call starts it.

    seconds: how long all calls may take together; None for no limit. The child is gone at the end of the block, and
    when this process or the thread that made the first call ends, even by SIGKILL.
    """

    def __init__(self, *, seconds: float | None = None) -> None:
        self._seconds = seconds
        self._left = seconds
        # Set before anything is opened for it, so that a signal handler that raises leaves nothing without an owner.
        self._child: Child | None = None
        self._to = self._from = -1

    def __enter__(self) -> Self:
        """Return itself; nothing is started yet."""
        return self

    def __exit__(self, *_: object) -> None:
        """End the child."""
        self.end()

    def call(
        self,
        function: Callable[..., _T],
        *arguments: Any,
        what: str,
        cleanup: Callable[[], None] = lambda: None,
    ) -> _T:
        """Call a function of a module with arguments in the child, and return its result or raise its exception.

        what: names the work in errors. cleanup: called where the child has ended before it answered, to remove what it
        may have left. Raises TimedOut where the time of all calls is used up, HostError where the child dies.
        """
        import pickle

        question = pickle.dumps((function, arguments))
        begun = time.monotonic()
        done = False
        try:
            self._start()
            answer = self._ask(question, begun, what)
            done = True
        finally:
            if not done:
                self._stop()
                cleanup()
        if self._left is not None:
            self._left -= time.monotonic() - begun
        succeeded, result = pickle.loads(answer)  # noqa: S301 - the child is a process of this program
        if not succeeded:
            raise result
        returned: _T = result
        return returned

    def end(self) -> None:
        """End the child, if there is one; it has nothing to do between two calls."""
        child, self._child = self._child, None
        self._to = self._from = -1
        if child is not None:
            child.close()

    def _start(self) -> None:
        """Start the child, if that has not been done."""
        if self._child is not None:
            return
        self._child = Child()
        try:
            self._open(self._child)
        except BaseException:
            self.end()
            raise

    def _open(self, child: Child) -> None:
        """Make the pipes and the process."""
        questions, to = child.pipe()
        answers, theirs = child.pipe()
        self._to, self._from = to.fileno(), answers.fileno()
        if kernel.has_one_thread():
            _fork(child, (questions.fileno(), theirs.fileno()), (to, answers))
        else:
            _spawn(child, questions.fileno(), theirs.fileno())
        for end in (questions, theirs):
            end.close()

    def _ask(self, question: bytes, begun: float, what: str) -> bytes:
        deadline = None if self._left is None else begun + self._left
        with suppress(BrokenPipeError):
            _write(self._to, question)
        answer = bytearray()
        size: int | None = None
        while size is None or len(answer) < size:
            if not _is_readable(self._from, deadline):
                raise TimedOut(
                    f"{what} took longer than {self._seconds:g} second{'' if self._seconds == 1 else 's'} and was "
                    "ended; raise the timeout, or simplify it",
                    run="",
                )
            piece = os.read(self._from, _PIECE)
            if not piece:
                raise self._died(what)
            answer += piece
            if size is None and len(answer) >= _LENGTH_BYTES:
                size = _LENGTH_BYTES + int.from_bytes(answer[:_LENGTH_BYTES])
        return bytes(answer[_LENGTH_BYTES:])

    def _died(self, what: str) -> HostError:
        """Reap a child that has closed its pipe, and return what is known of its end."""
        code = None if self._child is None else self._child.wait()
        self.end()
        # A host program that takes all children away leaves nothing to wait for.
        if code == interpreter.NO_PACKAGE:
            return interpreter.no_package(f"the work on {what}")
        how = "" if code is None else f" by signal {-code}" if code < 0 else f" with exit code {code}"
        return HostError(
            f"the process that worked on {what} died{how}; see whether memory is short, and run it again"
        )

    def _stop(self) -> None:
        """Stop a child in the middle of a call: SIGTERM, and SIGKILL after GRACE seconds."""
        if self._child is None or self._from < 0:
            self.end()  # it has not been started
            return
        try:
            self._child.signal(signal.SIGTERM)
            _wait_until_closed(self._from, time.monotonic() + GRACE)
        finally:
            self.end()


def _is_readable(fd: int, deadline: float | None) -> bool:
    """Wait until a descriptor can be read; False where the deadline has passed."""
    waiting = select.poll()
    waiting.register(fd, select.POLLIN)
    left = None if deadline is None else max(0.0, deadline - time.monotonic()) * 1000
    return bool(waiting.poll(left))


def _wait_until_closed(fd: int, deadline: float) -> None:
    """Read until the other end is closed, or the deadline has passed."""
    while _is_readable(fd, deadline) and os.read(fd, _PIECE):
        pass


def _write(fd: int, message: bytes) -> None:
    """Write a message behind its length."""
    left = memoryview(len(message).to_bytes(_LENGTH_BYTES) + message)
    while left:
        left = left[os.write(fd, left) :]


def _fork(child: Child, ends: tuple[int, int], others: Iterable[FileIO]) -> None:
    """Fork; the child serves. ends: the descriptors that it reads and writes; others: those that it has to close."""
    parent = os.getpid()
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    try:
        # A handler of the parent's, which may raise, has no place in the child.
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        if child.fork():
            for each in others:
                each.close()
            _serve(*ends, parent=parent, mask=mask)
    finally:
        # Whatever comes, a copy of the program that embeds the shim does not go on here.
        if child.is_forked:
            os._exit(1)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def _spawn(child: Child, questions: int, answers: int) -> None:
    """Start a new interpreter as the child, which inherits descriptors 0, 1 and 2."""
    import json

    program = interpreter.find()
    settings = json.dumps({"path": interpreter.import_path(), "parent": os.getpid()})
    child.spawn(
        [program, "-I", "-c", interpreter.import_in_child("worker_process") + _SERVE, settings],
        interpreter.environment(os.environ),
        files={_QUESTIONS: questions, _ANSWERS: answers},
    )


def serve_parent(parent: int) -> NoReturn:
    """Be the new interpreter that `_spawn` starts; `parent` is the id of the process that did."""
    for fd in (_QUESTIONS, _ANSWERS):
        os.set_inheritable(fd, False)
    _serve(_QUESTIONS, _ANSWERS, parent=parent, mask=())


def _serve(questions: int, answers: int, *, parent: int, mask: Any) -> NoReturn:
    """Answer the questions of the parent until it closes the pipe."""
    code = 1
    try:
        kernel.die_with_parent()
        _set_handlers()
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        # The parent may have died before the kernel was asked to tell.
        if os.getppid() == parent:
            sys.setrecursionlimit(max(sys.getrecursionlimit(), _DEEPEST_PICKLE))
            while question := _read_question(questions):
                _write(answers, _answer(question))
            code = 0
    except (_Stopped, BrokenPipeError):
        # The signal may come between the start of a command and the moment in which something would end it.
        _kill_children()
    finally:
        # The parent's buffers and its handlers at exit are not the child's.
        os._exit(code)


def _set_handlers() -> None:
    """Stop at SIGTERM alone: the parent decides what the signals of a terminal mean."""
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGTERM, _raise_stopped)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    for number in (signal.SIGINT, signal.SIGHUP):
        # A handler, and not SIG_IGN: that would be inherited by the commands that the child runs.
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _do_nothing)


def _kill_children() -> None:
    own = f"PPid:\t{os.getpid()}\n"
    for name in filter(str.isdecimal, os.listdir("/proc")):
        # A process that is not ours may end meanwhile; a child of ours stays until it is waited for.
        with suppress(OSError):
            with open(f"/proc/{name}/status", encoding="utf-8", errors="replace") as file:
                is_child = own in file.read()
            if is_child:
                os.kill(int(name), signal.SIGKILL)


def _raise_stopped(_number: int, _frame: FrameType | None) -> NoReturn:
    raise _Stopped


def _do_nothing(_number: int, _frame: FrameType | None) -> None:
    pass


def _read_question(fd: int) -> bytes:
    """Return the next question, empty where there is none any more."""
    size = int.from_bytes(_read(fd, _LENGTH_BYTES))
    return _read(fd, size) if size else b""


def _read(fd: int, size: int) -> bytes:
    found = bytearray()
    while len(found) < size and (piece := os.read(fd, min(_PIECE, size - len(found)))):
        found += piece
    return bytes(found) if len(found) == size else b""


def _answer(question: bytes) -> bytes:
    """Call the function, and return the pickle of whether it succeeded with its result or its exception."""
    import pickle

    try:
        function, arguments = pickle.loads(question)  # noqa: S301 - of the parent, which is the same program
        return pickle.dumps((True, function(*arguments)))
    except RecursionError:
        return pickle.dumps((False, ShimError("the result is nested too deep to be handed over; flatten it")))
    except Exception as error:  # noqa: BLE001 - the parent raises it
        if not isinstance(error, ShimError):
            # A fault of this program: what is lost on the way is where it happened.
            import traceback

            error.add_note(traceback.format_exc())
        return pickle.dumps((False, error))

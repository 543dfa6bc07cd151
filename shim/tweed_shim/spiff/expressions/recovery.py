"""`catch` and `sync`: expressions that continue where another expression fails."""

from __future__ import annotations

import time

from tweed_shim.base.records import Record, replace
from tweed_shim.spiff.expressions import lambdas
from tweed_shim.spiff.expressions.environment import Environment, Evaluable
from tweed_shim.spiff.expressions.evaluation import pending
from tweed_shim.spiff.expressions.outcomes import NOTHING, Failure, Info, Outcome, fault_info, fault_issue
from tweed_shim.spiff.expressions.terms import integer_operand
from tweed_shim.spiff.tree.nodes import Lambda, Node, derived
from tweed_shim.spiff.tree.values import Fault, Value

SYNC_TIMEOUT = 300
"""How many seconds `sync` waits where the expression sets no limit."""

_PAUSE = 0.01


class Attempt(Record):
    """The result of evaluating an expression that may fail: a value or a fault."""

    value: Value
    info: Info
    fault: Fault | None = None

    @property
    def reason(self) -> str:
        """Why there is no value, or ""."""
        return self.fault.reason if self.fault else ""

    def described(self, source: str) -> dict[str, Node]:
        """Return a map with `valid`, `error` and, where there is one, `value`."""
        result = {"valid": derived(not self.fault, source), "error": derived(self.reason, source)}
        if not self.fault:
            result["value"] = derived(self.value, source)
        return result


def attempt(expression: Evaluable, env: Environment) -> Attempt:
    """Evaluate an expression that may fail."""
    try:
        value, info = expression.evaluate(env)
    except Fault as fault:
        return Attempt(None, fault_info(fault), fault)
    return Attempt(value, info)


class Catch(Evaluable):
    """`catch[a|v,e|->b]`, and `catch(a)` without a lambda."""

    deferred = True

    inner: Evaluable
    function: Evaluable | None = None

    def evaluate(self, env: Environment, *, locally: bool = False) -> Outcome:  # noqa: ARG002 - the operands tell
        """Return what the lambda makes of the value and the reason; without a lambda, both as a map."""
        function: Value = None
        if self.function is not None:
            function, info = self.function.evaluate(env)
            if pending(function):
                return self, info
            if not isinstance(function, Lambda):
                raise Failure("catch requires a lambda value")
            if len(function.parameters) > 2:
                raise Failure("catch function takes a maximum of 2 arguments")
        tried = attempt(self.inner, env)
        if pending(tried.value):
            return (self if tried.value is self.inner else replace(self, inner=tried.value)), tried.info
        if function is None:
            return tried.described(env.source), NOTHING
        arguments = [tried.value, tried.reason if tried.fault else None][: len(function.parameters)]
        if not arguments:
            raise Failure("lambda expression for sync condition must take one or two arguments, found 0")
        known, value, info = lambdas.call(function, arguments, env, inline=lambdas.is_inline(self.function))
        return (value if known else self), info

    def merges_directly(self) -> bool:
        """See Evaluable."""
        return self.inner.merges_directly()

    def __str__(self) -> str:
        """Return the text in the language."""
        if self.function is None:
            return f"catch({self.inner})"
        if isinstance(self.function, lambdas.LambdaExpression):
            return f"catch[{self.inner}{self.function.without_keyword()}]"
        return f"catch[{self.inner}|{self.function}]"


class Sync(Evaluable):
    """`sync[a|v,e|->condition,value|timeout]`: evaluated again until the condition holds or the time (seconds) is up.

    called: it was written `sync(a, condition, value, timeout)`, and condition and value see `valid`, `error`, `value`.
    """

    deferred = True

    inner: Evaluable
    condition: Evaluable
    value: Evaluable | None = None
    timeout: Evaluable | None = None
    called: bool = False
    # When it was tried first (monotonic seconds), and how often since. The number makes each try another expression, so
    # that the passes go on.
    began: float | None = None
    tries: int = 0

    def evaluate(self, env: Environment, *, locally: bool = False) -> Outcome:  # noqa: ARG002 - the operands tell
        """Return the value once the condition holds. Raises the fault of the last attempt when the time is up."""
        began = self.began if self.began is not None else time.monotonic()
        timeout: Value = SYNC_TIMEOUT
        if self.timeout is not None:
            timeout, info = integer_operand(self.timeout, env)
            if pending(timeout):
                return self, info
        tried = attempt(self.inner, env)
        if pending(tried.value):
            return self, tried.info
        holds, info = self._condition(tried, env)
        if pending(holds):
            return self, info
        if not isinstance(holds, bool):
            raise Failure("condition must evaluate to bool")
        if holds:
            return self._result(tried, env)
        if time.monotonic() < began + timeout:
            time.sleep(_PAUSE)
            return replace(self, began=began, tries=self.tries + 1), tried.info
        raise tried.fault or Failure("sync timeout reached")

    def _condition(self, tried: Attempt, env: Environment) -> Outcome:
        inside = env.with_bound(tried.described(env.source)) if self.called else env
        try:
            value, info = self.condition.evaluate(inside)
        except Fault as fault:
            raise Failure("condition evaluation failed)", nested=(fault_issue(fault),)) from None
        if isinstance(value, Lambda):
            return self._applied(value, self.condition, "condition", tried, env)
        if not self.called and not pending(value):
            raise Failure("sync condition must evaluate to a lambda value")
        return value, info

    def _result(self, tried: Attempt, env: Environment) -> Outcome:
        if self.value is None:
            if tried.fault:
                raise tried.fault
            return tried.value, tried.info
        try:
            value, info = self.value.evaluate(env.with_bound(tried.described(env.source)))
        except Fault as fault:
            raise Failure("value expression failed)", nested=(fault_issue(fault),)) from None
        if pending(value):
            return self, info
        if self.called:
            return value, info
        if not isinstance(value, Lambda):
            raise Failure("sync value expression must evaluate to lambda expression")
        return self._applied(value, self.value, "value", tried, env)

    def _applied(
        self, function: Lambda, written: Evaluable, what: str, tried: Attempt, env: Environment
    ) -> Outcome:
        count = len(function.parameters)
        if count not in (1, 2):
            raise Failure(f"lambda expression for sync {what} must take one or two arguments, found {count}")
        inline = lambdas.is_inline(written) and not self.called
        known, value, info = lambdas.call(function, [tried.value, tried.reason][:count], env, inline=inline)
        return (value if known else self), info

    def __str__(self) -> str:
        """Return the text in the language."""
        return f"sync({self.inner})"

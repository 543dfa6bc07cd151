"""The expressions of dynaml: each kind is a class that evaluates itself in an environment.

Text may not enter: expressions are built by the parser in `syntax`, which they reach through `environment.Engine`,
as they reach the passes in `flow`.
"""

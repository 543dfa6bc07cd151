"""The expressions of dynaml: each kind is a class that evaluates itself in an environment.

Parsing and the passes may not enter: expressions reach them, in `syntax` and `flow`, through `environment.Engine`.
"""

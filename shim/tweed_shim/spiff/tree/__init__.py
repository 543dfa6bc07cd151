"""The data of a merge: nodes and values, paths through them, YAML and JSON in and out.

Nothing here evaluates an expression: expressions, functions and the passes of a merge may not enter.
"""

"""The plain functions of dynaml: values in, a value out. `registry` says how they are declared and found.

Of spiff they know the tree only. A function that needs unevaluated arguments, names or stubs belongs to the expressions
(`expressions.special`).
"""

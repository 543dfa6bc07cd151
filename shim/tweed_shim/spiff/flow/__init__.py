"""The passes that turn a template into its result: maps, lists, stubs, control structures, until nothing changes.

Evaluating an expression is the business of `expressions`. Whole merges and their options belong above (`merging`).
"""

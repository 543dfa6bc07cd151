"""The passes that turn a template into its result: maps, lists, stubs, control structures, until nothing changes.

What a value is worth is the business of `expressions`. Whole merges, their options and files belong above (`merging`).
"""

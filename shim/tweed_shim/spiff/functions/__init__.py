"""The plain functions of dynaml: values in, a value out. `registry` says how they are declared and found."""

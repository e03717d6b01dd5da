"""Exact algebra by sympy. It runs in the sandbox, for nothing bounds the time and memory that it takes."""

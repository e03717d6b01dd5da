"""Runs inside the sandbox, where it is a package of its own: reads formulas and works them out with sympy.

Nothing is ever evaluated as code: sympy's own readers do that, so none of them is used.
"""

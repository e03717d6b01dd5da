"""`python -m tests.injection`: every attack as a turn of its own, and a table of what came of it."""

import sys

import pytest

sys.exit(pytest.main(["-q", "-p", "no:randomly", "-p", "no:xdist", "tests/injection", *sys.argv[1:]]))

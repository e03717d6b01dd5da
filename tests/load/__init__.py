"""The chat's stream under load: many sockets, slow readers, cut connections, stops.

`python -m tests.load` measures all of it on a platform of its own and prints the table; each module has a
`measure() -> list[Figure]`, and a short form of each is a test of the suite.
"""

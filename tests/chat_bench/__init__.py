"""What the chat costs in a browser, on a platform of its own: `python -m tests.chat_bench` prints the table.

Each module measures one thing: `measure(rig) -> list[Figure]`.
"""

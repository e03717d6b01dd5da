"""The inference worker: takes requests from the queue, runs the engine, answers in deltas.

`python -m inference.worker` is one process per GPU or CPU; any number of them share a model's queue.
"""

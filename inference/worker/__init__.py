"""The inference worker: takes requests from the queue, runs the engine, answers in deltas.

`python -m inference.worker` is one process per GPU or CPU; any number of them share a model's queue.
"""

# A worker ends with it when its model or a setting is at fault: starting it again would not help.
EXIT_BAD_SETTING = 2

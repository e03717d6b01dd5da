"""The internal queue between callers and inference workers.

`messages` are the words, `transport` the port; `redis_streams` carries them between processes,
`in_process` within one.
"""

"""The decoder on CUDA devices: Triton's kernels, captured steps, shards.

Where there is no such device the same code runs on the CPU in Triton's interpreter, for tests.
"""

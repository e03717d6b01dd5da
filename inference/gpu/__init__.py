"""The decoder on CUDA devices, for models with latent attention: Triton's kernels, captured steps, shards.

Where there is no such device the same code runs on the CPU in Triton's interpreter, for tests.
"""

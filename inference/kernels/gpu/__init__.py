"""Triton kernels for the K2 family on a CUDA device.

Each has its torch twin in `twins`, which defines what it computes and serves where it fails its self-test.
With TRITON_INTERPRET=1 set before the first import they run on the CPU, slowly: that proves indices, masks
and scales, but neither bf16's rounding nor races.
"""

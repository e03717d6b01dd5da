"""The native CPU path: a whole decoder step in C++, built on this machine at first run.

Weights stay 4 and 8 bits wide, activations are 8-bit in groups of 32, and a row's numbers depend on that row
alone: prompts and decoding, alone or in a batch, in any chunks, give the same tokens bit for bit.
"""

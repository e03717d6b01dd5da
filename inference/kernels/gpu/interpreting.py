"""Whether Triton interprets the kernels on the CPU; a constexpr that they branch on."""

import triton
import triton.language as tl

# The interpreter's products of bf16 are wrong (triton-lang/triton#11584): it multiplies in fp32.
INTERPRETED = tl.constexpr(triton.knobs.runtime.interpret)

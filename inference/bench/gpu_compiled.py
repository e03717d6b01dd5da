"""What Triton's compiler makes of each kernel for a chip, without one: registers, spills, shared memory.

Every configuration of the tuning table's default is compiled at the real shapes of Kimi K2. It proves that
the kernels compile and fit; how fast they are only a device can tell.
"""

import re
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from inference.kernels.gpu import attention, experts, grouped, latent, routing, rows, tuning

_TOKENS = (1, 8, 64, 256, 4096)
_POINTERS = {
    "*bf16": "keys values result x scales activated projected queries pool made shared_keys normed planes"
    " out",
    "*fp32": "logits bias weights weight route_weights shares added total hidden cosines sines gathered logs"
    " attended maxima sums",
    "*i32": "words order block_expert chosen lengths counts block_tables ids",
    "*i64": "slots",
}
_NUMBERS = {"eps": "fp32", "scale": "fp32", "scaling": "fp32"}
_TYPES = {name: kind for kind, names in _POINTERS.items() for name in names.split()}


@dataclass(frozen=True)
class Compiled:
    """One kernel for one chip. `spilled_bytes`: a thread's registers that went to memory;
    `matrix_instructions`: tensor core instructions in its code.
    """

    kernel: str
    constants: str
    num_registers: int
    spilled_bytes: int
    shared_bytes: int
    matrix_instructions: int
    wide_loads: int


def compile_all(*, capability: int = 90) -> list[Compiled]:
    """All kernels in all ways of the table. Raises what the compiler raises."""
    target = GPUTarget("cuda", capability, 32)
    return [_compile(kernel, constants, options, target) for kernel, constants, options in _cases()]


def _cases() -> list[tuple[Any, dict[str, Any], dict[str, int]]]:
    cases: list[tuple[Any, dict[str, Any], dict[str, int]]] = []
    for matrix in ("gate_up", "down"):
        for config in dict.fromkeys(tuning.experts("default", matrix, tokens) for tokens in _TOKENS):
            kernel = getattr(experts, f"_{matrix}_{config.way}")
            constants = {
                "ROWS": config.rows_per_block,
                "BLOCK_COLUMNS": config.block_columns,
                "BLOCK_WORDS": config.block_words,
                "STAGES": config.num_stages,
            }
            cases.append((kernel, constants, {"num_warps": config.num_warps}))
    for cut in dict.fromkeys(tuning.attention("default", "latent_decode", size) for size in _TOKENS):
        constants = {"RANK": 512, "ROPE": 64, "PAGE": 64, "SPLITS": cut.num_splits}
        constants |= {
            "HEADS": cut.block_heads,
            "POSITIONS": cut.block_positions,
            "STAGES": cut.num_stages,
        }
        cases.append((latent._decode, constants, {"num_warps": cut.num_warps}))
        cases.append((attention.merge, {"RANK": 512, "SPLITS": cut.num_splits}, {"num_warps": 4}))
    for cut in dict.fromkeys(tuning.attention("default", "prefill", size) for size in _TOKENS):
        constants = {"NOPE": 128, "ROPE": 64, "VALUE": 128, "GROUP": 1, "QUERIES": cut.block_heads}
        constants |= {"POSITIONS": cut.block_positions, "STAGES": cut.num_stages}
        cases.append((attention._prefill, constants, {"num_warps": cut.num_warps}))
    for shared in dict.fromkeys(tuning.attention("default", "grouped_decode", size) for size in _TOKENS):
        constants = {"DIM": 128, "GROUP": 6, "ROWS": 16, "PAGE": 64, "SPLITS": shared.num_splits}
        constants |= {"POSITIONS": shared.block_positions, "STAGES": shared.num_stages}
        cases.append((grouped._decode, constants, {"num_warps": shared.num_warps}))
    chosen = {"NUM_PER_TOKEN": 8, "NORMALIZES": True, "HAS_LENGTHS": True, "WIDTH": 512, "CHOICES": 8}
    work = {"ROWS": 16, "PAIRS": 256, "WIDTH": 512}
    norm = {"HAS_ADDED": True, "HAS_PLANES": True, "BLOCK": 8192}
    return cases + [
        (routing._route, chosen, {"num_warps": 4}),
        (routing._count, {"PAIRS": 256}, {}),
        (routing._gather, work, {}),
        (experts._combine, {"HAS_ADDED": True, "BLOCK": 1024}, {}),
        (rows._add_rms_norm, norm, {"num_warps": 8}),
        (rows._rotate, {"PAIRS": 32, "HEADS": 64}, {}),
        (rows._store_latents, {"RANK": 512, "RANK_BLOCK": 512, "PAIRS": 32}, {}),
        (grouped._store, {"PAGE": 64, "DIM": 128}, {"num_warps": 1}),
        (rows._best_of_part, {"BLOCK": 4096}, {"num_warps": 4}),
    ]


def _compile(kernel: Any, constants: dict[str, Any], options: dict[str, int], target: GPUTarget) -> Compiled:
    names = kernel.arg_names
    types = {name: _TYPES.get(name, _NUMBERS.get(name, "i32")) for name in names if name not in constants}
    source = ASTSource(
        fn=kernel,
        signature={name: types.get(name, "constexpr") for name in names},
        constexprs={(names.index(name),): value for name, value in constants.items()},
        attrs={
            (index,): [["tt.divisibility", 16]]
            for index, name in enumerate(names)
            if types.get(name, "fp32") != "fp32"
        },
    )
    built = triton.compile(source, target=target, options=options)
    registers, spilled = _resources(built.asm["cubin"])
    code = built.asm["ptx"]
    return Compiled(
        kernel=kernel.__name__.removeprefix("_"),
        constants=" ".join(f"{name.lower()}={value}" for name, value in constants.items()),
        num_registers=registers,
        spilled_bytes=spilled,
        shared_bytes=built.metadata.shared,
        matrix_instructions=len(re.findall(r"wgmma\.mma_async|mma\.sync", code)),
        wide_loads=len(re.findall(r"ld\.global\S*\.v4|cp\.async\.cg", code)),
    )


def _resources(cubin: bytes) -> tuple[int, int]:
    """Registers of a thread, and the bytes of its stack."""
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        Path(file.name).write_bytes(cubin)
        tool = triton.knobs.nvidia.cuobjdump.path
        told = subprocess.run(
            [tool, "-res-usage", file.name], capture_output=True, text=True, check=True
        ).stdout
    found = re.search(r"REG:(\d+) STACK:(\d+)", told)
    assert found is not None, told
    return int(found[1]), int(found[2])


def main() -> None:
    """Print the table."""
    print(
        f"{'kernel':16} {'registers':>9} {'spilled B':>9} {'shared B':>8} {'matrix':>6} {'wide loads':>10}"
        "  constants"
    )  # noqa: T201
    for one in compile_all():
        print(  # noqa: T201
            f"{one.kernel:16} {one.num_registers:9} {one.spilled_bytes:9} {one.shared_bytes:8}"
            f" {one.matrix_instructions:6} {one.wide_loads:10}  {one.constants}"
        )


if __name__ == "__main__":
    main()

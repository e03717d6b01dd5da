"""What torch's decoder promises as a `port.Model`, whatever the architecture: company changes nothing."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from inference.checkpoints import random_model
from inference.model import sources
from inference.model.decoder import TorchDecoder
from inference.model.kv_pool import BLOCK_TOKENS, KVPool
from inference.model.packing import Precision
from tests.inference.model.driver import Driver

CONFIGS: dict[str, dict[str, Any]] = {
    "k2": random_model.k2_like(),
    "qwen3": random_model.dense("qwen3"),
}
LONGEST = 3 * BLOCK_TOKENS


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    base = tmp_path_factory.mktemp("models")
    return {name: random_model.write(base / name, config, stored="int4") for name, config in CONFIGS.items()}


@pytest.fixture(params=[(name, precision) for name in CONFIGS for precision in ("int4", "bf16")], ids=str)
def model(request: pytest.FixtureRequest, folders: dict[str, Path]) -> TorchDecoder:
    name, precision = request.param
    return open_model(folders[name], precision)


def open_model(folder: Path, precision: Precision) -> TorchDecoder:
    return TorchDecoder(sources.open_parameters(folder), precision=precision)


def prompt(start: int, num_tokens: int) -> list[int]:
    return [(start * 37 + 11 * index) % 500 for index in range(num_tokens)]


def in_one_pool(model: TorchDecoder, count: int) -> list[Driver]:
    """Sequences whose blocks lie between one another's."""
    pool = KVPool(model.config, num_blocks=count * LONGEST // BLOCK_TOKENS, dtype=model.kv_dtypes[0])
    return [
        Driver(model, num_tokens=0, pool=pool, block_ids=list(range(first, pool.num_blocks, count)))
        for first in range(count)
    ]


def test_prompts_and_single_tokens_of_one_call_equal_each_alone(model: TorchDecoder) -> None:
    tokens = [prompt(1, 70), prompt(2, 5), prompt(3, 100), prompt(4, 30)]
    first = in_one_pool(model, 4)
    expected = []
    for driver, ids in zip(first, tokens, strict=True):
        driver.run(ids)
        expected.append([driver.run([7]), driver.run(prompt(9, 20), num_logits=3)])
    second = in_one_pool(model, 4)
    for driver, ids in zip(second[:2], tokens[:2], strict=True):
        driver.run(ids)
    answers = run_together(model, second, [[7], [7], tokens[2], tokens[3]], num_logits=[1, 1, 0, 0])
    assert torch.equal(answers, torch.cat([expected[0][0], expected[1][0]]))
    answers = run_together(model, second, [prompt(9, 20), prompt(9, 20), [7], [7]], num_logits=[3, 3, 1, 1])
    rows = [expected[0][1], expected[1][1], expected[2][0], expected[3][0]]
    assert torch.equal(answers, torch.cat(rows))


def run_together(
    model: TorchDecoder, drivers: list[Driver], tokens: list[list[int]], *, num_logits: list[int]
) -> Tensor:
    spans = [
        driver.span(len(ids), num_logits=wanted)
        for driver, ids, wanted in zip(drivers, tokens, num_logits, strict=True)
    ]
    return model.forward([token_id for ids in tokens for token_id in ids], spans, drivers[0].pool)


def test_the_logits_of_several_tokens_are_those_of_each(folders: dict[str, Path]) -> None:
    model = open_model(folders["k2"], "fp32")
    ids = prompt(1, 80)
    whole = Driver(model, num_tokens=LONGEST).run(ids, num_logits=40)
    driver = Driver(model, num_tokens=LONGEST)
    assert driver.run(ids[:41]).shape == (1, 512)
    pieces = torch.cat([driver.run(ids[41:60], num_logits=19), driver.run(ids[60:], num_logits=20)])
    torch.testing.assert_close(whole[1:], pieces, rtol=1e-4, atol=1e-4)


def test_a_cache_in_fp8_answers_nearly_the_same(folders: dict[str, Path], tmp_path: Path) -> None:
    """Without experts: a router may choose others then, and random ones answer something else altogether."""
    latent = random_model.write(tmp_path / "latent", random_model.k2_like(n_routed_experts=0))
    for folder in (latent, folders["qwen3"]):
        model = open_model(folder, "bf16")
        assert torch.float8_e4m3fn in model.kv_dtypes
        rows = []
        for dtype in (torch.bfloat16, torch.float8_e4m3fn):
            driver = Driver(model, num_tokens=LONGEST, dtype=dtype)
            driver.run(prompt(1, 90))
            rows.append(driver.run([5]))
        off = float((rows[0] - rows[1]).norm() / rows[0].norm())
        assert 0 < off < 0.15


def test_a_number_that_is_not_finite_reaches_every_later_token(model: TorchDecoder) -> None:
    """So that blocks can be trusted by the logits that follow them."""
    (driver,) = in_one_pool(model, 1)
    driver.run(prompt(1, 70))
    driver.pool.layers[1][driver.block_ids[0]].view(-1)[5] = float("nan")
    assert not bool(torch.isfinite(driver.run([7])).all())
    assert not bool(torch.isfinite(driver.run(prompt(2, 10))).all())


def test_what_lay_in_a_block_before_is_never_seen(model: TorchDecoder) -> None:
    (clean,) = in_one_pool(model, 1)
    expected = [clean.run(prompt(1, 70)), clean.run([7])]
    (used,) = in_one_pool(model, 1)
    for layer in used.pool.layers:
        layer.fill_(float("nan"))
    assert torch.equal(used.run(prompt(1, 70)), expected[0])
    assert torch.equal(used.run([7]), expected[1])


def test_loading_tells_how_far_it_is(folders: dict[str, Path]) -> None:
    heard: list[float] = []
    source = sources.open_parameters(folders["k2"])
    TorchDecoder(source, precision="bf16", on_progress=heard.append)
    assert heard == sorted(heard)
    assert heard[-1] == 1.0
    assert len(heard) == 4

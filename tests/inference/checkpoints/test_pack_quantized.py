"""The INT4 format of Kimi K2's experts: known words, and compressed-tensors' own reading bit for bit."""

import pytest
import torch

from inference.checkpoints import conversion, pack_quantized


def random_values(num_rows: int, num_columns: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(5)
    return torch.randint(-8, 8, (num_rows, num_columns), dtype=torch.int8, generator=generator)


def test_eight_values_make_one_word_lowest_first() -> None:
    values = torch.arange(-8, 8, dtype=torch.int8).view(2, 8)
    assert pack_quantized.pack(values).tolist() == [[0x76543210], [-19088744]]


def test_packing_equals_compressed_tensors_both_ways() -> None:
    helpers = pytest.importorskip(
        "compressed_tensors.compressors.pack_quantized.helpers", reason="pip install -e .[dev]"
    )
    values = random_values(48, 256)
    packed = helpers.pack_to_int32(values, 4)
    assert torch.equal(pack_quantized.pack(values), packed)
    unpacked = helpers.unpack_from_int32(packed, 4, values.shape)
    assert torch.equal(pack_quantized.unpack(packed).to(torch.int8) - 8, unpacked)


def test_the_library_reads_what_our_config_json_says_and_we_read_what_it_writes() -> None:
    base = pytest.importorskip(
        "compressed_tensors.compressors.pack_quantized.base", reason="pip install -e .[dev]"
    )
    quantization = pytest.importorskip("compressed_tensors.quantization")
    group = conversion.quantization_config(())["config_groups"]["group_0"]
    scheme = quantization.QuantizationScheme(**group)
    library = base.PackedQuantizationCompressor
    weight = torch.randn(48, 256, generator=torch.Generator().manual_seed(6)).to(torch.bfloat16)
    values, scales = pack_quantized.quantize(weight.float())
    ours = {
        "weight_packed": pack_quantized.pack(values),
        "weight_scale": scales,
        "weight_shape": weight.shape,
    }
    theirs = library.decompress(dict(ours), scheme)["weight"]
    dequantised = pack_quantized.dequantize(pack_quantized.pack(values), scales)
    assert torch.equal(dequantised.to(torch.bfloat16), theirs)
    written = library.compress({"weight": weight, "weight_scale": scales}, scheme)
    expected = library.decompress(dict(written), scheme)["weight"]
    read = pack_quantized.dequantize(written["weight_packed"], written["weight_scale"])
    assert torch.equal(read.to(torch.bfloat16), expected)


def test_quantised_weights_are_off_by_half_a_step_at_most() -> None:
    weight = torch.randn(64, 320, generator=torch.Generator().manual_seed(7))
    values, scales = pack_quantized.quantize(weight)
    assert (int(values.min()), int(values.max())) == (-8, 7)
    error = (pack_quantized.dequantize(pack_quantized.pack(values), scales) - weight).view(64, -1, 32).abs()
    # Beyond half a step only where the largest value of a group was cut off at 7 or -8 of its scale.
    largest = weight.view(64, -1, 32).abs() > 7.4 * scales.float().unsqueeze(2)
    assert bool((error <= 0.51 * scales.float().unsqueeze(2))[~largest].all())
    plain = (weight.view(64, -1, 32).abs().amax(2) / 7.5).unsqueeze(2)
    rounded = (weight.view(64, -1, 32) / plain).round().clamp(-8, 7) * plain
    assert float(error.square().sum()) < float((rounded - weight.view(64, -1, 32)).square().sum())


def test_a_model_trained_for_int4_comes_back_as_it_was() -> None:
    """Values from -7 to 7 with the largest among them, as in Kimi K2."""
    values = random_values(64, 320).clamp(min=-7)
    values.view(64, -1, 32)[..., 0] = 7
    scales = (0.01 + torch.rand(64, 10, generator=torch.Generator().manual_seed(8))).to(torch.bfloat16)
    exact = pack_quantized.dequantize(pack_quantized.pack(values), scales)
    again, again_scales = pack_quantized.quantize(exact)
    assert torch.equal(again, values)
    assert torch.equal(again_scales, scales)


def test_zeros_and_numbers_that_are_not_finite_stay_what_they_are() -> None:
    weight = torch.zeros(1, 64)
    weight[0, 40] = float("nan")
    values, scales = pack_quantized.quantize(weight)
    assert values[0, :32].tolist() == [0] * 32
    assert torch.isfinite(scales[0]).tolist() == [True, False]

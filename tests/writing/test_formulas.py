"""Formulas are drawn, those that matplotlib's own TeX does not know too; what is none is told apart."""

import io

import numpy
import pytest
from PIL import Image

from agents.writing import formulas


@pytest.mark.parametrize(
    "tex",
    [
        r"\begin{pmatrix}a & b \\ c & d\end{pmatrix}",
        r"f(x) = \begin{cases}x & x > 0 \\ 0 & \text{otherwise}\end{cases}",
        r"\begin{aligned}a &= b \\ &= \int_0^1 x\,dx\end{aligned}",
        r"\underbrace{a + b}_{n}",
    ],
)
def test_matrices_cases_and_lines_are_drawn_below_the_line_too(tex: str) -> None:
    drawn = formulas.draw(tex, kind="png")
    assert drawn is not None
    picture = Image.open(io.BytesIO(drawn.content))
    ink = numpy.asarray(picture)[:, :, 3] > 128
    height_points = picture.height / 300 * 72
    assert 0.01 < ink.mean() < 0.4
    assert 5 < drawn.depth < height_points
    vector = formulas.draw(tex, kind="svg")
    assert vector is not None
    assert b"<image" not in vector.content
    assert formulas.draw(tex, kind="svg") == vector  # the same text makes the same file


def test_a_frame_is_a_frame_and_no_block() -> None:
    drawn = formulas.draw(r"\boxed{\frac{1}{2}}", kind="png")
    assert drawn is not None
    ink = numpy.asarray(Image.open(io.BytesIO(drawn.content)))[:, :, 3] > 128
    assert ink[:, ink.shape[1] // 4].mean() < 0.5


@pytest.mark.parametrize("tex", [r"\ce{H2O}", r"\frac{", "", "$", r"\begin{pmatrix} a", "{" * 900])
def test_what_is_no_formula_that_is_known_is_not_drawn(tex: str) -> None:
    assert formulas.draw(tex, kind="svg") is None

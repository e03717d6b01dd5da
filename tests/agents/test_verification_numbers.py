"""Numbers, units and stated arithmetic, as the check of an answer compares them."""

import pytest

from agents.verification import quantities, sums


@pytest.mark.parametrize(
    ("claim", "source", "agree"),
    [
        ("1,234.5", "1234.5", True),
        ("1.2 million", "1,234,567", True),
        ("1.3 million", "1,234,567", False),
        ("1,234,567", "1.2 million", False),
        ("42 %", "a share of 0.42", True),
        ("5 km", "5,000 m", True),
        ("160 km", "100 miles", True),
        ("165 km", "100 miles", False),
        ("64 °F", "18 °C", True),
        ("2 years", "24 months", True),
        ("5 MB", "5 GB", False),
        ("over 300", "310", True),
        ("under 300", "310", False),
        ("about 300", "310", True),
        ("the 1990s", "in 1994", True),
        ("3×10^8 m/s", "300,000,000 m/s", True),
        ("12", "twelve", True),
        ("300万", "three million", True),
    ],
)
def test_a_number_agrees_with_what_it_may_be_written_from(claim: str, source: str, agree: bool) -> None:
    [told] = quantities.find(claim).quantities
    known = quantities.find(source, in_words=True).quantities
    assert any(quantities.agrees(told, quantity) for quantity in known) is agree


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("So 12 × 7 = 84.", [True]),
        ("12 x 7 = 85 apples", [False]),
        ("$12.50 × 4 = $50.00", [True]),
        ("1/3 = 0.33 and 1/3 = 0.34", [True, False]),
        ("2x + 3 = 7, x + 3 * 2 = 7, 2024-03-12 = 3", []),
        ("40% of 250 = 100, 15% of 80 is 13", [True, False]),
        ("(3 + 4) * 2 = 14 = 7 + 7", [True, True]),
        (r"\(12 \times 7 = 84\) and **2 + 2 = 5**", [True, False]),
        ("1 + 1 = 10 in binary", []),
        ("It makes 6 * 7 = 42!", [True]),
    ],
)
def test_stated_arithmetic_is_worked_out_again(text: str, holds: list[bool]) -> None:
    assert [found.holds for found in sums.find(text)] == holds


def test_an_answer_of_signs_alone_is_no_arithmetic() -> None:
    assert [list(sums.find(text)) for text in ("x = y", "=", "= 5", "a = b + c = ")] == [[], [], [], []]

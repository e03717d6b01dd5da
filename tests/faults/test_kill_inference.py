"""kill -9 of the inference worker while a real model answers: the answer is made again and charged once."""

import pytest

from tests.faults.conftest import Witness
from tests.stack import Stack

pytestmark = [pytest.mark.faults, pytest.mark.slow]

MODEL = "smollm2"
SHORT = """
from webapp.catalog.models import ServedModel
ServedModel.objects.filter(upstream_name="smollm2").update(max_output_tokens=150)
"""


def test_an_answer_survives_the_death_of_the_inference_worker(stack: Stack, witness: Witness) -> None:
    stack.wait_until_ready()
    stack.python(SHORT)
    witness.choose_model("smollm2")
    witness.ask("Write a long story about a ship and its captain.")
    witness.watch_until_words(20)
    stack.kill("inference")
    stack.start_part("inference")
    last = witness.watch_to_the_end(within_s=180)[-1]
    record = witness.record
    assert (record.status, record.error) == ("finished", "")
    assert record.finish_reason in ("stop", "length")
    assert last == " ".join(record.text.split()) != ""
    record.assert_charged_once()

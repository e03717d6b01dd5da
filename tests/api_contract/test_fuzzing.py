"""Whatever is sent, the answer is as the document says: bounded and with a fixed seed. CONTRACT_EXAMPLES
asks for so many of each endpoint, and for every bound of every schema too."""

import os

from tests.api_contract import fuzzing

NUM_EXAMPLES = int(os.environ.get("CONTRACT_EXAMPLES", "0"))


def test_no_answer_differs_from_the_document(address, secret, script, tmp_path):
    script("think: hm", "text: Hello.")
    phases = fuzzing.WHOLE if NUM_EXAMPLES else fuzzing.QUICK
    num_examples = NUM_EXAMPLES or 4
    ended, told = fuzzing.run(address, secret, num_examples=num_examples, phases=phases, folder=tmp_path)
    (tmp_path / "told.txt").write_text(told)
    assert ended == 0, told[-12_000:]

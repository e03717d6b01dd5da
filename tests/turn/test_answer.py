from tests.conftest import WriteScript
from tests.turn.browser import Tab


def test_reasoning_and_answer_are_separate_frames(alice_tab: Tab, script: WriteScript) -> None:
    script("think: two and two", "text: 4")
    frames = alice_tab.ask("What is 2 + 2?", long_thinking=True)
    assert frames.text_of("reasoning.delta") == "two and two"
    assert frames.text_of("content.delta") == "4"
    assert frames.kinds[-1] == "turn.finished"
    assert [frame["seq"] for frame in frames] == list(range(1, len(frames) + 1))

"""Guesses come from what was said before, and stop where they do not pay."""

from inference.engine.lookup import PromptLookup


def test_the_latest_place_where_the_same_was_said_tells_what_may_follow() -> None:
    lookup = PromptLookup()
    said = [1, 2, 3, 4, 5, 9, 1, 2, 3, 6, 7, 8, 1, 2, 3]
    assert lookup.propose(said, most=8, row_cost=0.05)[:3] == [6, 7, 8]
    assert lookup.propose(said, most=2, row_cost=0.05) == [6, 7]
    assert lookup.propose(said, most=0, row_cost=0.05) == []
    assert lookup.propose([*said, 99], most=8, row_cost=0.05) == []


def test_what_is_said_while_generating_is_found_as_well() -> None:
    lookup = PromptLookup()
    said = [1, 2, 3]
    assert lookup.propose(said, most=8, row_cost=0.05) == []
    for token_id in (7, 8, 9, 1, 2, 3):
        said.append(token_id)
        proposed = lookup.propose(said, most=2, row_cost=0.05)
    assert proposed == [7, 8]


def test_right_guesses_make_longer_ones_and_wrong_guesses_none() -> None:
    lookup = PromptLookup()
    said = list(range(100, 130)) * 2
    first = lookup.propose(said, most=8, row_cost=0.2)
    for _ in range(6):
        lookup.learn(num_drafted=4, num_accepted=4)
    assert len(lookup.propose(said, most=8, row_cost=0.2)) > len(first) > 0
    for _ in range(40):
        lookup.learn(num_drafted=4, num_accepted=0)
    # One more to see whether it pays again, then none for a while.
    assert len(lookup.propose(said, most=8, row_cost=0.2)) == 1
    assert lookup.propose([*said, 100], most=8, row_cost=0.2) == []
    assert len(lookup.propose(said * 2, most=8, row_cost=0.2)) == 1


def test_rows_that_cost_as_much_as_steps_are_not_guessed() -> None:
    lookup = PromptLookup()
    said = list(range(100, 130)) * 2
    for _ in range(3):
        lookup.learn(num_drafted=2, num_accepted=1)
    assert len(lookup.propose(said, most=8, row_cost=1.0)) <= 1
    assert lookup.propose([*said, 100], most=8, row_cost=1.0) == []

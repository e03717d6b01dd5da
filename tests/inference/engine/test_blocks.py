"""Blocks are never lost, never held by two unless shared, and forgotten in the order of their last use."""

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, precondition, rule

from inference.engine import blocks
from inference.engine.blocks import BlockKey, BlockPool, OutOfBlocks
from inference.model.kv_pool import BLOCK_TOKENS

NUM_BLOCKS = 6


class Holder:
    """A sequence as the pool sees it: each block is filled with one token 64 times."""

    def __init__(self, content: list[int]) -> None:
        self.content = content
        self.keys = [blocks.root_key("")]
        for token in content:
            self.keys.append(blocks.block_key(self.keys[-1], [token] * BLOCK_TOKENS))
        self.block_ids: list[int] = []
        self.num_published = 0


class Pool(RuleBasedStateMachine):
    """Drives a pool beside a naive account of it: who holds what, what is known, in which order unused."""

    holders = Bundle("holders")

    def __init__(self) -> None:
        super().__init__()
        self.pool = BlockPool(NUM_BLOCKS)
        self.live: list[Holder] = []
        self.known: dict[BlockKey, int] = {}
        self.unused: list[int] = []

    @rule(target=holders, content=st.lists(st.integers(0, 1), min_size=1, max_size=5))
    def begin(self, content: list[int]) -> Holder:
        """Hold the longest known beginning."""
        holder = Holder(content)
        for key in holder.keys[1:]:
            block_id = self.pool.find(key)
            assert block_id == self.known.get(key)
            if block_id is None:
                break
            self.pool.hold(block_id)
            holder.block_ids.append(block_id)
            holder.num_published += 1
            if block_id in self.unused:
                self.unused.remove(block_id)
        self.live.append(holder)
        return holder

    @rule(holder=holders)
    def grow(self, holder: Holder) -> None:
        if len(holder.block_ids) == len(holder.content):
            return
        if self.num_held() == NUM_BLOCKS:
            with pytest.raises(OutOfBlocks):
                self.pool.take()
            return
        is_full = self.num_held() + len(self.unused) == NUM_BLOCKS
        block_id = self.pool.take()
        if is_full:
            assert block_id == self.unused.pop(0)
            self.known = {key: known for key, known in self.known.items() if known != block_id}
        holder.block_ids.append(block_id)

    @rule(holder=holders)
    def publish(self, holder: Holder) -> None:
        index = holder.num_published
        if index == len(holder.block_ids):
            return
        before, key = holder.block_ids[index], holder.keys[index + 1]
        holder.block_ids[index] = self.pool.publish(
            before,
            parent_id=holder.block_ids[index - 1] if index else None,
            parent=holder.keys[index],
            key=key,
        )
        holder.num_published += 1
        is_orphan = index > 0 and self.known.get(holder.keys[index]) != holder.block_ids[index - 1]
        if not is_orphan:
            kept = self.known.setdefault(key, before)
            assert holder.block_ids[index] == kept
            if kept in self.unused:
                self.unused.remove(kept)

    @rule(holder=consumes(holders))
    def leave(self, holder: Holder) -> None:
        self.live.remove(holder)
        self.pool.release(holder.block_ids)
        for block_id in reversed(holder.block_ids):
            if block_id in self.known.values() and block_id not in self.held():
                self.unused.append(block_id)

    @rule(holder=consumes(holders))
    def fail(self, holder: Holder) -> None:
        """What it computed is forgotten, and what descends from it."""
        for block_id in holder.block_ids:
            self.pool.disown(block_id)
        own = {key for key, block_id in self.known.items() if block_id in holder.block_ids}
        tainted = {key for other in self.chains() for key in behind(other, own)}
        for key in tainted & self.known.keys():
            block_id = self.known.pop(key)
            if block_id in self.unused:
                self.unused.remove(block_id)
        self.live.remove(holder)
        self.pool.release(holder.block_ids)

    @precondition(lambda self: self.live == [])
    @rule()
    def forget_all(self) -> None:
        self.pool.clear()
        assert self.pool.num_free == NUM_BLOCKS
        self.known, self.unused = {}, []

    @invariant()
    def every_block_is_accounted_for(self) -> None:
        held = self.held()
        for block_id in range(NUM_BLOCKS):
            assert self.pool.num_holders(block_id) == held.count(block_id)
        assert self.pool.num_used == self.num_held()
        assert self.pool.num_kept == len(self.unused)
        assert self.pool.num_free == NUM_BLOCKS - self.num_held() - len(self.unused)

    @invariant()
    def only_known_blocks_are_shared(self) -> None:
        held = self.held()
        unknown = [block_id for block_id in held if block_id not in self.known.values()]
        for block_id in set(unknown):
            sharers = [holder for holder in self.live if block_id in holder.block_ids]
            # More than one only if they found it while it was known.
            assert all(holder.num_published > holder.block_ids.index(block_id) for holder in sharers) or (
                len(sharers) == 1
            )

    def held(self) -> list[int]:
        return [block_id for holder in self.live for block_id in holder.block_ids]

    def num_held(self) -> int:
        return len(set(self.held()))

    def chains(self) -> list[list[BlockKey]]:
        """Every chain of content that the rules can make."""
        contents: list[list[int]] = [
            [int(bit) for bit in f"{number:0{length}b}"]
            for length in range(1, 6)
            for number in range(2**length)
        ]
        return [Holder(content).keys for content in contents]


def behind(chain: list[BlockKey], keys: set[BlockKey]) -> list[BlockKey]:
    """The part of a chain from its first key among `keys` on."""
    start = next((index for index, key in enumerate(chain) if key in keys), len(chain))
    return chain[start:]


TestPool = Pool.TestCase
TestPool.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)


def test_a_key_tells_salt_and_every_token_before_apart() -> None:
    tokens = list(range(BLOCK_TOKENS))
    first = blocks.block_key(blocks.root_key("alice"), tokens)
    assert first == blocks.block_key(blocks.root_key("alice"), tokens)
    others = [
        blocks.block_key(blocks.root_key("bob"), tokens),
        blocks.block_key(first, tokens),
        blocks.block_key(blocks.root_key("alice"), [*tokens[:-1], 0]),
        blocks.block_key(blocks.root_key("alice"), [2**40, *tokens[1:]]),
    ]
    assert len({first, *others}) == 5


def test_the_end_of_a_conversation_is_forgotten_before_its_beginning() -> None:
    pool = BlockPool(3)
    holder = Holder([0, 1, 0])
    holder.block_ids = [pool.take() for _ in holder.content]
    for index, block_id in enumerate(holder.block_ids):
        parent_id = holder.block_ids[index - 1] if index else None
        pool.publish(block_id, parent_id=parent_id, parent=holder.keys[index], key=holder.keys[index + 1])
    pool.release(holder.block_ids)
    pool.take()
    assert [pool.find(key) is not None for key in holder.keys[1:]] == [True, True, False]


def test_what_stands_behind_a_forgotten_block_is_not_shared() -> None:
    pool = BlockPool(4)
    first, second = Holder([0]), Holder([0, 1])
    first.block_ids = [pool.take()]
    pool.publish(first.block_ids[0], parent_id=None, parent=first.keys[0], key=first.keys[1])
    pool.hold(first.block_ids[0])
    second.block_ids = [first.block_ids[0], pool.take()]
    pool.disown(first.block_ids[0])
    pool.publish(
        second.block_ids[1], parent_id=second.block_ids[0], parent=second.keys[1], key=second.keys[2]
    )
    assert pool.find(second.keys[2]) is None

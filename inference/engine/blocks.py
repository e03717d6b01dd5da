"""Who holds which block of the KV pool, and which blocks' content is known: reference counts, a prefix index,
eviction. Ids and hashes only: no tensors.

A block's key is a hash chain: blake2b over the key of the block before it and its own 64 tokens, begun with
the salt. Equal keys thus mean equal tokens from the first on, under one salt.
"""

from array import array
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from hashlib import blake2b

from inference.model.kv_pool import BLOCK_TOKENS

_KEY_BYTES = 16

BlockKey = bytes


class OutOfBlocks(Exception):
    """Every block is held by a sequence."""


def root_key(salt: str) -> BlockKey:
    """What the chain of a salt begins with."""
    return blake2b(salt.encode(), digest_size=_KEY_BYTES, person=b"prefix root").digest()


def block_key(parent: BlockKey, token_ids: Sequence[int]) -> BlockKey:
    """The key of a full block behind `parent`."""
    assert len(token_ids) == BLOCK_TOKENS
    return blake2b(array("q", token_ids).tobytes(), digest_size=_KEY_BYTES, key=parent).digest()


class BlockPool:
    """A block is free, held by one or more sequences, or known (in the index) and held by none: the last wait
    to be found again or, the longest unused first, to be taken.

    A holder of a known block holds the one before it as well; `publish` sees to that.
    """

    def __init__(self, num_blocks: int) -> None:
        self.num_blocks = num_blocks
        self._num_holders = [0] * num_blocks
        self._free = list(range(num_blocks - 1, -1, -1))
        self._unheld: OrderedDict[int, None] = OrderedDict()  # known, the longest unused first
        self._known: dict[BlockKey, int] = {}
        self._keys: dict[int, tuple[BlockKey, BlockKey]] = {}  # block id -> its parent's key, its own
        self._children: dict[BlockKey, set[BlockKey]] = {}

    @property
    def num_used(self) -> int:
        """Blocks that sequences hold."""
        return self.num_blocks - self.num_available

    @property
    def num_kept(self) -> int:
        """Known blocks that nobody holds."""
        return len(self._unheld)

    @property
    def num_free(self) -> int:
        """Blocks without content."""
        return len(self._free)

    @property
    def num_available(self) -> int:
        """Blocks that can be taken."""
        return len(self._free) + len(self._unheld)

    def num_holders(self, block_id: int) -> int:
        return self._num_holders[block_id]

    def find(self, key: BlockKey) -> int | None:
        """The block of that content."""
        return self._known.get(key)

    def take(self) -> int:
        """Hold an empty block; the longest unused known one is forgotten where none is free. Raises
        OutOfBlocks.
        """
        if not self._free:
            if not self._unheld:
                raise OutOfBlocks
            block_id = next(iter(self._unheld))
            self._forget(block_id)
        block_id = self._free.pop()
        self._num_holders[block_id] = 1
        return block_id

    def hold(self, block_id: int) -> None:
        """Hold a known block, or one that is held already, once more."""
        self._unheld.pop(block_id, None)
        self._num_holders[block_id] += 1

    def release(self, block_ids: Sequence[int]) -> None:
        """Let a sequence's blocks go, given from its first on: its last ones are forgotten first."""
        for block_id in reversed(block_ids):
            assert self._num_holders[block_id] > 0, f"block {block_id} is held by nobody"
            self._num_holders[block_id] -= 1
            if self._num_holders[block_id] == 0:
                self._let_rest(block_id)

    def publish(self, block_id: int, *, parent_id: int | None, parent: BlockKey, key: BlockKey) -> int:
        """Let others find a held, filled block of proven content; answers the block to hold in its place.

        That is another one where the content is known already: `block_id` is then released and the known one
        held. A block whose parent (None: it has none) is not known any more stays its holder's own.
        """
        if parent_id is not None and self._known.get(parent) != parent_id:
            return block_id
        known = self._known.get(key)
        if known is None:
            self._known[key] = block_id
            self._keys[block_id] = (parent, key)
            self._children.setdefault(parent, set()).add(key)
            return block_id
        if known != block_id:
            self.hold(known)
            self.release([block_id])
        return known

    def disown(self, block_id: int) -> None:
        """Forget a block's content and that of all known blocks behind it; holders keep holding them."""
        entry = self._keys.get(block_id)
        if entry is None:
            return
        for key in list(self._behind(entry[1])):
            self._forget(self._known[key])

    def clear(self) -> None:
        """Forget every block's content."""
        for block_id in list(self._keys):
            self._forget(block_id)

    def _behind(self, key: BlockKey) -> Iterator[BlockKey]:
        """A key and the keys of all known blocks that descend from it."""
        pending = [key]
        while pending:
            key = pending.pop()
            yield key
            pending.extend(self._children.get(key, ()))

    def _let_rest(self, block_id: int) -> None:
        if block_id in self._keys:
            self._unheld[block_id] = None
        else:
            self._free.append(block_id)

    def _forget(self, block_id: int) -> None:
        parent, key = self._keys.pop(block_id)
        del self._known[key]
        siblings = self._children[parent]
        siblings.remove(key)
        if not siblings:
            del self._children[parent]
        if block_id in self._unheld:
            del self._unheld[block_id]
            self._free.append(block_id)

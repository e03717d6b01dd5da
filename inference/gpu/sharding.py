"""One model over several devices of a machine: what each holds, and where their partial results meet.

Attention heads, the width of dense MLPs and the vocabulary are cut into equal runs, experts are dealt out
whole (tensor and expert parallel). After attention and after the MLP each device has a partial sum of the
same hidden state, so that a layer meets twice. What every device needs whole it keeps whole: norms, the
router, the latents, of which there is one for all heads.
"""

from dataclasses import dataclass

import torch
import torch.distributed
from torch import Tensor


class CannotShard(ValueError):
    """The text says which dimension does not divide."""


@dataclass(frozen=True)
class Shard:
    """The `rank`-th of `count` devices; a group of torch.distributed joins them where there are several."""

    rank: int = 0
    count: int = 1

    def run(self, size: int, what: str) -> slice:
        """This device's run of `size` things. Raises CannotShard."""
        if size % self.count:
            raise CannotShard(f"{size} {what} cannot be shared out evenly to {self.count} devices")
        share = size // self.count
        return slice(self.rank * share, (self.rank + 1) * share)

    def add_up(self, partial: Tensor) -> Tensor:
        """The sum over all devices, in place."""
        if self.count > 1:
            torch.distributed.all_reduce(partial)
        return partial

    def join_columns(self, own: Tensor) -> Tensor:
        """Everybody's columns side by side, in the order of ranks: [num_rows, count * num_columns]."""
        if self.count == 1:
            return own
        parts = [torch.empty_like(own) for _ in range(self.count)]
        torch.distributed.all_gather(parts, own.contiguous())
        return torch.cat(parts, dim=1)

"""The decoder on one device: prompts computed as they come, single tokens as captured graphs."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from inference.gpu.layers import Compute
from inference.gpu.places import Place, Rows, Run, Runs, Singles
from inference.gpu.sharding import Shard
from inference.gpu.weights import Weights
from inference.kernels.gpu import self_test
from inference.kernels.gpu.suite import Suite
from inference.model import rope
from inference.model.kv_pool import BLOCK_TOKENS, KVPool
from inference.model.port import Span

# Numbers of sequences that a step is captured for; a batch takes the next larger one.
BUCKETS = (1, 2, 4, 8, 16, 32, 64, 128, 256)
_PROMPT_ROWS_AT_ONCE = 4096


class GpuDecoder:
    """A `port.Model`. Prompts are computed as they come, single tokens in steps of fixed sizes; sums of both
    depend on how many rows a product has, so that numbers are not the same bit for bit in other company.

    With `shard` this is one device's share, and all devices must be given the same calls; each answers with
    all logits. `max_context_tokens` bounds a sequence's length: graphs hold a table of that many blocks.
    `kernels` None: proved on the device first.
    """

    kv_dtypes = (torch.bfloat16,)
    is_cut_invariant = False

    def __init__(
        self,
        weights: Weights,
        *,
        max_context_tokens: int,
        shard: Shard | None = None,
        kernels: Suite | None = None,
    ) -> None:
        self.config = weights.config
        self.device = weights.head.device
        self.kernels = kernels or self_test.proven(self.device)
        self.kernel = f"triton int4 g32 on {self.kernels.device}"
        self._shard = shard or Shard()
        self._compute = Compute(self.config, self.kernels, self._shard)
        self._weights = weights
        self._magnitude = rope.magnitude(self.config)
        self._most_blocks = -(-max_context_tokens // BLOCK_TOKENS)
        self._steps: dict[tuple[int, int], _Step] = {}

    @torch.inference_mode()
    def forward(self, token_ids: list[int], spans: list[Span], pool: KVPool) -> Tensor:
        """As `port.Model.forward` says."""
        starts = [0]
        for span in spans:
            starts.append(starts[-1] + span.num_tokens)
        assert len(token_ids) == starts[-1]
        hidden = self._weights.embedding.rows(torch.tensor(token_ids)).float()
        logits: dict[int, Tensor] = {}
        singles = [index for index, span in enumerate(spans) if span.num_tokens == 1]
        for index in range(0, len(singles), BUCKETS[-1]):
            chosen = singles[index : index + BUCKETS[-1]]
            rows = hidden[[starts[one] for one in chosen]]
            found = self._decode(rows, [spans[one] for one in chosen], pool)
            for row, one in enumerate(chosen):
                logits[one] = found[row : row + spans[one].num_logits]
        prompts = [index for index, span in enumerate(spans) if span.num_tokens > 1]
        for group in _grouped(prompts, [span.num_tokens for span in spans]):
            rows = torch.cat([hidden[starts[one] : starts[one + 1]] for one in group])
            found = self._prefill(rows, [spans[one] for one in group], pool)
            pieces = found.split_with_sizes([spans[one].num_logits for one in group])
            logits.update(zip(group, pieces, strict=True))
        return torch.cat([logits[index] for index in range(len(spans))]).cpu()

    def capture(self, pool: KVPool, *, most_sequences: int) -> list[int]:
        """Capture the steps of all buckets up to `most_sequences`, largest first; returns the buckets.

        Done at start, so that no request waits for it and memory is known to suffice.
        """
        wanted = [bucket for bucket in BUCKETS if bucket < 2 * most_sequences]
        for bucket in reversed(wanted):
            self._step(bucket, pool)
        return wanted

    def _decode(self, hidden: Tensor, spans: Sequence[Span], pool: KVPool) -> Tensor:
        bucket = next(size for size in BUCKETS if size >= len(spans))
        return self._step(bucket, pool).run(hidden, spans)[: len(spans)]

    def _step(self, bucket: int, pool: KVPool) -> "_Step":
        step = self._steps.get((bucket, id(pool)))
        if step is None:
            step = _Step(self, bucket, pool)
            self._steps[bucket, id(pool)] = step
        return step

    def _prefill(self, hidden: Tensor, spans: Sequence[Span], pool: KVPool) -> Tensor:
        """Logits of each span's last tokens, one span after the other."""
        positions, slots, runs, wanted, row = [], [], [], [], 0
        for span in spans:
            own = torch.arange(span.start, span.start + span.num_tokens)
            blocks = torch.tensor(span.block_ids[: -(-(span.start + span.num_tokens) // BLOCK_TOKENS)])
            positions.append(own)
            slots.append(blocks[own // BLOCK_TOKENS] * BLOCK_TOKENS + own % BLOCK_TOKENS)
            rows = slice(row, row + span.num_tokens)
            runs.append(Run(rows, span.start, blocks.to(self.device)))
            wanted.append(torch.arange(rows.stop - span.num_logits, rows.stop))
            row = rows.stop
        cosines, sines = self._rotations(torch.cat(positions).to(self.device))
        common = Rows(cosines, sines, torch.cat(slots).to(self.device), None)
        return self._through(
            hidden.to(self.device),
            common,
            Runs(runs),
            pool,
            torch.cat(wanted).to(self.device),
        )

    def _through(
        self, hidden: Tensor, rows: Rows, place: Place, pool: KVPool, wanted: Tensor | None
    ) -> Tensor:
        """All layers; the logits of the rows `wanted`, or of all, fp32. Changes `hidden`."""
        added: Tensor | None = None
        for layer, memory in zip(self._weights.layers, pool.layers, strict=True):
            added = self._compute.layer(hidden, added, layer, rows, place, memory)
        assert added is not None
        if wanted is not None:
            hidden, added = hidden[wanted], added[wanted]
        if not hidden.shape[0]:
            return torch.empty(0, self.config.vocab_size, device=self.device)
        normed = self.kernels.add_rms_norm(hidden, added, self._weights.norm, self.config.rms_norm_eps)
        return self._shard.join_columns((normed @ self._weights.head.T).float())

    def _rotations(self, positions: Tensor) -> tuple[Tensor, Tensor]:
        """Angles in fp64: at position 200,000 those of fp32 are off by a hundredth of a radian."""
        angles = torch.outer(positions.double(), self._weights.frequencies)
        return (angles.cos() * self._magnitude).float(), (angles.sin() * self._magnitude).float()


@dataclass
class _Inputs:
    """Where a captured step reads: rows that no sequence has are of length 0 and write nowhere."""

    hidden: Tensor
    positions: Tensor
    slots: Tensor
    lengths: Tensor
    block_tables: Tensor


class _Step:
    """Single tokens of up to `size` sequences through all layers, captured as one graph where that can be."""

    def __init__(self, decoder: GpuDecoder, size: int, pool: KVPool) -> None:
        self._decoder, self._pool = decoder, pool
        device = decoder.device
        self._inputs = _Inputs(
            hidden=torch.zeros(size, decoder.config.hidden_size, device=device),
            positions=torch.zeros(size, dtype=torch.int64, device=device),
            slots=torch.full((size,), -1, dtype=torch.int64, device=device),
            lengths=torch.zeros(size, dtype=torch.int32, device=device),
            block_tables=torch.zeros(size, decoder._most_blocks, dtype=torch.int32, device=device),
        )
        self._graph: torch.cuda.CUDAGraph | None = None
        self._logits = torch.empty(0)
        if device.type == "cuda" and decoder.kernels.can_capture:
            self._capture()

    def run(self, hidden: Tensor, spans: Sequence[Span]) -> Tensor:
        """fp32 [size, vocab_size], of which the first rows are the spans'; valid until the next run."""
        self._fill(hidden, spans)
        if self._graph is None:
            return self._compute()
        self._graph.replay()
        return self._logits

    def _capture(self) -> None:
        # Kernels are compiled and workspaces taken before, on a side stream as capture asks for.
        side = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            self._compute()
        torch.cuda.current_stream().wait_stream(side)
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self._graph):
            self._logits = self._compute()

    def _compute(self) -> Tensor:
        inputs, decoder = self._inputs, self._decoder
        cosines, sines = decoder._rotations(inputs.positions)
        rows = Rows(cosines, sines, inputs.slots, inputs.lengths)
        place = Singles(inputs.block_tables, inputs.lengths)
        return decoder._through(inputs.hidden.clone(), rows, place, self._pool, None)

    def _fill(self, hidden: Tensor, spans: Sequence[Span]) -> None:
        inputs, used = self._inputs, len(spans)
        starts = torch.tensor([span.start for span in spans])
        most = int(starts.max()) // BLOCK_TOKENS + 1
        tables = torch.zeros(used, most, dtype=torch.int32)
        for row, span in enumerate(spans):
            own = span.block_ids[: span.start // BLOCK_TOKENS + 1]
            tables[row, : len(own)] = torch.tensor(own, dtype=torch.int32)
        last = tables.gather(1, (starts // BLOCK_TOKENS).unsqueeze(1))[:, 0].long()
        inputs.hidden[:used].copy_(hidden)
        inputs.positions[:used].copy_(starts)
        inputs.slots[:used].copy_(last * BLOCK_TOKENS + starts % BLOCK_TOKENS)
        inputs.slots[used:] = -1
        inputs.lengths[:used].copy_(starts + 1)
        inputs.lengths[used:] = 0
        inputs.block_tables[:used, :most].copy_(tables)


def _grouped(prompts: Sequence[int], num_tokens: Sequence[int]) -> list[list[int]]:
    """Prompts that go through the layers together."""
    groups: list[list[int]] = []
    rows = _PROMPT_ROWS_AT_ONCE
    for index in prompts:
        if rows + num_tokens[index] > _PROMPT_ROWS_AT_ONCE:
            groups.append([])
            rows = 0
        groups[-1].append(index)
        rows += num_tokens[index]
    return groups

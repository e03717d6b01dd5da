"""The engine room's door: load a model, add sequences, step. Token ids only; text is for tokenizer and
parsers.

Importing it before torch sets how torch's threads wait for one another: asleep, not spinning. The web and
Celery processes share the cores with a CPU worker, and a spinning thread then burns the time its partner
needs: with one busy core of two, decode on the default model fell from 22 to 5 tokens/s spinning and from 20
to 15 asleep. OMP_WAIT_POLICY=active in the environment takes the last tenth on a machine that does nothing
else.
"""

import os

os.environ.setdefault("OMP_WAIT_POLICY", "passive")

# The OpenMP library reads it once, when torch is first imported.
from inference.checkpoints import BadModelFile  # noqa: E402
from inference.engine.engine import Engine, PromptTooLong  # noqa: E402
from inference.engine.loader import TooLittleMemory, load  # noqa: E402
from inference.engine.sequence import (  # noqa: E402
    ConstraintFailed,
    FinishReason,
    SamplingParams,
    Sequence,
    StepOutput,
    TokenConstraint,
    TokenLogprob,
)

__all__ = [
    "BadModelFile",
    "ConstraintFailed",
    "Engine",
    "FinishReason",
    "PromptTooLong",
    "SamplingParams",
    "Sequence",
    "StepOutput",
    "TokenConstraint",
    "TokenLogprob",
    "TooLittleMemory",
    "load",
]

"""The engine room's door: load a model, add sequences, step. Token ids only; text is for tokenizer and parsers."""

from inference.engine.engine import Engine, PromptTooLong
from inference.engine.loader import load
from inference.engine.sequence import FinishReason, SamplingParams, Sequence, StepOutput
from inference.gguf_file import BadModelFile

__all__ = [
    "BadModelFile",
    "Engine",
    "FinishReason",
    "PromptTooLong",
    "SamplingParams",
    "Sequence",
    "StepOutput",
    "load",
]

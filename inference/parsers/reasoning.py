"""The marks that models put around their reasoning."""

OPEN = "<think>"
CLOSE = "</think>"


def is_open(prompt: str) -> bool:
    """True when the prompt ends inside a reasoning block, so that the model's first token is reasoning."""
    return prompt.rstrip().endswith(OPEN)

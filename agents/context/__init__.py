"""What the model reads of a turn: its view, and keeping that view within the model's window.

The view is worked out from the transcript alone, so a resumed worker sends what the dead one would have sent.
"""

from agents.context.branch import view
from agents.context.fitting import ContextFull, fit, num_tokens

__all__ = ["ContextFull", "fit", "num_tokens", "view"]

"""Whether an answer says what its sources say."""

from agents.verification.finding import Verdict
from agents.verification.sentences import split
from agents.verification.verifier import Examined, Verifier, drafts, examine, was_sent_back

__all__ = ["Examined", "Verdict", "Verifier", "drafts", "examine", "split", "was_sent_back"]

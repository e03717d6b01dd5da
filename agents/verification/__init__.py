"""Whether an answer says what its sources say."""

from agents.verification.verifier import Checker, Verifier, drafts, was_sent_back

__all__ = ["Checker", "Verifier", "drafts", "was_sent_back"]

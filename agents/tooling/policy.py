"""Whether a call may be run: what the operator wants asked, and where text that strangers wrote may lead.

Rules by the flow of data, none by the model's judgement: once a stranger's text is in its view, every order
the model gives may be the stranger's.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from agents.tool import Approval, Effect, ToolContext, Traits, Trust
from agents.tooling import outgoing
from agents.tooling.outgoing import Secrets

EXPIRES_IN_S = 7 * 86_400.0

# Why a person is asked.
BY_CONSENT = "This tool is run only with your consent."
AFTER_OUTSIDE_TEXT = "The model has read text from outside, which may have told it to do this."
MADE_UP_ADDRESS = (
    "The model has read text from outside and now made up this address, which could carry data away: "
)


@dataclass(frozen=True, kw_only=True)
class Grant:
    """A capability that the person gave at the start: this tool may be called, without being asked again,
    where each named argument has exactly this value."""

    tool: str
    arguments: Mapping[str, Any] = field(default_factory=dict)

    def covers(self, tool: str, arguments: Mapping[str, Any]) -> bool:
        return self.tool == tool and all(
            name in arguments and arguments[name] == value for name, value in self.arguments.items()
        )


@dataclass(frozen=True)
class Run:
    """Go ahead. `told_bits` is what addresses that the model made up tell their hosts."""

    told_bits: float = 0.0


@dataclass(frozen=True)
class Ask:
    """A person decides; `why` is for them."""

    why: str


@dataclass(frozen=True)
class Refuse:
    """Nobody may allow it; `why` is for the model."""

    why: str


Verdict = Run | Ask | Refuse


@dataclass(frozen=True, kw_only=True)
class Policy:
    """`approvals` are the operator's word on single tools, which stands above what the tool says of itself.
    `secrets` never leave. Nobody's decision in `expires_in_s` is a refusal."""

    approvals: Mapping[str, Approval] = field(default_factory=dict)
    grants: tuple[Grant, ...] = ()
    secrets: Secrets = Secrets()
    expires_in_s: float = EXPIRES_IN_S

    def judge(self, tool: str, traits: Traits, arguments: Mapping[str, Any], context: ToolContext) -> Verdict:
        if self.secrets.are_in(arguments):
            return Refuse(f"{tool} was not run: its arguments hold a secret of this server. Leave it out.")
        if any(grant.covers(tool, arguments) for grant in self.grants):
            return Run()
        approval = self.approvals.get(tool, traits.approval)
        if approval is Approval.ALWAYS:
            return Ask(BY_CONSENT)
        if context.trust.is_trusted:
            return Run()
        if approval is Approval.UNTRUSTED_CONTEXT or self._has_effect(tool, traits):
            return Ask(AFTER_OUTSIDE_TEXT)
        return _judge_addresses(arguments, context) if sends_out(traits) else Run()

    def _has_effect(self, tool: str, traits: Traits) -> bool:
        """An operator who wrote "never" for a tool has taken the risk."""
        return traits.effect is Effect.EXTERNAL and tool not in self.approvals


def sends_out(traits: Traits) -> bool:
    """Whether the arguments reach somebody outside the platform."""
    return traits.effect is Effect.EXTERNAL or traits.trust in (Trust.WEB, Trust.MCP)


def _judge_addresses(arguments: Mapping[str, Any], context: ToolContext) -> Verdict:
    """Run while the addresses tell little, this call's and those of the calls before it taken together."""
    known, opened = context.known_urls, context.opened_urls
    told = {url: outgoing.new_bits(url, known, opened=opened) for url in outgoing.urls_in(arguments)}
    bits = sum(told.values())
    if bits > outgoing.MAX_NEW_BITS or (bits and context.told_bits + bits > outgoing.MAX_TOLD_BITS):
        return Ask(MADE_UP_ADDRESS + max(told, key=lambda url: told[url])[:300])
    return Run(told_bits=bits)

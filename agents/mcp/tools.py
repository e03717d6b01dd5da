"""An MCP server's tools as tools of a turn: names, schemas and effects made safe, results made plain."""

import json
import logging
import re
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any

import mcp_types

from agents import plain_text
from agents.mcp.servers import Server, Treatment
from agents.tool import (
    Approval,
    Effect,
    Fault,
    ToolContext,
    ToolResult,
    Traits,
    Trust,
)
from agents.tooling.arguments import ArgumentReader, BadSchema
from inference.schema import ToolSpec

logger = logging.getLogger(__name__)

MAX_TOOLS = 64  # of one server
MAX_NAME_CHARS = 64
MAX_DESCRIPTION_CHARS = 2_000
MAX_SCHEMA_CHARS = 16_000
MAX_RESULT_CHARS = 2_000_000
SPARE_S = 5.0  # for the platform's own time limit to come after the connection's

_UNFIT = re.compile(r"[^A-Za-z0-9_-]")

Answer = mcp_types.CallToolResult
Call = Callable[[str, Mapping[str, Any], ToolContext], Awaitable[Answer]]


class CallFailed(Exception):
    """The server gave no answer to a call; the text is for the model."""

    def __init__(self, message: str, *, fault: Fault = Fault.FAILED) -> None:
        super().__init__(message)
        self.fault = fault


class McpTool:
    """A tool of an MCP server. `operator_approval` is what the operator wrote for it, if anything."""

    def __init__(
        self, *, spec: ToolSpec, traits: Traits, server: str, name: str, call: Call, approval: Approval | None
    ) -> None:
        self.spec = spec
        self.traits = traits
        self.operator_approval = approval
        self._server = server
        self._name = name
        self._call = call

    async def run(self, arguments: Mapping[str, Any], context: ToolContext) -> ToolResult:
        try:
            answer = await self._call(self._name, arguments, context)
        except CallFailed as fault:
            return ToolResult(for_model=str(fault), is_error=True, fault=fault.fault, trust=Trust.MCP)
        return result_of(answer)


def tools_of(server: Server, listed: Iterable[mcp_types.Tool], *, call: Call) -> tuple[McpTool, ...]:
    """The listed tools that can be offered, by name. What is wrong with the others is logged."""
    tools: dict[str, McpTool] = {}
    for tool in sorted(listed, key=lambda tool: tool.name):
        if server.only and tool.name not in server.only:
            continue
        spec = _spec(server, tool)
        if spec is None:
            continue
        if spec.name in tools or len(tools) == MAX_TOOLS:
            logger.warning("MCP server %s: a tool is left out: %s", server.name, spec.name)
            continue
        treatment = server.tools.get(tool.name, Treatment())
        tools[spec.name] = McpTool(
            spec=spec,
            traits=traits_of(server, tool),
            server=server.name,
            name=tool.name,
            call=call,
            approval=treatment.approval or server.treatment.approval,
        )
    return tuple(tools.values())


def approvals_of(tools: Iterable[object]) -> dict[str, Approval]:
    """What the operator wrote about asking a person, by the tools' whole names."""
    return {
        tool.spec.name: tool.operator_approval
        for tool in tools
        if isinstance(tool, McpTool) and tool.operator_approval is not None
    }


def traits_of(server: Server, tool: mcp_types.Tool) -> Traits:
    """What the operator wrote for this very tool; else what they wrote for the server, made stricter by what
    the server says of the tool, never looser; else the strictest."""
    own, common = server.tools.get(tool.name, Treatment()), server.treatment
    hints = tool.annotations or mcp_types.ToolAnnotations()
    changes_things = hints.read_only_hint is False or hints.destructive_hint is True
    effect = own.effect or (Effect.EXTERNAL if changes_things else common.effect or Effect.EXTERNAL)
    is_idempotent = _first(own.is_idempotent, common.is_idempotent, False)
    if own.is_idempotent is None and hints.idempotent_hint is False:
        is_idempotent = False
    approval = own.approval or _stricter(common.approval, hints)
    caching = own.caching or common.caching
    timeout_s = own.timeout_s or server.timeout_s
    return Traits(
        effect=effect,
        is_idempotent=is_idempotent,
        trust=Trust.MCP,
        approval=approval,
        caching=caching if effect is Effect.NONE else None,
        timeout_s=timeout_s + SPARE_S,
    )


def _stricter(approval: Approval | None, hints: mcp_types.ToolAnnotations) -> Approval:
    if approval is Approval.NEVER and hints.destructive_hint is True:
        return Approval.UNTRUSTED_CONTEXT
    return approval or Approval.UNTRUSTED_CONTEXT


def _first(*values: bool | None) -> bool:
    return next((value for value in values if value is not None), False)


def _spec(server: Server, tool: mcp_types.Tool) -> ToolSpec | None:
    name = f"mcp__{server.name}__{_UNFIT.sub('_', tool.name)}"
    spec = ToolSpec(
        name=name,
        description=plain_text.neutral(tool.description or tool.title or tool.name)[:MAX_DESCRIPTION_CHARS],
        parameters=tool.input_schema,
    )
    if fault := _fault_of(spec):
        logger.warning("MCP server %s: the tool %s is left out: %s", server.name, name[:80], fault)
        return None
    return spec


def _fault_of(spec: ToolSpec) -> str:
    """Why a model cannot be offered this tool; empty when it can."""
    if len(spec.name) > MAX_NAME_CHARS:
        return f"its name has more than {MAX_NAME_CHARS} characters"
    try:
        text = json.dumps(spec.parameters)
        ArgumentReader(spec)
    except (BadSchema, ValueError, RecursionError) as fault:
        return f"its schema is unfit ({type(fault).__name__})"
    if len(text) > MAX_SCHEMA_CHARS:
        return f"its schema has more than {MAX_SCHEMA_CHARS} characters"
    if spec.parameters.get("type", "object") != "object":
        return "its arguments are no object"
    if plain_text.neutral(text) != text:
        return "its schema holds marks of a chat template"
    return ""


def result_of(answer: Answer) -> ToolResult:
    """The answer as text. Pictures and sounds are named, not shown: the model reads text only."""
    texts = [text for block in answer.content if (text := _text_of(block))]
    if not texts and answer.structured_content is not None:
        texts = [json.dumps(answer.structured_content, ensure_ascii=False)]
    text = plain_text.neutral("\n\n".join(texts) or "(no content)")
    if len(text) > MAX_RESULT_CHARS:
        text = f"{text[:MAX_RESULT_CHARS]}\n[the rest was too long and is lost]"
    return ToolResult(
        for_model=text,
        is_error=answer.is_error,
        fault=Fault.FAILED if answer.is_error else None,
        trust=Trust.MCP,
    )


def _text_of(block: mcp_types.ContentBlock) -> str:
    if isinstance(block, mcp_types.TextContent):
        return block.text
    if isinstance(block, mcp_types.ResourceLink):
        return f"[{block.title or block.name}: {block.uri}]"
    if isinstance(block, mcp_types.EmbeddedResource):
        resource = block.resource
        if isinstance(resource, mcp_types.TextResourceContents):
            return f"[{resource.uri}]\n{resource.text}"
        return f"[{resource.uri}: {resource.mime_type or 'data'}, not shown]"
    return f"[{block.type}: {block.mime_type}, not shown]"

"""A search that names what it finds and quotes nothing of it: for turns that no stranger's text may reach."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from agents.tool import Tool, ToolContext, ToolResult, Traits, Waiting
from inference.schema import ToolSpec

MAX_SOURCE_CHARS = 300


class SealedSearch:
    """`tool` is the search itself."""

    def __init__(self, tool: Tool) -> None:
        self._tool = tool

    @property
    def spec(self) -> ToolSpec:
        return self._tool.spec

    @property
    def traits(self) -> Traits:
        traits = self._tool.traits
        caching = traits.caching
        # What is kept of the open search would be quoted here.
        sealed = replace(caching, vary=(*caching.vary, "sealed")) if caching is not None else None
        return replace(traits, caching=sealed)

    async def run(self, arguments: Mapping[str, Any], context: ToolContext) -> ToolResult | Waiting:
        result = await self._tool.run(arguments, context)
        if isinstance(result, Waiting) or not result.passages:
            return result
        lines = [f"⟦{at}⟧ {passage.source[:MAX_SOURCE_CHARS]}" for at, passage in enumerate(result.passages)]
        return replace(result, for_model="\n".join(["Sources, for ask_page:", *lines]))

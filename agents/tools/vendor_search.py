"""The web search that the model's vendor runs inside its own endpoint: a call is handed back as it came, and
the endpoint puts what it has found before the model. Opaque: the platform sees neither sources nor text."""

import json
from collections.abc import Mapping
from typing import Any

from agents.tool import ToolContext, ToolResult, ToolUsage, Traits, Trust
from inference.schema import ToolSpec

NAME = "$web_search"
OPAQUE = "The model's vendor has searched. What it read is not shown here, and nothing of it can be cited."


class VendorSearch:
    """`price_nano` is the vendor's fee for a call."""

    # A name that begins with $ is declared to the provider as its own function, without a description.
    spec = ToolSpec(name=NAME, description="", parameters={"type": "object"})
    traits = Traits(trust=Trust.WEB)

    def __init__(self, *, price_nano: int = 0) -> None:
        self._price_nano = price_nano

    async def run(self, arguments: Mapping[str, Any], context: ToolContext) -> ToolResult:
        echoed = json.dumps(arguments, ensure_ascii=False)
        return ToolResult(for_model=echoed, for_user=OPAQUE, usage=ToolUsage(cost_nano=self._price_nano))

"""Pictures of a page in one state, in every look wanted, each measured against what a reviewer would tick."""

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from playwright.sync_api import Page

AXE = next((Path(__file__).parent / "vendor").glob("axe-core-*/axe.min.js"))
MEASURE = Path(__file__).with_name("measure.js")
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
RUN_AXE = """rules => axe.run(document, {runOnly: {type: 'tag', values: rules}, resultTypes: ['violations']})
  .then(({violations}) => violations.flatMap(({id, nodes}) =>
    nodes.map((node) => `axe ${id}: ${node.target.join(' ')}: ${node.failureSummary}`)))"""


@dataclass(frozen=True)
class Look:
    """A window and a theme; its name is part of the picture's."""

    width: int
    height: int
    theme: str

    @property
    def name(self) -> str:
        return f"{self.width}.{self.theme}"


SIZES = ((1440, 900), (1024, 768), (390, 844))
EVERY_LOOK = [Look(*size, theme) for size in SIZES for theme in ("light", "dark")]
WANTED = os.environ.get("SCREENS", "")  # "all", or anything else for one look a language


@dataclass
class Gallery:
    """`show` keeps a picture of the page in each look and remembers its faults; `verdict` tells."""

    page: Page
    folder: Path
    looks: Sequence[Look]
    language: str
    faults: list[str] = field(default_factory=list)

    def show(self, state: str) -> None:
        for look in self.looks:
            self._put_on(look)
            self.page.screenshot(path=self.folder / f"{state}.{look.name}.{self.language}.png")
            found = [*self._measure(look), *self._axe()]
            self.faults += [f"{state} ({look.name}, {self.language}): {fault}" for fault in found]
        self._put_on(self.looks[0])

    def _put_on(self, look: Look) -> None:
        if self.page.viewport_size != {"width": look.width, "height": look.height}:
            self.page.set_viewport_size({"width": look.width, "height": look.height})
        scheme: Any = look.theme
        self.page.emulate_media(color_scheme=scheme)
        # Two frames: what follows the size of the window has followed it.
        self.page.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")

    def _measure(self, look: Look) -> list[str]:
        return list(self.page.evaluate(MEASURE.read_text(encoding="utf-8"), look.theme))

    def _axe(self) -> list[str]:
        if not self.page.evaluate("typeof axe === 'object'"):
            self.page.evaluate(AXE.read_text(encoding="utf-8"))
        return list(self.page.evaluate(RUN_AXE, RULES))

    def verdict(self) -> None:
        assert not self.faults, json.dumps(self.faults, indent=1, ensure_ascii=False)

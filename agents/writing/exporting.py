"""A document as files beside it: Markdown, Word, PDF, and what each of its citations stands for."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Literal, cast

from agents.tool import Fault, NewArtifact, ToolResult
from agents.tools import sandbox_report
from agents.workspace import Workspace
from agents.writing import edition, shelf
from agents.writing.manuscript import Manuscript
from agents.writing.press import Press, PressFailed
from agents.writing.work import Work

KINDS = ("md", "docx", "pdf")


class Exporter:
    def __init__(self, press: Press) -> None:
        self._press = press

    async def export(
        self,
        document: Manuscript,
        workspace: Workspace,
        *,
        name: str,
        kinds: Sequence[str] | None,
        texts: Mapping[str, str],
        step: int,
    ) -> ToolResult:
        """`texts` are what the cited passages say, by key; a key that is missing is one that is lost. Made
        again, the files are the same. Raises NotPrintable, WorkspaceFull."""
        lost = document.sources.keys() - texts.keys()
        today = datetime.now(UTC).date()
        work = await asyncio.to_thread(edition.compose, document, workspace, made_on=today, lost=lost)
        files = {shelf.path_of(name, "sources.json"): edition.evidence(document, work, texts)}
        faults = []
        for kind in kinds or KINDS:
            try:
                files[shelf.path_of(name, kind)] = await self._made(work, kind)
            except PressFailed as fault:
                faults.append(f"No {kind} was made: {fault}")
        await asyncio.to_thread(_put, workspace, files, step)
        return ToolResult(
            for_model="\n".join([_listed(files), *_remarks(document, work, lost), *faults]),
            is_error=bool(faults),
            fault=Fault.FAILED if faults else None,
            artifacts=tuple(_artifacts(files)),
        )

    async def _made(self, work: Work, kind: str) -> bytes:
        if kind == "md":
            return edition.as_markdown(work).encode()
        return await self._press.file(work, kind=cast(Literal["pdf", "docx"], kind))


def _put(workspace: Workspace, files: Mapping[str, bytes], step: int) -> None:
    for path, content in files.items():
        workspace.put(path, content)
    workspace.take(step)


def _artifacts(files: Mapping[str, bytes]) -> Iterable[NewArtifact]:
    for path, content in files.items():
        if len(content) <= sandbox_report.MAX_ARTIFACT_BYTES:
            yield sandbox_report.artifact(path, content)


def _listed(files: Mapping[str, bytes]) -> str:
    return "Exported: " + ", ".join(f"{path} ({len(content):,} bytes)" for path, content in files.items())


def _remarks(document: Manuscript, work: Work, lost: Iterable[str]) -> list[str]:
    """What the model must know of what it has exported."""
    remarks = [f"{len(work.numbers)} passages of {len(work.references)} sources are cited."]
    bad = [
        f"{one.id} ({len(one.last_check.doubts)})"
        for one in document.sections
        if one.last_check and one.last_check.doubts
    ]
    if bad:
        remarks.append(
            f"Sentences that nothing bears out, marked there: {', '.join(bad)}. Revise and export again."
        )
    if empty := [one.id for one in document.sections if not one.text]:
        remarks.append(f"Without text: {', '.join(empty)}.")
    if gone := sorted(set(lost)):
        remarks.append(f"{len(gone)} cited passages are not kept any more; their sources say so.")
    return remarks

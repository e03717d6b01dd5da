"""What a tool returned, made fit for the model and the database: clean, labelled, not too long."""

from dataclasses import replace

from agents import plain_text
from agents.tool import NewArtifact, NewPassage, ToolResult, Traits, least_trusted

MAX_ARTIFACT_CHARS = 5_000_000
MAX_SOURCE_CHARS = 2_000
MAX_TITLE_CHARS = 300
HEAD_SHARE = 0.75  # of what is kept of a long text; the rest is its end


def labelled(result: ToolResult, traits: Traits) -> ToolResult:
    """Clean, and with the trust it deserves: never more than its tool has."""
    trust = least_trusted(traits.trust, result.trust)

    def clean(text: str) -> str:
        text = plain_text.clean(text)
        return text if trust.is_trusted else plain_text.visible(text)

    def for_model(text: str) -> str:
        return clean(text) if trust.is_trusted else plain_text.neutral(clean(text), keeps_passage_marks=True)

    return replace(
        result,
        for_model=for_model(result.for_model),
        for_user=clean(result.for_user),
        passages=tuple(
            NewPassage(
                source=clean(passage.source)[:MAX_SOURCE_CHARS],
                title=clean(passage.title)[:MAX_TITLE_CHARS],
                text=clean(passage.text),
                fetched_at=passage.fetched_at,
            )
            for passage in result.passages
        ),
        artifacts=tuple(
            replace(artifact, name=clean(artifact.name), text=clean(artifact.text))
            for artifact in result.artifacts
        ),
        trust=trust,
    )


def clamped(result: ToolResult, max_chars: int, *, name: str, can_recall: bool) -> ToolResult:
    """The result, of a long text only its beginning and its end; the whole text becomes the artifact
    `name`."""
    text = result.for_model
    if len(text) <= max_chars:
        return result
    head = _at_line(text[: int(max_chars * HEAD_SHARE)])
    tail = text[len(text) - (max_chars - int(max_chars * HEAD_SHARE)) :]
    hint = f'; recall "{name}" brings it back' if can_recall else f", kept as {name}"
    left_out = len(text) - len(head) - len(tail)
    kept = NewArtifact(name=name, text=text[:MAX_ARTIFACT_CHARS])
    return replace(
        result,
        for_model=f"{head}\n[{left_out} of {len(text)} characters are left out here{hint}]\n{tail}",
        for_user=result.for_user[:max_chars],
        artifacts=(*result.artifacts, kept),
    )


def _at_line(text: str) -> str:
    """Up to its last line break, when there is one near the end."""
    at = text.rfind("\n", len(text) - 400)
    return text[:at] if at > 0 else text

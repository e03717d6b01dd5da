"""Examples in Python, JavaScript and curl: what the page shows is what the tests run."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent / "examples"
LANGUAGES = {"py": ("python", "Python"), "mjs": ("javascript", "JavaScript"), "sh": ("bash", "curl")}


@dataclass(frozen=True, kw_only=True)
class Sample:
    language: str
    label: str
    source: str


@cache
def of(name: str) -> tuple[Sample, ...]:
    """The story of that name in each language."""
    return tuple(
        Sample(language=language, label=label, source=(ROOT / name / f"example.{suffix}").read_text("utf-8"))
        for suffix, (language, label) in LANGUAGES.items()
    )

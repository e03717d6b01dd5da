"""The bench of the web path runs by itself and writes its figures in the form that every bench writes."""

import json

from django.core.management import call_command


def test_the_bench_writes_its_machine_and_figures(tmp_path, capsys):
    report = tmp_path / "web.json"
    call_command("bench_web", requests=8, concurrency=2, json=report, server="uvicorn")
    written = json.loads(report.read_text())
    assert written["machine"]["cores"] > 0
    assert {"name", "value", "unit", "goal", "met"} == set(written["figures"][0])
    names = [figure["name"] for figure in written["figures"]]
    # The chat's line needs a socket under uvicorn, a Celery worker and a whole turn.
    assert "chat: added time to first token, one at a time, p50" in names
    assert "REST: added time to first token, one at a time, p50" in names
    assert all(figure["value"] > 0 for figure in written["figures"])
    assert names[0] in capsys.readouterr().out


def test_the_gateways_bench_measures_beside_a_provider_and_says_what_it_lacks(tmp_path, capsys):
    report = tmp_path / "api.json"
    call_command("bench_api", requests=6, streams=4, json=report, server="uvicorn", litellm=None)
    assert "LiteLLM's proxy is not installed" in capsys.readouterr().out
    figures = {figure["name"]: figure["value"] for figure in json.loads(report.read_text())["figures"]}
    assert figures["gateway: streams open at once"] == 4
    assert figures["gateway: whole answers for a second of computing"] > 0
    assert "gateway: added, whole answer, p50" in figures

"""A run as a picture and as a list: what led to what, from the rows of the turn alone."""

from typing import Any
from xml.etree import ElementTree

import pytest
from django.test import Client
from django.urls import reverse

from chat.models import Turn
from tests.pages import scenes
from webapp.accounts.models import User

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("scripted_model")]
SVG = "{http://www.w3.org/2000/svg}"


def graph_of(
    client: Client, turn: Turn, **asked: Any
) -> tuple[dict[str, dict[str, Any]], set[tuple[str, str, str]]]:
    found = client.get(reverse("run_graph", args=[turn.pk]), {"as": "json", **asked}).json()
    edges = {(edge["source"], edge["target"], edge["manner"]) for edge in found["edges"]}
    return {node["id"]: node for node in found["nodes"]}, edges


def test_each_answer_sentence_leads_back_to_the_question(alices_client: Client, alice: User) -> None:
    nodes, edges = graph_of(alices_client, scenes.researched(alice))
    assert [node["title"] for node in nodes.values() if node["kind"] == "phase"] == [
        "Find the study",
        "Read what others say",
        "Recompute the figure",
        "Write it up",
    ]
    [said] = [node for node in nodes.values() if "2,644" in node["title"]]
    assert {("passage:1", said["id"], "led"), (said["id"], "answer", "led")} <= edges
    [phase] = [source for source, target, _manner in edges if target == "passage:1"]
    assert nodes[phase]["title"] == "Find the study"
    assert ("question", phase, "led") in edges
    assert "**" not in "".join(node["title"] for node in nodes.values())
    assert nodes["read"]["title"].endswith("more were read")


def test_an_open_phase_shows_its_calls_and_which_search_led_to_which_page(
    alices_client: Client, alice: User
) -> None:
    turn = scenes.researched(alice)
    folded, _ = graph_of(alices_client, turn)
    assert not any(name.startswith("call:functions.open_page") for name in folded)
    [first] = [node["step"] for node in folded.values() if node["title"] == "Find the study"]
    nodes, edges = graph_of(alices_client, turn, open=[first])
    searches = {target: source for source, target, manner in edges if manner == "used"}
    page = next(name for name, node in nodes.items() if "report-6" in node["title"])
    assert nodes[searches[page]]["title"] == "tree cover 6"
    assert [target for source, target, _manner in edges if source == page] == ["passage:4"]


def test_a_failed_call_and_a_sentence_that_nothing_bears_out_are_told_apart(
    alices_client: Client, alice: User
) -> None:
    nodes, edges = graph_of(alices_client, scenes.noted(alice))
    [doubt] = [node for node in nodes.values() if "12 million" in node["title"]]
    assert doubt["is_flagged"]
    assert not [edge for edge in edges if edge[1] == doubt["id"]]
    assert any(node["kind"] == "phase" and "undone" in node["title"] for node in nodes.values())


def test_eight_paths_lead_to_the_answers_that_they_gave(alices_client: Client, alice: User) -> None:
    nodes, edges = graph_of(alices_client, scenes.heavy(alice))
    [winner] = [node for node in nodes.values() if node["title"] == "39 %"]
    assert sum(target == winner["id"] for _source, target, _manner in edges) == 5
    assert (winner["id"], "answer", "led") in edges
    assert sum(node["kind"] == "path" for node in nodes.values()) == 8


def test_the_file_is_an_svg_of_the_same_nodes(alices_client: Client, alice: User) -> None:
    turn = scenes.researched(alice)
    nodes, edges = graph_of(alices_client, turn)
    file = alices_client.get(reverse("run_graph", args=[turn.pk]), {"as": "svg"})
    assert file["Content-Type"] == "image/svg+xml"
    assert "attachment" in file["Content-Disposition"]
    drawn = ElementTree.fromstring(file.content)
    titles = {title.text for group in drawn.iter(f"{SVG}g") for title in group.findall(f"{SVG}title")}
    assert titles == {node["text"] or None for node in nodes.values()}
    assert len(drawn.findall(f"{SVG}g/{SVG}path")) == len(edges)


def test_what_a_stranger_wrote_is_text_in_the_picture(alices_client: Client, alice: User) -> None:
    evil = '"><script>alert(1)</script>'
    scene = scenes.Scene(alice, question=evil)
    scene.step({"name": "web_search", "arguments": {"query": evil}, "result": evil})
    scene.passage(1, evil, call_id="functions.web_search:10", title=evil, source="javascript:alert(1)")
    turn = scene.step(text="It is so, says the page [1].").turn
    for asked in ({}, {"as": "svg"}):
        page = alices_client.get(reverse("run_graph", args=[turn.pk]), asked).content.decode()
        assert "<script" not in page
        assert 'href="javascript' not in page


def test_the_list_holds_what_the_picture_holds(alices_client: Client, alice: User) -> None:
    turn = scenes.researched(alice)
    nodes, _ = graph_of(alices_client, turn)
    page = alices_client.get(reverse("run_graph", args=[turn.pk])).content.decode()
    picture, _, listed = page.partition('data-slot="list"')
    for name in nodes:
        assert f'data-node="{name}"' in picture
        if name not in ("question", "answer"):
            assert f'data-node="{name}"' in listed, name


@pytest.mark.parametrize("broken", ["x", "-1", "9" * 40, "", "0"])
def test_a_broken_address_shows_the_folded_run(alices_client: Client, alice: User, broken: str) -> None:
    turn = scenes.cited(alice)
    assert alices_client.get(reverse("run_graph", args=[turn.pk]), {"open": broken}).status_code == 200


def test_nobody_sees_the_run_of_another(
    alices_client: Client, client: Client, alice: User, bob: User
) -> None:
    turn = scenes.cited(alice)
    address = reverse("run_graph", args=[turn.pk])
    client.force_login(bob)
    assert [client.get(address, {"as": kind}).status_code for kind in ("", "json", "svg")] == [404] * 3


def test_a_run_of_300_steps_folds_into_a_picture_that_one_can_read(
    alices_client: Client, alice: User, django_assert_max_num_queries: Any
) -> None:
    turn = scenes.researched(alice, num_steps=300)
    address = reverse("run_graph", args=[turn.pk])
    with django_assert_max_num_queries(40):
        page = alices_client.get(address).content.decode()
    assert page.count('class="gnode ') < 60
    assert len(page) < 80_000
    nodes, _ = graph_of(alices_client, turn, open=[1])
    assert len(nodes) < 160


def test_no_node_lies_on_another(alices_client: Client, alice: User) -> None:
    turn = scenes.researched(alice)
    for opened in ([], [2], [2, 17, 32]):
        asked: dict[str, str | list[int]] = {"as": "svg", "open": opened}
        page = alices_client.get(reverse("run_graph", args=[turn.pk]), asked)
        boxes = [
            [int(rect.get(side) or 0) for side in ("x", "y", "width", "height")]
            for rect in ElementTree.fromstring(page.content).iterfind(f"{SVG}g/{SVG}rect")
        ]
        for place, (x, y, width, height) in enumerate(boxes):
            for left, top, across, down in boxes[place + 1 :]:
                apart = left >= x + width or left + across <= x or top >= y + height or top + down <= y
                assert apart, (x, y, left, top)

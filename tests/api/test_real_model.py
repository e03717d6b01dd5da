"""A real inference worker behind the API: bound answers, log probabilities and choices, end to end."""

import json
from collections.abc import Iterator
from typing import Any

import jsonschema
import openai
import pytest

from tests.api.conftest import database_url, serving
from tests.inference_workers import Fleet
from tests.services import wait_until
from webapp.accounts import keys
from webapp.billing import seeds
from webapp.billing.models import Hold, Price, UsageRecord
from webapp.catalog.models import ServedModel

pytestmark = pytest.mark.slow

MODEL = "smollm2"
PERSON = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 12},
        "age": {"type": "integer", "minimum": 0, "maximum": 120},
        "colour": {"enum": ["red", "green", "blue"]},
    },
    "required": ["name", "age", "colour"],
    "additionalProperties": False,
}
# A schema, but with a keyword that the model's grammar has not.
UNFOLLOWED = {"type": "object", "properties": {"names": {"type": "array", "uniqueItems": True}}}


def bound_to(schema):
    return {"type": "json_schema", "json_schema": {"name": "person", "schema": schema, "strict": True}}


@pytest.fixture(scope="module")
def address(tmp_path_factory, django_db_setup: None, django_db_blocker) -> Iterator[str]:
    """A server and its worker on a Redis of their own, which other tests do not flush."""
    fleet = Fleet(tmp_path_factory.mktemp("api"), model=MODEL)
    try:
        fleet.start("--context-tokens", "2048")
        with django_db_blocker.unblock():
            url = database_url()
        with serving("uvicorn", DATABASE_URL=url, REDIS_URL=fleet.redis.url) as address:
            yield address
    finally:
        fleet.stop()


@pytest.fixture
def ask(address, transactional_db, alice):
    """Ask the small model one question through the official client; what it said must have been billed."""
    ServedModel.objects.update_or_create(
        name=MODEL,
        defaults={
            "label": "SmolLM2",
            "backend": ServedModel.Backend.LOCAL,
            "upstream_name": MODEL,
            "context_tokens": 2_048,
            "max_output_tokens": 256,
            "calls_tools": False,
            "is_active": True,
            "is_configured": True,
        },
    )
    seeds.seed()
    secret = keys.create(alice, name="test")[1]
    with openai.OpenAI(base_url=f"{address}/v1", api_key=secret, max_retries=0, timeout=120) as client:

        def ask(question, **options):
            options["messages"] = [{"role": "user", "content": question}]
            return client.chat.completions.create(model=MODEL, **options)

        yield ask
    is_open = Hold.objects.filter(status=Hold.Status.OPEN)
    wait_until(lambda: not is_open.exists(), within_s=30, what="the last settlement")


def pieces_of(reply) -> list[tuple[str, list[Any]]]:
    """Text with its tokens: of a whole answer in one piece, of a stream in as many as came."""
    if isinstance(reply, openai.Stream):
        choices = [chunk.choices[0] for chunk in reply]
        return [(choice.delta.content or "", _tokens(choice)) for choice in choices]
    (choice,) = reply.choices
    return [(choice.message.content, _tokens(choice))]


def _tokens(choice):
    return choice.logprobs.content if choice.logprobs else []


@pytest.mark.parametrize("is_stream", [False, True])
def test_an_answer_is_of_its_schema_and_its_tokens_spell_it(ask, is_stream):
    asked = {"response_format": bound_to(PERSON), "temperature": 1, "seed": 3, "max_tokens": 128}
    pieces = pieces_of(ask("Who is Alice?", stream=is_stream, logprobs=True, top_logprobs=2, **asked))
    content = "".join(text for text, _ in pieces)
    jsonschema.validate(json.loads(content), PERSON)
    tokens = [token for _, tokens in pieces for token in tokens]
    assert b"".join(bytes(token.bytes) for token in tokens).decode() == content
    drawn = [token for token in tokens if token.top_logprobs]
    assert {token.logprob for token in tokens if not token.top_logprobs} <= {0}  # the schema left no choice
    assert drawn
    for token in drawn:
        first, second = token.top_logprobs
        assert 0 >= first.logprob >= max(second.logprob, token.logprob)


def test_a_schema_that_cannot_be_followed_is_refused_with_its_reason_and_costs_nothing(ask):
    with pytest.raises(openai.BadRequestError, match="uniqueItems") as refusal:
        ask("Who is Alice?", response_format=bound_to(UNFOLLOWED))
    assert refusal.value.type == "invalid_request_error"
    wait_until(lambda: Hold.objects.get().status == "released", within_s=30, what="the release")
    assert not UsageRecord.objects.exists()


def test_a_bias_on_a_token_that_the_model_has_not_is_refused(ask):
    with pytest.raises(openai.BadRequestError, match="logit_bias"):
        ask("Who is Alice?", logit_bias={"2000000000": 1})


def test_each_of_several_choices_is_what_its_seed_alone_gives_and_all_are_billed(ask):
    Price.objects.update(input_per_million=1, cached_input_per_million=1, output_per_million=2)
    asked = {"temperature": 1, "max_tokens": 12}
    together = ask("Invent a name for a cat.", n=3, seed=7, **asked)
    alone = [ask("Invent a name for a cat.", seed=seed, **asked) for seed in (7, 8, 9)]
    told = [choice.message.content for choice in together.choices]
    assert told == [completion.choices[0].message.content for completion in alone]
    assert len(set(told)) == 3
    wait_until(lambda: UsageRecord.objects.count() == 4, within_s=30, what="the bills")
    row = UsageRecord.objects.get(reference=together.id)
    assert together.usage.prompt_tokens == alone[0].usage.prompt_tokens
    assert row.output_tokens == sum(completion.usage.completion_tokens for completion in alone)
    assert row.cost_nano == together.usage.prompt_tokens * 1_000 + row.output_tokens * 2_000

"""Files that programs send, and batches of requests made of them: each line answered and billed once."""

import asyncio
import io
import json
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import openai
import pytest
from django.utils import timezone

from inference.backends.scripted import Reply
from webapp.accounts import keys, teams
from webapp.accounts.models import ApiKey, User
from webapp.api import bill, chat_request, database, files
from webapp.api.batches import running
from webapp.api.models import Batch, BatchLine, StoredConversation, StoredFile
from webapp.billing.models import Hold, UsageRecord
from webapp.webhooks.models import Delivery


@pytest.fixture(autouse=True)
def _own_threads(monkeypatch):
    """Threads that end with the test, and their connections with them."""
    with ThreadPoolExecutor(4) as threads:
        monkeypatch.setattr(database, "_threads", threads)
        monkeypatch.setattr(running, "ring", lambda batch_id: None)
        yield


def line(number, **body):
    asked = {"model": "scripted", "messages": [{"role": "user", "content": f"Question {number}"}]}
    said = {"custom_id": f"q{number}", "method": "POST", "url": "/v1/chat/completions", "body": asked | body}
    return json.dumps(said)


def send(client, *lines):
    content = io.BytesIO("\n".join(lines).encode())
    return client.files.create(file=("lines.jsonl", content), purpose="batch")


def start(client, *lines):
    file = send(client, *lines)
    return client.batches.create(
        input_file_id=file.id,
        endpoint="/v1/chat/completions",
        completion_window="24h",
        metadata={"job": "7"},
    )


def drive(batch_id):
    asyncio.run(running.drive(batch_id))


def test_a_file_is_sent_listed_read_and_deleted(server, secret, client):
    client = openai.OpenAI(base_url=f"{server}/v1", api_key=secret)  # Kimi's purpose is none of OpenAI's
    content = b"Paris is the capital of France.\n"
    file = client.files.create(file=("facts.txt", content), purpose="file-extract")
    assert (file.status, file.bytes, file.filename, file.purpose) == (
        "processed",
        len(content),
        "facts.txt",
        "file-extract",
    )
    assert [listed.id for listed in client.files.list()] == [file.id]
    assert "Paris is the capital" in json.loads(client.files.content(file.id).text)["content"]
    _, other_secret = keys.create(User.objects.create_user("bob", "bob@x.org", "pw"), name="b")
    with pytest.raises(openai.NotFoundError):
        client.with_options(api_key=other_secret).files.retrieve(file.id)
    assert client.files.delete(file.id).deleted
    with pytest.raises(openai.NotFoundError):
        client.files.retrieve(file.id)
    assert not StoredFile.objects.exists()


@pytest.mark.parametrize(
    ("name", "content", "purpose", "param"),
    [
        ("a.png", b"\x89PNG", "image", "purpose"),
        ("a.txt", b"x", "fine-tune", "purpose"),
        ("a.bin", bytes(range(256)) * 40, "file-extract", "file"),
    ],
)
def test_a_file_for_what_is_not_done_here_is_refused(client, name, content, purpose, param):
    with pytest.raises(openai.BadRequestError) as refused:
        client.files.create(file=(name, content), purpose=purpose)
    assert refused.value.param == param


def test_what_no_database_stores_or_no_form_has_is_no_fault_of_the_server(server, secret, client):
    boundary = {"Authorization": f"Bearer {secret}", "Content-Type": "multipart/form-data; boundary=x"}
    field = '--x\r\nContent-Disposition: form-data; name="a"\r\n\r\n1\r\n'
    with pytest.raises(HTTPError) as refused:
        urlopen(Request(f"{server}/v1/files", (field * 1100 + "--x--\r\n").encode(), boundary), timeout=20)
    assert refused.value.code == 400
    assert "too many" in json.load(refused.value)["error"]["message"]
    assert client.get("/files?purpose=%00", cast_to=dict)["data"] == []
    stored = files.put(ApiKey.objects.get(), name="a", purpose="file-extract", content=b"", text="a\0b")
    assert json.loads(client.files.content(stored.id).text)["content"] == "a\N{REPLACEMENT CHARACTER}b"


def test_a_batch_is_answered_line_by_line_and_billed_once_each(client, script):
    script(
        Reply(when="Question 3", lines=("error: rejected Too strange.",)),
        Reply(lines=("text: It is four.",)),
    )
    batch = start(client, *(line(number) for number in range(6)), line(7, model="none"))
    assert batch.status == "validating"
    drive(batch.id)
    done = client.batches.retrieve(batch.id)
    assert (done.status, done.metadata) == ("completed", {"job": "7"})
    counts = done.request_counts
    assert (counts.total, counts.completed, counts.failed) == (7, 5, 2)
    assert done.usage.output_tokens == 15
    answers = [json.loads(text) for text in client.files.content(done.output_file_id).text.splitlines()]
    assert [answer["custom_id"] for answer in answers] == ["q0", "q1", "q2", "q4", "q5"]
    body = answers[0]["response"]["body"]
    assert body["choices"][0]["message"]["content"] == "It is four."
    assert answers[0]["response"]["request_id"] == body["id"]
    failed = [json.loads(text) for text in client.files.content(done.error_file_id).text.splitlines()]
    assert [(said["custom_id"], said["response"]["status_code"]) for said in failed] == [
        ("q3", 400),
        ("q7", 404),
    ]
    assert UsageRecord.objects.count() == 5
    drive(batch.id)
    assert UsageRecord.objects.count() == 5
    client.files.delete(done.input_file_id)
    with pytest.raises(openai.NotFoundError):
        client.files.retrieve(done.input_file_id)
    assert client.batches.retrieve(batch.id).input_file_id == done.input_file_id
    assert not Hold.objects.filter(status=Hold.Status.OPEN).exists()


def test_a_line_that_the_platform_fails_on_is_answered_so_and_the_others_go_on(client, script, monkeypatch):
    def failing_on(question, function):
        def fail(first, *args, **kwargs):
            if question in repr((first, kwargs)):
                raise RuntimeError(question)
            return function(first, *args, **kwargs)

        return fail

    script("text: 4")
    monkeypatch.setattr(chat_request, "of_choice", failing_on("Question 1", chat_request.of_choice))
    monkeypatch.setattr(bill, "of", failing_on("Question 2", bill.of))
    batch = start(client, *(line(number) for number in range(6)))
    drive(batch.id)
    assert client.batches.retrieve(batch.id).status == "completed"
    codes = BatchLine.objects.order_by("number").values_list("status_code", flat=True)
    assert list(codes) == [200, 500, 500, 200, 200, 200]
    assert UsageRecord.objects.count() == 4
    assert not Hold.objects.filter(status=Hold.Status.OPEN).exists()


def test_another_worker_goes_on_where_one_died(client, script):
    script("text: 4")
    batch = start(client, *(line(number) for number in range(5)))
    running._take_lines(batch.id)
    BatchLine.objects.filter(number__lte=2).update(
        status_code=200, answer='{"choices": []}', request_id="chatcmpl-done"
    )
    Batch.objects.update(lease_until=timezone.now() + timedelta(seconds=60))
    drive(batch.id)
    assert client.batches.retrieve(batch.id).status == "in_progress", "somebody else drives it"
    Batch.objects.update(lease_until=timezone.now() - timedelta(seconds=1))
    drive(batch.id)
    assert client.batches.retrieve(batch.id).status == "completed"
    assert UsageRecord.objects.count() == 3, "what was answered is not asked again"


def test_a_line_that_two_workers_answer_is_billed_once(client, script):
    from webapp.api.batches import answering

    script("wait: 0.3", "text: 4")
    batch = start(client, line(1))
    running._take_lines(batch.id)
    row = running._read(batch.id)

    async def twice():
        lines = [BatchLine.objects, BatchLine.objects]
        found = await database.run(lambda: [rows.get() for rows in lines])
        await asyncio.gather(*(answering.answer(row, each) for each in found))

    asyncio.run(twice())
    assert UsageRecord.objects.count() == 1
    assert not Hold.objects.filter(status=Hold.Status.OPEN).exists()


def test_a_batch_that_is_cancelled_keeps_what_was_answered(client, script):
    script("text: 4")
    batch = start(client, line(1), line(2))
    running._take_lines(batch.id)
    BatchLine.objects.filter(number=1).update(status_code=200, answer="{}", request_id="r")
    assert client.batches.cancel(batch.id).status == "cancelling"
    assert client.batches.cancel(batch.id).status == "cancelling"
    drive(batch.id)
    done = client.batches.retrieve(batch.id)
    assert (done.status, done.request_counts.completed) == ("cancelled", 1)
    assert done.output_file_id
    assert [listed.id for listed in client.batches.list()] == [batch.id]


def test_a_file_with_wrong_lines_makes_no_batch(client):
    batch = start(client, line(1), "{", line(1), json.dumps({"custom_id": "x", "method": "GET"}))
    drive(batch.id)
    failed = client.batches.retrieve(batch.id)
    assert (failed.status, [error.line for error in failed.errors.data]) == ("failed", [2, 3, 4])


def test_a_batch_past_its_time_says_so_and_a_revoked_key_answers_nothing(client, script):
    script("text: 4")
    late, revoked = start(client, line(1)), start(client, line(2))
    ApiKey.objects.update(revoked_at=timezone.now())
    drive(revoked.id)
    assert BatchLine.objects.get(batch=revoked.id).status_code == 401
    running._take_lines(late.id)
    Batch.objects.filter(id=late.id).update(expires_at=timezone.now() - timedelta(seconds=1))
    drive(late.id)
    assert Batch.objects.get(id=late.id).status == "expired"
    assert UsageRecord.objects.count() == 0


def test_lines_are_answered_for_a_key_of_one_network(server, client, script):
    user = User.objects.get()
    _key, secret = keys.create(user, name="local", networks=["127.0.0.0/8"])
    script(Reply(lines=("text: Yes.",)))
    batch = start(openai.OpenAI(base_url=f"{server}/v1", api_key=secret), line(1))
    drive(batch.id)
    assert BatchLine.objects.get().status_code == 200


def test_a_projects_key_sees_what_it_made_and_nothing_of_its_makers(client, script):
    script(Reply(lines=("text: Mine.",)))
    batch = start(client, line(1))
    response = client.responses.create(model="scripted", input="Hello")
    user = User.objects.get()
    team = teams.create(user, name="Urban heat")
    service = client.with_options(
        api_key=keys.create(user, name="service", project=team.projects.get())[1], max_retries=0
    )
    talk = client.conversations.create(items=[{"role": "user", "content": "Private.", "type": "message"}])
    private = talk.id, client.conversations.items.list(talk.id).data[0].id
    url = "https://example.com/hook"
    hook = client.webhooks.create(name="mine", url=url, event_types=["batch.completed"])
    hidden = (
        lambda: service.conversations.retrieve(talk.id),
        lambda: service.conversations.delete(talk.id),
        lambda: service.conversations.items.list(talk.id),
        lambda: service.responses.create(model="scripted", input="?", conversation=talk.id),
        lambda: service.responses.create(
            model="scripted", input=[{"type": "item_reference", "id": private[1]}]
        ),
        lambda: service.webhooks.retrieve(hook.id),
        lambda: service.webhooks.delete(hook.id),
        lambda: service.files.retrieve(batch.input_file_id),
        lambda: service.batches.retrieve(batch.id),
        lambda: service.responses.retrieve(response.id),
        lambda: service.responses.create(model="scripted", input="?", previous_response_id=response.id),
        lambda: service.responses.create(
            model="scripted", input=[{"type": "item_reference", "id": response.output[0].id}]
        ),
    )
    for look in hidden:
        with pytest.raises(openai.NotFoundError):
            look()
    assert [*service.files.list(), *service.batches.list(), *service.webhooks.list()] == []
    its_talk = service.conversations.create()
    assert service.conversations.retrieve(its_talk.id).id == its_talk.id
    StoredConversation.objects.filter(pk=its_talk.id).update(api_key=None)  # as old ones are: whose key's?
    assert client.conversations.retrieve(its_talk.id).id == its_talk.id
    with pytest.raises(openai.NotFoundError):
        service.conversations.retrieve(its_talk.id)
    its_hook = service.webhooks.create(name="its", url=url, event_types=["batch.completed"])
    its = start(service, line(2))
    assert [one.id for one in service.batches.list()] == [its.id]
    assert {one.id for one in client.batches.list()} == {batch.id, its.id}, "its maker's key sees all"
    for one in (batch, its):
        drive(one.id)
    told = {(one.endpoint_id, one.event_id) for one in Delivery.objects.filter(event_type="batch.completed")}
    of_private, of_project = f"evt_{batch.id}", f"evt_{its.id}"
    assert told == {(hook.id, of_private), (hook.id, of_project), (its_hook.id, of_project)}

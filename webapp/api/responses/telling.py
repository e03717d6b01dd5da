"""How an answer is told, event by event, and the items that it comes to. Knows no wire and no database.

Events have strictly increasing sequence numbers. What was told of an answer depends on what was said alone:
the same deltas bring the same events, ids and numbers.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import orjson

from inference.schema import TokenLogprob
from webapp.api.chat_reply import logprobs_shape

Event = dict[str, Any]
Stored = dict[str, Any]

IN_PROGRESS, COMPLETED, INCOMPLETE = "in_progress", "completed", "incomplete"
REASONING, TEXT = "reasoning", "message"


class Telling:
    """Items come one after the other; calls of functions, whose pieces may come mixed, are open side by side.

    `seal` closes reasoning for clients that carry it; `is_summary` tells it as its summary, which is what
    clients look for that asked for one. `namespaces` says under which two names a tool was sent.
    """

    def __init__(
        self,
        response_id: str,
        *,
        custom: Iterable[str] = (),
        namespaces: Mapping[str, tuple[str, str]] | None = None,
        is_summary: bool = False,
        shows_logprobs: bool = False,
        seal: Callable[[str], str] | None = None,
    ) -> None:
        self.next_number = 0
        self.output: list[Stored] = []
        self._hex = response_id.partition("_")[2]
        self._custom = frozenset(custom)
        self._namespaces = namespaces or {}
        self._is_summary = is_summary
        self._shows_logprobs = shows_logprobs
        self._seal = seal
        self._open: dict[str, int] = {}  # what is being said: its place in the output
        self._pieces: dict[int, list[str]] = {}
        self._likely: dict[int, list[Any]] = {}  # of a text that is being said
        self._drafts: set[int] = set()

    def begin(self, response: Stored, *, is_queued: bool = False) -> list[Event]:
        told = [self._event("response.created", response=response)]
        if is_queued:
            told.append(self._event("response.queued", response=response))
        return told

    def started(self, response: Stored) -> list[Event]:
        return [self._event("response.in_progress", response=response)]

    def end(self, response: Stored) -> list[Event]:
        """The last event, which is named for how it ended. Clients know no name for one that was cancelled:
        it is incomplete, and says so itself."""
        status = INCOMPLETE if response["status"] == "cancelled" else response["status"]
        return [self._event(f"response.{status}", response=response)]

    def fault(self, *, code: str | None, message: str, param: str | None) -> list[Event]:
        return [self._event("error", code=code, message=message, param=param)]

    @property
    def items(self) -> list[Stored]:
        """The output, without what was said in vain."""
        return [item for place, item in enumerate(self.output) if place not in self._drafts]

    def resume(self, events: Iterable[Event], *, after: int) -> list[Event]:
        """Go on after what was told before by somebody who died, and after number `after`: what was said then
        was said in vain."""
        for event in events:
            self.next_number = event["sequence_number"] + 1
            place = event.get("output_index", 0)
            if event["type"] == "response.output_item.added":
                self.output.append(event["item"])
                self._open[f"lost {place}"] = place
                self._pieces[place] = []
            elif event["type"] == "response.output_item.done":
                self.output[place] = event["item"]
                del self._open[f"lost {place}"]
            elif event["type"].endswith(".delta") and place in self._pieces:
                self._pieces[place].append(event["delta"])
        self.next_number = max(self.next_number, after + 1)
        return self.drop(range(len(self.output)))

    # ---- what is said

    def reasoning(self, text: str) -> list[Event]:
        told = []
        if REASONING not in self._open:
            told += self._start(REASONING, {"type": "reasoning", "summary": []}, prefix="rs")
            told.append(self._reasoning_begins())
        place = self._open[REASONING]
        self._pieces[place].append(text)
        kind = (
            "response.reasoning_summary_text.delta" if self._is_summary else "response.reasoning_text.delta"
        )
        return [*told, self._about(place, kind, **self._inside, delta=text)]

    def text(self, text: str, logprobs: Sequence[TokenLogprob] = ()) -> list[Event]:
        told = []
        if TEXT not in self._open:
            shape = {"type": "message", "role": "assistant", "content": []}
            told += self._start(TEXT, shape, prefix="msg")
            place = self._open[TEXT]
            part = _text_part("", [])
            told.append(self._about(place, "response.content_part.added", content_index=0, part=part))
        place = self._open[TEXT]
        self._pieces[place].append(text)
        likely = logprobs_shape(logprobs)["content"] if self._shows_logprobs else []
        self._likely.setdefault(place, []).extend(likely)
        kind = "response.output_text.delta"
        return [*told, self._about(place, kind, content_index=0, delta=text, logprobs=likely)]

    def call(self, index: int, *, call_id: str, name: str, arguments: str) -> list[Event]:
        """A piece of call number `index`. Free text is told whole, once it can be read."""
        key = f"call {index}"
        told = []
        if key not in self._open:
            told += self._close(self._words())
            told += self._begin_call(key, call_id=call_id, name=name)
        place = self._open[key]
        self._pieces[place].append(arguments)
        if arguments and self.output[place]["type"] == "function_call":
            kind = "response.function_call_arguments.delta"
            told.append(self._about(place, kind, delta=arguments))
        return told

    def hosted_call(self, key: str, *, name: str, arguments: str, server: str) -> list[Event]:
        """A call of a tool of ours begins; its result comes later."""
        told = self._close(self._words())
        shape = {"type": "mcp_call", "server_label": server, "name": name, "arguments": "", "output": None}
        told += self._open_item(key, shape | {"error": None, "approval_request_id": None}, prefix="mcp")
        place = self._open[key]
        told.append(self._about(place, "response.mcp_call.in_progress"))
        told.append(self._about(place, "response.mcp_call_arguments.delta", delta=arguments))
        told.append(self._about(place, "response.mcp_call_arguments.done", arguments=arguments))
        self.output[place]["arguments"] = arguments
        return told

    def is_open(self, key: str) -> bool:
        return key in self._open

    def hosted_result(self, key: str, *, result: str, is_error: bool) -> list[Event]:
        place = self._open.pop(key, None)
        if place is None:
            return []
        item = self.output[place]
        item["status"] = "failed" if is_error else COMPLETED
        item["error" if is_error else "output"] = _tool_fault(result) if is_error else result
        kind = "response.mcp_call.failed" if is_error else "response.mcp_call.completed"
        return [self._about(place, kind), self._item_done(place)]

    def close(self, status: str = COMPLETED) -> list[Event]:
        """The ends of all that is open."""
        return self._close(list(self._open), status=status)

    def drop(self, places: Iterable[int]) -> list[Event]:
        """What was said at these places was said in vain: whoever said it died, and it is said again."""
        places = set(places)
        told = self._close([key for key, place in self._open.items() if place in places], status=INCOMPLETE)
        self._drafts |= places
        return told

    # ---- items

    def _start(self, key: str, shape: Stored, *, prefix: str) -> list[Event]:
        return [*self._close(list(self._open)), *self._open_item(key, shape, prefix=prefix)]

    def _open_item(self, key: str, shape: Stored, *, prefix: str) -> list[Event]:
        place = len(self.output)
        self._open[key] = place
        self._pieces[place] = []
        self.output.append({"id": f"{prefix}_{self._hex}{place:04x}", **shape, "status": IN_PROGRESS})
        item = dict(self.output[place])
        return [self._event("response.output_item.added", output_index=place, item=item)]

    def _begin_call(self, key: str, *, call_id: str, name: str) -> list[Event]:
        namespace, own_name = self._namespaces.get(name, ("", name))
        called = {"call_id": call_id, "name": own_name} | ({"namespace": namespace} if namespace else {})
        if name in self._custom:
            return self._open_item(key, {"type": "custom_tool_call", **called, "input": ""}, prefix="ctc")
        shape = {"type": "function_call", **called, "arguments": ""}
        return self._open_item(key, shape, prefix="fc")

    def _words(self) -> list[str]:
        return [key for key in (REASONING, TEXT) if key in self._open]

    def _close(self, keys: Sequence[str], *, status: str = COMPLETED) -> list[Event]:
        told = []
        for key in keys:
            place = self._open.pop(key)
            item = self.output[place]
            item["status"] = status
            told += self._ends(place, item, "".join(self._pieces.pop(place)))
            told.append(self._item_done(place))
        return told

    def _ends(self, place: int, item: Stored, text: str) -> list[Event]:
        """What is told right before the item is done. Makes it whole."""
        kind = item["type"]
        if kind == "reasoning":
            return self._reasoning_ends(place, item, text)
        if kind == "message":
            part = _text_part(text, self._likely.pop(place, []))
            item["content"] = [part]
            logprobs = part["logprobs"]
            done = self._about(
                place, "response.output_text.done", content_index=0, text=text, logprobs=logprobs
            )
            return [done, self._about(place, "response.content_part.done", content_index=0, part=part)]
        if kind == "function_call":
            item["arguments"] = text
            done = {"name": item["name"], "arguments": text}
            return [self._about(place, "response.function_call_arguments.done", **done)]
        if kind == "custom_tool_call":
            item["input"] = given = _free_text(text)
            delta = self._about(place, "response.custom_tool_call_input.delta", delta=given)
            return [delta, self._about(place, "response.custom_tool_call_input.done", input=given)]
        return []

    @property
    def _inside(self) -> dict[str, int]:
        return {"summary_index": 0} if self._is_summary else {"content_index": 0}

    def _reasoning_begins(self) -> Event:
        place = self._open[REASONING]
        if self._is_summary:
            kind, part = "response.reasoning_summary_part.added", {"type": "summary_text", "text": ""}
        else:
            kind, part = "response.content_part.added", {"type": "reasoning_text", "text": ""}
        return self._about(place, kind, **self._inside, part=part)

    def _reasoning_ends(self, place: int, item: Stored, text: str) -> list[Event]:
        if self._seal is not None:
            item["encrypted_content"] = self._seal(text)
        if self._is_summary:
            part = {"type": "summary_text", "text": text}
            item["summary"] = [part]
            kinds = ("response.reasoning_summary_text.done", "response.reasoning_summary_part.done")
        else:
            part = {"type": "reasoning_text", "text": text}
            item["content"] = [part]
            kinds = ("response.reasoning_text.done", "response.content_part.done")
        done = self._about(place, kinds[0], **self._inside, text=text)
        return [done, self._about(place, kinds[1], **self._inside, part=part)]

    # ---- events

    def _item_done(self, place: int) -> Event:
        return self._event("response.output_item.done", output_index=place, item=dict(self.output[place]))

    def _about(self, place: int, kind: str, **fields: Any) -> Event:
        return self._event(kind, item_id=self.output[place]["id"], output_index=place, **fields)

    def _event(self, kind: str, **fields: Any) -> Event:
        number = self.next_number
        self.next_number += 1
        return {"type": kind, "sequence_number": number, **fields}


def _text_part(text: str, logprobs: list[Any]) -> dict[str, Any]:
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": logprobs}


def _tool_fault(text: str) -> dict[str, Any]:
    return {"type": "mcp_tool_execution_error", "content": [{"type": "text", "text": text}]}


def _free_text(arguments: str) -> str:
    """The text that a free tool was called with; what is no such call is passed on as it is."""
    try:
        given = orjson.loads(arguments)
    except orjson.JSONDecodeError:
        return arguments
    is_text = isinstance(given, dict) and isinstance(given.get("input"), str)
    return given["input"] if is_text else arguments

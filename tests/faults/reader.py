"""A person at a page, without the page: a websocket that connects again when it breaks, and every event that
came."""

import contextlib
import json
import threading
import time
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from websockets.exceptions import WebSocketException
from websockets.sync.client import ClientConnection, connect

PATIENCE_S = 30.0
PAUSE_S = 0.05


@dataclass(frozen=True)
class Heard:
    """An event and when it came."""

    at: float
    frame: dict[str, Any]

    @property
    def seq(self) -> int:
        return int(self.frame["seq"])


class Reader:
    """Starts turns and follows them; a lost connection is made again, behind the last event that came."""

    def __init__(self, address: str, *, cookie: str) -> None:
        self.heard: dict[str, list[Heard]] = {}
        self.replies: list[dict[str, Any]] = []
        self._url = address.replace("http", "ws", 1) + "/ws/chat/"
        self._headers = {"Cookie": f"sessionid={cookie}", "Origin": address}
        self._news = threading.Condition()
        self._outbox: list[dict[str, Any]] = []
        self._socket: ClientConnection | None = None
        self._is_over = False
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def start(self, text: str, **options: Any) -> str:
        """Send a message, until it is taken, and follow its turn, whose id comes back."""
        client_id = str(uuid4())
        command = {"op": "turn.send", "client_id": client_id, "text": text, **options}
        self.send(command)
        with self._news:
            accepted = self._wait(lambda: self._reply_to(client_id), PATIENCE_S, f"{command}")
        if accepted["type"] == "refused":
            raise RuntimeError(accepted["message"])
        turn = str(accepted["turn"])
        with self._news:
            self.heard.setdefault(turn, [])
        self.send({"op": "turn.attach", "turn": turn, "after": 0})
        return turn

    def send(self, command: dict[str, Any]) -> None:
        """Now, or as soon as there is a connection. One that was lost on the way is sent again by nobody."""
        with self._news:
            socket = self._socket
            if socket is None:
                self._outbox.append(command)
        if socket is not None:
            with contextlib.suppress(WebSocketException, OSError):
                socket.send(json.dumps(command))

    def wait_for(self, turn: str, condition: Any, *, within_s: float, what: str) -> Heard:
        """The first event of the turn, come or to come, for which the condition holds."""
        with self._news:
            found = self._wait(
                lambda: next((heard for heard in self.heard[turn] if condition(heard)), None), within_s, what
            )
        assert isinstance(found, Heard)
        return found

    def last_seq(self, turn: str) -> int:
        with self._news:
            heard = self.heard.get(turn)
            return heard[-1].seq if heard else 0

    def close(self) -> None:
        self._is_over = True
        if self._socket is not None:
            with contextlib.suppress(WebSocketException, OSError):
                self._socket.close()
        self._thread.join(timeout=10)

    def _wait(self, find: Any, within_s: float, what: str) -> Any:
        deadline = time.monotonic() + within_s
        while (found := find()) is None:
            if not self._news.wait(max(deadline - time.monotonic(), 0)):
                raise TimeoutError(f"not within {within_s:.0f} s: {what}")
        return found

    def _reply_to(self, client_id: str) -> dict[str, Any] | None:
        return next((reply for reply in self.replies if reply.get("client_id") == client_id), None)

    def _run(self) -> None:
        while not self._is_over:
            try:
                with connect(
                    self._url, additional_headers=self._headers, open_timeout=3, proxy=None, max_size=None
                ) as socket:
                    self._follow(socket)
            except (WebSocketException, OSError, TimeoutError):
                time.sleep(PAUSE_S)
            finally:
                with self._news:
                    self._socket = None

    def _follow(self, socket: ClientConnection) -> None:
        with self._news:
            self._socket = socket
            attach = [self._attach(turn) for turn in self._open()]
            commands, self._outbox = [*attach, *self._outbox], []
        for command in commands:
            socket.send(json.dumps(command))
        for text in socket:
            said = json.loads(text)
            for frame in said if isinstance(said, list) else (said,):
                self._take(frame)

    def _open(self) -> list[str]:
        return [
            turn
            for turn, heard in self.heard.items()
            if not heard or heard[-1].frame["type"] != "turn.finished"
        ]

    def _attach(self, turn: str) -> dict[str, Any]:
        after = self.heard[turn][-1].seq if self.heard[turn] else 0
        return {"op": "turn.attach", "turn": turn, "after": after}

    def _take(self, frame: dict[str, Any]) -> None:
        with self._news:
            if "seq" in frame:
                self.heard.setdefault(frame["turn"], []).append(Heard(time.monotonic(), frame))
            else:
                self.replies.append(frame)
            self._news.notify_all()

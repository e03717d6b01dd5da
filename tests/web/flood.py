"""An application that sends as fast as it is let, and says how much it has sent."""

from typing import Any

FRAME = "x" * 10_000
num_sent = 0


async def application(scope: dict[str, Any], receive: Any, send: Any) -> None:
    global num_sent
    await receive()
    if scope["type"] == "websocket":
        await send({"type": "websocket.accept"})
        while True:
            await send({"type": "websocket.send", "text": FRAME})
            num_sent += len(FRAME)
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": str(num_sent).encode()})

"""How much of a model's window the messages of a turn may take, and from where on they are made fewer."""

from dataclasses import dataclass

HIDE_SHARE = 0.60
HAND_OFF_SHARE = 0.85
SPARE_TOKENS = 50_000  # of the window of 262,144 tokens; less of a smaller one
FULL_WINDOW = 262_144
REPLY_SHARE = 8  # at most an eighth of the window is kept free for the reply
OPENING_SHARE = 0.35  # of the window, for earlier turns


@dataclass(frozen=True, kw_only=True)
class Room:
    """Tokens of messages: past `hide` old results are hidden, past `hand_off` old steps are handed off; more
    than `most` do not fit. `window` is for all there is."""

    window: int
    hide: int
    hand_off: int
    most: int

    @classmethod
    def of(cls, window: int, *, overhead_tokens: int, reply_tokens: int) -> "Room":
        """What is left beside the tools' specs and the reply. Never less than a quarter of the window: where
        the specs alone fill it, the backend says so."""
        most = max(window - overhead_tokens - min(reply_tokens, window // REPLY_SHARE), window // 4)
        spare = min(SPARE_TOKENS, window * SPARE_TOKENS // FULL_WINDOW)
        hand_off = min(int(window * HAND_OFF_SHARE), window - spare) - overhead_tokens
        hide = int(window * HIDE_SHARE) - overhead_tokens
        hand_off = max(min(hand_off, int(most * 0.95)), most * 2 // 3)
        return cls(
            window=window,
            hide=max(min(hide, int(most * 0.75)), most // 2),
            hand_off=hand_off,
            most=most,
        )

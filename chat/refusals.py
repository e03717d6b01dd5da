"""That a command was not carried out."""


class Refusal(Exception):
    """A command was not carried out. `code` is stable, `message` says what happened and what to do."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message

"""/v1/responses and /v1/conversations: OpenAI's newer dialect, whose answers are kept and may be made in the
background."""

"""Batches of chat completions: made of a file, driven by Celery, each line answered and billed once."""

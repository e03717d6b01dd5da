"""Searching: one port, the local index and the search engines of others behind it."""

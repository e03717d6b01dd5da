"""What a stranger's text can have the platform do, when the model follows every order that it reads: whole
turns with the real loop, tools, pages, search, MCP servers and agents."""

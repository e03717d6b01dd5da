"""Files that people upload: their text in parts, each with its place, and looking things up in them."""

"""What a model may say next: JSON schemas, regular expressions and grammars as masks over its vocabulary."""

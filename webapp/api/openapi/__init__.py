"""The API described as one OpenAPI 3.1 document, made of what the code itself reads: the structs that
bodies are decoded into, and beside them structs that say what answers look like."""

"""What schemathesis is told beside the document: nearly every model that it makes up is made the one there
is."""

import schemathesis


@schemathesis.hook
def map_body(context, body):
    if isinstance(body, dict) and isinstance(body.get("model"), str):
        body["model"] = "kimi-k2-thinking"
    return body

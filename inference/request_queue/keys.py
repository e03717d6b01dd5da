"""The names under which the request queue keeps things in Redis; the web reads some of them too.

A model has one queue that all its workers share and one for each worker; both are streams with the consumer
group `workers`. What belongs to one request expires by itself, and so does a heartbeat.
"""

GROUP = "workers"
CONTROL = "inference:control"  # a channel: aborts
WORKERS = "inference:workers"  # set: ids that have a heartbeat, or had one lately
MODELS = "inference:models"  # set: models that a worker or a request has named


def queue(model: str, owner: str = "") -> str:
    """Stream of requests: those for `owner`, or without one those that any worker may take."""
    return f"inference:{model}:requests:{owner}" if owner else f"inference:{model}:requests"


def owners(model: str) -> str:
    """Set: the workers whose own queue may hold requests."""
    return f"inference:{model}:owners"


def prefix(model: str, digest: str) -> str:
    """String: the worker that last took a request that began like this."""
    return f"inference:{model}:prefix:{digest}"


def worker(worker_id: str) -> str:
    """String: the heartbeat as JSON."""
    return f"inference:worker:{worker_id}"


def replies(request_id: str) -> str:
    """Stream: reply number n has the entry id n-0, so that Redis refuses a second writer."""
    return f"inference:reply:{request_id}"


def sent(nonce: str) -> str:
    """String: where this call to send put its request."""
    return f"inference:sent:{nonce}"


def abort(request_id: str) -> str:
    """String: the request is not wanted any more."""
    return f"inference:abort:{request_id}"


def reader(request_id: str) -> str:
    """String: a sign of life of whoever reads the replies."""
    return f"inference:reader:{request_id}"

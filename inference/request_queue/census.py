"""What /readyz and /metrics read of the queue: who serves what, and how much waits. A few calls, whatever the
number of keys.
"""

from typing import TYPE_CHECKING

from inference.request_queue import keys
from inference.request_queue.messages import Heartbeat
from inference.request_queue.redis_intake import decode

if TYPE_CHECKING:
    import redis


def workers(client: "redis.Redis[bytes]") -> list[Heartbeat]:
    """The living workers of all models. Raises redis.RedisError."""
    worker_ids = sorted(worker_id.decode() for worker_id in client.smembers(keys.WORKERS))
    beats = client.mget([keys.worker(one) for one in worker_ids]) if worker_ids else []
    return [heartbeat for beat in beats if beat and (heartbeat := decode(beat))]


def depths(client: "redis.Redis[bytes]") -> dict[str, int]:
    """How many requests the queues of each model hold, those being answered included.

    Raises redis.RedisError.
    """
    models = sorted(model.decode() for model in client.smembers(keys.MODELS))
    queues = {
        model: [
            keys.queue(model),
            *(keys.queue(model, owner.decode()) for owner in client.smembers(keys.owners(model))),
        ]
        for model in models
    }
    return {model: sum(client.xlen(queue) for queue in names) for model, names in queues.items()}

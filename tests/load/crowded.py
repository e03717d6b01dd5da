"""A thousand sockets on one web process: how late events come, whether any are missing, what memory it takes.

Feeder, Redis, web process and all readers share the machine's cores.
"""

import asyncio
from dataclasses import dataclass

from inference.bench.report import Figure
from tests.load.listener import Listener, close_all, open_all, percentile
from tests.load.web_site import Site, served

MOST_P99_MS, MOST_P99_CROWDED_MS, MOST_MIB = 50, 300, 200
PIECE_CHARS = 20
WARM_UP_S = 1.0


@dataclass(frozen=True, kw_only=True)
class Crowd:
    p50_ms: float
    p99_ms: float
    num_events: int
    num_missing: int
    web_mib: float


def measure(*, sockets: int = 1_000, seconds: float = 15.0) -> list[Figure]:
    figures = []
    for server in ("daphne", "uvicorn"):
        for hz, most in ((5, MOST_P99_MS), (20, MOST_P99_CROWDED_MS)):
            with served(server) as site:
                crowd = asyncio.run(follow(site, sockets=sockets, hz=hz, seconds=seconds))
            place = f"{sockets} sockets x {hz} events/s, {server}"
            figures += [
                Figure(name=f"{place}: delay, p50", value=crowd.p50_ms, unit="ms"),
                Figure(name=f"{place}: delay, p99", value=crowd.p99_ms, unit="ms", most=most),
                Figure(name=f"{place}: events missing or doubled", value=crowd.num_missing, unit="", most=0),
                Figure(
                    name=f"{place}: memory of the web process", value=crowd.web_mib, unit="MiB", most=MOST_MIB
                ),
            ]
    return figures


async def follow(site: Site, *, sockets: int, hz: float, seconds: float) -> Crowd:
    """Each socket follows a turn of its own."""
    opened = await asyncio.to_thread(site.inside, "open", str(sockets))
    listeners = [Listener(turn) for turn in opened["turns"]]
    await open_all(listeners, site.url, opened["cookie"])
    try:
        async with site.fed(
            [(turn, hz, PIECE_CHARS) for turn in opened["turns"]], seconds=seconds
        ) as feeding:
            last = await feeding
        await asyncio.gather(*(listener.wait_for(last[listener.turn]) for listener in listeners))
        memory = site.web_bytes()
    finally:
        await close_all(listeners)
    skipped = int(WARM_UP_S * hz)
    delays = [delay for listener in listeners for delay in listener.delays_s[skipped:]]
    unheard = sum(last[listener.turn] - listener.last for listener in listeners)
    return Crowd(
        p50_ms=1000 * percentile(delays, 0.5),
        p99_ms=1000 * percentile(delays, 0.99),
        num_events=sum(last.values()),
        num_missing=unheard + sum(one.num_missed + one.num_doubled for one in listeners),
        web_mib=memory / 2**20,
    )

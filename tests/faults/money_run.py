"""Money under kill -9: requests over the API, whole and cut, while web, Celery, Redis and the database die.

`python -m tests.faults.money_run --database sqlite|postgres --trials 1000` runs it on a platform of its own.
First clients of all three dialects are cut, each at a piece that is drawn, and nothing is killed: each must
be billed what was delivered to it, and at most the one piece that was handed to a socket just closed. Then a
trial is some requests at once and one kill among them. It fails unless afterwards every sum matches, nothing
was billed twice or at another price, and no hold is left after a minute.
"""

import argparse
import contextlib
import json
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from tests import services
from tests.faults import caller
from tests.faults.caller import DIALECTS, Seen
from tests.services import PostgresCluster, wait_until
from tests.stack import Stack
from webapp.billing import estimates

AT_ONCE = 6
KEPT_S = 60.0  # a hold may outlive its owner for so long
UP_WITHIN_S = 90.0
NUM_PIECES, PIECE_TOKENS = 60, 2
PIECES = ("pace: 200", "text: " + " ".join(f"word{number}" for number in range(NUM_PIECES)))
SETTINGS = {
    "REQUESTS_PER_MINUTE": "1000000",
    "KEY_REQUESTS_PER_MINUTE": "1000000",
    "CONCURRENT_REQUESTS": "500",
}

SET_UP = """
from decimal import Decimal
from django.utils import timezone
from webapp.accounts import keys
from webapp.accounts.models import User
from webapp.billing import accounts
from webapp.billing.models import Price
from webapp.catalog.models import ServedModel
model = ServedModel.objects.get(backend="scripted")
Price.objects.create(model=model, currency="USD", input_per_million=3, cached_input_per_million=1,
    output_per_million=7, valid_from=timezone.now())
user = User.objects.create_user("payer", "payer@example.com", "payer-password-1")
accounts.top_up(accounts.of(user), Decimal(1000), "transfer")
print(keys.create(user, name="fire")[1], model.name)
"""
OPEN_HOLDS = """
from webapp.billing.models import Hold
print(Hold.objects.filter(status="open").count())
"""
OUTCOME = """
import json
from collections import Counter
from webapp.billing import prices, pricing, proofs
from webapp.billing.models import Hold, LedgerEntry, UsageRecord
from inference.schema import Usage
records = list(UsageRecord.objects.select_related("price"))
def due(one):
    usage = Usage(**{name: getattr(one, name) for name in Usage.__struct_fields__})
    return pricing.cost_nano(prices.rates_of(one.price), usage)
proof = proofs.prove()
print(json.dumps({
    "billed": {one.reference: one.cost_nano for one in records},
    "output_tokens": {one.reference: one.output_tokens for one in records},
    "num_records": len(records),
    "num_wrong": sum(one.cost_nano != due(one) for one in records),
    "num_holds": Hold.objects.count(),
    "num_open": Hold.objects.filter(status="open").count(),
    "ledger_nano": -sum(LedgerEntry.objects.filter(kind="usage").values_list("amount_nano", flat=True)),
    "unsound": [claim["name"] for claim in proof.claims if claim["num_wrong"]],
}))
"""


@dataclass
class Tally:
    """What clients saw: how their requests ended, and of which id at least one piece arrived."""

    ends: Counter[str] = field(default_factory=Counter)
    whole: set[str] = field(default_factory=set)
    undisturbed: list[Seen] = field(default_factory=list)  # of a time when nothing was killed

    def add(self, seen: Seen) -> None:
        self.ends[f"{seen.end} {seen.status}" if seen.end == "refused" else seen.end] += 1
        if seen.end == "whole":
            self.whole.add(seen.id)


@dataclass
class Platform:
    stack: Stack
    cluster: PostgresCluster | None

    @property
    def targets(self) -> list[str]:
        return [*self.stack.part_names, "redis", *(["postgres"] if self.cluster else [])]

    def kill(self, target: str) -> None:
        if target == "redis":
            self.stack.redis.kill()
        elif target == "postgres":
            assert self.cluster is not None
            self.cluster.kill()
        else:
            self.stack.kill(target)

    def start(self, target: str) -> None:
        if target == "redis":
            self.stack.redis.start()
        elif target == "postgres":
            assert self.cluster is not None
            self.cluster.start()
        else:
            self.stack.start_part(target)
        # What could not bear the loss of another part has ended by itself: its supervisor starts it again.
        for name in self.stack.ended():
            self.stack.start_part(name)


def run(
    folder: Path, *, database: str, trials: int, seed: int, cuts: int = 0
) -> tuple[Tally, dict[str, object], list[str]]:
    """What clients saw, what the books say, and the faults: none, if all is well. `cuts`: so many clients of
    each dialect are cut."""
    cluster = _cluster(folder) if database == "postgres" else None
    stack = Stack(folder / "stack", settings=SETTINGS, database_url=cluster.url if cluster else "")
    tally, draw = Tally(), random.Random(seed)
    try:
        stack.start()
        stack.script(*PIECES)
        secret, model = stack.python(SET_UP).split()[-2:]
        platform = Platform(stack, cluster)
        _cut_clients(stack.url, draw, tally, cuts, secret=secret, model=model)
        for _trial in range(trials):
            _one_trial(platform, draw, tally, secret=secret, model=model)
        outcome = _settled_outcome(stack)
    finally:
        stack.stop()
        if cluster is not None:
            cluster.stop()
    return tally, outcome, _faults(tally, outcome)


def _cut_clients(url: str, draw: random.Random, tally: Tally, cuts: int, *, secret: str, model: str) -> None:
    """Every tenth client stays."""
    wanted = [
        (dialect, draw.randrange(1, NUM_PIECES) if number % 10 else None)
        for number in range(cuts)
        for dialect in DIALECTS
    ]

    def ask(one: tuple[str, int | None]) -> Seen:
        return caller.ask(url, secret, model, dialect=one[0], cut=one[1])

    with ThreadPoolExecutor(AT_ONCE) as pool:
        for seen in pool.map(ask, wanted):
            tally.add(seen)
            tally.undisturbed.append(seen)


def _one_trial(platform: Platform, draw: random.Random, tally: Tally, *, secret: str, model: str) -> None:
    target = draw.choice(platform.targets)
    wanted = [(draw.choice(list(DIALECTS)), _cut(draw)) for _request in range(AT_ONCE)]
    url = platform.stack.url
    with ThreadPoolExecutor(AT_ONCE) as pool:
        asked = [pool.submit(caller.ask, url, secret, model, dialect=one, cut=cut) for one, cut in wanted]
        time.sleep(draw.uniform(0, 0.6))
        platform.kill(target)
        time.sleep(draw.uniform(0, 0.3))
        platform.start(target)
        for one in asked:
            tally.add(one.result())
    wait_until(lambda: _serves(platform, secret), within_s=UP_WITHIN_S, what=f"the platform after {target}")


def _cut(draw: random.Random) -> int | None:
    """One of three clients is cut."""
    return draw.choice((None, None, draw.randrange(1, NUM_PIECES)))


def _serves(platform: Platform, secret: str) -> bool:
    for name in platform.stack.ended():
        platform.stack.start_part(name)
    with contextlib.suppress(httpx.HTTPError):
        headers = {"Authorization": f"Bearer {secret}"}
        return httpx.get(f"{platform.stack.url}/v1/models", headers=headers, timeout=5).status_code == 200
    return False


def _settled_outcome(stack: Stack) -> dict[str, object]:
    def is_none_open() -> bool:
        return int(stack.python(OPEN_HOLDS).split()[-1]) == 0

    with contextlib.suppress(TimeoutError):  # the outcome says how many are left
        wait_until(is_none_open, within_s=KEPT_S, what="the last hold", every_s=2)
    found: dict[str, object] = json.loads(stack.python(OUTCOME).splitlines()[-1])
    return found


def _faults(tally: Tally, outcome: dict[str, object]) -> list[str]:
    faults = [f"does not match: {name}" for name in list(outcome["unsound"])]  # type: ignore[call-overload]
    if outcome["num_open"]:
        faults.append(f"{outcome['num_open']} holds are open after {KEPT_S:.0f} s")
    if outcome["num_wrong"]:
        faults.append(f"{outcome['num_wrong']} records cost something else than their tokens at their price")
    billed = dict(outcome["billed"])  # type: ignore[call-overload]
    if len(billed) != outcome["num_records"]:
        faults.append("a request was billed twice")
    if sum(billed.values()) != outcome["ledger_nano"]:
        faults.append("the ledger is not the sum of the bills")
    return faults + _faults_of_cuts(tally, dict(outcome["output_tokens"]))  # type: ignore[call-overload]


def _faults_of_cuts(tally: Tally, billed: dict[str, int]) -> list[str]:
    """Who lost no server has one bill, of the tokens that were delivered."""
    faults = []
    for seen in tally.undisturbed:
        told = billed.get(seen.id, -1)
        delivered = estimates.estimated_tokens(seen.text)
        # Who was cut after the last word has had it all: the model may have counted it.
        is_counted = told == NUM_PIECES == seen.text.count("word")
        if seen.end not in ("whole", "cut"):
            faults.append(f"{seen.dialect}: undisturbed and {seen.end} {seen.status}")
        elif not is_counted and (seen.end == "whole" or not 0 <= told - delivered <= PIECE_TOKENS):
            faults.append(f"{seen.dialect} {seen.id}: delivered {delivered}, billed {told}")
    return faults


def _exact(tally: Tally, outcome: dict[str, object]) -> str:
    billed = dict(outcome["output_tokens"])  # type: ignore[call-overload]
    cut = [seen for seen in tally.undisturbed if seen.end == "cut"]
    num_exact = sum(billed.get(seen.id) == estimates.estimated_tokens(seen.text) for seen in cut)
    return f"{num_exact} of {len(cut)}"


def _cluster(folder: Path) -> PostgresCluster:
    programs = services.postgres_programs()
    if programs is None:
        raise SystemExit("no PostgreSQL server on this machine: apt-get install postgresql")
    folder.chmod(0o755)
    cluster = PostgresCluster(folder / "postgres", programs=programs, is_durable=True)
    cluster.start()
    return cluster


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--database", choices=("sqlite", "postgres"), default="sqlite")
    parser.add_argument("--trials", type=int, default=20)
    parser.add_argument("--cuts", type=int, default=10, help="of each dialect, with nothing killed")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args(arguments)
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="money-") as folder:
        tally, outcome, faults = run(
            Path(folder),
            database=options.database,
            trials=options.trials,
            seed=options.seed,
            cuts=options.cuts,
        )
    unbilled = len(tally.whole - set(dict(outcome["billed"])))  # type: ignore[call-overload]
    told = (
        f"{options.database}: {options.cuts} clients of each dialect, {options.trials} kills,"
        f" seed {options.seed}",
        f"of those cut {_exact(tally, outcome)} were billed to the token",
        f"{time.monotonic() - began:.0f} s",
        f"clients saw {dict(tally.ends)}",
        f"{outcome['num_records']} records of {outcome['num_holds']} holds",
        f"whole answers whose bill a kill took, which is the platform's loss: {unbilled}",
        *(faults or ["every sum matches; nothing billed twice; no hold left"]),
    )
    sys.stdout.writelines(f"{line}\n" for line in told)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())

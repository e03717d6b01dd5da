"""How much each tenant was served, in tokens: the virtual token counters of "Fairness in Serving Large
Language Models" (Sheng et al., OSDI 2024).
"""

from collections import Counter


class Fairness:
    """Only tenants with unfinished sequences compete. One that comes back is as far as the least served of
    them, at least: nobody saves up by staying away.
    """

    def __init__(self) -> None:
        self._served: dict[str, int] = {}
        self._active: Counter[str] = Counter()

    def enter(self, tenant: str) -> None:
        """Note another unfinished sequence of a tenant."""
        if tenant not in self._active:
            self._served[tenant] = max(self.served(tenant), self._least())
        self._active[tenant] += 1

    def leave(self, tenant: str) -> None:
        """Note that a sequence ended."""
        self._active[tenant] -= 1
        if self._active[tenant] == 0:
            del self._active[tenant]
            self._forget()

    def charge(self, tenant: str, num_tokens: int) -> None:
        self._served[tenant] += num_tokens

    def served(self, tenant: str) -> int:
        return self._served.get(tenant, 0)

    def _least(self) -> int:
        return min((self._served[tenant] for tenant in self._active), default=0)

    def _forget(self) -> None:
        """Drop the counts of absent tenants that would be raised on their return anyhow."""
        least = self._least() if self._active else None
        self._served = {
            tenant: served
            for tenant, served in self._served.items()
            if tenant in self._active or (least is not None and served > least)
        }

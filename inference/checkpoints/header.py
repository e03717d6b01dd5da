"""The fields of a model file's header, each of the kind it must be, and whether they go together."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from inference.checkpoints import BadModelFile
from inference.config import Experts, ModelConfig

_MOST = 1 << 40
# Far above any model, and few enough to name every parameter.
_MOST_LAYERS = 1000
_MOST_EXPERTS = 4096


@dataclass(frozen=True)
class Fields:
    """Fields of `source`, each under `prefix` and its name. One that is absent or null stands for the
    default; without a default it must be there. All methods raise BadModelFile.
    """

    raw: Mapping[str, Any]
    source: str
    prefix: str = ""

    def optional(self, name: str, default: Any) -> Any:
        value = self.raw.get(self.prefix + name)
        return default if value is None else value

    def whole(self, name: str, default: int | None = None, *, least: int = 1) -> int:
        value = self.optional(name, default)
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value < _MOST:
            raise self._fault(name, value, f"a whole number, {least} or more,")
        return value

    def number(self, name: str, default: float | None = None) -> float:
        value = self.optional(name, default)
        # Compared as it is: NaN and infinity fail too, and a whole number may be too long for a float.
        if isinstance(value, bool) or not isinstance(value, int | float) or not -_MOST < value < _MOST:
            raise self._fault(name, value, "a number")
        return float(value)

    def flag(self, name: str, default: bool | None = None) -> bool:
        value = self.optional(name, default)
        if not isinstance(value, bool):
            raise self._fault(name, value, "true or false")
        return value

    def table(self, name: str) -> Mapping[str, Any]:
        """A table of further fields; empty where there is none."""
        value = self.optional(name, {})
        if not isinstance(value, dict):
            raise self._fault(name, value, "an object")
        return value

    def expect(self, name: str, expected: Any) -> None:
        """Raises BadModelFile where the key is there and asks for something else."""
        value = self.optional(name, expected)
        if value != expected:
            raise BadModelFile(
                f"{self.source} has {self.prefix}{name} {value!r}; this engine computes {expected!r} only: "
                "take another model"
            )

    def _fault(self, name: str, value: Any, wanted: str) -> BadModelFile:
        return BadModelFile(
            f"{self.source} needs {wanted} as {self.prefix + name!r}, not {value!r}: fetch it again, or take "
            "another model"
        )


def require_sense(config: ModelConfig) -> ModelConfig:
    """The configuration itself. Raises BadModelFile where its numbers contradict each other."""
    yarn, llama3 = config.yarn, config.llama3
    holds = {
        f"{config.num_heads} heads share {config.num_kv_heads} of keys and values evenly": (
            config.latent is not None or config.num_heads % config.num_kv_heads == 0
        ),
        f"{config.num_layers} layers are {_MOST_LAYERS} at most": config.num_layers <= _MOST_LAYERS,
        f"{config.rope_dim} rotating dimensions make pairs": config.rope_dim % 2 == 0,
        f"a rotary base of {config.rope_theta:g} is above 1": config.rope_theta > 1,
        f"positions are divided by {config.rope_scale:g}, above 0": config.rope_scale > 0,
        f"an epsilon of {config.rms_norm_eps:g} is not negative": config.rms_norm_eps >= 0,
        "YaRN's factor and betas are above 0": (
            yarn is None or min(yarn.factor, yarn.beta_fast, yarn.beta_slow) > 0
        ),
        "YaRN's magnitudes are not negative": yarn is None or min(yarn.mscale, yarn.mscale_all_dim) >= 0,
        "the stretch's factor is above 0, and its high frequency above its low": llama3 is None
        or (llama3.factor > 0 and llama3.high_frequency_factor > llama3.low_frequency_factor),
        **({} if config.experts is None else _experts_hold(config.experts)),
    }
    for words, is_so in holds.items():
        if not is_so:
            raise BadModelFile(
                f"{config.name} cannot be computed, for it does not hold that {words}: fetch it again, or "
                "take another model"
            )
    return config


def _experts_hold(experts: Experts) -> dict[str, bool]:
    size, rest = divmod(experts.num_experts, experts.num_groups)
    # A group is judged by its two best experts.
    is_grouped = experts.num_groups == 1 or (rest == 0 and size >= 2)
    return {
        f"{experts.num_experts} experts are {_MOST_EXPERTS} at most": experts.num_experts <= _MOST_EXPERTS,
        f"{experts.num_experts} experts make {experts.num_groups} groups": is_grouped,
        f"{experts.num_groups_chosen} of {experts.num_groups} groups are chosen": (
            experts.num_groups_chosen <= experts.num_groups
        ),
        f"{experts.num_per_token} experts are chosen among those of the chosen groups": (
            experts.num_per_token <= experts.num_groups_chosen * size
        ),
    }

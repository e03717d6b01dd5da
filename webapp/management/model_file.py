"""Fetching a model's file with a bar that shows how far it is."""

from pathlib import Path

from tqdm import tqdm

from inference import registry


def fetch(name: str, *, models_dir: Path, given_path: Path | None) -> Path:
    """The file of this model; raises registry.RegistryError, which says what to do."""
    entry = registry.entry(name)
    if registry.is_at_hand(entry, models_dir):
        return entry.path(models_dir)
    with tqdm(total=entry.size, unit="B", unit_scale=True, desc=f"Fetching {entry.label}", leave=True) as bar:

        def show(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        return registry.fetch(entry, models_dir, given_path=given_path, on_progress=show)

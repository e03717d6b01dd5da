"""A container's limits bound what the engine plans with."""

from pathlib import Path

from inference.engine import resources


def test_a_cpu_quota_bounds_the_cores(tmp_path: Path) -> None:
    assert resources.num_cores(tmp_path) >= 1
    (tmp_path / "cpu.max").write_text("max 100000\n")
    unlimited = resources.num_cores(tmp_path)
    (tmp_path / "cpu.max").write_text("150000 100000\n")
    assert resources.num_cores(tmp_path) == 1
    assert unlimited >= 1


def test_a_memory_limit_bounds_what_is_available_and_cached_files_do_not_count(tmp_path: Path) -> None:
    assert resources.available_bytes(tmp_path) > 0
    (tmp_path / "memory.max").write_text("1000\n")
    (tmp_path / "memory.current").write_text("900\n")
    (tmp_path / "memory.stat").write_text("anon 600\ninactive_file 200\nactive_file 100\nslab 3\n")
    assert resources.available_bytes(tmp_path) == 400
    (tmp_path / "memory.max").write_text("max\n")
    assert resources.available_bytes(tmp_path) > 400

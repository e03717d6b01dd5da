"""Renaming and testing a Python program in the sandbox, as a model does it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from agents.sandbox import libraries, tiers
from agents.sandbox.sessions import Launcher
from agents.sandbox.turn_sandbox import Pool
from agents.tool import Fault
from tests.sandbox.desk import Desk

pytestmark = pytest.mark.skipif(not tiers.active().is_offered, reason="no sandbox on this machine")

ORDER = '''\
"""Orders and their total."""


class Order:
    def __init__(self, prices: list[int]) -> None:
        self.prices = prices

    def total(self) -> int:
        return sum(self.prices)


class Discounted(Order):
    def total(self) -> int:
        return super().total() // 2


def largest(orders: list[Order]) -> int:
    return max(order.total() for order in orders)
'''
REPORT = """\
from shop.order import Discounted, Order, largest

total = "total"


def report() -> str:
    order = Order([1, 2])
    return f"{total}: {order.total()} of {largest([order])}, {Discounted([4]).total()}"
"""
TESTS = """\
import unittest

from shop import order, report


def test_report():
    assert report.report() == "total: 3 of 3, 2"


class Largest(unittest.TestCase):
    def test_it(self):
        self.assertEqual(order.largest([order.Order([1]), order.Order([5])]), 5)
"""
TWO_WRONG = """\
def test_one():
    print("seen")
    assert 1 == 2


def test_two():
    {}["x"]
"""
ENDLESS = """\
def test_fast():
    pass


def test_slow():
    while True:
        pass
"""


@pytest.fixture(scope="module")
def pool() -> Iterator[Pool]:
    shown = libraries.places(*libraries.TESTING, *libraries.RENAMING)
    pool = Pool(Launcher(libraries=shown))
    yield pool
    pool.close()


@pytest.fixture
def desk(tmp_path: Path, pool: Pool) -> Desk:
    desk = Desk(tmp_path, pool)
    desk.write(**{"shop/order.py": ORDER, "shop/report.py": REPORT, "test_shop.py": TESTS})
    return desk


# ---- tests


async def test_tests_that_pass_are_counted_in_one_line(desk: Desk) -> None:
    assert await desk.says("run_tests") == "2 passed"
    assert await desk.says("run_tests", path="test_shop.py::Largest", only="it") == "1 passed"
    assert sorted(desk.tree()) == ["shop/order.py", "shop/report.py", "test_shop.py"], (
        "nothing is left behind"
    )


async def test_the_first_failure_is_told_with_its_place_and_the_others_in_a_line(desk: Desk) -> None:
    desk.write(**{"test_more.py": TWO_WRONG})
    said = await desk.says("run_tests")
    assert said.startswith("2 failed, 2 passed\nFirst: test_more.py::test_one (test_more.py:3)\n")
    assert "E   assert 1 == 2" in said
    assert "It printed:\nseen" in said
    assert said.endswith("Also: test_more.py::test_two (test_more.py:7): KeyError: 'x'")


async def test_a_module_that_cannot_be_read_is_an_error_with_its_line(desk: Desk) -> None:
    desk.write(**{"test_bad.py": "def test_it(:\n    pass\n"})
    said = await desk.says("run_tests", path="test_bad.py")
    assert said.startswith("1 errors\nFirst: test_bad.py")
    assert "SyntaxError" in said


async def test_what_is_no_test_is_said(desk: Desk) -> None:
    assert "No tests were found in shop" in await desk.says("run_tests", path="shop")
    assert "not found: nowhere.py" in await desk.refuses("run_tests", path="nowhere.py")
    await desk.refuses("run_tests", path="../..")


async def test_tests_without_end_are_stopped_and_the_one_that_hung_is_named(desk: Desk) -> None:
    desk.write(**{"test_slow.py": ENDLESS})
    result = await desk.call("run_tests", path="test_slow.py", timeout_s=5)
    assert (result.is_error, result.fault) == (True, Fault.TIMEOUT)
    assert "stopped after 5 seconds while test_slow.py::test_slow ran" in result.for_model


async def test_a_program_that_ends_python_is_told_from_tests_that_fail(desk: Desk) -> None:
    desk.write(**{"test_end.py": "import os\n\n\ndef test_it():\n    os._exit(3)\n"})
    result = await desk.call("run_tests", path="test_end.py")
    assert result.is_error
    assert "Python ended while test_end.py::test_it ran" in result.for_model


async def test_modules_of_the_folder_do_not_stand_in_the_way_of_the_runner(desk: Desk) -> None:
    desk.write(**{"json.py": "1/0", "pytest.py": "1/0", "rope.py": "1/0", "ast.py": "1/0"})
    assert await desk.says("run_tests", path="test_shop.py") == "2 passed"
    said = await desk.says("rename_symbol", path="shop/order.py", name="largest", new_name="highest")
    assert said.startswith("Renamed 4 times in 3 files")


# ---- renaming


async def test_a_method_is_renamed_over_modules_and_the_tests_stay_green(desk: Desk) -> None:
    said = await desk.says("rename_symbol", path="shop/order.py", name="Order.total", new_name="gross")
    assert "shop/order.py, shop/report.py" in said
    assert 'shop/report.py:3: total = "total"' in said, "what is something else stays, and is told"
    report = desk.tree()["shop/report.py"].decode()
    assert "{total}: {order.gross()}" in report
    assert "Discounted([4]).gross()" in report
    # What nobody can know without running it is told, to be looked at.
    for line, left in ((14, "super().total()"), (18, "order.total() for")):
        assert f"shop/order.py:{line}: return" in said
        new = left.replace("total", "gross")
        await desk.says("edit_file", path="shop/order.py", old=left, new=new)
    assert await desk.says("run_tests") == "2 passed"


async def test_functions_parameters_and_local_names_are_renamed(desk: Desk) -> None:
    await desk.says("rename_symbol", path="shop/order.py", name="largest", new_name="highest")
    await desk.says("rename_symbol", path="shop/order.py", name="highest.orders", new_name="all_orders")
    await desk.says("rename_symbol", path="shop/report.py", name="order", line=7, new_name="mine")
    tree = {path: content.decode() for path, content in desk.tree().items()}
    assert "def highest(all_orders: list[Order])" in tree["shop/order.py"]
    assert "mine = Order([1, 2])" in tree["shop/report.py"]
    assert "order.highest([order.Order([1])" in tree["test_shop.py"]
    assert await desk.says("run_tests") == "2 passed"


async def test_a_rename_that_makes_no_sense_changes_nothing(desk: Desk) -> None:
    for name, new_name, said in (
        ("Order.sum", "gross", "not defined there"),
        ("Missing.total", "gross", "no Missing"),
        ("Order.total", "not a name", "cannot be a name"),
        ("Order.total", "class", "cannot be a name"),
        ("Order.total", "total", "has that name"),
    ):
        assert said in await desk.refuses("rename_symbol", path="shop/order.py", name=name, new_name=new_name)
    desk.write(**{"bad.py": "def f(:\n"})
    assert "syntax error at line 1" in await desk.refuses(
        "rename_symbol", path="bad.py", name="f", new_name="g"
    )
    await desk.says("rename_symbol", path="shop/order.py", name="Order", new_name="Basket")


async def test_a_rename_run_again_says_the_same_and_does_nothing_more(desk: Desk) -> None:
    arguments = {"path": "shop/order.py", "name": "Order", "new_name": "Basket"}
    first = await desk.says("rename_symbol", key="turn.1.0", **arguments)
    after = desk.tree()
    assert await desk.says("rename_symbol", key="turn.1.0", **arguments) == first
    assert desk.tree() == after
    assert "not defined there" in await desk.refuses("rename_symbol", **arguments)


async def test_files_made_to_break_a_parser_end_in_a_clear_word(desk: Desk) -> None:
    deep, long = "(" * 5_000, "-" * 200_000
    desk.write(**{"deep.py": f"x = {deep}1\nname = 1\n", "nested.py": f"{long}name"})
    for path in ("deep.py", "nested.py"):
        await desk.refuses("rename_symbol", path=path, name="name", new_name="other")

"""What the benchmarks compare: values of the same round, and the median over the rounds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import count

from tests.bench.report import Result
from tests.bench.rounds import Rounds, Spread, measure

ROUNDS = Rounds(
    [
        {"bare": 100.0, "empty": 150.0, "probe": 190.0},
        {"bare": 200.0, "empty": 260.0, "probe": 350.0},
        {"bare": 100.0, "empty": 140.0, "probe": 300.0},
    ]
)


def test_a_spread_is_the_median_and_the_extremes() -> None:
    assert Spread.of([3.0, 1.0, 9.0]) == Spread(3.0, 1.0, 9.0)


def test_what_a_variant_adds_is_paired_with_the_base_of_its_round() -> None:
    assert ROUNDS.added("probe", "bare") == Spread(150.0, 90.0, 200.0)


def test_a_ratio_is_taken_within_a_round() -> None:
    assert ROUNDS.ratio("probe", "bare") == Spread(1.9, 1.75, 3.0)


def test_what_two_variants_add_is_compared_within_a_round() -> None:
    assert ROUNDS.added_ratio("probe", "empty", "bare") == Spread(2.5, 1.8, 5.0)


def test_a_floor_that_was_not_above_the_base_counts_against_the_variant() -> None:
    assert Rounds([{"bare": 100.0, "empty": 99.0, "probe": 190.0}]).added_ratio("probe", "empty", "bare").median == float("inf")


def test_every_variant_is_measured_once_a_round_and_the_order_changes() -> None:
    clock, orders = count(), []

    def ticking(name: str) -> Callable[[], float]:
        def run() -> float:
            orders.append(name)
            return float(next(clock))

        return run

    found = measure({name: ticking(name) for name in "abc"}, rounds=8)

    assert [set(own) for own in found.values] == [set("abc")] * 8
    assert len(set(_chunks(orders, 3))) > 1


def _chunks(names: list[str], size: int) -> Iterator[tuple[str, ...]]:
    return (tuple(names[at : at + size]) for at in range(0, len(names), size))


def test_a_result_fails_above_its_budget_and_only_there() -> None:
    def verdict(value: float, budget: float | None) -> str:
        return Result("row", "what", Spread(value, value, value), "×", budget, "").verdict

    assert [verdict(2.0, 2.0), verdict(2.01, 2.0), verdict(9.0, None)] == ["pass", "FAIL", ""]


def test_a_result_that_must_reach_its_budget_fails_below_it() -> None:
    def verdict(value: float) -> str:
        return Result("row", "what", Spread(value, value, value), "/s", 2.0, "", at_least=True).verdict

    assert [verdict(2.0), verdict(1.99)] == ["pass", "FAIL"]

"""A printed ratio says what the printed rates say, or that there is no difference."""

from __future__ import annotations

import statistics
from dataclasses import fields

from hypothesis import given
from hypothesis import strategies as st

from harness.measure import ImplResult, Round
from harness.tables import times_between

# Rounds of a program whose table once read "20,775 -> 19,841 requests/s, 1.03x".
NOISY_PLAIN = (20775.0, 15100.0, 24300.0, 18700.0, 21900.0)
NOISY_OURS = (21400.0, 16200.0, 19841.0, 19300.0, 20600.0)


def measured(rates: tuple[float, ...]) -> ImplResult:
    """A result of these rates and nothing else."""
    empty = {field.name: 0 for field in fields(Round)}
    return ImplResult(rounds=[Round(**{**empty, "rate": rate}) for rate in rates])


def test_ratio_whose_rounds_disagree_is_none() -> None:
    """The median of the ratios is above 1 here, the ratio of the medians below."""
    plain, ours = measured(NOISY_PLAIN), measured(NOISY_OURS)
    assert ours.median("rate") < plain.median("rate")
    assert ours.ratio("rate", plain).median > 1
    assert times_between(ours.ratio("rate", plain)) == "none"


def test_ratio_whose_rounds_agree_is_printed_with_its_spread() -> None:
    """Half the range over the rounds, as everywhere."""
    ratio = measured((300.0, 240.0, 320.0)).ratio("rate", measured((100.0, 100.0, 100.0)))
    assert times_between(ratio) == "3.00x ±0.40"


def test_ratio_to_itself_is_one() -> None:
    """The standard module's own row."""
    plain = measured(NOISY_PLAIN)
    assert times_between(plain.ratio("rate", plain)) == "1.00x"


def test_ratio_without_figures_is_a_dash() -> None:
    """One that failed has no rounds to compare."""
    failed = ImplResult(error="the server does not answer")
    assert times_between(measured(NOISY_OURS).ratio("rate", failed)) == "-"
    assert times_between(failed.ratio("rate", measured(NOISY_OURS))) == "-"


rates = st.floats(min_value=1, max_value=1e6)


@given(st.lists(st.tuples(rates, rates), min_size=1, max_size=9))
def test_printed_ratio_never_contradicts_the_medians(rounds: list) -> None:
    """If every round is on one side of 1, the medians are, too."""
    ours, plain = zip(*rounds, strict=True)
    ratio = measured(ours).ratio("rate", measured(plain))
    if ratio.is_noise:
        return
    if ratio.median > 1:
        assert statistics.median(ours) >= statistics.median(plain)
    if ratio.median < 1:
        assert statistics.median(ours) <= statistics.median(plain)

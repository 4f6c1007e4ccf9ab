import pytest

from inference.policy.cache.admission import MIB, Admission, refuse, weigh

RULE = Admission(max_share=0.25, min_cost_s=0.001, min_cost_s_per_mib=0.01)


@pytest.mark.parametrize("size_bytes, cost_s, why", [
    (MIB, 0.02, ""),
    (0, 0.001, ""),
    (2 * MIB, 0.02, ""),  # just what a MiB has to save
    (2 * MIB, 0.019, "0.010000 s is the least"),
    (MIB, 0.0009, "less than 0.001000 s is not worth storing"),
    (MIB, float("nan"), "computing it takes nan s"),
    (5 * MIB, 9.0, "more than the 25.0% of the cache"),
    (17 * MIB, 9.0, "more than the whole cache"),
])  # fmt: skip
def test_an_answer_is_stored_if_it_is_small_and_dear_enough(size_bytes: int, cost_s: float, why: str) -> None:
    told = refuse(size_bytes, cost_s, 16 * MIB, RULE)
    assert told == "" if not why else why in told


@pytest.mark.parametrize("hits, requests, saved_s, pays", [
    (0, 0, 0.0, True), (0, 1000, 0.0, False), (10, 1000, 0.001, False), (10, 1000, 0.002, True), (900, 1000, 9.0, True),
])  # fmt: skip
def test_a_cache_pays_if_hits_save_more_than_looking_costs(
    hits: int, requests: int, saved_s: float, pays: bool
) -> None:
    worth = weigh(hits, requests, saved_s, overhead_s=2e-6)
    assert worth.pays is pays
    assert f"{requests} requests" in worth.reason

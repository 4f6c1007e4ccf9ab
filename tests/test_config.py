"""A bad value stops the start, by name."""

import pytest

from inference.config import BadSetting, Config


@pytest.mark.parametrize("given", ["soon", "-1", "nan", "-inf"])
def test_a_time_that_is_none_stops_the_start_by_name(given: str) -> None:
    with pytest.raises(BadSetting, match="SWITCHYARD_BODY_TIMEOUT_S"):
        Config.from_env({"SWITCHYARD_BODY_TIMEOUT_S": given})


@pytest.mark.parametrize("given", ["0", "0.5", "inf"])
def test_a_time_is_taken_as_it_is_given(given: str) -> None:
    assert Config.from_env({"SWITCHYARD_POLL_S": given}).poll_s == float(given)

"""The bill, before and after."""

from __future__ import annotations

import pytest

from remanence.core.errors import RemanenceError
from remanence.models.endpoint.budget import Estimate, cost, tokens_of
from remanence.models.endpoint.settings import Address, EndpointSettings
from remanence.models.endpoint.wire import Request


def test_two_requests_by_hand() -> None:
    """20 + 30 prompt tokens at 3 a million and 2 x 10 completion tokens at 15 a million: 150 + 300 millionths."""
    asked = [Request("completions", {"prompt": "x", "max_tokens": 10}, n) for n in (20, 30)]
    estimate = Estimate.of(asked)
    assert estimate == Estimate(2, 50, 20)
    priced = EndpointSettings(price_in=3, price_out=15)
    assert estimate.cost(priced) == cost(50, 20, priced) == pytest.approx(450e-6)
    assert estimate.cost(EndpointSettings(price_in=3)) is None
    assert tokens_of("twelve signs") == 3


def test_more_than_is_allowed_is_refused_and_as_much_is_not() -> None:
    Estimate(5, 1_000_000, 0).check(EndpointSettings(max_requests=5, price_in=2, price_out=1, max_cost=2))
    with pytest.raises(RemanenceError, match=r"needs 6 requests, more than --max-requests 5; no row was sent"):
        Estimate(6).check(EndpointSettings(max_requests=5))
    with pytest.raises(RemanenceError, match=r"needs 7 requests"):
        Estimate(5).check(EndpointSettings(max_requests=6), sent=2)
    with pytest.raises(RemanenceError, match=r"may cost 2\.00, more than --max-cost 1\.99; no row was sent"):
        Estimate(5, 1_000_000, 0).check(EndpointSettings(price_in=2, price_out=1, max_cost=1.99))


@pytest.mark.parametrize("wrong", [{"concurrency": 0}, {"timeout": 0.0}, {"max_cost": 1.0}, {"price_in": -1.0}])
def test_settings_that_make_no_sense_are_refused_with_the_option(wrong: dict[str, float]) -> None:
    with pytest.raises(RemanenceError, match=f"^{next(iter(wrong))}= "):
        EndpointSettings(**wrong)  # pyright: ignore[reportArgumentType]


def test_an_address_tells_the_host_and_hides_folders() -> None:
    address = Address.parse("api:/srv/models/my-tune@http://user:pw@gpu.example.org:8000/v1/")
    assert (address.title, address.host, address.url) == (
        "my-tune",
        "gpu.example.org",
        "http://user:pw@gpu.example.org:8000/v1",
    )
    assert Address.parse("api:ft:gpt:org@2@https://h/v1").model == "ft:gpt:org@2"
    assert Address.parse("api:org/name@https://h/v1").title == "org/name"
    with pytest.raises(RemanenceError, match="api:my-tune@http"):
        Address.parse("api:my-tune")

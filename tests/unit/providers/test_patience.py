"""How long a caller may have to wait for a provider, against who waits with him."""

from services.gateway.settings import GatewaySettings
from services.providers import asking
from services.providers.accounts import check_provider
from services.providers.sending_domains import dns


def test_every_question_to_a_provider_ends_within_ten_seconds() -> None:
    for seconds in (asking.CHECK_SECONDS, asking.IDENTITY_SECONDS, check_provider._SECONDS):
        assert seconds + asking.GOODBYE_SECONDS <= 10


def test_the_gateway_waits_longer_than_the_longest_of_them_with_dns() -> None:
    longest = asking.IDENTITY_SECONDS + asking.GOODBYE_SECONDS + dns._SECONDS
    assert GatewaySettings.model_fields["upstream_timeout"].default >= longest + 10, "storing it takes its time too"

"""Where mail may be sent to: not to metadata services, not to our own servers, however the address is spelled."""

import ipaddress
import socket

import pytest

from libs.common.relay.outbound import OutboundPolicy, OutboundRefused, literal, permitted_addresses
from tests.support import aio


@pytest.mark.parametrize(
    "address",
    [
        "0.0.0.0",  # noqa: S104
        "0.1.2.3",
        "169.254.169.254",
        "169.254.0.1",
        "224.0.0.1",
        "239.255.255.255",
        "255.255.255.255",
        "100.100.100.200",
        "::",
        "fe80::1",
        "ff02::1",
        "fd00:ec2::254",
        "::ffff:169.254.169.254",
        "::ffff:0.0.0.0",
        "64:ff9b::a9fe:a9fe",
        "2002:a9fe:a9fe::1",
    ],
)
def test_an_address_that_is_never_connected_to(address: str) -> None:
    assert not OutboundPolicy().permits(ipaddress.ip_address(address), 25)


@pytest.mark.parametrize(
    "address", ["127.0.0.1", "::1", "10.1.2.3", "192.168.1.1", "172.16.0.1", "fd12::1", "192.0.2.1", "2001:db8::1"]
)
def test_local_relays_and_public_ones_are_open(address: str) -> None:
    assert OutboundPolicy().permits(ipaddress.ip_address(address), 25)


@pytest.mark.parametrize("address", ["127.0.0.1", "127.8.8.8", "::1", "::ffff:127.0.0.1"])
def test_our_own_servers_are_not_mailed_to(address: str) -> None:
    policy = OutboundPolicy(own_ports=frozenset({4222}))
    assert not policy.permits(ipaddress.ip_address(address), 4222)
    assert policy.permits(ipaddress.ip_address(address), 25)
    assert policy.permits(ipaddress.ip_address("192.0.2.1"), 4222)


@pytest.mark.parametrize("host", ["169.254.169.254", "[::ffff:a9fe:a9fe]", "fe80::1"])
def test_a_spelled_out_address_is_checked_without_a_resolver(host: str) -> None:
    with pytest.raises(OutboundRefused):
        aio.run(permitted_addresses(host, 25, policy=OutboundPolicy()))


def test_one_refused_address_refuses_the_host() -> None:
    async def resolve(_host: str, _port: int) -> tuple[str, ...]:
        return ("192.0.2.1", "169.254.169.254")

    with pytest.raises(OutboundRefused):
        aio.run(permitted_addresses("relay.example", 25, policy=OutboundPolicy(), resolver=resolve))


def test_a_link_local_address_with_its_interface_is_refused() -> None:
    async def resolve(_host: str, _port: int) -> tuple[str, ...]:
        return ("fe80::1%eth0",)

    with pytest.raises(OutboundRefused):
        aio.run(permitted_addresses("relay.example", 25, policy=OutboundPolicy(), resolver=resolve))


def test_the_name_is_resolved_once_and_its_addresses_are_what_is_used() -> None:
    asked = []

    async def resolve(host: str, port: int) -> tuple[str, ...]:
        asked.append((host, port))
        return ("192.0.2.1", "2001:db8::1")

    found = aio.run(permitted_addresses("relay.example", 587, policy=OutboundPolicy(), resolver=resolve))
    assert asked == [("relay.example", 587)]
    assert [str(address) for address in found] == ["192.0.2.1", "2001:db8::1"]


def test_a_name_without_an_address_is_an_error_of_the_resolver() -> None:
    with pytest.raises(socket.gaierror):
        aio.run(permitted_addresses("no-such-host.invalid", 25, policy=OutboundPolicy()))


@pytest.mark.parametrize(("host", "expected"), [("127.0.0.1", True), ("[::1]", True), ("localhost", False)])
def test_a_literal_is_an_address_as_written(host: str, *, expected: bool) -> None:
    assert (literal(host) is not None) is expected

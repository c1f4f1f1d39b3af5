"""Where mail may be sent to: not to metadata services, not to our own servers, however the address is spelled."""

import asyncio
import ipaddress
import socket

import pytest

from libs.common.relay.outbound import OutboundPolicy, OutboundRefused, SharedLookups, literal, permitted_addresses
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
        "168.63.129.16",
        "::",
        "fe80::1",
        "ff02::1",
        "fd00:ec2::254",
        "::ffff:169.254.169.254",
        "::ffff:0.0.0.0",
        "64:ff9b::a9fe:a9fe",
        "::169.254.169.254",
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


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "10.1.2.3",
        "172.31.0.1",
        "192.168.1.1",
        "100.64.0.1",
        "192.0.2.1",
        "198.18.0.1",
        "240.0.0.1",
        "::1",
        "fd12::1",
        "fec0::1",
        "2001:db8::1",
        "64:ff9b:1::1",
        "::ffff:10.1.2.3",
        "64:ff9b::a01:203",
        "2002:a01:203::1",
        "169.254.169.254",
    ],
)
def test_where_only_public_addresses_are_allowed_others_are_not(address: str) -> None:
    assert not OutboundPolicy(allow_private=False).permits(ipaddress.ip_address(address), 25)


@pytest.mark.parametrize("address", ["8.8.8.8", "100.63.255.255", "2606:4700::1111", "::ffff:8.8.8.8"])
def test_public_addresses_are_open_under_either_policy(address: str) -> None:
    for allow_private in (False, True):
        assert OutboundPolicy(allow_private=allow_private).permits(ipaddress.ip_address(address), 25)


def test_where_ports_are_named_only_those_are_open() -> None:
    policy = OutboundPolicy(ports=frozenset({25, 587}))
    address = ipaddress.ip_address("192.0.2.1")
    assert policy.permits(address, 587)
    assert not policy.permits(address, 2525)


def test_every_address_of_this_machine_leads_to_our_own_servers() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # sends nothing; the kernel says which address of ours it would use
        except OSError:
            pytest.skip("this machine has no address but loopback")
        ours = ipaddress.ip_address(probe.getsockname()[0])
    policy = OutboundPolicy(own_ports=frozenset({4222}))
    assert not policy.permits(ours, 4222)
    assert not policy.permits(ipaddress.ip_address(f"::ffff:{ours}"), 4222)
    assert policy.permits(ours, 25)


def test_our_own_servers_on_other_machines_are_found_by_their_addresses() -> None:
    known = {"nats": ("10.0.0.7",), "alias.example": ("10.0.0.7",), "relay.example": ("10.0.0.8",)}

    async def resolve(host: str, _port: int) -> tuple[str, ...]:
        return known[host]

    policy = OutboundPolicy(own_servers=frozenset({("nats", 4222)}))
    for host in ("nats", "alias.example", "10.0.0.7", "::ffff:10.0.0.7", "[::10.0.0.7]", "64:ff9b::a00:7"):
        with pytest.raises(OutboundRefused, match="our own"):
            aio.run(permitted_addresses(host, 4222, policy=policy, resolver=resolve))
        aio.run(permitted_addresses(host, 25, policy=policy, resolver=resolve))
    aio.run(permitted_addresses("relay.example", 4222, policy=policy, resolver=resolve))


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]", "LOCALHOST."])
def test_the_bundled_inbox_is_excepted_from_everything(host: str) -> None:
    policy = OutboundPolicy(
        own_ports=frozenset({1025, 4222}), allow_private=False, ports=frozenset({587}), inbox="127.0.0.1:1025"
    )

    async def resolve(_host: str, _port: int) -> tuple[str, ...]:
        return ("127.0.0.1",)

    assert aio.run(permitted_addresses(host, 1025, policy=policy, resolver=resolve))
    with pytest.raises(OutboundRefused):
        aio.run(permitted_addresses(host, 4222, policy=policy, resolver=resolve))
    with pytest.raises(OutboundRefused):
        aio.run(permitted_addresses("relay.example", 1025, policy=policy, resolver=resolve))


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


async def test_a_dead_name_is_looked_up_once_and_delays_no_other() -> None:
    asked: list[str] = []
    held = asyncio.Event()

    async def system(host: str, _port: int) -> tuple[str, ...]:
        asked.append(host)
        if host == "dead.example":
            await held.wait()
            raise OSError("no answer")
        return (f"10.0.0.{len(asked)}",)

    async def impatient(host: str) -> tuple[str, ...]:
        async with asyncio.timeout(0.02):
            return await resolver(host, 25)

    resolver = SharedLookups(system)
    for _ in range(3):  # given up, it still goes on: nobody begins another
        given_up = await asyncio.gather(*(impatient("dead.example") for _ in range(10)), return_exceptions=True)
        assert {type(each) for each in given_up} == {TimeoutError}
    assert asked == ["dead.example"]
    assert await resolver("a.example", 25) == ("10.0.0.2",)
    assert await resolver("a.example", 25) == ("10.0.0.3",), "an answer is not kept"
    waiting = [asyncio.ensure_future(resolver("dead.example", 25)) for _ in range(2)]
    await asyncio.sleep(0)
    held.set()
    assert {type(each) for each in await asyncio.gather(*waiting, return_exceptions=True)} == {OSError}
    with pytest.raises(OSError, match="no answer"):
        await resolver("dead.example", 25)
    assert asked.count("dead.example") == 2


def test_a_lookup_that_ended_with_its_loop_is_begun_anew() -> None:
    async def system(host: str, _port: int) -> tuple[str, ...]:
        if loops:
            return (host,)
        loops.append(asyncio.get_running_loop())
        await asyncio.Event().wait()
        raise AssertionError

    async def given_up() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await resolver("a.example", 25)

    loops: list[asyncio.AbstractEventLoop] = []
    resolver = SharedLookups(system)
    asyncio.run(given_up())
    assert asyncio.run(resolver("a.example", 25)) == ("a.example",)

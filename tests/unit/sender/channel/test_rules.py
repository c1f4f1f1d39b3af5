"""Who may use a provider, and when: the table in the header of `channel.py`, row by row."""

from typing import Any

import pytest

from libs.common.facts.provider import Stopped
from libs.common.relay.port import Trouble
from services.sender.channel.circuit_rules import FAILURES, FIRST_PAUSE
from services.sender.channel.rate_limit_rules import CATCH_UP
from services.sender.channel.rules import LOOK, PROMISE, Channel, Turn
from services.sender.channel.share_rules import Share
from tests.support.sending import NOW, provider_state

HERE = provider_state(1, 25)
DOWN, WRONG, FULL = Trouble("connection", "down"), Trouble("configuration", "535"), Trouble("quota", "500 a day")


def nowhere() -> bool:
    return False


def somewhere() -> bool:
    return True


def opened(channel: Channel, now: float = 0.0) -> Channel:
    """The same with its circuit open."""
    for _ in range(FAILURES):
        channel.ask(nowhere)
        (request,) = channel.assign(now, may_write=True)
        channel.ended(request, DOWN, 0.0, now)
    assert channel.breaker.is_open
    return channel


def turns(channel: Channel, now: float = 0.0, *, may_write: bool = True) -> list[Turn | None]:
    return [each.turn for each in channel.assign(now, may_write=may_write)]


def test_1_a_worker_without_connections_turns_everybody_away() -> None:
    channel = Channel(HERE, 1, share=Share(workers=2, position=1))
    channel.ask(nowhere)
    channel.ask(somewhere)
    assert turns(channel) == [Turn.TURNED_AWAY] * 2


def test_1_a_worker_that_has_not_joined_yet_lets_them_wait() -> None:
    channel = Channel(HERE, 4, share=Share(joined=False))
    channel.ask(nowhere)
    assert turns(channel) == []
    assert channel.take_share(Share()) is False
    assert turns(channel) == [Turn.SEND]


def test_2_who_waits_for_a_deleted_provider_goes_elsewhere() -> None:
    channel = Channel(HERE, 1)
    channel.ask(nowhere)
    assert channel.configure(None, 1)
    assert turns(channel) == [Turn.ELSEWHERE]
    assert (channel.closed(0), channel.available(0)) == (None, False)


@pytest.mark.parametrize("elsewhere", [nowhere, somewhere])
def test_3_while_nothing_can_be_written_everybody_waits(elsewhere: Any) -> None:
    channel = Channel(HERE, 1)
    channel.ask(elsewhere)
    assert turns(channel, may_write=False) == []
    assert channel.wake_at(0, may_write=False) == LOOK
    assert turns(channel) == [Turn.SEND]


@pytest.mark.parametrize(
    ("state", "kind"),
    [
        ({"is_active": False}, "inactive"),
        ({"stopped": Stopped(reason="535", at=NOW)}, "stopped"),
        ({"provider_type": "pigeon"}, "unsupported"),
    ],
)
def test_4_at_a_closed_provider_they_look_around_once_a_second(state: dict[str, Any], kind: str) -> None:
    channel = Channel(HERE.model_copy(update=state), 2)
    closed = channel.closed(0)
    assert closed is not None
    assert closed.kind == kind
    is_open = False
    channel.ask(nowhere)
    second = channel.ask(lambda: is_open)
    assert turns(channel) == []
    is_open = True
    assert turns(channel, LOOK / 2) == [], "they have just looked"
    assert channel.wake_at(LOOK / 2, may_write=True) == pytest.approx(1.5 * LOOK)
    assert channel.assign(LOOK, may_write=True) == [second]
    assert second.turn is Turn.ELSEWHERE


def test_4_a_refused_login_halts_the_channel() -> None:
    channel = Channel(HERE, 2)
    channel.ask(nowhere)
    (request,) = channel.assign(0, may_write=True)
    channel.ended(request, WRONG, 0.1, 0)
    channel.ask(nowhere)
    assert turns(channel) == []
    stopped = HERE.model_copy(update={"stopped": Stopped(reason="535", at=NOW)})
    assert channel.configure(stopped, 2) is False
    assert channel.configure(HERE, 2) is False
    assert turns(channel) == [Turn.SEND]


def test_5_6_7_one_message_tries_out_an_open_circuit() -> None:
    channel = opened(Channel(HERE, 4))
    for _ in range(3):
        channel.ask(nowhere)
    assert turns(channel, FIRST_PAUSE - 0.01) == []
    assert channel.wake_at(FIRST_PAUSE - 0.01, may_write=True) == FIRST_PAUSE
    (probe,) = channel.assign(FIRST_PAUSE, may_write=True)
    assert turns(channel, FIRST_PAUSE + 60) == [], "one tries it out, however long that takes"
    channel.ended(probe, None, 0.1, FIRST_PAUSE + 60)
    assert turns(channel, FIRST_PAUSE + 60) == [Turn.SEND] * 2


def test_7_who_tries_it_out_and_leaves_makes_room_for_another() -> None:
    channel = opened(Channel(HERE, 4))
    channel.ask(nowhere)
    (probe,) = channel.assign(FIRST_PAUSE, may_write=True)
    channel.ask(nowhere)
    assert turns(channel, FIRST_PAUSE) == []
    channel.withdraw(probe)
    assert turns(channel, FIRST_PAUSE) == [Turn.SEND]


def test_8_connections_and_rate_limit_who_goes_in_order() -> None:
    channel = Channel(HERE.model_copy(update={"rate_limit_per_second": 10.0}), 2)
    row = [channel.ask(nowhere) for _ in range(4)]
    assert channel.assign(0, may_write=True) == row[:1]
    assert channel.wake_at(0, may_write=True) == pytest.approx(0.1, abs=2 * CATCH_UP)
    assert channel.assign(0.1, may_write=True) == row[1:2]
    assert channel.assign(5, may_write=True) == [], "both connections are in use"
    assert channel.wake_at(5, may_write=True) is None
    channel.ended(row[0], None, 0.1, 5)
    assert channel.assign(5, may_write=True) == row[2:3]


def test_a_smaller_share_lets_nobody_follow_until_enough_have_left() -> None:
    channel = Channel(HERE, 2)
    first, second = channel.ask(nowhere), channel.ask(nowhere)
    channel.assign(0, may_write=True)
    channel.ask(nowhere)
    assert channel.take_share(Share(workers=2, position=0)) is True
    channel.ended(first, None, 0.1, 0)
    assert turns(channel) == []
    channel.ended(second, None, 0.1, 0)
    assert turns(channel) == [Turn.SEND]


def test_an_old_connections_failure_does_not_count() -> None:
    channel = Channel(HERE, 2)
    channel.ask(nowhere)
    (request,) = channel.assign(0, may_write=True)
    assert channel.configure(HERE.model_copy(update={"credential_version": "v2"}), 2)
    channel.ended(request, WRONG, 0.1, 0)
    assert channel.closed(0) is None


def test_new_connection_settings_close_the_circuit() -> None:
    channel = opened(Channel(HERE, 2))
    assert channel.configure(HERE.model_copy(update={"name": "other"}), 2) is False
    assert channel.breaker.is_open
    assert channel.configure(HERE, 3) is True
    assert not channel.breaker.is_open


def test_guests_come_one_at_a_time_while_it_has_to_be_tried_out() -> None:
    channel = opened(Channel(HERE, 2))
    assert channel.available(FIRST_PAUSE)
    channel.invite(FIRST_PAUSE)
    assert not channel.available(FIRST_PAUSE + PROMISE / 2)
    assert channel.available(FIRST_PAUSE + PROMISE)


def test_silence_and_a_quota_close_it_at_once() -> None:
    for trouble, seconds, kind in ((DOWN, 6.0, "circuit"), (FULL, 0.1, "quota")):
        channel = Channel(HERE, 2)
        channel.ask(nowhere)
        (request,) = channel.assign(0, may_write=True)
        channel.ended(request, trouble, seconds, 0)
        closed = channel.closed(0)
        assert closed is not None
        assert closed.kind == kind

"""When SES refuses, is slow, breaks off or is not there: what left and what did not is never mixed up."""

import asyncio
import socket
from pathlib import Path
from typing import Any

import pytest

from libs.common.relay.outbound import OutboundPolicy
from libs.common.relay.port import SendResult
from tests.integration.relay.ses_common import BOB, CAROL, HASTY, outcomes, relay_for, submission
from tests.support.certificates import authority, self_signed
from tests.support.ses import ACCESS_KEY_ID, SECRET_ACCESS_KEY, Act, SesServer, html, refused

TAKEN = b'{"MessageId": "0102018f-abc-000000"}'


async def sent(act: Act, **changes: Any) -> tuple[SendResult, SesServer]:
    async with SesServer() as ses, relay_for(ses, **changes) as relay:
        ses.script["SendEmail"] = act
        return await relay.send(submission(BOB, CAROL)), ses


REFUSALS = [
    (refused(429, "TooManyRequestsException", "Maximum sending rate exceeded."), "throttled"),
    (refused(400, "ThrottlingException", "Daily message quota exceeded."), "quota"),
    (refused(400, "LimitExceededException", ""), "quota"),
    (refused(400, "SendingPausedException", "Sending paused for this account."), "configuration"),
    (refused(400, "AccountSuspendedException", "suspended"), "configuration"),
    (refused(403, "AccessDeniedException", "not authorized to perform ses:SendEmail"), "configuration"),
    (refused(403, "UnrecognizedClientException:http://internal.amazon.com/", "The token is invalid."), "configuration"),
    (refused(403, "RequestTimeTooSkewed", "The difference between …"), "configuration"),
    (refused(404, "NotFoundException", "Configuration set <temps> does not exist."), "configuration"),
    (html(404), "configuration"),
    (html(429), "throttled"),
    (refused(500, "InternalServiceErrorException", ""), "connection"),
    (html(503), "connection"),
    (Act(500), "connection"),
    (Act(503, b'{"message": "x"', then="cut"), "connection"),
    (Act(307, headers={"Location": "http://169.254.169.254/"}), "configuration"),
]


@pytest.mark.parametrize(("act", "kind"), REFUSALS)
async def test_a_refusal_of_the_provider_is_trouble_and_costs_one_request(act: Act, kind: str) -> None:
    result, ses = await sent(act)
    assert result.trouble is not None
    assert result.trouble.kind == kind
    assert ses.count("SendEmail") == 1
    assert len(ses.requests) == 1


VERDICTS = [
    (refused(400, "MessageRejected", "Email address is not verified."), "failed"),
    (refused(400, "BadRequestException", "Missing final '@domain'"), "failed"),
    (refused(400, "MailFromDomainNotVerifiedException", ""), "failed"),
]


@pytest.mark.parametrize(("act", "verdict"), VERDICTS)
async def test_a_refusal_of_the_message_is_every_recipients(act: Act, verdict: str) -> None:
    result, ses = await sent(act)
    assert outcomes(result) == {BOB: verdict, CAROL: verdict}
    assert ses.count("SendEmail") == 1


NO_ANSWERS = {
    "silence": Act(then="hang", carry_out=True),
    "closed": Act(then="close", carry_out=True),
    "cut": Act(body=TAKEN, then="cut"),
    "slower than anybody waits": Act(body=b" " * 1000 + TAKEN, then="trickle"),
    "no JSON": Act(body=b"<html>fine</html>"),
    "JSON of another shape": Act(body=b"[1]"),
    "nothing": Act(body=b""),
    "no id": Act(body=b"{}"),
    "not UTF-8": Act(body=b'{"MessageId": "\xff\xfe"}'),
    "endless": Act(body=b" " * 3_000_000),
    "a gateway's": html(504),
    "another gateway's": html(502),
}


@pytest.mark.parametrize("act", NO_ANSWERS.values(), ids=NO_ANSWERS)
async def test_without_a_usable_answer_nobody_knows_and_nothing_is_repeated(act: Act) -> None:
    hasty = {"read_timeout": HASTY} if act.then in {"hang", "trickle"} else {}
    result, ses = await sent(act, **hasty)
    assert (result.unknown_stage, result.recipients, result.trouble) == ("final_dot", (), None)
    assert result.detail
    assert ses.count("SendEmail") == 1


async def test_a_slow_answer_is_waited_for() -> None:
    result, _ = await sent(Act(then="usual", delay=2 * HASTY))
    assert outcomes(result) == {BOB: "accepted", CAROL: "accepted"}


async def test_a_wrong_secret_is_configuration_trouble_that_does_not_repeat_it() -> None:
    async with SesServer(secret_access_key="another") as ses, relay_for(ses) as relay:
        result = await relay.send(submission(BOB))
    assert result.trouble is not None
    assert result.trouble.kind == "configuration"
    assert "signature" in result.trouble.text
    assert "secret" in (result.trouble.suggestion or "")
    # The server repeats the Credential of the request.
    assert ACCESS_KEY_ID not in repr(result)
    assert SECRET_ACCESS_KEY not in repr(result)


async def test_an_unknown_key_is_configuration_trouble() -> None:
    async with SesServer(access_key_id="AKIAANOTHER") as ses, relay_for(ses) as relay:
        result = await relay.send(submission(BOB))
    assert result.trouble is not None
    assert result.trouble.kind == "configuration"


async def test_a_port_that_nobody_listens_on_is_connection_trouble() -> None:
    async with SesServer() as ses, relay_for(ses) as relay:
        await ses.leave()
        result = await relay.send(submission(BOB))
    assert result.trouble is not None
    assert result.trouble.kind == "connection"
    assert result.trouble.suggestion


async def test_a_host_that_does_not_answer_is_given_up_in_time() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:  # TLS waits for a word that does not come
        url = f"https://127.0.0.1:{silent.getsockname()[1]}"
        async with SesServer() as ses, relay_for(ses, endpoint_url=url, connect_timeout=HASTY) as relay:
            result = await relay.send(submission(BOB))
    assert result.trouble is not None
    assert result.trouble.kind == "connection"


async def test_what_speaks_no_tls_is_not_sent_anything() -> None:
    async with SesServer() as ses:
        async with relay_for(ses, endpoint_url=ses.url.replace("http:", "https:")) as relay:
            result = await relay.send(submission(BOB))
        assert ses.requests == []
    assert result.trouble is not None
    assert result.trouble.kind == "configuration"


async def test_a_certificate_that_nobody_vouches_for_is_not_trusted(tmp_path: Path) -> None:
    async with SesServer(certificate=self_signed(tmp_path, "127.0.0.1")) as ses, relay_for(ses) as relay:
        result = await relay.send(submission(BOB))
        assert ses.requests == []
    assert result.trouble is not None
    assert result.trouble.kind == "configuration"
    assert "certificate" in result.trouble.text


@pytest.mark.parametrize(("name", "fits"), [("127.0.0.1", True), ("email.example", False)])
async def test_a_certificate_has_to_be_of_the_host(tmp_path: Path, name: str, fits: bool) -> None:  # noqa: FBT001
    mine = authority(tmp_path)
    async with SesServer(certificate=mine.server(name)) as ses, relay_for(ses, ca_file=mine.ca_file) as relay:
        result = await relay.send(submission(BOB))
        assert len(ses.requests) == int(fits)
    assert outcomes(result) == ({BOB: "accepted"} if fits else {})


async def test_a_kept_connection_that_was_closed_is_no_fault_of_the_message() -> None:
    asked = 0

    async def before_dot() -> bool:
        nonlocal asked
        asked += 1
        return True

    async with SesServer() as ses, relay_for(ses) as relay:
        await asyncio.gather(*(relay.send(submission(BOB)) for _ in range(3)))
        await ses.hang_up()
        result = await relay.send(submission(BOB), before_dot=before_dot)
        assert outcomes(result) == {BOB: "accepted"}
        assert len(ses.account.letters) == 4
    assert asked == 1


async def test_a_connection_lost_while_asked_is_replaced_and_nobody_is_asked_twice() -> None:
    async with SesServer() as ses, relay_for(ses) as relay:
        await relay.send(submission(BOB))
        asked = 0

        async def before_dot() -> bool:
            nonlocal asked
            asked += 1
            await ses.hang_up()
            return True

        result = await relay.send(submission(BOB), before_dot=before_dot)
        assert outcomes(result) == {BOB: "accepted"}
        assert (asked, len(ses.account.letters)) == (1, 2)


async def test_the_question_is_asked_with_a_connection_in_hand_and_waited_for_as_long_as_it_takes() -> None:
    async with SesServer() as ses, relay_for(ses, connect_timeout=HASTY, read_timeout=HASTY) as relay:

        async def before_dot() -> bool:
            while not ses.connections:
                await asyncio.sleep(0.001)
            assert ses.requests == []
            await asyncio.sleep(3 * HASTY)  # longer than any patience with the provider
            return True

        assert outcomes(await relay.send(submission(BOB), before_dot=before_dot)) == {BOB: "accepted"}


@pytest.mark.parametrize("error", [TimeoutError(), OSError(5, "x"), ValueError("x"), KeyError("x"), RuntimeError("x")])
async def test_whatever_the_question_raises_comes_out_as_it_is(error: Exception) -> None:
    async def before_dot() -> bool:
        raise error

    async with SesServer() as ses, relay_for(ses) as relay:
        with pytest.raises(type(error)) as raised:
            await relay.send(submission(BOB), before_dot=before_dot)
        assert raised.value is error
        assert ses.requests == []
        assert outcomes(await relay.send(submission(BOB))) == {BOB: "accepted"}


async def test_first_sends_at_once_open_one_client() -> None:
    async with SesServer() as ses, relay_for(ses) as relay:
        ses.script["SendEmail"] = Act(then="usual", delay=0.02)  # so that they meet
        results = await asyncio.gather(*(relay.send(submission(BOB)) for _ in range(20)))
        assert all(outcomes(result) == {BOB: "accepted"} for result in results)
        assert ses.most_at_work == len({id(request.connection) for request in ses.requests}) == 3


async def test_closing_lets_those_at_work_finish_and_a_later_send_still_leaves_nothing_open() -> None:
    async with SesServer() as ses, relay_for(ses) as relay:
        ses.script["SendEmail"] = Act(then="usual", delay=0.1)
        sending = asyncio.create_task(relay.send(submission(BOB)))
        await ses.came("SendEmail")
        await relay.close()
        assert outcomes(await sending) == {BOB: "accepted"}
        assert outcomes(await relay.send(submission(BOB))) == {BOB: "accepted"}
        while ses.connections:
            await asyncio.sleep(0.001)


async def test_a_region_that_cannot_be_one_is_configuration_trouble() -> None:
    async with SesServer() as ses, relay_for(ses, region="eu west/1", endpoint_url=None) as relay:
        result = await relay.send(submission(BOB))
    assert result.trouble is not None
    assert result.trouble.kind == "configuration"


REFUSED_PLACES = [
    "http://169.254.169.254",
    "http://[fd00:ec2::254]",
    "http://[::ffff:169.254.169.254]:80",
    "http://0.0.0.0",
]


@pytest.mark.parametrize("url", REFUSED_PLACES)
async def test_addresses_that_are_never_connected_to_are_not(url: str) -> None:
    async with SesServer() as ses, relay_for(ses, endpoint_url=url) as relay:
        result = await relay.send(submission(BOB))
    assert result.trouble is not None
    assert result.trouble.kind == "connection"


async def test_our_own_servers_are_not_reached_by_any_name() -> None:
    async with SesServer() as ses:
        policy = OutboundPolicy(own_ports=frozenset({ses.port}))
        for host in ("127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "2130706433", "127.1"):
            url = f"http://{host}:{ses.port}"
            async with relay_for(ses, policy=policy, endpoint_url=url) as relay:
                result = await relay.send(submission(BOB))
            assert result.trouble is not None, host
            assert result.trouble.kind == "connection"
        assert ses.requests == []

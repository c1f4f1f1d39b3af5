"""SendEmail on the wire: where it goes, and what SES' answer says."""

import pytest
from botocore.session import Session
from pydantic import SecretStr

from libs.common.relay.http.messages import HttpAnswer, NoAnswer, NotSent
from libs.common.relay.ses.errors import Refused
from libs.common.relay.ses.sending import message_id
from libs.common.relay.ses.settings import SesSettings


def settings(region: str, endpoint_url: str | None = None) -> SesSettings:
    return SesSettings("AKIA", SecretStr("x"), region, endpoint_url)


def regions() -> list[str]:
    session = Session()
    partitions = session.get_available_partitions()
    return [region for name in partitions for region in session.get_available_regions("sesv2", name)]


def test_every_region_is_called_where_botocore_calls_it() -> None:
    session = Session()
    assert len(regions()) > 20
    for region in (*regions(), "cn-north-1", "us-isob-east-1", "us-iso-east-1", "us-gov-west-1"):
        client = session.create_client("sesv2", region_name=region, aws_access_key_id="AKIA", aws_secret_access_key="x")
        assert settings(region).endpoint() == client.meta.endpoint_url, region


def test_an_endpoint_of_its_own_is_called_instead() -> None:
    assert settings("eu-west-1", "https://ses.example/below/").endpoint() == "https://ses.example/below"


@pytest.mark.parametrize("region", ["", "eu west/1", "eu.west", "-", "eu-west-1@x", "x" * 64])
def test_what_cannot_be_part_of_a_hosts_name_is_no_region(region: str) -> None:
    with pytest.raises(NotSent) as raised:
        settings(region).endpoint()
    assert raised.value.kind == "configuration"


REFUSALS = {
    "in a header": ({"x-amzn-errortype": "MessageRejected"}, b'{"message": "no"}'),
    "in a header, with where it comes from": (
        {"x-amzn-errortype": "MessageRejected:http://internal.amazon.com/coral/"},
        b'{"Message": "no"}',
    ),
    "in the body": ({}, b'{"__type": "com.amazonaws.ses#MessageRejected", "message": "no"}'),
    "in the body, as old services do": ({}, b'{"code": "MessageRejected", "message": "no"}'),
}


@pytest.mark.parametrize(("headers", "body"), REFUSALS.values(), ids=REFUSALS)
def test_a_refusals_name_is_found_wherever_it_stands(headers: dict[str, str], body: bytes) -> None:
    with pytest.raises(Refused) as raised:
        message_id(HttpAnswer(400, headers, body))
    assert (raised.value.code, raised.value.status, raised.value.message) == ("MessageRejected", 400, "no")


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'{"message": 7, "__type": null}', b"\xff"])
def test_a_refusal_without_a_name_is_known_by_its_status(body: bytes) -> None:
    with pytest.raises(Refused) as raised:
        message_id(HttpAnswer(503, {}, body))
    assert (raised.value.code, raised.value.status) == ("", 503)


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b"{}", b'{"MessageId": ""}', b'{"MessageId": 7}', b"\xff"])
def test_a_yes_that_names_no_message_is_no_answer(body: bytes) -> None:
    with pytest.raises(NoAnswer):
        message_id(HttpAnswer(200, {}, body))


def test_a_yes_names_the_message() -> None:
    assert message_id(HttpAnswer(200, {}, b'{"MessageId": "0102-x"}')) == "0102-x"

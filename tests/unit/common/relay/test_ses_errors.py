"""SES' words to ours: every code that sending or asking can meet, with the texts AWS documents."""

import pytest

from libs.common.relay.ses.errors import Refused, Words, meaning

PLAIN = Words()

CASES = [
    (429, "TooManyRequestsException", "Maximum sending rate exceeded.", "throttled"),
    (429, "TooManyRequestsException", "", "throttled"),
    (400, "ThrottlingException", "Maximum sending rate exceeded.", "throttled"),
    (400, "Throttling", "Rate exceeded", "throttled"),
    (400, "ThrottlingException", "Daily message quota exceeded.", "quota"),
    (429, "TooManyRequestsException", "Daily message quota exceeded.", "quota"),
    (400, "LimitExceededException", "There are too many instances of the specified resource type.", "quota"),
    (400, "AccountSuspendedException", "Your account is suspended.", "configuration"),
    (400, "SendingPausedException", "Sending paused for this account.", "configuration"),
    (400, "MessageRejected", "Sending paused for this account. For more information, …", "configuration"),
    (400, "BadRequestException", "Email sending is paused for configuration set x.", "configuration"),
    (403, "AccessDeniedException", "User: arn:… is not authorized to perform: ses:SendEmail", "configuration"),
    (403, "UnrecognizedClientException", "The security token included in the request is invalid.", "configuration"),
    (403, "InvalidClientTokenId", "The security token included in the request is invalid.", "configuration"),
    (403, "InvalidSignatureException", "The request signature we calculated does not match …", "configuration"),
    (403, "SignatureDoesNotMatch", "…", "configuration"),
    (403, "ExpiredTokenException", "…", "configuration"),
    (403, "RequestTimeTooSkewed", "The difference between the request time and the …", "configuration"),
    (400, "RequestExpired", "…", "configuration"),
    (403, "MissingAuthenticationTokenException", "Missing Authentication Token", "configuration"),
    (403, "OptInRequired", "…", "configuration"),
    (404, "NotFoundException", "Configuration set <temps> does not exist.", "configuration"),
    (400, "BadRequestException", "Configuration set <temps> does not exist.", "configuration"),
    (400, "MessageRejected", "Email address is not verified. The following identities failed …", "failed"),
    (400, "MailFromDomainNotVerifiedException", "The MAIL FROM domain is not verified.", "failed"),
    (400, "BadRequestException", "Missing final '@domain'", "failed"),
    (500, "InternalFailure", "", "connection"),
    (500, "InternalServiceErrorException", "", "connection"),
    (503, "ServiceUnavailable", "", "connection"),
    (409, "ConcurrentModificationException", "", "connection"),
    # Without a code that we know, the status speaks.
    (400, "SomethingNewException", "no", "failed"),
    (413, "", "", "failed"),
    (401, "", "", "configuration"),
    (403, "SomethingNewException", "no", "configuration"),
    (404, "", "<html>", "configuration"),
    (301, "", "", "configuration"),
    (408, "", "", "connection"),
    (429, "", "<html>", "throttled"),
    (500, "", "", "connection"),
    (502, "", "<html>", "unknown"),
    (503, "", "<html>", "connection"),
    (504, "", "", "unknown"),
    (599, "", "", "connection"),
    (200, "", "", "unknown"),
]


@pytest.mark.parametrize(("status", "code", "message", "kind"), CASES)
def test_each_refusal_has_its_meaning(status: int, code: str, message: str, kind: str) -> None:
    assert meaning(Refused(code, status, message), PLAIN).kind == kind


def test_the_words_are_those_of_ses_with_their_code() -> None:
    said = meaning(Refused("MessageRejected", 400, "Email address is not verified."), PLAIN)
    assert said.text == "MessageRejected: Email address is not verified."
    assert meaning(Refused("ServiceUnavailable", 503, ""), PLAIN).text == "ServiceUnavailable"


def test_a_page_of_html_is_not_repeated() -> None:
    assert (
        meaning(Refused("", 502, "<html><body>502</body></html>"), PLAIN).text
        == "the endpoint answered with status 502"
    )


@pytest.mark.parametrize(
    ("code", "message", "about"),
    [
        ("RequestTimeTooSkewed", "", "clock"),
        ("InvalidSignatureException", "Signature expired: 20260504T000000Z is now earlier than …", "clock"),
        ("InvalidSignatureException", "Signature not yet current: …", "clock"),
        ("InvalidSignatureException", "The request signature we calculated does not match", "secret"),
        ("UnrecognizedClientException", "", "access key"),
        ("AccessDeniedException", "", "right"),
        ("SendingPausedException", "", "paused"),
    ],
)
def test_a_person_is_told_where_to_look(code: str, message: str, about: str) -> None:
    assert about in (meaning(Refused(code, 403, message), PLAIN).suggestion or "")


def test_what_comes_from_outside_is_cleaned() -> None:
    words = Words(("s3cret/key", "s3cret%2Fkey"))
    said = meaning(Refused("MessageRejected", 400, "no\x1b[31m s3cret/key\r\nX: s3cret%2Fkey " + "x" * 999), words)
    assert "s3cret" not in said.text
    assert said.text.isprintable()
    assert len(said.text) <= 512

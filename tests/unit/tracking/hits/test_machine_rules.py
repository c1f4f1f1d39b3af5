"""Who is a machine: only those who say so, or who sit where only machines do."""

import pytest

from services.tracking.hits.machine_rules import PERSON, Judgement, judge

CHROME = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36"
GMAIL = "Mozilla/5.0 (Windows NT 5.1; rv:11.0) Gecko Firefox/11.0 (via ggpht.com GoogleImageProxy)"
SLACK = "Slackbot-LinkExpanding 1.0 (+https://api.slack.com/robots)"
BING = "Mozilla/5.0 (Windows NT 6.1; WOW64) AppleWebKit/534+ (KHTML, like Gecko) BingPreview/1.0b"


@pytest.mark.parametrize(
    ("agent", "reason"),
    [
        (SLACK, "link_preview"),
        (BING, "link_preview"),
        ("Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)", "crawler"),
        ("BarracudaCentral/1.0", "scanner"),
        ("Mozilla/5.0", "apple_mpp"),
        ("mozilla/5.0 ", "apple_mpp"),
    ],
)
def test_those_who_give_their_name_are_machines(agent: str, reason: str) -> None:
    assert judge("203.0.113.7", agent) == Judgement(machine=True, reason=reason)


@pytest.mark.parametrize(
    "agent", [CHROME, "", None, "curl/8.5.0", "python-requests/2.32", "Go-http-client/2.0", "ms-office"]
)
def test_browsers_mail_clients_and_http_libraries_are_people(agent: str | None) -> None:
    assert judge("203.0.113.7", agent) == PERSON


def test_gmails_proxy_is_a_person_opening() -> None:
    assert judge("66.249.93.1", GMAIL) == Judgement(machine=False, reason="gmail_proxy")


@pytest.mark.parametrize("ip", ["40.107.1.2", "104.47.127.255", "209.222.87.255", "::ffff:52.103.0.1"])
def test_published_ranges_of_mail_scanners_are_machines(ip: str) -> None:
    assert judge(ip, CHROME) == Judgement(machine=True, reason="scanner")


@pytest.mark.parametrize("ip", ["40.94.0.1", "104.47.128.0", "209.222.88.0", "not an address", None])
def test_neighbours_of_those_ranges_and_unknown_addresses_are_people(ip: str | None) -> None:
    assert judge(ip, CHROME) == PERSON


@pytest.mark.parametrize("ip", ["127.0.0.1", "127.8.0.1", "::1", "::ffff:127.0.0.1"])
@pytest.mark.parametrize("agent", [SLACK, "Mozilla/5.0", "BarracudaCentral/1.0"])
def test_loopback_is_never_a_machine(ip: str, agent: str) -> None:
    assert judge(ip, agent) == PERSON

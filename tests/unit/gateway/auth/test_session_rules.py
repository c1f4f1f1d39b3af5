import pytest

from services.gateway.auth.session_rules import COOKIE, Session, cookie_of, seal, set_cookie, unseal

KEY, OTHER = b"k" * 32, b"o" * 32
SESSION = Session("abc", 1, 2, 1_000)


def test_a_session_comes_back_as_it_was_sealed() -> None:
    assert unseal(seal(SESSION, KEY), KEY, now=999) == SESSION


def test_a_session_ends_at_its_expiry() -> None:
    assert unseal(seal(SESSION, KEY), KEY, now=1_000) is None


def test_a_session_sealed_by_another_is_none() -> None:
    assert unseal(seal(SESSION, OTHER), KEY, now=0) is None


def test_no_single_character_can_be_changed() -> None:
    sealed = seal(SESSION, KEY)
    for at, character in enumerate(sealed):
        changed = sealed[:at] + ("A" if character != "A" else "B") + sealed[at + 1 :]
        assert unseal(changed, KEY, now=0) is None, at


@pytest.mark.parametrize("value", ["", ".", "x", "x.y", "ü.ü", "\u2026", "a" * 5_000])
def test_rubbish_is_no_session(value: str) -> None:
    assert unseal(value, KEY, now=0) is None


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (b"temps_session=abc", "abc"),
        (b"a=1; temps_session=abc; b=2", "abc"),
        (b'temps_session="abc"', "abc"),
        (b"xtemps_session=abc", None),
        (b"temps_session", ""),
        (b"a=temps_session", None),
        (b"", None),
    ],
)
def test_the_cookie_is_found_among_others(header: bytes, expected: str | None) -> None:
    assert cookie_of([(b"accept", b"x"), (b"cookie", header)]) == expected


def test_the_cookie_is_out_of_reach_of_scripts_and_other_sites() -> None:
    plain = set_cookie("v", secure=False, max_age=60)
    assert plain == f"{COOKIE}=v; Path=/; Max-Age=60; HttpOnly; SameSite=Lax"
    assert set_cookie("v", secure=True, max_age=60) == plain + "; Secure"

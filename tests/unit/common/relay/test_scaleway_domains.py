"""Scaleway's descriptions of a domain through the years, read into the records that its owner publishes."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.common.relay.scaleway.domains import identity
from tests.support.scaleway_shapes import new_domain, verification

NAME, PROJECT = "d.example", "6170692e-7363-616c-6577-61792e636f6d"
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=10,
)
PARTS = ("status", "records", "spf_config", "dkim_config", "last_error", "project_id")


def domain(**changes: Any) -> dict[str, Any]:
    return {**new_domain(NAME, PROJECT), **changes}


def published(**changes: Any) -> dict[str, tuple[str, str]]:
    """Name and value of each record, by its type and place."""
    found = identity(NAME, domain(**changes)).records
    return {f"{each.record_type} {each.name.removesuffix(NAME)}": (each.name, each.value) for each in found}


def test_without_records_the_older_members_speak() -> None:
    assert published(records=None) == {
        "TXT ": (NAME, "v=spf1 include:_spf.tem.scaleway.com -all"),
        f"TXT {PROJECT}._domainkey.": (f"{PROJECT}._domainkey.{NAME}", domain()["dkim_config"]),
        "TXT _dmarc.": (f"_dmarc.{NAME}", "v=DMARC1; p=none"),
    }


def test_as_in_2024_with_dmarc_alone_and_relative() -> None:
    found = published(records={"dmarc": {"name": "_dmarc", "value": "v=DMARC1; p=none"}})
    assert found["TXT _dmarc."] == (f"_dmarc.{NAME}", "v=DMARC1; p=none")
    assert len(found) == 3


@pytest.mark.parametrize("missing", ["spf", "dkim", "mx", "dmarc"])
def test_every_part_may_be_missing_or_null(missing: str) -> None:
    whole = domain()["records"]
    without = {kind: record for kind, record in whole.items() if kind != missing}
    expected = published() if missing != "mx" else {key: value for key, value in published().items() if key != "MX "}
    assert published(records=without) == expected
    assert published(records={**whole, missing: None}) == expected
    assert published(records={**whole, missing: {"name": None, "value": None}}) == expected


def test_nothing_is_invented_where_nothing_is_said() -> None:
    bare = identity(NAME, {"status": "revoked", "records": None})
    assert [record.name for record in bare.records] == [f"_dmarc.{NAME}"]
    assert (bare.status, bare.error) == ("failed", "this domain was revoked at Scaleway")


@pytest.mark.parametrize(
    ("value", "priority", "host"),
    [
        ("10 blackhole.tem.scaleway.com.", 10, "blackhole.tem.scaleway.com"),
        ("0  mx.example.", 0, "mx.example"),
        ("mx.example.", None, "mx.example"),
        ("ten mx.example", None, "ten mx.example"),
    ],
)
def test_a_mail_exchanger_is_split_into_preference_and_host(value: str, priority: int | None, host: str) -> None:
    records = identity(NAME, domain(records={"mx": {"name": f"{NAME}.", "value": value}})).records
    assert [(each.priority, each.value) for each in records if each.record_type == "MX"] == [(priority, host)]


def test_a_name_outside_the_domain_is_not_passed_on() -> None:
    found = published(records={"spf": {"name": "evil.example.", "value": "v=spf1 -all"}})
    assert found["TXT "] == (NAME, "v=spf1 -all")
    assert published(records={"spf": {"name": f"not{NAME}.", "value": "v=spf1 -all"}})["TXT "][0] == NAME


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [("valid", "verified"), ("invalid", "failed"), ("not_found", "pending"), ("unknown_record_status", "unknown")],
)
def test_every_records_status_is_one_of_ours(theirs: str, ours: str) -> None:
    seen = verification(domain(), published=True)
    seen["spf_record"] = {"status": theirs, "last_valid_at": None, "error": None}
    records = identity(NAME, domain(), seen).records
    assert [record.status for record in records] == [ours, "verified", "verified", "verified"]


def test_only_spf_and_dkim_are_required() -> None:
    assert [record.required for record in identity(NAME, domain()).records] == [True, True, False, False]


@given(st.dictionaries(st.sampled_from(PARTS), JSON), st.dictionaries(st.sampled_from(["spf_record"]), JSON))
def test_whatever_the_description_holds_it_is_read(described: dict[str, Any], seen: dict[str, Any]) -> None:
    found = identity(NAME, described, seen)
    assert all(record.name.endswith(NAME) for record in found.records)

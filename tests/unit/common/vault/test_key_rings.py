"""Key rings in files: read anew when they change, written whole, never shown."""

import json
import stat
from pathlib import Path

import pytest

from libs.common.vault.keyring import (
    KeyRing,
    RingFile,
    SecretsError,
    UnknownKeyError,
    key_id_of,
    new_key,
    read_key_ring,
    write_key_ring,
)

ONE, TWO = new_key(), new_key()
OLD, BOTH, NEW = KeyRing("k1", {"k1": ONE}), KeyRing("k2", {"k1": ONE, "k2": TWO}), KeyRing("k2", {"k2": TWO})


@pytest.fixture
def file(tmp_path: Path) -> Path:
    write_key_ring(tmp_path / "ring.json", OLD)
    return tmp_path / "ring.json"


def test_a_ring_is_written_for_its_owner_alone_and_read_as_it_was(file: Path) -> None:
    write_key_ring(file, BOTH)
    assert read_key_ring(file) == BOTH
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert set(json.loads(file.read_text())) == {"active", "keys"}
    assert [each.name for each in file.parent.iterdir()] == ["ring.json"], "no scratch file stays"


def test_what_a_crash_left_half_written_is_in_nobodys_way(file: Path) -> None:
    file.with_name("ring.json.new").write_text("{")
    write_key_ring(file, BOTH)
    assert read_key_ring(file) == BOTH


def test_a_key_that_was_made_active_is_used_by_the_next_encryption_and_the_old_one_still_opens(file: Path) -> None:
    ring = RingFile(file)
    before = ring.encrypt(b"x", bound_to="provider/1")
    write_key_ring(file, BOTH)
    after = ring.encrypt(b"y", bound_to="provider/1")
    assert (key_id_of(before), key_id_of(after)) == ("k1", "k2")
    assert ring.decrypt(before, bound_to="provider/1") == b"x"
    assert ring.decrypt(after, bound_to="provider/1") == b"y"


def test_a_key_that_arrives_is_found_when_a_ciphertext_names_it_and_until_then_it_is_unknown(file: Path) -> None:
    ring = RingFile(file)
    sealed = NEW.encrypt(b"x", bound_to="provider/1")
    with pytest.raises(UnknownKeyError, match="provider/1"):
        ring.decrypt(sealed, bound_to="provider/1")
    write_key_ring(file, BOTH)
    assert ring.decrypt(sealed, bound_to="provider/1") == b"x"


def test_damage_and_another_key_of_the_same_id_are_no_unknown_key() -> None:
    sealed = OLD.encrypt(b"x", bound_to="provider/1")
    for ring, text in (
        (KeyRing("k1", {"k1": TWO}), sealed),
        (OLD, sealed[:-1]),
        (OLD, b""),
        (OLD, b"t1:k1:"),
        (OLD, b"t2:k1:" + sealed[6:]),
    ):
        with pytest.raises(SecretsError) as refused:
            ring.decrypt(text, bound_to="provider/1")
        assert not isinstance(refused.value, UnknownKeyError)


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "null", '{"active": "k1"}', '{"active": "k1", "keys": {"k1": "AAAA"}}']
)
def test_a_file_that_is_damaged_or_away_for_the_moment_changes_nothing(
    file: Path, text: str, caplog: pytest.LogCaptureFixture
) -> None:
    ring = RingFile(file)
    file.write_text(text)
    assert ring.ring == ring.ring == OLD
    assert len(caplog.records) == 1, "said once for each state of the file"
    file.unlink()
    assert ring.ring == OLD
    write_key_ring(file, NEW)
    assert ring.ring == NEW


def test_a_mounted_secret_whose_link_is_swapped_is_noticed(tmp_path: Path) -> None:
    for name, content in (("first", OLD), ("second", BOTH)):
        (tmp_path / name).mkdir()
        write_key_ring(tmp_path / name / "ring.json", content)
    (tmp_path / "..data").symlink_to("first")
    (tmp_path / "ring.json").symlink_to("..data/ring.json")
    ring = RingFile(tmp_path / "ring.json")
    assert ring.ring == OLD
    (tmp_path / "..new").symlink_to("second")
    (tmp_path / "..new").replace(tmp_path / "..data")
    assert ring.ring == BOTH


def test_neither_a_ring_nor_its_errors_show_a_key(file: Path) -> None:
    ring = RingFile(file)
    encoded = json.loads(file.read_text())["keys"]["k1"]
    file.write_text(json.dumps({"active": "k1", "keys": {"k1": encoded + "!"}}))
    with pytest.raises(SecretsError) as refused:
        read_key_ring(file)
    shown = [repr(ring), str(ring), repr(ring.ring), repr(refused.value), repr(refused.value.__cause__)]
    assert refused.value.__suppress_context__
    assert not any(secret in text for text in shown for secret in (encoded, encoded[:12], repr(ONE)[2:-1]))


@pytest.mark.parametrize("name", ["", "a:b", "schlüssel"])
def test_a_keys_id_fits_into_a_ciphertext(tmp_path: Path, name: str) -> None:
    write_key_ring(tmp_path / "ring.json", KeyRing(name, {name: ONE}))
    with pytest.raises(SecretsError, match="ASCII"):
        read_key_ring(tmp_path / "ring.json")

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from deploy.local.inbox.store import Mailbox


def mail(number: int) -> bytes:
    return b"Message-ID: <%d@x>\r\nSubject: mail %d\r\n\r\n{}\nbody\r\n" % (number, number)


@contextmanager
def opened(directory: Path, count: int = 0) -> Iterator[Mailbox]:
    """A small mailbox with `count` messages more."""
    box = Mailbox(directory, kept=10, per_segment=4)
    for number in range(1, count + 1):
        box.add("a@example.com", [f"to{number % 2}@example.com"], mail(number))
    yield box
    box.close()


def test_pages_are_newest_first_and_count_everything(tmp_path: Path) -> None:
    with opened(tmp_path, 7) as box:
        first, total = box.page(None, 1, 3)
        third, _ = box.page(None, 3, 3)
        assert ([each.id for each in first], total) == ([7, 6, 5], 7)
        assert [each.id for each in third] == [1]
        assert box.page(None, 4, 3) == ([], 7)
        assert first[0].subject == "mail 7"


def test_a_recipient_is_found_whatever_its_case(tmp_path: Path) -> None:
    with opened(tmp_path, 7) as box:
        assert [each.id for each in box.page("TO0@Example.com", 1, 10)[0]] == [6, 4, 2]
        assert box.page("to0", 1, 10) == ([], 0)


def test_only_the_newest_are_kept_in_memory_and_on_disk(tmp_path: Path) -> None:
    with opened(tmp_path, 40) as box:
        assert [each.id for each in box.page(None, 1, 100)[0]] == list(range(40, 30, -1))
        assert box.get(30) is None
        assert box.get(41) is None
        assert box.get(0) is None
        assert len(list(tmp_path.glob("*.mail"))) <= 4
        kept = box.get(31)
        assert kept is not None
        assert kept[1] == mail(31)


def test_everything_kept_survives_a_restart_and_ids_go_on(tmp_path: Path) -> None:
    with opened(tmp_path, 23) as before, opened(tmp_path) as after:  # the first is not closed yet: as if killed
        assert after.page(None, 1, 100) == before.page(None, 1, 100)
        assert after.add("", ["x@example.com"], mail(24)).id == 24
        for number in range(15, 24):
            assert after.get(number) == before.get(number) is not None


def test_a_message_that_was_cut_short_is_dropped_and_its_place_is_used_again(tmp_path: Path) -> None:
    with opened(tmp_path, 2):
        segment = next(tmp_path.glob("*.mail"))
        complete = segment.read_bytes()
    for cut in (1, len(mail(2)), len(mail(2)) + 30):
        segment.write_bytes(complete[:-cut])
        with opened(tmp_path) as box:
            assert box.page(None, 1, 10)[1] == 1
            assert box.add("", [], mail(9)).id == 2
            found = box.get(2)
            assert found is not None
            assert found[1] == mail(9)


def test_an_empty_mailbox_has_nothing(tmp_path: Path) -> None:
    with opened(tmp_path / "new") as box:
        assert box.page(None, 1, 20) == ([], 0)
        assert box.get(1) is None

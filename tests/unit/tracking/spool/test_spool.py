"""The spool: what was taken comes back, in order, whatever happened to the file's end."""

import asyncio
import os
from pathlib import Path

import pytest

from services.tracking.spool.spool import Spool, SpoolTakenError


def opened(directory: Path, **sizes: int) -> Spool:
    spool = Spool(directory, max_bytes=sizes.get("max_bytes", 10_000), segment_bytes=sizes.get("segment_bytes", 1_000))
    spool.open()
    return spool


def drained(spool: Spool) -> list[bytes]:
    found: list[bytes] = []
    while (path := spool.oldest()) is not None:
        found += spool.records(path)
        spool.remove(path)
    return found


def test_records_come_back_in_order_over_several_files(tmp_path: Path) -> None:
    spool = opened(tmp_path, segment_bytes=100)
    records = [b'{"n": %d}' % n for n in range(50)]
    assert all(spool.append(record) for record in records)
    assert len(list(tmp_path.glob("*.spool"))) > 5
    assert drained(spool) == records
    assert spool.size == 0
    assert list(tmp_path.glob("*.spool")) == []
    spool.close()


def test_another_process_finds_what_one_left_without_saying_goodbye(tmp_path: Path) -> None:
    first = opened(tmp_path)
    assert first.append(b"one")
    assert first.append(b"two")
    # Nothing was synced or closed: what the kernel has must be enough. Only the lock goes, as with a killed process.
    os.close(first._lock)
    second = opened(tmp_path)
    assert second.append(b"three")
    assert drained(second) == [b"one", b"two", b"three"]
    second.close()


def test_there_is_an_end_to_the_room(tmp_path: Path) -> None:
    spool = opened(tmp_path, max_bytes=100, segment_bytes=50)
    taken = [spool.append(b"x" * 20) for _ in range(5)]
    assert taken == [True, True, True, False, False]
    assert len(drained(spool)) == 3
    assert spool.append(b"x" * 20), "there is room again"
    spool.close()


@pytest.mark.parametrize("cut", range(1, 14))
def test_a_torn_last_record_is_skipped_and_counted(tmp_path: Path, cut: int) -> None:
    spool = opened(tmp_path)
    spool.append(b"first")
    spool.append(b"last")
    spool.close()
    (file,) = tmp_path.glob("*.spool")
    file.write_bytes(file.read_bytes()[:-cut])
    spool = opened(tmp_path)
    assert drained(spool) == [b"first"]
    assert spool.damaged == 1
    spool.close()


def test_a_flipped_byte_costs_one_record(tmp_path: Path) -> None:
    spool = opened(tmp_path)
    for record in (b"first", b"second", b"third"):
        spool.append(record)
    spool.close()
    (file,) = tmp_path.glob("*.spool")
    file.write_bytes(file.read_bytes().replace(b"second", b"seconf"))
    spool = opened(tmp_path)
    assert drained(spool) == [b"first", b"third"]
    assert spool.damaged == 1
    spool.close()


def test_a_directory_belongs_to_one_process(tmp_path: Path) -> None:
    spool = opened(tmp_path)
    with pytest.raises(SpoolTakenError, match="another process"):
        opened(tmp_path)
    spool.close()
    opened(tmp_path).close()


def test_a_disk_that_refuses_is_no_reason_to_die(tmp_path: Path) -> None:
    spool = opened(tmp_path / "spool")
    (tmp_path / "spool" / "lock").unlink()
    (tmp_path / "spool").rmdir()
    assert not spool.append(b"record")
    spool.close()


def test_syncing_leaves_the_file_open_for_more(tmp_path: Path) -> None:
    spool = opened(tmp_path)
    spool.append(b"one")
    asyncio.run(spool.sync())
    asyncio.run(spool.sync())
    spool.append(b"two")
    assert drained(spool) == [b"one", b"two"]
    spool.close()

"""The live projector on a real log and a real Postgres."""


from deploy.local.servers import NatsAddress
from tests.backing import Database
from tests.support.projecting import (
    TRACKING,
    assert_each_fact_once,
    log_at,
    numbered,
    projecting,
    publish,
    reached,
)


async def test_every_fact_of_both_streams_is_in_every_table_once(clean_nats: NatsAddress, database: Database) -> None:
    async with log_at(clean_nats.url) as bus, projecting(bus, database) as projector:
        await publish(clean_nats.url, numbered(3000))
        await publish(clean_nats.url, numbered(1500, stream=TRACKING, start=100_000))
        await reached(projector, bus)
        await assert_each_fact_once(database, bus)
        assert projector.state == "active"
        assert projector.waiting_for() == []
        assert projector.degraded() == []

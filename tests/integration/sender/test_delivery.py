"""From the accepted fact to the relay and back into the log."""

import pytest

from tests.support.relay import ScriptedRelay, say
from tests.support.sending import Sending, names


async def test_an_accepted_email_is_delivered_and_its_facts_say_so(world: Sending) -> None:
    async with ScriptedRelay() as relay:
        await world.provider(1, relay.port)
        await world.start_worker()
        accepted = await world.send(to=["ada@example.com", "Bob <bob@example.com>"])
        assert accepted.status == "queued"
        facts = await world.until_last(accepted.email_id, "sent")
        assert names(facts) == ["accepted", "sent"]
        sent = facts[-1].data
        assert [(each["address"], each["outcome"]) for each in sent["recipients"]] == [
            ("ada@example.com", "accepted"),
            ("bob@example.com", "accepted"),
        ]
        assert (sent["attempt"], sent["next_at"], sent["captured"]) == (1, None, False)
        await world.drained()
        assert len(relay.messages) == 1
        assert relay.messages[0].recipients == ("ada@example.com", "bob@example.com")

"""What the handler does with a decision, step by step, in the world in memory."""

from tests.unit.sender.deliver.world import Worker, World


def at_work(world: World) -> Worker:
    world.hand_out(world.queue[0])
    return world.workers[0]


def to_its_end(world: World, worker: Worker) -> None:
    while worker in world.workers:
        world.step(worker)


def names(world: World) -> list[str]:
    return [fact.name for fact in world.log]


def test_a_fallback_takes_over_what_was_not_sent() -> None:
    world = World()
    world.relays[1].answer = "connection"
    to_its_end(world, at_work(world))
    assert names(world) == ["email.accepted", "email.rerouted"]
    assert [message.attempt.provider_id for message in world.queue] == [2]


def test_worker_without_lease_writes_no_unsent_outcome() -> None:
    world = World()
    world.relays[1].answer = "connection"
    worker = at_work(world)
    worker.lapsed, worker.message.delivered = True, 2  # another one has it
    to_its_end(world, worker)
    assert names(world) == ["email.accepted"]
    assert world.queue == [worker.message], "it is not acknowledged"


def test_without_its_lease_a_worker_hands_nothing_over() -> None:
    world = World()
    worker = at_work(world)
    worker.lapsed, worker.message.delivered = True, 2
    to_its_end(world, worker)
    assert (world.copies, names(world)) == ([], ["email.accepted"])


def test_accepted_message_is_recorded_without_the_lease_too() -> None:
    world = World()
    worker = at_work(world)
    while not world.copies:
        world.step(worker)
    worker.lapsed, worker.message.delivered = True, 2
    to_its_end(world, worker)
    assert names(world) == ["email.accepted", "email.sent"]
    assert world.queue == []

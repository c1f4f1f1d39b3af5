"""Every stream and consumer name of the system, in one place.

Services only bind to streams; the bootstrap step creates and updates them (`python -m
libs.common.jetstream.bootstrap`).
The reasons are measured facts of nats-server 2.15: a stream with schedules cannot have sources, one with
`discard: new` cannot have schedules, and a copied TTL would make queued mail vanish: hence three streams for work.
"""

from typing import Any

EVENTS = "MAIL_EVENTS"
TRACKING = "MAIL_TRACKING"
CONTENT = "MAIL_CONTENT"
SECRETS = "MAIL_SECRETS"
SCHEDULE = "MAIL_SCHEDULE"
QUEUE = "MAIL_QUEUE"
PRESENCE = "MAIL_PRESENCE"

LOG = (EVENTS, TRACKING)
"""The streams that hold facts: they are read, copied and verified."""

SETS = ("provider", "domain", "key", "user", "recipient")
"""Aggregates with one literal subject each: their last facts are the present state."""

LANES = ("high", "normal", "bulk")

SECOND_NS = 10**9
MINUTE_NS = 60 * SECOND_NS
DAY_NS = 24 * 60 * MINUTE_NS

DEFAULT_STORE_BYTES = 20 * 2**30
"""Total bytes of the limited streams. `max_bytes` is reserved, so it must be less than the server's limit."""
LOG_SHARE, TRACKING_SHARE, CONTENT_SHARE = 0.35, 0.15, 0.5


def stream_configs(
    *,
    replicas: int = 1,
    retention_days: int = 45,
    store_bytes: int = DEFAULT_STORE_BYTES,
) -> list[dict[str, Any]]:
    """JetStream API stream configurations, in the order in which they must be made (sources first).

    `retention_days` 0 keeps content for ever; `store_bytes` is shared out between log, tracking and content.
    """
    common: dict[str, Any] = {"storage": "file", "num_replicas": replicas, "allow_direct": True}
    log = {
        **common,
        "retention": "limits",
        "discard": "new",
        "deny_purge": True,
        "duplicate_window": 2 * MINUTE_NS,
    }
    return [
        {**log, "name": EVENTS, "subjects": ["mail.>"], "max_bytes": int(store_bytes * LOG_SHARE)},
        {**log, "name": TRACKING, "subjects": ["track.>"], "max_bytes": int(store_bytes * TRACKING_SHARE)},
        {
            **common,
            "name": CONTENT,
            "subjects": ["content.*"],
            "retention": "limits",
            "discard": "new",
            "max_bytes": int(store_bytes * CONTENT_SHARE),
            "max_age": retention_days * DAY_NS,
            "duplicate_window": 2 * MINUTE_NS,
        },
        {
            **common,
            "name": SECRETS,
            "subjects": ["secret.*.*.*"],
            "retention": "limits",
            "discard": "old",
            "max_msgs_per_subject": 1,
            "duplicate_window": 2 * MINUTE_NS,
        },
        {
            **common,
            "name": SCHEDULE,
            "subjects": ["schedule.at.*", "schedule.due.*.*"],
            "retention": "limits",
            "discard": "old",
            "allow_msg_schedules": True,
            "allow_msg_ttl": True,
            "duplicate_window": 2 * MINUTE_NS,
        },
        {
            **common,
            "name": QUEUE,
            "retention": "workqueue",
            "discard": "old",
            "sources": [
                {
                    "name": EVENTS,
                    "subject_transforms": [
                        {
                            "src": "mail.email.*.accepted.*.*",
                            "dest": "queue.ready.{{wildcard(2)}}.{{wildcard(3)}}",
                        }
                    ],
                },
                {
                    "name": SCHEDULE,
                    "subject_transforms": [
                        {"src": "schedule.due.*.*", "dest": "queue.ready.{{wildcard(1)}}.{{wildcard(2)}}"}
                    ],
                },
            ],
        },
        {
            # On disk all the same: a memory stream would be gone, definition and all, with its server.
            **common,
            "name": PRESENCE,
            "subjects": ["presence.worker.*"],
            "retention": "limits",
            "discard": "old",
            "max_msgs_per_subject": 1,
            "max_bytes": 2**20,
            "max_age": MINUTE_NS,
            "allow_msg_ttl": True,
            "duplicate_window": 10 * SECOND_NS,
        },
    ]


def queue_consumer(provider_id: int, lane: str) -> str:
    """The durable name of a provider's consumer on the queue, for one lane."""
    return f"p{provider_id}-{lane}"


def queue_subject(provider_id: int, lane: str) -> str:
    """The subject of attempts that are due for a provider and lane."""
    return f"queue.ready.{provider_id}.{lane}"


def content_subject(shard: str) -> str:
    """Where the bodies of a shard's emails are published; they are addressed by sequence."""
    return f"content.{shard}"


def secret_subject(kind: str, owner: int, version: str) -> str:
    """One encrypted secret. `kind` is `provider` or `user`."""
    return f"secret.{kind}.{owner}.{version}"


def schedule_subject(email_id: object) -> str:
    """The one pending schedule of an email: a later one replaces it."""
    return f"schedule.at.{email_id}"


def due_subject(provider_id: int, lane: str) -> str:
    """The subject on which the server publishes a schedule that is due; the queue sources it."""
    return f"schedule.due.{provider_id}.{lane}"


def presence_subject(worker_id: str) -> str:
    """Where a worker says that it is there; `*` is everybody."""
    return f"presence.worker.{worker_id}"


def question_subject(worker_id: str) -> str:
    """Where a worker is asked what it has in hand (no stream listens)."""
    return f"worker.{worker_id}.holds"

"""NATS users: one for each process, with the permissions that its work needs.

One table for every way of deploying. Only what is named is allowed. Reading is by stream, because a direct get names
its subject in the body, where no permission looks; writing is by subject, so that only the service that owns a kind of
fact can write it. No service may delete a stream, and none may hear another's answers: each has an inbox prefix of its
own, `_INBOX_<user>`, which `libs.common.jetstream` derives from the user's name.
"""

from collections.abc import Mapping
from dataclasses import dataclass

EVENTS, TRACKING, CONTENT, SECRETS = "MAIL_EVENTS", "MAIL_TRACKING", "MAIL_CONTENT", "MAIL_SECRETS"
SCHEDULE, QUEUE, PRESENCE = "MAIL_SCHEDULE", "MAIL_QUEUE", "MAIL_PRESENCE"
STREAMS = (EVENTS, TRACKING, CONTENT, SECRETS, SCHEDULE, QUEUE, PRESENCE)


@dataclass(frozen=True, slots=True)
class Permissions:
    """Subjects that a user may publish on, and those it may subscribe to beside its inbox."""

    publish: tuple[str, ...]
    subscribe: tuple[str, ...] = ()


def _get(*streams: str) -> tuple[str, ...]:
    """Single messages and batches by direct get, and how far the stream has come."""
    return tuple(f"$JS.API.{call}.{stream}" for stream in streams for call in ("DIRECT.GET", "STREAM.INFO"))


def _follow(*streams: str) -> tuple[str, ...]:
    """Consumers of its own, made, read and given up."""
    calls = ("CONSUMER.CREATE.{}.>", "CONSUMER.MSG.NEXT.{}.*", "CONSUMER.INFO.{}.*", "CONSUMER.DELETE.{}.*")
    return tuple(f"$JS.API.{call.format(stream)}" for stream in streams for call in calls)


def _acknowledge(stream: str) -> tuple[str, ...]:
    """Both forms of an acknowledgement's subject; the second names domain and account first (ADR-15)."""
    return f"$JS.ACK.{stream}.>", f"$JS.ACK.*.*.{stream}.>"


_ATTEMPT_ENDS = ("sent", "deferred", "unknown", "bounced", "failed", "rerouted")

USERS: Mapping[str, Permissions] = {
    "streams": Permissions((
        *(f"$JS.API.STREAM.{call}.{stream}" for stream in STREAMS for call in ("INFO", "CREATE", "UPDATE")),
    )),
    "gateway": Permissions((
        *("mail.key.*", "mail.user.*", "secret.user.*.*"),
        *_get(EVENTS, SECRETS), *_follow(EVENTS), f"$JS.API.STREAM.MSG.DELETE.{SECRETS}",
    )),
    "providers": Permissions((
        *("mail.provider.*", "mail.domain.*", "secret.provider.*.*"),
        *_get(EVENTS, SECRETS), *_follow(EVENTS), f"$JS.API.STREAM.MSG.DELETE.{SECRETS}",
    )),
    "sender": Permissions((
        *("mail.email.*.accepted.*.*", "mail.email.*.captured", "content.*"),
        *_get(EVENTS), *_follow(EVENTS), *(f"$JS.API.STREAM.INFO.{stream}" for stream in STREAMS),
    )),
    "worker": Permissions(
        (
            *(f"mail.email.*.{event}" for event in _ATTEMPT_ENDS), "mail.provider.*",
            *("schedule.at.*", "schedule.due.*.*", "presence.worker.*", "worker.*.holds", "_INBOX_worker.>"),
            *_get(*STREAMS), *_follow(EVENTS, QUEUE), *_acknowledge(QUEUE),
        ),
        ("worker.*.holds",),
    ),
    "tracking": Permissions(("track.*.opened", "track.*.clicked", *_get(EVENTS), *_follow(EVENTS))),
    "analytics": Permissions((
        *_get(EVENTS, TRACKING, CONTENT), *_follow(EVENTS, TRACKING),
        *(f"$JS.API.STREAM.MSG.GET.{stream}" for stream in (EVENTS, TRACKING)),
    )),
    "rotation": Permissions((*_get(SECRETS),)),
    "operator": Permissions((">",), (">",)),
}  # fmt: skip
"""By user. `streams` makes the streams before anything else starts, `rotation` is `make rotate-keys`, and `operator` is
a person with a NATS client: no process has its password."""


def authorization(passwords: Mapping[str, str]) -> str:
    """The `authorization` block of a server's configuration.

    The passwords stand in it as they are: the file is its owner's alone, like those that hold each password, and a hash
    would cost every connection 100 ms (bcrypt) without keeping anything from anybody.
    """
    users = []
    for name, permissions in USERS.items():
        listens = (f"_INBOX_{name}.>", *permissions.subscribe)
        users.append(
            f'    {{ user: "{name}", password: "{passwords[name]}", permissions: {{\n'
            f"      publish: {{ allow: [{_quoted(permissions.publish)}] }}\n"
            f"      subscribe: {{ allow: [{_quoted(listens)}] }}\n"
            f"    }} }}\n"
        )
    return "authorization {\n  users: [\n" + "".join(users) + "  ]\n}\n"


def _quoted(subjects: tuple[str, ...]) -> str:
    return ", ".join(f'"{subject}"' for subject in dict.fromkeys(subjects))

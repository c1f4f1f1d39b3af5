"""The edge of every service: each way to be wrong has its problem document, and nothing else gets through."""

import asyncio
import json
import time
from typing import Annotated, Any
from uuid import UUID

import pytest
from fastapi import Query, Response
from pydantic import AfterValidator

from libs.common.errors import STATUS, TITLES, ConflictError
from libs.common.web import RequestModel, ResponseModel, Service, Time, create_app, requires, router, set_position
from libs.common.web.principal import Principal, sign
from tests.support.aio import run

KEY = b"k" * 32
ID = "01a203b2-690c-7117-8d35-46a4ce2231dc"
JSON = {"content-type": "application/json"}
routes = router()


def not_blank(text: str) -> str:
    if not text.strip():
        raise ValueError("must not be blank")
    return text


class ThingRequest(RequestModel):
    name: Annotated[str, AfterValidator(not_blank)]
    on: bool = False
    at: Time | None = None
    inner: dict[str, list[str]] | None = None


class Thing(ResponseModel):
    name: str
    extra: int | None = None


@routes.post("/api/things", status_code=201)
async def create_thing(
    body: ThingRequest, response: Response, caller: Annotated[Principal, requires("emails:send")]
) -> Thing:
    set_position(response, "provider", 3)
    set_position(response, "domain", 4)
    return Thing(name=f"{body.name} by {caller.id}")


@routes.get("/api/things/{id}")
async def get_thing(id: UUID, page: Annotated[int, Query(ge=1)] = 1) -> Thing:
    return Thing(name=f"{id} {page}")


@routes.delete("/api/things/{id}", status_code=204)
async def delete_thing(id: UUID) -> None:
    del id


@routes.get("/api/conflict")
async def conflict() -> Thing:
    raise ConflictError("busy", slug="provider_in_use", suggestion="wait", retry_after=7)


@routes.get("/api/broken")
async def broken() -> Thing:
    raise KeyError("secret-detail")


APP = create_app(Service("test", [routes], KEY, max_body=1_000))


class Answer:
    def __init__(self, messages: list[dict[str, Any]]) -> None:
        self.status = messages[0]["status"]
        self.headers = {name.decode(): value.decode() for name, value in messages[0]["headers"]}
        self.body = b"".join(message.get("body", b"") for message in messages[1:])

    @property
    def json(self) -> Any:
        return json.loads(self.body)


def call(
    method: str,
    path: str,
    body: bytes = b"",
    headers: dict[str, str] | None = None,
    *,
    chunked: bool = False,
    principal: str | None = "",
) -> Answer:
    if principal == "":
        principal = sign(Principal("key/1", "key", 1, frozenset({"emails:send"}), None, None, time.time() + 60), KEY)
    given = {**(headers or {}), **({} if principal is None else {"temps-principal": principal})}
    if not chunked:
        given["content-length"] = str(len(body))
    path, _, query = path.partition("?")
    pieces = [body[i : i + 400] for i in range(0, len(body), 400)] or [b""]
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        if not pieces:
            await asyncio.Event().wait()
        piece = pieces.pop(0)
        return {"type": "http.request", "body": piece, "more_body": bool(pieces)}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "path": path,
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "headers": [(name.encode(), value.encode()) for name, value in given.items()],
        "client": ("127.0.0.1", 1),
        "server": ("test", 80),
        "scheme": "http",
        "root_path": "",
    }

    async def one_request() -> None:
        await APP(scope, receive, send)

    run(one_request())
    return Answer(sent)


def test_a_good_request_is_answered_with_its_id_and_its_positions() -> None:
    answer = call("POST", "/api/things", b'{"name":"a"}', {**JSON, "x-request-id": "r-1"})
    assert (answer.status, answer.json) == (201, {"name": "a by key/1", "extra": None})
    assert answer.headers["x-request-id"] == "r-1"
    assert answer.headers["temps-position"] == "provider=3,domain=4"


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b"", "body"),
        (b"{", "body"),
        (b"\xff{}", "body"),
        (b"[]", "body"),
        (b"[" * 900, "body"),
        (b'{"name":NaN}', "body"),
        (b"{}", "name"),
        (b'{"name":1}', "name"),
        (b'{"name":null}', "name"),
        (b'{"name":"a","on":"yes"}', "on"),
        (b'{"name":"a","on":1}', "on"),
        (b'{"name":"a","surprise":1}', "surprise"),
        (b'{"name":"\\ud800"}', "name"),
        (b'{"name":"a","inner":{"x":["b","\\udfff"]}}', "inner.x.1"),
        (b'{"name":"a","inner":{"x":["b",3]}}', "inner.x.1"),
    ],
)
def test_a_bad_body_is_a_problem_that_names_the_field(body: bytes, field: str) -> None:
    answer = call("POST", "/api/things", body, JSON)
    assert answer.status == 400
    assert answer.headers["content-type"] == "application/problem+json"
    assert field in [error["field"] for error in answer.json["errors"]]
    assert answer.json["error_code"] == "VALIDATION_FAILED"


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"{}", "is missing"),
        (b'{"name":"a","surprise":1}', "is not a member of this request"),
        (b'{"name":" "}', "must not be blank"),
    ],
)
def test_what_is_wrong_is_said_in_the_same_words_everywhere(body: bytes, message: str) -> None:
    assert [error["message"] for error in call("POST", "/api/things", body, JSON).json["errors"]] == [message]


@pytest.mark.parametrize("text", ["2030-01-31T12:00:00Z", "2030-01-31t12:00:00.123z", "2030-01-31T12:00:00-02:30"])
def test_a_time_with_an_offset_is_taken(text: str) -> None:
    assert call("POST", "/api/things", json.dumps({"name": "a", "at": text}).encode(), JSON).status == 201


@pytest.mark.parametrize(
    "at",
    ["2030-01-31T12:00:00", "2030-01-31", "2030-01-31T12:00:00 02:00", "1900000000", 1_900_000_000, "soon", ""],
)
def test_a_time_that_could_mean_two_things_is_refused_with_how_to_write_it(at: object) -> None:
    answer = call("POST", "/api/things", json.dumps({"name": "a", "at": at}).encode(), JSON)
    [error] = answer.json["errors"]
    assert (answer.status, error["field"]) == (400, "at")
    assert error["message"].startswith("must be a time in RFC 3339 with an offset")


@pytest.mark.parametrize(
    ("path", "field"),
    [
        (f"/api/things/{ID}?page=0", "page"),
        (f"/api/things/{ID}?page=x", "page"),
        (f"/api/things/{ID}?pgae=1", "pgae"),
        (f"/api/things/{ID}?page=1&page=2", "page"),
        ("/api/things/not-a-uuid", "id"),
    ],
)
def test_a_bad_parameter_is_a_problem_that_names_it(path: str, field: str) -> None:
    answer = call("GET", path)
    assert (answer.status, [error["field"] for error in answer.json["errors"]]) == (400, [field])


@pytest.mark.parametrize(
    "content_type", [{}, {"content-type": "text/plain"}, {"content-type": "application/x-www-form-urlencoded"}]
)
def test_a_body_that_does_not_say_json_is_refused(content_type: dict[str, str]) -> None:
    assert call("POST", "/api/things", b'{"name":"a"}', content_type).status == 415


def test_a_compressed_body_is_refused_and_not_read_as_if_it_were_plain() -> None:
    answer = call("POST", "/api/things", b'{"name":"a"}', {**JSON, "content-encoding": "gzip"})
    assert (answer.status, answer.json["error_code"]) == (415, "UNSUPPORTED_MEDIA_TYPE")


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_over_the_limit_is_refused(chunked: bool) -> None:  # noqa: FBT001 - a case
    answer = call("POST", "/api/things", b'{"name":"%s"}' % (b"a" * 2_000), JSON, chunked=chunked)
    assert (answer.status, answer.json["error_code"]) == (413, "PAYLOAD_TOO_LARGE")


def test_the_routers_own_refusals_are_problems() -> None:
    assert call("GET", "/nowhere").json["error_code"] == "NOT_FOUND"
    answer = call("DELETE", "/api/things")
    assert (answer.status, answer.headers["allow"], answer.json["status"]) == (405, "POST", 405)


def test_a_wrong_method_is_told_every_right_one_of_that_path() -> None:
    answer = call("PATCH", f"/api/things/{ID}", b"{}", JSON)
    assert (answer.status, answer.headers["allow"]) == (405, "DELETE, GET, HEAD")


def test_a_refusal_carries_its_slug_suggestion_and_retry_after() -> None:
    answer = call("GET", "/api/conflict")
    body = answer.json
    assert (answer.status, answer.headers["retry-after"]) == (409, "7")
    assert (body["type"], body["suggestion"]) == ("https://temps.sh/probs/provider_in_use", "wait")
    assert (body["instance"], body["request_id"]) == ("/api/conflict", answer.headers["x-request-id"])


def test_a_fault_of_ours_is_a_problem_without_its_details() -> None:
    answer = call("GET", "/api/broken")
    assert (answer.status, answer.json["error_code"]) == (500, "INTERNAL_ERROR")
    assert b"secret-detail" not in answer.body


@pytest.mark.parametrize("principal", [None, "x.y", sign(Principal("a", "key", 1, frozenset(), None, None, 1.0), KEY)])
def test_nobody_comes_in_without_a_valid_principal(principal: str | None) -> None:
    assert call("GET", f"/api/things/{ID}", principal=principal).status == 401


def test_a_missing_scope_is_named() -> None:
    weak = sign(Principal("key/2", "key", 1, frozenset({"emails:read"}), None, None, time.time() + 60), KEY)
    answer = call("POST", "/api/things", b'{"name":"a"}', JSON, principal=weak)
    assert (answer.status, answer.json["required_permission"]) == (403, "emails:send")


def test_a_strange_request_id_is_replaced() -> None:
    answer = call("GET", f"/api/things/{ID}", headers={"x-request-id": "a b\x7f"})
    assert answer.headers["x-request-id"] != "a b\x7f"


def test_health_needs_no_principal() -> None:
    assert call("GET", "/healthz", principal=None).status == 200
    assert call("GET", "/readyz", principal=None).json == {"status": "ready"}
    assert b"temps_http_requests_total" in call("GET", "/metrics", principal=None).body


def test_readiness_says_what_is_missing_and_what_it_does_without() -> None:
    missing, degraded = ["nats"], ["nats"]
    for forgiving in (False, True):
        missing[:] = ["nats"]
        app = create_app(
            Service(
                "r",
                [],
                KEY,
                waiting_for=lambda: list(missing),
                degraded=lambda: list(missing),
                serves_degraded=forgiving,
            )
        )

        def ready(app: Any = app) -> Answer:
            sent: list[Any] = []

            async def send(message: Any) -> None:
                sent.append(message)

            run(app({"type": "http", "method": "GET", "path": "/readyz", "headers": []}, None, send))
            return Answer(sent)

        assert (ready().status, ready().json["waiting_for"]) == (503, ["nats"])
        missing[:] = []
        assert ready().status == 200
        missing[:] = degraded
        assert ready().status == (200 if forgiving else 503)


def test_the_openapi_document_names_operations_scopes_and_problems() -> None:
    document = call("GET", "/openapi.json", principal=None).json
    operation = document["paths"]["/api/things"]["post"]
    assert document["openapi"].startswith("3.1")
    assert (operation["operationId"], operation["x-required-permission"]) == ("create_thing", "emails:send")
    assert "422" not in operation["responses"]
    assert set(operation["responses"]) == {"201", "400", "401", "403", "413", "415", "429", "503", "507"}
    assert "application/problem+json" in operation["responses"]["403"]["content"]


def test_every_slug_has_a_title() -> None:
    assert set(STATUS) == set(TITLES)

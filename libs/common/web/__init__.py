"""The fourth loop, serve: the HTTP application that every service is."""

from libs.common.web.app import create_app
from libs.common.web.clients import client_gone
from libs.common.web.describing import problems
from libs.common.web.json_bodies import OFF_LOOP_BYTES, parse_json
from libs.common.web.models import FieldError, Page, Problem, RequestModel, ResponseModel, Time, in_utc
from libs.common.web.parameters import LARGEST_ID, Digits, EmailId, PageNumber, PageSize, PathId, QueryId
from libs.common.web.problems import finding
from libs.common.web.routing import (
    POSITION_HEADER,
    StrictRoute,
    caller_of,
    check_json,
    check_query,
    missing,
    request_id_of,
    requires,
    router,
    set_position,
)
from libs.common.web.run import background, http_server, run, serve_also
from libs.common.web.service import ASGIApp, Service, Shortcut

__all__ = [
    "LARGEST_ID",
    "OFF_LOOP_BYTES",
    "POSITION_HEADER",
    "ASGIApp",
    "Digits",
    "EmailId",
    "FieldError",
    "Page",
    "PageNumber",
    "PageSize",
    "PathId",
    "Problem",
    "QueryId",
    "RequestModel",
    "ResponseModel",
    "Service",
    "Shortcut",
    "StrictRoute",
    "Time",
    "background",
    "caller_of",
    "check_json",
    "check_query",
    "client_gone",
    "create_app",
    "finding",
    "http_server",
    "in_utc",
    "missing",
    "parse_json",
    "problems",
    "request_id_of",
    "requires",
    "router",
    "run",
    "serve_also",
    "set_position",
]

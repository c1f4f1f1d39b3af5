"""Addresses, header rules and messages (RFC 5322): what the sender and the providers' test email have in common."""

from libs.common.mime.addresses import Mailbox, needs_smtputf8, normal_domain, parse_address
from libs.common.mime.headers import check_body, check_header_name, check_header_value, check_headers
from libs.common.mime.message import build_message, message_id_for
from libs.common.mime.structured import check_field, mailboxes_in

__all__ = [
    "Mailbox",
    "build_message",
    "check_body",
    "check_field",
    "check_header_name",
    "check_header_value",
    "check_headers",
    "mailboxes_in",
    "message_id_for",
    "needs_smtputf8",
    "normal_domain",
    "parse_address",
]

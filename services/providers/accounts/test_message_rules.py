"""The test email: what a person sees who asks whether a provider works."""

from dataclasses import dataclass
from datetime import UTC, datetime
from html import escape

from libs.common.facts.provider import ProviderState
from libs.common.relay.kinds import label_of

_FONT = "font-family:-apple-system,'Segoe UI',Roboto,Helvetica,Arial,sans-serif"


@dataclass(frozen=True, slots=True)
class ProviderTestEmail:
    """Everything that is said in it, before it becomes a message."""

    subject: str
    html: str
    text: str


def provider_test_email(provider: ProviderState, *, brand: str, at: datetime) -> ProviderTestEmail:
    """The email about `provider`, made at `at`. Everything that a caller chose is escaped in the html."""
    time = at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    label = label_of(provider.provider_type)
    details = (("Provider", provider.name), ("Type", label), ("Region", provider.region), ("Time", time))
    return ProviderTestEmail(
        subject=f"[{brand}] Email provider test — {provider.name}",
        html=_html(brand, time, details),
        text=_text(brand, details),
    )


def _text(brand: str, details: tuple[tuple[str, str], ...]) -> str:
    lines = "\n".join(f"  {name + ':':<10} {value}" for name, value in details)
    return (
        f"{brand}: your email provider works\n\n"
        "This message was sent to check that the provider below delivers email. It did.\n\n"
        f"{lines}\n\n"
        f"You receive it because a test was asked for in {brand}. Nothing needs to be done.\n"
    )


def _html(brand: str, time: str, details: tuple[tuple[str, str], ...]) -> str:
    """Nested tables of 600 px with inline styles: what every mail client draws alike."""
    rows = "\n".join(
        f'<tr><td style="padding:10px 16px;border-bottom:1px solid #e5e7eb;color:#6b7280;font-size:14px;'
        f'{_FONT}" width="120">{escape(name)}</td>'
        f'<td style="padding:10px 16px;border-bottom:1px solid #e5e7eb;color:#111827;font-size:14px;'
        f'{_FONT};word-break:break-word">{escape(value)}</td></tr>'
        for name, value in details
    )
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(brand)}: email provider test</title>
</head>
<body style="margin:0;padding:0;background-color:#f3f4f6">
<table role="presentation" width="100%" cellpadding="0" cellspacing="0" border="0" style="background-color:#f3f4f6">
<tr><td align="center" style="padding:32px 12px">
<table role="presentation" width="600" cellpadding="0" cellspacing="0" border="0" style="width:600px;max-width:100%;\
background-color:#ffffff;border-radius:8px;overflow:hidden">
<tr><td style="background-color:#111827;padding:20px 32px">
<table role="presentation" width="100%" cellpadding="0" cellspacing="0" border="0"><tr>
<td align="left" style="color:#ffffff;font-size:18px;font-weight:700;{_FONT}">{escape(brand)}</td>
<td align="right" style="color:#9ca3af;font-size:13px;{_FONT}">{escape(time)}</td>
</tr></table>
</td></tr>
<tr><td style="padding:32px 32px 8px 32px">
<table role="presentation" cellpadding="0" cellspacing="0" border="0"><tr>
<td style="background-color:#dcfce7;color:#166534;border-radius:12px;padding:4px 12px;font-size:13px;\
font-weight:600;{_FONT}">&#10003; Working</td>
</tr></table>
<h1 style="margin:16px 0 8px 0;color:#111827;font-size:22px;line-height:30px;{_FONT}">Your email provider works</h1>
<p style="margin:0;color:#374151;font-size:15px;line-height:24px;{_FONT}">This message was sent to check that the \
provider below delivers email. It did.</p>
</td></tr>
<tr><td style="padding:16px 32px 32px 32px">
<table role="presentation" width="100%" cellpadding="0" cellspacing="0" border="0" style="border:1px solid #e5e7eb;\
border-bottom:0;border-radius:6px">
{rows}
</table>
</td></tr>
<tr><td style="background-color:#f9fafb;padding:16px 32px;color:#6b7280;font-size:12px;line-height:18px;{_FONT}">
You receive this because a test was asked for in {escape(brand)}. Nothing needs to be done.
</td></tr>
</table>
</td></tr>
</table>
</body>
</html>
"""

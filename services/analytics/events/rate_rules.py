"""The platform's rates: percentages, from 0 to 100."""

from collections.abc import Mapping


def rates(figures: Mapping[str, int], *, count_machines: bool) -> dict[str, int | float | None]:
    """Figures and rates as the contract defines them; `count_machines` takes machines for people."""
    opened = figures["opened_by_any" if count_machines else "opened"]
    clicked = figures["clicked_by_any" if count_machines else "clicked"]
    delivered, bounced, complained = figures["delivered"], figures["bounced"], figures["complained"]
    return {
        "delivered": delivered,
        "opened": opened,
        "clicked": clicked,
        "bounced": bounced,
        "complained": complained,
        "open_rate": percentage(opened, figures["delivered_with_pixel"]),
        "click_rate": percentage(clicked, figures["delivered_with_links"]),
        "bounce_rate": percentage(bounced, delivered + bounced),
        "complaint_rate": percentage(complained, delivered),
    }


def percentage(part: int, whole: int) -> float | None:
    """None of nothing. An email that bounced for one and was opened by another is in no denominator: at most 100."""
    return None if whole == 0 else min(100.0, 100.0 * part / whole)

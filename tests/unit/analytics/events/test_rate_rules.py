from services.analytics.events.rate_rules import percentage, rates

FIGURES = {
    "delivered": 8,
    "delivered_with_pixel": 4,
    "delivered_with_links": 2,
    "opened": 3,
    "opened_by_any": 4,
    "clicked": 1,
    "clicked_by_any": 2,
    "bounced": 2,
    "complained": 2,
}


def test_rates_divide_by_what_could_have_happened() -> None:
    found = rates(FIGURES, count_machines=False)
    assert (found["opened"], found["open_rate"], found["click_rate"]) == (3, 75.0, 50.0)
    assert (found["bounce_rate"], found["complaint_rate"]) == (20.0, 25.0)


def test_machines_count_when_they_are_asked_for() -> None:
    found = rates(FIGURES, count_machines=True)
    assert (found["opened"], found["open_rate"], found["clicked"], found["click_rate"]) == (4, 100.0, 2, 100.0)


def test_of_nothing_there_is_no_rate() -> None:
    assert percentage(0, 0) is None
    assert percentage(1, 0) is None


def test_no_rate_is_over_a_hundred() -> None:
    assert percentage(3, 2) == 100.0

"""What a read model must be."""

from dataclasses import replace

import pytest

from services.analytics.log_copy import fold as facts
from services.analytics.projector import ReadModel, live_schemas, read_model
from services.analytics.projector.model import beside, checked, live

_STATEMENTS = {"create": "CREATE TABLE a (b int)", "stage": "CREATE TEMP TABLE s (b int)", "apply": "SELECT 1"}


def _model(name: str = "figures", stage: str = "s") -> ReadModel:
    return ReadModel(name, lambda _: {}, {stage: ("b",)}, _STATEMENTS)


def test_its_tables_live_in_a_schema_of_its_own_and_a_rebuild_beside_it() -> None:
    model = _model()
    assert (live(model).key, live(model).schema) == ("figures", "rm_figures")
    assert (beside(model).key, beside(model).schema) == ("figures/next", "rm_figures_next")


def test_a_module_and_its_sql_make_a_read_model() -> None:
    model = read_model(facts)
    assert (model.name, model.schema, model.rebuilt, model.raw) == ("facts", "log", False, True)
    assert live_schemas([model, _model()]) == ("log", "rm_figures")


def test_only_the_tables_make_its_definition() -> None:
    model = _model()
    commented = {**_STATEMENTS, "create": "-- why\nCREATE TABLE a\n   (b int)", "apply": "SELECT 2"}
    assert replace(model, statements=commented).definition == model.definition
    wider = {**_STATEMENTS, "create": "CREATE TABLE a (b bigint)"}
    assert replace(model, statements=wider).definition != model.definition


@pytest.mark.parametrize("name", ["", "Figures", "figures; DROP", "9"])
def test_a_name_that_is_no_name_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="no name"):
        _model(name)


def test_a_missing_statement_is_refused() -> None:
    with pytest.raises(ValueError, match="apply"):
        ReadModel("figures", lambda _: {}, {}, {"create": "x", "stage": "y"})


@pytest.mark.parametrize(
    ("others", "what"),
    [
        ([_model()], "name"),
        ([replace(_model("other", "t"), schema="rm_figures")], "schema"),
        ([_model("other")], "stage"),
    ],
)
def test_models_that_cannot_live_together_are_refused(others: list[ReadModel], what: str) -> None:
    with pytest.raises(ValueError, match=f"same {what}"):
        checked([_model(), *others])

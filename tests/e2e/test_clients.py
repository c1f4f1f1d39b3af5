"""The API's description as client authors use it: validated, linted, generated from, and each example sent as it is."""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.client import Api
from tests.e2e.stack import Stack, running
from tests.support.programs import program

CLIENTS = Path(__file__).parents[1] / "clients"
PYTHON = Path(__file__).parents[2] / ".venv-clients" / "bin"
BIN = CLIENTS / "node_modules" / ".bin"
JOURNEY = {
    "provider": "smtp",
    "accepted": "queued",
    "status": "captured",
    "recipient": "you@example.com",
    "total": 1,
    "facts": ["email.accepted.v1", "email.sent.v1"],
    "missing": [404, "NOT_FOUND"],
}
# What the world outside has to be for: an account at a provider, or a password that nobody knows.
UNVERIFIED = "/api/email-providers"


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A system of its own: the examples add providers and domains."""
    with running(tmp_path_factory.mktemp("clients") / "local") as stack:
        yield stack


@pytest.fixture(scope="module")
def document(system: Stack, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The document, as a file."""
    file = tmp_path_factory.mktemp("document") / "openapi.json"
    with Api(system.url, system.key) as api:
        file.write_text(json.dumps(api.get("/openapi.json")))
    return file


def operations(document: Path) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in json.loads(document.read_text())["paths"].items():
        for method, operation in methods.items():
            yield method, path, operation


def node(name: str) -> str:
    program("node", "it runs what npm has installed")
    if not (BIN / name).exists():
        reason = f"{name} is not installed: make test installs it where there is npm"
        if os.environ.get("CI") or os.environ.get("TEMPS_REQUIRE_ALL"):
            pytest.fail(reason)
        pytest.skip(reason)
    return str(BIN / name)


def run(*command: str, where: Path, **environment: str) -> str:
    done = subprocess.run(
        command,
        cwd=where,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, f"{command[0]}: {done.stdout[-4000:]}\n{done.stderr[-4000:]}"
    return done.stdout


def test_every_operation_says_what_it_is_and_what_can_go_wrong(document: Path) -> None:
    for method, path, operation in operations(document):
        where = f"{method} {path}"
        assert operation["summary"], where
        assert operation["description"], where
        assert operation["operationId"], where
        assert operation["tags"][0][0].isupper(), where
        errors = {int(status) for status in operation["responses"] if status.isdigit() and int(status) >= 400}
        known, has_body = bool(operation["security"]), "requestBody" in operation
        if has_body:
            assert errors >= {400, 413, 415}, where
        if known:
            assert errors >= {401, 403, 429, 503}, where
        if known and "{" in path:
            assert 404 in errors, where
        assert "default" not in operation["responses"], where
        for status, response in operation["responses"].items():
            if known and status.isdigit() and int(status) >= 400:
                schema = response["content"]["application/problem+json"]["schema"]
                assert schema == {"$ref": "#/components/schemas/Problem"}, f"{where} {status}"


def test_every_word_of_the_document_is_explained(document: Path) -> None:
    schemas = json.loads(document.read_text())["components"]["schemas"]
    silent = [
        f"{name}.{word}"
        for name, schema in schemas.items()
        for word, member in schema.get("properties", {}).items()
        if not member.get("description")
    ]
    silent += [
        f"{method} {path} {parameter['name']}"
        for method, path, operation in operations(document)
        for parameter in operation.get("parameters", ())
        if not parameter.get("description")
    ]
    assert silent == []
    assert not [name for name in schemas if "_" in name or "[" in name]
    text = document.read_text()
    assert not [word for word in ('"ge"', '"le"', '"gt"', '"lt"', "Infinity") if word in text]


def test_every_body_is_a_component_with_an_example_that_works(document: Path, system: Stack) -> None:
    tried = 0
    with Api(system.url, system.key) as api:
        for method, path, operation in operations(document):
            body = operation.get("requestBody", {}).get("content", {}).get("application/json")
            if body is None:
                continue
            assert body["schema"]["$ref"].startswith("#/components/schemas/"), path
            named = body.get("examples") or {"only": {"value": body["example"]}}
            for name, example in named.items():
                query = "?verify=false" if path == UNVERIFIED else ""
                answer = api.request(method.upper(), path.replace("{id}", "1") + query, example["value"])
                expected = 401 if path == "/api/session" else int(min(operation["responses"]))
                assert answer.status == expected, f"{method} {path} {name}: {answer.status} {answer.body!r}"
                tried += 1
    assert tried >= 8


def test_the_validator_finds_nothing(document: Path) -> None:
    validator = PYTHON / "openapi-spec-validator"
    assert validator.exists(), "make test makes .venv-clients"
    run(str(validator), str(document), where=document.parent)


def test_the_linter_finds_nothing(document: Path) -> None:
    said = run(
        node("redocly"), "lint", "--config", str(CLIENTS / "redocly.yaml"), "--format=json", str(document),
        where=document.parent, REDOCLY_TELEMETRY="off", CI="1",
    )  # fmt: skip
    assert json.loads(said[said.index("{") :])["totals"] == {"errors": 0, "warnings": 0, "ignored": 0}


def test_a_generated_python_client_goes_the_whole_way(document: Path, system: Stack, tmp_path: Path) -> None:
    path = f"{PYTHON}:{os.environ['PATH']}"
    run(
        "openapi-python-client", "generate", "--path", str(document), "--meta", "none", "--fail-on-warning",
        "--config", str(CLIENTS / "generator.yaml"), "--output-path", str(tmp_path / "temps_api_client"),
        where=tmp_path, PATH=path,
    )  # fmt: skip
    said = run(
        str(PYTHON / "python"), str(CLIENTS / "journey.py"), system.url, system.key,
        where=tmp_path, PYTHONPATH=str(tmp_path),
    )  # fmt: skip
    assert json.loads(said) == JOURNEY


def test_a_generated_typescript_client_goes_the_whole_way(document: Path, system: Stack, tmp_path: Path) -> None:
    generator = node("openapi-typescript")
    for name in ("journey.ts", "tsconfig.json", "package.json"):
        shutil.copy(CLIENTS / name, tmp_path / name)
    (tmp_path / "node_modules").symlink_to(CLIENTS / "node_modules")
    run(generator, str(document), "-o", "schema.ts", where=tmp_path)
    run(node("tsc"), "-p", ".", where=tmp_path)
    said = run(program("node", "it runs TypeScript's output"), "journey.js", system.url, system.key, where=tmp_path)
    assert json.loads(said) == JOURNEY

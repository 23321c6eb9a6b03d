"""Every operation of the OpenAPI document is called with data made from its own schemas.

What comes back must be documented: status, content type, shape. What breaks a schema is refused, what
keeps it is not called malformed. A failure names the request; a new route mends it by declaring what it
answers (`responses=`), and by types that take no 0 for false (`StrictBool`).
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from castcore.proof import PROOF_HEADER
from castserver.accounts.auth import READING
from castserver.machines import clientroutes
from hypothesis import HealthCheck, given, settings
from schemathesis import Case, GenerationMode
from schemathesis.checks import CheckFunction
from schemathesis.config import GenerationConfig
from schemathesis.core.failures import FailureGroup
from schemathesis.core.parameters import ParameterLocation
from schemathesis.core.result import Ok
from schemathesis.schemas import APIOperation, BaseSchema
from schemathesis.specs.openapi.checks import (
    ignored_auth,
    missing_required_header,
    negative_data_rejection,
    positive_data_acceptance,
)
from starlette.types import Receive, Scope, Send

from tests.support.accounts import quicken_hashes
from tests.support.apiworld import ApiWorld
from tests.support.serverlab import OPERATOR, ServerLab

Operation = APIOperation[Any, Any, Any, Any]
# Who calls, and how many operations must at least succeed for them (most take the others' tokens).
CALLERS = {"admin": 40, "client": 12, "nobody": 1}
MODES = [GenerationMode.POSITIVE, GenerationMode.NEGATIVE]
FUZZED = 20
# Layouts of disks, sets of chunks and uploads have rules that no JSON schema tells.
BEYOND_SCHEMAS = (
    "POST /api/v1/clients",
    "POST /api/v1/uploads",
    "POST /api/v1/casts/{cast}/join",
    "POST /api/v1/casts/{cast}/durable",
)
BODY = {"image": "lab", "client": "client", "machines": "client", "mac": "mac"}


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    quicken_hashes(monkeypatch)
    monkeypatch.setattr(clientroutes, "MOST_WAIT", 0.01)


@cache
def schema() -> BaseSchema:
    return schemathesis.openapi.from_dict(ServerLab().web_app.openapi())


def operations() -> Iterator[Operation]:
    for result in schema().get_all_operations():
        assert isinstance(result, Ok), result
        yield result.ok()


class Proving:
    """The application of ``lab``, to which the requests of its clients come with their proofs."""

    def __init__(self, lab: ServerLab) -> None:
        self._lab = lab

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            headers = dict(scope["headers"])
            token = headers.get(b"authorization", b"").decode(errors="replace").removeprefix("Bearer ")
            prover = self._lab.provers.get(token)
            if prover is not None:
                query = scope["query_string"].decode("latin-1")
                path = (scope.get("raw_path") or scope["path"].encode()).decode("latin-1")
                proof = prover.header(scope["method"], f"{path}?{query}" if query else path)
                scope["headers"] = [*scope["headers"], (PROOF_HEADER.lower().encode(), proof.encode())]
        await self._lab.web_app(scope, receive, send)


class Visits:
    """The calls of one caller to world after world: a new one for whatever may have changed the last."""

    def __init__(self, who: str, home: Path) -> None:
        self.who, self.home, self.worlds = who, home, 0
        self.problems: list[str] = []
        schema()  # made of a world too, and the last one made is the one that answers
        self.succeeded: set[str] = set()
        self.enter()

    def enter(self) -> None:
        self.worlds += 1
        home = self.home / str(self.worlds)
        home.mkdir()
        self.world = ApiWorld(home)
        self.app = Proving(self.world.lab)
        self.headers = {"admin": OPERATOR, "client": self.world.client.headers}.get(self.who, {})

    def begin(self, operation: Operation) -> None:
        # The event stream would never end.
        event = self.world.lab.parts.stopping
        if operation.path.endswith("/events"):
            event.set()
        else:
            event.clear()

    def end(self, operation: Operation) -> None:
        if operation.method.upper() not in READING and self.who != "nobody":
            self.enter()

    def call(self, case: Case[Any]) -> None:
        """Make the call; raise FailureGroup when the answer is not as documented."""
        self._name(case)
        response = case.call(app=self.app, headers=self.headers)
        if response.status_code < 300:
            self.succeeded.add(case.operation.label)
        # The matrix of roles tests who may call; a client that is too old hears that first.
        excluded: list[CheckFunction] = [ignored_auth, missing_required_header]
        if case.operation.label.startswith(BEYOND_SCHEMAS):
            excluded.append(positive_data_acceptance)
        if case.media_type not in (
            None,
            "application/json",
        ):  # a table's text, bytes: the call judges it
            excluded += [positive_data_acceptance, negative_data_rejection]
        case.validate_response(response, headers=self.headers, excluded_checks=excluded)

    def _name(self, case: Case[Any]) -> None:
        """Let a case speak of what there is, where it is not its point to name something."""
        assert case.meta is not None
        if not case.meta.is_negative_at(ParameterLocation.PATH):
            for key in self.world.names.keys() & case.path_parameters.keys():
                case.path_parameters[key] = self.world.names[key]
        about = case.meta.phase.data.description or ""
        if isinstance(case.body, dict):
            for key in BODY.keys() & case.body.keys():
                name = self.world.names.get(BODY[key], BODY[key])
                if key not in about and isinstance(case.body[key], str | list):
                    case.body[key] = [name] if key == "machines" else name


def report(visits: Visits, called: set[str]) -> None:
    if visits.problems:
        pytest.fail(
            "\n".join(visits.problems[:10]) + f"\n{len(visits.problems)} problems", pytrace=False
        )
    assert len(called) == len(list(operations())) > 60
    assert len(visits.succeeded) >= CALLERS[visits.who], sorted(called - visits.succeeded)


@pytest.mark.parametrize("who", CALLERS)
def test_every_answer_is_documented(who: str, tmp_path: Path) -> None:
    """At the bounds of every schema, and just beyond."""
    visits, called = Visits(who, tmp_path), set[str]()
    for operation in operations():
        visits.begin(operation)
        for case in schema().iter_coverage_cases(
            operation, generation_modes=MODES, generation_config=GenerationConfig()
        ):
            called.add(operation.label)
            try:
                visits.call(case)
            except FailureGroup as failures:
                visits.problems.append(f"{operation.label} as {who}: {failures}")
        visits.end(operation)
    report(visits, called)


@pytest.mark.full
@pytest.mark.parametrize("who", CALLERS)
def test_answers_to_anything_are_documented(who: str, tmp_path: Path) -> None:
    """With whatever comes to Hypothesis's mind."""
    visits, called = Visits(who, tmp_path), set[str]()

    @settings(
        max_examples=FUZZED,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    def fuzz(case: Case[Any]) -> None:
        called.add(case.operation.label)
        visits.call(case)

    for operation in operations():
        visits.begin(operation)
        spoilt = [*operation.iter_parameters(), *operation.body]
        for mode in MODES if spoilt else MODES[:1]:
            try:
                given(case=operation.as_strategy(generation_mode=mode))(fuzz)()
            except FailureGroup as failures:
                visits.problems.append(f"{operation.label} as {who}: {failures}")
        visits.end(operation)
    report(visits, called)

"""The words of the domain: the table of moves, and models that cannot be bent."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from dg.core.deployments.models import (
    ACTIVE,
    FINAL,
    MOVES,
    CreateDeployment,
    LockLane,
    RequestRollback,
    Status,
    UpdateDeployment,
)


def test_the_status_is_the_specifications_enum_and_nothing_else() -> None:
    assert list(Status) == ["pending", "building", "deploying", "success", "failed", "rolled_back"]


def test_every_status_has_its_row_in_the_table_of_moves() -> None:
    assert set(MOVES) == set(Status)


def test_a_final_status_leads_only_to_rolled_back_and_that_to_nothing() -> None:
    for status in FINAL - {Status.ROLLED_BACK}:
        assert MOVES[status] == {Status.ROLLED_BACK}
    assert MOVES[Status.ROLLED_BACK] == frozenset()


def test_success_is_reached_only_from_a_run() -> None:
    assert {status for status, moves in MOVES.items() if Status.SUCCESS in moves} == ACTIVE


def test_every_status_but_pending_is_active_or_final_and_never_both() -> None:
    assert set(Status) - {Status.PENDING} == ACTIVE | FINAL
    assert not ACTIVE & FINAL


@pytest.mark.parametrize("model", [CreateDeployment, UpdateDeployment, RequestRollback])
def test_a_field_that_is_not_known_is_refused(model: type[CreateDeployment]) -> None:
    with pytest.raises(ValidationError, match="Extra inputs are not permitted"):
        model.model_validate({"environment": "staging", "force": True})


@pytest.mark.parametrize("note", ["", "   ", "x" * 501])
def test_a_note_says_something_in_500_characters(note: str) -> None:
    with pytest.raises(ValidationError):
        LockLane(reason=note, until=1)


def test_a_request_cannot_be_changed_after_it_was_checked() -> None:
    request = CreateDeployment.model_validate({"environment": "staging"})
    with pytest.raises(ValidationError, match="frozen"):
        request.environment = "production"  # type: ignore[assignment,misc]

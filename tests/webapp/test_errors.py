"""Which error becomes what."""

import pytest
from django.db import DataError, IntegrityError, OperationalError

from segmentation import errors as library
from webapp import errors


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (errors.InvalidInputError("a"), 400, "invalid"),
        (errors.MissingError("a"), 404, "missing"),
        (errors.ForbiddenError("a"), 403, "forbidden"),
        (errors.ConflictError("a"), 409, "conflict"),
        (errors.StaleError("a"), 409, "stale"),
        (errors.NothingToDoError("a"), 409, "nothing"),
        (errors.LimitError("a"), 429, "limit"),
        (errors.TooLargeError("a"), 413, "limit"),
        (errors.QuotaError("a"), 507, "limit"),
        (library.InvalidArgumentError("a"), 400, "invalid"),
        (library.UnreadableSceneError("a"), 400, "invalid"),
        (library.StoreError("a"), 409, "conflict"),
        (library.CancelledError("a"), 409, "conflict"),
        (library.StorageFullError("a"), 507, "limit"),
    ],
)
def test_describe_maps_errors_to_status_and_code(error, status, code):
    assert errors.describe(error) == errors.Problem(status, code, "a")


def test_describe_keeps_unforeseen_errors_to_the_log(caplog):
    problem = errors.describe(RuntimeError("inner workings"))
    assert (problem.status, problem.code) == (500, "internal")
    assert "inner workings" not in problem.message
    assert "inner workings" in caplog.text


def test_a_database_that_is_busy_is_told_as_such(caplog):
    problem = errors.describe(OperationalError("database is locked"))
    assert (problem.status, problem.code) == (503, "limit")
    assert (
        problem.message
        == "The database is busy or cannot be reached just now; wait a moment and do it again."
    )
    assert "database is locked" in caplog.text


@pytest.mark.django_db
@pytest.mark.parametrize("path", ["/nowhere/", "/projects/99/", "/api/nowhere", "/tiles/x"])
def test_missing_pages_say_so(signed_in, path):
    response = signed_in.get(path)
    assert response.status_code == 404
    if path.startswith(("/api/", "/tiles/")):
        assert "no such page" in response.json()["detail"]
    else:
        assert "Nothing here" in response.content.decode()


def test_two_changes_that_collide_are_a_conflict_without_the_database_s_words():
    problem = errors.describe(IntegrityError('violates foreign key constraint "webapp_edit_project_id"'))
    assert (problem.status, problem.code) == (409, "conflict")
    assert "foreign key" not in problem.message
    assert "same instant" in problem.message


def test_a_value_that_the_database_refuses_is_told_without_its_words():
    problem = errors.describe(DataError("PostgreSQL text fields cannot contain NUL (0x00) bytes"))
    assert (problem.status, problem.code) == (400, "invalid")
    assert "cannot be stored" in problem.message
    assert "PostgreSQL" not in problem.message

"""Problems, as clients get them."""

import json

from act_one.http_events import json_response, problem_response
from act_one.problems import ProblemError

PROBLEM = ProblemError(409, "key-reused", "The key is used", "take another one", field="Key")


def test_a_problem_is_an_rfc_9457_document_with_code_and_field():
    assert PROBLEM.document() == {
        "type": "/v1/docs/problems#key-reused",
        "title": "The key is used",
        "status": 409,
        "detail": "take another one",
        "code": "key-reused",
        "field": "Key",
    }


def test_a_problem_without_a_field_has_no_such_member():
    assert "field" not in ProblemError(503, "down", "Down", "try again later").document()


def test_a_problem_is_not_retryable_unless_it_says_so():
    assert not PROBLEM.retryable
    assert ProblemError(503, "down", "Down", "try again later", retryable=True).retryable


def test_a_problem_is_answered_with_its_status_and_media_type():
    response = problem_response(PROBLEM)

    assert response["statusCode"] == 409
    assert response["headers"] == {"Content-Type": "application/problem+json"}
    assert json.loads(response["body"]) == PROBLEM.document()


def test_a_problem_as_an_exception_says_its_detail():
    assert str(PROBLEM) == "take another one"


def test_json_is_answered_compact_and_in_utf_8():
    response = json_response(202, {"name": "Zoë", "list": [1]}, {"Location": "/v1/tasks/1"})

    assert response == {
        "statusCode": 202,
        "headers": {"Content-Type": "application/json", "Location": "/v1/tasks/1"},
        "body": '{"name":"Zoë","list":[1]}',
    }

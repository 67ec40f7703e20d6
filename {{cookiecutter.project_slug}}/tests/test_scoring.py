"""What a request gets for an answer: one table for good requests and bad."""

import json
import tracemalloc
from dataclasses import replace
from pathlib import Path

import pytest

from {{ cookiecutter.package_name }} import model, scoring
from {{ cookiecutter.package_name }}.schema import FEATURES
from {{ cookiecutter.package_name }}.scoring import Service

ROW = [0.01] * len(FEATURES)


def body(rows: object) -> bytes:
    return json.dumps({"data": rows}).encode()


BAD_REQUESTS = {
    "not_json": (b"{", "not JSON"),
    "empty": (b"", "not JSON"),
    "not_text": (b"\xff\xfe", "not JSON"),
    "nan": (body([[float("nan"), *ROW[1:]]]), "not JSON"),
    "nested_deeply": (b"[" * 100_000, "not JSON"),
    "a_list": (b"[]", 'the one key "data"'),
    "a_number": (b"1", 'the one key "data"'),
    "wrong_key": (b'{"dat": []}', 'the one key "data"'),
    "another_key": (json.dumps({"data": [ROW], "more": 1}).encode(), 'the one key "data"'),
    "the_key_twice": (b'{"data": "x", "data": [[1]]}', "numbers only"),
    "one_long_text": (body([["a" * 100_000, *[""] * 1000]]), "numbers only"),
    "a_text": (b'{"data": "x"}', "numbers only"),
    "no_rows": (body([]), "rows of"),
    "null": (body(None), "rows of"),
    "an_object": (body({}), "rows of"),
    "one_row_flat": (body(ROW), "rows of"),
    "empty_row": (body([[]]), "rows of"),
    "short_row": (body([ROW[1:]]), "rows of"),
    "long_row": (body([[*ROW, 1.0]]), "rows of"),
    "ragged": (body([ROW, ROW[1:]]), "differ in length"),
    "too_deep": (body([[ROW]]), "rows of"),
    "text": (body([["a", *ROW[1:]]]), "numbers only"),
    "quoted_number": (body([["1", *ROW[1:]]]), "numbers only"),
    "null_in_row": (body([[None, *ROW[1:]]]), "numbers only"),
    "boolean": (body([[True, *ROW[1:]]]), "numbers only"),
    "an_object_in_row": (body([[{}, *ROW[1:]]]), "numbers only"),
    "too_deep_in_row": (body([[[1.0], *ROW[1:]]]), "numbers only"),
    "only_nulls": (body([[None] * len(ROW)]), "numbers only"),
    "only_booleans": (body([[True] * len(ROW)]), "numbers only"),
    "huge_integer": (body([[10**400, *ROW[1:]]]), "not JSON"),
}


@pytest.fixture(scope="module")
def service(trained: Path) -> Service:
    return Service(model.load(trained / "candidate" / "model"), name="tested", version=3)


@pytest.mark.parametrize(("request_body", "reason"), BAD_REQUESTS.values(), ids=BAD_REQUESTS)
def test_a_bad_request_is_answered_with_400_and_the_reason(service: Service, request_body: bytes, reason: str) -> None:
    status, answer, _ = scoring.score(service, request_body)

    assert status == 400
    assert reason in json.loads(answer)["error"]


def test_long_texts_take_memory_in_proportion_to_the_request(service: Service) -> None:
    request = body([["a" * 100_000, *[""] * 1000]])

    tracemalloc.start()
    scoring.score(service, request)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert peak < 100 * len(request)


@pytest.mark.parametrize("rows", [[ROW], [ROW] * 3, [[0] * len(ROW)]])
def test_each_row_gets_the_model_s_prediction(service: Service, rows: list[list[float]]) -> None:
    status, answer, predictions = scoring.score(service, body(rows))

    assert (status, predictions) == (200, len(rows))
    assert json.loads(answer)["result"] == service.model.predict(rows).tolist()


def test_numbers_are_taken_in_the_order_of_the_model_s_columns(service: Service) -> None:
    numbers = [[float(number) for number in range(len(ROW))]]
    echo = replace(service.model, labels=None, predictor=lambda rows: rows[:, 1])

    _, answer, _ = scoring.score(replace(service, model=echo), body(numbers))

    assert json.loads(answer) == {"result": [1.0]}


def test_a_classifier_answers_labels_too(service: Service) -> None:
    classifier = replace(service.model, labels=("no", "yes"), threshold=0.5, predictor=lambda rows: rows[:, 0])

    _, answer, _ = scoring.score(replace(service, model=classifier), body([[0.4, *ROW[1:]], [0.5, *ROW[1:]]]))

    assert json.loads(answer) == {"result": [0.4, 0.5], "label": ["no", "yes"]}


@pytest.mark.filterwarnings("ignore:overflow")
def test_a_prediction_that_is_not_finite_is_the_request_s_fault(service: Service) -> None:
    overflowing = replace(service.model, predictor=lambda rows: rows.sum(axis=1) * 1e308 * 1e308)

    status, answer, _ = scoring.score(replace(service, model=overflowing), body([ROW]))

    assert status == 400
    assert "too large" in json.loads(answer)["error"]


def test_the_description_offers_a_request_that_works(service: Service) -> None:
    description = json.loads(scoring.description(service))

    content = description["paths"]["/score"]["post"]["requestBody"]["content"]["application/json"]
    status, *_ = scoring.score(service, json.dumps(content["schema"]["example"]).encode())

    assert status == 200
    assert content["schema"]["properties"]["data"]["items"]["minItems"] == len(FEATURES)

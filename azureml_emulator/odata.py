"""The filters of run queries."""

import re
from typing import Any


def matches(run: dict[str, Any], expression: str) -> bool:
    """Apply a filter as azureml._restclient._odata.runs writes it: ``and`` of ``or`` of comparisons."""
    return all(_any_term(run, _split(group, "or")) for group in _split(expression, "and"))


def _split(expression: str, word: str) -> list[str]:
    """Split at a word that does not stand between quotes."""
    return re.split(rf' {word} (?=(?:[^"]*"[^"]*")*[^"]*$)', expression)


def _any_term(run: dict[str, Any], terms: list[str]) -> bool:
    if terms[0].endswith(" ne null"):  # "A ne null or A eq null" is how the SDK asks whether there is an A
        terms = terms[:1]
    return any(_term(run, term.strip("() ")) for term in terms)


def _term(run: dict[str, Any], term: str) -> bool:
    field, comparison, wanted = term.split(" ", 2)
    name, _, key = field.partition("/")
    value = run.get(name[:1].lower() + name[1:])
    if key:
        value = (value or {}).get(key)
    text, wanted = "null" if value is None else str(value), wanted.strip('"')
    return {"eq": text == wanted, "ne": text != wanted, "ge": text >= wanted, "gt": text > wanted}[comparison]

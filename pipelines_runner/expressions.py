"""The expression language: learn.microsoft.com/azure/devops/pipelines/process/expressions.

Values are None, bool, float, str, list and dict. Names of functions and variables ignore case, and so do comparisons.
"""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from .errors import PipelineError

Functions = Mapping[str, Callable[..., Any]]
TOKEN = re.compile(
    r"""\s*(?:(?P<number>-?\d+(?:\.\d+)?(?![\w.]))|(?P<string>'(?:[^']|'')*')|(?P<name>[A-Za-z_][\w-]*)
    |(?P<mark>[()\[\].,*]))""",
    re.VERBOSE,
)


class Token(NamedTuple):
    kind: str
    text: str


class Name(NamedTuple):
    text: str


class Index(NamedTuple):
    of: Any
    key: Any


class Call(NamedTuple):
    function: str
    arguments: list[Any]


class Literal(NamedTuple):
    value: Any


def tokens(text: str) -> list[Token]:
    found, position = [], 0
    while text[position:].strip():
        match = TOKEN.match(text, position)
        if not match:
            raise PipelineError(f"Expression {text!r} cannot be read from {text[position:].strip()[:20]!r} on.")
        kind = match.lastgroup or ""
        found.append(Token(kind, match[kind]))
        position = match.end()
    return [*found, Token("end", "")]


class Parser:
    """Reads one expression; ``node`` is what it says."""

    def __init__(self, text: str) -> None:
        self.text, self.left = text, tokens(text)
        self.node = self.read()
        if self.left[0].kind != "end":
            raise PipelineError(f"Expression {text!r} goes on where it should end: {self.left[0].text!r}.")

    def take(self, *expected: str) -> Token:
        token = self.left.pop(0)
        if expected and token.text not in expected:
            raise PipelineError(f"Expression {self.text!r} has {token.text!r} where {' or '.join(expected)} belongs.")
        return token

    def read(self) -> Any:
        token = self.take()
        if token.kind == "number":
            return Literal(float(token.text))
        if token.kind == "string":
            return Literal(token.text[1:-1].replace("''", "'"))
        if token.kind != "name":
            raise PipelineError(f"Expression {self.text!r} has {token.text!r} where a value belongs.")
        if self.left[0].text == "(":
            return self.rest(Call(token.text, self.arguments()))
        literals = {"true": True, "false": False, "null": None}
        if token.text.lower() in literals:
            return Literal(literals[token.text.lower()])
        return self.rest(Name(token.text))

    def arguments(self) -> list[Any]:
        self.take("(")
        found = []
        while self.left[0].text != ")":
            found.append(self.read())
            if self.left[0].text != ")":
                self.take(",")
        self.take(")")
        return found

    def rest(self, node: Any) -> Any:
        while self.left[0].text in (".", "["):
            if self.take().text == ".":
                node = Index(node, Literal(self.take().text))
            else:
                node = Index(node, self.read())
                self.take("]")
        return node


def evaluate(text: str, names: Mapping[str, Any], functions: Functions | None = None) -> Any:
    """Return the value of an expression. Names and functions must exist; a key that a mapping lacks is None."""
    return _value(Parser(text).node, names, {**FUNCTIONS, **(functions or {})})


def _value(node: Any, names: Mapping[str, Any], functions: Functions) -> Any:
    match node:
        case Literal(value):
            return value
        case Name(text):
            if text not in names:
                raise PipelineError(f"There is no {text!r} here; there are {', '.join(names) or 'no names'}.")
            return names[text]
        case Index(of, key):
            return lookup(_value(of, names, functions), _value(key, names, functions))
        case Call(function, arguments):
            return _call(function, arguments, names, functions)
    raise AssertionError(node)


def _call(function: str, arguments: list[Any], names: Mapping[str, Any], functions: Functions) -> Any:
    called = {name.lower(): one for name, one in functions.items()}.get(function.lower())
    if called is None:
        raise PipelineError(f"There is no function {function!r} here.")
    try:
        return called(*(_value(argument, names, functions) for argument in arguments))
    except TypeError as error:
        raise PipelineError(f"{function}() cannot be called so: {error}") from error


def lookup(of: Any, key: Any) -> Any:
    """Return a member, its name compared without case; None where there is none."""
    if isinstance(of, list) and isinstance(key, float):
        return of[int(key)] if int(key) < len(of) else None
    if hasattr(of, "lookup"):
        return of.lookup(text(key))
    if isinstance(of, Mapping):
        return {str(name).lower(): value for name, value in of.items()}.get(text(key).lower())
    return None


def text(value: Any) -> str:
    """Return a value as Azure Pipelines writes it into a string."""
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, dict | list):
        return json.dumps(value)
    return str(value)


def true(value: Any) -> bool:
    return value not in (None, False, "", 0.0)


def equal(left: Any, right: Any) -> bool:
    """Compare as Azure Pipelines does: the right side becomes what the left side is."""
    if isinstance(left, bool):
        return left == true(right)
    if isinstance(left, float):
        try:
            return left == float(text(right))
        except ValueError:
            return False
    return text(left).lower() == text(right).lower()


def replace_format(pattern: str, *values: Any) -> str:
    return re.sub(r"\{(\d+)\}", lambda match: text(values[int(match[1])]), text(pattern))


def contains(where: Any, what: Any) -> bool:
    return text(what).lower() in text(where).lower()


def join(separator: Any, items: Any) -> str:
    return text(separator).join(map(text, items if isinstance(items, Sequence) and not isinstance(items, str) else []))


FUNCTIONS: Functions = {
    "and": lambda one, two, *more: all(map(true, (one, two, *more))),
    "or": lambda one, two, *more: any(map(true, (one, two, *more))),
    "not": lambda value: not true(value),
    "eq": equal,
    "ne": lambda left, right: not equal(left, right),
    "in": lambda value, *others: any(equal(value, other) for other in others),
    "notIn": lambda value, *others: not any(equal(value, other) for other in others),
    "iif": lambda condition, yes, no: yes if true(condition) else no,
    "coalesce": lambda *values: next((value for value in values if value not in (None, "")), None),
    "contains": contains,
    "startsWith": lambda value, start: text(value).lower().startswith(text(start).lower()),
    "endsWith": lambda value, end: text(value).lower().endswith(text(end).lower()),
    "format": replace_format,
    "join": join,
    "length": lambda value: float(len(value)),
    "lower": lambda value: text(value).lower(),
    "upper": lambda value: text(value).upper(),
    "trim": lambda value: text(value).strip(),
    "replace": lambda value, old, new: text(value).replace(text(old), text(new)),
    "convertToJson": lambda value: json.dumps(value, indent=2),
}

"""Expand a pipeline as the service does before anything runs: parameters, ``${{ }}``, templates.

Every scalar is text, as it is for Azure Pipelines; the type of a parameter decides what its value becomes.
"""

import re
from pathlib import Path
from typing import Any

import yaml

from .errors import PipelineError
from .expressions import evaluate, text, true

EXPRESSION = re.compile(r"\$\{\{((?:(?!\}\}).)*)\}\}", re.DOTALL)
DIRECTIVE = re.compile(r"\$\{\{\s*(if|elseif|else|each|insert)\b(.*?)\}\}", re.DOTALL)
EACH = re.compile(r"\s*(\w+)\s+in\s+(.*)", re.DOTALL)
KINDS = {"stageList": list, "jobList": list, "stepList": list}
Names = dict[str, Any]


class Known(dict[str, Any]):
    """Names that are all that is known: another one is an error, where Azure Pipelines would take it for empty."""

    def lookup(self, name: str) -> Any:
        found = {known.lower(): value for known, value in self.items()}
        if name.lower() not in found:
            raise PipelineError(f"{name} is not defined here.")
        return found[name.lower()]


class Node(dict[str, Any]):
    """A mapping that knows the file in which it was written: templates are named from there."""

    file: Path


def load(file: Path) -> Node:
    """Read a file. Keys that stand twice, anchors and aliases are errors."""
    if not file.is_file():
        raise PipelineError(f"{file} is not there.")
    content = file.read_text(encoding="utf-8")
    try:
        events = yaml.parse(content, Loader=yaml.CBaseLoader)
        if any(isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None) for event in events):
            raise PipelineError(f"{file}: Azure Pipelines knows no anchors and aliases.")
        read = convert(yaml.compose(content, Loader=yaml.CBaseLoader), file)
    except yaml.YAMLError as error:
        raise PipelineError(f"{file} is not YAML: {error}") from error
    if not isinstance(read, Node):
        raise PipelineError(f"{file} holds no mapping.")
    return read


def convert(node: Any, file: Path) -> Any:
    if isinstance(node, yaml.ScalarNode):
        return node.value
    if isinstance(node, yaml.SequenceNode):
        return [convert(item, file) for item in node.value]
    made = Node()
    made.file = file
    for key, value in node.value:
        if key.value in made:
            raise PipelineError(f"{file}:{key.start_mark.line + 1}: {key.value} stands twice.")
        made[key.value] = convert(value, file)
    return made


def parameters(declared: Any, given: Names, where: str) -> Names:
    """Return the values of declared parameters, typed and checked."""
    declared = declared or []
    names = [one["name"] for one in declared]
    if unknown := set(given) - set(names):
        raise PipelineError(f"{where} has no parameter {', '.join(sorted(unknown))}.")
    values = Known()
    for one in declared:
        if one["name"] not in given and "default" not in one:
            raise PipelineError(f"{where} needs parameter {one['name']}.")
        value = typed(given.get(one["name"], one.get("default")), one, where)
        if "values" in one and text(value) not in one["values"]:
            raise PipelineError(f"{where}: {one['name']} is {value!r}, not one of {', '.join(one['values'])}.")
        values[one["name"]] = value
    return values


def typed(value: Any, declared: Names, where: str) -> Any:
    kind = declared.get("type", "string")
    wrong = PipelineError(f"{where}: {declared['name']} is {value!r}, which is no {kind}.")
    if kind == "boolean":
        if text(value).lower() not in ("true", "false"):
            raise wrong
        return text(value).lower() == "true"
    if kind == "number":
        try:
            return float(text(value))
        except ValueError:
            raise wrong from None
    if kind == "string":
        if isinstance(value, dict | list):
            raise wrong
        return text(value)
    if kind == "object":
        return value
    if kind in KINDS:
        if not isinstance(value, KINDS[kind]):
            raise wrong
        return value
    raise PipelineError(f"{where}: {declared['name']} has type {kind}, which is not known here.")


class Expansion:
    """Expands the files of one repository."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def pipeline(self, file: str, given: Names, predefined: Names, groups: dict[str, Names]) -> Node:
        """Return a root pipeline without templates, expressions and parameters; ``variables`` by name."""
        read = load(self.root / file)
        if unknown := set(read) - OF_A_PIPELINE:
            raise PipelineError(f"{file} has unknown {', '.join(sorted(unknown))}.")
        early = {name: value for name, value in predefined.items() if name in KNOWN_EARLY}
        names: Names = {"parameters": parameters(read.pop("parameters", []), given, file), "variables": Known(early)}
        variables = self.variables(read.pop("variables", []), names, groups)
        late = {name for group in groups.values() for name in group}  # what groups hold is known when jobs run
        names["variables"] = Known(early | {name: value for name, value in variables.items() if name not in late})
        made = Node(self.expand({key: value for key, value in read.items() if key not in SECTIONS}, names))
        made.file = read.file
        made["variables"] = variables
        if "stages" in read:
            made["stages"] = self.section("stages", read["stages"], names)
        elif "jobs" in read:
            made["stages"] = [{"stage": "", "jobs": self.section("jobs", read["jobs"], names)}]
        else:
            job = {"job": "", "steps": self.section("steps", read["steps"], names)}
            made["stages"] = [{"stage": "", "jobs": [job]}]
        return made

    def variables(self, written: Any, names: Names, groups: dict[str, Names]) -> Names:
        """Return variables by name: mappings, lists, groups and templates of them."""
        if isinstance(written, dict):
            return {name: text(value) for name, value in self.expand(written, names).items()}
        found: Names = {}
        for item in self.expand(written, names):
            if "group" in item:
                if item["group"] not in groups:
                    raise PipelineError(f"There is no variable group {item['group']!r}.")
                found |= groups[item["group"]]
            elif "template" in item:
                template, inside = self.template("variables", item, names)
                found |= self.variables(template, inside, groups)
            else:
                found[item["name"]] = text(item["value"])
        return found

    def section(self, kind: str, written: Any, names: Names) -> list[Any]:
        """Return the stages, jobs or steps of a list, those of its templates among them."""
        found = []
        for item in self.expand(written, names, INSIDE.get(kind, ())):
            if "template" in item:
                template, inside = self.template(kind, item, names)
                found += self.section(kind, template, inside)
            else:
                made = Node(item)
                if "strategy" in item:
                    made["steps"] = once(made.pop("strategy"), made)
                for key in SECTIONS:
                    if key in INSIDE.get(kind, ()) and key in made:
                        made[key] = self.section(key, made[key], names)
                found.append(made)
        return found

    def template(self, kind: str, item: Node, names: Names) -> tuple[Any, Names]:
        """Return the list that a template holds, and the names that are known in it."""
        path, _, repository = item["template"].partition("@")
        if repository not in ("", "self"):
            raise PipelineError(f"{item.file}: templates of repository {repository!r} are not known here.")
        file = self.root / path.lstrip("/") if path.startswith("/") else item.file.parent / path
        if not file.is_file():
            raise PipelineError(f"{item.file.relative_to(self.root)} names template {item['template']}, not a file.")
        read = load(file)
        if set(read) - {"parameters"} != {kind}:
            raise PipelineError(f"{item['template']} should hold {kind}, and holds {', '.join(read)}.")
        given = item.get("parameters") or {}
        values = parameters(read.get("parameters"), given, item["template"])
        return read[kind], {"parameters": values, "variables": names["variables"]}

    def expand(self, node: Any, names: Names, later: tuple[str, ...] = ()) -> Any:
        """Return a node with its expressions evaluated, but for what stands under the keys in ``later``."""
        if isinstance(node, str):
            return self.scalar(node, names)
        if isinstance(node, list):
            return self.sequence(node, names, later)
        if not isinstance(node, dict):
            return node
        made = Node()
        made.file = getattr(node, "file", Path())
        self.merge(made, node, names, later)
        return made

    def scalar(self, written: str, names: Names) -> Any:
        whole = EXPRESSION.fullmatch(written.strip())
        if whole:
            return evaluate(whole[1], names)
        return EXPRESSION.sub(lambda match: text(evaluate(match[1], names)), written)

    def sequence(self, items: list[Any], names: Names, later: tuple[str, ...]) -> list[Any]:
        made: list[Any] = []
        taken = False
        for item in items:
            key = next(iter(item)) if isinstance(item, dict) and len(item) == 1 else ""
            if directive := DIRECTIVE.fullmatch(key.strip()):
                inside, taken = follow(directive, taken, names)
                for known in inside:
                    made += self.sequence(item[key], known, later)
                continue
            value = self.expand(item, names, later)
            made += value if isinstance(item, str) and isinstance(value, list) else [value]
        return made

    def merge(self, made: Node, node: dict[str, Any], names: Names, later: tuple[str, ...]) -> None:
        taken = False
        for key, value in node.items():
            if directive := DIRECTIVE.fullmatch(key.strip()):
                inside, taken = follow(directive, taken, names)
                for known in inside:
                    self.merge(made, value if isinstance(value, dict) else self.expand(value, known), known, later)
                continue
            name = text(self.scalar(key, names))
            if name in made:
                raise PipelineError(f"{made.file}: {name} is given twice.")
            made[name] = value if name in later else self.expand(value, names)


def once(strategy: Any, job: Names) -> Any:
    """Return the steps of a deployment job. Of its strategies, only runOnce with nothing but `deploy` is known here."""
    match strategy:
        case {"runOnce": {"deploy": {"steps": steps, **more_of_hook}, **other_hooks}, **others} if not (
            more_of_hook or other_hooks or others
        ):
            return steps
    raise PipelineError(f"Job {job.get('deployment')} has a strategy that is not known here: {strategy}")


def follow(directive: re.Match[str], taken: bool, names: Names) -> tuple[list[Names], bool]:
    """Return the names with which to expand what a directive holds, and whether one of its chain has applied."""
    word, rest = directive.groups()
    if word == "insert":
        return [names], False
    if word == "each":
        match = EACH.fullmatch(rest)
        if not match:
            raise PipelineError(f"${{{{ each{rest}}}}} should read: each name in list.")
        return [{**names, match[1]: item} for item in evaluate(match[2], names) or []], False
    taken = taken and word != "if"
    applies = not taken and (word == "else" or true(evaluate(rest, names)))
    return [names] if applies else [], taken or applies


SECTIONS = ("stages", "jobs", "steps")
OF_A_PIPELINE = {"name", "trigger", "pr", "schedules", "resources", "parameters", "variables"}
OF_A_PIPELINE |= {"lockBehavior", *SECTIONS}
# The predefined variables that templates may use: learn.microsoft.com/azure/devops/pipelines/build/variables.
KNOWN_EARLY = {
    "Build.Reason",
    "Build.SourceBranch",
    "Build.SourceBranchName",
    "System.CollectionUri",
    "System.TeamProjectId",
}
INSIDE = {"stages": ("jobs",), "jobs": ("steps", "strategy")}

"""A posted pipeline, read: which steps there are, in which order, and with which command lines."""

import json
import re
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

from . import parallel_run
from .routes import Refusal

# What a shell acts upon, unless it stands between single quotes. Without it, a value is only words.
ACTIVE = re.compile(r"""[;&|<>`$()\n'"\\]""")
QUOTED = re.compile(r"'[^']*'")


class Port(NamedTuple):
    """An output of a node; a dataset is a node with one output."""

    node: str
    name: str


@dataclass(frozen=True)
class Step:
    """A module node, its parameters resolved."""

    id: str
    module: dict[str, Any]
    node: dict[str, Any]
    values: dict[str, str]
    settings: dict[str, str | None]
    inputs: dict[str, Port]

    @property
    def name(self) -> str:
        return str(self.module["Name"])

    @property
    def reusable(self) -> bool:
        """``allow_reuse`` is posted as IsDeterministic: _AevaModuleProvider.create_module."""
        return bool(self.module.get("IsDeterministic")) and not self.node.get("RegenerateOutput")

    @cached_property
    def outputs(self) -> dict[str, dict[str, Any]]:
        """The outputs that arguments name or that say where they go; the SDK's own order-only output is none."""
        settings = {entry["Name"]: entry for entry in self.node.get("ModuleOutputSettings") or []}
        ports = self.module["StructuredInterface"].get("Outputs") or []
        return {port["Name"]: settings.get(port["Name"], port) for port in ports if not port.get("SkipProcessing")}

    def mode(self, port: str) -> str:
        """Return how an input is handed over: download, mount or direct."""
        ports = self.module["StructuredInterface"].get("Inputs") or []
        return next((str(entry.get("DataStoreMode") or "").lower() for entry in ports if entry["Name"] == port), "")

    @cached_property
    def environment(self) -> dict[str, Any]:
        """The environment of the step's run configuration."""
        return json.loads(self.node.get("Runconfig") or "{}").get("environment") or {}

    @property
    def variables(self) -> dict[str, str]:
        """The environment variables of the step's run configuration."""
        own = json.loads(self.node.get("Runconfig") or "{}").get("environmentVariables") or {}
        return {**(self.environment.get("environmentVariables") or {}), **own}

    def command(self, place: Callable[[str, str], str]) -> str:
        """Return the command line for a shell. ``place`` tells the folder of an ``Input`` or ``Output``.

        azureml._execution._commands joins a command's words with blanks, and a shell reads the line: that is how
        ``export A=B && python x.py`` can be a command (github.com/Azure/azureml-cheatsheets issue #16).
        A script's arguments are handed over as they are.
        """
        command, script = self.settings.get("Command"), self.settings.get("Script")
        arguments = self.module["StructuredInterface"].get("Arguments") or []
        if not command:
            script = parallel_run.__file__ if script == parallel_run.ADDED_BY_AZURE else script
            return " ".join(["python", shlex.quote(script or ""), *self._words(arguments, place, as_is=False)])
        return " ".join([command, *self._words(arguments, place, as_is=True)])

    def _words(self, arguments: list[dict[str, Any]], place: Callable[[str, str], str], as_is: bool) -> list[str]:
        words: list[str] = []
        quotes = any(quote in (argument.get("Value") or "") for argument in arguments for quote in "'\"")
        for argument in arguments:
            kind, value = argument["ValueType"], argument.get("Value") or ""
            if kind == "NestedList":
                words.append("".join(self._words(argument["NestedArgumentList"], place, as_is)))
            elif kind == "Parameter":
                words.append(_harmless(value, self.values[value], quotes) if as_is else shlex.quote(self.values[value]))
            elif kind in ("Input", "Output"):
                words.append(shlex.quote(place(kind, value)))
            elif found := re.fullmatch(r"Dataset(Consumption|Output)Config:(.+)", value):
                words.append(shlex.quote(place("Input" if found[1] == "Consumption" else "Output", found[2])))
            else:
                words.append(value if as_is else shlex.quote(value))
        return words


def _harmless(name: str, value: str, in_quotes: bool) -> str:
    """Return a value that a shell may read, or say that it would do more than read it.

    Where the command itself has quotes, a quote in a value could end them.
    """
    if found := ACTIVE.search(value if in_quotes else QUOTED.sub("", value)):
        raise Refusal(
            400,
            "UserError",
            f"Parameter {name} is {value!r}: a shell reads the command, and {found[0]!r} is no plain text to it. "
            "Put the value between single quotes, or pass it in another way.",
        )
    return value


class Graph:
    """The steps of a pipeline with the values of one submission."""

    def __init__(self, posted: dict[str, Any], modules: dict[str, Any], submission: dict[str, Any]) -> None:
        graph, interface = posted["graph"], posted["interface"]
        known = {entry["Name"]: entry.get("DefaultValue") for entry in interface.get("Parameters") or []}
        assigned = submission["ParameterAssignments"]
        if unknown := set(assigned) - set(known):
            raise Refusal(400, "UserError", f"The pipeline has no parameter {', '.join(sorted(unknown))}.")
        self._values = {name: str(value) for name, value in {**known, **assigned}.items() if value is not None}
        self._edges = {
            _port(edge["DestinationInputPort"]): _port(edge["SourceOutputPort"]) for edge in graph["Edges"] or []
        }
        self._modules = modules
        self.steps = {node["Id"]: self._step(node) for node in graph["ModuleNodes"]}
        self.datasets = {
            node["Id"]: _definition(node, submission["DataSetDefinitionValueAssignments"])
            for node in graph.get("DatasetNodes") or []
        }

    def _step(self, node: dict[str, Any]) -> Step:
        settings: dict[str, str | None] = {}
        for entry in node["ModuleParameters"]:
            value = entry.get("Value")
            settings[entry["Name"]] = self._values.get(value) if str(entry["ValueType"]) == "1" else value
        inputs = {target.name: source for target, source in self._edges.items() if target.node == node["Id"]}
        return Step(node["Id"], self._modules[node["ModuleId"]], node, self._values, settings, inputs)

    def in_order(self) -> list[Step]:
        """Return the steps so that each comes after those whose outputs it reads."""
        done: list[Step] = []
        waiting = list(self.steps.values())
        while waiting:
            names = {step.id for step in done} | self.datasets.keys()
            ready = [step for step in waiting if all(source.node in names for source in step.inputs.values())]
            if not ready:
                raise Refusal(400, "UserError", "The pipeline's graph has a cycle.")
            done.append(ready[0])
            waiting.remove(ready[0])
        return done


def _port(posted: dict[str, Any]) -> Port:
    return Port(posted["NodeId"], posted["PortName"])


def _definition(node: dict[str, Any], assigned: dict[str, Any]) -> dict[str, Any]:
    """Return which dataset a node stands for: one fixed at publication, or a parameter's.

    Written by _AevaGraphProvider._dataset_def_val_from_dataset and _get_data_set_definition_assignments.
    """
    definition = node.get("DataSetDefinition") or {}
    if name := definition.get("ParameterName"):
        if name not in assigned:
            raise Refusal(400, "UserError", f"The pipeline's parameter {name} has no dataset.")
        return dict(assigned[name])
    return dict(definition.get("Value") or {})

"""A stage of a canary release: `plan STAGE` writes what to apply, `check STAGE` proves it, `remove` ends the release.

stages.py says what each stage does. IMAGE and MODEL_VERSION say what is released; RESOURCE_GROUP, AKS_COMPUTE_NAME,
K8S_AB_NAMESPACE and K8S_AB_HOST where.
"""

import argparse
import os
import time
from http.client import HTTPException
from pathlib import Path

from environment_setup.azure_cli import AzureError, az, program, setting

from . import cluster
from .load_test import Answer, Service, first_key, report, shares
from .stages import BLUE, STAGES, Colour, after, told

FOLDER = Path(os.environ.get("AGENT_TEMPDIRECTORY", "outputs")) / "canary"
ATTEMPTS = 6  # the gateway's pods hear of a change one after another
SECONDS_BETWEEN = 10
SECONDS_TO_PROVE = 180  # callers of a colour that hangs wait as long for the rollback, and a stage has an hour
SECONDS_PER_REQUEST = 5  # a sample of a few rows needs much less
REQUESTS = 200
WRONG_AT_MOST = 0.01
OFF_AT_MOST = 0.2  # five standard deviations of half of 200


def plan(name: str, new: Colour) -> None:
    """Write what a stage applies, and tell the build whether there is anything."""
    now = cluster.read()
    print(f"Now: {told(now)}.")
    then = after(name, now, new)
    if then:
        print(f"Then: {told(then)}.")
        cluster.write(FOLDER, STAGES[name].installs, then)
    else:
        print("There is nothing to do.")
    print(f"##vso[task.setvariable variable=TO_APPLY_{name}]{str(then is not None).lower()}")


def check(name: str, new: Colour) -> None:
    """Prove that what a stage applied is there, and answers."""
    installed = STAGES[name].installs
    if installed:
        cluster.roll_out(installed)
    now = cluster.read()
    print(f"Now: {told(now)}.")
    if after(name, now, new) not in (None, now):
        raise AzureError(f"What {name} should have applied is not there, or not ready.")
    service = Service(f"https://{setting('K8S_AB_HOST')}", key(), SECONDS_PER_REQUEST)
    if installed:
        colour = getattr(now, installed)
        prove(service, {installed: 1.0}, colour.version, installed)
    if now.serving:
        prove(service, {colour: 1 / len(now.serving) for colour in now.serving})


def key() -> str:
    """Return a key of the service, which is allowed to have two."""
    vault = f"{setting('BASE_NAME')}-AML-KV"
    held = az("keyvault", "secret", "show", "--vault-name", vault, "--name", "scoring-key", "--query", "value")
    try:
        return first_key(str(held or ""))
    except ValueError as error:
        raise AzureError(f"The secret scoring-key of {vault} cannot be used: {error}") from error


def prove(service: Service, expected: dict[str, float], version: str = "", colour: str | None = None) -> None:
    """Ask until the answers come from where they should, a bounded number of times and for a bounded time."""
    ends, attempt, problem = time.monotonic() + SECONDS_TO_PROVE, 0, ""
    while attempt < ATTEMPTS and time.monotonic() < ends:
        attempt += 1
        problem = try_once(service, expected, version, colour, ends)
        if not problem:
            return
        if attempt < ATTEMPTS:
            time.sleep(max(0, min(SECONDS_BETWEEN, ends - time.monotonic())))
    raise AzureError(f"{problem} (asked {attempt} times)")


def try_once(service: Service, expected: dict[str, float], version: str, colour: str | None, ends: float) -> str:
    """Ask once, and say what is wrong, or nothing. As soon as too many answers are wrong, no more are asked for."""
    try:
        found = str(service.get("/healthz", colour)["version"])
        seconds = max(0, ends - time.monotonic())
        answers = service.ask(REQUESTS, colour, seconds=seconds, wrong_at_most=WRONG_AT_MOST * REQUESTS)
    except (OSError, HTTPException, ValueError, KeyError, TypeError) as error:
        return f"{service.url} does not answer: {error!r}"
    if version and found != version:
        return f"{colour} has version {found}, not {version}."
    problem = judge(answers, expected)
    if not problem:
        print(report(answers))
    return problem


def judge(answers: list[Answer], expected: dict[str, float]) -> str:
    """Say what is wrong with answers that should come from these colours, in these shares; or nothing."""
    found = shares(answers)
    strangers = found.keys() - expected
    off = [colour for colour, share in expected.items() if abs(found.get(colour, 0) - share) > OFF_AT_MOST]
    wrong = sum(bool(answer.wrong) for answer in answers)
    if len(answers) < REQUESTS or wrong > WRONG_AT_MOST * REQUESTS or strangers or off:
        wanted = ", ".join(f"{share:.0%} {colour}" for colour, share in sorted(expected.items()))
        return f"Expected {wanted} of {REQUESTS} requests:\n{report(answers)}\n"
    return ""


def remove(new: Colour) -> None:
    """Remove blue, once green serves the new image alone."""
    now = cluster.read()
    print(f"Now: {told(now)}.")
    then = after("remove_blue", now, new)
    if then and then.blue:
        print("Blue is left to the release that has it.")
        return
    cluster.remove(BLUE)
    print(f"Now: {told(cluster.read())}.")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    actions = parser.add_subparsers(dest="action", required=True)
    for action in ("plan", "check"):
        actions.add_parser(action).add_argument("stage", choices=STAGES)
    actions.add_parser("remove")
    arguments = parser.parse_args()
    with program():
        new = Colour(setting("IMAGE"), setting("MODEL_VERSION"))
        with cluster.logged_in():
            if arguments.action == "plan":
                plan(arguments.stage, new)
            elif arguments.action == "check":
                check(arguments.stage, new)
            else:
                remove(new)


if __name__ == "__main__":
    main()

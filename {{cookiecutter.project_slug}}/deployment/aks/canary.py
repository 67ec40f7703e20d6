"""A move of a canary release: `move NAME` makes it and proves it; `same` tells whether there is anything to release.

stages.py says what each move does. IMAGE and MODEL_VERSION say what is released, RELEASE_BUILD and GOING_BACK of which
build; RESOURCE_GROUP, AKS_COMPUTE_NAME, K8S_AB_NAMESPACE and K8S_AB_HOST where.
"""

import argparse
import time
from collections.abc import Callable
from http.client import HTTPException
from typing import TypeVar

from deployment.key_vault import KEYS, keys, vault
from deployment.registry import mark, take_turn, tell_same
from environment_setup.azure_cli import AzureError, program, setting

from . import cluster, colours
from .load_test import Answer, Service, first_key, report, shares
from .stages import BLUE, STAGES, Colour, State, after, is_released, told

ATTEMPTS = 6  # the gateway's pods hear of a change one after another
SECONDS_BETWEEN = 10
SECONDS_TO_PROVE = 180  # callers of a colour that hangs wait as long for the rollback
SECONDS_PER_REQUEST = 5  # a sample of a few rows needs much less
REQUESTS = 200
WRONG_AT_MOST = 0.01
OFF_AT_MOST = 0.2  # five standard deviations of half of 200
IN_A_ROW = 3
TARGET = "canary"
T = TypeVar("T")


def move(name: str, new: Colour) -> None:
    """See what runs, decide, apply, and prove that what should be there is there, and answers."""
    now, installs = read(), STAGES[name].installs
    if name not in ("remove_blue", "rollback"):  # in every move: a later build may have come while this one waited
        others = () if is_released(now, new) else (now.blue, now.green)
        take_turn(TARGET, [one.image for one in others if one and one.release != new.release], new.image)
    then = after(name, now, new)
    if then is None:
        print("There is nothing to do.")
        if not STAGES[name].optional:
            check(now, None)
    elif name == "remove_blue":
        remove_blue(then)
    else:
        print(f"Then: {told(then)}.")
        if name == "stand_in":
            prove_blue(now)
        colours.apply(installs, then)
        now = read()
        if after(name, now, new) not in (None, now):
            raise AzureError(f"What {name} applied is not there, or not ready.")
        check(now, installs)


def read() -> State:
    now = colours.read()
    print(f"Now: {told(now)}.")
    return now


def prove_blue(now: State) -> None:
    """Raise unless blue, which serves, does it well: what fails must not replace what it can be rolled back to."""
    try:
        check(now, None)
    except AzureError as error:
        told = f"Blue serves, but not well, so green does not get its image. {error}"
        raise AzureError(f"{told} Run this stage again after the rollback of the release that blue is of.") from error


def check(now: State, installed: str | None) -> None:
    """Prove that the colour that was installed answers, and that those that serve share the requests."""
    service = Service(address(), key(), SECONDS_PER_REQUEST)
    if installed:
        prove(service, {installed: 1.0}, getattr(now, installed).version, installed)
    if now.serving:
        prove(service, {colour: 1 / len(now.serving) for colour in now.serving})


def address() -> str:
    return f"https://{setting(cluster.HOST)}"


def key() -> str:
    """Return a key of the service, which is allowed to have two."""
    held = keys()
    try:
        return first_key(held)
    except ValueError as error:
        raise AzureError(f"The secret {KEYS} of {vault()} cannot be used: {error}") from error


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


def remove_blue(then: State) -> None:
    """Remove blue, once green serves the new release alone."""
    if then.blue:
        print("Blue is left to the release that has it.")
        return
    colours.remove(BLUE)
    read()


def same(new: Colour) -> bool:
    """Tell whether green serves a release already, and answers. Then it serves by this build, too."""
    serves = is_released(read(), new) and green_answers(new.version)
    if serves:
        mark(TARGET, new.image)
    print("It serves: nothing to deploy." if serves else f"Version {new.version} does not serve like this yet.")
    return serves


def green_answers(version: str) -> bool:
    """Tell whether green answers with a version, several times in a row."""
    service = Service(address(), seconds=SECONDS_PER_REQUEST)
    try:
        return all(str(service.get("/healthz")["version"]) == version for _ in range(IN_A_ROW))
    except (OSError, HTTPException, ValueError, KeyError, TypeError) as error:
        print(f"{service.url} does not answer: {error!r}")
        return False


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    actions = parser.add_subparsers(dest="action", required=True)
    actions.add_parser("move").add_argument("name", choices=STAGES)
    actions.add_parser("same")
    arguments = parser.parse_args()
    with program():
        if arguments.action == "same":
            tell_same("##vso[task.setvariable variable=SAME;isOutput=true]", lambda: released(same))
        else:
            released(lambda new: move(arguments.name, new))


def released(action: Callable[[Colour], T]) -> T:
    """Do something about what the environment says is released, logged in to the cluster."""
    new = Colour(setting("IMAGE"), setting("MODEL_VERSION"), cluster.settings())
    with cluster.logged_in():
        return action(new)


if __name__ == "__main__":
    main()

"""Make a target serve a scoring image, and prove it; where that fails, what served before is put back.

docs/deployment.md has all the ways in which it can end. `same` changes nothing: it tells whether the image serves
already, and counts it as this build's if so. model.json says which version must answer; RELEASE_BUILD never replaces a
later build unless GOING_BACK is true.
"""

import argparse
import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from concurrent.futures import Future
from http.client import HTTPException
from importlib import import_module
from itertools import count
from pathlib import Path
from threading import Thread
from typing import Any, NamedTuple

from deployment import key_vault
from deployment.image.build import PACKAGE, judged
from deployment.registry import content, mark, one_registry, take_turn, tell_same
from deployment.target import Deployed, Target
from environment_setup.azure_cli import AzureError, plain, program, setting

ADAPTERS = {"aci": "aci/container_group", "aks": "aks/rolling_update", "web_app": "web_app/app_service"}
TARGETS = [name for name, path in ADAPTERS.items() if (Path(__file__).parent / f"{path}.py").exists()]
SETTLED = 3  # good answers in a row
LARGEST_ANSWER = 2**16
SECONDS_TO_ANSWER = 10.0


class Patience(NamedTuple):
    """How long to wait for a version to answer, and how often to ask, in seconds."""

    timeout: float
    every: float


class NoRedirect(urllib.request.HTTPRedirectHandler):
    """What answers elsewhere is not the target."""

    def redirect_request(self, *_: Any) -> None:
        return None


def shown(name: Any, version: Any, tag: Any) -> str:
    return f"{plain(str(name))[:255]} version {plain(str(version))[:20]} of image {plain(str(tag or 'unknown'))[:60]}"


def serving(address: str, seconds: float = SECONDS_TO_ANSWER) -> str | None:
    """Return the model that answers there, or None. For a socket, time begins anew with every byte: hence a thread."""
    answer = Future[str | None]()
    Thread(target=lambda: answer.set_result(healthy(address, seconds)), daemon=True).start()
    try:
        return answer.result(2 * seconds)
    except TimeoutError:
        return None


def healthy(address: str, seconds: float) -> str | None:
    try:
        with urllib.request.build_opener(NoRedirect).open(f"{address}/healthz", timeout=seconds) as answer:
            told = json.loads(answer.read(LARGEST_ANSWER))
        return shown(told["model"], told["version"], told.get("image")) if told["status"] == "healthy" else None
    except (OSError, HTTPException, AttributeError, KeyError, TypeError, ValueError, RecursionError):
        return None


def settles(model: str, address: str, every: float, timeout: float = 0.0) -> tuple[bool, str]:
    """Ask until a model has answered three times in a row; tell whether it has, and what answered last."""
    ends, good, told = time.monotonic() + timeout, 0, ""
    for attempt in count(1):
        found = serving(address) or "no model"
        good = good + 1 if found == model else 0
        if found != told:
            print(f"{address} answers: {found}.", flush=True)
        told = found
        if good == SETTLED or (attempt >= 2 * SETTLED and time.monotonic() > ends):
            break
        time.sleep(every)
    return good == SETTLED, told


def wait_for(model: str, address: str, patience: Patience) -> None:
    """Wait until a model answers, and goes on answering."""
    settled, last = settles(model, address, patience.every, patience.timeout)
    if not settled:
        within = f"within {patience.timeout:.0f} seconds"
        raise AzureError(f"{model} did not come up at {address} {within}; last it answered: {last}.")


def served_before(address: str, every: float) -> str | None:
    """Return the model that answers there, asked a few times before none is taken to."""
    for _ in range(SETTLED - 1):
        if found := serving(address):
            return found
        time.sleep(every)
    return serving(address)


def smoke_test(address: str, key: str) -> None:
    """Have predictions asked for, by the program that does it for every service."""
    command = [sys.executable, "-m", f"{PACKAGE}.smoke_test", "--url", address]
    if subprocess.run(command, cwd="src", env={**os.environ, "SCORING_KEY": key}, check=False).returncode:
        raise AzureError("The smoke test failed: see what it said above.")


def show_log(target: Target) -> None:
    """Show what the container printed last, none of it a command to the build agent."""
    for line in target.log().splitlines()[-20:]:
        print(f"    {plain(line)}", flush=True)


def go_back(target: Target, wanted: Deployed, before: Deployed | None, served: str | None, patience: Patience) -> str:
    """See to it that what served before serves, and say what does. Raises nothing: the first reason must be told."""
    try:
        now = target.read()
        if now and now.identity not in (wanted.identity, before and before.identity):
            who = f"Build {now.build}" if now.build else "Somebody else"
            return f"{who} has set {target.shown} to {now.image} meanwhile: that was left alone."
        show_log(target)
        if before is None:
            target.remove()
            return "Nothing was there before, and what this left was removed."
        if before.release == wanted.release:
            return "It ran this image before, so there is no other to put back: start cd with an earlier modelBuildId."
        return put_back(target, now, before, served, patience)
    except Exception as error:
        return f"PUTTING BACK {before.image if before else 'what was there before, nothing,'} FAILED: {error}"


def put_back(target: Target, now: Deployed | None, before: Deployed, served: str | None, patience: Patience) -> str:
    """Set a target as it was before, unless it still is and answers, and say what serves."""
    same = now is not None and now.identity == before.identity
    if same and served and settles(served, target.address(), patience.every)[0]:
        return f"Nothing was changed: {served} still serves."
    target.put(before)
    if served is None:
        return f"Its former image {before.image} was put back; no model had answered before."
    wait_for(served, target.address(), patience)
    return f"Its former image {before.image} was put back: {served} serves again."


def deploy(target: Target, wanted: Deployed, before: Deployed | None, model: str, patience: Patience) -> str:
    """Set a target, prove it, and return its address. Whatever goes wrong, what served before is put back."""
    key = key_vault.keys().split()[0]
    take_turn(target.name, [before.image] if before else [], wanted.image)
    served = served_before(target.address(), patience.every) if before else None
    has = f"{plain(before.image)}, which answers: {served or 'no model'}" if before else "nothing yet"
    print(f"{target.shown} has {has}.", flush=True)
    try:
        try:
            target.put(wanted)
            wait_for(model, address := target.address(), patience)
            smoke_test(address, key)
            return address
        except Exception as error:
            why = plain(str(error))
            print(f"{why} Going back.", flush=True)  # which takes its time
            raise AzureError(f"{why} {plain(go_back(target, wanted, before, served, patience))}") from error
    except KeyboardInterrupt:
        may = ", ".join(filter(None, [f"{model}, which nothing has tested", served]))
        told = f"Canceled: {target.shown} may serve {may}, or nothing."
        print(f"{told} Start cd with the modelBuildId of what is to serve.", flush=True)
        sys.exit(130)


def is_same(has: Deployed, wanted: Deployed, tag: str) -> bool:
    """Tell whether a target is set to an image of the wanted content, with its settings."""
    known = has.image == wanted.image or (one_registry(has.image, wanted.image) and content(has.image) == tag)
    return known and has.settings == wanted.settings


def release(target: Target, arguments: argparse.Namespace) -> bool:
    """Deploy the image unless it serves already, which is what is returned; or only tell whether it does."""
    image, (name, version) = arguments.image, judged(arguments.model)
    ours = f"{setting('BASE_NAME').lower()}amlcr.azurecr.io/{setting('SCORING_IMAGE_NAME')}"
    if image.partition("@")[0] != ours or not (tag := content(image)):
        raise AzureError(f"{image} is no image of {ours} with one tag of its content: `{BUILD}` builds one.")
    target.check(image)
    model, wanted, before = shown(name, version, tag), target.wanted(image), target.read()
    if before and is_same(before, wanted, tag) and settles(model, target.address(), arguments.every)[0]:
        mark(target.name, before.image)
        print(f"{target.shown} serves {model}: nothing to deploy.")
        return True
    if arguments.action == "same":
        now = serving(target.address()) if before else None
        print(f"{target.shown} answers: {now or 'no model'}. To be deployed: {model}.")
        return False
    address = deploy(target, wanted, before, model, Patience(arguments.timeout, arguments.every))
    print(f"{model} serves at {address}/score.")
    if address.startswith("http:"):
        print("It has no TLS: keys and rows travel in the clear. Use it for tests, with data that anybody may see.")
    return False


BUILD = "python -m deployment.image.build"


def digest(text: str) -> str:
    """Read the name of an image by its digest. A tag may be moved, so none is taken."""
    if not re.fullmatch(r"[a-z0-9]+\.azurecr\.io/[a-z0-9._/-]+@sha256:[0-9a-f]{64}", text):
        raise argparse.ArgumentTypeError(f"{text!r} is no image by digest, as `{BUILD}` writes it")
    return text


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("target", choices=TARGETS)
    parser.add_argument("action", nargs="?", choices=("deploy", "same"), default="deploy", help="(%(default)s)")
    image = os.environ.get("IMAGE")
    parser.add_argument("--image", default=image, required=not image, type=digest, help="registry/name@sha256:...")
    parser.add_argument("--model", default="model.json", type=Path, help="which version it holds (%(default)s)")
    parser.add_argument("--timeout", default=600.0, type=float, help="seconds for it to come up (%(default)s)")
    parser.add_argument("--every", default=5.0, type=float, help="seconds between two questions (%(default)s)")
    arguments = parser.parse_args()
    for cancel in (signal.SIGINT, signal.SIGTERM):  # Azure Pipelines sends both, seconds apart
        signal.signal(cancel, signal.default_int_handler)
    adapter = import_module(f"deployment.{ADAPTERS[arguments.target].replace('/', '.')}")

    def run() -> bool:
        try:
            with adapter.opened() as target:
                return release(target, arguments)
        except KeyboardInterrupt:
            print("Canceled: nothing was changed.", flush=True)
            raise

    with program():
        if arguments.action == "same":
            tell_same("##vso[task.setvariable variable=SAME;isOutput=true]", run)
        else:
            run()


if __name__ == "__main__":
    main()

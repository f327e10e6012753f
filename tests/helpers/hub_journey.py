"""A week on a JupyterHub that docs/operate/jupyterhub.md has set up; run as root on a machine of its own.

``python hub_journey.py PAGE``: it runs the page's commands, and prints what happened as JSON.
"""

import csv
import json
import re
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import nbformat
import requests

from handgrad.exercise.release_file import WHEEL
from helpers.paths import ROOT, mistake

URL, COURSE, SERVICE = "http://127.0.0.1:8000", "backprop-2026", "/services/backprop-2026"
BLOCK = re.compile(r"<!-- run by: tests/end_to_end/test_jupyterhub.py -->\n```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)
STUDENTS = ("alice", "bob", "carol")
GRADER = Path("/home/grader-backprop/backprop-2026")


def run(text: str, account: str = "root", statuses: tuple[int, ...] = (0,)) -> str:
    """What the commands say that an account gives in a login shell."""
    command = ["runuser", "--login", account] if account != "root" else ["bash", "-euo", "pipefail"]
    done = subprocess.run(command, input=f"set -e\n{text}", capture_output=True, text=True, check=False)
    assert done.returncode in statuses, (text, done.returncode, done.stdout[-3000:], done.stderr[-3000:])
    return done.stdout + done.stderr


class Browser(requests.Session):
    """Somebody who is logged in, as a browser is."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name
        self.get(f"{URL}/hub/login")
        form = {"username": name, "password": f"secret of {name}", "_xsrf": self.cookies["_xsrf"]}
        # a browser would go on to a server of its own
        assert self.post(f"{URL}/hub/login", form, allow_redirects=False).status_code == 302
        self.server = f"/user/{name}"

    def ask(self, method: str, path: str, **arguments: Any) -> requests.Response:
        """An answer to what a page of the server asks for."""
        place = "/".join(path.split("/")[:3]) + "/"
        tokens = [str(cookie.value) for cookie in self.cookies if (cookie.name, cookie.path) == ("_xsrf", place)]
        return self.request(method, URL + path, headers={"X-XSRFToken": "".join(tokens)}, timeout=120, **arguments)

    def start(self) -> None:
        """Start the server, and wait for it."""
        self.get(f"{URL}/hub/spawn", timeout=120)
        until = time.monotonic() + 240
        while True:
            with suppress(requests.RequestException):
                if self.get(f"{URL}{self.server}/lab", timeout=120).url.endswith("/lab"):
                    return
            assert time.monotonic() < until, f"the server of {self.name} does not start"
            time.sleep(1)

    def assignment_list(self, action: str) -> Any:
        """What the Assignment List has after *fetch*, *submit* or *fetch_feedback*."""
        asked = {"course_id": COURSE, "assignment_id": "backprop"}
        answer = self.ask("POST", f"{self.server}/assignments/{action}", json=asked).json()
        assert answer["success"], answer
        return answer["value"]

    def write(self, notebook: nbformat.NotebookNode) -> None:
        """Save the notebook that was fetched."""
        place = f"{self.server}/api/contents/{COURSE}/backprop/backprop.ipynb"
        assert self.ask("PUT", place, json={"type": "notebook", "content": notebook}).ok


def wait_for(url: str) -> None:
    """Wait until something answers."""
    until = time.monotonic() + 240
    while time.monotonic() < until:
        with suppress(requests.RequestException):
            if requests.get(url, timeout=10).ok:
                return
        time.sleep(0.5)
    raise AssertionError(f"nothing answers at {url}")


def main() -> None:
    """Set the hub up, and start it."""
    *setup, start = BLOCK.findall(Path(sys.argv[1]).read_text(encoding="utf-8"))
    for text in setup:
        run(text)
    run("chpasswd <<'END'\n" + "".join(f"{name}:secret of {name}\n" for name in ("kim", *STUDENTS)) + "END\n")
    wheel = GRADER / "release/backprop" / WHEEL
    run(f"mkdir -p {wheel.parent} && head -c 1000000 /dev/zero >{wheel}", "grader-backprop")
    run("cd backprop-2026 && handgrad release backprop && nbgrader release_assignment backprop", "grader-backprop")
    # another course has an assignment of the same name
    run("cd backprop-2026 && nbgrader release_assignment backprop --course another", "grader-backprop")
    with subprocess.Popen(["bash", "-c", start], stdout=sys.stderr) as hub:
        try:
            print(json.dumps(week()))
        finally:
            hub.kill()


def week() -> dict[str, Any]:
    """What happens in a week on the hub that runs."""
    facts: dict[str, Any] = {}
    wait_for(f"{URL}/hub/login")
    alice, bob, carol = students = [Browser(name) for name in STUDENTS]
    for student in students:
        student.start()
        student.assignment_list("fetch")
    solution = nbformat.read(ROOT / "solutions/backprop/backprop.ipynb", as_version=4)
    release = nbformat.read(ROOT / "release/backprop/backprop.ipynb", as_version=4)
    slip = mistake("early-slip").notebook(release, solution)
    for student, notebook in zip(students, (solution, release, slip), strict=True):
        student.write(notebook)
        student.assignment_list("submit")
    (inbound,) = Path(f"/var/lib/nbgrader/exchange/{COURSE}/inbound").glob("alice+*")
    facts["handed in"] = sorted(path.name for path in inbound.iterdir())
    # the instructor, in the formgrader
    kim = Browser("kim")
    page = kim.get(f"{URL}{SERVICE}/formgrader", timeout=240)
    facts["formgrader"] = page.status_code
    facts["frames"] = page.headers["Content-Security-Policy"]
    listed = kim.ask("GET", f"{SERVICE}/formgrader/api/assignments").json()
    facts["assignments"] = [assignment["name"] for assignment in listed if assignment["status"] == "released"]
    facts["collected"] = kim.ask("POST", f"{SERVICE}/formgrader/api/assignment/backprop/collect").json()["success"]
    bob.write(solution)
    bob.assignment_list("submit")
    again = "cd backprop-2026 && nbgrader collect backprop && handgrad grade backprop"
    run(again, "grader-backprop", statuses=(1,))
    run("cd backprop-2026 && handgrad export backprop -o scores.csv", "grader-backprop")
    rows = csv.DictReader((GRADER / "scores.csv").read_text(encoding="utf-8").splitlines())
    facts["scores"] = {row["student"]: float(row["score"]) for row in rows}
    run("cd backprop-2026 && nbgrader release_feedback backprop", "grader-backprop")
    carol.assignment_list("fetch_feedback")
    facts["feedback"] = len(list(Path(f"/home/carol/{COURSE}/backprop/feedback").glob("*/backprop.html")))
    # what students must not do
    facts["student in the formgrader"] = alice.get(f"{URL}{SERVICE}/formgrader", timeout=120).status_code
    places = {"course": GRADER, "neighbour": "/home/bob", "hub": "/etc/jupyterhub", "inbound": inbound.parent}
    for name, place in places.items():
        facts[f"alice reads {name}"] = run(f"ls -A {place} 2>/dev/null | wc -l", "alice").strip()
    server = run("pgrep --oldest --euid alice --full singleuser").strip()
    variables = Path(f"/proc/{server}/environ").read_text(encoding="utf-8").split("\0")
    facts["threads"] = [line for line in variables if line.startswith("OMP_")]
    run("nbgrader fetch_assignment backprop --course another", "alice")
    fetched = Path("/home/alice").glob("*/backprop/backprop.ipynb")
    facts["fetched"] = sorted(path.parents[1].name for path in fetched)
    return facts


if __name__ == "__main__":
    main()

"""Two processes as one server: edits, undo, roles, presence, accounts and jobs, each begun at one and seen at the other."""

from __future__ import annotations

import re
import signal
import threading
import time
import urllib.error
import urllib.request
import uuid
from urllib.parse import urlencode

import pytest

from segmentation.testing import synthetic_scene, write_scene

HERE = {"point": [3.5, 4.5], "leaf": 6, "view": [0, 0, 9, 9], "cut": 40, "idle": False}


@pytest.fixture
def people(deployment):
    return deployment.populate()


@pytest.fixture
def pages(deployment, people):
    """Ana's page at the first process and boris's at the second."""
    first, second = deployment.webs
    opened = [
        first.open(people["project"], people["ana"]["session"]),
        second.open(people["project"], people["boris"]["session"]),
    ]
    yield opened
    for page in opened:
        page.close()


def make_class(page, name):
    page.send("class.create", client_id=uuid.uuid4().hex, name=name, color="#112233")


def test_edits_of_both_are_numbered_without_gaps_and_told_to_both(pages):
    ana, boris = pages
    begin = ana.state["number"]
    each = 25

    def work(page, letter):
        for count in range(each):
            page.send("class.create", client_id=f"{letter}{count}", name=f"{letter} {count}", color="#112233")

    threads = [threading.Thread(target=work, args=one) for one in ((ana, "a"), (boris, "b"))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    told = [page.edits(begin + 2 * each) for page in pages]
    for edits in told:
        assert [edit["number"] for edit in edits] == list(range(begin + 1, begin + 2 * each + 1))
        assert {edit["client_id"] for edit in edits} == {
            f"{letter}{n}" for letter in "ab" for n in range(each)
        }
    assert [edit["client_id"] for edit in told[0]] == [edit["client_id"] for edit in told[1]]
    assert [label["name"] for label in told[0][-1]["classes"]] == [
        label["name"] for label in told[1][-1]["classes"]
    ]


def test_an_edit_sent_again_to_the_other_process_is_done_once(deployment, people, pages):
    ana, boris = pages
    again = deployment.webs[1].open(people["project"], people["ana"]["session"])
    for page in (ana, again):
        page.send("class.create", client_id="once", name="Water", color="#112233")
    make_class(boris, "Forest")
    # Whichever was first: the repeat made no edit, so that the classes are two and the numbers two further.
    told = ana.edits(ana.state["number"] + 2)
    assert sorted(edit["client_id"] == "once" for edit in told) == [False, True]
    assert {label["name"] for label in told[-1]["classes"]} == {"Water", "Forest"}
    again.close()


def test_undo_takes_back_ones_own_edit_at_whichever_process(deployment, people, pages):
    ana, boris = pages
    make_class(ana, "Water")
    boris.edits(boris.state["number"] + 1)
    make_class(boris, "Forest")
    ana.edits(ana.state["number"] + 2)
    elsewhere = deployment.webs[1].open(people["project"], people["ana"]["session"])
    elsewhere.send("edit.undo", client_id="undo")
    last = ana.edits(ana.state["number"] + 3)[-1]
    assert [label["name"] for label in last["classes"] if not label.get("deleted")] == ["Forest"]
    elsewhere.close()


def test_people_at_both_processes_see_each_other(pages):
    ana, boris = pages
    boris.send("presence", **HERE)
    seen = ana.until("presence", lambda event: bool(event["people"]))
    assert [(one["name"], one["point"]) for one in seen["people"]] == [("boris", HERE["point"])]
    boris.close()
    assert ana.until("presence", lambda event: bool(event["gone"]))["gone"] == [
        seen["people"][0]["connection"]
    ]


def test_a_role_that_is_taken_at_one_process_counts_at_the_other_at_once(deployment, people, pages):
    _, boris = pages
    path = f"/api/projects/{people['project']}/members/{people['boris']['id']}"
    status, answer = deployment.webs[0].ask(path, people["ana"]["session"], "PATCH", role="viewer")
    assert (status, answer["role"]) == (200, "viewer")
    make_class(boris, "Water")
    assert boris.until("command.rejected")["code"] == "forbidden"


def test_a_sign_in_link_works_once_whichever_process_is_asked(deployment, people):
    printed = deployment.run("manage.py", "invite", "cleo")
    path = re.search(r"/enter/\S+", printed)[0]
    first, second = deployment.webs
    answers = [web.ask(path)[0] for web in (first, second, first)]
    assert answers == [302, 403, 403]


def test_wrong_passwords_at_both_processes_are_counted_together(deployment):
    seen = []
    for turn in range(10):
        web = deployment.webs[turn % 2]
        request = urllib.request.Request(
            f"{web.url}/accounts/login/",
            data=urlencode(
                {"username": "ana", "password": f"wrong {turn}", "csrfmiddlewaretoken": "t" * 32}
            ).encode(),
            headers={"Cookie": f"csrftoken={'t' * 32}", "Referer": web.url},
        )
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                seen.append(answer.status)
        except urllib.error.HTTPError as error:
            seen.append(error.code)
    assert seen[:7] == [200] * 7
    assert seen[8:] == [429, 429]


def test_wrong_invitations_at_both_processes_are_counted_together(deployment):
    answers = [deployment.webs[turn % 2].ask(f"/join/{'x' * 40}/")[0] for turn in range(62)]
    assert answers[:60] == [410] * 60
    assert answers[60:] == [429, 429]


# ---------------------------------------------------------------------------------------------------- jobs


def wait_for(what, seconds=150):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = what()
        if found:
            return found
        time.sleep(0.1)
    raise AssertionError("it did not happen in time")


def carriers(deployment):
    """The processes that run a job engine: it has workers of its own."""
    return [web for web in deployment.webs if web.process.poll() is None and web.children()]


def segmentations(web, scene, session):
    return web.ask(f"/api/scenes/{scene}/segmentations", session)[1]


def test_jobs_are_carried_by_one_process_and_by_the_other_once_it_is_killed(deployment, people, tmp_path):
    """Last of this module: it leaves one process."""
    session = people["ana"]["session"]
    [carrier] = wait_for(lambda: carriers(deployment))
    [other] = [web for web in deployment.webs if web is not carrier]

    # Asked at the process that does not carry jobs; seen there, too.
    write_scene(tmp_path / "small.tif", synthetic_scene(height=700, width=700)[0])
    scene = int(deployment.run("-m", "tests.servers.bring_in", str(tmp_path / "small.tif")).split()[-1])
    status, begun = other.ask(f"/api/scenes/{scene}/segmentations", session, "POST", superpixel_px=16)
    assert status in (200, 201, 202), begun
    done = wait_for(
        lambda: [one for one in segmentations(other, scene, session) if one["state"] == "complete"]
    )
    assert [one["id"] for one in done] == [begun["id"]]
    assert carriers(deployment) == [carrier]  # the other has not even an engine

    # The one that carries them dies in the middle of another.
    write_scene(tmp_path / "large.tif", synthetic_scene(height=2600, width=2600)[0])
    scene = int(deployment.run("-m", "tests.servers.bring_in", str(tmp_path / "large.tif")).split()[-1])
    status, begun = other.ask(f"/api/scenes/{scene}/segmentations", session, "POST", superpixel_px=16)
    wait_for(lambda: segmentations(other, scene, session)[0]["state"] == "running")
    carrier.stop(signal.SIGKILL)
    assert wait_for(lambda: carriers(deployment)) == [other]
    wait_for(lambda: segmentations(other, scene, session)[0]["message"].startswith("It was stopped"))
    # Cancelled at the one that took over: it is the only one that works on it.
    status, _ = other.ask(f"/api/segmentations/{begun['id']}/cancel", session, "POST")
    assert status == 200
    wait_for(lambda: not (deployment.folder / "data" / "jobs" / f"segmentation-{begun['id']}").exists())
    assert segmentations(other, scene, session)[0]["state"] == "cancelled"

"""Recent edits, earlier states, versions and lost races on the map page."""

from __future__ import annotations

import uuid

import pytest
from playwright.sync_api import expect

from tests.browser.map_fixture.driver import MapPage

pytestmark = pytest.mark.browser

HERE = (300, 300)
THERE = (300, 700)


@pytest.fixture
def page(map_page) -> MapPage:
    """A page with two classes and a click of each: edits 1 to 4."""
    page = map_page().open()
    page.add_class("Water")
    page.click(*HERE)
    page.add_class("Woods")
    page.click(*THERE)
    return page


def unfold(page: MapPage, section: str) -> None:
    page.id(f"{section}-open").click()


def rows(page: MapPage):
    return page.id("edit-row")


def others(page: MapPage, **command) -> None:
    """An edit of somebody else."""
    leaves = {"segmentation": 10, "version": 0, "ranges": [[0, 4]]}
    page.control(
        "command",
        {
            "type": "leaves.assign",
            "client_id": f"b{uuid.uuid4().hex}",
            "by": "boris",
            "class": 1,
            **leaves,
            **command,
        },
    )
    page.idle()


def test_recent_edits_are_listed_as_they_come(page):
    unfold(page, "history")
    expect(rows(page)).to_have_count(4)
    expect(rows(page).first).to_contain_text("You")
    expect(rows(page).first).to_contain_text("assigned Woods, 3.2 ha")
    expect(rows(page).last).to_contain_text("added the class Water")
    others(page)
    expect(rows(page)).to_have_count(5)
    expect(rows(page).first).to_contain_text("boris")
    expect(rows(page).first).to_contain_text("assigned Water")


def test_undone_edits_are_struck_through(page):
    unfold(page, "history")
    page.id("undo").click()
    expect(rows(page)).to_have_count(5)
    expect(rows(page).first).to_contain_text("undid: assigned Woods, 3.2 ha")
    assert "undone" in (rows(page).nth(1).get_attribute("class") or "")
    page.id("redo").click()
    expect(rows(page)).to_have_count(6)
    assert "undone" not in (rows(page).nth(2).get_attribute("class") or "")


def test_edits_are_filtered_by_whose_they_are(page):
    others(page)
    unfold(page, "history")
    expect(rows(page)).to_have_count(5)
    page.id("history-others").click()
    expect(rows(page)).to_have_count(1)
    expect(rows(page).first).to_contain_text("boris")
    page.id("history-mine").click()
    expect(rows(page)).to_have_count(4)
    page.id("history-all").click()
    expect(rows(page)).to_have_count(5)


def test_edit_takes_to_its_place(page):
    unfold(page, "history")
    page.go(900, 1500, 2)
    jump = rows(page).first.get_by_test_id("edit-jump")
    jump.click()
    page.in_the_middle(*THERE)
    expect(page.page.locator(".place-flash")).to_have_count(1)
    expect(rows(page).last.get_by_test_id("edit-jump")).to_be_disabled()  # a class has no place


def test_older_edits_come_when_asked_for(page):
    for number in range(40):
        others(page, **{"class": 1 + number % 2})
    page.wait("clusternet.state.number === 44")
    page.idle()
    unfold(page, "history")
    expect(rows(page)).to_have_count(30)
    page.id("history-older").click()
    expect(rows(page)).to_have_count(44)
    expect(page.id("history-older")).to_be_hidden()


def test_earlier_state_is_looked_at_and_left(page):
    unfold(page, "history")
    now = page.table()
    rows(page).nth(1).get_by_test_id("edit-view").click()  # adding Woods: only the first click was there
    expect(page.id("history-banner")).to_be_visible()
    expect(page.id("history-banner")).to_contain_text("You look at the map as it was on 5 May 2025")
    then = page.table()
    assert set(then) == {0, 1}
    assert set(now) == {0, 1, 2}
    page.id("history-back").click()
    expect(page.id("history-banner")).to_be_hidden()
    assert page.table() == now


def test_earlier_state_is_read_only(page):
    unfold(page, "history")
    rows(page).nth(1).get_by_test_id("edit-view").click()
    expect(page.id("history-banner")).to_be_visible()
    before = len(page.commands("leaves.assign"))
    page.click(*THERE)
    expect(page.id("toast").last).to_contain_text("You are looking at an earlier state")
    assert len(page.commands("leaves.assign")) == before


def test_others_go_on_while_one_looks_back(page):
    unfold(page, "history")
    rows(page).nth(1).get_by_test_id("edit-view").click()
    expect(page.id("history-banner")).to_be_visible()
    then = page.table()
    others(page, ranges=[[0, 200]])
    assert page.table() == then
    page.id("history-back").click()
    page.wait("clusternet.state.table[0] === 1")


def test_one_steps_from_state_to_state(page):
    unfold(page, "history")
    rows(page).nth(1).get_by_test_id("edit-view").click()
    expect(page.id("history-banner")).to_contain_text("edit 3")
    page.id("history-earlier").click()
    expect(page.id("history-banner")).to_contain_text("edit 2")
    page.id("history-later").click()
    page.id("history-later").click()
    expect(page.id("history-banner")).to_contain_text("edit 4")
    expect(page.id("history-later")).to_be_disabled()


def test_earlier_state_is_restored_and_the_restore_undone(page):
    unfold(page, "history")
    now = page.table()
    rows(page).nth(1).get_by_test_id("edit-view").click()
    expect(page.id("history-banner")).to_be_visible()
    then = page.table()
    page.id("history-restore").click()
    expect(page.id("history-banner")).to_be_hidden()
    page.idle()
    assert page.table() == then
    assert page.commands("state.restore")[0]["number"] == 3
    expect(rows(page).first).to_contain_text("restored the state after edit 3")
    page.id("undo").click()
    page.idle()
    assert page.table() == now


def test_state_that_cannot_be_shown_is_told(page):
    unfold(page, "history")
    expect(rows(page)).to_have_count(4)
    page.control("set-memory", {"error": "The segmentation of that time was deleted."})
    rows(page).nth(1).get_by_test_id("edit-view").click()
    expect(page.id("toast").last).to_contain_text("was deleted")
    expect(page.id("history-banner")).to_be_hidden()
    page.errors.clear()  # the browser's own note on the status 409


# ---------------------------------------------------------------------------------------------------- races


def test_lost_races_are_told_once_and_quietly(page):
    for number in range(3):
        event = {
            "type": "edit.applied",
            "number": 5 + number,
            "kind": "leaves.assign",
            "client_id": f"x{number}",
        }
        event |= {
            "user": "boris",
            "at": "2025-05-05T10:00:00+00:00",
            "changes": [[number, number + 1, 2]],
            "label": 2,
        }
        event |= {
            "can_undo": True,
            "can_redo": False,
            "message": "",
            "reload": False,
            "lost": {"leaves": 2, "label": 1},
        }
        page.control("event", event)
    toast = page.id("toast")
    expect(toast).to_have_count(1)
    expect(toast).to_contain_text(
        "At the same moment boris gave Woods to 6 leaves that you had just made Water. The later change stands."
    )


def test_commands_say_what_their_page_had_seen(page):
    assert [command["seen"] for command in page.commands("leaves.assign")] == [1, 3]


# ---------------------------------------------------------------------------------------------------- versions


def save_version(page: MapPage, name: str, note: str = "") -> None:
    page.id("version-save").click()
    page.id("version-name").fill(name)
    page.id("version-note").fill(note)
    page.id("version-submit").click()
    expect(page.id("version-dialog")).to_be_hidden()


def test_version_is_saved_looked_at_renamed_and_deleted(page):
    unfold(page, "versions")
    save_version(page, "First", "two\nclicks")
    row = page.id("version-row")
    expect(row).to_have_count(1)
    expect(row).to_contain_text("First")
    expect(row).to_contain_text("edit 4")
    others(page, ranges=[[0, 256]])
    row.get_by_test_id("version-view").click()
    expect(page.id("history-banner")).to_contain_text("edit 4")
    page.id("history-back").click()
    row.get_by_test_id("version-edit").click()
    expect(page.id("version-note")).to_have_value("two\nclicks")
    page.id("version-name").fill("Draft")
    page.id("version-submit").click()
    expect(row).to_contain_text("Draft")
    row.get_by_test_id("version-delete").click()
    page.id("dialog-confirm").first.click()
    expect(row).to_have_count(0)


def test_version_of_an_earlier_state_is_saved_while_looking_at_it(page):
    unfold(page, "history")
    rows(page).nth(1).get_by_test_id("edit-view").click()
    expect(page.id("history-banner")).to_be_visible()
    unfold(page, "versions")
    save_version(page, "Then")
    expect(page.id("version-row")).to_contain_text("edit 3")


def test_version_without_a_name_is_refused_where_it_is_asked(page):
    unfold(page, "versions")
    page.id("version-save").click()
    page.id("version-submit").click()
    expect(page.id("version-error")).to_contain_text("needs a name")
    page.id("version-cancel").click()
    page.errors.clear()


def test_versions_are_compared_and_shown_on_the_map(page):
    unfold(page, "versions")
    save_version(page, "First")
    page.click(700, 1200)
    page.id("version-compare").click()
    expect(page.id("compare-summary")).to_contain_text("changed (")
    expect(page.id("compare-table")).to_contain_text("Woods")
    changed = [leaf for leaf, value in enumerate(page.table()) if value == 2]
    page.id("compare-show").click()
    expect(page.id("history-banner")).to_contain_text("What changed between edit 4")
    shown = [leaf for leaf, value in enumerate(page.table()) if value]
    assert shown
    assert set(shown) < set(changed)
    assert page.call("clusternet.state.mode") == "classes"
    page.id("history-back").click()
    assert page.call("clusternet.state.mode") == "clusters"


def test_nothing_to_compare_is_said(page):
    unfold(page, "versions")
    page.id("compare-open").click()
    expect(page.id("compare-summary")).to_contain_text("no version to compare with yet")
    page.id("compare-close").click()

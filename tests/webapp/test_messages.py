"""Commands and events, and that docs/protocol.md describes them."""

import json
import re
import typing
from pathlib import Path

import pytest

from webapp import messages
from webapp.errors import InvalidInputError
from webapp.live.event_types import EVENTS, event
from webapp.messages import COMMANDS, parse_command, sender_of

PROTOCOL = (Path(__file__).parents[2] / "docs" / "protocol.md").read_text()


def table_below(heading: str) -> dict[str, str]:
    """Type -> its fields cell, of the first table after a heading."""
    section = PROTOCOL.split(heading, 1)[1]
    rows = {}
    for line in section.splitlines():
        if line.startswith("| `"):
            first, cell = line.strip().strip("|").split("|", 1)
            for kind in re.findall(r"`([a-z.]+)`", first):
                rows[kind] = cell
        elif rows and not line.startswith("|"):
            break
    return rows


def names_in(cell: str) -> set[str]:
    outermost = re.sub(r"\{[^}]*\}", "", cell)
    return set(re.findall(r"`([a-z_]+)`", outermost))


def test_every_command_is_described_and_the_other_way_round():
    assert table_below("### Commands").keys() == COMMANDS.keys()


def test_every_event_is_described_and_the_other_way_round():
    assert table_below("### Events").keys() == EVENTS.keys()


@pytest.mark.parametrize("kind", COMMANDS)
def test_command_has_the_fields_described(kind):
    fields = {field.alias or name for name, field in COMMANDS[kind].model_fields.items()} - {"type"}
    assert names_in(table_below("### Commands")[kind]) == fields


@pytest.mark.parametrize("kind", EVENTS)
def test_event_has_the_fields_described(kind):
    assert names_in(table_below("### Events")[kind]) == set(typing.get_type_hints(EVENTS[kind]))


def test_every_rejection_code_is_described():
    from webapp import errors

    described = set(re.findall(r"`([a-z]+)`", PROTOCOL.split("Rejection codes:", 1)[1].split("\n\n", 1)[0]))
    classes = [value for value in vars(errors).values() if isinstance(value, type) and hasattr(value, "code")]
    assert {kind.code for kind in classes if isinstance(kind.code, str)} | {"internal"} == described


ASSIGN = {
    "type": "leaves.assign",
    "client_id": "a",
    "segmentation": 1,
    "version": 0,
    "ranges": [[0, 3]],
    "class": 2,
}
CREATE = {"type": "class.create", "client_id": "a", "name": " Open  water ", "color": "#FF00aa"}


def test_parse_reads_a_command():
    command = parse_command(json.dumps({**ASSIGN, "point": [4, 5]}))
    assert isinstance(command, messages.AssignLeaves)
    assert (command.ranges, command.class_number, command.point) == ([(0, 3)], 2, (4, 5))


def test_parse_strips_names_and_lowers_colors():
    command = parse_command(json.dumps(CREATE))
    assert (command.name, command.color) == ("Open  water", "#ff00aa")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "not JSON that can be read"),
        ("{", "not JSON that can be read"),
        ("[" * 5000, "not JSON that can be read"),
        ("[]", "not a JSON object with a `type`"),
        ("7", "not a JSON object with a `type`"),
        ("{}", "names no `type`"),
        ('{"type": "nonsense"}', "There is no command 'nonsense'"),
        ('{"type": 5}', "There is no command"),
    ],
)
def test_parse_refuses_what_is_no_command(text, sentence):
    with pytest.raises(InvalidInputError, match=sentence):
        parse_command(text)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (
            {"ranges": [[0, True]]},
            r"`ranges`\[0\]\[1\] of leaves.assign cannot be True: input should be a valid integer",
        ),
        ({"ranges": [[0]]}, r"`ranges`\[0\]"),
        ({"ranges": [[-1, 4]]}, "greater than or equal to 0"),
        ({"ranges": []}, "at least 1 item"),
        ({"ranges": [[0, 1]] * 4097}, "at most 4096 items"),
        ({"class": 0}, "greater than or equal to 1"),
        ({"class": 251}, "less than or equal to 250"),
        ({"class": "1"}, "valid integer"),
        ({"segmentation": 2**70}, "less than or equal to"),
        ({"segmentation": 1.5}, "valid integer"),
        ({"client_id": ""}, "at least 1 character"),
        ({"client_id": "x" * 65}, "at most 64 characters"),
        ({"client_id": None}, "valid string"),
        ({"client_id": "a\nb"}, "control characters"),
        ({"color": "red"}, "leaves.assign has no field `color`"),
        ({"point": [1]}, "`point`"),
    ],
)
def test_parse_refuses_fields(change, sentence):
    with pytest.raises(InvalidInputError, match=sentence):
        parse_command(json.dumps({**ASSIGN, **change}))


@pytest.mark.parametrize("field", ["client_id", "segmentation", "version", "ranges", "class"])
def test_parse_asks_for_missing_fields(field):
    with pytest.raises(InvalidInputError, match=f"leaves.assign lacks its field `{field}`"):
        parse_command(json.dumps({name: value for name, value in ASSIGN.items() if name != field}))


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"name": "   "}, "at least 1 character"),
        ({"name": "x" * 81}, "at most 80 characters"),
        ({"name": "a\u0000b"}, "control characters"),
        ({"name": "a\u202eb"}, "control characters"),
        ({"color": "#12345"}, "cannot be '#12345'"),
        ({"color": "#12345g"}, "match pattern"),
        ({"color": "red; }"}, "match pattern"),
    ],
)
def test_parse_refuses_names_and_colors(change, sentence):
    with pytest.raises(InvalidInputError, match=sentence):
        parse_command(json.dumps({**CREATE, **change}))


STROKES = {
    "type": "examples.add",
    "client_id": "a",
    "examples": [{"class": 2, "points": [[1, 2]]}, {"class": 1, "against": True, "points": [[3, 4], [5, 6]]}],
}
COMPLETE = {"type": "completion.set", "client_id": "a", "on": True, "threshold": 1}


def test_parse_reads_strokes_and_settings():
    command = parse_command(json.dumps(STROKES))
    assert [(stroke.class_number, stroke.against, stroke.points) for stroke in command.examples] == [
        (2, False, [(1, 2)]),
        (1, True, [(3, 4), (5, 6)]),
    ]
    assert parse_command(json.dumps(COMPLETE)).threshold == 1.0


@pytest.mark.parametrize(
    ("message", "sentence"),
    [
        ({**STROKES, "examples": []}, "at least 1 item"),
        (
            {**STROKES, "examples": [{"class": 1, "points": []}]},
            r"`examples`\[0\]\[points\] of examples.add .* 1 item",
        ),
        ({**STROKES, "examples": [{"class": 1, "points": [[0, 0]] * 2001}]}, "at most 2000 items"),
        (
            {**STROKES, "examples": [{"points": [[0, 0]]}]},
            r"examples.add lacks its field `examples`\[0\]\[class\]",
        ),
        ({**STROKES, "examples": [{"class": 1, "points": [[0, -1]]}]}, "greater than or equal to 0"),
        ({**STROKES, "examples": [{"class": 1, "against": 1, "points": [[0, 1]]}]}, "valid boolean"),
        ({"type": "examples.remove", "client_id": "a", "targets": []}, "at least 1 item"),
        ({"type": "examples.remove", "client_id": "a", "targets": ["1"]}, "valid integer"),
        ({**COMPLETE, "threshold": 1.01}, "less than or equal to 1"),
        ({**COMPLETE, "threshold": -1}, "greater than or equal to 0"),
        ({**COMPLETE, "threshold": "0.5"}, "valid number"),
        ({**COMPLETE, "on": 1}, "valid boolean"),
    ],
)
def test_parse_refuses_strokes_and_settings(message, sentence):
    with pytest.raises(InvalidInputError, match=sentence):
        parse_command(json.dumps(message))


def test_parse_limits_wanted_blocks():
    want = {"type": "blocks.want", "segmentation": 1, "level": 0, "blocks": [[0, 0]] * 65}
    with pytest.raises(InvalidInputError, match="at most 64 items"):
        parse_command(json.dumps(want))


@pytest.mark.parametrize(
    ("text", "client_id"),
    [
        ('{"client_id": "abc", "type": "?"}', "abc"),
        ('{"client_id": 5}', None),
        ('{"client_id": ""}', None),
        ("[]", None),
        ("5", None),
        ("{", None),
        ("[" * 100_000, None),
    ],
)
def test_sender_of_a_broken_frame(text, client_id):
    assert sender_of(text) == client_id


def test_event_refuses_an_unknown_type():
    with pytest.raises(ValueError, match="'nonsense' is not an event"):
        event("nonsense", {})


def test_event_is_compact_json():
    assert event("heartbeat", {"number": 3}) == '{"type":"heartbeat","number":3}'

"""From a command to its action."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from django.contrib.auth.models import User

from webapp import actions
from webapp import messages as m
from webapp.editing import (
    adoption,
    example_actions,
    leaf_splitting,
    legends,
    merging,
    overriding,
    restoring,
    splits,
    undoing,
)
from webapp.models import Edit, Role
from webapp.permissions import require_project

__all__ = ["Performed", "perform"]


class Performed(NamedTuple):
    number: int  # of the edit
    is_repeat: bool  # the same command had come before, and nothing was changed now


_ACTIONS: dict[type[m.EditCommand], Callable[..., Edit]] = {
    m.AssignLeaves: actions.assign_leaves,
    m.UnassignLeaves: actions.unassign_leaves,
    m.SplitCluster: splits.split_cluster,
    m.SplitLeaf: leaf_splitting.split_leaf,
    m.CreateClass: actions.create_class,
    m.RenameClass: actions.rename_class,
    m.RecolorClass: actions.recolor_class,
    m.ReorderClasses: actions.reorder_classes,
    m.DeleteClass: actions.delete_class,
    m.MergeClasses: merging.merge_classes,
    m.AddOverride: overriding.add_override,
    m.SetAoi: actions.set_aoi,
    m.AdoptSegmentation: adoption.adopt_segmentation,
    m.AddExamples: example_actions.add_examples,
    m.RemoveExamples: example_actions.remove_examples,
    m.SetCompletion: example_actions.set_completion,
    m.LoadLegend: legends.load_legend,
    m.UndoEdit: undoing.undo,
    m.RedoEdit: undoing.redo,
    m.RestoreState: restoring.restore_state,
}

# They compute before they lock the project, which is where all others find out who may, and what had come before.
_COMPUTED = (m.AdoptSegmentation, m.SplitLeaf, m.AddOverride)


def perform(user: User, project_id: int, command: m.EditCommand, **more: Any) -> Performed:
    """Do what a command asks; WebError or SegmentationError with a sentence where it cannot be done.

    ``more`` goes to the action beside the command's fields.
    """
    if isinstance(command, _COMPUTED):
        first = Edit.objects.filter(project=project_id, user=user, client_id=command.client_id).first()
        if first is not None:
            return Performed(first.number, is_repeat=True)
        require_project(user, project_id, Role.EDITOR)
    fields: dict[str, Any] = {
        name: getattr(command, name)
        for name in type(command).model_fields
        if name not in ("type", "client_id")
    }
    edit = _ACTIONS[type(command)](user, project_id, command.client_id, **fields, **more)
    return Performed(edit.number, edit.is_repeat)

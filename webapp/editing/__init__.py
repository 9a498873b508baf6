"""What people do to a project: edits, their fold, undo, examples, splits, legends."""

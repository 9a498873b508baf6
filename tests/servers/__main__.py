"""Run tests on PostgreSQL and Redis, real servers started for it: ``python -m tests.servers [pytest's arguments]``.

Where no files are named those run in which the database and the channel layer matter most; they run on SQLite and memory anyway.
"""

from __future__ import annotations

import os
import subprocess
import sys

from tests.servers import programs

LONGEST_S = 1200
# Sockets in a process of their own: their event loops then meet no threads of other tests.
SOCKETS = (
    "tests/webapp/live/test_consumers.py",
    "tests/webapp/live/test_drawing_socket.py",
    "tests/webapp/live/test_feed.py",
    "tests/webapp/live/test_members_socket.py",
    "tests/webapp/live/test_presence.py",
    "tests/webapp/live/test_together.py",
)
OTHERS = (
    "tests/collaboration/test_at_once.py",
    "tests/webapp/test_actions.py",
    "tests/webapp/test_roles.py",
    "tests/webapp/editing/test_checkpoints.py",
    "tests/webapp/editing/test_merging.py",
    "tests/webapp/editing/test_overriding.py",
    "tests/webapp/editing/test_races.py",
    "tests/webapp/editing/test_restoring.py",
    "tests/webapp/editing/test_undoing.py",
    "tests/webapp/jobs/test_lease.py",
    "tests/webapp/jobs/test_runner.py",
    "tests/webapp/jobs/test_turns.py",
    "tests/webapp/people",
    "tests/webapp/rest/test_api.py",
    "tests/webapp/rest/test_history_api.py",
    "tests/webapp/rest/test_job_api.py",
    "tests/webapp/rest/test_note_api.py",
)
SUBSET = (*OTHERS, *SOCKETS)


def main() -> int:
    is_all = all(argument.startswith("-") for argument in sys.argv[1:])
    try:
        with programs.servers() as found:
            environment = {
                **os.environ,
                "TEST_DATABASE_URL": found.database_url,
                "TEST_REDIS_URL": found.redis_url,
            }
            # What hangs shows where, and does not hold up everything.
            command = [sys.executable, "-m", "pytest", "-o", "faulthandler_timeout=120", *sys.argv[1:]]
            runs = [
                subprocess.run([*command, *files], env=environment, check=False, timeout=LONGEST_S)
                for files in ((OTHERS, SOCKETS) if is_all else ((),))
            ]
            return max(abs(run.returncode) for run in runs)
    except subprocess.TimeoutExpired:
        print(f"The tests on PostgreSQL and Redis were not done after {LONGEST_S} seconds.", file=sys.stderr)
        return 1
    except programs.MissingError as error:
        # Continuous integration must not pass because nothing was tested.
        print(
            f"The tests on PostgreSQL and Redis were {'not run' if in_ci() else 'skipped'}: {error}",
            file=sys.stderr,
        )
        return 1 if in_ci() else 0


def in_ci() -> bool:
    return os.environ.get("CI", "").lower() in ("1", "true")


if __name__ == "__main__":
    sys.exit(main())

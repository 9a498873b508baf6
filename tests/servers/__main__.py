"""Run pytest on PostgreSQL and Redis, real servers started for it: ``python -m tests.servers [pytest's arguments]``."""

from __future__ import annotations

import os
import subprocess
import sys

from tests.servers import programs


def main() -> int:
    try:
        with programs.servers() as found:
            environment = {
                **os.environ,
                "TEST_DATABASE_URL": found.database_url,
                "TEST_REDIS_URL": found.redis_url,
            }
            return subprocess.run(
                [sys.executable, "-m", "pytest", *sys.argv[1:]], env=environment, check=False
            ).returncode
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

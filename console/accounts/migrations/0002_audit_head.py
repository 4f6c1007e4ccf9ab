"""The end of the audit chain exists from the start, so the first two writers cannot both begin it."""

from django.db import migrations


def begin(apps, schema_editor):
    apps.get_model("accounts", "AuditHead").objects.get_or_create(pk=1)


class Migration(migrations.Migration):
    dependencies = [("accounts", "0001_initial")]
    operations = [migrations.RunPython(begin, migrations.RunPython.noop)]

"""The epoch is set when the database is created."""

from django.db import migrations


def begin(apps, schema_editor):
    apps.get_model("lib", "Deployment").objects.get_or_create(pk=1)


class Migration(migrations.Migration):
    dependencies = [("lib", "0001_initial")]
    operations = [migrations.RunPython(begin, migrations.RunPython.noop)]

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("webapp", "0002_completion"),
    ]

    operations = [
        migrations.AddField(
            model_name="project",
            name="splits",
            field=models.JSONField(blank=True, default=dict),
        ),
    ]

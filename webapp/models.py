"""What the database keeps. Pixels live in files below ``settings.DATA_DIR``, never here."""

from __future__ import annotations

from pathlib import Path

from django.conf import settings
from django.contrib.auth.models import User
from django.db import models

from segmentation.objects import StorePath
from webapp.places import store_of


class Scene(models.Model):
    """A source raster, ingested into ``DATA_DIR/scenes/<id>/``."""

    class State(models.TextChoices):
        IMPORTING = "importing"
        READY = "ready"
        FAILED = "failed"

    owner = models.ForeignKey(User, on_delete=models.CASCADE, related_name="scenes")
    name = models.CharField(max_length=200)
    source_name = models.CharField(max_length=255)  # the file name as uploaded
    state = models.CharField(max_length=12, choices=State.choices, default=State.IMPORTING)
    progress = models.FloatField(default=0)  # share of the import done, 0 to 1
    message = models.TextField(blank=True)  # why the import failed, or a remark on how the file was read
    attribution = models.CharField(max_length=300, blank=True)
    # Everything that segmentation.rasters.cog.SceneInfo knows (docs/protocol.md, "Scene description").
    info = models.JSONField(default=dict, blank=True)
    size_bytes = models.BigIntegerField(default=0)  # of the scene's folder, for the quota
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-created_at", "-id"]

    def __str__(self) -> str:
        return self.name

    @property
    def folder(self) -> Path:
        return Path(settings.DATA_DIR) / "scenes" / str(self.pk)

    @property
    def cog_path(self) -> Path:
        return self.folder / "scene.tif"

    @property
    def thumbnail_path(self) -> Path:
        return self.folder / "thumbnail.webp"


class Segmentation(models.Model):
    """One run over a scene; its Zarr group is ``segmentations/<id>.zarr`` below DATA_DIR or STORAGE_URL."""

    class State(models.TextChoices):
        QUEUED = "queued"
        RUNNING = "running"
        COMPLETE = "complete"
        FAILED = "failed"
        CANCELLED = "cancelled"

    scene = models.ForeignKey(Scene, on_delete=models.CASCADE, related_name="segmentations")
    created_by = models.ForeignKey(User, null=True, on_delete=models.SET_NULL, related_name="+")
    state = models.CharField(max_length=12, choices=State.choices, default=State.QUEUED)
    # mode ("fast" or "best"), train_seconds, network (id) and network_name, bands (list of band numbers, or null = all),
    # superpixel_px, n_leaves, seed, aoi (GeoJSON geometry or null)
    parameters = models.JSONField(default=dict, blank=True)
    device = models.CharField(max_length=40, blank=True)  # "cpu" or "cuda": what it really ran on
    n_leaves = models.PositiveIntegerField(default=0)  # 0 until the codebook is fixed
    stage = models.CharField(max_length=20, blank=True)
    progress = models.FloatField(default=0)  # share done, 0 to 1
    message = models.TextField(blank=True)
    size_bytes = models.BigIntegerField(default=0)
    automatic = models.BooleanField(default=False)  # begun by the server itself (webapp/jobs/learning.py)
    # Once complete: how its features came about, where any were learned.
    learned = models.JSONField(null=True, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-created_at", "-id"]

    def __str__(self) -> str:
        return f"segmentation {self.pk} of {self.scene}"

    @property
    def store_path(self) -> StorePath:
        return store_of(self.pk)

    @property
    def is_active(self) -> bool:
        return self.state in (self.State.QUEUED, self.State.RUNNING)


class Network(models.Model):
    """A trained encoder, ``DATA_DIR/networks/<id>.safetensors``: learned from a scene here, or uploaded."""

    owner = models.ForeignKey(User, on_delete=models.CASCADE, related_name="networks")
    name = models.CharField(max_length=200)
    # What it was learned from; null for an uploaded one, and once that is deleted.
    scene = models.ForeignKey(Scene, null=True, on_delete=models.SET_NULL, related_name="networks")
    segmentation = models.OneToOneField(
        Segmentation, null=True, on_delete=models.SET_NULL, related_name="network"
    )
    n_bands = models.PositiveIntegerField()  # that a scene must have to use it
    bands = models.JSONField(default=list)  # {"name", "role"} of each, empty where unknown
    training = models.JSONField(default=dict)  # how it came about
    fingerprint = models.CharField(max_length=32)  # of the weights
    size_bytes = models.BigIntegerField(default=0)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-created_at", "-id"]

    def __str__(self) -> str:
        return self.name

    @property
    def path(self) -> Path:
        return Path(settings.DATA_DIR) / "networks" / f"{self.pk}.safetensors"


class Project(models.Model):
    """Classes and edits over one scene. Its state is the fold of its live edits (webapp/editing/edits.py)."""

    owner = models.ForeignKey(User, on_delete=models.CASCADE, related_name="projects")
    name = models.CharField(max_length=200)
    scene = models.ForeignKey(Scene, on_delete=models.CASCADE, related_name="projects")
    # The adopted segmentation; null until the first one has its codebook.
    segmentation = models.ForeignKey(
        Segmentation, null=True, blank=True, on_delete=models.PROTECT, related_name="projects"
    )
    number = models.PositiveIntegerField(default=0)  # of the newest edit
    # Snapshot of the fold at ``number``: class of each leaf, zlib-compressed uint8, 0 = none.
    class_table = models.BinaryField(default=bytes, blank=True)
    aoi = models.JSONField(
        null=True, blank=True
    )  # GeoJSON geometry, lon/lat (pixel x/y where the scene has no CRS)
    # Snapshot of the fold, too: by segmentation, how its leaves and clusters were split (webapp/editing/refinements.py).
    splits = models.JSONField(default=dict, blank=True)
    # Snapshot of the fold, too: what was drawn by hand, in the order in which it lies (webapp/editing/drawn.py).
    overrides = models.JSONField(default=list, blank=True)
    # Whether leaves without a class show the decoder's, and from which certainty (0 to 1) on.
    completion_on = models.BooleanField(default=False)
    completion_threshold = models.FloatField(default=0.5)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)
    updated_by = models.ForeignKey(User, null=True, on_delete=models.SET_NULL, related_name="+")

    class Meta:
        ordering = ["-updated_at", "-id"]

    def __str__(self) -> str:
        return self.name


class Role(models.TextChoices):
    """What a member may do: look; change the map; decide who takes part."""

    VIEWER = "viewer"
    EDITOR = "editor"
    OWNER = "owner"


class Membership(models.Model):
    """Somebody who takes part in a project. Who made it is its owner without a row here; others may be owners, too."""

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="memberships")
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="memberships")
    role = models.CharField(max_length=8, choices=Role.choices, default=Role.VIEWER)
    invited_by = models.ForeignKey(User, null=True, on_delete=models.SET_NULL, related_name="+")
    joined_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["joined_at", "id"]
        constraints = [models.UniqueConstraint(fields=["project", "user"], name="member_once")]

    def __str__(self) -> str:
        return f"{self.user} in {self.project}: {self.role}"


class Invite(models.Model):
    """A link that makes whoever opens it a member; only the hash of its token is kept."""

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="invites")
    role = models.CharField(max_length=8, choices=Role.choices, default=Role.EDITOR)
    token_hash = models.CharField(max_length=64, unique=True)
    created_by = models.ForeignKey(User, on_delete=models.CASCADE, related_name="+")
    expires_at = models.DateTimeField(null=True, blank=True)  # null: never
    max_uses = models.PositiveIntegerField(null=True, blank=True)  # null: any number
    uses = models.PositiveIntegerField(default=0)
    revoked_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-created_at", "-id"]

    def __str__(self) -> str:
        return f"link to {self.project} for {self.role}s"


class Profile(models.Model):
    """What an account has beside Django's own fields."""

    user = models.OneToOneField(User, on_delete=models.CASCADE, related_name="profile")
    last_seen = models.DateTimeField(null=True, blank=True)

    def __str__(self) -> str:
        return f"profile of {self.user}"


class Version(models.Model):
    """A state of a project that somebody gave a name: the fold as it was right after edit ``number``."""

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="versions")
    number = models.PositiveIntegerField()
    name = models.CharField(max_length=80)
    note = models.TextField(blank=True)
    created_by = models.ForeignKey(User, null=True, on_delete=models.SET_NULL, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-created_at", "-id"]

    def __str__(self) -> str:
        return self.name


class Comment(models.Model):
    """A note pinned to a place, or an answer to one."""

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="comments")
    parent = models.ForeignKey("self", null=True, on_delete=models.CASCADE, related_name="replies")
    row = models.FloatField(default=0)  # pixels of the scene; of the first note of a thread
    col = models.FloatField(default=0)
    text = models.TextField()
    author = models.ForeignKey(User, null=True, on_delete=models.SET_NULL, related_name="+")
    resolved_by = models.ForeignKey(User, null=True, on_delete=models.SET_NULL, related_name="+")
    resolved_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    edited_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["created_at", "id"]

    def __str__(self) -> str:
        return f"note {self.pk} in {self.project}"


class ClassLabel(models.Model):
    """A class named by a person; part of the snapshot of the fold."""

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="classes")
    number = models.PositiveSmallIntegerField()  # 1 to 250, never used twice in a project
    name = models.CharField(max_length=80)
    color = models.CharField(max_length=7)  # "#rrggbb"
    position = models.PositiveSmallIntegerField(default=0)
    deleted = models.BooleanField(default=False)  # hides its assignments; nothing is rewritten
    merged_into = models.PositiveSmallIntegerField(null=True, blank=True)  # the class that stands for it

    class Meta:
        ordering = ["position", "number"]
        constraints = [models.UniqueConstraint(fields=["project", "number"], name="class_number_once")]

    def __str__(self) -> str:
        return self.name


class Edit(models.Model):
    """One recorded change; numbers run from 1 without a gap in each project."""

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="edits")
    number = models.PositiveIntegerField()
    kind = models.CharField(max_length=30)  # docs/protocol.md, "Edits"
    payload = models.JSONField(default=dict)
    user = models.ForeignKey(User, null=True, on_delete=models.SET_NULL, related_name="+")
    client_id = models.CharField(max_length=64, blank=True)  # made by the browser: a repeat is recognised
    live = models.BooleanField(default=True)
    created_at = models.DateTimeField(auto_now_add=True)
    is_repeat = False  # of the object: it answers a command that had come before

    class Meta:
        ordering = ["number"]
        constraints = [
            models.UniqueConstraint(fields=["project", "number"], name="edit_number_once"),
            models.UniqueConstraint(
                fields=["project", "user", "client_id"],
                condition=~models.Q(client_id=""),
                name="edit_client_id_once",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.kind} #{self.number}"


class Job(models.Model):
    """What people see of something that runs in the background (webapp/jobs/jobbook.py keeps it in step).

    What it makes is recorded elsewhere: in the scene, in the segmentation. A prepared download is ``DATA_DIR/exports/<id>.geojson``.
    """

    class Kind(models.TextChoices):
        IMPORT = "import"
        SEGMENT = "segment"
        LEARN = "learn"  # a segmentation that trains on its scene first
        EXPORT = "export"

    class State(models.TextChoices):
        QUEUED = "queued"
        RUNNING = "running"
        COMPLETE = "complete"
        FAILED = "failed"
        CANCELLED = "cancelled"

    kind = models.CharField(max_length=8, choices=Kind.choices)
    state = models.CharField(max_length=12, choices=State.choices, default=State.QUEUED)
    owner = models.ForeignKey(User, null=True, on_delete=models.SET_NULL, related_name="jobs")
    automatic = models.BooleanField(default=False)  # begun by the server itself
    # What it is about: a scene, and its segmentation where it makes one; or a project alone.
    scene = models.ForeignKey(Scene, null=True, on_delete=models.CASCADE, related_name="jobs")
    segmentation = models.OneToOneField(Segmentation, null=True, on_delete=models.CASCADE, related_name="job")
    project = models.ForeignKey(Project, null=True, on_delete=models.CASCADE, related_name="jobs")
    work_px = models.BigIntegerField(default=0)  # estimated work, in pixels
    stage = models.CharField(max_length=20, blank=True)
    progress = models.FloatField(default=0)  # share done, 0 to 1
    message = models.TextField(blank=True)
    left_s = models.FloatField(null=True, blank=True)  # estimate, while it runs
    place = models.PositiveIntegerField(null=True, blank=True)  # in the queue, from 1, while it waits
    attempt = models.PositiveIntegerField(default=0)  # how often it was begun
    computing_s = models.FloatField(default=0)  # of all attempts that have ended
    created_at = models.DateTimeField(auto_now_add=True)
    started_at = models.DateTimeField(null=True, blank=True)  # the first time
    begun_at = models.DateTimeField(null=True, blank=True)  # the last time
    finished_at = models.DateTimeField(null=True, blank=True)
    # Of a download that was prepared: what the file is called for people, its size, and until when it is kept.
    file_name = models.CharField(max_length=100, blank=True)
    size_bytes = models.BigIntegerField(default=0)
    expires_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-created_at", "-id"]
        indexes = [models.Index(fields=["state", "kind"], name="job_state_kind")]
        constraints = [
            models.UniqueConstraint(
                fields=["scene"], condition=models.Q(kind="import"), name="one_import_of_a_scene"
            )
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.pk}: {self.state}"

    @property
    def is_active(self) -> bool:
        return self.state in (self.State.QUEUED, self.State.RUNNING)

    @property
    def file_path(self) -> Path:
        return Path(settings.DATA_DIR) / "exports" / f"{self.pk}.geojson"


class JobLine(models.Model):
    """A line of a job's log, for people."""

    job = models.ForeignKey(Job, on_delete=models.CASCADE, related_name="lines")
    at = models.DateTimeField(auto_now_add=True)
    text = models.CharField(max_length=500)

    class Meta:
        ordering = ["id"]

    def __str__(self) -> str:
        return self.text


class SignInToken(models.Model):
    """A link that signs one user in, once; only the hash of the token is kept."""

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="+")
    token_hash = models.CharField(max_length=64, unique=True)
    expires_at = models.DateTimeField()
    created_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return f"sign-in link of {self.user}"


class Lease(models.Model):
    """Which server process does what only one may do at a time (webapp/jobs/lease.py)."""

    name = models.CharField(max_length=40, primary_key=True)
    holder = models.CharField(max_length=64)  # a random name of the process
    host = models.CharField(max_length=255)
    pid = models.PositiveIntegerField()
    seen_at = models.DateTimeField()  # when the holder last said so, by the database's clock

    def __str__(self) -> str:
        return f"{self.name}: process {self.pid} on {self.host}"


class Upload(models.Model):
    """A file on its way in by tus (docs/protocol.md, "Uploads"), or one part of a file; its bytes are in ``uploads/<id>.tus``."""

    id = models.CharField(max_length=32, primary_key=True)
    owner = models.ForeignKey(User, on_delete=models.CASCADE, related_name="uploads")
    # Of the file on its sender's side, so that the same file goes on where it was left; "" where the sender gave none.
    fingerprint = models.CharField(max_length=400, blank=True)
    part = models.PositiveIntegerField(null=True)  # which of the file's parts, from 0; null: a file by itself
    is_partial = models.BooleanField(default=False)  # to be put together with others
    name = models.CharField(max_length=255, blank=True)  # of the file
    total = models.BigIntegerField()  # bytes of the whole file
    length = models.BigIntegerField()  # bytes of this upload
    offset = models.BigIntegerField(default=0)  # bytes that are here and checked
    checksum = models.CharField(max_length=80, blank=True)  # as it was checked last, "sha256 <base64>"
    scene = models.ForeignKey(
        Scene, null=True, on_delete=models.CASCADE, related_name="+"
    )  # once it is whole
    created_at = models.DateTimeField(auto_now_add=True)
    touched_at = models.DateTimeField()  # when a part of the same file came last

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["owner", "fingerprint", "part"],
                condition=models.Q(part__isnull=False),
                name="upload_part_once",
            )
        ]
        indexes = [models.Index(fields=["touched_at"], name="upload_touched")]

    def __str__(self) -> str:
        return f"upload {self.id} of {self.name}"

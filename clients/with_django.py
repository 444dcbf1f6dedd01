"""Django's ORM: migrations' SQL, queries, transactions, introspection."""

import os

import django
from django.conf import settings

settings.configure(
    DATABASES={
        "default": {
            "ENGINE": "django.db.backends.postgresql",
            "NAME": os.environ["PGDATABASE"],
            "USER": os.environ["PGUSER"],
            "PASSWORD": os.environ["PGPASSWORD"],
            "HOST": os.environ["PGHOST"],
            "PORT": os.environ["PGPORT"],
            "OPTIONS": {"sslmode": os.environ.get("PGSSLMODE", "prefer")},
        }
    },
    INSTALLED_APPS=["django.contrib.contenttypes", "django.contrib.auth"],
    USE_TZ=True,
    DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
    PASSWORD_HASHERS=["django.contrib.auth.hashers.MD5PasswordHasher"],
)
django.setup()

from django.contrib.auth.models import Group, User
from django.core.management import call_command
from django.db import IntegrityError, connection, transaction
from django.db.models import Count, F, Q

call_command("migrate", verbosity=1, no_color=True)
for i in range(20):
    User.objects.create_user(f"user{i}", email=f"u{i}@shop.example", is_staff=i % 2 == 0)
group = Group.objects.create(name="everyone")
group.user_set.set(User.objects.filter(Q(is_staff=True) | Q(username="user1")))
print(User.objects.filter(groups=group).count(), User.objects.aggregate(Count("id")))
print(list(User.objects.order_by("-username").values_list("username", flat=True)[:3]))
print(User.objects.filter(username__startswith="user1").update(last_name=F("username")))
print(User.objects.get(username="user11").last_name)
try:
    with transaction.atomic():
        User.objects.create(username="user1")
except IntegrityError as error:
    print(error.__cause__.sqlstate)
with transaction.atomic():
    print(User.objects.select_for_update().filter(username="user2").count())
User.objects.bulk_create([User(username=f"bulk{i}") for i in range(500)])
print(sum(1 for _ in User.objects.iterator(chunk_size=50)))
print(User.objects.filter(username__contains="bulk").delete()[0])
print(User.objects.filter(username="user3").explain().splitlines()[0].split("(")[0])
with connection.cursor() as cursor:
    print(sorted(table for table in connection.introspection.table_names(cursor) if table.startswith("auth_")))
    cursor.execute("SELECT %s, %s::jsonb", ["x", '{"a": 1}'])
    print(cursor.fetchall())
call_command("migrate", "auth", "zero", verbosity=1, no_color=True)

"""An independent tester of SCIM servers, held against the gateway's.

SCIM_URL and SCIM_TOKEN say where and as whom. It prints every check that does not succeed, and how many did.
"""

import os
import sys

from httpx2 import Client
from scim2_client.engines.httpx2 import SyncSCIMClient
from scim2_tester import Status, check_server

token = os.environ["SCIM_TOKEN"]
with Client(base_url=os.environ["SCIM_URL"], headers={"Authorization": f"Bearer {token}"}) as http:
    client = SyncSCIMClient(http)
    results = check_server(client)

bad = 0
count = {}
for result in results:
    count[result.status.name] = count.get(result.status.name, 0) + 1
    if result.status not in (Status.SUCCESS, Status.SKIPPED):
        bad += result.status in (Status.ERROR, Status.CRITICAL)
        print(f"{result.status.name} {result.title} ({result.resource_type or '-'}): {result.reason}")
print(", ".join(f"{status.lower()} {number}" for status, number in sorted(count.items())))
sys.exit(1 if bad or not count.get("SUCCESS") else 0)

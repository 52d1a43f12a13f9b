#!/usr/bin/env python3
"""Adds services that run at one origin to the database of a control plane, for bench/p7_proxy.sh.

Usage: p7_proxy.py DATABASE KIND COUNT public|account ORIGIN_URL. The services are KIND0, KIND1, ... Each has an account
and an agent of its own: the proxy's limits on requests a second are per service and per account. Prints the accounts.
"""
import sqlite3
import sys
import time
import uuid


def insert(db, table, **values):
    names = ", ".join(values)
    marks = ", ".join("?" for _ in values)
    db.execute(f"INSERT INTO {table} ({names}) VALUES ({marks})", tuple(values.values()))


def uuid7():
    raw = bytearray(int(time.time() * 1000).to_bytes(6, "big") + uuid.uuid4().bytes[6:])
    raw[6] = 0x70 | raw[6] & 0x0F
    return str(uuid.UUID(bytes=bytes(raw)))


def add_service(db, name, access, origin, now):
    account, service, deployment, agent = (uuid7() for _ in range(4))
    insert(db, "accounts", id=account, name=f"bench-{name}", account_type="deployer", status="active",
           created_at=now, created_by="bench", updated_at=now)
    insert(db, "account_balances", account_id=account, balance_micros=0, updated_at=now, state_since_at=now)
    insert(db, "services", id=service, name=name, account_id=account, access=access,
           settings='{"rps":100000,"burst":200000}', created_at=now, updated_at=now)
    insert(db, "agents", id=agent, vm_name=f"vm-{name}", status="deployed", health_status="healthy",
           health_changed_at=now, attestation_state="verified", registration_id=uuid7(), boot_id=uuid7(),
           current_deployment_id=deployment, assignment_epoch=1, placement_key="p", placement_scope="public",
           signing_key="A" * 43 + "=", sealing_key="A" * 43 + "=", mrtd="a" * 96,
           rtmrs="[" + ",".join(['"' + "b" * 96 + '"'] * 4) + "]", tcb_status="UpToDate", evidence_kind="emulated",
           attestation_summary="{}", attested_at=now, attestation_due_at=now + 3_600_000, node_size="tiny",
           datacenter="gcp:us-central1-a", cloud="gcp", agent_version="0.1.0", vcpus=4, memory_mib=15800,
           disk_mib=90000, gpu_count=0, direct_url=origin, registered_at=now, created_at=now, updated_at=now)
    insert(db, "deployments", id=deployment, group_id=deployment, account_id=account, service_id=service,
           state="running", agent_id=agent, slot_held=1, assignment_epoch=1, current_revision=1, target_revision=1,
           auth_method="api_key", node_size="tiny", datacenter_policy="{}", health="healthy", created_at=now,
           updated_at=now)
    insert(db, "deployment_revisions", deployment_id=deployment, revision=1, compose_sha256="", resolved_compose="",
           compose_hash="", workload_hash="", images="{}", ingress='[{"path_prefix":"/","port":8080}]', env="{}",
           health_path="/", deploy_timeout_seconds=600, created_by="bench", created_at=now, outcome="active")
    return account


def main():
    path, kind, count, access, origin = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4], sys.argv[5]
    db = sqlite3.connect(path, timeout=30)  # and then an error: the control plane does not run
    now = int(time.time() * 1000)
    with db:
        for number in range(count):
            print(add_service(db, f"{kind}{number}", access, origin, now))
        db.execute("UPDATE route_epoch SET epoch=epoch+1 WHERE id=1")
    db.close()


main()

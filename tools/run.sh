#!/usr/bin/env bash
# make run: the control plane on SQLite and two agents with emulated TDX, as plain processes: no root, no TDX, no
# Cloudflare, no network. State lies in build/run and survives; Ctrl-C stops everything cleanly.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
tools/install-packages.sh
bin=${EE_RUN_BIN:-build/dev}
if [ -z "${EE_RUN_BIN:-}" ]; then
  cmake --preset dev >/dev/null
  echo "building (the first time takes some minutes) ..."
  ninja -C build/dev ee-cp ee-agent | tail -n 1
fi
root=${EE_RUN_DIR:-build/run}
port=${EE_RUN_PORT:-8080}
agent_port=${EE_RUN_AGENT_PORT:-8088}
url=http://127.0.0.1:$port
# A container engine that this user may use, else none is needed: published ports then answer by themselves.
runtime=fake
for socket in /run/docker.sock /run/podman/podman.sock; do
  if [ -S "$socket" ] && [ -w "$socket" ]; then runtime=auto; break; fi
done
[ "$runtime" = auto ] || echo "no usable container engine: the agents only pretend to run containers"
mkdir -p "$root/cp" "$root/agent-1/run" "$root/agent-2/run"
chmod 700 "$root" "$root/cp" "$root/agent-1" "$root/agent-2"

password=$(head -c 18 /dev/urandom | base64 | tr '+/' 'xy')
password_hash=$(printf %s "$password" | "$bin/ee-cp" hash-password)

pids=()
stop() {
  trap - INT TERM EXIT
  echo; echo "stopping ..."
  for ((i = ${#pids[@]} - 1; i >= 0; i--)); do kill -TERM "${pids[$i]}" 2>/dev/null || true; done
  local status=0
  for pid in "${pids[@]}"; do wait "$pid" || status=1; done
  [ "$status" = 0 ] && echo "stopped cleanly" || echo "a process did not stop cleanly: see $root/*.log"
  exit "$status"
}
trap stop INT TERM
trap 'stop' EXIT

# setsid: a Ctrl-C at the terminal reaches this script only, which then stops the processes in order.
env -i PATH="$PATH" EE_ENV=dev EE_CLUSTER_ID=dev EE_ALLOW_EMULATED_TDX=1 EE_BIND="127.0.0.1:$port" EE_PUBLIC_URL="$url" \
  EE_DATABASE_URL="sqlite:$root/cp/easyenclave.db" ADMIN_PASSWORD_HASH="$password_hash" \
  setsid "$bin/ee-cp" serve >"$root/ee-cp.log" 2>&1 &
pids+=($!)

fail() { echo "$1" >&2; tail -n 5 "$2" >&2; exit 1; }
for _ in $(seq 100); do
  curl -fsS -o /dev/null "$url/ready" 2>/dev/null && break
  kill -0 "${pids[0]}" 2>/dev/null || fail "ee-cp did not start:" "$root/ee-cp.log"
  sleep 0.1
done
curl -fsS -o /dev/null "$url/ready" || fail "ee-cp is not ready:" "$root/ee-cp.log"

for n in 1 2; do
  env -i PATH="$PATH" EE_AGENT_ENV=dev EE_ALLOW_EMULATED_TDX=1 EE_AGENT_CONTROL_PLANE_URL="$url" \
    EE_AGENT_VM_NAME="dev-agent-$n" EE_AGENT_NODE_SIZE=tiny EE_AGENT_DATACENTER=baremetal:local \
    EE_AGENT_LISTEN="127.0.1.$n:$agent_port" EE_AGENT_DATA_DIR="$root/agent-$n" EE_AGENT_RUN_DIR="$root/agent-$n/run" \
    EE_AGENT_CONTAINER_RUNTIME="$runtime" setsid "$bin/ee-agent" run >"$root/agent-$n.log" 2>&1 &
  pids+=($!)
done

token=$(curl -fsS "$url/admin/login" -H 'Content-Type: application/json' -d "{\"password\":\"$password\",\"mode\":\"token\"}" |
  sed -n 's/.*"token":"\([^"]*\)".*/\1/p')
[ -n "$token" ] || fail "sign-in failed:" "$root/ee-cp.log"
ready_agents() {
  curl -fsS "$url/api/v1/agents?status=undeployed&health_status=healthy" -H "Authorization: Bearer $token" |
    grep -o '"vm_name":"dev-agent-[12]"' | sort -u | wc -l
}
for _ in $(seq 300); do
  [ "$(ready_agents)" = 2 ] && break
  sleep 0.1
done
[ "$(ready_agents)" = 2 ] || fail "the agents did not become healthy:" "$root/agent-1.log"

cat <<TEXT

easyenclave is running: 2 agents registered, attested (emulated TDX) and healthy.

  control plane  $url
  admin password $password
  logs           $root/ee-cp.log, $root/agent-1.log, $root/agent-2.log

Try:
  curl -s $url/health
  TOKEN=\$(curl -s $url/admin/login -H 'Content-Type: application/json' -d '{"password":"$password","mode":"token"}' | sed 's/.*"token":"\([^"]*\)".*/\1/')
  curl -s $url/api/v1/agents -H "Authorization: Bearer \$TOKEN"
  curl -s "$url/api/v1/attestation?nonce=\$(head -c 32 /dev/urandom | od -An -tx1 | tr -d ' \n')"
  curl -s $url/api/v1/trusted-mrtds
  curl -s $url/openapi.json

Ctrl-C stops everything.
TEXT
if [ "${EE_RUN_ONCE:-0}" = 1 ]; then exit 0; fi
wait -n "${pids[@]}" || true
echo "a process ended by itself: see $root/*.log" >&2
exit 1

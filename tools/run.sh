#!/usr/bin/env bash
# make run: the control plane on SQLite and two agents with emulated TDX, as plain processes: no root, no TDX, no
# Cloudflare, no network; and a sample app that is deployed to one of them. It runs in a container where there is an
# engine (as root, one is started for it), else the agents only pretend. State lies in build/run and survives; Ctrl-C
# stops everything cleanly, the sample first.
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
registry_port=${EE_RUN_REGISTRY_PORT:-$((port + 1))}
sample_port=${EE_RUN_SAMPLE_PORT:-$((agent_port + 10))}
url=http://127.0.0.1:$port
. tools/run-engine.sh
mkdir -p "$root/cp" "$root/agent-1/run" "$root/agent-2/run"
chmod 700 "$root" "$root/cp" "$root/agent-1" "$root/agent-2"

password=$(head -c 18 /dev/urandom | base64 | tr '+/' 'xy')
password_hash=$(printf %s "$password" | "$bin/ee-cp" hash-password)

pids=()
token='' key='' account=''
stop() {
  trap - INT TERM EXIT
  echo; echo "stopping ..."
  [ -z "$account" ] || key='' stop_deployments 2>/dev/null || echo "a deployment did not stop"
  for ((i = ${#pids[@]} - 1; i >= 0; i--)); do kill -TERM "${pids[$i]}" 2>/dev/null || true; done
  local status=0
  for pid in "${pids[@]}"; do wait "$pid" || status=1; done
  stop_engine
  [ "$status" = 0 ] && echo "stopped cleanly" || echo "a process did not stop cleanly: see $root/*.log"
  exit $((status | ${1:-0}))
}
trap stop INT TERM
trap 'stop $?' EXIT

if start_engine "$registry_port"; then
  runtime=auto
else
  echo "no containers: $why; the agents only pretend to run them"
  runtime=fake
  image=$registry/hello@sha256:$(printf 'sample app' | sha256sum | cut -d ' ' -f 1)
fi

# setsid: a Ctrl-C at the terminal reaches this script only, which then stops the processes in order.
env -i PATH="$PATH" EE_ENV=dev EE_CLUSTER_ID=dev EE_ALLOW_EMULATED_TDX=1 EE_BIND="127.0.0.1:$port" EE_PUBLIC_URL="$url" \
  EE_REGISTRY_INSECURE_HOSTS="$registry" EE_REGISTRY_ALLOWED_PRIVATE_HOSTS="$registry" \
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
    EE_AGENT_CONTAINER_RUNTIME="$runtime" ${engine:+EE_AGENT_CONTAINER_SOCKET="$engine"} \
    setsid "$bin/ee-agent" run >"$root/agent-$n.log" 2>&1 &
  pids+=($!)
done

token=$(curl -fsS "$url/admin/login" -H 'Content-Type: application/json' -d "{\"password\":\"$password\",\"mode\":\"token\"}" |
  sed -n 's/.*"token":"\([^"]*\)".*/\1/p')
[ -n "$token" ] || fail "sign-in failed:" "$root/ee-cp.log"
# A call as administrator, or as the sample's deployer once there is a key: method, path, body, further options.
call() {
  local method=$1 path=$2 body=${3:-}
  shift $(($# < 3 ? $# : 3))
  curl -sS -m 20 -X "$method" "$url$path" -H "Authorization: Bearer ${key:-$token}" "$@" \
    ${body:+-H 'Content-Type: application/json' -d "$body"}
}
# The first string of that name in a JSON text.
text_of() { grep -o "\"$1\":\"[^\"]*\"" | head -n 1 | cut -d '"' -f 4; }
state_of() { call GET "/api/v1/deployments/$1" | text_of state; }
await_state() {
  local state=''
  for _ in $(seq 200); do
    state=$(state_of "$1") || true
    [ "$state" = "$2" ] && return 0
    case $state in failed | terminated | stopped) return 1 ;; esac
    sleep 0.1
  done
  return 1
}
# An administrator's stop ends as `terminated`, the owner's as `stopped`.
await_end() {
  for _ in $(seq 200); do
    case $(state_of "$1") in stopped | failed | terminated) return 0 ;; esac
    sleep 0.1
  done
  return 1
}
# Those of the account that have not ended, whoever made them: their containers must not outlive the agents.
stop_deployments() {
  local id state
  for id in $(call GET "/api/v1/deployments?account_id=$account&limit=20" | grep -oE '"id":"[^"]{36}","group_id"' | cut -d '"' -f 4); do
    state=$(state_of "$id") || true
    case $state in stopped | failed | terminated) continue ;; esac
    call POST "/api/v1/deployments/$id/stop" '{}' -o /dev/null && await_end "$id" || return 1
  done
}
ready_agents() {
  curl -fsS "$url/api/v1/agents?health_status=healthy" -H "Authorization: Bearer $token" |
    grep -o '"vm_name":"dev-agent-[12]"' | sort -u | wc -l
}
for _ in $(seq 300); do
  [ "$(ready_agents)" = 2 ] && break
  sleep 0.1
done
[ "$(ready_agents)" = 2 ] || fail "the agents did not become healthy:" "$root/agent-1.log"

# The sample app. Its account survives between runs; its key and its deployment do not.
account=$(call GET '/api/v1/accounts?limit=200' | grep -o '"id":"[^"]*","name":"dev"' | text_of id) || true
if [ -z "$account" ]; then
  account=$(call POST /api/v1/accounts '{"name":"dev","account_type":"deployer"}' | text_of id) || true
  [ -n "$account" ] || fail "the account dev was not made:" "$root/ee-cp.log"
fi
call POST "/api/v1/accounts/$account/credit" '{"amount":"100.000000","reason":"make run"}' \
  -H 'Idempotency-Key: make-run' -o /dev/null
stop_deployments || fail "deployments of an earlier run do not stop:" "$root/ee-cp.log"
key=$(call POST "/api/v1/accounts/$account/api-keys" '{"name":"make-run-'"$(date +%s)"'","expires_in_seconds":86400,"reason":"make run"}' |
  grep -oE 'ee_live_[a-z2-7]{16}_[0-9A-Za-z]{49}' | head -n 1) || fail "no API key:" "$root/ee-cp.log"
compose="services: {web: {image: \\\"$image\\\", init: true, ports: [\\\"$sample_port:80\\\"]}}"
answer=$(call POST /api/v1/deploy "{\"service\":\"hello\",\"access\":\"public\",\"health_path\":\"/\",\"compose\":\"$compose\",
  \"ingress\":[{\"path_prefix\":\"/\",\"port\":$sample_port}]}")
deployment=$(printf %s "$answer" | grep -o '"deployments":\[{"id":"[^"]*' | cut -d '"' -f 6) || true
[ -n "$deployment" ] || { echo "$answer" >&2; fail "the sample was not deployed:" "$root/ee-cp.log"; }
await_state "$deployment" running || { call GET "/api/v1/deployments/$deployment" >&2; fail "the sample does not run:" "$root/ee-cp.log"; }
for _ in $(seq 50); do
  page=$(curl -fsS -m 5 "$url/proxy/hello/" 2>/dev/null) && break
  sleep 0.1
done
[ -n "${page:-}" ] || fail "the sample does not answer:" "$root/ee-cp.log"

cat <<TEXT

easyenclave is running: 2 agents registered, attested (emulated TDX) and healthy.
The sample app answers at $url/proxy/hello/

  control plane  $url
  API key        $key (account dev)
  sample image   $image
  admin password $password
  logs           $root/ee-cp.log, $root/agent-1.log, $root/agent-2.log

Try:
  curl -s $url/proxy/hello/
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

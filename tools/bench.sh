#!/usr/bin/env bash
# make bench: the speed targets, each beside its peer in the same run; ratios, since machines differ.
#   P1 DCAP verification    P2 /health beside nginx    P3 heartbeats of 100,000 agents    P4 a page of 50 of 100,000
#   P5 deploys among 100,000 agents
#   P6 hourly charge of 1,000,000 running deployments
#   P7 the proxy beside nginx proxy_pass: requests, transfers, WebSockets, events (report: build/bench/p7_report.txt)
#   P8 start to /ready and idle memory
#   P9 registrations        P10 garbage at register (CPU of the server)
# and a fleet that beats, loses its control plane and comes back: small by default, 100,000 agents, 60 s and an outage of
# five minutes with BENCH_SCALE=1.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
tools/install-packages.sh
cmake --preset bench >/dev/null
ninja -C build/bench ee-cp agent_load charging_load deploy_load fleet_load dcap_bench http_server_load proxy_load | tail -n 1
bin=build/bench
seconds=${BENCH_SECONDS:-5}
dir=$(mktemp -d)
pid=
source bench/processes.sh
stop() { [ -z "$pid" ] || stop_process "$pid"; pid=; }
trap 'stop; rm -rf "$dir"' EXIT
port=18180
url=http://127.0.0.1:$port
password=benchmark-password
hash=$(printf %s "$password" | "$bin/ee-cp" hash-password)

start() {  # start NAME [VARIABLE=VALUE]...: ee-cp on $dir/NAME.db
  env -i PATH="$PATH" EE_ENV=dev EE_CLUSTER_ID=dev EE_ALLOW_EMULATED_TDX=1 EE_BIND="127.0.0.1:$port" EE_PUBLIC_URL="$url" \
    EE_DATABASE_URL="sqlite:$dir/$1.db" EE_TRUSTED_PROXIES=127.0.0.0/8 EE_RATE_LIMIT_SCALE=1000 EE_LOG_LEVEL=error \
    ADMIN_PASSWORD_HASH="$hash" "${@:2}" "$bin/ee-cp" serve >"$dir/$1.log" 2>&1 &
  pid=$!
  for _ in $(seq 200); do fetch --max-time 5 -o /dev/null "$url/ready" 2>/dev/null && return; sleep 0.1; done
  echo "ee-cp did not start" >&2; tail -n 5 "$dir/$1.log" >&2; exit 1
}
token() {
  fetch "$url/admin/login" -H 'Content-Type: application/json' -d "{\"password\":\"$password\",\"mode\":\"token\"}" |
    sed -n 's/.*"token":"\([^"]*\)".*/\1/p'
}
cpu_ticks() { awk '{print $14 + $15}' "/proc/$pid/stat"; }
load() { "$bin/bench/agent_load" --port "$port" --seconds "${load_seconds:-$seconds}" "$@"; }
cpu_each() {  # cpu_each NAME COMMAND...: runs it; CPU of the server for each answer
  local name=$1 before after result answers
  shift
  before=$(cpu_ticks)
  result=$("$@")
  after=$(cpu_ticks)
  answers=$(sed 's/.*"answers":\([0-9]*\).*/\1/' <<<"$result")
  echo "$result"
  awk -v t=$((after - before)) -v n="$answers" -v hz="$(getconf CLK_TCK)" -v name="$name" \
    'BEGIN {printf "%s: %.1f us of CPU each\n", name, n ? t / hz * 1e6 / n : 0}'
}

echo "== P1: DCAP verification beside one OpenSSL P-256 verification (target: warm <= 2.5, cold <= 20)"
"$bin/bench/dcap_bench" | tail -n 1
echo "== P2: GET /health, one io thread, beside nginx return 200 on one worker (target >= 0.7)"
bench/p2_health.sh "$bin/bench/http_server_load" "$seconds" || true

echo "== P3: heartbeats, 100,000 known agents (target >= 30,000/s on 2 cores, warm)"
"$bin/bench/agent_load" seed --database "$dir/large.db" --agents 100000 --out "$dir/large.agents"
start large
# The first beat of each agent since the start: its credential is verified, its health is written.
load_seconds=120 cpu_each "heartbeats, cold" load heartbeats --agents "$dir/large.agents" --connections 64 --max-requests 100000
# The second: the credential is read again, since the cache's time to live is shorter than the first pass.
load_seconds=120 cpu_each "heartbeats, read again" load heartbeats --agents "$dir/large.agents" --connections 64 --max-requests 100000
load_seconds=20 cpu_each "heartbeats, warm" load heartbeats --agents "$dir/large.agents" --connections 64
awk '/VmRSS/ {printf "memory of the control plane: %d MiB\n", $2 / 1024}' "/proc/$pid/status"
echo "== authenticated requests, warm cache, beside unauthenticated ones (target ratio >= 0.8)"
load auth --agents "$dir/large.agents" --connections 64
echo "== P4: a page of 50 of 100,000 agents (target p99 <= 5 ms, as at 1,000)"
load list --token "$(token)" --connections 1
stop
"$bin/bench/agent_load" seed --database "$dir/small.db" --agents 1000 --out "$dir/small.agents"
start small
load list --token "$(token)" --connections 1
stop

echo "== P5: deploys claimed durably among 100,000 agents (target >= 1,000/s, no agent given twice)"
"$bin/bench/deploy_load" seed --database "$dir/deploys.db" --agents 100000 --out "$dir/deploys.keys"
start deploys EE_DEPLOY_MAX_ACTIVE=10000
"$bin/bench/deploy_load" deploy --port "$port" --seconds "$seconds" --connections 64 --keys "$dir/deploys.keys"
stop
echo "== P6: hourly charge of 1,000,000 running deployments of 10,000 accounts (target <= 30 s, < 256 MiB, exact)"
"$bin/bench/charging_load" --segments "${BENCH_SEGMENTS:-1000000}" --dir "$dir"
echo "== P7: proxied requests, transfers, WebSockets and events beside nginx proxy_pass, one thread each (goals: 03 section 9.9)"
{ date -u; bench/p7_proxy.sh "$bin/ee-cp" "$bin/bench/proxy_load" $(((seconds * 2 + 4) / 5)) || true; } |
  tee "$bin/p7_report.txt"
echo "== P8: start to /ready with a database, idle memory (target <= 300 ms, <= 64 MiB)"
bench/p8_start.py "$bin/ee-cp"
echo "== P9: registrations, challenge to 201, DCAP, durable (target >= 500/s)"
start registrations
load register --connections 32 --audience "$url"
echo "== P10: garbage at register (target <= 50 us of CPU each)"
for kind in size base64 truncated; do
  cpu_each "garbage $kind" load garbage --kind "$kind" --connections 8
done
stop

if [ -n "${BENCH_SCALE:-}" ]; then
  fleet=100000 times=(--warm 60 --steady 60 --outage 300 --after 240 --refreshing 10000)
else
  fleet=5000 times=(--warm 60 --steady 10 --outage 5 --after 65 --refreshing 500)
fi
echo "== a fleet of $fleet agents (p99 < 50 ms, <= 3 transactions/s, memory, everybody back, nobody marked wrongly)"
"$bin/bench/agent_load" seed --database "$dir/fleet.db" --agents "$fleet" --out "$dir/fleet.agents"
env -i PATH="$PATH" EE_ENV=dev EE_CLUSTER_ID=dev EE_ALLOW_EMULATED_TDX=1 EE_BIND="127.0.0.1:$port" EE_PUBLIC_URL="$url" \
  EE_DATABASE_URL="sqlite:$dir/fleet.db" EE_TRUSTED_PROXIES=127.0.0.0/8 EE_RATE_LIMIT_SCALE=1000 EE_LOG_LEVEL=error \
  ADMIN_PASSWORD_HASH="$hash" "$bin/bench/fleet_load" --server "$bin/ee-cp" --port "$port" --audience "$url" \
  --agents "$dir/fleet.agents" --database "$dir/fleet.db" --log "$dir/fleet.log" "${times[@]}" || true

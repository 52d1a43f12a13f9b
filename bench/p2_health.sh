#!/bin/bash
# P2: GET /health, one io thread, keep-alive, against nginx `return 200` with one worker, by the same load generator in
# the same run. Prints each measurement and the ratio of the medians; fails below 0.7.
# Usage: bench/p2_health.sh path/to/http_server_load [seconds per run] [runs] [connections]
set -euo pipefail
server=${1:?path of http_server_load}
seconds=${2:-5}
runs=${3:-3}
connections=${4:-64}
needed=()
source "$(dirname "${BASH_SOURCE[0]}")/beside_nginx.sh"

stop_server() {
  exec 3>&-
  for _ in $(seq 100); do kill -0 "$server_pid" 2>/dev/null || break; sleep 0.1; done
  stop_process "$server_pid"
}
mkfifo "$dir/stdin"
"${pin_server[@]}" "$server" <"$dir/stdin" >"$dir/url" & server_pid=$!
exec 3>"$dir/stdin"
for _ in $(seq 100); do [ -s "$dir/url" ] && break; sleep 0.05; done
url=$(cat "$dir/url")/health

port=$((20000 + RANDOM % 20000))
start_nginx nginx "${pin_server[@]}" <<CONF
  server {
    listen 127.0.0.1:$port;
    location = /health { default_type application/json; return 200 '{"status":"ok"}'; }
  }
CONF

measure() {  # requests per second of one run
  run_wrk -c"$connections" -d"${seconds}s" "$1" | awk '/Requests\/sec/ {print int($2)}'
}
ours=() theirs=()
for _ in $(seq "$runs"); do
  ours+=("$(measure "$url")")
  theirs+=("$(measure "http://127.0.0.1:$port/health")")
done
a=$(median 1 "${ours[@]}") b=$(median 1 "${theirs[@]}")
echo "ours:  ${ours[*]} (median $a requests/s)"
echo "nginx: ${theirs[*]} (median $b requests/s)"
ratio=$(awk -v a="$a" -v b="$b" 'BEGIN {printf "%.2f", a / b}')
echo "P2 ratio: $ratio (target >= 0.70)"
awk -v r="$ratio" 'BEGIN {exit r < 0.70}'

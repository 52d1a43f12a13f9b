#!/bin/bash
# P2: GET /health, one io thread, keep-alive, against nginx `return 200` with one worker, by the same load generator in
# the same run. Prints each measurement and the ratio of the medians; fails below 0.7.
# Usage: bench/p2_health.sh path/to/http_server_load [seconds per run] [runs] [connections]
set -euo pipefail
server=${1:?path of http_server_load}
seconds=${2:-5}
runs=${3:-3}
connections=${4:-64}
for tool in wrk nginx; do command -v "$tool" >/dev/null || { echo "skipped: no $tool (apt install $tool)"; exit 0; }; done

dir=$(mktemp -d)
cleanup() {
  [ -f "$dir/nginx.pid" ] && kill "$(cat "$dir/nginx.pid")" 2>/dev/null || true
  exec 3>&- || true
  [ -n "${server_pid:-}" ] && wait "$server_pid" 2>/dev/null || true
  rm -rf "$dir"
}
trap cleanup EXIT

# Both sides on the first processor, the load on the others, where there are others.
pin_server=() pin_load=()
if [ "$(nproc)" -gt 1 ]; then pin_server=(taskset -c 0); pin_load=(taskset -c "1-$(($(nproc) - 1))"); fi

mkfifo "$dir/stdin"
"${pin_server[@]}" "$server" <"$dir/stdin" >"$dir/url" & server_pid=$!
exec 3>"$dir/stdin"
for _ in $(seq 100); do [ -s "$dir/url" ] && break; sleep 0.05; done
url=$(cat "$dir/url")/health

port=$((20000 + RANDOM % 20000))
cat >"$dir/nginx.conf" <<CONF
pid $dir/nginx.pid;
error_log $dir/error.log;
worker_processes 1;
events { worker_connections 4096; }
http {
  access_log off;
  keepalive_requests 1000000000;
  client_body_temp_path $dir/body; proxy_temp_path $dir/proxy; fastcgi_temp_path $dir/fastcgi;
  uwsgi_temp_path $dir/uwsgi; scgi_temp_path $dir/scgi;
  server {
    listen 127.0.0.1:$port;
    location = /health { default_type application/json; return 200 '{"status":"ok"}'; }
  }
}
CONF
"${pin_server[@]}" nginx -c "$dir/nginx.conf" -e "$dir/error.log"
for _ in $(seq 100); do [ -s "$dir/nginx.pid" ] && break; sleep 0.05; done

measure() {  # requests per second of one run; any answer but 2xx is a failure
  local out
  out=$("${pin_load[@]}" wrk -t1 -c"$connections" -d"${seconds}s" "$1")
  if grep -qE 'Non-2xx|Socket errors' <<<"$out"; then echo "$out" >&2; return 1; fi
  awk '/Requests\/sec/ {print int($2)}' <<<"$out"
}
ours=() theirs=()
for _ in $(seq "$runs"); do
  ours+=("$(measure "$url")")
  theirs+=("$(measure "http://127.0.0.1:$port/health")")
done
median() { printf '%s\n' "$@" | sort -n | sed -n "$((($# + 1) / 2))p"; }
a=$(median "${ours[@]}") b=$(median "${theirs[@]}")
echo "ours:  ${ours[*]} (median $a requests/s)"
echo "nginx: ${theirs[*]} (median $b requests/s)"
ratio=$(awk -v a="$a" -v b="$b" 'BEGIN {printf "%.2f", a / b}')
echo "P2 ratio: $ratio (target >= 0.70)"
awk -v r="$ratio" 'BEGIN {exit r < 0.70}'

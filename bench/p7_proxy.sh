#!/bin/bash
# P7: requests for workloads through ee-cp, one io thread, beside nginx `proxy_pass` with one worker and keep-alive to
# the backend, both with their request log on: the same origin (nginx), the same client (wrk), the same requests, in the
# same run. Prints the medians and the ratios (03 section 9.9); fails below 0.8 of nginx's throughput or above 1.3 times
# its latency. covers: S03_PRX_020 (requests and downloads; uploads, WebSockets and events have no load here yet)
# Usage: bench/p7_proxy.sh path/to/ee-cp [seconds per run] [runs] [connections]
set -euo pipefail
cp_program=${1:?path of ee-cp}
seconds=${2:-5}
runs=${3:-3}
connections=${4:-64}
services=32  # with limits of their own; together far above what one thread can do
here=$(dirname "${BASH_SOURCE[0]}")
for tool in wrk nginx python3; do
  command -v "$tool" >/dev/null || { echo "skipped: no $tool (apt install $tool)"; exit 0; }
done

dir=$(mktemp -d)
cp_pid=
cleanup() {
  [ -n "$cp_pid" ] && kill -TERM "$cp_pid" 2>/dev/null && wait "$cp_pid" 2>/dev/null || true
  for name in origin nginx; do [ -f "$dir/$name.pid" ] && kill "$(cat "$dir/$name.pid")" 2>/dev/null || true; done
  [ -n "${P7_KEEP:-}" ] || rm -rf "$dir"
}
trap cleanup EXIT

# Both proxies on the first processor, origin and load on the others, where there are others.
pin_proxy=() pin_rest=()
if [ "$(nproc)" -gt 1 ]; then pin_proxy=(taskset -c 0); pin_rest=(taskset -c "1-$(($(nproc) - 1))"); fi
base=$((20000 + RANDOM % 20000))
origin=http://127.0.0.1:$base
nginx_url=http://127.0.0.1:$((base + 1))
cp_url=http://127.0.0.1:$((base + 2))

chmod 755 "$dir"  # nginx started by root reads files as nobody
mkdir "$dir/files"
head -c 1024 /dev/zero | tr '\0' x >"$dir/files/small"
head -c 1048576 /dev/zero | tr '\0' x >"$dir/files/large"
temp_paths="client_body_temp_path $dir/body; proxy_temp_path $dir/proxy; fastcgi_temp_path $dir/fastcgi;
  uwsgi_temp_path $dir/uwsgi; scgi_temp_path $dir/scgi;"
cat >"$dir/origin.conf" <<CONF
pid $dir/origin.pid;
error_log $dir/error.log;
worker_processes 1;
events { worker_connections 4096; }
http {
  access_log off;
  sendfile on;
  tcp_nopush on;
  open_file_cache max=10;
  keepalive_requests 1000000000;
  $temp_paths
  server {
    listen 127.0.0.1:$base;
    root $dir/files;
    add_header X-EE-Agent bench always;
  }
}
CONF
cat >"$dir/nginx.conf" <<CONF
pid $dir/nginx.pid;
error_log $dir/error.log;
worker_processes 1;
events { worker_connections 4096; }
http {
  access_log $dir/access.log;
  keepalive_requests 1000000000;
  $temp_paths
  upstream origin { server 127.0.0.1:$base; keepalive 64; keepalive_requests 1000000000; }
  server {
    listen 127.0.0.1:$((base + 1));
    location /proxy/ {
      rewrite ^/proxy/[^/]+/(.*)\$ /\$1 break;
      proxy_pass http://origin;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_set_header X-Forwarded-For \$proxy_add_x_forwarded_for;
      proxy_set_header X-Forwarded-Proto \$scheme;
      proxy_set_header X-Forwarded-Host \$host;
      proxy_set_header X-Real-IP \$remote_addr;
    }
  }
}
CONF
# Many senders: the proxy limits each address.
cat >"$dir/load.lua" <<LUA
local requests, at = {}, 0
function init(args)
  for i = 1, 4096 do
    requests[i] = wrk.format("GET", "/proxy/s" .. (i % $services) .. "/" .. args[1],
      {["X-Forwarded-For"] = "10." .. math.floor(i / 256) % 256 .. "." .. i % 256 .. ".1"})
  end
end
function request()
  at = at % 4096 + 1
  return requests[at]
end
LUA

start_cp() {
  env -i PATH="$PATH" EE_ENV=dev EE_CLUSTER_ID=dev EE_ALLOW_EMULATED_TDX=1 EE_BIND="127.0.0.1:$((base + 2))" \
    EE_PUBLIC_URL="$cp_url" EE_DATABASE_URL="sqlite:$dir/cp.db" EE_TRUSTED_PROXIES=127.0.0.0/8 EE_HTTP_THREADS=1 \
    EE_RATE_LIMIT_SCALE=1000 EE_PROXY_MAX_SERVICE_RPS=100000 EE_AGENT_DIRECT_URL_CIDRS=127.0.0.0/8 \
    "${pin_proxy[@]}" "$cp_program" serve >"$dir/cp.log" 2>&1 &
  cp_pid=$!
  for _ in $(seq 300); do curl -fsS -o /dev/null "$cp_url/ready" 2>/dev/null && return; sleep 0.1; done
  echo "ee-cp did not start" >&2; tail -n 5 "$dir/cp.log" >&2; exit 1
}
start_cp  # makes the tables
kill -TERM "$cp_pid"; wait "$cp_pid" || true
python3 "$here/p7_proxy.py" "$dir/cp.db" "$origin" "$services"
"${pin_rest[@]}" nginx -c "$dir/origin.conf" -e "$dir/error.log"
"${pin_proxy[@]}" nginx -c "$dir/nginx.conf" -e "$dir/error.log"
start_cp
for url in "$cp_url" "$nginx_url"; do
  for name in small large; do
    [ "$(curl -fsS "$url/proxy/s1/$name" | wc -c)" = "$(wc -c <"$dir/files/$name")" ] ||
      { echo "$url does not pass $name" >&2; tail -n 3 "$dir/cp.log" >&2; exit 1; }
  done
done

cpu_ticks() {  # of ee-cp or nginx's worker
  local id=$cp_pid
  [ "$1" = "$cp_url" ] || id=$(cat "/proc/$(cat "$dir/nginx.pid")/task/"*/children)
  awk '{print $14 + $15}' "/proc/${id// /}/stat"
}
measure() {  # measure URL NAME CONNECTIONS: requests/s, p50, p99, CPU of each in microseconds; only 2xx may come
  local out before
  before=$(cpu_ticks "$1")
  out=$("${pin_rest[@]}" wrk -t1 -c"$3" -d"${seconds}s" --latency -s "$dir/load.lua" "$1" -- "$2")
  if grep -qE 'Non-2xx|Socket errors' <<<"$out"; then echo "$out" >&2; return 1; fi
  awk -v ticks=$(($(cpu_ticks "$1") - before)) -v hz="$(getconf CLK_TCK)" 'function us(text) { return text * (text ~ /us$/ ? 1 : text ~ /ms$/ ? 1000 : 1000000) }
    /^ *50%/ {p50 = us($2)} /^ *99%/ {p99 = us($2)} / requests in / {n = $1}
    /Requests\/sec/ {print $2, p50, p99, ticks / hz * 1e6 / n}' <<<"$out"
}
column() { printf '%s\n' "${@:2}" | awk -v c="$1" '{print $c}' | sort -n | sed -n "$((($# - 1 + 1) / 2))p"; }
memory() { awk '/VmRSS/ {print int($2 / 1024)}' "/proc/$cp_pid/status"; }

failed=0
compare() {  # compare LABEL NAME CONNECTIONS
  local ours=() theirs=()
  measure "$cp_url" "$2" "$3" >/dev/null
  measure "$nginx_url" "$2" "$3" >/dev/null
  for _ in $(seq "$runs"); do
    ours+=("$(measure "$cp_url" "$2" "$3")")
    theirs+=("$(measure "$nginx_url" "$2" "$3")")
  done
  awk -v label="$1" -v rate="$(column 1 "${ours[@]}")" -v p50="$(column 2 "${ours[@]}")" -v p99="$(column 3 "${ours[@]}")" \
    -v nrate="$(column 1 "${theirs[@]}")" -v np50="$(column 2 "${theirs[@]}")" -v np99="$(column 3 "${theirs[@]}")" \
    -v cpu="$(column 4 "${ours[@]}")" -v ncpu="$(column 4 "${theirs[@]}")" -v memory="$(memory)" 'BEGIN {
      printf "%s: ours %.0f/s p50 %.0f us p99 %.0f us, nginx %.0f/s p50 %.0f us p99 %.0f us, memory %d MiB\n",
        label, rate, p50, p99, nrate, np50, np99, memory
      printf "P7 %s: throughput %.2f (target >= 0.80), p50 %.2f, p99 %.2f (targets <= 1.30); CPU each %.0f and %.0f us\n",
        label, rate / nrate, p50 / np50, p99 / np99, cpu, ncpu
      exit rate / nrate < 0.8 || p50 / np50 > 1.3 }' || failed=1
}
compare "1 KiB, $connections connections" small "$connections"
compare "1 MiB, 8 connections" large 8
exit $failed

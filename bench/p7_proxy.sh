#!/bin/bash
# P7, covers: S03_PRX_020. Requests for workloads through ee-cp, one io thread, beside nginx `proxy_pass` with one worker
# and keep-alive to the backend, both with their request log on: the same origins, the same clients, the same requests,
# in turns, in the same run. Prints the medians and the ratios beside the goals (03 section 9.9); fails when one is missed.
# Usage: bench/p7_proxy.sh path/to/ee-cp path/to/proxy_load [seconds per run] [runs]
set -euo pipefail
cp_program=${1:?path of ee-cp}
load_program=${2:?path of proxy_load}
seconds=${3:-2}
runs=${4:-3}
half=$(awk -v s="$seconds" 'BEGIN {print s / 2}')  # for transfers: many GiB all the same
services=32 private=8  # with limits of their own; together far above what one thread can do
here=$(dirname "${BASH_SOURCE[0]}")
needed=(python3 curl)
source "$here/beside_nginx.sh"

base=$((20000 + RANDOM % 12000))  # below the ports that connections get
files_port=$base nginx_port=$((base + 1)) cp_port=$((base + 2)) live_port=$((base + 3))
nginx_url=http://127.0.0.1:$nginx_port
cp_url=http://127.0.0.1:$cp_port
password=benchmark-password
hash=$(printf %s "$password" | "$cp_program" hash-password)

cp_pid= live_pid=
start_cp() {
  env -i PATH="$PATH" EE_ENV=dev EE_CLUSTER_ID=dev EE_BIND="127.0.0.1:$cp_port" EE_PUBLIC_URL="$cp_url" \
    EE_DATABASE_URL="sqlite:$dir/cp.db" EE_TRUSTED_PROXIES=127.0.0.0/8 EE_HTTP_THREADS=1 EE_RATE_LIMIT_SCALE=1000 \
    EE_PROXY_MAX_SERVICE_RPS=100000 EE_AGENT_DIRECT_URL_CIDRS=127.0.0.0/8 ADMIN_PASSWORD_HASH="$hash" \
    "${pin_server[@]}" "$cp_program" serve >"$dir/cp.log" 2>&1 &
  cp_pid=$!
  for _ in $(seq 300); do
    fetch --max-time 5 -o /dev/null "$cp_url/ready" 2>/dev/null && return
    kill -0 "$cp_pid" 2>/dev/null || break
    sleep 0.1
  done
  echo "ee-cp did not start" >&2; tail -n 5 "$dir/cp.log" >&2; exit 1
}
stop_cp() { stop_process "$cp_pid"; cp_pid=; }
stop_server() {
  [ -z "$live_pid" ] || stop_process "$live_pid" 5  # first: it has our output open, and whoever reads that waits for it
  [ -z "$cp_pid" ] || stop_cp
}

# --- the origins: files by nginx, what moves by proxy_load; and the two proxies
mkdir "$dir/files"
head -c 1024 /dev/zero | tr '\0' x >"$dir/files/small"
head -c $((100 * 1024 * 1024)) /dev/zero | tr '\0' x >"$dir/files/large"
start_nginx files "${pin_rest[@]}" <<CONF
  sendfile on;
  tcp_nopush on;
  open_file_cache max=10;
  server {
    listen 127.0.0.1:$files_port;
    root $dir/files;
    add_header X-EE-Agent bench always;
  }
CONF
"${pin_rest[@]}" "$load_program" origin --port "$live_port" &
live_pid=$!
# Streamed as ours: nothing goes to a disk, and events go on at once.
start_nginx nginx "${pin_server[@]}" <<CONF
  access_log $dir/access.log;
  client_max_body_size 0;
  proxy_http_version 1.1;
  proxy_request_buffering off;
  proxy_max_temp_file_size 0;
  proxy_set_header Connection \$connection_field;
  proxy_set_header Upgrade \$http_upgrade;
  proxy_set_header X-Forwarded-For \$proxy_add_x_forwarded_for;
  proxy_set_header X-Forwarded-Proto \$scheme;
  proxy_set_header X-Forwarded-Host \$host;
  proxy_set_header X-Real-IP \$remote_addr;
  map \$http_upgrade \$connection_field { default upgrade; "" ""; }
  upstream files { server 127.0.0.1:$files_port; keepalive 64; keepalive_requests 1000000000; }
  upstream live { server 127.0.0.1:$live_port; keepalive 64; keepalive_requests 1000000000; }
  server {
    listen 127.0.0.1:$nginx_port;
    location /proxy/s { rewrite ^/proxy/[^/]+/(.*)\$ /\$1 break; proxy_pass http://files; }
    location /proxy/w { rewrite ^/proxy/[^/]+/(.*)\$ /\$1 break; proxy_pass http://live; proxy_buffering off; }
  }
CONF
for port in "$files_port" "$live_port"; do until_answers "http://127.0.0.1:$port/small"; done
until_answers "$nginx_url/proxy/s1/small"
start_cp  # makes the tables
stop_cp
add_services() { python3 "$here/p7_proxy.py" "$dir/cp.db" "$@"; }
add_services s "$services" public "http://127.0.0.1:$files_port" >/dev/null
add_services w "$services" public "http://127.0.0.1:$live_port" >/dev/null
add_services a "$private" account "http://127.0.0.1:$files_port" >"$dir/accounts"
start_cp
token=$(fetch "$cp_url/admin/login" -H 'Content-Type: application/json' \
  -d "{\"password\":\"$password\",\"mode\":\"token\"}" | sed -n 's/.*"token":"\([^"]*\)".*/\1/p')
while read -r account; do
  fetch "$cp_url/api/v1/accounts/$account/api-keys" -H "Authorization: Bearer $token" \
    -H 'Content-Type: application/json' -d '{"name":"bench","reason":"bench"}' |
    grep -o 'ee_live_[a-z0-9]*_[A-Za-z0-9_-]\+' | head -n 1
done <"$dir/accounts" >"$dir/keys"
[ "$(wc -l <"$dir/keys")" = "$private" ] || { echo "no API keys were made" >&2; exit 1; }
for url in "$cp_url" "$nginx_url"; do
  for name in small large; do
    [ "$({ fetch --max-time 120 "$url/proxy/s1/$name" || true; } | wc -c)" = "$(wc -c <"$dir/files/$name")" ] ||
      { echo "$url does not pass $name" >&2; tail -n 3 "$dir/cp.log" >&2; exit 1; }
  done
done

# --- the measurements: each COMMAND PROXY, where PROXY is cp or nginx, prints one line of numbers
pid_of() { if [ "$1" = cp ]; then echo "$cp_pid"; else nginx_worker nginx; fi; }
cpu_ticks() { awk '{print $14 + $15}' "/proc/$(pid_of "$1")/stat"; }
memory() { awk -v name="$2:" '$1 == name {print $2}' "/proc/$(pid_of "$1")/status"; }  # memory PROXY VmRSS|VmHWM: KiB
port_of() { if [ "$1" = cp ]; then echo "$cp_port"; else echo "$nginx_port"; fi; }

# Many senders: the proxy limits each address. Services of kind `a` take a key.
cat >"$dir/load.lua" <<'LUA'
local requests, at = {}, 0
function init(args)
  local kind, services, keys = args[1], tonumber(args[2]), {}
  if kind == "a" then for key in io.lines(args[3]) do keys[#keys + 1] = key end end
  for i = 1, 4096 do
    local n = i % services
    local fields = {["X-Forwarded-For"] = "10." .. math.floor(i / 256) % 256 .. "." .. i % 256 .. ".1"}
    if keys[n + 1] then fields["Authorization"] = "Bearer " .. keys[n + 1] end
    requests[i] = wrk.format("GET", "/proxy/" .. kind .. n .. "/small", fields)
  end
end
function request()
  at = at % 4096 + 1
  return requests[at]
end
LUA
requests() {  # requests KIND SERVICES PROXY: requests/s, p50 and p99 in us, CPU of each in us
  local before
  before=$(cpu_ticks "$3")
  run_wrk -c64 -d"${seconds}s" --latency -s "$dir/load.lua" "http://127.0.0.1:$(port_of "$3")" -- "$1" "$2" "$dir/keys" \
    >"$dir/wrk.out"
  awk -v ticks=$(($(cpu_ticks "$3") - before)) -v hz="$(getconf CLK_TCK)" '
    function us(text) { return text * (text ~ /us$/ ? 1 : text ~ /ms$/ ? 1000 : 1000000) }
    /^ *50%/ {p50 = us($2)} /^ *99%/ {p99 = us($2)} / requests in / {n = $1}
    /Requests\/sec/ {print $2, p50, p99, ticks / hz * 1e6 / n}' "$dir/wrk.out"
}
load() {  # load NAME [OPTION]... PROXY
  "${pin_rest[@]}" timeout --foreground 300 "$load_program" "$1" --port "$(port_of "${*: -1}")" "${@:2:$#-2}"
}
transfer() {  # transfer upload|download PROXY: bytes/s, by how many KiB the memory grew at most
  local before rate
  echo 5 2>/dev/null >"/proc/$(pid_of "$2")/clear_refs" || true  # the peak counts anew
  before=$(memory "$2" VmRSS)
  rate=$(load "$1" --connections 8 --seconds "$half" "$2")
  echo "$rate $(($(memory "$2" VmHWM) - before))"
}
websockets() { load websockets --seconds "$seconds" --idle 1000 --connections 64 --pid "$(pid_of "$1")" "$1"; }
events() { load events --seconds "$seconds" --connections 200 "$1"; }

in_turns() {  # in_turns COMMAND...: runs it for both proxies, `runs` times, into ours and theirs
  ours=() theirs=()
  for _ in $(seq "$runs"); do
    ours+=("$("$@" cp)")
    theirs+=("$("$@" nginx)")
  done
}
mine() { median "$1" "${ours[@]}"; }
its() { median "$1" "${theirs[@]}"; }
failed=0
verdict() { awk "$@" || failed=1; }

requests s "$services" cp >/dev/null  # warm
requests s "$services" nginx >/dev/null
in_turns requests s "$services"
verdict -v rate="$(mine 1)" -v p50="$(mine 2)" -v p99="$(mine 3)" -v cpu="$(mine 4)" \
  -v nrate="$(its 1)" -v np50="$(its 2)" -v np99="$(its 3)" -v ncpu="$(its 4)" 'BEGIN {
    printf "1 KiB GET, 64 connections: ours %.0f/s p50 %.0f us p99 %.0f us, nginx %.0f/s p50 %.0f us p99 %.0f us\n",
      rate, p50, p99, nrate, np50, np99
    printf "P7 1 KiB GET: throughput %.2f (target >= 0.80), p50 %.2f, p99 %.2f (targets <= 1.30); CPU each %.0f and %.0f us\n",
      rate / nrate, p50 / np50, p99 / np99, cpu, ncpu
    exit rate / nrate < 0.8 || p50 / np50 > 1.3 || p99 / np99 > 1.3 }'

public=() private_ones=()
requests a "$private" cp >/dev/null  # the credentials into the cache
for _ in $(seq "$runs"); do
  public+=("$(requests s "$private" cp)")
  private_ones+=("$(requests a "$private" cp)")
done
verdict -v rate="$(median 1 "${public[@]}")" -v p50="$(median 2 "${public[@]}")" -v cpu="$(median 4 "${public[@]}")" \
  -v arate="$(median 1 "${private_ones[@]}")" -v ap50="$(median 2 "${private_ones[@]}")" \
  -v acpu="$(median 4 "${private_ones[@]}")" 'BEGIN {
    printf "access account, cached key: %.0f/s p50 %.0f us, public %.0f/s p50 %.0f us\n", arate, ap50, rate, p50
    printf "P7 account access: time of each %.2f, p50 %.2f of public (targets <= 1.10); CPU each %.0f and %.0f us\n",
      rate / arate, ap50 / p50, acpu, cpu
    exit rate / arate > 1.1 || ap50 / p50 > 1.1 }'

for way in download upload; do
  in_turns transfer "$way"
  growth=$(printf '%s\n' "${ours[@]}" | awk '{print $2}' | sort -n | tail -n 1)
  verdict -v way="$way" -v rate="$(mine 1)" -v nrate="$(its 1)" -v growth="$growth" 'BEGIN {
    printf "100 MiB %s, 8 connections: ours %.0f MiB/s, nginx %.0f MiB/s\n", way, rate / 1048576, nrate / 1048576
    printf "P7 100 MiB %s: throughput %.2f (target >= 0.80), memory grew by %.1f MiB at most (target < 64)\n",
      way, rate / nrate, growth / 1024
    exit rate / nrate < 0.8 || growth >= 65536 }'
done

stop_cp
start_cp  # what the loads before have left free would hide what a WebSocket takes
in_turns websockets
each=$(printf '%s\n' "${ours[@]}" | awk '{print $4}' | sort -n | tail -n 1)
neach=$(printf '%s\n' "${theirs[@]}" | awk '{print $4}' | sort -n | tail -n 1)
verdict -v rate="$(mine 1)" -v p99="$(mine 3)" -v each="$each" -v nrate="$(its 1)" -v np99="$(its 3)" -v neach="$neach" 'BEGIN {
    printf "1,000 idle WebSockets, 64 echo: ours %.0f/s p99 %.0f us %.1f KiB each, nginx %.0f/s p99 %.0f us %.1f KiB each\n",
      rate, p99, each, nrate, np99, neach
    printf "P7 WebSockets: p99 of an echo %.2f (target <= 1.30), %.1f KiB for each (target <= 40)\n", p99 / np99, each
    exit p99 / np99 > 1.3 || each > 40 }'

in_turns events
verdict -v rate="$(mine 1)" -v p50="$(mine 2)" -v p99="$(mine 3)" -v longest="$(mine 4)" \
  -v nrate="$(its 1)" -v np50="$(its 2)" -v np99="$(its 3)" -v nlongest="$(its 4)" 'BEGIN {
    printf "events to 200 clients, held: ours p50 %.0f us p99 %.0f us longest %.0f us (%.0f/s), nginx %.0f, %.0f, %.0f us (%.0f/s)\n",
      p50, p99, longest, rate, np50, np99, nlongest, nrate
    printf "P7 events: the longest held %.1f ms more than through nginx, p99 %.1f ms more (target <= 5)\n",
      (longest - nlongest) / 1000, (p99 - np99) / 1000
    exit longest - nlongest > 5000 }'
exit $failed

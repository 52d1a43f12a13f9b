# Sourced by what measures us beside nginx: a directory that goes with the script, processors, nginx with one worker,
# medians. Sets dir, pin_server (ours and nginx) and pin_rest (load and origins). A command that fails ends the script, in
# substitutions too.
shopt -s inherit_errexit
source "$(dirname "${BASH_SOURCE[0]}")/processes.sh"
for tool in wrk nginx "${needed[@]}"; do
  command -v "$tool" >/dev/null || { echo "skipped: no $tool (tools/install-packages.sh)"; exit 0; }
done

dir=$(mktemp -d)
chmod 755 "$dir"  # nginx started by root reads files as nobody
clean_up() {
  for file in "$dir"/*.pid; do [ -f "$file" ] && kill "$(cat "$file")" 2>/dev/null || true; done
  stop_server 2>/dev/null || true  # last: nginx has what the script had open
  [ -n "${BENCH_KEEP:-}" ] || rm -rf "$dir"
}
trap clean_up EXIT
stop_server() { :; }  # the script's own

# Both servers on the first processor, the rest on the others, where there are others.
pin_server=() pin_rest=()
if [ "$(nproc)" -gt 1 ]; then pin_server=(taskset -c 0); pin_rest=(taskset -c "1-$(($(nproc) - 1))"); fi

start_nginx() {  # start_nginx NAME [PINNED...] <http-block
  { cat <<CONF
pid $dir/$1.pid;
error_log $dir/$1.error.log;
worker_processes 1;
worker_rlimit_nofile 16384;
events { worker_connections 8192; }
http {
  access_log off;
  keepalive_requests 1000000000;
  client_body_temp_path $dir/body; proxy_temp_path $dir/proxy; fastcgi_temp_path $dir/fastcgi;
  uwsgi_temp_path $dir/uwsgi; scgi_temp_path $dir/scgi;
CONF
    cat
    echo "}"
  } >"$dir/$1.conf"
  "${@:2}" nginx -c "$dir/$1.conf" -e "$dir/$1.error.log"
  # Its master listens before there is a worker: until then connections are made and nothing is answered.
  for _ in $(seq 600); do [ -s "$dir/$1.pid" ] && [ -n "$(nginx_worker "$1" 2>/dev/null)" ] && return; sleep 0.05; done
  echo "nginx did not start" >&2
  tail -n 5 "$dir/$1.error.log" >&2
  return 1
}
nginx_worker() {
  local master
  master=$(cat "$dir/$1.pid")
  tr -d ' ' <"/proc/$master/task/$master/children"
}

run_wrk() {  # run_wrk ARGUMENT...: what wrk prints; only 2xx may come
  local out
  out=$("${pin_rest[@]}" timeout --foreground 300 wrk -t1 "$@")
  if grep -qE 'Non-2xx|Socket errors' <<<"$out"; then echo "$out" >&2; return 1; fi
  echo "$out"
}

# median COLUMN LINE...
median() { printf '%s\n' "${@:2}" | awk -v c="$1" '{print $c}' | sort -n | sed -n "$((($# - 1 + 1) / 2))p"; }

# Sourced by run.sh: a container engine and a registry for the sample, where this machine can run them. Sets `engine`
# to the engine's socket and `image` to the sample's pinned reference; without one `engine` stays empty and `why` says
# why. What it starts, `stop_engine` ends and removes.
engine='' image='' why='' engine_dir='' engine_pids=()

# A call of the engine's API: method, path, further options of curl.
engine_call() {
  local method=$1 path=$2
  shift 2
  curl -sS -m 30 --unix-socket "$engine" -X "$method" "$@" "http://engine/v1.41$path"
}

# An engine that may be used already, else one of our own: data, sockets and images below `engine_dir`.
open_engine() {
  for engine in /run/docker.sock /run/podman/podman.sock; do
    if [ -S "$engine" ] && [ -w "$engine" ]; then return 0; fi
  done
  engine=''
  [ "$(id -u)" = 0 ] || { why="no container engine that this user may use"; return 1; }
  command -v dockerd >/dev/null || { why="dockerd is not installed"; return 1; }
  engine=$engine_dir/d.sock
  setsid dockerd --host "unix://$engine" --data-root "$engine_dir/data" --exec-root "$engine_dir/exec" \
    --pidfile "$engine_dir/d.pid" --bridge none --storage-driver vfs >"$engine_dir/dockerd.log" 2>&1 &
  local pid=$!
  engine_pids+=("$pid")
  for _ in $(seq 150); do
    [ "$(engine_call GET /_ping 2>/dev/null)" = OK ] && return 0
    kill -0 "$pid" 2>/dev/null || break
    sleep 0.1
  done
  why="dockerd does not start here"
  return 1
}

open_registry() {
  command -v docker-registry >/dev/null || { why="docker-registry is not installed"; return 1; }
  printf 'version: 0.1\nlog: {level: warn}\nstorage: {filesystem: {rootdirectory: %s}}\nhttp: {addr: "%s"}\n' \
    "$engine_dir/registry" "$registry" >"$engine_dir/registry.yml"
  setsid docker-registry serve "$engine_dir/registry.yml" >"$engine_dir/registry.log" 2>&1 &
  engine_pids+=($!)
  for _ in $(seq 50); do
    curl -fsS -m 2 -o /dev/null "http://$registry/v2/" 2>/dev/null && return 0
    sleep 0.1
  done
  why="docker-registry does not start on $registry"
  return 1
}

# The sample app: a static busybox that serves one page. Built without a base image, so without any network.
push_sample() {
  command -v busybox >/dev/null || { why="busybox is not installed"; return 1; }
  local tree=$engine_dir/sample
  mkdir -p "$tree/bin" "$tree/www"
  cp "$(command -v busybox)" "$tree/bin/busybox"
  ln -sf busybox "$tree/bin/httpd"
  printf 'hello from easyenclave\n' >"$tree/www/index.html"
  local answer
  answer=$(tar -C "$tree" --numeric-owner -c . | engine_call POST \
    "/images/create?fromSrc=-&tag=1&repo=$registry/hello&changes=CMD%20%5B%22%2Fbin%2Fhttpd%22%2C%22-f%22%2C%22-v%22%2C%22-p%22%2C%2280%22%2C%22-h%22%2C%22%2Fwww%22%5D" \
    -H 'Content-Type: application/x-tar' --data-binary @-) || true
  answer=$(engine_call POST "/images/$registry/hello/push?tag=1" -H 'X-Registry-Auth: e30=') || true
  local digest
  digest=$(printf %s "$answer" | grep -o 'sha256:[0-9a-f]\{64\}' | tail -n 1) || true
  [ -n "$digest" ] || { why="the engine cannot push to $registry"; return 1; }
  image=$registry/hello@$digest
}

# Whether a container really starts here: many machines run the engine and refuse that.
try_container() {
  local name=ee-run-probe-$$ status=''
  engine_call POST /networks/create -o /dev/null -H 'Content-Type: application/json' -d "{\"Name\":\"$name\"}" || true
  engine_call POST "/containers/create?name=$name" -o /dev/null -H 'Content-Type: application/json' \
    -d "{\"Image\":\"$registry/hello:1\",\"HostConfig\":{\"NetworkMode\":\"$name\"}}" || true
  status=$(engine_call POST "/containers/$name/start" -o /dev/null -w '%{http_code}') || true
  engine_call DELETE "/containers/$name?force=true" -o /dev/null || true
  engine_call DELETE "/networks/$name" -o /dev/null || true
  [ "$status" = 204 ] || { why="the engine does not start containers here"; return 1; }
}

# With the port of the registry as argument.
start_engine() {
  registry=127.0.0.1:$1
  engine_dir=$(mktemp -d /tmp/ee-run-XXXXXX)  # short: the path of a socket has at most 107 bytes
  if ! { open_engine && open_registry && push_sample && try_container; } 2>/dev/null; then
    stop_engine
    engine='' image=''
    return 1
  fi
}

stop_engine() {
  [ -n "$engine_dir" ] || return 0
  if [ -n "$image" ]; then engine_call DELETE "/images/$registry/hello:1?force=true" -o /dev/null 2>/dev/null || true; fi
  for pid in "${engine_pids[@]}"; do kill -TERM "$pid" 2>/dev/null || true; done
  for pid in "${engine_pids[@]}"; do wait "$pid" 2>/dev/null || true; done
  engine_pids=()
  # What the engine may have left mounted.
  awk -v below="$engine_dir/" 'index($2, below) == 1 { print $2 }' /proc/self/mounts | sort -r |
    while read -r point; do umount -l "$point" 2>/dev/null || true; done
  rm -rf "$engine_dir"
  engine_dir=''
}

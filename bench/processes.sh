# Sourced by what starts servers to measure them: nothing here waits without end.

# stop_process PID [SECONDS]: asks a child of this shell to end, and ends it when it has not in that time.
stop_process() {
  kill -TERM "$1" 2>/dev/null || true
  for _ in $(seq $((${2:-60} * 10))); do kill -0 "$1" 2>/dev/null || break; sleep 0.1; done
  if kill -KILL "$1" 2>/dev/null; then echo "process $1 did not end and was killed" >&2; fi
  wait "$1" 2>/dev/null || true
}

# fetch ARGUMENT...: curl that fails on an error status, and when nothing comes.
fetch() { curl -fsS --connect-timeout 5 --max-time 30 "$@"; }

# until_answers URL [SECONDS]: waits for any answer at all.
until_answers() {
  local end=$((SECONDS + ${2:-30}))
  until curl -sS --max-time 2 -o /dev/null "$1" 2>/dev/null; do
    if [ "$SECONDS" -ge "$end" ]; then echo "no answer from $1" >&2; return 1; fi
    sleep 0.05
  done
}

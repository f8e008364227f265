#!/usr/bin/env bash
# A private Docker daemon: own socket, data, pid files and containerd, no bridge, no firewall rules.
# It never speaks to the daemon of the machine and reads none of its settings.
#
#   dockerd.sh start DIR   start it in DIR (made if absent, must be empty); prints DOCKER_HOST=...
#   dockerd.sh stop DIR    end it with all its containers, unmount what it mounted, remove DIR
#   dockerd.sh guard DIR   wait until standard input ends, then stop
#
# Exit code 77: not possible here; the last line on stderr says why.
set -uo pipefail
export PATH="$PATH:/usr/sbin:/sbin"

marker=.private-dockerd
wait_start=${DOCKERD_WAIT:-60} # seconds
wait_stop=15                   # seconds
config=${DOCKERD_CONFIG:-"{}"} # what is in its daemon.json

skip() { echo "$*" >&2; exit 77; }
die() { echo "dockerd.sh: $*" >&2; exit 1; }

# alive PIDFILE: the process of PIDFILE runs and is ours (its command line names DIR)
alive() {
  local pid
  pid=$(cat "$1" 2>/dev/null) && [ -n "$pid" ] && grep -qsF -- "$dir/" "/proc/$pid/cmdline"
}

# last_reason LOG: the message of the last error in a daemon's log, in one line
last_reason() {
  local line
  line=$(grep -E 'level=(error|fatal)|^failed|[Ee]rror' "$1" 2>/dev/null | tail -n 1)
  [ -n "$line" ] || line=$(tail -n 1 "$1" 2>/dev/null)
  printf '%s' "$line" | cut -c1-300
}

# until_true SECONDS COMMAND...: poll ten times a second
until_true() {
  local n=$(($1 * 10))
  shift
  while ! "$@"; do
    n=$((n - 1))
    [ "$n" -gt 0 ] || return 1
    sleep 0.1
  done
}

# daemonize PIDFILE LOG COMMAND...: run in a session of its own, so that Ctrl-C leaves the stopping to us
daemonize() {
  local pidfile=$1 log=$2
  shift 2
  setsid "$@" </dev/null >"$log" 2>&1 &
  echo $! >"$pidfile"
}

# Each is true too when the daemon has died, to end the waiting. Its command line is not looked at: just after
# the fork it is still the one of this script.
answers() { docker version >/dev/null 2>&1 || ! kill -0 "$(cat "$dir/dockerd.pid")" 2>/dev/null; }
has_socket() { [ -S "$dir/containerd.sock" ] || ! kill -0 "$(cat "$dir/containerd.pid")" 2>/dev/null; }

start() {
  [ "$(uname -s)" = Linux ] || skip "a Docker daemon runs on Linux only"
  [ "$(id -u)" = 0 ] || skip "a private Docker daemon needs root"
  local p
  for p in dockerd containerd runc docker setsid; do
    command -v "$p" >/dev/null 2>&1 || skip "$p is not installed"
  done
  mkdir -p "$dir" || die "cannot make $dir"
  [ -z "$(ls -A "$dir")" ] || die "$dir is not empty"
  [ ${#dir} -le 60 ] || die "$dir is too long a path for a socket"
  : >"$dir/$marker"
  mkdir -p "$dir/config"
  echo "$config" >"$dir/daemon.json"
  cat >"$dir/containerd.toml" <<EOF
version = 2
root = "$dir/containerd"
state = "$dir/containerd-state"
disabled_plugins = ["io.containerd.grpc.v1.cri"]
[grpc]
  address = "$dir/containerd.sock"
EOF
  daemonize "$dir/containerd.pid" "$dir/containerd.log" containerd --config "$dir/containerd.toml"
  until_true "$wait_start" has_socket
  if ! [ -S "$dir/containerd.sock" ]; then
    give_up "containerd does not start" "$dir/containerd.log"
  fi
  daemonize "$dir/dockerd.pid" "$dir/dockerd.log" dockerd \
    --config-file "$dir/daemon.json" --host "unix://$dir/docker.sock" \
    --data-root "$dir/data" --exec-root "$dir/exec" --pidfile "$dir/dockerd-own.pid" \
    --containerd "$dir/containerd.sock" \
    --bridge=none --iptables=false --ip6tables=false --shutdown-timeout 5
  until_true "$wait_start" answers
  docker version >/dev/null 2>&1 || give_up "dockerd does not start" "$dir/dockerd.log"
  echo "DOCKER_HOST=$DOCKER_HOST"
}

give_up() {
  local why
  why="$1: $(last_reason "$2")"
  stop
  skip "$why"
}

# end PIDFILE: SIGTERM, then SIGKILL
end() {
  alive "$1" || return 0
  kill "$(cat "$1")" 2>/dev/null
  gone() { ! alive "$1"; }
  until_true "$wait_stop" gone "$1" || kill -KILL "$(cat "$1")" 2>/dev/null
}

stop() {
  [ -e "$dir/$marker" ] || die "$dir holds no private daemon"
  if alive "$dir/dockerd.pid"; then
    local ids
    ids=$(timeout 20 docker ps -aq 2>/dev/null)
    [ -z "$ids" ] || timeout 30 docker rm -f -v $ids >/dev/null 2>&1
  fi
  end "$dir/dockerd.pid"
  # shims outlive containerd: the ones of this daemon carry its address on their command line
  local pid
  for pid in $(grep -lsF -- "$dir/containerd.sock" /proc/[0-9]*/cmdline 2>/dev/null | cut -d/ -f3); do
    grep -qsF containerd-shim "/proc/$pid/cmdline" && kill -KILL "$pid" 2>/dev/null
  done
  end "$dir/containerd.pid"
  # deepest first; the kernel writes a blank in a path as \040
  cut -d' ' -f2 /proc/self/mounts | grep -F -- "$dir/" | sort -r | while read -r m; do
    umount "$(printf '%b' "$m")" 2>/dev/null || umount -l "$(printf '%b' "$m")"
  done
  rm -rf --one-file-system "$dir"
}

[ $# = 2 ] || die "usage: dockerd.sh start|stop|guard DIR"
verb=$1
dir=$(realpath -m -- "$2")
export DOCKER_HOST="unix://$dir/docker.sock" DOCKER_CONFIG="$dir/config"
unset DOCKER_CONTEXT DOCKER_TLS_VERIFY DOCKER_CERT_PATH
case $verb in
  start) start ;;
  stop) stop ;;
  guard)
    trap '' INT TERM HUP
    cat >/dev/null
    stop
    ;;
  *) die "usage: dockerd.sh start|stop|guard DIR" ;;
esac

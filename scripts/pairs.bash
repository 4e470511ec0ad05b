# Runs a server and a client of the examples against each other. To be sourced after steps.bash.
# shellcheck shell=bash

: "${logs:?source scripts/steps.bash first}"

# The first words of what each side of an echo pair prints.
server_cycle='^listening connectionready ((message|request) ){4}connectionclosed listeningended $'
client_cycle='^connectionsetup ((message|reply) ){4}connectionclosed $'

# golden SIDE PATTERN LINES: whether the first words of one side's lines are the golden cycle. C and
# Swift spell the names of events each in its own way: connection_ready, connectionReady.
golden() {
  local names
  names=$(awk -v side="$1" '$1 == side { print $2 }' <<<"$3" | tr -cd 'A-Za-z\n' |
    tr 'A-Z\n' 'a-z ')
  [[ $names =~ $2 ]] || {
    printf 'the %s saw no golden cycle: %s\n' "$1" "$names"
    return 1
  }
}

# pair TRANSPORT SERVER CLIENT: the server takes a free port and tells it, the client gets it as its
# second argument; both must end by themselves with status 0 within 20 s. Shows what they print. The
# server is told to wait for $connections of them, 1 unless set.
pair() {
  local transport=$1 server=$2 client=$3 line port="" reading waiting status=0
  lines=""
  # Line by line, so that the port can be read while the server runs.
  exec {reading}< <(exec timeout --kill-after=5 20 stdbuf -oL "$server" "$transport" 0 \
    "${connections:-1}" 2>&1)
  waiting=$!
  while [ -z "$port" ] && IFS= read -r -t 10 -u "$reading" line; do
    lines+="  server  $line"$'\n'
    if [[ $line =~ listening.*port\ ([0-9]+) ]]; then port=${BASH_REMATCH[1]}; fi
  done
  if [ -z "$port" ]; then
    printf '%sthe server told no port\n' "$lines"
    kill "$waiting" 2>/dev/null || true
    exec {reading}<&-
    return 1
  fi
  timeout --kill-after=5 20 "$client" "$transport" "$port" >"$logs/client.txt" 2>&1 || status=$?
  if [ "$status" -ne 0 ]; then echo "the client ended with status $status"; fi
  while IFS= read -r -t 10 -u "$reading" line; do lines+="  server  $line"$'\n'; done
  exec {reading}<&-
  wait "$waiting" || {
    echo "the server ended with status $?"
    status=1
  }
  lines+=$(sed 's/^/  client  /' "$logs/client.txt")
  printf '%s\n' "$lines"
  return "$status"
}

# echo_pair TRANSPORT SERVER CLIENT: a pair that must show the golden cycle on both sides.
echo_pair() {
  local lines
  pair "$@" && golden server "$server_cycle" "$lines" && golden client "$client_cycle" "$lines"
}

# telling_pair TRANSPORT SERVER CLIENT LINE...: a pair that must print each of the lines, which are
# "server" or "client" and what it prints, as a regular expression.
telling_pair() {
  local lines line transport=$1 server=$2 client=$3
  shift 3
  pair "$transport" "$server" "$client" || return 1
  for line; do
    grep -qE "^  ${line/ /  }$" <<<"$lines" || {
      printf 'no line: %s\n' "$line"
      return 1
    }
  done
}

# Counts checks and sums them up. To be sourced; the caller's folder is the root of the project.
# shellcheck shell=bash

passed=0
failed=0
BUILD=${BUILD:-build}
SCRATCH=${SCRATCH:-.build}
C_COMPILER=${C_COMPILER:-cc}
CXX_COMPILER=${CXX_COMPILER:-c++}
SWIFT=${SWIFT:-swift}
SWIFTC=${SWIFTC:-swiftc}
MAKE=${MAKE:-make}
logs=$BUILD/logs
mkdir -p "$logs"

# check NAME COMMAND...: runs a command (or function) quietly; shows its output when it fails.
check() {
  local name=$1 began=$SECONDS log status=0
  shift
  log=$logs/${name//[^A-Za-z0-9]/-}.log
  ("$@") >"$log" 2>&1 </dev/null || status=$?
  if [ "$status" -eq 0 ]; then
    passed=$((passed + 1))
    printf 'ok      %s (%d s)\n' "$name" $((SECONDS - began))
  else
    failed=$((failed + 1))
    tail -n 60 "$log" | sed 's/^/        /'
    printf 'FAILED  %s (status %d, %d s)\n' "$name" "$status" $((SECONDS - began))
  fi
  return "$status"
}

# attribute NAME FILE: sums up an attribute of the test suites in an xUnit file.
attribute() {
  sed -n "s/.*<testsuite .* $1=\"\([0-9]*\)\".*/\1/p" "$2" |
    awk '{ sum += $1 } END { print sum + 0 }'
}

# swift_tests NAME LIMIT OPTION...: runs the Swift tests and adds their numbers to the counts.
swift_tests() {
  local name=$1 limit=$2 began=$SECONDS status=0 run=0 bad=0 log xml
  shift 2
  log=$logs/${name//[^A-Za-z0-9]/-}.log
  xml=$PWD/$logs/${name//[^A-Za-z0-9]/-}.xml
  rm -f "$xml"
  timeout --kill-after=10 "$limit" "$SWIFT" test --disable-xctest --xunit-output "$xml" "$@" \
    >"$log" 2>&1 </dev/null || status=$?
  if [ -f "$xml" ]; then
    run=$(attribute tests "$xml")
    bad=$(awk '/<testcase/ { fresh = 1 } /<failure/ && fresh { bad++; fresh = 0 }
      END { print bad + 0 }' "$xml")
  fi
  # After a trap, a time-out or a build that fails there are no numbers but what the log tells, and
  # one failure more.
  if [ ! -f "$xml" ]; then
    bad=$((1 + $(grep -c "^✘ Test .* failed after" "$log" || true)))
    run=$((bad + $(grep -c "^✔ Test .* passed after" "$log" || true)))
  fi
  if [ "$status" -ne 0 ] && [ "$bad" -eq 0 ]; then bad=1; fi
  if [ "$status" -eq 0 ] && [ "$run" -eq 0 ]; then status=1 bad=1; fi
  passed=$((passed + (run > bad ? run - bad : 0)))
  failed=$((failed + bad))
  if [ "$bad" -eq 0 ]; then
    printf 'ok      %s: %d tests (%d s)\n' "$name" "$run" $((SECONDS - began))
  else
    grep -E '✘|^error:|: error: |Fatal error|Sanitizer:' "$log" |
      head -n 60 | sed 's/^/        /' || true
    tail -n 20 "$log" | sed 's/^/        /'
    printf 'FAILED  %s: %d of %d tests (status %d)\n' "$name" "$bad" "$run" "$status"
  fi
  return "$status"
}

# swift_suite NAME LIMIT OPTION...: all of them, the async face for itself: its tests wait in real time for a
# thread of the pool whose few threads the long simulations of the others hold.
swift_suite() {
  local name=$1 limit=$2 status=0
  shift 2
  swift_tests "$name of the async face" "$limit" "$@" --filter AsyncTests || status=$?
  swift_tests "$name" "$limit" "$@" --skip AsyncTests || status=$?
  return "$status"
}

# summary: the last line and the exit code of a script.
summary() {
  printf '%d passed, %d failed\n' "$passed" "$failed"
  [ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
}

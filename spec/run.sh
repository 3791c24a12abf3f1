#!/bin/sh
# Runs test suites, each a shell command in one argument, and adds them up:
#   spec/run.sh [-j N] "build/saros spec/busted.lua" build/spec/gemm
# With -j, N suites run at once, each says one line, and what it printed is
# shown only if it failed.
#
# A suite reports in busted's words ("3 successes / 0 failures / ...") or as
# "3 passed, 0 failed"; its last report counts. A suite that ends badly, or
# without a report, counts as a failure even if it blames no test. At the end
# all that failed is named once more, and the last line is the sum in the same
# form, so a run can be a suite of another run.

# Prints "passed failed" from the last report in a log, or nothing.
report() {
  awk '/ success.* \/ .* failure.* \/ .* error/ { report = $1 " " $4 + $7 }
       /^[0-9]+ passed, [0-9]+ failed/          { report = $1 " " $3 }
       END                                      { print report }' "$1"
}

# Names what failed in a suite: the tests that busted blames, by place and
# name, and the checks of C; of a run within this one, what it named itself.
name_failures() {
  echo "failed: $suite"
  if grep -q '^failed: ' "$1"; then
    sed -n '/^failed: /,$ { /^failed: \|^  / s/^/  /p }' "$1"
    return
  fi
  awk '/^(Failure|Error) (->|→) / { print "  " $0; named = 1; next }
       named                  { print "    " $0; named = 0 }
       /^spec\/c\/[^:]*:[0-9]+: / { print "  " $0 }' "$1" | head -n 40
}

# Runs suite number $n; what it printed, its counts and what failed become files.
run_suite() {
  base=$results/$n
  if [ "$jobs" -eq 1 ]; then
    printf '\n== %s\n' "$suite"
    { sh -c "$suite" 2>&1; echo $? >"$base.status"; } | tee "$base.log"
  else
    sh -c "$suite" >"$base.log" 2>&1
    echo $? >"$base.status"
  fi
  read -r status <"$base.status"
  set -- $(report "$base.log")
  doubt=''
  if [ $# -eq 0 ] || { [ "$status" -ne 0 ] && [ "$2" -eq 0 ]; }; then
    doubt="== exit status $status and no failed test: counted as one"
    set -- "${1:-0}" 1
  fi
  echo "$1 $2" >"$base.counts"
  [ "$2" -eq 0 ] || name_failures "$base.log" >"$base.failures"
  said=$doubt
  if [ "$jobs" -gt 1 ]; then
    said=$(printf '%6d passed, %d failed: %s\n' "$1" "$2" "$suite"
           [ "$2" -eq 0 ] || cat "$base.log"
           echo "$doubt")
  fi
  [ -z "$said" ] || printf '%s\n' "$said"  # in one piece, so that no two mix
}

if [ "$1" = --suite ]; then  # one of a run, which calls itself
  results=$2 jobs=$3 n=$4 suite=$5
  run_suite
  exit
fi

jobs=1
[ "$1" != -j ] || { jobs=$2; shift 2; }
results=$(mktemp -d) || exit 1
trap 'rm -rf "$results"' EXIT
n=1000  # so that the files sort as the suites do
for suite in "$@"; do
  printf '%s\0%s\0' $n "$suite"
  n=$((n + 1))
done | xargs -0 -n 2 -P "$jobs" "$0" --suite "$results" "$jobs"
echo
cat "$results"/*.failures 2>/dev/null
cat "$results"/*.counts 2>/dev/null | awk -v suites=$# '
  { passed += $1; failed += $2 }
  END { failed += suites - NR  # those that came to no end
        printf "%d passed, %d failed\n", passed, failed
        exit failed > 0 }'

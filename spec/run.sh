#!/bin/sh
# Runs test suites, each a shell command in one argument, and adds them up:
#   spec/run.sh "build/saros spec/busted.lua" build/spec/gemm
# A suite reports in busted's words ("3 successes / 0 failures / ...") or as
# "3 passed, 0 failed"; its last report counts. A suite that ends badly, or
# without a report, counts as a failure even if it blames no test. At the end
# all that failed is named once more, and the last line is the sum in the same
# form, so a run can be a suite of another run.

results=$(mktemp -d) || exit 1
trap 'rm -rf "$results"' EXIT

# Prints "passed failed" from the last report of the suite, or nothing.
report() {
  awk '/ success.* \/ .* failure.* \/ .* error/ { report = $1 " " $4 + $7 }
       /^[0-9]+ passed, [0-9]+ failed/          { report = $1 " " $3 }
       END                                      { print report }' "$results/log"
}

# Names what failed in the suite: the tests that busted blames, by place and
# name, and the checks of C; of a run within this one, what it named itself.
name_failures() {
  echo "failed: $suite"
  if grep -q '^failed: ' "$results/log"; then
    sed -n '/^failed: /,$ { /^failed: \|^  / s/^/  /p }' "$results/log"
    return
  fi
  awk '/^(Failure|Error) (->|→) / { print "  " $0; named = 1; next }
       named                  { print "    " $0; named = 0 }
       /^spec\/c\/[^:]*:[0-9]+: / { print "  " $0 }' "$results/log" | head -n 40
}

passed=0 failed=0
for suite in "$@"; do
  printf '\n== %s\n' "$suite"
  { sh -c "$suite" 2>&1; echo $? >"$results/status"; } | tee "$results/log"
  read -r status <"$results/status"
  set -- $(report)
  if [ $# -eq 0 ] || { [ "$status" -ne 0 ] && [ "$2" -eq 0 ]; }; then
    echo "== exit status $status and no failed test: counted as one"
    set -- "${1:-0}" 1
  fi
  [ "$2" -eq 0 ] || name_failures >>"$results/failures"
  passed=$((passed + $1)) failed=$((failed + $2))
done
echo
cat "$results/failures" 2>/dev/null
printf '%d passed, %d failed\n' $passed $failed
[ $failed -eq 0 ]

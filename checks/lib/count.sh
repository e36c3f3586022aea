# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash disable=SC2154
# To be sourced by whatever checks: passing, failing, skipping, counting and
# tables. A result is a line of TAP; while $col is set it is also a cell of a
# table, in row $base and column $col. Logs go to $logs.
passed=0 failed=0 skipped=0 number=0 col=
declare -A cell=()

say() { echo "# $SECONDS s: $*"; }
result() {	# ok|"not ok" NAME [# SKIP REASON]
	number=$((number + 1))
	echo "$1 $number ${col:+$base $col: }$2${3:+ # SKIP $3}"
}
# Without a NAME something else has shown it, like a row of a table.
pass() {	# [NAME]
	passed=$((passed + 1))
	[ -z "${1:-}" ] || result ok "$1"
	[ -z "$col" ] || cell[$base,$col]=${cell[$base,$col]:-ok}
}
fail() {	# NAME [LOG]
	failed=$((failed + 1))
	result 'not ok' "$1"
	if [ -n "${2:-}" ] && [ -e "$2" ]; then
		tail -30 "$2" | sed 's/^/#	/'
		echo "#	(from $2)"
	fi
	[ -z "$col" ] || cell[$base,$col]=FAIL
}
skip() {	# NAME REASON
	skipped=$((skipped + 1))
	result ok "$1" "$2"
	[ -z "$col" ] || cell[$base,$col]=${cell[$base,$col]:-skip}
}
log_of() { echo "$logs/${col:+$col.}$(tr -cs 'A-Za-z0-9=\n' _ <<< "$1").log"; }

# try NAME COMMAND...: passes when COMMAND ends with 0
try() {
	local name=$1 log
	log=$(log_of "$1")
	shift
	if "$@" > "$log" 2>&1 </dev/null; then pass "$name"; else fail "$name" "$log"; fi
}
# expect NAME STATUS PATTERN COMMAND...: that exit status, and PATTERN in its words
expect() {
	local name=$1 want=$2 pattern=$3 log=$logs/expect.log status=0
	shift 3
	"$@" > "$log" 2>&1 </dev/null || status=$?
	if [ "$status" != "$want" ]; then
		echo "exit status $status, expected $want" >> "$log"
		fail "$name" "$log"
	elif ! grep -qE -- "$pattern" "$log"; then
		echo "no '$pattern' in this" >> "$log"
		fail "$name" "$log"
	else
		pass "$name"
	fi
}

# The counts of somebody else's results become ours.
add() {	# NAME LOG STATUS PASSED FAILED SKIPPED
	passed=$((passed + $4)) failed=$((failed + $5)) skipped=$((skipped + $6))
	if [ $(($4 + $5 + $6)) = 0 ]; then
		fail "$1: no test ran" "$2"
	elif [ "$5" = 0 ] && [ "$3" != 0 ]; then
		fail "$1: ended with $3" "$2"
	else
		number=$((number + 1))
		echo "# $number ${col:+$base $col: }$1: $4 passed, $5 failed, $6 skipped"
		if [ -z "$col" ]; then
			return
		elif [ "$5" != 0 ]; then
			cell[$base,$col]=FAIL
		else
			cell[$base,$col]="$4 ok"
		fi
	fi
}
# Of a TAP stream
add_tap() {	# NAME LOG STATUS
	local p f s
	"$top/checks/lib/tap" "$2" > "$2.counts"
	read -r p f s < <(tail -1 "$2.counts")
	sed '$d' "$2.counts" | sed 's/^/#	/'
	add "$1" "$2" "$3" "$p" "$f" "$s"
}
# Of what ended as the_end does
has_end() { grep -qE '^[0-9]+ passed, [0-9]+ failed, [0-9]+ skipped$' "$1"; }
add_end() {	# NAME LOG STATUS
	local p=0 f=0 s=0
	! has_end "$2" || read -r p _ f _ s _ < <(grep -E '^[0-9]+ passed, ' "$2" | tail -1)
	grep -E '^not ok |# SKIP' "$2" | sed 's/^/#	/'
	add "$1" "$2" "$3" "$p" "$f" "$s"
}
the_end() {
	echo "$passed passed, $failed failed, $skipped skipped"
	[ "$failed" = 0 ] && [ "$passed" -gt 0 ]
}

# A table that grows: table TITLE "WIDTH..." HEAD..., then row FIELD...
table() {
	printf '\n%s\n' "$1"
	widths=$2
	shift 2
	[ $# = 0 ] || row "$@"
}
row() {
	local w line=
	for w in $widths; do
		line="$line $(printf "%-${w}s" "$1")"
		shift
	done
	line=" $line $*"
	echo "${line%"${line##*[! ]}"}"
}
# All cells at once
print_cells() {	# "ROW..." "COLUMN...": a row is called ${label[ROW]}, if that is set
	local b c
	{
		printf base
		for c in $2; do printf '\t%s' "$c"; done
		echo
		for b in $1; do
			printf '%s' "${label[$b]:-$b}"
			for c in $2; do printf '\t%s' "${cell[$b,$c]:--}"; done
			echo
		done
	} | awk -F'\t' '{ for (i = 1; i <= NF; i++) { t[NR, i] = $i; if (length($i) > w[i]) w[i] = length($i) } n = NF }
		END { for (r = 1; r <= NR; r++) { for (i = 1; i <= n; i++) printf "%-*s", w[i] + 2, t[r, i]; print "" } }' |
		sed 's/ *$//'
}

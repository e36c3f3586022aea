# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash disable=SC2034,SC2154
# CRIU with the series beside CRIU as it is, on the CABA kernel
# A tree passes when it comes back as it was with the series; what CRIU as it is
# makes of it is only shown.
criu=$build/criu
logs=$criu/check
: "${VM:=}"	# options for vm/run, like "--smp 1" or "--kernel FILE"
: "${WHICH:=stock caba}"	# "caba" leaves CRIU as it is out of scenarios, levels and zdtm, "stock" the series

# --- on the host ------------------------------------------------------------

prepare() {
	local p
	mkdir -p "$criu/bin"
	scripts/criu build || return
	# There is less to dump of a static one. A guest may be reading the last one.
	for p in caba_tree caba_case; do
		[ "$criu/bin/$p" -nt "criu/test/others/caba/$p.c" ] ||
			gcc -O2 -Wall -static -o "$criu/bin/$p" "criu/test/others/caba/$p.c" || return
	done
}

# Runs guest() of this part there, with all settings; its lines are in $logs/PART
in_guest() {	# TIMEOUT [ARG...]
	local ret=0
	say "$part: in the guest"
	one_guest "$part" "$@" || ret=$?
	end_of_guest "$part" $ret
}

# The same in a guest for each of $WHICH, side by side, with a CPU each: two that
# the host can't run at once wait for each other, which takes twice the time
in_guests() {	# TIMEOUT [ARG...]
	local which ret
	local -A pid=()
	say "$part: in a guest for each of: $WHICH"
	for which in $WHICH; do
		WHICH=$which VM="--smp 1 $VM" one_guest "$part.$which" "$@" &
		pid[$which]=$!
	done
	for which in $WHICH; do
		ret=0
		wait "${pid[$which]}" || ret=$?
		end_of_guest "$part.$which" $ret
	done
	for which in $WHICH; do cat "$logs/$part.$which"; done > "$logs/$part"
}

one_guest() {	# LOG TIMEOUT [ARG...]
	local log=$logs/$1 timeout=$2 name settings=()
	shift 2
	while IFS=: read -r name _; do settings+=("$name=${!name}"); done < <(settings_of checks/criu/common.sh "checks/criu/$part")
	# shellcheck disable=SC2086 # a list of options
	vm/run --mem 3072 --timeout "$timeout" $VM -- env BUILD="$build" "${settings[@]}" \
		"$top/checks/run" --in-guest criu "$part" "$@" > "$log" 2> "$log.err"
}

end_of_guest() {	# LOG STATUS
	[ "$2" = 0 ] || { tail -n 5 "$logs/$1.err" "$logs/$1" >&2; fail "$1: the guest ended with status $2"; }
}

# Of all lines "tree WHAT WHICH ...": their sum of what follows KEY
sum_of() {	# KEY WHAT WHICH
	awk -v key="$1" -v what="$2" -v which="$3" '$1 == "tree" && $2 == what && $3 == which {
		for (i = 4; i < NF; i++)
			if ($i == key) sum += $(i + 1)
	} END { print sum + 0 }' "$logs/$part"
}

# "came back, of which refused, lost ..."
came_back() {	# WHAT WHICH
	local out k v total
	total=$(sum_of total "$@")
	[ "$total" != 0 ] || { echo '-'; return; }
	out="$(sum_of same "$@")/$total"
	for k in refused lost wrong broken; do
		v=$(sum_of $k "$@")
		[ "$v" = 0 ] || out="$out $k $v"
	done
	echo "$out"
}

trees() { table "$1" '22 34 0' '' 'CRIU as it is' 'with the series'; }
# With "refusals" one in fifty of them may be refused, with its reason
tree_row() {	# WHAT [refusals]
	local total ours refused=0 seed reason
	ours=$(came_back "$1" caba)
	row "$1" "$(came_back "$1" stock)" "$ours"
	[[ " $WHICH " == *' caba '* ]] || return 0
	total=$(sum_of total "$1" caba)
	[ -z "${2:-}" ] || refused=$(sum_of refused "$1" caba)
	if [ "$refused" -le $(((total + 49) / 50)) ] && [ "$total" != 0 ] && [ $(($(sum_of same "$1" caba) + refused)) = "$total" ]; then
		pass
		while IFS=: read -r seed _ reason; do
			skip "$1, ${seed#note "$1" caba }" "refused:$reason"
		done < <(grep "^note $1 caba seed [0-9]*: refused: " "$logs/$part" | sed 's/dump [0-9]*: [^)]*): //')
	else
		fail "$1: $ours came back as they were"
		grep "^note $1 caba" "$logs/$part" | head -5 || :
	fi
}

# Of lines "case NAME WHICH WHAT": "ok" or "skipped:" comes first in what is right
judge_outcomes() {	# TITLE NAME...
	local c out
	table "$1" '22 34 0' case 'CRIU as it is' 'with the series'
	shift
	for c in $(printf '%s\n' "$@" | sort); do
		out=$(outcome "$c" caba)
		row "$c" "$(outcome "$c" stock)" "$out"
		case $out in
		'ok '*)	     pass ;;
		'skipped: '*) skip "$part: $c" "${out#skipped: }" ;;
		*)	     [[ " $WHICH " != *' caba '* ]] || fail "$c: $out" ;;
		esac
	done
}
outcome() { local out; out=$(sed -n "s/^case $1 $2 //p" "$logs/$part"); echo "${out:--}"; }

# --- in the guest -----------------------------------------------------------

guest_common() {
	ip link set lo up
	cd /tmp || exit
	mkdir bin
	cp "$criu/bin/caba_tree" "$criu/bin/caba_case" bin
}

# Each CRIU probes the kernel once, not whenever the other one was run before
use() {
	bin=/tmp/bin/$1
	[ -e "$bin" ] || cp "$criu/$1/criu/criu" "$bin"
	rm -f /run/criu.kdat
	if [ -e "/run/kdat.$1" ]; then
		cp -p "/run/kdat.$1" /run/criu.kdat
	else
		"$bin" check > /dev/null 2>&1 || :
		cp -p /run/criu.kdat "/run/kdat.$1" 2>/dev/null || :
	fi
}

tree() {	# WHAT WHICH ARG...: "WHAT WHICH total N same N ..."
	local what=$1 which=$2 limit=300
	shift 2
	[[ " $WHICH " == *" $which "* ]] || return 0
	# With groups that leaders have left, its restores wait for ever
	[ "$which" = caba ] || limit=60
	use "$which"
	echo "tree $what $which $(/tmp/bin/caba_tree --criu "$bin" --limit "$limit" "$@" 2>&1 | tee -a /tmp/trees | tail -1)"
	grep -v '^total' /tmp/trees | sed "s/^/note $what $which /" || :
	rm -rf /tmp/caba_tree /tmp/trees
}

# All but the kernel's own threads, which come and go
processes() {
	local all
	# No pipe: what counts shall be the same each time
	all=$(grep -Ls $'^PPid:\t2$' /proc/[0-9]*/status || :)
	wc -l <<< "$all"
}

# Until COMMAND says yes
wait_for() {	# SECONDS COMMAND...
	local end=$((SECONDS + $1))
	shift
	until "$@"; do
		[ $SECONDS -lt $end ] || return 1
		sleep 0.1
	done
}
nobody_runs() { ! pgrep -x "$1" > /dev/null; }
nobody_of_criu() { wait_for 60 nobody_runs "${bin##*/}"; }

# With faults that CRIU puts into itself, and nobody stays
restore_fails() {
	local fault
	for fault in ${faults:-}; do
		if CRIU_FAULT=$fault timeout 200 "$bin" restore -d -D /tmp/img -o f.log "${restore_opts[@]}" > /dev/null 2>&1; then
			echo "restored with fault $fault"
			return 1
		fi
		nobody_of_criu || { echo "somebody of CRIU is left by fault $fault"; return 1; }
	done
}

# Dumps and restores ROOT, and says what has become of it, "ok" first if that is
# as it should be. With WORDS the dump has to be refused with these, and all below
# STARTER to be as they were. The restored root's pid is in /tmp/pid.
round_trip() {	# ROOT STARTER WORDS [OPTION...]
	local root=$1 starter=$2 words=$3 before after look=/tmp/bin/caba_case
	shift 3
	rm -rf /tmp/img /tmp/pid
	mkdir /tmp/img
	before=$($look --look "$starter")
	if [[ $bin == */caba ]] && [ "${dry:-y}" = y ]; then
		if "$bin" dump --dry-run -t "$root" "$@" > /tmp/out 2>&1; then
			[ -z "$words" ] || echo "the dry run finds nothing, "
		else
			[ -n "$words" ] || echo "the dry run refuses it: $(said /tmp/out), "
		fi
		[ "$before" = "$($look --look "$starter")" ] || echo "the dry run changes it, "
	fi

	[ -n "$words" ] || before=$($look --look "$root")
	if ! timeout 200 "$bin" dump -t "$root" -D /tmp/img -o d.log "$@" > /dev/null 2>&1; then
		# Who was killed, or stopped, may need a moment
		for _ in {1..60}; do
			sleep 1
			after=$($look --look "$starter")
			if [ -z "$words" ] || [ "$before" = "$after" ]; then break; fi
		done
		if [ -z "$words" ]; then
			echo "refused: $(said /tmp/img/d.log)"
		elif ! grep -q "$words" /tmp/img/d.log; then
			echo "refused with other words: $(said /tmp/img/d.log)"
		elif [ "$before" != "$after" ]; then
			echo "refused, and changed: $(diff <(echo "$before") <(echo "$after") | tr '\n' ';')"
		else
			echo "ok refused"
		fi
	elif ! restore_fails; then
		:
	elif ! timeout 200 "$bin" restore -d -D /tmp/img -o r.log --pidfile /tmp/pid "${restore_opts[@]}" > /dev/null 2>&1; then
		echo "lost: $(said /tmp/img/r.log)"
	else
		for _ in {1..60}; do
			sleep 1
			after=$($look --look "$(cat /tmp/pid)")
			[ "$before" != "$after" ] || break
		done
		if [ -n "$words" ]; then
			echo "dumped"
		elif ! nobody_of_criu; then
			echo "somebody of CRIU is left"
		elif [[ " ${restore_opts[*]} " == *' --restore-sibling '* ]] && ! grep -q 'Set CLONE_PARENT' /tmp/img/r.log; then
			echo "did not come back as a sibling of CRIU"
		elif [ "$before" != "$after" ]; then
			echo "different: $(diff <(echo "$before") <(echo "$after") | tr '\n' ';')"
		else
			echo "ok came back"
		fi
	fi
}

# CRIU's first error in a log, without the line of its source
said() { grep -a -h 'Error (' "$1" | head -1 | sed 's/.*): //'; }

# Real programs: /tmp/case/run makes the tree, and is its root. It gets ready when all
# that are named have been there for a while.
put() { cat > "/tmp/case/$1"; }
after() {	# FILE...
	echo "for f in $*; do until [ -s \$1/\$f ]; do sleep 0.1; done; done" >> /tmp/case/run
}
ready_after() {	# FILE...
	after "$@"
	printf '%s\n' 'sleep 2' 'touch /tmp/ready' 'exec sleep 100000' >> /tmp/case/run
}
missing() {	# PROGRAM...
	local p
	for p; do command -v "$p" > /dev/null || echo "$p is not installed"; done | head -1
}

# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash disable=SC2004,SC2034,SC2154
# CRIU's series: a base "criu" (what scripts/fetch criu gives) for which it is
# made, "criu-VERSION" for another one onto which the same patches are tried.

check_criu() {
	source=$build/$base/source
	dir=$build/$base/series.check
	logs=$dir/logs
	version=${base#criu} version=${version#-}
	col=base
	label[$base]=$base
	mkdir -p "$logs"
	try "fetched" "$top/scripts/fetch" criu ${version:+"$version"}
	[ -e "$source/.version-fetched" ] || return
	label[$base]=$(cat "$source/.version-fetched")
	own_tree
	patches=$build/criu/series.check/series
	col=patches
	GIT_AUTHOR_NAME=check GIT_AUTHOR_EMAIL=check@localhost \
		try "generated" "$top/scripts/series" --out "$patches" criu
	[ -e "$patches/pull-request.txt" ] || return
	criu_am
	wants lint && [ "$base" = criu ] && do_lint
	say "$base: done"
	exec 7>&-
}

# The touched files are enough for git am; the whole tree is compiled.
criu_am() {
	local p i=0 n f
	rm -rf "$dir/am" "$tmp/whole"
	mkdir -p "$dir/am"
	"$top/scripts/criu" stage "$tmp/whole" "$build/criu/source"
	g init -q -b base
	(cd "$tmp/whole" && find . -type f) | while read -r f; do
		[ -e "$source/$f" ] || continue
		mkdir -p "$dir/am/$(dirname "$f")"
		cp -p "$source/$f" "$dir/am/$f"
	done
	g add -A -f
	g commit -q -m base
	g checkout -q -b series
	n=$(find "$patches" -name '0*.patch' | wc -l)
	for p in "$patches"/0*.patch; do
		i=$((i + 1))
		col=am
		if g am -q "$p" > "$logs/am.$i.log" 2>&1; then
			pass "patch $i of $n"
		elif [ "$base" = criu ]; then
			fail "patch $i of $n" "$logs/am.$i.log"
			return
		else
			# The series is made for another one: how far it goes
			skip "patches $i to $n" "number $i does not apply: $(sed -n 's/^error: \(.*\): patch does not apply$/\1/p' "$logs/am.$i.log" | paste -sd' ')"
			cell[$base,am]="1 to $((i - 1))"
			return
		fi
		if wants bisect; then
			set_tree "$dir/am"
			try "patch $i: builds" criu_make criu lib
			try "patch $i: unit tests" criu_make unittest
			try "patch $i: nothing that nobody uses" all_used
		fi
	done
	if wants am && [ "$base" = criu ]; then
		try "the tree is what scripts/criu lays" same_tree "$tmp/whole" "$dir/am"
	fi
}
# Of what is static the compiler says it
all_used() {
	local name unused=0
	cat "$dir"/tree/criu/*.c "$dir"/tree/criu/*/*.c > "$tmp/sources"
	while read -r name; do
		[ "$(grep -cw "$name" "$tmp/sources")" -gt 1 ] && continue
		echo "$name is declared, but nobody has it or nobody uses it"
		unused=1
	done < <(sed -nE 's/^extern [^(]*[ *]([a-z_0-9]+)(\(.*|;)$/\1/p' "$dir"/tree/criu/include/caba*.h)
	return $unused
}
criu_make() {
	(
		use_ccache "$dir/tree"
		PATH=/usr/bin:/bin:/usr/sbin:/sbin make -C "$dir/tree" -j"${JOBS:-$(nproc)}" HOSTCC="${ccache}gcc" "$@"
	)
}

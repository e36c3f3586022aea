# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash disable=SC2034,SC2154
# every test of the kernel side on one base, what fails quickly first (make check)
base=6.12
logs=$build/check

build_kernel() {	# PROFILE
	say "kernel $base/$1"
	local status=0
	scripts/build --base "$base" --profile "$1" > "$logs/build-$1.tree" 2> >(tee "$logs/build-$1.log" >&2) || status=$?
	if [ $status = 0 ]; then
		pass "build: $base/$1"
	else
		fail "build: $base/$1" "$logs/build-$1.log"
	fi
	return $status
}

# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash disable=SC2034
# To be sourced: use_ccache DIR puts "ccache " into $ccache, for before a
# compiler's name, if there is one. Below DIR the same sources are the same
# objects, whichever folder they are in; all builds share one cache.
ccache=
use_ccache() {
	command -v ccache > /dev/null || return 0
	ccache='ccache '
	export CCACHE_BASEDIR=$1 CCACHE_NOHASHDIR=1 CCACHE_DIR=${CCACHE_DIR:-$build/ccache}
	# The compiler tells what it included: no second preprocessing, which
	# is a fifth of a build that finds nothing in the cache.
	export CCACHE_DEPEND=1
}

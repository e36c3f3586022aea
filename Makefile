# SPDX-License-Identifier: GPL-2.0
# See README.md; `make help` lists what there is.

BASE	?= 6.12
PROFILE	?= default
T	?= 2h

.PHONY: help setup run demo-migrate check check-kernel check-series check-criu bench soak \
	series apply unapply shell deb deb-criu deb-procps criu clean

help:
	@echo 'make run             build the CABA kernel, boot it, show what it keeps'
	@echo 'make demo-migrate    move a container from one guest to another, with CRIU as it is and with the series'
	@echo 'make check           every test of the kernel side (35 to 45 minutes the first time)'
	@echo
	@echo 'make series          the series as patches in build/$$(BASE)/series/ and build/criu/series/'
	@echo 'make apply LINUX=/path/to/tree    lay the series over a kernel tree of your own'
	@echo 'make unapply LINUX=/path/to/tree  take it off again'
	@echo 'make deb             Debian kernel packages with CABA, for a real machine'
	@echo 'make deb-criu        Debian packages of CRIU with the series, and of cabatree (a minute)'
	@echo 'make deb-procps      Debian packages of procps, with ps -o caba'
	@echo 'make shell           a shell in the guest'
	@echo 'make bench           cost of fork, exit and exec beside the unpatched kernel; cabatree beside pstree'
	@echo 'make criu            CRIU as it is and with the series, in build/criu/'
	@echo 'make check-series    the series on every base, architecture and configuration (hours)'
	@echo '                     DEPTH=--quick or --boot: on every base (half an hour)'
	@echo 'make check-criu      random trees (N= of each level) and zdtm, CRIU as it is beside ours'
	@echo 'make check-mutants   break the kernel on purpose; the tests must see it'
	@echo 'make soak T=2h       fuzz and stress on the debug kernel'
	@echo 'make check-X         any other check, or some PARTS=: checks/run --help lists them'
	@echo 'make setup           only install the packages that are missing'
	@echo 'make clean           delete build/'
	@echo
	@echo 'BASE=6.12 (default), 6.1 or 7.2 chooses the kernel. vm/run --help: any command in the guest.'

setup:
	@scripts/setup run check-kernel check-others

run:
	@scripts/setup run
	@scripts/demo --base $(BASE)

demo-migrate:
	@scripts/setup run criu check-criu/common.sh check-criu/migrate
	@scripts/demo-migrate --base $(BASE)

# make check-X runs checks/X. PARTS= some of its parts, see checks/run X --help
check: check-kernel

# What the parts that are to run need of Debian
needs = $(patsubst checks/%,check-%,$(wildcard $(addprefix checks/$(1)/,common.sh \
	$(or $(PARTS),$(shell cat checks/$(1)/default.parts)))))

check-kernel:
	@scripts/setup run $(call needs,kernel) check-others
	@checks/run kernel --base $(BASE) $(PARTS)

# DEPTH=--quick or --boot: without other architectures and configurations. BASES= some
check-series:
	@scripts/setup run check-kernel $(if $(DEPTH),,$@)
	@checks/run series $(DEPTH) $(BASES)

check-criu:
	@scripts/setup run criu $(call needs,criu)
	@checks/run criu $(PARTS)

check-%:
	@scripts/setup run $@
	@checks/run $* --base $(BASE) $(PARTS)

bench: check-bench check-sizes check-curves check-crowd

soak:
	@scripts/setup run
	@checks/run soak --base $(BASE) $(T)

series:
	@scripts/setup run
	@scripts/fetch linux $(BASE)
	@scripts/series $(BASE)
	@scripts/series --of pidns $(BASE)
	@scripts/series criu

apply unapply:
	@test -n "$(LINUX)" || { echo 'make $@: which tree? make $@ LINUX=/path/to/kernel/source' >&2; exit 2; }
	@scripts/lay $@ $(LINUX)

shell:
	@scripts/setup run
	@vm/run --base $(BASE) --profile $(PROFILE) --tty

deb:
	@scripts/setup run deb
	@scripts/deb --base $(BASE)

deb-criu:
	@scripts/setup criu deb-criu
	@scripts/deb-criu

deb-procps:
	@scripts/setup deb-procps
	@scripts/deb-procps

criu:
	@scripts/setup run criu
	@scripts/criu

clean:
	rm -rf build

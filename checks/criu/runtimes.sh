# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash disable=SC2034,SC2086,SC2154
# In the guest: containers through checkpoint and restore, whatever their
# runtime. To be sourced by the parts that need it.
c=/tmp/c
# What fails is a result here, and processes come and go while we read
set +e +o pipefail

# Why a runtime can not be tried here, if so
lacks() {
	local program=$1
	case $1 in export) program=podman ;; esac
	command -v "$program" > /dev/null || { echo "this Debian has no $program"; return; }
	case $1 in crun) crun --version | grep -q +CRIU || echo "$(crun --version | head -1) has no CRIU in it" ;; esac
}

# A kind of CRIU is a folder in the PATH, which all the runtimes look for it in.
# What is there says that it was run, and becomes CRIU.
choose() {	# WHICH
	local which=$1
	mkdir -p "$c/path.$which"
	if [ -e "/tmp/bin/criu.$which" ]; then
		:
	elif [ "$which" = caba ] && [ -e /etc/caba-root ]; then
		# Installed there
		ln -s /usr/sbin/criu "/tmp/bin/criu.$which"
	else
		cp "$criu/$which/criu/criu" "/tmp/bin/criu.$which"
	fi
	cat > "$c/path.$which/criu" <<-SH
		#!/bin/sh
		echo "$which \$*" >> $c/ran
		exec /tmp/bin/criu.$which "\$@"
	SH
	chmod +x "$c/path.$which/criu"
	ln -sfn "$c/path.$which" "$c/path"
	case $PATH in $c/path:*) ;; *) PATH=$c/path:$PATH ;; esac
	rm -f /run/criu.kdat "$c/ran"
}

# Pid, parent, group, session and CABA of all that is in a pid namespace below
# ours, with the pids of that; "-" is somebody outside
snap() {
	cat /proc/[0-9]*/status 2>/dev/null | awk '
		/^Name:/   { n++ }
		/^State:/  { zombie[n] = $2 == "Z" ? " zombie" : "" }
		/^PPid:/   { ppid[n] = $2 }
		/^NSpid:/  { depth[n] = NF; pid[n] = $NF; if (NF > 2) at[$2] = $NF }
		/^NSpgid:/ { pgid[n] = $NF }
		/^NSsid:/  { sid[n] = $NF }
		/^NScaba:/ { caba[n] = NF == depth[n] ? $NF : "-" }
		END {
			for (i = 1; i <= n; i++)
				if (depth[i] > 2)
					print pid[i], (ppid[i] in at) ? at[ppid[i]] : "-", pgid[i], sid[i], caba[i] zombie[i]
		}' | sort -n
	namespaces
}
# How many there are of each kind among those
namespaces() {
	local p
	sed -n 's/^NSpid:	\([0-9]*\)	.*/\1/p' /proc/[0-9]*/status 2>/dev/null | while read -r p; do
		readlink "/proc/$p"/ns/{cgroup,ipc,mnt,net,pid,user,uts}
	done | sort -u | cut -d: -f1 | uniq -c | awk '{ printf "%s%s %s", (NR > 1 ? ", " : "- "), $1, $2 } END { print "" }'
}
init_pid() { cat /proc/[0-9]*/status 2>/dev/null | awk '/^NSpid:/ && NF > 2 && $NF == 1 { print $2 }'; }

# What a container's init keeps: a word of its own, a counter, the sub-reapers
# A service's redis keeps the first two, and counts whenever it is asked. Its nginx
# has to answer, too.
state() {
	local run answer redis
	run=/proc/$(init_pid)/root/run
	redis="redis-cli -s $run/redis.sock"
	if [ ! -S "$run/redis.sock" ]; then
		cat "$run/state"
	elif answer=$(curl -s --unix-socket "$run/nginx.sock" http://c/); then
		$redis set word "$(od -An -N8 -tx8 /dev/urandom | tr -d ' ')" nx > /dev/null
		echo "$($redis get word) $($redis incr n) $answer"
	fi 2> /dev/null
}
goes_on() {	# BEFORE: the same word and sub-reapers, and a counter that still counts
	local before=$1 one two i
	one=$(state)
	for ((i = 0; i < 300; i++)); do
		two=$(state)
		[ "$two" = "$one" ] || break
		sleep 0.2
	done
	awk -v a="$before" -v b="$one" -v c="$two" 'BEGIN {
		split(a, x); split(b, y); split(c, z)
		if (x[1] != y[1]) print "another run of it: " b
		else if (y[2] < x[2]) print "the counter went back: " a " " b
		else if (z[2] <= y[2]) print "the counter stands still at " b
		else {
			sub(/^[^ ]+ [^ ]+/, "", a); sub(/^[^ ]+ [^ ]+/, "", c)
			if (a != c) print "sub-reapers" c ", not" a
		}
	}'
}
wait_for() {	# SECONDS COMMAND...
	local end=$((SECONDS + $1))
	shift
	until "$@"; do
		[ $SECONDS -lt $end ] || return 1
		sleep 0.2
	done
}
orphans() { [ "$(snap | awk '$1 != 1 && NF > 4 && $5 == "-" { print $2 }' | tr '\n' ' ')" = '1 1 ' ]; }
counts() { [[ $(state) == ????????????????' '* ]]; }

# A root with nothing in it but caba_tree, and a bundle around a root
small_root() {	# DIR
	mkdir -p "$1"/{proc,sys,dev,run,tmp,etc}
	cp "$criu/bin/caba_tree" "$1/caba_tree"
}
json() {	# STRING without tabs
	local s=$1
	s=${s//\\/\\\\}
	s=${s//\"/\\\"}
	printf ',"%s"' "${s//$'\n'/\\n}"
}
bundle() {	# DIR ROOT NETNS ARG...: NETNS "" a new one, "host", or a file
	local dir=$1 root=$2 net=$3 a args caps m user=
	shift 3
	args=$(for a; do json "$a"; done)
	case $net in
	'')   net=',{"type":"network"}' ;;
	host) net= ;;
	*)    net=",{\"type\":\"network\",\"path\":\"$net\"}" ;;
	esac
	[ -z "${userns:-}" ] || user=',{"type":"user"}],"uidMappings":[{"containerID":0,"hostID":100000,"size":65536}],"gidMappings":[{"containerID":0,"hostID":100000,"size":65536}'
	caps='"CAP_CHOWN","CAP_DAC_OVERRIDE","CAP_FOWNER","CAP_SETUID","CAP_SETGID","CAP_KILL","CAP_NET_BIND_SERVICE"'
	m='["nosuid","mode=755"]'
	mkdir -p "$dir"
	cat > "$dir/config.json" <<-JSON
	{"ociVersion":"1.0.0","hostname":"c",
	 "process":{"terminal":false,"user":{"uid":0,"gid":0},"cwd":"/","args":[${args#,}],
	  "env":["PATH=/usr/sbin:/usr/bin:/sbin:/bin","HOME=/tmp"],
	  "capabilities":{"bounding":[$caps],"effective":[$caps],"permitted":[$caps]}},
	 "root":{"path":"$root","readonly":true},
	 "mounts":[
	  {"destination":"/proc","type":"proc","source":"proc"},
	  {"destination":"/dev","type":"tmpfs","source":"tmpfs","options":$m},
	  {"destination":"/dev/pts","type":"devpts","source":"devpts","options":["newinstance","ptmxmode=0666"]},
	  {"destination":"/run","type":"tmpfs","source":"tmpfs","options":$m},
	  {"destination":"/tmp","type":"tmpfs","source":"tmpfs","options":["mode=1777"]}],
	 "linux":{"namespaces":[{"type":"pid"},{"type":"mount"},{"type":"ipc"},{"type":"uts"},{"type":"cgroup"}$net$user]}}
	JSON
}

# What CRIU said first in a log below these folders, without the line of its source
first_error_in() {	# LOG FOLDER...
	local log=$1
	shift
	find "$@" -name "$log" -newer "$c/began" -exec grep -h ' Error (' {} + 2>/dev/null | head -1 | sed 's/.*): //'
}

# Each runtime: start_X ROOT ARG..., checkpoint_X, restore_X, clean_X
start_runc() { bundle $c/b "$1" '' "${@:2}"; runc --log $c/log run -d --bundle $c/b c < /dev/null > /dev/null 2>&1; }
checkpoint_runc() { timeout 300 runc --log $c/log checkpoint --image-path $c/img --work-path $c/work c; }
restore_runc() { timeout 300 runc --log $c/log restore -d --bundle $c/b --image-path $c/img --work-path $c/work c < /dev/null > /dev/null 2>&1; }
enter_runc() { runc --log $c/log exec c "$@"; }
clean_runc() { runc delete -f c; }

start_crun() { bundle $c/b "$1" '' "${@:2}"; crun --log $c/log run -d --bundle $c/b c < /dev/null > /dev/null 2>&1; }
checkpoint_crun() { timeout 300 crun --log $c/log checkpoint --image-path $c/img --work-path $c/work c; }
restore_crun() { timeout 300 crun --log $c/log restore -d --bundle $c/b --image-path $c/img --work-path $c/work c < /dev/null > /dev/null 2>&1; }
clean_crun() { crun delete -f c; }

pod() {
	local runtime=runc
	# Of a crun that has no CRIU in it podman would think first, too
	[ -n "$(lacks crun)" ] || runtime=crun
	timeout 300 podman --runtime $runtime --root $c/podman --runroot /run/podman --storage-driver overlay \
		--cgroup-manager cgroupfs --events-backend file "$@"
}
podman_image() {	# ROOT
	pod image exists small || tar -C "$1" -cf - . | pod import - small > /dev/null 2>&1
}
start_podman() { podman_image "$1" && pod run -d --network none --name c small "${@:2}" > $c/out 2>&1; }
checkpoint_podman() { pod container checkpoint --keep c; }
restore_podman() { pod container restore --keep c; }
clean_podman() { pod rm -f -t 0 c; }

# To a file, from which a container is made anew
start_export() { start_podman "$@"; }
checkpoint_export() { pod container checkpoint --keep --export $c/exported.tar.gz c && pod rm -f -t 0 c > /dev/null; }
restore_export() { pod container restore --keep --import $c/exported.tar.gz; }
clean_export() { clean_podman; rm -f $c/exported.tar.gz; }

# It finds CRIU in the PATH that it was started with
ctr() { timeout 300 ctr -a $c/ctr.sock "$@"; }
start_containerd() {
	if ! [ -S $c/ctr.sock ]; then
		printf 'version = 2\nroot = "%s/ctr"\nstate = "/run/ctr"\n[grpc]\n  address = "%s/ctr.sock"\n' $c $c > $c/ctr.toml
		printf '[ttrpc]\n  address = "%s/ctr.ttrpc"\n' $c >> $c/ctr.toml
		containerd -c $c/ctr.toml > $c/containerd.log 2>&1 &
		containerd=$!
		wait_for 60 ctr version > /dev/null 2>&1 || return
		docker_archive "$1" $c/image.tar
		ctr images import $c/image.tar > /dev/null || return
	fi
	ctr run -d --snapshotter native docker.io/library/small:1 c "${@:2}" < /dev/null > $c/out 2>&1
}
checkpoint_containerd() {
	ctr c checkpoint --task --rw --image c docker.io/library/checkpoint:1 &&
		ctr task kill -s KILL c && wait_for 20 gone && ctr c rm c
}
restore_containerd() { ctr c restore --live --rw c docker.io/library/checkpoint:1 < /dev/null; }
clean_containerd() {
	ctr task kill -s KILL c
	sleep 1
	ctr task rm -f c
	ctr c rm c
	ctr images rm docker.io/library/checkpoint:1
}
gone() { [ -z "$(init_pid)" ]; }

docker_archive() {	# ROOT FILE: as docker save makes them
	local d=$c/archive layer config
	mkdir -p $d
	tar -C "$1" -cf $d/layer.tar .
	layer=$(sha256sum < $d/layer.tar | cut -d' ' -f1)
	printf '{"architecture":"amd64","os":"linux","config":{"Cmd":["/caba_tree"]},"rootfs":{"type":"layers","diff_ids":["sha256:%s"]}}' \
		"$layer" > $d/config.json
	config=$(sha256sum < $d/config.json | cut -d' ' -f1)
	mv $d/config.json "$d/$config.json"
	printf '[{"Config":"%s.json","RepoTags":["docker.io/library/small:1"],"Layers":["layer.tar"]}]' "$config" > $d/manifest.json
	tar -C $d -cf "$2" manifest.json "$config.json" layer.tar
	rm -rf $d
}

# A container of a runtime, with what runs in it, through checkpoint and
# restore: "case RUNTIME NAME WHICH same|refused|lost|wrong|broken WHY"
one_case() {	# RUNTIME NAME WHICH ROOT ARG...
	local runtime=$1 name=$2 which=$3 result=broken why='' before now was
	shift 3
	rm -rf $c/img $c/work $c/b
	mkdir -p $c/img $c/work
	choose "$which"
	touch $c/began
	: > $c/log
	if ! "start_$runtime" "$@" || ! wait_for 200 counts; then
		why="not started: $(tail -1 $c/log) $(tail -1 $c/out 2>/dev/null) $(state)"
	else
		if [[ $name == entered* ]]; then
			# By somebody who is over then: what it leaves was born outside
			"enter_$runtime" /caba_tree --leave < /dev/null > $c/out 2>&1 && wait_for 200 orphans ||
				why="nobody was left in it: $(tail -1 $c/out)"
		fi
		before=$(snap) was=$(state)
		if [ -n "$why" ]; then
			:
		elif ! "checkpoint_$runtime" > $c/out 2>&1; then
			result=refused
			why=$(first_error_in dump.log $c/work $c/img $c/podman $c/ctr /run 2>/dev/null)
			why=${why:-$(tail -1 $c/out)}
			[ "$(snap)" = "$before" ] || result=broken
			[ -z "$(goes_on "$was")" ] || result=broken
		elif ! "restore_$runtime" > $c/out 2>&1 || ! wait_for 200 counts; then
			result=lost
			why=$(first_error_in restore.log $c/work $c/img $c/podman $c/ctr /run 2>/dev/null)
			why=${why:-$(tail -1 $c/out)}
		else
			now=$(snap)
			why=$(goes_on "$was")
			if [ "$now" != "$before" ]; then
				why="$(diff <(echo "$before") <(echo "$now") | grep '^[<>]' | tr '\n' ';')"
			fi
			result=same
			[ -z "$why" ] || result=wrong
		fi
		# By which CRIU, as the runtime ran it, and at least once for each half
		if grep -qv "^$which " $c/ran 2>/dev/null || [ "$(cat $c/ran 2>/dev/null | wc -l)" -lt 2 ]; then
			[ "$result" = refused ] || result=broken why="CRIU that ran: $(tr '\n' ';' < $c/ran) $why"
		fi
	fi
	echo "case $runtime $name $which $result $why" | tr '\t' ' '
	end_of "$runtime"
}
# Whatever became of the container
end_of() {	# RUNTIME
	local init
	"clean_$1" > /dev/null 2>&1
	init=$(init_pid)
	[ -z "$init" ] || kill -9 "$init"
	wait_for 60 gone
}

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
	case $1 in export) program=podman ;; cri) program=containerd ;; esac
	command -v "$program" > /dev/null || { echo "this Debian has no $program"; return; }
	case $1 in
	crun)	crun --version | grep -q +CRIU || echo "$(crun --version | head -1) has no CRIU in it" ;;
	cri)	containerd --version | grep -q /v2 || echo "$(containerd --version) does not know CheckpointContainer" ;;
	esac
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
# ours, with the pids of that and of those below; "-" is somebody outside
snap() {
	cat /proc/[0-9]*/status 2>/dev/null | awk '
		function below(i, s) { for (i = 3; i <= NF; i++) s = s (i > 3 ? "/" : "") $i; return s }
		/^Name:/   { n++ }
		/^State:/  { zombie[n] = $2 == "Z" ? " zombie" : "" }
		/^PPid:/   { ppid[n] = $2 }
		/^NSpid:/  { depth[n] = NF; pid[n] = below(); if (NF > 2) at[$2] = pid[n] }
		/^NSpgid:/ { pgid[n] = below() }
		/^NSsid:/  { sid[n] = below() }
		/^NScaba:/ { caba[n] = NF > 2 ? below() : "-" }
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
init_pid() { cat /proc/[0-9]*/status 2>/dev/null | awk '/^NSpid:/ && NF == 3 && $3 == 1 { print $2 }'; }

# What those keep that count (caba_tree --init), a line for each: a word of its own, a
# counter, the sub-reapers. A service's redis keeps the first two, and counts whenever
# it is asked. Its nginx has to answer, too.
state() {
	local run answer redis
	run=/proc/$(init_pid)/root/run
	redis="redis-cli -s $run/redis.sock"
	if [ ! -S "$run/redis.sock" ]; then
		# Who has failed has it open no more
		{ find /proc/[0-9]*/fd -lname '*state' -exec cat {} +; cat "$run/state"; } | awk '!seen[$1]++'
	elif answer=$(curl -s --unix-socket "$run/nginx.sock" http://c/); then
		$redis set word "$(od -An -N8 -tx8 /dev/urandom | tr -d ' ')" nx > /dev/null
		echo "$($redis get word) $($redis incr n) $answer"
	fi 2> /dev/null
}
goes_on() {	# BEFORE: the same words and sub-reapers, and counters that still count
	local before=$1 one out i
	one=$(state)
	for ((i = 0; i < 300; i++)); do
		out=$(awk '
			FNR == 1 { f++ }
			NF { w = $1; n[f, w] = $2; $1 = $2 = ""; rest[f, w] = $0; words[w] }
			END {
				for (w in words)
					if (!((1, w) in n) || !((2, w) in n)) print "another run of it: " w
					else if (n[2, w] < n[1, w]) print "the counter went back: " n[1, w] " " n[2, w]
					else if (n[3, w] <= n[2, w]) print "the counter stands still at " n[2, w]
					else if (rest[1, w] != rest[3, w]) print "sub-reapers" rest[3, w] ", not" rest[1, w]
			}' <(echo "$before") <(echo "$one") <(state))
		[[ $out == *'stands still'* ]] || break
		sleep 0.2
	done
	echo "$out"
}
orphans() { [ "$(snap | awk '$1 != 1 && NF > 4 && $5 == "-" { print $2 }' | tr '\n' ' ')" = '1 1 ' ]; }
counts() { [[ $(state) == ????????????????' '* ]]; }

# A root with nothing in it but caba_tree, and a bundle around a root
small_root() {	# DIR
	mkdir -p "$1"/{proc,sys,dev,run,tmp,etc}
	cp "$criu/bin/caba_tree" "$1/caba_tree"
}
json() {	# STRING
	local s=$1
	s=${s//\\/\\\\}
	s=${s//\"/\\\"}
	s=${s//$'\t'/\\t}
	printf ',"%s"' "${s//$'\n'/\\n}"
}
# With $privileged=y it can start others, with what is in /tmp/bin. It has no
# cgroup namespace with $cgroupns=n.
bundle() {	# DIR ROOT NETNS ARG...: NETNS "" a new one, "host", or a file
	local dir=$1 root=$2 net=$3 a args caps m user='' cgroup=',{"type":"cgroup"}' more=''
	shift 3
	args=$(for a; do json "$a"; done)
	case $net in
	'')   net=',{"type":"network"}' ;;
	host) net= ;;
	*)    net=",{\"type\":\"network\",\"path\":\"$net\"}" ;;
	esac
	[ -z "${userns:-}" ] || user=',{"type":"user"}],"uidMappings":[{"containerID":0,"hostID":100000,"size":65536}],"gidMappings":[{"containerID":0,"hostID":100000,"size":65536}'
	caps='"CAP_CHOWN","CAP_DAC_OVERRIDE","CAP_FOWNER","CAP_SETUID","CAP_SETGID","CAP_KILL","CAP_NET_BIND_SERVICE"'
	[ "${cgroupns:-}" != n ] || cgroup=
	m='["nosuid","mode=755"]'
	if [ "${privileged:-}" = y ]; then
		caps="$caps,\"CAP_SYS_ADMIN\",\"CAP_NET_ADMIN\",\"CAP_MKNOD\",\"CAP_SETPCAP\",\"CAP_SYS_CHROOT\",\"CAP_SYS_PTRACE\",\"CAP_SYS_RESOURCE\""
		more=',
	  {"destination":"/sys","type":"sysfs","source":"sysfs"},
	  {"destination":"/sys/fs/cgroup","type":"cgroup","source":"cgroup"},
	  {"destination":"/run/bin","type":"bind","source":"/tmp/bin","options":["bind"]}'
	fi
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
	  {"destination":"/tmp","type":"tmpfs","source":"tmpfs","options":["mode=1777"]}$more],
	 "linux":{"namespaces":[{"type":"pid"},{"type":"mount"},{"type":"ipc"},{"type":"uts"}$cgroup$net$user]}}
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
exec_runc() { runc --log $c/log exec -d c "$@" < /dev/null > /dev/null 2>&1; }
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
exec_podman() { pod exec -d c "$@" > $c/out 2>&1; }
clean_podman() { pod rm -f -t 0 c; }

# To a file, from which a container is made anew
start_export() { start_podman "$@"; }
checkpoint_export() { pod container checkpoint --keep --export $c/exported.tar.gz c && pod rm -f -t 0 c > /dev/null; }
restore_export() { pod container restore --keep --import $c/exported.tar.gz; }
clean_export() { clean_podman; rm -f $c/exported.tar.gz; }

# It finds CRIU in the PATH that it was started with
ctr() { timeout 300 ctr -a $c/ctr.sock "$@"; }
containerd_is_up() {
	[ ! -S $c/ctr.sock ] || return 0
	printf 'version = 2\nroot = "%s/ctr"\nstate = "/run/ctr"\n[grpc]\n  address = "%s/ctr.sock"\n' $c $c > $c/ctr.toml
	printf '[ttrpc]\n  address = "%s/ctr.ttrpc"\n' $c >> $c/ctr.toml
	printf '[plugins."io.containerd.grpc.v1.cri"]\n  sandbox_image = "%s:1"\n' $cri_image >> $c/ctr.toml
	containerd -c $c/ctr.toml > $c/containerd.log 2>&1 &
	containerd=$!
	wait_for 60 ctr version > /dev/null 2>&1
}
has_image() {	# NAMESPACE ROOT
	[ -z "$(ctr -n $1 images ls -q)" ] || return 0
	docker_archive "$2" $c/image.tar
	ctr -n $1 images import $c/image.tar > /dev/null
}
start_containerd() {
	containerd_is_up && has_image default "$1" || return
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

# What a kubelet says to its containerd, as it says it: a pod in the machine's
# network and pid namespace, for which nothing has to be configured, with a
# container in a pid namespace of its own. Numbers are those of the CRI's fields;
# as a namespace 1 is the container's own, 2 the machine's.
cri_image=localhost:5000/small
start_cri() {	# ROOT ARG...
	# A pod's own process only waits
	cp "$(command -v busybox)" "$1" && containerd_is_up && cri_has_image "$1" || return
	pod=$(field 1 "$(text 1 c)$(text 2 c)$(text 3 c)")$(field 8 "$(field 2 "$(field 1 "$(number 1 2)$(number 2 2)")")")
	cri RunPodSandbox "$(field 1 "$pod")" && pod_id=$(id_said) && create_cri $cri_image:1 "${@:2}"
}
create_cri() {	# IMAGE|CHECKPOINT ARG...
	local config a
	config=$(field 1 "$(text 1 c)")$(field 2 "$(text 1 "$1")")$(for a in "${@:2}"; do text 3 "$a"; done)
	config+=$(field 15 "$(field 2 "$(field 3 "$(number 1 2)$(number 2 1)")")")
	cri CreateContainer "$(text 1 "$pod_id")$(field 2 "$config")$(field 3 "$pod")" &&
		container_id=$(id_said) && cri StartContainer "$(text 1 "$container_id")"
}
checkpoint_cri() {
	# After which it still runs
	cri CheckpointContainer "$(text 1 "$container_id")$(text 2 $c/img/checkpoint.tar)" &&
		cri StopContainer "$(text 1 "$container_id")" && cri RemoveContainer "$(text 1 "$container_id")" && wait_for 20 gone
}
restore_cri() { create_cri $c/img/checkpoint.tar; }
clean_cri() {
	cri StopPodSandbox "$(text 1 "$pod_id")"
	cri RemovePodSandbox "$(text 1 "$pod_id")"
}

# When a container comes back its image is asked for in the registry, by its
# digest, also where it is there
cri_has_image() {	# ROOT
	local digest dir=$c/registry/v2/${cri_image#*/}/manifests
	[ ! -e $c/registry.pid ] || return 0
	has_image k8s.io "$1" || return
	digest=$(ctr -n k8s.io images ls | awk '$1 ~ "/small:1$" { print $3 }')
	ctr -n k8s.io images tag docker.io/library/small:1 $cri_image:1 "$cri_image@$digest" > /dev/null || return
	mkdir -p "$dir"
	ctr -n k8s.io content get "$digest" > "$dir/$digest"
	cat > $c/registry.conf <<-CONF
	pid $c/registry.pid;
	error_log $c/registry.log;
	events { }
	http {
	access_log off;
	server { listen 127.0.0.1:5000; root $c/registry; default_type application/vnd.docker.distribution.manifest.v2+json; }
	}
	CONF
	nginx -c $c/registry.conf
}

# A message of gRPC; its fields, in hexadecimal, with a number, with a string, with
# fields of their own; what was said
cri() {	# METHOD MESSAGE
	local message
	message=00$(printf %08x $((${#2} / 2)))$2
	# shellcheck disable=SC2001,SC2059
	printf "$(sed 's/../\\x&/g' <<< "$message")" > $c/cri.in
	curl -s --max-time 300 --http2-prior-knowledge --unix-socket $c/ctr.sock -H 'content-type: application/grpc' \
		-H 'te: trailers' --data-binary @$c/cri.in -D $c/cri.said -o $c/cri.out "http://c/runtime.v1.RuntimeService/$1" || return
	grep -q '^grpc-status: 0' $c/cri.said || { echo "$1: $(sed -n 's/^grpc-message: //p' $c/cri.said | tr -d '\r')"; return 1; }
}
number() { varint $(($1 << 3)); varint "$2"; }
text() { field "$1" "$(printf %s "$2" | od -An -v -tx1 | tr -d ' \n')"; }
field() { varint $(($1 << 3 | 2)); varint $((${#2} / 2)); printf %s "$2"; }
varint() {
	local n=$1
	for ((; n > 127; n >>= 7)); do printf %02x $((n & 127 | 128)); done
	printf %02x $n
}
id_said() { grep -ao '[0-9a-f]\{64\}' $c/cri.out; }

docker_archive() {	# ROOT FILE: as docker save makes them
	local d=$c/archive layer config
	mkdir -p $d
	tar -C "$1" -cf $d/layer.tar .
	layer=$(sha256sum < $d/layer.tar | cut -d' ' -f1)
	printf '{"architecture":"amd64","os":"linux","config":{"Cmd":["/busybox","sleep","1000000"]},"rootfs":{"type":"layers","diff_ids":["sha256:%s"]}}' \
		"$layer" > $d/config.json
	config=$(sha256sum < $d/config.json | cut -d' ' -f1)
	mv $d/config.json "$d/$config.json"
	printf '[{"Config":"%s.json","RepoTags":["docker.io/library/small:1"],"Layers":["layer.tar"]}]' "$config" > $d/manifest.json
	tar -C $d -cf "$2" manifest.json "$config.json" layer.tar
	rm -rf $d
}

one_round() {	# RUNTIME
	local changed
	rm -rf $c/img $c/work
	mkdir -p $c/img $c/work
	if ! "checkpoint_$1" > $c/out 2>&1; then
		result=refused
		why=$(first_error_in dump.log $c/work $c/img $c/podman $c/ctr /run 2>/dev/null)
		why=${why:-$(tail -1 $c/out)}
		now=$(snap)
		changed=$(diff <(echo "$before") <(echo "$now") | grep '^[<>]' | tr '\n' ';')$(goes_on "$was")
		[ -z "$changed" ] || result=broken why="$why, and changed: $changed"
	elif ! "restore_$1" > $c/out 2>&1 || ! wait_for 200 "${ready:-counts}"; then
		result=lost
		why=$(first_error_in restore.log $c/work $c/img $c/podman $c/ctr /run 2>/dev/null)
		why=${why:-$(tail -1 $c/out)}
	else
		now=$(snap)
		why=$(goes_on "$was")
		if [ "$now" != "$before" ]; then
			why="$(diff <(echo "$before") <(echo "$now") | grep '^[<>]' | tr '\n' ';')"
		fi
		[ -z "$why" ] || result=wrong
		was=$(state)
	fi
}
# A container of a runtime, with what runs in it, through checkpoint and
# restore: "case RUNTIME NAME WHICH same|refused|lost|wrong|broken WHY". As often as
# $rounds says. It is complete when $ready is true.
one_case() {	# RUNTIME NAME WHICH ROOT ARG...
	local runtime=$1 name=$2 which=$3 result=broken why='' before now was n
	shift 3
	rm -rf $c/b
	choose "$which"
	touch $c/began
	: > $c/log
	if ! "start_$runtime" "$@" || ! wait_for 200 "${ready:-counts}"; then
		why="not started: $(tail -1 $c/log) $(tail -1 $c/out 2>/dev/null) $(state)"
	else
		if [[ $name == entered* ]]; then
			# By somebody who is over then: what it leaves was born outside
			"enter_$runtime" /caba_tree --leave < /dev/null > $c/out 2>&1 && wait_for 200 orphans ||
				why="nobody was left in it: $(tail -1 $c/out)"
		elif [ "$name" = execed ]; then
			"exec_$runtime" /caba_tree --init /run/other && wait_for 200 test -s "/proc/$(init_pid)/root/run/other" ||
				why="nothing was executed in it: $(tail -1 $c/out)"
		fi
		before=$(snap) was=$(state)
		if [ -z "$why" ]; then
			result=same
			for ((n = 0; n < ${rounds:-1}; n++)); do
				[ $result != same ] || one_round "$runtime"
			done
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

# SPDX-License-Identifier: GPL-2.0
# bash completion for cabatree(1)

_cabatree()
{
	local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]} words

	case $before in
	--signal)
		words=$(kill -l | tr -s '[:space:]' '\n' | sed -n 's/^SIG//p') ;;
	--proc)
		mapfile -t COMPREPLY < <(compgen -d -- "$word")
		return ;;
	--rounds)
		COMPREPLY=()
		return ;;
	*)
		if [[ $word == -* ]]; then
			words="--ppid --both --who --dot --json --watch --kernel-threads --user --time
				--pids --strays --signal --self --freeze --rounds --proc --help"
		else
			words=$(cd /proc && compgen -G '[0-9]*')
		fi ;;
	esac
	mapfile -t COMPREPLY < <(compgen -W "$words" -- "$word")
}
complete -F _cabatree cabatree

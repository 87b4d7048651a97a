/**
 * The completions for bash, zsh and fish, made from the command table (completion_rules.ts). Everything but
 * the names of endpoints stands in the script itself; those are asked of the daemon when one is due, in
 * silence and for a second at most.
 *
 * Nothing of an endpoint's name is ever evaluated by the shell: a VM says itself what it is called.
 *
 *   deno run -A scripts/build/man_page.ts completion [bash|zsh|fish]
 *
 * @module
 */
import { type CompletionRules, completionRules, type Place } from "./completion_rules.ts";

/** Shells for which there is one. */
export const SHELLS = ["bash", "zsh", "fish"] as const;
/** One of them. */
export type Shell = typeof SHELLS[number];

const ASK_SECONDS = 1;
/** A line of `vmsig ls --json` to its endpoint's name. */
const NAME = '.*"name":"\\([^"\\\\]*\\)".*';

/** The script of one shell. */
export async function completion(shell: Shell = "bash"): Promise<string> {
  const rules = await completionRules();
  switch (shell) {
    case "bash":
      return script(`# bash completion for vmsig; made from its command table.`, posixCore(rules), BASH);
    case "zsh":
      return script(
        `#compdef vmsig\n# zsh completion for vmsig; made from its command table.`,
        posixCore(rules),
        ZSH,
      );
    case "fish":
      return script(`# fish completion for vmsig; made from its command table.`, fishCore(rules));
  }
}

function script(...parts: readonly string[]): string {
  return parts.join("\n") + "\n";
}

/** What bash and zsh have in common. The answer is in variables of the caller. */
function posixCore({ commands, places, options, values }: CompletionRules): string {
  const set = ({ words, endpoints, files }: Place): string =>
    `candidates='${words.join(" ")}'${endpoints ? " endpoints=yes" : ""}${files ? " files=yes" : ""}`;
  return [
    "# Whether an option takes a value, and which: COMMAND OPTION.",
    "_vmsig_value() {",
    '  case "$1 $2" in',
    ...[...values].map(([key, value]) => `    '${key}') ${set(value)}${value.list ? " list=yes" : ""} ;;`),
    "    *) return 1 ;;",
    "  esac",
    "}",
    "# What may be typed: CURRENT WORD…, the words between vmsig and the cursor.",
    "_vmsig_rules() {",
    '  if [ -n "${ZSH_VERSION-}" ]; then emulate -L sh; fi',
    "  local current=$1 command= args= count=0 word",
    "  shift",
    '  while [ "$#" -gt 0 ]; do',
    "    word=$1",
    "    shift",
    "    # Options of every client may stand before the command.",
    '    if [ -z "$command" ]; then',
    "      case $word in",
    "        -*) ;;",
    "        *)",
    "          command=$word",
    "          continue",
    "          ;;",
    "      esac",
    "    fi",
    "    case $word in",
    "      --)",
    "        files=yes",
    "        return",
    "        ;;",
    "      --socket=*) socket=${word#*=} ;;",
    "      -*)",
    '        if _vmsig_value "$command" "$word"; then',
    '          if [ "${1-}" = = ]; then shift; fi',
    '          if [ "$#" -eq 0 ]; then return; fi',
    '          if [ "$word" = --socket ]; then socket=$1; fi',
    "          shift",
    "          candidates= endpoints= files= list=",
    "        fi",
    "        ;;",
    "      *)",
    '        args="$args $word"',
    "        count=$((count + 1))",
    "        ;;",
    "    esac",
    "  done",
    "  case $current in",
    "    -*)",
    "      case $command in",
    ...[...options].map(([name, list]) => `        ${name || "''"}) candidates='${list.join(" ")}' ;;`),
    "      esac",
    "      return",
    "      ;;",
    "  esac",
    '  if [ -z "$command" ]; then',
    `    candidates='${commands.join(" ")}'`,
    "    return",
    "  fi",
    '  case "$command $count$args" in',
    ...[...places].map(([pattern, place]) => `    ${quoted(pattern)}) ${set(place)} ;;`),
    "  esac",
    "}",
    "# The names of endpoints, one a line: PROGRAM SOCKET.",
    "_vmsig_endpoints() {",
    '  if [ -n "$2" ]; then',
    `    timeout ${ASK_SECONDS} "$1" ls --json --socket "$2"`,
    "  else",
    `    timeout ${ASK_SECONDS} "$1" ls --json`,
    `  fi </dev/null 2>/dev/null | sed -n 's/${NAME}/\\1/p'`,
    "}",
  ].join("\n");
}

/** A pattern in which only `*` is special to the shell. */
function quoted(pattern: string): string {
  return pattern.split("*").map((part) => part === "" ? "" : `'${part}'`).join("*");
}

const BASH = `_vmsig() {
  local candidates= endpoints= files= list= socket= prefix= word current=\${COMP_WORDS[COMP_CWORD]}
  # bash takes the = of --option=VALUE for a word.
  if [ "$current" = = ]; then current=; fi
  _vmsig_rules "$current" "\${COMP_WORDS[@]:1:COMP_CWORD-1}"
  COMPREPLY=()
  if [ -n "$list" ]; then
    case $current in
      *,*) prefix=\${current%,*}, current=\${current##*,} ;;
    esac
  fi
  for word in $candidates; do
    case $word in
      "$current"*) COMPREPLY+=("$prefix$word") ;;
    esac
  done
  if [ -n "$endpoints" ]; then
    while IFS= read -r word; do
      case $word in
        "$current"*) COMPREPLY+=("$(printf '%q' "$word")") ;;
      esac
    done < <(_vmsig_endpoints "\${COMP_WORDS[0]}" "$socket")
  fi
  if [ -n "$files" ]; then
    compopt -o filenames 2>/dev/null
    while IFS= read -r word; do COMPREPLY+=("$word"); done < <(compgen -f -- "$current")
  fi
}
complete -F _vmsig vmsig`;

const ZSH = `_vmsig() {
  local candidates= endpoints= files= list= socket=
  local -a names before
  local current=\${words[CURRENT]}
  before=("\${(@)words[2,CURRENT-1]}")
  if [[ $current == --*=* ]]; then
    before+=("\${current%%=*}")
    current=\${current#*=}
    compset -P '*='
  fi
  _vmsig_rules "$current" "\${before[@]}"
  if [[ -n $list ]]; then compset -P '*,'; fi
  names=(\${=candidates})
  if [[ -n $endpoints ]]; then names+=("\${(@f)$(_vmsig_endpoints "\${words[1]}" "$socket")}"); fi
  if (( $#names )); then compadd -a names; fi
  if [[ -n $files ]]; then _files; fi
}
if [[ "\${funcstack[1]-}" == _vmsig ]]; then
  _vmsig "$@"
else
  compdef _vmsig vmsig
fi`;

function fishCore({ commands, places, options, values }: CompletionRules): string {
  const print = ({ words, endpoints, files }: Place, list = false): string =>
    [
      ...words.length > 0
        ? [`${list ? '__vmsig_list "$prefix" "$token"' : '__vmsig_each "$prefix"'} ${words.join(" ")}`]
        : [],
      ...endpoints ? ['__vmsig_each "$prefix" (__vmsig_endpoints $program $socket)'] : [],
      ...files ? ['__vmsig_each "$prefix" (__fish_complete_path "$token")'] : [],
      "true",
    ].join("; ");
  return [
    "# What stands before the cursor in the word, and what may follow: PREFIX WORD…",
    "function __vmsig_each",
    "  if set -q argv[2]; printf '%s\\n' $argv[1]$argv[2..-1]; end",
    "end",
    "# One of several values with commas between them: PREFIX TOKEN WORD…",
    "function __vmsig_list",
    "  set -l before (string match -r '^.*,' -- $argv[2])",
    '  __vmsig_each "$argv[1]$before" $argv[3..-1]',
    "end",
    "# The names of endpoints, one a line: PROGRAM [SOCKET].",
    "function __vmsig_endpoints",
    "  set -l more",
    "  if set -q argv[2]; set more --socket $argv[2]; end",
    `  timeout ${ASK_SECONDS} $argv[1] ls --json $more </dev/null 2>/dev/null | sed -n 's/${
      NAME.replaceAll("\\", "\\\\")
    }/\\\\1/p'`,
    "end",
    "# Whether an option takes a value: COMMAND OPTION.",
    "function __vmsig_takes_value",
    '  switch "$argv"',
    `    case ${[...values.keys()].map((key) => `'${key}'`).join(" ")}`,
    "      return 0",
    "  end",
    "  return 1",
    "end",
    "function __vmsig_complete",
    "  set -l tokens (commandline -opc)",
    "  set -l program $tokens[1]",
    "  set -e tokens[1]",
    "  set -l command",
    "  set -l args",
    "  set -l socket",
    "  set -l option",
    "  set -l prefix",
    "  set -l token (commandline -ct)",
    "  for word in $tokens",
    "    if set -q option[1]",
    "      if test $option = --socket; set socket $word; end",
    "      set option",
    "    else if test $word = --",
    '      __fish_complete_path "$token"',
    "      return",
    "    else if string match -q -- '--socket=*' $word",
    "      set socket (string replace -- --socket= '' $word)",
    "    else if string match -q -- '-*' $word",
    '      if __vmsig_takes_value "$command $word"; set option $word; end',
    "    else if not set -q command[1]",
    "      set command $word",
    "    else",
    "      set args $args $word",
    "    end",
    "  end",
    "  # --option=VALUE is one word.",
    "  if not set -q option[1]; and string match -q -- '--*=*' $token",
    "    set option (string replace -r -- '=.*' '' $token)",
    "    set prefix $option=",
    "    set token (string replace -- $prefix '' $token)",
    "  end",
    "  if set -q option[1]",
    '    switch "$command $option"',
    ...[...values].map(([key, value]) => `      case '${key}'; ${print(value, value.list)}`),
    "    end",
    "    return",
    "  end",
    "  if string match -q -- '-*' $token",
    '    switch "$command"',
    ...[...options].map(([name, list]) => `      case '${name}'; printf '%s\\n' ${list.join(" ")}`),
    "    end",
    "    return",
    "  end",
    "  if not set -q command[1]",
    `    printf '%s\\n' ${commands.join(" ")}`,
    "    return",
    "  end",
    '  switch (string join -- " " $command (count $args) $args)',
    ...[...places].map(([pattern, place]) => `    case '${pattern}'; ${print(place)}`),
    "  end",
    "end",
    "complete -c vmsig -f -a '(__vmsig_complete)'",
  ].join("\n");
}

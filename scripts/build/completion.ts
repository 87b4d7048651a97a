/**
 * The completions for bash, zsh and fish, made from the command table (completion_rules.ts). Everything but
 * the names of endpoints, snapshots, consoles and questions stands in the script itself; those are asked of
 * the daemon (or of the NATS server that the line names) when one is due, in silence and for a second at
 * most.
 *
 * No name is ever evaluated by the shell: a VM says itself what it is called.
 *
 *   deno run -A scripts/build/man_page.ts completion [bash|zsh|fish]
 *
 * @module
 */
import { type Asked, type CompletionRules, completionRules, type Place } from "./completion_rules.ts";

/** Shells for which there is one. */
export const SHELLS = ["bash", "zsh", "fish"] as const;
/** One of them. */
export type Shell = typeof SHELLS[number];

const ASK_SECONDS = 1;
const WORD = '\\([^"\\\\]*\\)';

/** What is asked: the words behind vmsig (FIRST: the line's first argument), and how sed finds the names. */
const QUESTIONS: Readonly<Record<Asked, { readonly words: readonly string[]; readonly sed: string }>> = {
  // Over NATS an endpoint is HOST/NAME.
  endpoints: {
    words: ["ls"],
    sed: `s/^{"host":"${WORD}",.*"name":"${WORD}".*/\\1\\/\\2/p;t;s/.*"name":"${WORD}".*/\\1/p`,
  },
  snapshots: { words: ["vm", "FIRST", "snapshots"], sed: `/"savedMs":/s/.*"name":"${WORD}".*/\\1/p` },
  consoles: { words: ["console", "FIRST", "list"], sed: `s/.*"number":\\([0-9]*\\).*/\\1/p` },
  questions: { words: ["ask", "list"], sed: `s/.*"id":"${WORD}".*/\\1/p` },
};
/** Each object of a list at the beginning of a line: inside a text no quotation mark stands bare. */
const SPLIT = "tr '{' '\\n' | sed 's/^/{/'";
/** Options of the line that say whom to ask. */
const WHOM = ["--socket", "--nats", "--creds", "--nats-ca", "--as"];

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
  const set = ({ words, asked, behind, files }: Place): string =>
    [
      `candidates='${words.join(" ")}'`,
      ...asked === "" ? [] : [`asked=${asked}`],
      ...behind === "" ? [] : [`behind=${behind}`],
      ...files ? ["files=yes"] : [],
    ].join(" ");
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
    "  whom=()",
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
    `      ${WHOM.map((option) => `${option}=*`).join(" | ")}) whom+=("$word") ;;`,
    "      -*)",
    '        if _vmsig_value "$command" "$word"; then',
    '          if [ "${1-}" = = ]; then shift; fi',
    '          if [ "$#" -eq 0 ]; then return; fi',
    `          case $word in ${WHOM.join(" | ")}) whom+=("$word" "$1") ;; esac`,
    "          shift",
    "          candidates= asked= behind= files= list=",
    "        fi",
    "        ;;",
    "      *)",
    '        if [ "$count" -eq 0 ]; then first=$word; fi',
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
    "# What the daemon is asked, one name a line: WHAT PROGRAM FIRST [OPTION…].",
    "_vmsig_asked() {",
    "  local what=$1 program=$2 first=$3",
    "  shift 3",
    "  case $what in",
    ...Object.entries(QUESTIONS).flatMap(([what, { words, sed }]) => [
      `    ${what})`,
      `      timeout ${ASK_SECONDS} "$program" ${
        words.map((word) => word === "FIRST" ? '"$first"' : word).join(" ")
      } --json "$@" </dev/null 2>/dev/null | ${SPLIT} | sed -n '${sed}'`,
      "      ;;",
    ]),
    "  esac",
    "}",
  ].join("\n");
}

/** A pattern in which only `*` is special to the shell. */
function quoted(pattern: string): string {
  return pattern.split("*").map((part) => part === "" ? "" : `'${part}'`).join("*");
}

const BASH =
  `# bash takes a colon for a word of its own: WORD: and PATH are put together again, as they were typed.
_vmsig_words() {
  local i word last= rest=\${COMP_LINE-} follows
  line=()
  for ((i = 0; i <= COMP_CWORD; i++)); do
    word=\${COMP_WORDS[i]} follows=
    case $last in *:) follows=yes ;; esac
    case $word in :*) follows=yes ;; esac
    case $rest in '' | [[:blank:]]*) follows= ;; esac
    if [ "$i" -gt 0 ] && [ -n "$follows" ]; then
      line[\${#line[@]} - 1]+=$word
    else
      line+=("$word")
    fi
    rest=\${rest#"\${rest%%[![:blank:]]*}"}
    rest=\${rest#"$word"}
    last=$word
  done
}
_vmsig() {
  local candidates= asked= behind= files= list= first= prefix= word current
  local -a line whom
  _vmsig_words
  current=\${line[\${#line[@]} - 1]}
  # bash takes the = of --option=VALUE for a word.
  if [ "$current" = = ]; then current=; fi
  _vmsig_rules "$current" "\${line[@]:1:\${#line[@]} - 2}"
  COMPREPLY=()
  case "$candidates $current" in
    *file:*' file:'*)
      compopt -o filenames 2>/dev/null
      while IFS= read -r word; do COMPREPLY+=("$word"); done < <(compgen -f -- "\${current#file:}")
      return
      ;;
  esac
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
  if [ -n "$asked" ]; then
    while IFS= read -r word; do
      case $word$behind in
        "$current"*) COMPREPLY+=("$(printf '%q' "$word")$behind") ;;
      esac
    done < <(_vmsig_asked "$asked" "\${COMP_WORDS[0]}" "$first" "\${whom[@]}")
  fi
  if [ -n "$files" ]; then
    if [ \${#COMPREPLY[@]} -eq 0 ]; then compopt -o filenames 2>/dev/null; fi
    while IFS= read -r word; do COMPREPLY+=("$word"); done < <(compgen -f -- "$current")
  fi
  # The line goes on behind a colon, and only what stands behind the last one is replaced.
  case \${#COMPREPLY[@]}:\${COMPREPLY[0]-} in
    1:*:) compopt -o nospace 2>/dev/null ;;
  esac
  case $current in
    *:*) COMPREPLY=("\${COMPREPLY[@]#"\${current%"\${current##*:}"}"}") ;;
  esac
}
complete -F _vmsig vmsig`;

const ZSH = `_vmsig() {
  local candidates= asked= behind= files= list= first= word
  local -a names heads before whom
  local current=\${words[CURRENT]}
  before=("\${(@)words[2,CURRENT-1]}")
  if [[ $current == --*=* ]]; then
    before+=("\${current%%=*}")
    current=\${current#*=}
    compset -P '*='
  fi
  _vmsig_rules "$current" "\${before[@]}"
  if [[ $current == file:* && " $candidates " == *' file: '* ]]; then
    compset -P 'file:'
    _files
    return
  fi
  if [[ -n $list ]]; then compset -P '*,'; fi
  for word in \${=candidates}; do
    if [[ $word == *: ]]; then heads+=("$word"); else names+=("$word"); fi
  done
  if [[ -n $asked ]]; then
    for word in "\${(@f)$(_vmsig_asked "$asked" "\${words[1]}" "$first" "\${whom[@]}")}"; do
      if [[ -z $word ]]; then continue; fi
      if [[ -z $behind ]]; then names+=("$word"); else heads+=("$word$behind"); fi
    done
  fi
  if (( $#names )); then compadd -a names; fi
  # The word goes on behind a colon.
  if (( $#heads )); then compadd -S '' -a heads; fi
  if [[ -n $files ]]; then _files; fi
}
if [[ "\${funcstack[1]-}" == _vmsig ]]; then
  _vmsig "$@"
else
  compdef _vmsig vmsig
fi`;

function fishCore({ commands, places, options, values }: CompletionRules): string {
  const print = ({ words, asked, behind, files }: Place, list = false): string =>
    [
      ...words.length > 0
        ? [`${list ? '__vmsig_list "$prefix" "$token"' : '__vmsig_each "$prefix"'} ${words.join(" ")}`]
        : [],
      ...words.includes("file:")
        ? [
          "if string match -q 'file:*' -- $token; __vmsig_each \"$prefix\"file: " +
          "(__fish_complete_path (string replace file: '' -- $token)); end",
        ]
        : [],
      ...asked === ""
        ? []
        : [`__vmsig_each "$prefix" (__vmsig_asked ${asked} $program "$args[1]" $whom)${behind}`],
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
    "# What the daemon is asked, one name a line: WHAT PROGRAM FIRST [OPTION…].",
    "function __vmsig_asked",
    "  set -l program $argv[2]",
    "  set -l first $argv[3]",
    "  set -l whom $argv[4..-1]",
    "  switch $argv[1]",
    ...Object.entries(QUESTIONS).map(([what, { words, sed }]) =>
      `    case ${what}; timeout ${ASK_SECONDS} $program ${
        words.map((word) => word === "FIRST" ? '"$first"' : word).join(" ")
      } --json $whom </dev/null 2>/dev/null | ${SPLIT} | sed -n '${sed.replaceAll("\\", "\\\\")}'`
    ),
    "  end",
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
    "  set -l whom",
    "  set -l option",
    "  set -l prefix",
    "  set -l token (commandline -ct)",
    "  for word in $tokens",
    "    if set -q option[1]",
    `      if contains -- $option ${WHOM.join(" ")}; set whom $whom $option $word; end`,
    "      set option",
    "    else if test $word = --",
    '      __fish_complete_path "$token"',
    "      return",
    `    else if string match -qr -- '^(${WHOM.join("|")})=' $word`,
    "      set whom $whom $word",
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

/**
 * Checks what a reader meets: that no comment is wider than a page and no source longer than one concept,
 * that every file that comments and pages name is there, that every link of a page leads somewhere, and that
 * they cite nothing a stranger cannot open.
 *
 *   deno run -A scripts/build/comments.ts
 *
 * @module
 */

/** Columns of a line with a comment, its indentation included. */
const COLUMNS = 110;
/** Lines of a source file at most. */
const MOST_LINES = 400;
/** Sources whose length is bounded. */
const BOUNDED = /^(src|ffi|scripts)\/.*\.(ts|py)$|^main\.ts$/;
const ROOT = new URL("../../", import.meta.url).pathname;
const SOURCES =
  /\.(ts|c|h|sh|md|py)$|^scripts\/(demo|test|build-shim)$|^scripts\/.*\/(demo|test|build-shim)$|^\.ci\/run$/;
/** A name with a folder or an ending of ours. */
const NAMED =
  /(?<![\w/.:~$-])((?:[\w.-]+\/)*[\w-][\w.-]*\.(?:ts|c|h|md|sh|py|toml|service|tmpfiles))(?![\w/-])/g;
/** Files that are named and belong to somebody else, or to the reader. */
const ELSEWHERE =
  /NAME|^mine\.(ts|py)$|^(linux|sys|netinet|vgasrc)\/|^(input-event-codes|mod|main|worker|NAME|vmsigd|name)\.\w+$|^(capability|fcntl|input)\.h$/;
const UNSEEN =
  /\bseed header|\bshared\/(CONTRACT|FACTS|ARCHITECTURE|seeds)|\bthe contract('s)?\b|\(contract\b|\bcontract[,:)]/i;

/** A Markdown link or image, and what it leads to. */
const LINK = /\]\(<?([^)\s>]+)>?(?:\s+"[^"]*")?\)|^\[[^\]]+\]:\s*<?([^\s>]+)/g;
/** What leads out of the project. */
const OUTSIDE = /^([a-z][a-z0-9+.-]*:|\/\/)/i;

/** The anchors of a page's headings, as code hosts make them. */
export function anchorsOf(text: string): Set<string> {
  const anchors = new Set<string>();
  for (const [, title = ""] of text.matchAll(/^#{1,6}\s+(.+?)\s*$/gm)) {
    const plain = title.replace(/\[([^\]]*)\]\([^)]*\)/g, "$1").toLowerCase();
    const anchor = plain.replace(/[^\p{L}\p{N}\s_-]/gu, "").replace(/\s/g, "-");
    let name = anchor;
    for (let n = 1; anchors.has(name); n++) name = `${anchor}-${n}`;
    anchors.add(name);
  }
  return anchors;
}

/**
 * Links of a page that lead nowhere, one line each.
 *
 * @param path of the page, from the project's top
 * @param read the text of a file or "" for a folder, by its path from the top; undefined when it is not there
 */
export function linkFaults(
  path: string,
  text: string,
  read: (path: string) => string | undefined,
): string[] {
  const faults: string[] = [];
  let isFenced = false;
  text.split("\n").forEach((line, i) => {
    if (/^\s*(```|~~~)/.test(line)) isFenced = !isFenced;
    if (isFenced) return;
    for (const [, inline, reference] of line.replace(/`[^`]*`/g, "").matchAll(LINK)) {
      const link = inline ?? reference ?? "";
      if (OUTSIDE.test(link)) continue;
      const [file = "", anchor] = link.split("#");
      const target = file === ""
        ? path
        : new URL(file, `file:///${file.startsWith("/") ? "" : path}`).pathname.slice(1);
      const there = file === "" ? text : read(decodeURIComponent(target));
      if (there === undefined) {
        faults.push(`${path}:${i + 1}: links to ${link}, and there is no such file`);
      } else if (anchor !== undefined && target.endsWith(".md") && !anchorsOf(there).has(anchor)) {
        faults.push(`${path}:${i + 1}: links to ${link}, and there is no such heading`);
      }
    }
  });
  return faults;
}

/** The comment of a line, or undefined: enough for the way they are written here. */
export function commentOf(path: string, line: string): string | undefined {
  if (path.endsWith(".md")) return line;
  const mark = /\.(ts|c|h)$/.test(path) ? /^\s*(\/\/|\/\*|\*(\s|\/|$))|\s\/\/ / : /^\s*#(?!!)/;
  const at = line.search(mark);
  return at < 0 ? undefined : line.slice(at);
}

/** What is wrong with a file's comments, one line each. */
export function commentFaults(
  path: string,
  text: string,
  exists: (name: string, from: string) => boolean,
): string[] {
  const faults: string[] = [];
  text.split("\n").forEach((line, i) => {
    const comment = commentOf(path, line);
    if (comment === undefined) return;
    const place = `${path}:${i + 1}`;
    if (!path.endsWith(".md") && [...line].length > COLUMNS) {
      faults.push(`${place}: a comment of ${[...line].length} columns; wrap it at ${COLUMNS}`);
    }
    if (UNSEEN.test(comment)) {
      faults.push(`${place}: cites what a stranger cannot open: ${UNSEEN.exec(comment)?.[0]}`);
    }
    for (const [, name = ""] of comment.matchAll(NAMED)) {
      if (!ELSEWHERE.test(name) && !exists(name, path)) {
        faults.push(`${place}: names ${name}, and there is no such file`);
      }
    }
  });
  return faults;
}

/** Whether a source is too long: one line that says so, or none. */
export function lengthFaults(path: string, text: string): string[] {
  const lines = text.replace(/\n$/, "").split("\n").length;
  if (!BOUNDED.test(path) || lines <= MOST_LINES) return [];
  return [`${path}:${MOST_LINES + 1}: a file of ${lines} lines; split it by concept, ${MOST_LINES} at most`];
}

async function trackedFiles(): Promise<string[]> {
  const { stdout } = await new Deno.Command("git", {
    args: ["ls-files", "-z", "-c", "-o", "--exclude-standard"],
    cwd: ROOT,
  }).output();
  return new TextDecoder().decode(stdout).split("\0").filter((name) => name !== "");
}

if (import.meta.main) {
  const files = await trackedFiles();
  const whole = new Set(files);
  const bases = new Set(files.map((file) => file.split("/").at(-1) ?? ""));
  const exists = (name: string, from: string): boolean => {
    if (!name.includes("/")) return bases.has(name);
    const clean = name.replace(/^(\.\.?\/)+/, "");
    const folder = from.split("/").slice(0, -1).join("/");
    return whole.has(clean) || whole.has(`src/${clean}`) || whole.has(`${folder}/${clean}`) ||
      files.some((file) => file.endsWith(`/${clean}`));
  };
  const read = (path: string): string | undefined => {
    const clean = path.replace(/\/$/, "");
    if (files.some((file) => file.startsWith(`${clean}/`))) return "";
    return whole.has(clean) ? Deno.readTextFileSync(`${ROOT}${clean}`) : undefined;
  };
  const faults = files.filter((file) => SOURCES.test(file)).flatMap((file) => {
    let text: string;
    try {
      text = Deno.readTextFileSync(`${ROOT}${file}`);
    } catch (error) {
      if (error instanceof Deno.errors.NotFound) return [];
      throw error;
    }
    const links = file.endsWith(".md") ? linkFaults(file, text, read) : [];
    return [...commentFaults(file, text, exists), ...lengthFaults(file, text), ...links];
  });
  for (const fault of faults) console.error(fault);
  if (faults.length > 0) {
    console.error(`comments: ${faults.length} to mend`);
    Deno.exit(1);
  }
  console.log(`comments: ${files.length} files, every file that they name is there`);
}

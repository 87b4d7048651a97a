/**
 * Checks the ranks of folders: a source file imports its own folder or a lower rank only, equal ranks do not
 * know each other, and no imports (type imports included) go in a circle between files. It reads the import
 * graph from `deno info`, so what it checks is what Deno resolves.
 *
 *   deno run -A scripts/build/layers.ts
 *
 * @module
 */

/** Rank of each folder; a longer path wins over a shorter one. */
const RANKS: readonly (readonly [folder: string, rank: number])[] = [
  // Package faces: they bring together what their use needs, from above the folder that they are named after.
  ["src/core/mod.ts", 5],
  ["src/guest/mod.ts", 3],
  ["src/v2v/mod.ts", 3],
  ["src/base", 0],
  ["ffi", 1],
  ["src/event", 1],
  ["src/guest", 1],
  ["src/v2v", 1],
  ["src/qemu/monitor", 3],
  ["src/qemu", 1],
  ["src/rfb", 1],
  ["src/dbus", 1],
  ["src/toml", 1],
  ["src/protocol", 2],
  ["src/context", 2],
  ["src/access", 2],
  ["src/vgpu", 2],
  ["src/ram", 2],
  ["src/rendezvous", 2],
  ["src/core", 3],
  ["src/display", 3],
  ["src/adapters", 4],
  ["src/hosts", 4],
  ["src/controls", 4],
  ["src/roster", 5],
  ["src/daemon", 6],
  ["src/client/cli", 9],
  ["src/client", 6],
  ["src/testing", 7],
  ["src/nats/wire", 3],
  ["src/nats/reader", 5],
  ["src/nats", 7],
  ["src/web", 7],
  ["src/mcp", 8],
  ["main.ts", 10],
];

const ROOT = new URL("../../", import.meta.url);

/** Who imports whom, by paths relative to the top. */
export type ImportGraph = ReadonlyMap<string, ReadonlySet<string>>;

interface Dependency {
  readonly code?: { readonly specifier?: string };
  readonly type?: { readonly specifier?: string };
}

interface ModuleInfo {
  readonly specifier: string;
  readonly dependencies?: readonly Dependency[];
}

/** The folder with a rank that a file belongs to. */
function placeOf(file: string): { folder: string; rank: number } | undefined {
  const found = RANKS.find(([folder]) => file === folder || file.startsWith(`${folder}/`));
  return found === undefined ? undefined : { folder: found[0], rank: found[1] };
}

/** The TypeScript files of the checkout, relative to its top. */
function sourceFiles(): string[] {
  const files: string[] = [];
  const folders = ["src", "ffi"];
  for (let folder = folders.pop(); folder !== undefined; folder = folders.pop()) {
    for (const entry of Deno.readDirSync(new URL(folder, ROOT))) {
      const path = `${folder}/${entry.name}`;
      if (entry.isDirectory) folders.push(path);
      else if (path.endsWith(".ts") && !path.endsWith(".d.ts")) files.push(path);
    }
  }
  try {
    if (Deno.statSync(new URL("main.ts", ROOT)).isFile) files.push("main.ts");
  } catch (error) {
    // Before there is a main.ts the folders alone are checked.
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
  return files.sort();
}

/** Who imports whom, by paths relative to the top. */
async function importGraph(files: readonly string[]): Promise<Map<string, Set<string>>> {
  const graph = new Map<string, Set<string>>();
  const left = [...files];
  for (let file = left.pop(); file !== undefined; file = left.pop()) {
    if (graph.has(file)) continue;
    const command = new Deno.Command(Deno.execPath(), {
      args: ["info", "--json", "--no-remote", new URL(file, ROOT).pathname],
      stdout: "piped",
      stderr: "piped",
    });
    const { success, stdout, stderr } = await command.output();
    if (!success) throw new Error(`Cannot read the imports of ${file}: ${new TextDecoder().decode(stderr)}`);
    const { modules } = JSON.parse(new TextDecoder().decode(stdout)) as { modules: ModuleInfo[] };
    for (const module of modules) {
      if (!module.specifier.startsWith(ROOT.href)) continue;
      const targets = (module.dependencies ?? []).flatMap((
        { code, type },
      ) => [code?.specifier, type?.specifier]);
      const inside = targets.filter((target) => target?.startsWith(ROOT.href));
      graph.set(
        module.specifier.slice(ROOT.href.length),
        new Set(inside.map((target) => (target ?? "").slice(ROOT.href.length))),
      );
    }
  }
  return graph;
}

/**
 * Imports that the ranks forbid, one line each; the graph tells what each file imports, by paths relative to
 * the top.
 */
export function rankFaults(graph: ImportGraph): string[] {
  const faults: string[] = [];
  for (const [file, targets] of graph) {
    const from = placeOf(file);
    if (from === undefined) {
      if (file.startsWith("src/")) {
        faults.push(`${file}: its folder has no rank; add it to scripts/build/layers.ts`);
      }
      continue;
    }
    for (const target of targets) {
      const to = placeOf(target);
      if (to === undefined) faults.push(`${file} imports ${target}, which is outside the checkout`);
      else if (to.folder !== from.folder && to.rank >= from.rank) {
        faults.push(`${file} (rank ${from.rank}) imports ${target} (rank ${to.rank})`);
      }
    }
  }
  return faults;
}

/** Circles of imports between files, one line each. */
export function circles(graph: ImportGraph): string[] {
  const found: string[] = [];
  const done = new Set<string>();
  const path: string[] = [];
  const visit = (file: string): void => {
    const at = path.indexOf(file);
    if (at >= 0) found.push(`circle: ${[...path.slice(at), file].join(" -> ")}`);
    if (at >= 0 || done.has(file)) return;
    path.push(file);
    for (const target of graph.get(file) ?? []) visit(target);
    path.pop();
    done.add(file);
  };
  for (const file of graph.keys()) visit(file);
  return found;
}

if (import.meta.main) {
  const graph = await importGraph(sourceFiles());
  const faults = [...rankFaults(graph), ...circles(graph)];
  for (const fault of faults) console.error(`vmsig: layers: ${fault}`);
  if (faults.length > 0) Deno.exit(1);
  console.log(`layers: ${graph.size} files, no import upwards, sideways or in a circle`);
}

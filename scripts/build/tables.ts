/**
 * Checks the tables that everything else is made from: the catalogue of kinds and capabilities
 * (src/event/catalogue.ts) and the list of seams (src/adapters/seams.ts). Both check themselves when they are
 * loaded, and say which row is wrong; this says where the row stands. A cell that is missing does not
 * compile.
 *
 *   deno run -A scripts/build/tables.ts
 *
 * @module
 */
import { messageOf } from "../../src/base/fault.ts";

const ROOT = new URL("../../", import.meta.url);

/** A table: what to load, where its rows stand, and how a row begins. */
interface Table {
  readonly module: string;
  readonly folder: string;
  readonly rowOf: (name: string) => RegExp;
}

const TABLES: readonly Table[] = [
  {
    module: "src/event/catalogue.ts",
    folder: "src/event",
    rowOf: (name) => new RegExp(`^\\s*${name}: (\\{|0x)`),
  },
  {
    module: "src/adapters/seams.ts",
    folder: "src/adapters",
    rowOf: (name) => new RegExp(`^\\s*name: "${name}"`),
  },
];

/**
 * Faults of a table as the gate prints them: "file:line: row: what is wrong".
 *
 * @param message what the table threw when it was loaded
 * @param files the text of each file that may have rows, by its path
 */
export function placedFaults(
  message: string,
  files: ReadonlyMap<string, string>,
  rowOf: (name: string) => RegExp,
  module: string,
): string[] {
  const list = / is in order: | are in order: /.exec(message);
  if (list === null) return [`${module}:1: ${message}`];
  return message.slice(list.index + list[0].length).split("; ").map((fault) => {
    const row = rowOf(fault.slice(0, fault.indexOf(":")));
    let place = `${module}:1`;
    // Of two rows with one name the last is the one that came later.
    for (const [path, text] of files) {
      const at = text.split("\n").findLastIndex((line) => row.test(line));
      if (at >= 0) place = `${path}:${at + 1}`;
    }
    return `${place}: ${fault}`;
  });
}

function filesUnder(folder: string, files: Map<string, string> = new Map()): Map<string, string> {
  for (const entry of Deno.readDirSync(new URL(folder, ROOT))) {
    const path = `${folder}/${entry.name}`;
    if (entry.isDirectory) filesUnder(path, files);
    else if (path.endsWith(".ts")) files.set(path, Deno.readTextFileSync(new URL(path, ROOT)));
  }
  return files;
}

if (import.meta.main) {
  const faults: string[] = [];
  for (const { module, folder, rowOf } of TABLES) {
    try {
      await import(new URL(module, ROOT).href);
    } catch (error) {
      faults.push(...placedFaults(messageOf(error), filesUnder(folder), rowOf, module));
      // What is loaded next is made from this one.
      break;
    }
  }
  for (const fault of faults) console.error(fault);
  if (faults.length > 0) Deno.exit(1);
  console.log(`tables: ${TABLES.length} in order`);
}

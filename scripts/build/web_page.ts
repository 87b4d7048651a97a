/**
 * Bundles the page of `vmsig web` and packs it into src/web/page_assets.ts, which is committed: whoever runs
 * vmsig from the sources, or compiles it, needs no bundler. The assets name the sources that they were made
 * of, and a test compares.
 *
 *   deno run -A scripts/build/web_page.ts
 *
 * @module
 */
import { gzipSync } from "node:zlib";

const ROOT = new URL("../../", import.meta.url).pathname;
const PAGE = `${ROOT}src/web/page`;
const ASSETS = `${ROOT}src/web/page_assets.ts`;
const PLAIN = ["index.html", "icon.svg"];
/** Sources that are bundled, each a file of the page. */
const BUNDLED = ["app.js", "console.js"];
/** Packages that are in the page. */
const PACKAGES = ["@novnc/novnc", "@xterm/xterm"];

/** SHA-256 of all that the page is made of. */
export async function sourcesHash(): Promise<string> {
  const names = [...Deno.readDirSync(PAGE)].map(({ name }) => name).sort();
  const parts = names.map((name) => `${name}\n${Deno.readTextFileSync(`${PAGE}/${name}`)}\n`);
  const bytes = new TextEncoder().encode(`${PACKAGES.map(placeOf).join("\n")}\n${parts.join("")}`);
  const digest = await crypto.subtle.digest("SHA-256", bytes);
  return Array.from(new Uint8Array(digest), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** Where deno.json has a package from, with its version. */
function placeOf(name: string): string {
  const { imports } = JSON.parse(Deno.readTextFileSync(`${ROOT}deno.json`)) as {
    imports: Record<string, string>;
  };
  return imports[name] ?? "";
}

/** The style of the page, and that of the terminal, which is its package's. */
async function style(): Promise<Uint8Array> {
  const ofTerminal = new URL(import.meta.resolve(`${placeOf("@xterm/xterm")}/css/xterm.css`));
  const texts = [Deno.readTextFile(`${PAGE}/style.css`), Deno.readTextFile(ofTerminal)];
  return new TextEncoder().encode((await Promise.all(texts)).join("\n"));
}

async function bundled(name: string): Promise<Uint8Array> {
  const out = await Deno.makeTempFile({ prefix: "vmsig-page-", suffix: ".js" });
  try {
    const { code, stderr } = await new Deno.Command(Deno.execPath(), {
      args: [
        "bundle",
        "--quiet",
        "--minify",
        "--platform",
        "browser",
        "--output",
        out,
        `src/web/page/${name}`,
      ],
      cwd: ROOT,
      stdout: "null",
      stderr: "piped",
    }).output();
    if (code !== 0) throw new Error(`Cannot bundle the page: ${new TextDecoder().decode(stderr)}`);
    return await Deno.readFile(out);
  } finally {
    await Deno.remove(out);
  }
}

if (import.meta.main) {
  const files = new Map<string, Uint8Array>([["style.css", await style()]]);
  for (const name of BUNDLED) files.set(name, await bundled(name));
  for (const name of PLAIN) files.set(name, await Deno.readFile(`${PAGE}/${name}`));
  let text = `/**
 * The files of the page, packed by gzip, in base64: made by scripts/build/web_page.ts, not by hand. app.js
 * holds noVNC 1.7.0 (MPL-2.0), unchanged but for the bundling: its source is the npm package
 * \`@novnc/novnc\`. console.js and style.css hold xterm.js 6.0.0 (MIT), likewise: the npm package
 * \`@xterm/xterm\`.
 * @module
 */

/** SHA-256 of what they were made of. */
export const PAGE_SOURCES = "${await sourcesHash()}";

/** Packed files by name. */
export const PAGE_FILES: Readonly<Record<string, string>> = {
`;
  for (const [name, bytes] of files) {
    const packed = gzipSync(bytes, { level: 9 });
    text += `  "${name}":\n    "${packed.toString("base64")}",\n`;
    console.log(`${name}: ${bytes.length} bytes, ${packed.length} packed`);
  }
  await Deno.writeTextFile(ASSETS, `${text}};\n`);
}

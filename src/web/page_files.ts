/**
 * The files of the page, as they are sent. They are made by scripts/build/web_page.ts, packed, and loaded
 * with this module alone.
 * @module
 */
import { PAGE_FILES } from "./page_assets.ts";

/** What each path is. */
const TYPES: Readonly<Record<string, readonly [file: string, type: string]>> = {
  "/": ["index.html", "text/html; charset=utf-8"],
  "/app.js": ["app.js", "text/javascript; charset=utf-8"],
  "/console.js": ["console.js", "text/javascript; charset=utf-8"],
  "/style.css": ["style.css", "text/css; charset=utf-8"],
  "/icon.svg": ["icon.svg", "image/svg+xml"],
};

/** The answer for a file of the page; undefined when the page has no such file. */
export async function pageFile(path: string, request: Request): Promise<Response | undefined> {
  const [file, type] = Object.hasOwn(TYPES, path) ? TYPES[path] ?? [] : [];
  const packed = file === undefined ? undefined : PAGE_FILES[file];
  if (packed === undefined || type === undefined) return undefined;
  const bytes = Uint8Array.from(atob(packed), (c) => c.charCodeAt(0));
  if (/\bgzip\b/.test(request.headers.get("accept-encoding") ?? "")) {
    return new Response(bytes, {
      headers: { "content-type": type, "content-encoding": "gzip", "vary": "accept-encoding" },
    });
  }
  const plain = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Response(await new Response(plain).bytes(), { headers: { "content-type": type } });
}

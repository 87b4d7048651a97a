/**
 * Who gets in at `vmsig web`, and what is answered to everybody else: the server over a real daemon's stub,
 * asked as browsers and as others ask.
 */
import "../ffi/loaded_shim.ts";
import { assert, assertEquals, assertMatch, assertNotEquals, assertThrows } from "@std/assert";
import { Fault } from "../../../src/base/fault.ts";
import { MOST_OF_ONE, MOST_SESSIONS, Sessions } from "../../../src/web/sessions.ts";
import { HEADERS, loopbackOrigins, parseOrigin, SiteRules } from "../../../src/web/site_rules.ts";
import { hashOf, MOST_WRONG, parseTokens, readTokens, Tokens } from "../../../src/web/tokens.ts";
import { MessageBudget, MOST_AT_ONCE } from "../../../src/web/message_budget.ts";
import { MOST_MESSAGE, MOST_PASTE, parseMessage } from "../../../src/web/message.ts";
import { PAGE_FILES, PAGE_SOURCES } from "../../../src/web/page_assets.ts";
import { pageFile } from "../../../src/web/page_files.ts";
import { sourcesHash } from "../../../scripts/build/web_page.ts";

const TOKEN = "a token of a person";

Deno.test("token files: names and hashes, each once, for their user's eyes alone", async () => {
  const hash = await hashOf(TOKEN);
  const other = await hashOf("another token of one");
  assertEquals([...parseTokens(`# people\n\nann ${hash}\nbob\t${other}\r\n`)], [[hash, "ann"], [
    other,
    "bob",
  ]]);
  for (
    const wrong of [
      `ann ${TOKEN}`,
      `ann ${hash.toUpperCase()}`,
      `an/n ${hash}`,
      `${"a".repeat(33)} ${hash}`,
      `ann ${hash}\nann ${other}`,
      `ann ${hash}\nbob ${hash}`,
    ]
  ) assertThrows(() => parseTokens(wrong), Fault);
  const dir = await Deno.makeTempDir({ prefix: "vmsig-web-" });
  try {
    const path = `${dir}/people`;
    await Deno.writeTextFile(path, `ann ${hash}\n`, { mode: 0o644 });
    assertThrows(() => readTokens(path), Fault, "others may read it");
    await Deno.chmod(path, 0o600);
    assertEquals(readTokens(path).size, 1);
    assertThrows(() => readTokens(dir), Fault, "plain file");
    await Deno.writeTextFile(path, "");
    assertThrows(() => readTokens(path), Fault, "no name");
    await Deno.writeTextFile(path, "#".repeat(70_000));
    assertThrows(() => readTokens(path), Fault, "at most");

    // A name that was taken out of the file does not come in any more.
    await Deno.writeTextFile(path, `ann ${hash}\n`);
    const tokens = new Tokens(path);
    assertEquals(await tokens.identify(TOKEN), { name: "ann", as: "token:ann" });
    assertEquals(tokens.names(), ["ann"]);
    await Deno.writeTextFile(path, `ann ${other}\n`);
    assertEquals(await tokens.identify(TOKEN), undefined);

    // Who sends wrong ones keeps those out who guess, and not who has a right one; the file counts as it is.
    const right = "another token of one";
    assertEquals(await tokens.identify(right), { name: "ann", as: "token:ann" });
    while (await tokens.identify("not a token of anybody") !== "slow");
    assertEquals(await tokens.identify(right), { name: "ann", as: "token:ann" });
    await Deno.writeTextFile(path, `bob ${hash}\n`);
    assertEquals(await tokens.identify(right), undefined);
    // While it all took its time, some may be tried again.
    while (await tokens.identify("too short") !== "slow");
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
});

Deno.test("links: worth one use, then the next one is told; wrong tokens are slowed down", async () => {
  const next: string[] = [];
  const tokens = new Tokens(undefined, (secret) => next.push(secret));
  const first = await tokens.newLink();
  assertMatch(first, /^[\w-]{43}$/);
  assertEquals(await tokens.identify(first.slice(0, -1)), undefined);
  assertEquals(await tokens.identify(first), { name: "link", as: "" });
  assertEquals(await tokens.identify(first), undefined);
  assertEquals(next.length, 1);
  assertNotEquals(next[0], first);
  assertEquals(await tokens.identify("too short"), "short");
  const outcomes = new Set<unknown>();
  for (let i = 0; i < 3 * MOST_WRONG; i++) outcomes.add(await tokens.identify("not a token of anybody"));
  assert(outcomes.has("slow"));
  assertEquals(await tokens.identify(next[0] ?? ""), { name: "link", as: "" });
});

Deno.test("sessions: by a cookie that scripts and other sites do not get, bounded, ended", async () => {
  const sessions = new Sessions("vmsig-1", true);
  const ann = { name: "ann", as: "token:ann" };
  const { cookie: set } = await sessions.begin(ann);
  assertMatch(set, /^vmsig-1=[\w-]{43}; Path=\/; Max-Age=\d+; HttpOnly; SameSite=Strict; Secure$/);
  const [cookie = ""] = set.split(";");
  const asked = (value: string) => new Request("http://127.0.0.1:1/", { headers: { cookie: value } });
  const session = await sessions.of(asked(`other=1; ${cookie}`));
  assertEquals(session?.name, "ann");
  for (const wrong of [`${cookie}x`, cookie.replace("vmsig-1", "vmsig-2"), "vmsig-1=", "", "vmsig-1"]) {
    assertEquals(await sessions.of(asked(wrong)), undefined);
  }
  // One person drives out no other's, but the own oldest; everybody together the oldest of all.
  for (let i = 0; i < 64; i++) await sessions.begin({ name: "bob", as: "token:bob" });
  assertEquals([sessions.size, session?.signal.aborted], [1 + MOST_OF_ONE, false]);
  // A token that is called as the link is somebody else.
  await sessions.begin({ name: "link", as: "" });
  await sessions.begin({ name: "link", as: "token:link" });
  sessions.endAllOf("token:link");
  assertEquals(sessions.size, 2 + MOST_OF_ONE);
  for (let i = 0; i < 64; i++) await sessions.begin({ name: `n${i}`, as: `token:n${i}` });
  assertEquals(sessions.size, MOST_SESSIONS);
  assertEquals(session?.signal.aborted, true);
  assertEquals(await sessions.of(asked(cookie)), undefined);
  sessions.endAll();
  assertEquals(sessions.size, 0);
});

Deno.test("hosts and origins: ours alone, to the letter", () => {
  const rules = new SiteRules(loopbackOrigins("http", 8470));
  const asked = (headers: Record<string, string>) => new Request("http://127.0.0.1:8470/", { headers });
  for (const host of ["127.0.0.1:8470", "localhost:8470", "[::1]:8470"]) {
    assert(rules.isOurHost(asked({ host })), host);
    assert(rules.isOurOrigin(asked({ origin: `http://${host}` })), host);
  }
  for (const host of ["evil.example", "127.0.0.1", "127.0.0.1:8471", "localhost.evil.example:8470", ""]) {
    assert(!rules.isOurHost(asked({ host })), host);
    assert(!rules.isOurOrigin(asked({ origin: `http://${host}` })), host);
  }
  assert(!rules.isOurOrigin(asked({})));
  assert(!rules.isOurOrigin(asked({ origin: "null" })));
  assert(!rules.isOurOrigin(asked({ origin: "https://127.0.0.1:8470" })));
  assert(rules.isFromElsewhere(asked({ "sec-fetch-site": "cross-site" })));
  assert(rules.isFromElsewhere(asked({ "sec-fetch-site": "same-site" })));
  assert(!rules.isFromElsewhere(asked({ "sec-fetch-site": "same-origin" })));
  assertEquals(parseOrigin("https://vms.example.org"), "https://vms.example.org");
  for (const wrong of ["vms.example.org", "https://a/b", "ftp://a", "https://a@b", "", "https://A"]) {
    assertThrows(() => parseOrigin(wrong), Fault);
  }
});

Deno.test("messages: what is none is refused; sizes and numbers are bounded", () => {
  assertEquals(parseMessage('{"op":"take","id":1,"vm":"web","more":1}'), {
    op: "take",
    id: 1,
    vm: "web",
    why: "",
  });
  assertEquals(parseMessage('{"op":"metrics","id":1}'), { op: "metrics", id: 1 });
  const long = "x".repeat(MOST_PASTE + 1);
  for (
    const wrong of [
      "",
      "[]",
      "null",
      "1",
      "{}",
      '{"op":"take"}',
      '{"op":"take","id":-1,"vm":"web"}',
      '{"op":"take","id":1.5,"vm":"web"}',
      '{"op":"take","id":1,"vm":""}',
      '{"op":"take","id":1,"vm":["web"]}',
      '{"op":"take","id":1,"vm":"web","why":7}',
      JSON.stringify({ op: "take", id: 1, vm: "web", why: "é".repeat(101) }),
      '{"op":"constructor","id":1,"vm":"web"}',
      '{"op":"power","id":1,"vm":"web","what":"explode"}',
      '{"op":"see","id":1,"vms":[1]}',
      JSON.stringify({ op: "see", id: 1, vms: Array(1000).fill("web") }),
      JSON.stringify({ op: "paste", id: 1, vm: "web", layout: "us", text: long }),
      " ".repeat(MOST_MESSAGE) + '{"op":"take","id":1,"vm":"web"}',
    ]
  ) assertThrows(() => parseMessage(wrong), Fault, "Cannot read", wrong.slice(0, 80));
  const budget = new MessageBudget(0);
  let taken = 0;
  while (budget.take(0)) taken++;
  assertEquals(taken, MOST_AT_ONCE);
  assert(budget.take(1000));
});

Deno.test("the page: made of its sources, small, without anything inline, packed or plain", async () => {
  assertEquals(PAGE_SOURCES, await sourcesHash(), "run deno run -A scripts/build/web_page.ts");
  const get = async (path: string, encoding: string) => {
    const request = new Request("http://127.0.0.1:1/", { headers: { "accept-encoding": encoding } });
    return await pageFile(path, request);
  };
  const html = await (await get("/", ""))?.text() ?? "";
  assertMatch(html, /<script type="module" src="\/app\.js">/);
  assert(!/ style=| on\w+=|<style|javascript:|https?:/i.test(html), "nothing inline, nothing from elsewhere");
  assertEquals((await get("/", "gzip"))?.headers.get("content-encoding"), "gzip");
  let bytes = 0;
  for (const path of ["/", "/app.js", "/style.css", "/icon.svg"]) {
    bytes += (await (await get(path, ""))?.bytes())?.length ?? Infinity;
  }
  assert(bytes <= 500_000, `${bytes} bytes`);
  for (const path of ["/nothing", "/constructor", "/__proto__", "//", "/app.js/"]) {
    assertEquals(await get(path, ""), undefined, path);
  }
  // What a console needs is a file of its own, which is loaded with the first one.
  assert((await (await get("/console.js", ""))?.text() ?? "").includes("documentOverride"));
  assert(!(await (await get("/app.js", ""))?.text() ?? "").includes("documentOverride"));
  assertEquals(Object.keys(PAGE_FILES).length, 5);
  assertMatch(HEADERS["content-security-policy"] ?? "", /default-src 'none'.*frame-ancestors 'none'/);
  assert(!/unsafe/.test(HEADERS["content-security-policy"] ?? ""));
});

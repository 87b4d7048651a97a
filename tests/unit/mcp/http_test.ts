/**
 * MCP over HTTP: the official client on a unix socket, which is this user's alone and is gone afterwards; and
 * a session that ends while a stream of it is open, which leaves nothing that waits for it.
 */
import "../ffi/loaded_shim.ts";
import { request as httpRequest } from "node:http";
import { Client, StreamableHTTPClientTransport } from "@modelcontextprotocol/client";
import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { connect } from "../../../src/client/connect.ts";
import { type HttpOptions, HttpSessions, serveOnHttp } from "../../../src/mcp/http.ts";
import { DaemonProcess } from "../../fixtures/daemon_process.ts";

const HEADERS = { "content-type": "application/json", accept: "application/json, text/event-stream" };

function optionsOf(socket: string, address: HttpOptions["address"], signal: AbortSignal): HttpOptions {
  return {
    seat: {
      join: (sub, reconnect) => connect({ socket, name: "http", sub, reconnect }),
      limits: { readOnly: false, noPower: false, endpoints: [] },
      tell: () => {},
    },
    address,
    tokens: undefined,
    signal,
    onReady: () => {},
  };
}

/** `fetch` to a unix socket. */
function fetchOn(path: string): typeof fetch {
  return (input, init) =>
    new Promise((resolve, reject) => {
      const { pathname } = new URL(input instanceof Request ? input.url : input);
      const headers = Object.fromEntries(new Headers(init?.headers));
      const sent = httpRequest({ socketPath: path, path: pathname, method: init?.method ?? "GET", headers });
      sent.once("error", reject);
      init?.signal?.addEventListener("abort", () => sent.destroy());
      sent.once("response", (answer) => {
        const { statusCode: status = 0 } = answer;
        const body = new ReadableStream<Uint8Array>({
          start(controller) {
            answer.on("data", (bytes: Uint8Array) => controller.enqueue(Uint8Array.from(bytes)));
            answer.once("error", (error: Error) => controller.error(error));
            answer.once("end", () => controller.close());
          },
          cancel: () => void answer.destroy(),
        });
        const told = Object.entries(answer.headers).map(([name, value]) =>
          [name, `${value}`] as [string, string]
        );
        resolve(new Response(status === 204 || status === 202 ? null : body, { status, headers: told }));
      });
      sent.end(init?.body ?? undefined);
    });
}

Deno.test("mcp: the official client over HTTP on a unix socket", async () => {
  await using daemon = await DaemonProcess.start({ stubs: 1 });
  const folder = await Deno.makeTempDir({ prefix: "vmsig-mcp-" });
  try {
    const path = `${folder}/mcp.sock`;
    const ending = new AbortController();
    const ready = Promise.withResolvers<string>();
    const options = optionsOf(daemon.socket, { kind: "unix", path }, ending.signal);
    const serving = serveOnHttp({ ...options, onReady: ready.resolve });
    assertStringIncludes(await ready.promise, path);
    const { isSocket, mode } = await Deno.stat(path);
    assertEquals([isSocket, (mode ?? 0) & 0o777], [true, 0o600]);
    const client = new Client({ name: "test", version: "1" });
    const http = new StreamableHTTPClientTransport(new URL("http://localhost/mcp"), { fetch: fetchOn(path) });
    await client.connect(http);
    const { tools } = await client.listTools();
    assert(tools.some(({ name }) => name === "screenshot"));
    const listed = await client.callTool({ name: "list_vms", arguments: {} });
    assertStringIncludes(JSON.stringify(listed), "you_have_keyboard_and_mouse");
    // A web page may not speak for its visitor here either.
    const foreign = await fetchOn(path)("http://localhost/mcp", {
      method: "POST",
      headers: { ...HEADERS, origin: "https://example.org" },
      body: "{}",
    });
    assertEquals(foreign.status, 403);
    await foreign.text();
    await http.terminateSession();
    await client.close();
    ending.abort();
    await serving;
    await assertRejects(() => Deno.stat(path), Deno.errors.NotFound);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

// Deno's check that no timer is left is what this is about.
const checked = { sanitizeOps: true, sanitizeResources: true };
Deno.test("mcp: a session that ends while a stream of it is open is forgotten at once", checked, async () => {
  await using daemon = await DaemonProcess.start({ stubs: 1 });
  const { signal } = new AbortController();
  await using sessions = new HttpSessions(
    optionsOf(daemon.socket, { kind: "unix", path: "/nowhere" }, signal),
  );
  const ask = (method: string, headers: Record<string, string>, body?: string) =>
    sessions.handle(
      new Request("http://localhost/mcp", {
        method,
        headers: { ...HEADERS, ...headers },
        ...(body === undefined ? {} : { body }),
      }),
    );
  const params = { protocolVersion: "2025-06-18", capabilities: {}, clientInfo: { name: "t", version: "1" } };
  const begun = await ask(
    "POST",
    {},
    JSON.stringify({ jsonrpc: "2.0", id: 1, method: "initialize", params }),
  );
  await begun.text();
  const session = { "mcp-session-id": begun.headers.get("mcp-session-id") ?? "" };
  const stream = await ask("GET", session);
  assertEquals(stream.status, 200);
  const reading = stream.text();
  assertEquals((await ask("DELETE", session)).status, 200);
  await reading;
  assertEquals((await ask("GET", session)).status, 404);
});

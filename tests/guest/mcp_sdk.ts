/**
 * The official SDK's client against `vmsig mcp`, over either transport.
 */
import { Client, StreamableHTTPClientTransport } from "@modelcontextprotocol/client";
import { StdioClientTransport } from "@modelcontextprotocol/client/stdio";
import { assertEquals } from "@std/assert";
import { TextLineStream } from "./text_lines.ts";
import { textOf, type ToolResult } from "./mcp_client.ts";

const MAIN = new URL("../../main.ts", import.meta.url).pathname;
/** Reached by a hang alone, ms. */
const TIMEOUT_MS = 300_000;

/** A model's client. */
export class Model implements AsyncDisposable {
  readonly client: Client;

  readonly #http: StreamableHTTPClientTransport | undefined;

  private constructor(client: Client, http?: StreamableHTTPClientTransport) {
    this.client = client;
    this.#http = http;
  }

  /** Over standard input and output of a command that it starts. */
  static async onStdio(args: readonly string[]): Promise<Model> {
    const client = new Client({ name: "test", version: "1" });
    await client.connect(
      new StdioClientTransport({
        command: Deno.execPath(),
        args: ["run", "-q", "-A", "--no-check", MAIN, "mcp", ...args],
        env: Deno.env.toObject(),
        stderr: "inherit",
      }),
    );
    return new Model(client);
  }

  /** Over HTTP. */
  static async onHttp(url: string, token: string): Promise<Model> {
    const client = new Client({ name: "test", version: "1" });
    const http = new StreamableHTTPClientTransport(new URL(url), {
      requestInit: { headers: { authorization: `Bearer ${token}` } },
    });
    await client.connect(http);
    return new Model(client, http);
  }

  /** The names of the tools. */
  async tools(): Promise<string[]> {
    return (await this.client.listTools()).tools.map(({ name }) => name);
  }

  /** Calls a tool, whatever comes of it; one that was not made because calls came too fast, again. */
  async call(name: string, args: object = {}): Promise<ToolResult> {
    for (;;) {
      const answer = await this.client.callTool({ name, arguments: { ...args } }, {
        timeout: TIMEOUT_MS,
      }) as ToolResult;
      if (!textOf(answer).startsWith("too-fast: this call was not made")) return answer;
      await new Promise((resolve) => setTimeout(resolve, 200));
    }
  }

  /** Calls a tool that succeeds; one that looks, anew while a busy machine makes no picture in time. */
  async good(name: string, args: object = {}): Promise<ToolResult> {
    for (;;) {
      const answer = await this.call(name, args);
      if (textOf(answer).includes("no picture was made in time")) continue;
      assertEquals(answer.isError ?? false, false, `${name}: ${textOf(answer)}`);
      return answer;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#http?.terminateSession();
    await this.client.close();
  }
}

/** `vmsig mcp --listen`. */
export class McpServerProcess implements AsyncDisposable {
  readonly url: string;
  readonly #child: Deno.ChildProcess;
  readonly #rest: Promise<void>;

  private constructor(child: Deno.ChildProcess, url: string, rest: Promise<void>) {
    this.#child = child;
    this.url = url;
    this.#rest = rest;
  }

  /** Starts it; it listens when this resolves. */
  static async start(args: readonly string[]): Promise<McpServerProcess> {
    const child = new Deno.Command(Deno.execPath(), {
      args: ["run", "-q", "-A", "--no-check", MAIN, "mcp", "--json", ...args],
      stdin: "null",
      stdout: "piped",
      stderr: "inherit",
    }).spawn();
    const lines = child.stdout.pipeThrough(new TextLineStream())[Symbol.asyncIterator]();
    const { value } = await lines.next();
    if (value === undefined) throw new Error("vmsig mcp ended before it listened");
    const rest = (async () => {
      while (!(await lines.next()).done);
    })();
    return new McpServerProcess(child, JSON.parse(value).url, rest);
  }

  /** Ends it as Ctrl-C does. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.kill("SIGINT");
    await this.#child.status;
    await this.#rest;
  }
}

/** A token, and the line of a token file for it. */
export async function tokenFor(name: string): Promise<{ readonly token: string; readonly line: string }> {
  const token = crypto.randomUUID();
  const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(token));
  const hex = Array.from(new Uint8Array(digest), (byte) => byte.toString(16).padStart(2, "0")).join("");
  return { token, line: `${name} ${hex}\n` };
}

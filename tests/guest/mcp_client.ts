/**
 * A small MCP client for tests: JSON-RPC over a command's standard input and output, as a model's client does
 * it.
 */
import { TextLineStream } from "./text_lines.ts";

/** What a tool gave. */
export interface ToolResult {
  readonly isError?: boolean;
  readonly content: readonly {
    readonly type: string;
    readonly text?: string;
    readonly data?: string;
    readonly mimeType?: string;
  }[];
}

/** A message that came. */
export interface RpcMessage {
  readonly id?: number;
  readonly method?: string;
  // deno-lint-ignore no-explicit-any -- what a server says is looked at field by field
  readonly params?: any;
  // deno-lint-ignore no-explicit-any -- as above
  readonly result?: any;
  readonly error?: { readonly code: number; readonly message: string };
}

/** A command that serves MCP. */
export class McpProcess implements AsyncDisposable {
  /** Notifications that came. */
  readonly notes: RpcMessage[] = [];
  readonly child: Deno.ChildProcess;
  readonly #writer: WritableStreamDefaultWriter<Uint8Array>;
  readonly #waiting = new Map<number, (message: RpcMessage) => void>();
  readonly #reading: Promise<void>;
  #id = 0;

  constructor(args: readonly string[]) {
    const main = new URL("../../main.ts", import.meta.url).pathname;
    this.child = new Deno.Command(Deno.execPath(), {
      args: ["run", "-q", "-A", "--no-check", main, "mcp", ...args],
      stdin: "piped",
      stdout: "piped",
      stderr: "inherit",
    }).spawn();
    this.#writer = this.child.stdin.getWriter();
    this.#reading = this.#read();
  }

  /** Sends a request and awaits its answer. */
  async request(method: string, params: object = {}): Promise<RpcMessage> {
    const id = ++this.#id;
    const { promise, resolve } = Promise.withResolvers<RpcMessage>();
    this.#waiting.set(id, resolve);
    await this.send({ jsonrpc: "2.0", id, method, params });
    return await promise;
  }

  /** Sends a message. */
  async send(message: object): Promise<void> {
    await this.#writer.write(new TextEncoder().encode(`${JSON.stringify(message)}\n`));
  }

  /** The opening. */
  async open(): Promise<RpcMessage> {
    const answer = await this.request("initialize", {
      protocolVersion: "2025-06-18",
      capabilities: {},
      clientInfo: { name: "test", version: "1" },
    });
    await this.send({ jsonrpc: "2.0", method: "notifications/initialized" });
    return answer;
  }

  /** The names of the tools. */
  async tools(): Promise<string[]> {
    const { result } = await this.request("tools/list");
    return result.tools.map(({ name }: { name: string }) => name);
  }

  /** Calls a tool. */
  async call(name: string, args: object = {}): Promise<ToolResult> {
    const { result, error } = await this.request("tools/call", { name, arguments: args });
    if (error !== undefined) throw new Error(`${name}: ${error.code} ${error.message}`);
    return result;
  }

  /** Closes its input, and awaits its end. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#writer.close().catch(() => {});
    await this.child.status;
    await this.#reading;
  }

  async #read(): Promise<void> {
    for await (const line of this.child.stdout.pipeThrough(new TextLineStream())) {
      const message = JSON.parse(line) as RpcMessage;
      if (message.id === undefined || message.method !== undefined) {
        this.notes.push(message);
        continue;
      }
      this.#waiting.get(message.id)?.(message);
      this.#waiting.delete(message.id);
    }
  }
}

/** The texts of a tool's answer. */
export function textOf({ content }: ToolResult): string {
  return content.map(({ text = "" }) => text).join("\n");
}

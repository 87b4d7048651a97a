/**
 * One session over standard input and output, until the client closes them.
 * @module
 */
import process from "node:process";
import { McpServer } from "@modelcontextprotocol/server";
import { serveStdio, StdioServerTransport } from "@modelcontextprotocol/server/stdio";
import { messageOf } from "../base/fault.ts";
import { printable } from "../base/printable.ts";
import { type Joiner, Seat, type SeatLimits } from "./seat.ts";
import { INSTRUCTIONS, offerTools } from "./server.ts";
import type { ToolHost } from "./tool.ts";
import { VERSION } from "../base/version.ts";

/** Bytes of one message: 10 MB of text to type are refused by name, and do not end the session. */
const MOST_MESSAGE_BYTES = 32 * 1024 * 1024;

/** How a server is run. */
export interface StdioOptions {
  /** Joins the bus. */
  readonly join: Joiner;
  /** What models may do. */
  readonly limits: SeatLimits;
  /** Ends it. */
  readonly signal: AbortSignal;
  /** Takes a line for standard error. */
  readonly tell: (line: string) => void;
}

/** Serves until standard input ends or the signal aborts; leases are given back by then. */
export async function serveOnStdio({ join, limits, signal, tell }: StdioOptions): Promise<void> {
  await using seat = await Seat.open(join, limits, tell);
  const ended = Promise.withResolvers<void>();
  const end = () => ended.resolve();
  signal.addEventListener("abort", end, { once: true });
  if (signal.aborted) end();
  process.stdin.once("end", end).once("close", end).once("error", end);
  process.stdout.once("error", end);
  const transport = new StdioServerTransport(process.stdin, process.stdout, {
    maxBufferSize: MOST_MESSAGE_BYTES,
  });
  const handle = serveStdio(() => sessionOf(seat), {
    transport,
    onerror: (error) => tell(printable(messageOf(error))),
  });
  await ended.promise;
  signal.removeEventListener("abort", end);
  await handle.close();
}

function sessionOf(seat: Seat): McpServer {
  const server = new McpServer({ name: "vmsig", version: VERSION }, { instructions: INSTRUCTIONS });
  offerTools(server as unknown as ToolHost, seat);
  return server;
}

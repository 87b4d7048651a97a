/**
 * One session over standard input and output, until the client closes them.
 * @module
 */
import process from "node:process";
import type { McpServer } from "@modelcontextprotocol/server";
import { serveStdio } from "@modelcontextprotocol/server/stdio";
import { messageOf } from "../base/fault.ts";
import { printable } from "../base/printable.ts";
import { Seat, type SeatOptions } from "./seat.ts";
import { type Session, sessionOf } from "./server.ts";
import { StdioTransport } from "./stdio_transport.ts";

/**
 * Bytes of one message: a request to type 10 MB of text is refused with an answer, and does not end the
 * session.
 */
const MOST_MESSAGE_BYTES = 32 * 1024 * 1024;

/** Serves until standard input ends or the signal aborts; leases are given back by then. */
export async function serveOnStdio(options: SeatOptions, signal: AbortSignal): Promise<void> {
  const { tell } = options;
  await using seat = await Seat.open(options);
  const ended = Promise.withResolvers<void>();
  const end = () => ended.resolve();
  signal.addEventListener("abort", end, { once: true });
  if (signal.aborted) end();
  process.stdout.once("error", end);
  process.stdin.once("end", end).once("close", end);
  const transport = new StdioTransport(process.stdin, process.stdout, MOST_MESSAGE_BYTES);
  const sessions: Session[] = [];
  const handle = serveStdio(({ era }) => {
    const session = sessionOf(seat, era === "modern");
    sessions.push(session);
    return session.server as McpServer;
  }, {
    transport: transport as never,
    // What the SDK's checks say of a message is pages long, and of no use to the user.
    onerror: (error) => {
      const isInvalid = error.name === "ZodError" || error.name === "$ZodError";
      tell(isInvalid ? "a message of the client is not valid; it was dropped" : printable(messageOf(error)));
    },
  });
  await ended.promise;
  signal.removeEventListener("abort", end);
  for (const { resources } of sessions) resources.end();
  await handle.close();
}

/**
 * An MCP server with a tool that does nothing, over standard input and output: what the SDK itself and the
 * two processes cost. It takes the same arguments as `click`, and answers as much.
 * @module
 */
import process from "node:process";
import { McpServer } from "@modelcontextprotocol/server";
import { serveStdio } from "@modelcontextprotocol/server/stdio";
import { z } from "zod";

const ended = Promise.withResolvers<void>();
process.stdin.once("end", () => ended.resolve());
serveStdio(() => {
  const server = new McpServer({ name: "empty", version: "1" });
  server.registerTool("click", {
    description: "Does nothing",
    inputSchema: z.strictObject({ vm: z.string(), coordinate: z.array(z.number()).length(2).optional() }),
  }, () => ({
    content: [{ type: "text", text: "done. Take a screenshot or use wait to see what came of it." }],
  }));
  return server;
});
await ended.promise;

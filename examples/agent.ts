/**
 * An agent against any MCP client of a model: here the official SDK's client starts `vmsig mcp`, and a plan
 * takes the model's place. What a model would be asked is each `decide`.
 *
 *   deno run -A examples/agent.ts web 'echo hello' '^hello'
 *
 * @module
 */
import { Client } from "@modelcontextprotocol/client";
import { StdioClientTransport } from "@modelcontextprotocol/client/stdio";

const [vm = "web", command = "echo hello", expected = "^hello"] = Deno.args;
// An installed vmsig, or this checkout's: VMSIG="deno run -A main.ts".
const [program = "vmsig", ...words] = (Deno.env.get("VMSIG") ?? "vmsig").split(" ");

const client = new Client({ name: "example agent", version: "1" });
await client.connect(
  new StdioClientTransport({
    command: program,
    args: [...words, "mcp", "--endpoint", vm, "--no-power"],
    env: Deno.env.toObject(),
    stderr: "inherit",
  }),
);

/** Calls a tool; a refusal tells in words what to do, which is for the model. */
async function call(name: string, args: object): Promise<string> {
  const result = await client.callTool({ name, arguments: { vm, ...args } }, { timeout: 400_000 });
  const text = result.content.map((part) => part.type === "text" ? part.text : `(${part.type})`).join("\n");
  if (result.isError) throw new Error(text);
  return text;
}

/** A model goes here: it sees the last answer, and says the next call. */
function* decide(): Generator<readonly [tool: string, args: object], void, string> {
  yield ["screenshot", {}];
  yield ["type", { text: `${command}\n` }];
  yield ["wait", { text: expected, timeout_s: 300 }];
  yield ["screenshot", { changed: true }];
  yield ["lease_give_back", {}];
}

const plan = decide();
let answer = "";
for (let step = plan.next(answer); !step.done; step = plan.next(answer)) {
  const [tool, args] = step.value;
  answer = await call(tool, args);
  console.log(`${tool}: ${answer}`);
}
await client.close();

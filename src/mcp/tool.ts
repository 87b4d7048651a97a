/**
 * What a tool is: its name and arguments as a model sees them, what it needs, and what it does.
 * @module
 */
import { z } from "zod";
import { Fault } from "../base/fault.ts";
import type { CapName } from "../event/capability.ts";
import { base64Of } from "./base64.ts";
import type { Seat } from "./seat.ts";
import { faultText } from "./tool_fault.ts";

/** Wrong arguments that one answer tells. */
const MOST_ISSUES = 8;

/** A tool's answer, as content for a model. */
export type ToolContent = (
  | { type: "text"; text: string }
  | { type: "image"; data: string; mimeType: string }
)[];

/** A tool's whole answer. */
export interface ToolAnswer {
  /** Whether it failed. */
  isError?: boolean;
  /** What a model is told. */
  content: ToolContent;
}

/** An argument: a schema of zod's, as far as its type is needed. */
export interface Argument<T = unknown> {
  /** Where zod keeps the type. */
  readonly _zod: { readonly output: T };
}

/** Arguments by name. */
export type Arguments = Readonly<Record<string, Argument>>;

/** The values of arguments. */
export type ValuesOf<S extends Arguments> = { readonly [K in keyof S]: S[K]["_zod"]["output"] };

/** A request, as the SDK tells it. */
export interface CallContext {
  /** Its number, and whether it was cancelled. */
  readonly mcpReq: { readonly id: string | number; readonly signal: AbortSignal };
}

/** What offers tools: the SDK's server. */
export interface ToolHost {
  /** Offers one. */
  registerTool(
    name: string,
    config: object,
    run: (given: unknown, ctx: CallContext) => Promise<ToolAnswer>,
  ): unknown;
}

/** How a tool is called. */
export interface ToolCall {
  /** The session. */
  readonly seat: Seat;
  /** Aborted when the model's client cancels the call or goes. */
  readonly signal: AbortSignal;
}

/** A tool with the shape of its arguments. */
export interface ToolOf<S extends Arguments> {
  /** Its name. */
  readonly name: string;
  /** What it does, and what it needs. */
  readonly description: string;
  /** Capabilities; one of them is enough. */
  readonly needs: readonly CapName[];
  /** What it changes: nothing, the guest's input or state, or the VM's power. */
  readonly changes: "nothing" | "guest" | "power";
  /** Its arguments. */
  readonly args: S;
  /** Does it. */
  run(args: ValuesOf<S>, call: ToolCall): Promise<ToolContent>;
}

/** A tool that can be offered. */
export interface Tool {
  /** Its name. */
  readonly name: string;
  /** Whether this session is offered it. */
  isFor(seat: Seat): boolean;
  /** Offers it. */
  register(server: ToolHost, seat: Seat): void;
}

/** Makes a tool. */
export function tool<S extends Arguments>(spec: ToolOf<S>): Tool {
  const { name, needs, changes, args } = spec;
  const wants = needs.length === 0 ? "" : ` Needs the capability ${needs.join(" or ")}.`;
  return {
    name,
    isFor(seat) {
      const { limits } = seat;
      if (limits.readOnly && changes !== "nothing") return false;
      if (limits.noPower && changes === "power") return false;
      return needs.length === 0 || needs.some((cap) => seat.may(cap));
    },
    register(server, seat) {
      const schema = z.strictObject(args as never);
      server.registerTool(name, {
        description: spec.description + wants,
        inputSchema: listedAs(schema),
        annotations: { readOnlyHint: changes === "nothing", destructiveHint: changes === "power" },
      }, async (given, ctx) => {
        const refused = seat.rate.begin();
        if (refused !== undefined) return failed(`too-fast: this call was not made: ${refused.why}.`);
        const { id, signal: cancelled } = ctx.mcpReq;
        const action = seat.trace?.begin(seat.client.roster, name, given);
        let answer: ToolAnswer;
        try {
          const values = valuesOf(name, schema, given) as ValuesOf<S>;
          const signal = AbortSignal.any([cancelled, seat.beginCall(id)]);
          answer = { content: await spec.run(values, { seat, signal }) };
        } catch (error) {
          answer = failed(faultText(error));
        } finally {
          seat.endCall(id);
          seat.rate.end();
        }
        if (action !== undefined) seat.trace?.end(action, answer);
        return answer;
      });
    },
  };
}

/** A schema as the SDK lists it; what does not fit it is told in the words of every other error here. */
function listedAs(schema: z.ZodObject): object {
  const { jsonSchema } = schema["~standard"];
  const validate = (value: unknown) => ({ value });
  return { "~standard": { version: 1, vendor: "vmsig", jsonSchema, validate } };
}

/** @throws {Fault} `bad-argument` with what is wrong with each argument */
function valuesOf(name: string, schema: z.ZodObject, given: unknown): unknown {
  const { success, data, error } = schema.safeParse(given ?? {});
  if (success) return data;
  const told = error.issues.slice(0, MOST_ISSUES).map(({ path, message }) =>
    path.length === 0 ? message : `${path.join(".")}: ${message}`
  );
  throw new Fault("bad-argument", `Cannot call ${name}: ${told.join("; ")}`);
}

/** Text for a model. */
export function text(what: string): ToolContent {
  return [{ type: "text", text: what }];
}

/** An object for a model, as JSON. */
export function json(what: unknown): ToolContent {
  return text(JSON.stringify(what));
}

/** A PNG for a model. */
export function picture(png: Uint8Array): ToolContent {
  return [{ type: "image", data: base64Of(png), mimeType: "image/png" }];
}

/** The argument that says which VM. */
export const VM: Argument<string> = z.string().min(1).max(256).describe(
  "The VM's name, as list_vms returns it",
);

function failed(what: string): ToolAnswer {
  return { isError: true, content: text(what) };
}

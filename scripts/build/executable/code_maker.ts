/**
 * The main module of an executable that is only there while the real one is built: it makes the code of the
 * quick commands by the V8 that will take it. Its argument is a file. Where there is none of that name it
 * writes the code into it; where there is, V8 must take what is in it.
 * @module
 */
import { quickScript } from "./quick_script.ts";

const [file = ""] = Deno.args;
const { code, isRejected, isNew } = quickScript(file);
if (isRejected) throw new Error("V8 does not take its own code");
if (isNew) Deno.writeFileSync(file, code());

/**
 * `vmsig mem … symbols FILE`: the symbols of a guest's kernel as an ELF file, with the addresses of this
 * boot, for a debugger that `vmsig gdb` serves; with `--isf` its symbols and types as volatility3 reads them.
 * @module
 */
import { Fault, messageOf } from "../../base/fault.ts";
import type { GuestOs } from "../../guest/guest_os.ts";
import { symbolFile } from "../../ram/symbol_file.ts";
import type { Call } from "./command.ts";
import { insightOf, known } from "./mem_insight.ts";
import { replaceWhole } from "../record/private_file.ts";
import { visible } from "./table.ts";

/**
 * Writes the file.
 *
 * @throws {Fault} `not-supported` if the kernel has no readable symbols; `refused` when the file cannot be
 *   written
 */
export async function writeSymbols(call: Call, os: GuestOs, path: string): Promise<void> {
  const { bytes, told } = call.flag("isf") ? tableOf(os) : elfOf(os);
  try {
    await replaceWhole(path, (file) => {
      for (let done = 0; done < bytes.length;) done += file.writeSync(bytes.subarray(done));
    });
  } catch (error) {
    throw new Fault("refused", `Cannot write ${visible(path)}: ${messageOf(error)}`, { cause: error });
  }
  if (call.json) call.out.json({ file: visible(path), symbols: told.count, bytes: bytes.length });
  else call.out.line(`${told.count} symbols of the kernel${told.and} in ${visible(path)}`);
}

/** A file's contents, and a description of them. */
interface Written {
  readonly bytes: Uint8Array;
  readonly told: { readonly count: number; readonly and: string };
}

function symbolsOf(os: GuestOs): ReadonlyMap<string, number> {
  return known(insightOf(os).symbols(), "write the kernel's symbols");
}

function elfOf(os: GuestOs): Written {
  const symbols = symbolsOf(os);
  const isArm = os.kernel.paging.architecture === "aarch64";
  const { bytes, count } = symbolFile(symbols, symbols.get("_etext"), isArm ? "aarch64" : "x86-64");
  return { bytes, told: { count, and: "" } };
}

function tableOf(os: GuestOs): Written {
  const count = symbolsOf(os).size;
  const { text } = known(insightOf(os).symbolTable(), "write the kernel's symbols and types");
  return { bytes: new TextEncoder().encode(text), told: { count, and: " and its types" } };
}

/**
 * A kernel's symbols and types as volatility3's symbol table (its "intermediate symbol format", ISF 6.2.0:
 * volatility3/schemas/schema-6.2.0.json), which volatility3 otherwise needs debug information for.
 *
 * It describes the build, not the boot: addresses are without KASLR's offset, which volatility3 finds by
 * itself. BTF does not contain the types of global variables; volatility3 needs those of a few, which have
 * never changed ({@linkcode VARIABLES}) and are included if the kernel has the type. Of names that BTF
 * contains twice, the first one is used.
 * @module
 */
import { MAX_BTF_DEPTH } from "../../base/limits.ts";
import { PAGE_BYTES } from "../physical_memory.ts";
import { BTF_KIND, type KernelTypes } from "./kernel_types.ts";

/** The parts of a symbol table. */
export interface IsfParts {
  /** The kernel's types. */
  readonly types: KernelTypes;
  /** Addresses by name, KASLR included. */
  readonly symbols: ReadonlyMap<string, number>;
  /** KASLR's offset. */
  readonly kernelOffset: number;
  /** The text of `linux_banner`, with its newline and its NUL, by which volatility3 recognises a kernel. */
  readonly banner: Uint8Array;
}

type Descriptor =
  | { readonly kind: "base" | "struct" | "union" | "enum"; readonly name: string }
  | { readonly kind: "pointer"; readonly subtype: Descriptor }
  | { readonly kind: "array"; readonly count: number; readonly subtype: Descriptor }
  | { readonly kind: "function" }
  | {
    readonly kind: "bitfield";
    readonly bit_position: number;
    readonly bit_length: number;
    readonly type: Descriptor;
  };

const VOID: Descriptor = { kind: "base", name: "void" };
/**
 * Global variables and their types. "*" before a structure is a pointer to it, "[" an array that reaches to
 * the next symbol, "=" a type of C's own.
 */
const VARIABLES: Readonly<Record<string, string>> = {
  _etext: "=char",
  _stext: "=char",
  _text: "=char",
  bpf_kallsyms: "list_head",
  cap_last_cap: "=int",
  file_systems: "*file_system_type",
  ftrace_list_end: "ftrace_ops",
  ftrace_mod_maps: "list_head",
  ftrace_ops_list: "*ftrace_ops",
  ftrace_ops_trampoline_list: "list_head",
  idt_table: "[gate_struct",
  init_files: "files_struct",
  init_mm: "mm_struct",
  init_net: "net",
  init_pid_ns: "pid_namespace",
  init_task: "task_struct",
  init_uts_ns: "uts_namespace",
  iomem_resource: "resource",
  keyboard_notifier_list: "atomic_notifier_head",
  log_buf_len: "=unsigned int",
  mod_tree: "mod_tree_root",
  module_kset: "*kset",
  modules: "list_head",
  net_namespace_list: "list_head",
  prb: "*printk_ringbuffer",
  prog_idr: "idr",
  socket_file_ops: "file_operations",
  sockfs_dentry_operations: "dentry_operations",
  super_blocks: "list_head",
  taint_flags: "[taint_flag",
  tty_drivers: "list_head",
  vmap_area_list: "list_head",
  vmemmap_base: "=long unsigned int",
};

/**
 * The table as JSON. Addresses are written as whole numbers of 64 bits, which a double does not hold.
 *
 * @param parts the kernel's
 */
export function isfOf({ types, symbols, kernelOffset, banner }: IsfParts): string {
  const table = new TypeTable(types);
  const lines: string[] = [];
  const sorted = Float64Array.from(symbols.values()).sort();
  for (const [name, address] of symbols) {
    // Offsets into a CPU's own area are small numbers, and stay.
    const plain = address < 0 ? address - kernelOffset : address;
    const rest = name === "linux_banner"
      ? { type: charsOf(banner.length), constant_data: btoa(String.fromCharCode(...banner)) }
      : table.variable(VARIABLES[name], roomAt(sorted, address));
    const more = rest === undefined ? "" : `,${JSON.stringify(rest).slice(1, -1)}`;
    lines.push(`${JSON.stringify(name)}:{"address":${BigInt.asUintN(64, BigInt(plain))}${more}}`);
  }
  const { base, user, enums } = table.all();
  const metadata = { format: "6.2.0", producer: { name: "vmsig", version: "1" }, linux: {} };
  const head = JSON.stringify({ metadata, base_types: base, user_types: user, enums });
  return `${head.slice(0, -1)},"symbols":{${lines.join(",\n")}}}\n`;
}

/** How many bytes it is to the next symbol, a page at most. */
function roomAt(sorted: Float64Array, address: number): number {
  let low = 0;
  let high = sorted.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((sorted[middle] as number) <= address) low = middle + 1;
    else high = middle;
  }
  return Math.min((sorted[low] ?? Infinity) - address, PAGE_BYTES);
}

function charsOf(count: number): Descriptor {
  return { kind: "array", count, subtype: { kind: "base", name: "char" } };
}

/** Types by name, as the format has them. */
class TypeTable {
  readonly #types: KernelTypes;
  /** The first type of each kind and name. */
  readonly #first = new Map<string, number>();

  constructor(types: KernelTypes) {
    this.#types = types;
    for (let id = 1; id <= types.count; id++) {
      const key = this.#key(id);
      if (key !== undefined && !this.#first.has(key)) this.#first.set(key, id);
    }
  }

  /**
   * The type of a global variable, where the kernel has it.
   *
   * @param roomBytes how far the next symbol is
   */
  variable(word: string | undefined, roomBytes: number): { readonly type: Descriptor } | undefined {
    const [, mark, name = ""] = /^([*[=]?)(.*)$/.exec(word ?? "") ?? [];
    if (mark === "=") return this.#first.has(`base ${name}`) ? { type: { kind: "base", name } } : undefined;
    const id = this.#first.get(`type ${name}`);
    if (id === undefined) return undefined;
    const subtype: Descriptor = { kind: kindOf(this.#types, id), name };
    if (mark === "*") return { type: { kind: "pointer", subtype } };
    const count = Math.floor(roomBytes / Math.max(1, this.#types.size(id)));
    return { type: mark === "[" ? { kind: "array", count, subtype } : subtype };
  }

  all(): { readonly base: object; readonly user: object; readonly enums: object } {
    const types = this.#types;
    // Objects without a prototype: a name is the guest's, "__proto__" too.
    const base: Record<string, object> = Object.create(null);
    const user: Record<string, object> = Object.create(null);
    const enums: Record<string, object> = Object.create(null);
    const endian = "little";
    base["void"] = { size: 0, kind: "void", signed: false, endian };
    base["pointer"] = { size: 8, kind: "int", signed: false, endian };
    for (const id of this.#first.values()) {
      const [name, size] = [this.#nameOf(id), types.size(id)];
      switch (types.kind(id)) {
        case BTF_KIND.int: {
          const { signed, char, bool } = types.integer(id);
          // BTF marks hardly a character as one.
          const isChar = char || size === 1 && name.endsWith("char");
          base[name] = { size, kind: bool ? "bool" : isChar ? "char" : "int", signed, endian };
          break;
        }
        case BTF_KIND.float:
          base[name] = { size, kind: "float", signed: true, endian };
          break;
        case BTF_KIND.struct:
        case BTF_KIND.union:
          user[name] = { kind: kindOf(types, id), size, fields: this.#fields(id) };
          break;
        default:
          enums[name] = this.#enumeration(id, size);
      }
    }
    return { base, user, enums };
  }

  #enumeration(id: number, size: number): object {
    const constants: Record<string, number> = Object.create(null);
    let signed = false;
    for (const { name, value } of this.#types.enumerators(id)) {
      constants[name] = value;
      signed ||= value < 0;
    }
    const base = size === 8 ? "long int" : "int";
    return { size, base: signed || size < 4 ? base : base.replace("int", "unsigned int"), constants };
  }

  #fields(id: number): object {
    const types = this.#types;
    const fields: Record<string, object> = Object.create(null);
    let nameless = 0;
    for (const { name, type, bits, width } of types.members(id)) {
      const key = name === "" ? `unnamed_field_${nameless++}` : name;
      const anonymous = name === "" && width === 0 ? { anonymous: true } : {};
      if (width === 0) {
        fields[key] = { type: this.#describe(type, 0), offset: Math.floor(bits / 8), ...anonymous };
        continue;
      }
      const size = Math.max(1, types.size(type));
      const offset = Math.floor(bits / 8 / size) * size;
      const bitfield: Descriptor = {
        kind: "bitfield",
        bit_position: bits - 8 * offset,
        bit_length: width,
        type: this.#describe(type, 0),
      };
      fields[key] = { type: bitfield, offset };
    }
    return fields;
  }

  #describe(id: number, depth: number): Descriptor {
    const types = this.#types;
    const plain = types.plain(id);
    if (depth > MAX_BTF_DEPTH) return VOID;
    switch (types.kind(plain)) {
      case BTF_KIND.int:
      case BTF_KIND.float:
        return { kind: "base", name: types.name(plain) };
      case BTF_KIND.struct:
      case BTF_KIND.union:
        return { kind: kindOf(types, plain), name: this.#nameOf(plain) };
      case BTF_KIND.enumeration:
      case BTF_KIND.enum64:
        return { kind: "enum", name: this.#nameOf(plain) };
      case BTF_KIND.forward: {
        const name = types.name(plain);
        const whole = this.#first.get(`type ${name}`);
        return whole === undefined ? VOID : { kind: kindOf(types, whole), name };
      }
      case BTF_KIND.pointer:
        return { kind: "pointer", subtype: this.#describe(types.target(plain), depth + 1) };
      case BTF_KIND.array: {
        const { element, count } = types.array(plain);
        return { kind: "array", count, subtype: this.#describe(element, depth + 1) };
      }
      case BTF_KIND.proto:
        return { kind: "function" };
      default:
        return VOID;
    }
  }

  /** What a type is told once by; undefined for what is only part of others. */
  #key(id: number): string | undefined {
    switch (this.#types.kind(id)) {
      case BTF_KIND.int:
      case BTF_KIND.float:
        return `base ${this.#types.name(id)}`;
      case BTF_KIND.struct:
      case BTF_KIND.union:
        return `type ${this.#nameOf(id)}`;
      case BTF_KIND.enumeration:
      case BTF_KIND.enum64:
        return `enum ${this.#nameOf(id)}`;
      default:
        return undefined;
    }
  }

  #nameOf(id: number): string {
    const name = this.#types.name(id);
    return name === "" ? `unnamed_${id}` : name;
  }
}

function kindOf(types: KernelTypes, id: number): "struct" | "union" {
  return types.kind(id) === BTF_KIND.union ? "union" : "struct";
}

/**
 * A type of the kernel as text like C: structures with each member's byte offset in a comment. Nesting,
 * declarators and the number of lines are bounded, since the table is the guest's.
 * @module
 */
import { MAX_BTF_DEPTH, MAX_TYPE_MEMBERS } from "../../base/limits.ts";
import { BTF_KIND, type KernelTypes } from "./kernel_types.ts";

const INDENT = "    ";
const MAX_CHAIN = 32;

/** A declaration in C: `declare(types, id, "pid")` gives "int pid", "char comm[16]", "void (*func)(...)". */
export function declare(types: KernelTypes, id: number, name: string): string {
  let inner = name;
  for (let i = 0; i < MAX_CHAIN; i++) {
    switch (types.kind(id)) {
      case BTF_KIND.pointer: {
        const target = types.target(id);
        const kind = types.kind(target);
        inner = kind === BTF_KIND.array || kind === BTF_KIND.proto ? `(*${inner})` : `*${inner}`;
        id = target;
        continue;
      }
      case BTF_KIND.array: {
        const { element, count } = types.array(id);
        inner = `${inner}[${count}]`;
        id = element;
        continue;
      }
      case BTF_KIND.proto:
        inner = `${inner}(...)`;
        id = types.target(id);
        continue;
      case BTF_KIND.const:
      case BTF_KIND.volatile:
      case BTF_KIND.restrict:
      case BTF_KIND.typeTag:
        id = types.target(id);
        continue;
    }
    break;
  }
  const gap = inner === "" ? "" : " ";
  return `${specifier(types, id)}${gap}${inner}`;
}

function specifier(types: KernelTypes, id: number): string {
  const name = types.name(id);
  switch (types.kind(id)) {
    case 0:
      return "void";
    case BTF_KIND.struct:
      return `struct ${name || "{…}"}`;
    case BTF_KIND.union:
      return `union ${name || "{…}"}`;
    case BTF_KIND.enumeration:
    case BTF_KIND.enum64:
      return `enum ${name || "{…}"}`;
    case BTF_KIND.forward:
      return `struct ${name}`;
  }
  return name || "?";
}

/** The lines that describe a type: a structure's members, an enumeration's names, a typedef's meaning. */
export function typeLines(types: KernelTypes, id: number): string[] {
  const lines: string[] = [];
  const kind = types.kind(id);
  if (kind === BTF_KIND.typedef) {
    lines.push(`typedef ${declare(types, types.target(id), types.name(id))};`);
    id = types.plain(id);
    if (types.name(id) !== "") return lines;
  }
  switch (types.kind(id)) {
    case BTF_KIND.struct:
    case BTF_KIND.union:
      body(types, id, 0, 0, lines);
      lines[lines.length - 1] = `}; /* ${types.size(id)} bytes */`;
      break;
    case BTF_KIND.enumeration:
    case BTF_KIND.enum64:
      lines.push(`${specifier(types, id)} {`);
      for (const { name, value } of types.enumerators(id)) lines.push(`${INDENT}${name} = ${value},`);
      lines.push(`}; /* ${types.size(id)} bytes */`);
      break;
    default:
      if (kind !== BTF_KIND.typedef) lines.push(`${specifier(types, id)}; /* ${types.size(id)} bytes */`);
  }
  return lines;
}

function body(types: KernelTypes, id: number, depth: number, base: number, lines: string[]): void {
  const pad = INDENT.repeat(depth);
  const keyword = types.kind(id) === BTF_KIND.union ? "union" : "struct";
  const named = types.name(id);
  lines.push(`${pad}${keyword} ${named === "" ? "" : `${named} `}{`);
  for (const member of types.members(id)) {
    if (lines.length >= MAX_TYPE_MEMBERS) {
      lines.push(`${pad}${INDENT}/* cut: more than ${MAX_TYPE_MEMBERS} lines */`);
      break;
    }
    const bits = base + member.bits;
    const plain = types.plain(member.type);
    const isNested = types.memberCount(plain) > 0 && types.name(plain) === "";
    if (isNested && types.plain(member.type) === member.type && depth < MAX_BTF_DEPTH) {
      body(types, plain, depth + 1, bits, lines);
      lines[lines.length - 1] = `${pad}${INDENT}}${member.name === "" ? "" : ` ${member.name}`}; /* ${
        place(bits, 0)
      } */`;
      continue;
    }
    const width = member.width === 0 ? "" : ` : ${member.width}`;
    lines.push(
      `${pad}${INDENT}${declare(types, member.type, member.name)}${width}; /* ${
        place(bits, member.width)
      } */`,
    );
  }
  lines.push(`${pad}}`);
}

function place(bits: number, width: number): string {
  return width === 0 && bits % 8 === 0 ? `${bits / 8}` : `${Math.floor(bits / 8)}:${bits % 8}`;
}

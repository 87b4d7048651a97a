/**
 * A value of one of the kernel's types in a guest's memory: shown by `mem print` and returned by {@linkcode
 * GuestInsight.value}. A tree of plain data; addresses are as in src/base/ids.ts, integers are bigint,
 * because a double cannot hold every u64.
 *
 * Every name and byte in it comes from the guest, and is not safe to show unescaped.
 * @module
 */

/** What every value tells. */
export interface Typed {
  /** Its type as C declares it: "struct list_head *", "char [16]". */
  readonly type: string;
}

/** A number: integers, and a character on its own. */
export interface IntegerValue extends Typed {
  /** Which it is. */
  readonly kind: "integer";
  /** Signed or not, as its type says. */
  readonly value: bigint;
}

/** A truth value. */
export interface BooleanValue extends Typed {
  /** Which it is. */
  readonly kind: "boolean";
  /** What it is. */
  readonly value: boolean;
}

/** A value of an enumeration. */
export interface EnumerationValue extends Typed {
  /** Which it is. */
  readonly kind: "enumeration";
  /** What it is. */
  readonly value: bigint;
  /** What the enumeration calls it; undefined where it has no name for it. */
  readonly name: string | undefined;
}

/** An array of characters, as far as its first NUL. */
export interface TextValue extends Typed {
  /** Which it is. */
  readonly kind: "text";
  /** As `src/base/byte_text.ts` reads bytes: those that are no UTF-8 are not lost. */
  readonly text: string;
}

/** A pointer. */
export interface PointerValue extends Typed {
  /** Which it is. */
  readonly kind: "pointer";
  /** Where it points; 0 for none. */
  readonly address: number;
  /** The symbol there, where the address is in the kernel's image: "init_task+0x10". */
  readonly symbol: string | undefined;
  /** Of a pointer to characters, the text there (256 bytes of it at most), when it can be read. */
  readonly text: string | undefined;
  /**
   * The value there, if it was to be followed; "seen": it is elsewhere in this tree already; "too-many": the
   * limit of followed pointers was reached.
   */
  readonly target: TypedValue | "seen" | "too-many" | undefined;
}

/** A member of a structure or union. */
export interface MemberValue {
  /** Its name; "" for a nameless structure or union. */
  readonly name: string;
  /** Bits from the start of the structure. */
  readonly bits: number;
  /** Bits of a bit field, else 0. */
  readonly width: number;
  /** What it holds. */
  readonly value: TypedValue;
}

/** A structure, or a union: all its members are told, whichever holds. */
export interface RecordValue extends Typed {
  /** Which it is. */
  readonly kind: "struct" | "union";
  /** Where it lies. */
  readonly address: number;
  /** In the type's order. */
  readonly members: readonly MemberValue[];
}

/** An array; fewer elements than `count` where it was cut. */
export interface ArrayValue extends Typed {
  /** Which it is. */
  readonly kind: "array";
  /** Elements in all. */
  readonly count: number;
  /** The first ones. */
  readonly elements: readonly TypedValue[];
}

/** A value given as its bytes: floating-point numbers, and types that BTF does not describe. */
export interface OpaqueValue extends Typed {
  /** Which it is. */
  readonly kind: "bytes";
  /** As they lie in memory. */
  readonly bytes: Uint8Array;
}

/**
 * A value that is missing: its page is not mapped or has no RAM; or it exceeded a limit of nesting or size.
 */
export interface MissingValue extends Typed {
  /** Which it is. */
  readonly kind: "unreadable" | "too-deep" | "too-many";
}

/** A value. */
export type TypedValue =
  | IntegerValue
  | BooleanValue
  | EnumerationValue
  | TextValue
  | PointerValue
  | RecordValue
  | ArrayValue
  | OpaqueValue
  | MissingValue;

/** Limits of what is read of a value. */
export interface ValueOptions {
  /**
   * Pointers to follow, by field name: "mm" for any field of that name, "mm.exe_file" for that one only. None
   * by default.
   */
  readonly follow?: readonly string[];
}

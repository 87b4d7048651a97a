/**
 * X11's numbers of what keys mean (keysyms) to keys of a US keyboard: what VNC viewers send that do not tell
 * which key it was.
 * @module
 */
import { keyCode } from "../key_codes.ts";
import { type KeyStroke, US_LAYOUT } from "../us_layout.ts";

// KEYSYM:NAME, hexadecimal; the names are those of `key_codes.ts`.
const TABLE = `
ff08:backspace ff09:tab ff0a:linefeed ff0d:enter ff13:pause ff14:scrolllock ff15:sysrq ff1b:esc ff20:compose
ff50:home ff51:left ff52:up ff53:right ff54:down ff55:pageup ff56:pagedown ff57:end ff58:kp5 ff61:sysrq
ff63:insert ff65:undo ff66:redo ff67:compose ff68:find ff69:stop ff6a:help ff6b:pause ff7e:rightalt
ff7f:numlock ff80:space ff89:tab ff8d:kpenter ff95:kp7 ff96:kp4 ff97:kp8 ff98:kp6 ff99:kp2 ff9a:kp9 ff9b:kp3
ff9c:kp1 ff9d:kp5 ff9e:kp0 ff9f:kpdot ffaa:kpasterisk ffab:kpplus ffac:kpcomma ffad:kpminus ffae:kpdot
ffaf:kpslash ffb0:kp0 ffb1:kp1 ffb2:kp2 ffb3:kp3 ffb4:kp4 ffb5:kp5 ffb6:kp6 ffb7:kp7 ffb8:kp8 ffb9:kp9
ffbd:kpequal ffe1:leftshift ffe2:rightshift ffe3:leftctrl ffe4:rightctrl ffe5:capslock ffe7:leftalt
ffe8:rightalt ffe9:leftalt ffea:rightalt ffeb:leftmeta ffec:rightmeta ffff:delete fe03:rightalt
1008ff11:volumedown 1008ff12:mute 1008ff13:volumeup 1008ff14:playpause 1008ff15:stopcd 1008ff16:previoussong
1008ff17:nextsong
`;
const F1 = 0xffbe;
const F_KEYS = 24;
/** Tab with shift, which X11 gives a number of its own. */
const LEFT_TAB = 0xfe20;
/** Where Unicode begins among the keysyms; Latin-1 stands there under its own numbers, too. */
const UNICODE = 0x100_0000;
const LAST_LATIN = 0xff;

const STROKES: ReadonlyMap<number, KeyStroke> = makeStrokes();

/** Which key, and whether with shift; undefined for what is not on the keyboard. */
export function strokeOfKeysym(keysym: number): KeyStroke | undefined {
  const known = STROKES.get(keysym);
  if (known !== undefined) return known;
  const point = keysym <= LAST_LATIN ? keysym : keysym - UNICODE;
  return point > 0 && point <= 0x10_ffff ? US_LAYOUT.get(String.fromCodePoint(point)) : undefined;
}

function makeStrokes(): Map<number, KeyStroke> {
  const strokes = new Map<number, KeyStroke>();
  const add = (keysym: number, name: string, shift: boolean) => {
    const code = keyCode(name);
    if (code !== undefined) strokes.set(keysym, { code, shift });
  };
  for (const pair of TABLE.trim().split(/\s+/)) {
    const [keysym = "", name = ""] = pair.split(":");
    add(parseInt(keysym, 16), name, false);
  }
  for (let i = 0; i < F_KEYS; i++) add(F1 + i, `f${i + 1}`, false);
  add(LEFT_TAB, "tab", true);
  return strokes;
}

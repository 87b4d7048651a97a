/**
 * Code page 437, in which a PC's text mode, its fonts and Linux' built-in fonts are ordered: a character for
 * each of the 256 codes, those below 32 as the screen shows them.
 * @module
 */
import { assert } from "../../base/assert.ts";

const LOW = " ☺☻♥♦♣♠•◘○◙♂♀♪♫☼►◄↕‼¶§▬↨↑↓→←∟↔▲▼";
const ASCII = Array.from({ length: 95 }, (_, i) => String.fromCharCode(32 + i)).join("");
const HIGH = "⌂ÇüéâäàåçêëèïîìÄÅÉæÆôöòûùÿÖÜ¢£¥₧ƒáíóúñÑªº¿⌐¬½¼¡«»░▒▓│┤╡╢╖╕╣║╗╝╜╛┐" +
  "└┴┬├─┼╞╟╚╔╩╦╠═╬╧╨╤╥╙╘╒╓╫╪┘┌█▄▌▐▀αßΓπΣσµτΦΘΩδ∞φε∩≡±≥≤⌠⌡÷≈°∙·√ⁿ²■ ";

/** The character of each code. */
export const CODE_PAGE_437: readonly string[] = [...LOW + ASCII + HIGH];

assert(CODE_PAGE_437.length === 256, "a code page has 256 codes");

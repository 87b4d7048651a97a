/**
 * Loads the shim before the first test: Deno 2.4 counts a library that a test loads as leaked by that test.
 * @module
 */
import { wholeShim } from "../../../ffi/shim.ts";

wholeShim();

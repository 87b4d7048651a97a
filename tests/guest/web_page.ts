/** Looks at the page of `vmsig web` in a browser. */
import type { Page } from "playwright-core";

/** Reached by a hang alone. */
const HANG_MS = 360_000;

/** Waits until an element has a text that matches, and returns all of its text. */
export async function says(page: Page, selector: string, pattern: RegExp): Promise<string> {
  const found = page.locator(selector, { hasText: pattern }).first();
  try {
    await found.waitFor({ timeout: HANG_MS });
  } catch (error) {
    const all = await page.locator("main").innerText().catch(() => "");
    throw new Error(`${selector} does not say ${pattern}; the page: ${all.slice(0, 500)}`, { cause: error });
  }
  return await found.innerText();
}

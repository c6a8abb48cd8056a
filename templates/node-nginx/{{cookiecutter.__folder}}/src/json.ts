const TIMEOUT = 10_000; // milliseconds

interface Options {
  cache?: RequestCache;
  signal?: AbortSignal;
  timeout?: number;
}

/** Fetch JSON. Every failure is an Error whose message a visitor can read. */
export async function fetchJson(url: string, { cache, signal, timeout = TIMEOUT }: Options = {}): Promise<unknown> {
  const limit = AbortSignal.timeout(timeout);
  let text: string;
  try {
    const response = await fetch(url, {
      cache,
      headers: { Accept: "application/json" },
      signal: signal ? AbortSignal.any([signal, limit]) : limit,
    });
    if (!response.ok) {
      throw new Refused(`${url} answered with status ${response.status}.`);
    }
    text = await response.text();
  } catch (cause) {
    if (cause instanceof Refused) {
      throw cause;
    }
    throw new Error(limit.aborted ? `${url} took too long.` : `${url} could not be reached.`, { cause });
  }
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new Error(`${url} is not JSON.`, { cause });
  }
}

class Refused extends Error {}

export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** What to show of something that was thrown. */
export function message(problem: unknown): string {
  return problem instanceof Error ? problem.message : String(problem);
}

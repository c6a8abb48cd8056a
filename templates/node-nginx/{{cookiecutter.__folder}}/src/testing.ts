// What the tests put in the place of a server.

/** A response with this JSON, or with this text. */
export function answer(body: unknown, status = 200): Promise<Response> {
  const text = typeof body === "string" ? body : JSON.stringify(body);
  return Promise.resolve(new Response(text, { status }));
}

/** A server that never answers. */
export function hangingFetch(_url: string, { signal }: { signal: AbortSignal }): Promise<Response> {
  return new Promise((_resolve, reject) => {
    signal.addEventListener("abort", () => {
      reject(signal.reason as Error);
    });
  });
}

import { expect, test, vi } from "vitest";
import { fetchJson } from "./json";
import { answer, hangingFetch } from "./testing";

test("an answer is parsed", async () => {
  vi.stubGlobal("fetch", () => answer({ a: [1] }));
  expect(await fetchJson("/x.json")).toEqual({ a: [1] });
});

test("a status other than success is an error that names it", async () => {
  vi.stubGlobal("fetch", () => answer({}, 503));
  await expect(fetchJson("/x.json")).rejects.toThrow("/x.json answered with status 503.");
});

test("text that is not JSON is an error", async () => {
  vi.stubGlobal("fetch", () => answer("<!doctype html>"));
  await expect(fetchJson("/x.json")).rejects.toThrow("/x.json is not JSON.");
});

test("a server that cannot be reached is an error", async () => {
  vi.stubGlobal("fetch", () => Promise.reject(new TypeError("Failed to fetch")));
  await expect(fetchJson("/x.json")).rejects.toThrow("/x.json could not be reached.");
});

test("a server that does not answer is an error after the timeout", async () => {
  vi.stubGlobal("fetch", hangingFetch);
  await expect(fetchJson("/x.json", { timeout: 10 })).rejects.toThrow("/x.json took too long.");
});

test("a caller can stop a request", async () => {
  vi.stubGlobal("fetch", hangingFetch);
  const controller = new AbortController();
  const request = fetchJson("/x.json", { signal: controller.signal });
  controller.abort();
  await expect(request).rejects.toThrow("/x.json could not be reached.");
});

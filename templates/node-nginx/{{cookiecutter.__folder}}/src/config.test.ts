import { expect, test, vi } from "vitest";
import shipped from "../public/config.json";
import { loadConfig } from "./config";
import { answer } from "./testing";

test("the configuration that is shipped is read, from no cache", async () => {
  const fetch = vi.fn(() => answer(shipped));
  vi.stubGlobal("fetch", fetch);
  expect(await loadConfig()).toEqual({ notesUrl: "/api/notes.json" });
  expect(fetch).toHaveBeenCalledWith("/config.json", expect.objectContaining({ cache: "no-store" }));
});

test("a URL of another host is taken, and fields for others are left alone", async () => {
  vi.stubGlobal("fetch", () => answer({ notesUrl: "https://api.example.com/notes", more: 1 }));
  expect(await loadConfig()).toEqual({ notesUrl: "https://api.example.com/notes" });
});

test("a missing file is an error", async () => {
  vi.stubGlobal("fetch", () => answer("", 404));
  await expect(loadConfig()).rejects.toThrow("/config.json answered with status 404.");
});

test("a file that is not JSON is an error", async () => {
  vi.stubGlobal("fetch", () => answer("{ notesUrl: "));
  await expect(loadConfig()).rejects.toThrow("/config.json is not JSON.");
});

test.each([null, [], "text", 1])("%j is no configuration", async (value) => {
  vi.stubGlobal("fetch", () => answer(JSON.stringify(value)));
  await expect(loadConfig()).rejects.toThrow("/config.json must hold an object.");
});

test.each([undefined, null, 1, "", "notes.json", "//example.com", "javascript:alert(1)", "/a b"])(
  "%j is no URL of notes",
  async (notesUrl) => {
    vi.stubGlobal("fetch", () => answer({ notesUrl }));
    await expect(loadConfig()).rejects.toThrow('/config.json: "notesUrl" must be a URL');
  },
);

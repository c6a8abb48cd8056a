import { expect, test, vi } from "vitest";
import samples from "../public/api/notes.json";
import { fetchNotes } from "./notes";
import { answer } from "./testing";

test.each([[samples], [[]]])("notes are fetched from the URL", async (notes) => {
  const fetch = vi.fn(() => answer(notes));
  vi.stubGlobal("fetch", fetch);
  expect(await fetchNotes("/api/x")).toEqual(notes);
  expect(fetch).toHaveBeenCalledExactlyOnceWith("/api/x", expect.anything());
});

test.each([null, {}, [1], [{ id: "1" }], [{ id: 1, text: "a" }], [{ id: "1", text: "a" }, null]])(
  "%j are no notes",
  async (value) => {
    vi.stubGlobal("fetch", () => answer(JSON.stringify(value)));
    await expect(fetchNotes("/api/x")).rejects.toThrow("/api/x did not answer with notes.");
  },
);

import { fetchJson, isObject } from "./json";

export interface Note {
  id: string;
  text: string;
}

/** Fetch the notes: a JSON array of objects with an id and a text. */
export async function fetchNotes(url: string, signal?: AbortSignal): Promise<Note[]> {
  const value = await fetchJson(url, { signal });
  if (!Array.isArray(value) || !value.every(isNote)) {
    throw new Error(`${url} did not answer with notes.`);
  }
  return value;
}

function isNote(value: unknown): value is Note {
  return isObject(value) && typeof value.id === "string" && typeof value.text === "string";
}

import { message } from "./json";
import { fetchNotes, type Note } from "./notes";

/** What a page has to show of the notes. */
export type NotesState =
  | { status: "loading" }
  | { status: "ready"; notes: Note[] }
  | { status: "failed"; problem: string };

export async function loadNotes(url: string, signal: AbortSignal): Promise<NotesState> {
  try {
    return { status: "ready", notes: await fetchNotes(url, signal) };
  } catch (error) {
    return { status: "failed", problem: message(error) };
  }
}

/** One line on how it stands, for screens and screen readers. */
export function statusText(state: NotesState): string {
  switch (state.status) {
    case "loading":
      return "Loading notes…";
    case "failed":
      return ""; // an alert says it
    case "ready":
      return state.notes.length === 0 ? "There are no notes yet." : `Notes: ${state.notes.length}`;
  }
}

import { fetchJson, isObject } from "./json";

/** What can change without a new build: the fields of public/config.json. */
export interface Config {
  notesUrl: string;
}

const ADDRESS = "/config.json";

/** Read the configuration, never from a cache: whoever changes the file wants it used at the next visit. */
export async function loadConfig(signal?: AbortSignal): Promise<Config> {
  return parseConfig(await fetchJson(ADDRESS, { cache: "no-store", signal }));
}

function parseConfig(value: unknown): Config {
  if (!isObject(value)) {
    throw new Error(`${ADDRESS} must hold an object.`);
  }
  const { notesUrl } = value;
  if (typeof notesUrl !== "string" || !/^(\/(?!\/)|https?:\/\/)\S*$/.test(notesUrl)) {
    throw new Error(`${ADDRESS}: "notesUrl" must be a URL, for example "/api/notes.json".`);
  }
  return { notesUrl };
}

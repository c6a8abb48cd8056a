import { name } from "./site";

/** The title of a browser's tab. */
export function title(page: string): string {
  return `${page} - ${name}`;
}

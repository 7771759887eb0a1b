// Names that people have chosen: how they are compared, and how they are shown.

import { h } from './dom.js';

// Letters that show as something. Blanks, controls, marks, zero-width letters, fillers and the empty braille pattern do not.
const VISIBLE = /[^\p{C}\p{M}\p{Z}\u115f\u1160\u2800\u3164\uffa0]/u;

/** The name, or the id where the name has no letter that shows. */
export function shown(name, id) {
  return VISIBLE.test(name ?? '') ? name : id;
}

/** A name in an element of its own: a name written from right to left turns nothing around it. */
export function named(name) {
  return h('bdi', null, name);
}

/** A path of organizations, each name in an element of its own. */
export function namedPath(path) {
  return path.split(' / ').flatMap((name, index) => (index === 0 ? [named(name)] : [' / ', named(name)]));
}

/**
 * The form in which texts are compared in searches, as the API has it: NFKD without combining marks, case-folded, ı as i.
 * Folding goes by the upper case, which unfolds ß; a browser has no default folding of its own.
 */
export function folded(text) {
  const bare = (letters) => letters.normalize('NFKD').replaceAll(/\p{M}/gu, '');
  return bare(bare(text).toUpperCase().toLowerCase()).replaceAll('ς', 'σ');
}

const BYTES_MAX = 4096;

/** The beginning of a text that fits into a filter of the API: 4,096 bytes of UTF-8, whole letters. */
export function fitting(text) {
  const letters = [...text];
  const bytes = (count) => new TextEncoder().encode(letters.slice(0, count).join('')).length;
  let count = letters.length;
  while (bytes(count) > BYTES_MAX) count = Math.min(count - 1, Math.floor((count * BYTES_MAX) / bytes(count)));
  return letters.slice(0, count).join('');
}

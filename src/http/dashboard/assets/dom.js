// Building and updating the page. Text always becomes a text node: nothing here, and nothing elsewhere in this folder,
// parses HTML out of data.

/** An element. Attributes that are null, undefined or false are left out; true makes an empty one. */
export function h(tag, attributes, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value === true) element.setAttribute(name, '');
    else if (value !== null && value !== undefined && value !== false) element.setAttribute(name, String(value));
  }
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/** A group of nodes without an element of their own. */
export function fragment(...children) {
  const group = document.createDocumentFragment();
  group.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return group;
}

/**
 * Makes the children of `target` look like `children`, changing only what differs, so that focus, scroll position, text
 * selection and drawn charts survive a refresh. Children with a `data-key` are matched by it, others by their place. The
 * content of an element with `data-keep` belongs to somebody else (chart.js) and is left alone.
 */
export function patch(target, ...children) {
  patchChildren(target, fragment(...children));
}

function patchChildren(target, source) {
  const keyed = new Map();
  const kept = new Set([...source.children].map(({ dataset }) => dataset.key));
  for (const child of [...target.children]) {
    if (!child.dataset.key) continue;
    // To move what comes behind it would take the focus away.
    if (kept.has(child.dataset.key)) keyed.set(child.dataset.key, child);
    else child.remove();
  }
  let cursor = target.firstChild;
  for (const wanted of [...source.childNodes]) {
    const present = matching(cursor, wanted, keyed);
    if (!present) {
      target.insertBefore(wanted, cursor);
      continue;
    }
    if (present === cursor) cursor = cursor.nextSibling;
    else target.insertBefore(present, cursor);
    patchNode(present, wanted);
  }
  while (cursor) {
    const next = cursor.nextSibling;
    cursor.remove();
    cursor = next;
  }
}

function matching(cursor, wanted, keyed) {
  const key = wanted.dataset?.key;
  if (key) {
    const found = keyed.get(key);
    return found?.nodeName === wanted.nodeName ? found : null;
  }
  return cursor && cursor.nodeName === wanted.nodeName && !cursor.dataset?.key ? cursor : null;
}

function patchNode(present, wanted) {
  if (present.nodeType !== Node.ELEMENT_NODE) {
    if (present.nodeValue !== wanted.nodeValue) present.nodeValue = wanted.nodeValue;
    return;
  }
  if (present.hasAttribute('data-keep')) return;
  patchAttributes(present, wanted);
  patchChildren(present, wanted);
  if (present.nodeName === 'SELECT') patchSelection(present, wanted);
}

// What a person has opened or closed stays so.
const THEIRS = new Set(['open']);

/**
 * The fields that somebody is typing in: what is drawn leaves their text alone. Whoever goes elsewhere, by a form, a link or
 * the back button, empties the set.
 */
export const typed = new Set();

function patchAttributes(present, wanted) {
  for (const { name } of [...present.attributes]) {
    if (!wanted.hasAttribute(name) && !THEIRS.has(name)) present.removeAttribute(name);
  }
  for (const { name, value } of wanted.attributes) {
    if (name === 'value' && typed.has(present)) continue;
    if (THEIRS.has(name)) continue;
    if (present.getAttribute(name) !== value) present.setAttribute(name, value);
  }
  // The attribute is only the initial value.
  if (present.nodeName === 'INPUT' && !typed.has(present) && present.value !== wanted.value) {
    present.value = wanted.value;
  }
}

function patchSelection(present, wanted) {
  if (present.value !== wanted.value) present.value = wanted.value;
}

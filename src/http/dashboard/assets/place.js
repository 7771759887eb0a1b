// Where somebody is on the page: kept with each entry of the history, so that going back leads to the same rows, and the
// keyboard goes on where it was.

const main = document.getElementById('main');
const SETTLED_MS = 200;

let wanted = null; // { top, focus, isElsewhere }: where to go as soon as there is something to see, or null
let timer = null;

function here() {
  const { activeElement: active } = document;
  const inside = active && active !== main && main.contains(active);
  return { top: window.scrollY, focus: inside ? active.id || active.getAttribute('href') : null };
}

/** Keeps the place with the entry of the history that is shown now. */
export function leavePlace() {
  clearTimeout(timer);
  wanted = null;
  history.replaceState({ ...history.state, place: here() }, '');
}

/** Leads to the place of the entry that is shown now, once it is drawn; `isElsewhere` says whether it is another page. */
export function returnTo(isElsewhere) {
  clearTimeout(timer);
  wanted = { ...history.state?.place, isElsewhere };
}

/** Goes there, if there is a place to go to; a page that is not whole yet may still be too short for it. */
export function restorePlace({ isWhole }) {
  if (!wanted) return;
  const { top, focus, isElsewhere } = wanted;
  if (!isWhole && top + window.innerHeight > document.documentElement.scrollHeight) return;
  wanted = null;
  const element = focus ? document.getElementById(focus) ?? [...main.querySelectorAll('a')].find((link) => link.getAttribute('href') === focus) : null;
  if (element) element.focus({ preventScroll: true });
  else if (isElsewhere?.()) document.getElementById('title')?.focus({ preventScroll: true });
  if (top !== undefined) window.scrollTo(0, top);
}

/** Begins to keep the place, and leads to the one that this entry had, as after a reload. */
export function keepPlace() {
  history.scrollRestoration = 'manual';
  wanted = history.state?.place ?? null;
  window.addEventListener('scroll', () => {
    clearTimeout(timer);
    if (!wanted) timer = setTimeout(leavePlace, SETTLED_MS);
  }, { passive: true });
  window.addEventListener('pagehide', () => { if (!wanted) leavePlace(); });
}

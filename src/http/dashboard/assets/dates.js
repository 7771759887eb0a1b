// The two date fields of a period. A range is judged when both are left, or at Enter: while it is typed it passes through
// days that nobody means.

import { typed } from './dom.js';
import { wrongDays } from './filters.js';

let isTyping = false; // since a key was pressed in one of them

/** What was typed gives way to what the address says. */
export function leaveDates() {
  isTyping = false;
  document.getElementById('wrong-days')?.replaceChildren();
}

/** Calls `choose` with the days of a range that is meant, whenever there is a new one. */
export function watchDates(choose) {
  document.addEventListener('change', ({ target }) => {
    // A day picked in the calendar is meant; one that is being typed may not be.
    if (target.dataset.date && !isTyping) judge(choose);
  });
  document.addEventListener('keydown', ({ target, key }) => {
    if (!target.dataset?.date) return;
    if (key === 'Enter') judge(choose);
    else if (!['Tab', 'Shift'].includes(key)) {
      isTyping = true;
      fields().forEach((field) => typed.add(field));
    }
  });
  document.addEventListener('focusout', ({ target, relatedTarget }) => {
    if (!target.dataset?.date || relatedTarget?.dataset?.date) return;
    judge(choose);
    isTyping = false;
  });
}

function fields() {
  return ['from', 'to'].map((name) => document.getElementById(`field-${name}`));
}

function judge(choose) {
  const both = fields();
  const [first, last] = both;
  if (!both.some((field) => typed.has(field))) return;
  const wrong = wrongDays(first, last);
  document.getElementById('wrong-days').textContent = wrong;
  if (wrong) return;
  // The attribute is what was last drawn.
  const same = both.every((field) => field.value === field.getAttribute('value'));
  both.forEach((field) => typed.delete(field));
  if (!same) choose({ from: first.value, to: last.value || undefined });
}

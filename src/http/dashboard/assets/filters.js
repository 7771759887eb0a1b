// The filter bar that the views share.

import { h } from './dom.js';
import { day, momentIn, span } from './format.js';
import { named } from './names.js';
import { ancestors, organizationField } from './organizations.js';
import { INTERVALS, PRESETS, fits } from './range.js';
import { TEXT_MAX, address, change } from './state.js';

/** A labelled select whose choice becomes the field `name` of the address. */
export function choice(label, name, value, options) {
  return h('label', { class: 'field', 'data-key': `field-${name}` }, h('span', { class: 'label' }, label),
    h('select', { 'data-field': name, id: `field-${name}` },
      options.map(([option, text, disabled]) => h('option', { value: option, selected: option === (value ?? ''), disabled }, text))));
}

/** A labelled text field whose content becomes the field `name` of the address while it is typed. */
export function text(label, name, value, attributes = {}) {
  return h('label', { class: 'field', 'data-key': `field-${name}` }, h('span', { class: 'label' }, label),
    h('input', { type: 'search', autocomplete: 'off', spellcheck: 'false', 'data-field': name, id: `field-${name}`, maxlength: TEXT_MAX, value: value ?? '', ...attributes }));
}

/** A row of buttons of which at most one is pressed. */
export function chips(label, name, value, options) {
  return h('fieldset', { class: 'chips', 'data-key': `field-${name}` }, h('legend', { class: 'label' }, label),
    h('div', { class: 'chip-row' }, options.map(([option, words]) => h('button', {
      type: 'button', class: 'chip', 'data-action': 'choose', 'data-name': name, 'data-value': option,
      'aria-pressed': String(option === value),
    }, words))));
}

const narrow = matchMedia('(max-width: 40rem)');

/** The bar that holds the fields. In the hand it is closed at first, so that the report comes before it. */
export function filterBar(...fields) {
  return h('details', { class: 'filter-box', 'data-key': 'filters', open: !narrow.matches },
    h('summary', null, 'Filters'),
    h('form', { class: 'filters', 'aria-label': 'Filters', 'data-form': 'none' }, fields));
}

// Without the summary nobody could open it.
narrow.addEventListener('change', () => {
  for (const box of document.querySelectorAll('.filter-box')) box.open = !narrow.matches;
});

/** Organization, range and interval. `whole` names the choice of no organization; null where one is needed. */
export function filters({ state, organizations, range, automatic }, { whole, extra = [] }) {
  return filterBar(
    organizationField({ chosen: state.organization_id, organizations, whole }),
    chips('Period', 'range', state.from ? undefined : state.range, PRESETS),
    dates(state, range),
    intervals(state, range, automatic),
    expert(Boolean(state.as_of || state.project_id), extra, asOf(state)));
}

/** Fields that few people need. They are folded away unless one of them is in use. */
export function expert(used, ...fields) {
  return h('details', { class: 'expert', 'data-key': 'expert', open: used },
    h('summary', null, 'More filters'),
    h('div', { class: 'expert-fields' }, fields));
}

// No event lies outside of these.
const DAYS = { min: '1999-12-31', max: '2100-12-31' };

/** What is wrong with the days that were typed, in words, or an empty text. */
export function wrongDays(first, last) {
  if (first.validity.badInput || last.validity.badInput) return 'A date needs a day, a month and a year.';
  if (first.value === '') return 'The period needs a first day.';
  const outside = [first, last].some(({ validity }) => validity.rangeUnderflow || validity.rangeOverflow);
  if (outside) return `Days lie between ${day(DAYS.min)} and ${day(DAYS.max)}.`;
  return last.value && first.value > last.value ? 'The last day lies before the first one.' : '';
}

function dates(state, range) {
  return h('div', { class: 'pair', 'data-key': 'dates' },
    h('label', { class: 'field' }, h('span', { class: 'label' }, 'From'),
      h('input', { type: 'date', id: 'field-from', 'data-date': 'from', 'aria-describedby': 'wrong-days', ...DAYS, value: range?.from ?? '' })),
    h('label', { class: 'field' }, h('span', { class: 'label' }, 'To'),
      h('input', { type: 'date', id: 'field-to', 'data-date': 'to', 'aria-describedby': 'wrong-days', ...DAYS, value: range?.to ?? '' })),
    h('p', { class: 'wrong', id: 'wrong-days', role: 'status', 'data-key': 'wrong-days', 'data-keep': true }));
}

function intervals(state, range, automatic) {
  return choice('Interval', 'interval', state.interval, [
    ['', `Automatic (${automatic})`],
    ...INTERVALS.map(([name, words]) => [name, words, Boolean(range?.days) && !fits(name, range.days)]),
  ]);
}

/** The moment that the reports speak of, where it is not now. */
export function asOf(state) {
  return h('label', { class: 'field', 'data-key': 'as-of' }, h('span', { class: 'label' }, 'As of (UTC)'),
    h('input', { type: 'datetime-local', id: 'field-as_of', 'data-instant': 'as_of', min: '2000-01-01T00:00', max: '2100-12-31T23:59', value: state.as_of ? inUtc(state.as_of) : '' }));
}

function inUtc(instant) {
  return new Date(instant).toISOString().slice(0, 16);
}

/**
 * One line that says what the report covers, and is printed instead of the filters. The organizations above the chosen one
 * are links; `state` is that of the view.
 */
export function summary({ state, organizations, range, timezone }, chosen) {
  return h('p', { class: 'summary', 'data-key': 'summary' },
    chosen ? crumbs(state, organizations, chosen) : 'All organizations',
    [range?.from && range.to ? span(range.from, range.to) : null, timezone].filter(Boolean).map((words) => ` · ${words}`).join(''),
    state.as_of ? [' · ', h('strong', null, `as of ${momentIn(state.as_of, 'UTC')}\u00a0UTC`), ' ',
      h('button', { type: 'button', class: 'quiet small', 'data-action': 'now' }, 'Back to now')] : null);
}

function crumbs(state, organizations, chosen) {
  const above = organizations ? ancestors(organizations, chosen).reverse() : [chosen];
  const name = (id) => named(organizations?.byId.get(id)?.name ?? id);
  const link = (id, content) => h('a', { href: address(change(state, { organization_id: id, period: undefined })), 'data-action': 'link' }, content);
  return h('nav', { class: 'crumbs', 'aria-label': 'Path of organizations' },
    link(undefined, 'All organizations'),
    above.map((id) => [' / ', id === chosen ? h('span', { 'aria-current': 'location' }, name(id)) : link(id, name(id))]));
}

// What the page shows is written in its address, so that a link, a bookmark and the back button show it again. The token
// never is.

import { INTERVALS, PRESETS, isDay } from './range.js';

/** The views by their name in the address. */
export const VIEWS = {
  'license-history': 'License history',
  'license-usage': 'License usage',
  assignments: 'Assignments',
  usage: 'Usage',
};

const oneOf = (...values) => (text) => values.includes(text);
const number = (least, most) => (text) => /^\d{1,6}$/.test(text) && Number(text) >= least && Number(text) <= most;

/** The longest text that the address holds for a field. */
export const TEXT_MAX = 400;

const anything = (text) => text !== '' && text.length <= TEXT_MAX;
// A browser takes `.` and `..` for steps within a path; no id is one of them.
const id = (text) => anything(text) && text !== '.' && text !== '..';

// Each field of the address: how it is checked, what it is without being there, and whether it goes along to other views.
const FIELDS = {
  view: { valid: oneOf(...Object.keys(VIEWS)), usual: 'license-history', common: true },
  account: { valid: id, common: true },
  organization_id: { valid: id, common: true },
  range: { valid: oneOf(...PRESETS.map(([name]) => name)), common: true },
  from: { valid: isDay, common: true },
  to: { valid: isDay, common: true },
  interval: { valid: oneOf(...INTERVALS.map(([name]) => name)), common: true },
  as_of: { valid: (text) => !Number.isNaN(Date.parse(text)) && /^\d{4}-\d{2}-\d{2}T/.test(text), common: true },
  refresh: { valid: number(0, 3600), usual: '10', common: true },
  period: { valid: isDay },
  order: { valid: (text) => /^-?(organization|used|percent|runs_out|resets|assigned|active|share|peak|average)$/.test(text) },
  quota_status: { valid: oneOf('within', 'grace', 'exhausted') },
  search: { valid: anything },
  rows: { valid: number(1, 100_000), usual: '100' },
  project_id: { valid: id },
  user: { valid: anything },
  email: { valid: anything },
  license_source: { valid: anything },
  status: { valid: oneOf('active', 'revoked', 'all'), usual: 'active' },
  activated: { valid: oneOf('true', 'false') },
  inactive_days: { valid: number(1, 100_000) },
  held_days: { valid: number(0, 100_000) },
  sort: { valid: (text) => /^-?(user|email|organization|last_assignment|last_active_use)$/.test(text), usual: 'user' },
  limit: { valid: number(1, 1000), usual: '25' },
  cursor: { valid: (text) => text !== '' && text.length <= 4000 },
  page: { valid: number(1, 100_000), usual: '1' },
  person: { valid: id },
  person_name: { valid: anything },
};

/** The filters of the assignments table, which Reset Filters clears. */
export const ASSIGNMENT_FILTERS = ['organization_id', 'user', 'email', 'license_source', 'status', 'activated', 'inactive_days', 'held_days'];

/** Reads the query of an address. Fields that are unknown are dropped; those that make no sense are named in `ignored`. */
export function parse(search) {
  const state = { ignored: [] };
  for (const [name, value] of new URLSearchParams(search)) {
    if (!Object.hasOwn(FIELDS, name)) continue;
    if (FIELDS[name].valid(value)) state[name] = value;
    else if (value !== '') state.ignored.push(name);
  }
  for (const [name, { usual }] of Object.entries(FIELDS)) state[name] ??= usual;
  // Without a cursor a report begins with its first page, whatever the address says.
  if (!state.cursor) state.page = FIELDS.page.usual;
  if (!state.from) {
    state.to = undefined;
    state.range ??= '30d';
  } else state.range = undefined;
  return state;
}

/** The address of a state, with everything left out that goes without saying. */
export function address(state) {
  const query = new URLSearchParams();
  for (const [name, { usual }] of Object.entries(FIELDS)) {
    const value = state[name];
    if (value === undefined || value === null || value === '' || value === usual) continue;
    if (name === 'range' && value === '30d') continue;
    query.set(name, value);
  }
  const text = query.toString();
  return text ? `/?${text}` : '/';
}

/** The state with some fields changed. A change of anything but the page begins again at the first one. */
export function change(state, changes) {
  const next = { ...state, ...changes };
  if (!('cursor' in changes) && !('person' in changes)) Object.assign(next, { cursor: undefined, page: '1' });
  if ('range' in changes && changes.range) Object.assign(next, { from: undefined, to: undefined });
  if ('from' in changes && changes.from) next.range = undefined;
  return next;
}

/** The state of another view: what is common to all goes along. */
export function forView(state, view) {
  const next = { view };
  for (const [name, { common }] of Object.entries(FIELDS)) if (common && name !== 'view') next[name] = state[name];
  return next;
}

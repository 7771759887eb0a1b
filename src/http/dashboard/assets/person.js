// What is known of one user: all seats, wherever they are, held or not.

import { get, url } from './api.js';
import { h, patch } from './dom.js';
import { plural } from './format.js';
import { base } from './loader.js';
import { describe } from './messages.js';
import { fitting, named, namedPath, shown as visible } from './names.js';
import { address, forView } from './state.js';
import { moment, status } from './view-assignments.js';

const PAGES_MAX = 50;
let shown = null;

/** Opens or closes the dialog, as the state has it; `again` asks anew for what it shows. */
export async function drawPerson(state, { again = false } = {}) {
  const dialog = document.getElementById('person');
  if (!state.person || state.view !== 'assignments') {
    shown = null;
    if (dialog.open) dialog.close();
    return;
  }
  const asked = `${state.account}\n${state.person}\n${state.as_of ?? ''}`;
  if (shown === asked && !again) return;
  if (shown !== asked) {
    shown = asked;
    patch(dialog, head('User'), h('p', { role: 'status' }, 'Loading…'));
  }
  if (!dialog.open) dialog.showModal();
  let content;
  try {
    content = known(await seatsOf(state), state);
  } catch (error) {
    if (error.kind === undefined) throw error;
    const { title, text } = describe(error, { account: state.account, thing: 'user' });
    content = [head('User'), h('h3', null, title), h('p', null, text)];
  }
  if (shown === asked) patch(dialog, content);
}

/** Takes the dialog away from a page that can show nothing; the address keeps what it is about. */
export function hidePerson() {
  shown = null;
  const dialog = document.getElementById('person');
  if (dialog.open) dialog.close();
}

// The API finds users by a part of their name; the id then tells them apart. A link may hold a name of yesterday, so all
// are looked through where it finds nobody.
async function seatsOf(state) {
  const byName = state.person_name ? await collect(state, fitting(state.person_name)) : null;
  if (byName && byName.rows.length > 0) return byName;
  return collect(state, undefined);
}

async function collect(state, user) {
  const rows = [];
  let cursor;
  for (let page = 0; page < PAGES_MAX; page += 1) {
    const body = await get(url(`${base(state)}/licenses/assignments`, { status: 'all', sort: '-last_assignment', limit: 1000, as_of: state.as_of, user, cursor }));
    rows.push(...body.rows.filter((row) => row.user_id === state.person));
    cursor = body.next_cursor;
    if (!cursor) return { rows, timezone: body.timezone };
  }
  return { rows, cut: true };
}

// The title comes from the API alone: a link could hold any words.
function head(name) {
  return h('div', { class: 'dialog-head', 'data-key': 'head' },
    h('h2', { id: 'person-title', tabindex: '-1' }, name),
    h('button', { type: 'button', class: 'quiet', 'data-action': 'close-person', id: 'person-close' }, 'Close'));
}

function known({ rows, timezone, cut }, state) {
  if (rows.length === 0) {
    const words = cut ? 'The account has too many seats to look for this user in all of them. Search by name in the table.' : 'No seat of this user is known.';
    return [head('User'), h('p', null, words)];
  }
  const held = rows.filter((row) => row.status === 'active');
  const uses = rows.map((row) => row.last_active_use).filter(Boolean).sort();
  const facts = [
    ['User id', named(rows[0].user_id)], ['Email', rows[0].email ? named(rows[0].email) : '–'],
    ['Seats held', `${plural(held.length, 'seat', 'seats')}, ${held.filter((row) => row.activated).length} activated`],
    ['Last active use of a seat', uses.length > 0 ? moment(uses.at(-1), timezone) : 'Never'],
  ];
  return [
    head(named(visible(rows[0].user, rows[0].user_id))),
    h('dl', { class: 'facts' }, facts.map(([name, value]) => h('div', null, h('dt', null, name), h('dd', null, value)))),
    h('h3', null, 'Seats'),
    h('ul', { class: 'seats' }, rows.map((row) => seat(row, timezone, state))),
  ];
}

function seat(row, timezone, state) {
  const there = address({ ...forView(state, 'assignments'), organization_id: row.organization_id });
  const facts = [
    ['Assigned', moment(row.last_assignment, timezone)],
    ['Last used', row.last_active_use ? moment(row.last_active_use, timezone) : 'Never'],
    ['License source', named(row.license_source)],
    ...(row.project ? [['TestOps project', named(visible(row.project, row.project_id))]] : []),
  ];
  return h('li', { class: 'card' },
    h('p', { class: 'seat-head' }, h('strong', null, h('a', { href: there, 'data-action': 'link' }, namedPath(visible(row.organization, row.organization_id)))), ' ', status(row)),
    h('dl', { class: 'facts' }, facts.map(([name, value]) => h('div', null, h('dt', null, name), h('dd', null, value)))));
}

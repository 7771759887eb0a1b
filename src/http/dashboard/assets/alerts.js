// Alerts that are open: a bell in the header that opens their list, and words for the panel of an organization.

import { url } from './api.js';
import { h, patch } from './dom.js';
import { s } from './drawing.js';
import { count, day, momentIn, plural } from './format.js';
import { base } from './loader.js';
import { namedPath, shown } from './names.js';
import { address, forView } from './state.js';

const target = document.getElementById('alerts');
const BELL = 'M8 1a4 4 0 0 0-4 4v4l-2 3h12l-2-3V5a4 4 0 0 0-4-4zM6 13h4a2 2 0 0 1-4 0z';

let isOpen = false;
let last = null; // what was drawn last

/** Those of the organization, where the list of the account is too long to have them all. */
export function ownAlerts({ state, organization, slot }) {
  if (!slot('alerts').body?.next_cursor) return [];
  return [{ name: 'own-alerts', address: url(`${base(state)}/alerts`, { organization_id: organization }), later: true }];
}

/** Draws the bell, where there is something to tell, and below it the list, where it is open. */
export function drawAlerts(state, body) {
  const inside = target.contains(document.activeElement);
  last = [state, body];
  const total = state.account && body ? body.total : 0;
  if (total === 0) isOpen = false;
  patch(target, total === 0 ? null : [
    h('button', { type: 'button', class: 'button bell', id: 'bell', 'data-action': 'alerts', 'aria-expanded': String(isOpen), 'aria-controls': isOpen ? 'alert-list' : null },
      s('svg', { viewBox: '0 0 16 16', 'aria-hidden': 'true' }, s('path', { d: BELL })),
      h('span', null, count(total), h('span', { class: 'unseen' }, total === 1 ? ' open alert' : ' open alerts'))),
    isOpen ? list(state, body) : null,
  ]);
  // The keyboard must not be lost with an alert that is over.
  if (inside && !target.contains(document.activeElement)) document.getElementById(total > 0 ? 'bell' : 'main').focus();
}

function list(state, { alerts, total, timezone }) {
  return h('section', { class: 'card alert-list', id: 'alert-list', 'aria-labelledby': 'alert-title' },
    h('p', { id: 'alert-title', class: 'label' }, plural(total, 'open alert', 'open alerts')),
    h('ul', null, alerts.map((alert) => h('li', { 'data-key': alert.id },
      h('a', { href: leadOf(state, alert), 'data-action': 'link' }, RULES[alert.rule](alert),
        alert.organization_id === null ? null : [': ', namedPath(shown(alert.organization, alert.organization_id))]),
      h('span', { class: 'remark' }, `Since ${then(alert, timezone)}`)))),
    total > alerts.length ? h('p', { class: 'note' }, `These are the latest ${count(alerts.length)}.`) : null);
}

// To the figure as it is now.
function leadOf(state, { organization_id: organization }) {
  const there = forView({ ...state, as_of: undefined, organization_id: organization ?? undefined }, organization === null ? 'license-history' : 'usage');
  return address(there);
}

const RULES = {
  quota: ({ line }) => (line === 'exhausted' ? 'Allowance exhausted' : `${line} % of the quota used`),
  pace: () => 'Allowance about to run out',
  seats: ({ line }) => (line === 'overage' ? 'More seats assigned than purchased' : `${line} % of the seats assigned`),
};

// When it was found, and the figures of that moment.
function then({ time, rule, used, monthly_quota: quota, pace, purchased, assigned }, timezone) {
  const figures = rule === 'seats' ? `${count(assigned)} of ${count(purchased)} seats` : `${count(used)} of ${count(quota)} tests`;
  const out = rule === 'pace' ? `, to run out on ${day(pace.runs_out_on)}` : '';
  return `${momentIn(time, timezone)}; then ${figures}${out}`;
}

/** The open alerts of the organization that the report is about, unless it speaks of another moment than now. */
export function banner({ state, organization, slot }, timezone) {
  const { body } = slot(slot('alerts').body?.next_cursor ? 'own-alerts' : 'alerts');
  const own = state.as_of || !body ? [] : body.alerts.filter((alert) => alert.organization_id === organization);
  if (own.length === 0) return null;
  const bad = own.some(({ line }) => line === 'exhausted');
  return h('section', { class: `finding tone-${bad ? 'bad' : 'warn'}`, 'data-key': 'own-alerts', id: 'own-alerts', 'aria-label': 'Alerts' },
    own.map((alert) => h('p', null, h('strong', null, RULES[alert.rule](alert)), ` since ${then(alert, timezone)}.`)));
}

/** Opens or closes the list. */
export function toggleAlerts(wanted = !isOpen) {
  if (isOpen === wanted) return;
  isOpen = wanted;
  drawAlerts(...last);
}

// It lies over the page, so it closes as soon as somebody goes on there.
for (const kind of ['focusin', 'click']) {
  document.addEventListener(kind, ({ target: element }) => {
    if (isOpen && !target.contains(element)) toggleAlerts(false);
  });
}
target.addEventListener('click', (event) => {
  if (event.target.closest('a') && !event.metaKey && !event.ctrlKey && !event.shiftKey) close();
});
document.addEventListener('keydown', ({ key }) => {
  if (isOpen && key === 'Escape') close();
});

function close() {
  toggleAlerts(false);
  document.getElementById('bell')?.focus();
}

// The page: reads its address, loads what the view needs, draws it, and does so again every few seconds.

import {
  download, grantedAccounts, grantsNoLicenses, isTokenUnusable, serverNow, setToken, takeTokenFromFragment, token,
} from './api.js';
import { drawAll, fetchAhead, redraw } from './chart.js';
import { h, patch, typed } from './dom.js';
import { wrongDays } from './filters.js';
import { LIMIT_WORDS, forget, isBusy, load, mayRecover, planOf } from './loader.js';
import { describe, notRefreshed } from './messages.js';
import { closeOrganizations, openOrganizations } from './organizations.js';
import { loading, notice, stateCard } from './parts.js';
import { drawPerson, hidePerson } from './person.js';
import { drawFreshness, drawShell, knownAccounts, rememberAccount, tokenForm, tokenOffer, welcome } from './shell.js';
import { ASSIGNMENT_FILTERS, VIEWS, address, change, forView, parse } from './state.js';
import { view as assignments } from './view-assignments.js';
import { view as licenseHistory } from './view-history.js';
import { view as quota } from './view-quota.js';
import { view as licenseUsage } from './view-usage.js';

const views = { 'license-history': licenseHistory, 'license-usage': licenseUsage, assignments, usage: quota };
const TYPING_PAUSE_MS = 300;
const RETRY_AFTER_S = 5;

const main = document.getElementById('main');
const announcer = document.getElementById('announcer');

let state = parse(location.search);
let locked = null; // the error that a token has to mend, or null
let offered = null; // the token of a link that would replace another one, or null
let heard = 0; // when the API last answered, in milliseconds
let exporting = null; // the name of the export under way, or null
let failedExport = null; // the error of the last one, or null
let timer = null;
let typing = null; // the timer that waits until nobody types any more
let pending = null; // what it does then, or null
let isTypingDates = false; // since a key was pressed in a date field

// ---- Going somewhere ----

/**
 * Shows another state. `earlier` are the cursors of the pages before it. An organization that we chose for the usage view
 * stays ours until somebody chooses one.
 */
function go(next, { replace = false, earlier = [] } = {}) {
  const organizationIsOurs = Boolean(history.state?.organizationIsOurs) && next.organization_id === state.organization_id;
  const target = address(next);
  if (!replace) leaveFields();
  if (target !== location.pathname + location.search) {
    history[replace ? 'replaceState' : 'pushState']({ earlier, organizationIsOurs }, '', target);
  }
  return arrive();
}

// What was typed gives way to what the address says.
function leaveFields() {
  clearTimeout(typing);
  pending = null;
  isTypingDates = false;
  typed.clear();
  document.getElementById('wrong-days')?.replaceChildren();
}

function arrive({ spoken = true } = {}) {
  const before = state;
  state = parse(location.search);
  failedExport = null;
  if (!state.account) {
    const [known] = knownAccounts();
    if (known) return go(forView({ ...state, account: known }, state.view), { replace: true });
  }
  if (before.account !== state.account || before.view !== state.view) window.scrollTo(0, 0);
  return refresh(spoken);
}

async function refresh(spoken = false) {
  clearTimeout(timer);
  draw();
  if (!state.account || offered !== null || (locked && !token())) return;
  const asked = state;
  const loading = load(state, views[state.view], draw);
  if (views[state.view].drawn) fetchAhead();
  const refused = await loading;
  if (asked !== state) return;
  locked = refused;
  if (!locked) noteSuccess();
  draw();
  if (!locked) drawPerson(state, { again: true });
  if (spoken && !locked) announcer.textContent = `${VIEWS[state.view]} is up to date.`;
  schedule();
}

function noteSuccess() {
  const plan = planOf(state, views[state.view]);
  const { body, error } = plan.slot('organizations');
  if (body) rememberAccount(state.account);
  if (plan.slot('ingest').error?.kind !== 'away' && error?.kind !== 'away') heard = serverNow();
  // The address names the organization that is shown, so that it can be passed on; other views are not narrowed by it.
  if (plan.organization && !state.organization_id) {
    history.replaceState({ ...history.state, organizationIsOurs: true }, '', address({ ...state, organization_id: plan.organization }));
    state = parse(location.search);
  }
}

function schedule() {
  clearTimeout(timer);
  const usual = Number(state.refresh);
  // What failed is tried again soon, by a page that is paused too: it has nothing to show.
  const seconds = mayRecover() ? Math.min(RETRY_AFTER_S, usual || RETRY_AFTER_S) : usual;
  if (locked || seconds === 0) return;
  timer = setTimeout(() => (document.hidden ? schedule() : refresh()), seconds * 1000);
}

// ---- Drawing ----

function draw() {
  drawShell(state, { organizationIsOurs: Boolean(history.state?.organizationIsOurs) });
  if (offered !== null) {
    patch(main, tokenOffer());
    hidePerson();
    closeOrganizations();
    return drawFreshness(state, { busy: true }, 0);
  }
  if (!state.account) {
    patch(main, welcome());
    return drawFreshness(state, { busy: true }, 0);
  }
  if (locked) {
    patch(main, tokenForm(token() !== null || isTokenUnusable()));
    hidePerson();
    closeOrganizations();
    return drawFreshness(state, { busy: true }, 0);
  }
  const view = views[state.view];
  const plan = planOf(state, view);
  const { nodes, charts } = report(view, plan);
  patch(main, h('div', { class: `view view-${view.name}`, 'data-key': `${view.name} ${state.account}`, 'aria-busy': String(isBusy()) }, view.top(plan), nodes));
  drawFreshness(state, plan.slot('ingest'), heard);
  drawAll(charts, !isBusy());
  drawPerson(state);
  return undefined;
}

function report(view, plan) {
  const slot = plan.ready ? plan.slot(view.main) : unreadDays(plan);
  const listed = plan.slot('organizations');
  const error = slot.error ?? (view.needsOrganization && !plan.organization ? listed.error : undefined);
  if (!plan.ready && view.needsOrganization && listed.body && !plan.organization) {
    return { nodes: [stateCard({ title: 'No organization yet', text: 'Usage is counted per organization, and no event of this account has named one that you may see.' })], charts: [] };
  }
  if (error && !(plan.ready && slot.body)) return { nodes: [problem(view, plan, error)], charts: [] };
  if (!plan.ready || !slot.body) return { nodes: [loading(`the ${view.thing}`)], charts: [] };
  const { nodes, charts } = view.body(plan, slot.body);
  return { nodes: [notices(plan, error), ...nodes], charts };
}

// Of the questions for the days of the range, the one that could not be answered.
function unreadDays(plan) {
  const firstDays = plan.slot('first-days');
  if (firstDays.error) return firstDays;
  const extent = plan.slot('extent');
  return extent.error && extent.key === plan.extent?.address ? extent : plan.slot('today');
}

function problem(view, { organizations }, error) {
  const words = describe(error, { account: state.account, thing: view.thing });
  return stateCard({ ...words, key: `problem-${error.kind}` }, h('div', { class: 'actions' },
    words.action === 'token' ? h('button', { type: 'button', class: 'button primary', 'data-action': 'other-token' }, 'Use another token') : null,
    error.kind === 'forbidden' && !view.needsOrganization && organizations?.byId.size > 0
      ? h('a', { class: 'button', href: address(forView(state, 'usage')), 'data-action': 'link' }, 'See the usage of your organizations') : null,
    error.kind === 'bad_request' ? h('a', { class: 'button', href: address({ view: state.view, account: state.account }), 'data-action': 'link' }, 'Start afresh') : null,
    error.passing ? h('button', { type: 'button', class: 'button', 'data-action': 'retry' }, 'Try now') : null));
}

function notices(plan, error) {
  return [
    error ? notice(notRefreshed(error)) : null,
    state.ignored.length > 0 ? notice(`Left out, because the address has no value for it that makes sense: ${state.ignored.join(', ')}.`) : null,
    plan.coarsened ? notice(`Shown by ${plan.interval}: there would be too many of the interval chosen, ${LIMIT_WORDS}.`) : null,
    exporting ? notice('Preparing the CSV file…', 'good') : null,
    failedExport ? notice(`The CSV file could not be fetched. ${describe(failedExport, { account: state.account, thing: 'export' }).text}`, 'bad') : null,
  ];
}

// ---- What people do ----

// The cursors of the pages before that one, as far as we came through them.
function cursorsBefore(next) {
  const earlier = history.state?.earlier ?? [];
  const ahead = Number(next.page) - Number(state.page);
  if (ahead === 1) return [...earlier, state.cursor ?? null];
  if (ahead === -1 && next.page !== '1') return earlier.slice(0, -1);
  return ahead === 0 && next.cursor === state.cursor ? earlier : [];
}

const actions = {
  link(element, event) {
    if (event.metaKey || event.ctrlKey || event.shiftKey || event.button !== 0) return;
    event.preventDefault();
    const next = parse(new URL(element.href).search);
    const elsewhere = next.view !== state.view;
    go(next, { earlier: cursorsBefore(next) });
    if (elsewhere) document.getElementById('title')?.focus({ preventScroll: true });
    if (element.dataset.page) main.querySelector('.across')?.focus();
  },
  choose(element) {
    const { name, value } = element.dataset;
    go(change(state, { [name]: state[name] === value && name !== 'range' ? undefined : value }));
  },
  'open-organizations'() {
    const view = views[state.view];
    const { organizations, organization } = planOf(state, view);
    openOrganizations({
      organizations, chosen: organization, whole: view.needsOrganization ? null : 'All organizations',
      choose: (id) => go(change(state, { organization_id: id ?? undefined, period: undefined })),
    });
  },
  'reset-filters'() {
    go(change(state, Object.fromEntries(ASSIGNMENT_FILTERS.map((name) => [name, name === 'status' ? 'active' : undefined]))));
  },
  // The browser's own way would put an entry without our state into the history.
  skip(_, event) {
    event.preventDefault();
    main.focus();
    main.scrollIntoView();
  },
  now: () => go(change(state, { as_of: undefined })),
  pause: () => go({ ...state, refresh: state.refresh === '0' ? '10' : '0' }, { replace: true }),
  retry: () => refresh(true),
  'close-person': () => closePerson(),
  'other-token'() {
    setToken(null);
    forget();
    locked = { kind: 'unauthorized' };
    draw();
    document.getElementById('token')?.focus();
  },
  'keep-token'() {
    offered = null;
    enter();
  },
  'take-token'() {
    setToken(offered);
    offered = null;
    enterWithToken();
  },
  'forget-token'() {
    setToken(null);
    forget();
    refresh(true);
  },
  async export(element) {
    if (exporting) return;
    exporting = element.dataset.name;
    failedExport = null;
    draw();
    const { address: from, file } = views[state.view].exports(planOf(state, views[state.view]))[exporting];
    try {
      await download(from, file.replaceAll(/[^\p{L}\p{N}._-]+/gu, '_'));
      announcer.textContent = 'The CSV file is saved.';
    } catch (error) {
      failedExport = error;
    }
    exporting = null;
    draw();
  },
};

function closePerson() {
  if (state.person) go({ ...state, person: undefined, person_name: undefined }, { earlier: history.state?.earlier });
}

document.addEventListener('click', (event) => {
  const element = event.target.closest('[data-action]');
  if (element) actions[element.dataset.action]?.(element, event);
});

document.addEventListener('submit', (event) => {
  event.preventDefault();
  const { form } = event.target.dataset;
  const fields = new FormData(event.target);
  if (form === 'account') {
    // Blanks are letters of an id like others.
    const account = fields.get('account');
    if (account) go(forView({ account, refresh: state.refresh }, state.view));
  }
  if (form === 'token') {
    leaveFields();
    setToken(fields.get('token'));
    enterWithToken();
  }
});

function takeToken() {
  const link = takeTokenFromFragment();
  offered = link.offered ?? offered;
  return link.taken;
}

function enterWithToken() {
  forget();
  locked = lockedByToken();
  return enter();
}

// A token that cannot even be sent is refused like one that the API refuses.
function lockedByToken() {
  return isTokenUnusable() ? { kind: 'unauthorized' } : null;
}

// An address that names no account or no view leads to what the token opens.
function enter(options) {
  const given = parse(location.search);
  const account = given.account ?? grantedAccounts()[0];
  const named = new URLSearchParams(location.search).has('view');
  const view = account && !named && grantsNoLicenses(account) ? 'usage' : given.view;
  if (account !== given.account || view !== given.view) history.replaceState(history.state, '', address({ ...given, account, view }));
  return arrive(options);
}

document.addEventListener('input', (event) => {
  const { dataset: { field }, nodeName, value } = event.target;
  if (nodeName !== 'INPUT') return;
  typed.add(event.target);
  if (!field) return;
  clearTimeout(typing);
  pending = () => {
    pending = null;
    go(change(state, { [field]: (field === 'license_source' ? value : value.trim()) || undefined }), { replace: true });
  };
  typing = setTimeout(() => pending?.(), TYPING_PAUSE_MS);
});

document.addEventListener('change', (event) => {
  const { dataset, value, nodeName } = event.target;
  if (dataset.field && nodeName === 'SELECT') go(change(state, { [dataset.field]: value || undefined }));
  // A day picked in the calendar is meant; one that is being typed may not be.
  if (dataset.date && !isTypingDates) chooseDates();
  if (dataset.instant && event.target.validity.valid) go(change(state, { as_of: value ? `${value}:00Z` : undefined }));
});

// A range is judged when both its fields are left, or at Enter: while it is typed it passes through days that nobody means.
document.addEventListener('keydown', (event) => {
  if (!event.target.dataset?.date) return;
  if (event.key === 'Enter') chooseDates();
  else if (!['Tab', 'Shift'].includes(event.key)) {
    isTypingDates = true;
    dateFields().forEach((field) => typed.add(field));
  }
});

document.addEventListener('focusout', ({ target, relatedTarget }) => {
  if (target.dataset?.field) pending?.();
  if (!target.dataset?.date || relatedTarget?.dataset?.date) return;
  chooseDates();
  isTypingDates = false;
});

function dateFields() {
  return ['from', 'to'].map((name) => document.getElementById(`field-${name}`));
}

function chooseDates() {
  const fields = dateFields();
  const [first, last] = fields;
  if (!fields.some((field) => typed.has(field))) return;
  const wrong = wrongDays(first, last);
  document.getElementById('wrong-days').textContent = wrong;
  if (wrong) return;
  // The attribute is what was last drawn.
  const same = fields.every((field) => field.value === field.getAttribute('value'));
  fields.forEach((field) => typed.delete(field));
  if (!same) go(change(state, { from: first.value, to: last.value || undefined }));
}

// ---- The browser ----

document.getElementById('person').addEventListener('close', () => {
  if (!locked) closePerson();
});
window.addEventListener('popstate', () => {
  leaveFields();
  closeOrganizations();
  arrive();
});
window.addEventListener('hashchange', () => {
  if (takeToken()) enterWithToken();
  else if (offered !== null) draw();
});
document.addEventListener('visibilitychange', () => {
  if (!document.hidden && state.account && state.refresh !== '0') refresh();
});
matchMedia('(prefers-color-scheme: dark)').addEventListener('change', redraw);
setInterval(() => {
  if (state.account && !locked && offered === null) drawFreshness(state, planOf(state, views[state.view]).slot('ingest'), heard);
}, 5000);

// Paper shows all figures and is white.
let openedForPaper = [];
window.addEventListener('beforeprint', () => {
  openedForPaper = [...document.querySelectorAll('details.as-table:not([open])')];
  for (const details of openedForPaper) details.open = true;
  document.documentElement.classList.add('printing');
  redraw();
});
window.addEventListener('afterprint', () => {
  for (const details of openedForPaper) details.open = false;
  document.documentElement.classList.remove('printing');
  redraw();
});

takeToken();
locked = lockedByToken();
enter({ spoken: false });

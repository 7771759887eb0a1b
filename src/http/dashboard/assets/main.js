// The page: reads its address, loads what the view needs, draws it, and does so again every few seconds.

import {
  download, get, grantsNoLicenses, isTokenUnusable, serverNow, setToken, takeTokenFromFragment, token,
} from './api.js';
import { ACCOUNTS, forgetAccount, forgetAccounts, noteAccounts, noteNames, openAccounts, rememberAccount, usualAccount } from './accounts.js';
import { drawAlerts, toggleAlerts } from './alerts.js';
import { drawAll } from './chart.js';
import { csvOf, toClipboard } from './copy.js';
import { leaveDates, watchDates } from './dates.js';
import { h, patch, typed } from './dom.js';
import { LIMIT_WORDS, forget, isBusy, load, mayRecover, nameOf, planOf, versionOf } from './loader.js';
import { describe, notRefreshed } from './messages.js';
import { closeOrganizations, openOrganizations } from './organizations.js';
import './paper.js';
import { loading, notice } from './parts.js';
import { problem, unreadDays } from './problem.js';
import { drawPerson, hidePerson } from './person.js';
import { keepPlace, leavePlace, restorePlace, returnTo } from './place.js';
import { drawFreshness, drawShell, tokenForm, tokenOffer, welcome } from './shell.js';
import { ASSIGNMENT_FILTERS, VIEWS, address, change, forView, parse } from './state.js';
import { view as assignments } from './view-assignments.js';
import { view as licenseHistory } from './view-history.js';
import { view as quota } from './view-quota.js';
import { view as overview } from './view-overview.js';
import { view as licenseUsage } from './view-usage.js';

const views = { 'license-history': licenseHistory, 'license-usage': licenseUsage, assignments, usage: quota };
const viewOf = ({ view, organization_id: organization }) => (view === 'usage' && !organization ? overview : views[view]);
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
let drawn = []; // what the report on the page was drawn from

// ---- Going somewhere ----

/**
 * Shows another state. `earlier` are the cursors of the pages before it. An organization that we chose for the usage view
 * stays ours until somebody chooses one; so does an account.
 */
function go(next, { replace = false, earlier = [], accountIsOurs = false } = {}) {
  const organizationIsOurs = Boolean(history.state?.organizationIsOurs) && next.organization_id === state.organization_id;
  const target = address(next);
  const opensPerson = !replace && Boolean(next.person) && !state.person;
  if (!replace) {
    leaveFields();
    leavePlace();
  }
  if (target !== location.pathname + location.search) {
    history[replace ? 'replaceState' : 'pushState']({ earlier, organizationIsOurs, accountIsOurs, opensPerson }, '', target);
  }
  return arrive();
}

// What was typed gives way to what the address says.
function leaveFields() {
  clearTimeout(typing);
  pending = null;
  typed.clear();
  leaveDates();
}

function arrive({ spoken = true } = {}) {
  const before = state;
  state = parse(location.search);
  failedExport = null;
  if (!state.account) {
    const usual = usualAccount();
    if (usual) return go(forView({ ...state, account: usual }, state.view), { replace: true, accountIsOurs: true });
  }
  if (isElsewhere(before, state)) window.scrollTo(0, 0);
  return refresh(spoken);
}

async function refresh(spoken = false) {
  clearTimeout(timer);
  draw();
  if (offered !== null || (locked && !token())) return undefined;
  const asked = state;
  if (!state.account) return askForAccounts(asked);
  const refused = await load(state, viewOf(state), () => {
    // Whoever leaves before the last answer has opened the account too.
    if (planOf(state, viewOf(state)).slot('organizations').body) rememberAccount(state.account);
    draw();
  });
  if (asked !== state) return undefined;
  locked = refused;
  if (!locked && isGone()) return go({ ...state, account: undefined }, { replace: true });
  if (!locked && noteSuccess()) return refresh(spoken);
  draw();
  restorePlace({ isWhole: true });
  if (!locked) drawPerson(state, { again: true });
  if (spoken && !locked) announcer.textContent = `${VIEWS[state.view]} is up to date.`;
  schedule();
  return undefined;
}

// An account that we remembered, and that nobody chose, may not be there any more.
function isGone() {
  const { error } = planOf(state, viewOf(state)).slot('organizations');
  return ['not_found', 'forbidden'].includes(error?.kind) && Boolean(history.state?.accountIsOurs) && forgetAccount(state.account);
}

// Without an account, those that there are can be chosen from.
async function askForAccounts(asked) {
  try {
    noteAccounts(await get(ACCOUNTS));
  } catch (error) {
    if (error.kind === 'unauthorized') locked = error;
  }
  if (asked !== state) return undefined;
  return !locked && usualAccount() ? arrive() : draw();
}

function noteSuccess() {
  const plan = planOf(state, viewOf(state));
  const { error } = plan.slot('organizations');
  if (plan.slot('ingest').error?.kind !== 'away' && error?.kind !== 'away') heard = serverNow();
  // Where there is but one organization, nothing is to be ranked. The address names it, so that it can be passed on; other
  // views are not narrowed by it.
  if (viewOf(state) === overview && plan.organizations?.byId.size === 1) {
    history.replaceState({ ...history.state, organizationIsOurs: true }, '', address({ ...state, organization_id: plan.organizations.roots[0].id }));
    state = parse(location.search);
    return true;
  }
  return false;
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
  const plan = planOf(state, viewOf(state));
  if (state.account) {
    noteAccounts(plan.slot('accounts').body);
    noteNames(plan.slot('account').body);
  }
  drawAlerts(state, locked || offered !== null ? null : plan.slot('alerts').body);
  drawShell(state, { organizationIsOurs: Boolean(history.state?.organizationIsOurs), organization: state.account && nameOf(plan) });
  drawMain(plan);
}

function drawMain(plan) {
  const before = drawn;
  drawn = [];
  if (offered !== null) {
    patch(main, tokenOffer());
    hidePerson();
    closeOrganizations();
    return drawFreshness(state, { busy: true }, 0);
  }
  if (!state.account && !locked) {
    patch(main, welcome());
    return drawFreshness(state, { busy: true }, 0);
  }
  if (locked) {
    patch(main, tokenForm(token() !== null || isTokenUnusable()));
    hidePerson();
    closeOrganizations();
    return drawFreshness(state, { busy: true }, 0);
  }
  const view = viewOf(state);
  // Words that tell how long something is idle change with the hours.
  drawn = [state, versionOf(), isBusy(), exporting, failedExport, Math.floor(serverNow() / 3_600_000)];
  drawFreshness(state, plan.slot('ingest'), heard);
  // Most answers are what they were; thousands of rows are not drawn again for them.
  if (drawn.every((part, index) => part === before[index])) return undefined;
  const { nodes, charts } = report(view, plan);
  patch(main, h('div', { class: `view view-${view.name}`, 'data-key': `${view.name} ${state.account}`, 'aria-busy': String(isBusy()) }, view.top(plan), nodes));
  drawAll(charts);
  drawPerson(state);
  if (plan.ready && plan.slot(view.main).body) restorePlace({ isWhole: false });
  return undefined;
}

function report(view, plan) {
  const slot = plan.ready ? plan.slot(view.main) : unreadDays(plan);
  const { error } = slot;
  if (error && !(plan.ready && slot.body)) return { nodes: [problem(view, plan, error)], charts: [] };
  if (!plan.ready || !slot.body) return { nodes: [loading(`the ${view.thing}`)], charts: [] };
  const { nodes, charts } = view.body(plan, slot.body);
  return { nodes: [notices(plan, error), ...nodes], charts };
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

const isElsewhere = (one, other) => one.view !== other.view || one.organization_id !== other.organization_id || one.account !== other.account;

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
    const elsewhere = isElsewhere(next, state);
    const card = element.id === 'show-all' ? element.closest('.card') : null;
    const shown = card?.querySelectorAll('tbody tr').length;
    go(next, { earlier: cursorsBefore(next) });
    // The button is gone then; the keyboard goes on at the first row that it brought.
    card?.querySelectorAll('tbody tr')[shown]?.querySelector('a')?.focus();
    if (element.dataset.target) document.getElementById(element.dataset.target)?.focus();
    if (elsewhere) document.getElementById('title')?.focus({ preventScroll: true });
    if (element.dataset.page) main.querySelector('.across')?.focus();
  },
  choose(element) {
    const { name, value } = element.dataset;
    go(change(state, { [name]: state[name] === value && name !== 'range' ? undefined : value }));
  },
  alerts: () => toggleAlerts(),
  'open-accounts'() {
    openAccounts({ chosen: state.account, choose: (account) => go(forView({ account, refresh: state.refresh }, state.view)) });
  },
  'open-organizations'() {
    const { organizations, organization } = planOf(state, viewOf(state));
    openOrganizations({
      organizations, chosen: organization, whole: 'All organizations',
      choose: (id) => go(change(state, { organization_id: id ?? undefined, period: undefined })),
    });
  },
  'reset-filters'() {
    go(change(state, Object.fromEntries(ASSIGNMENT_FILTERS.map((name) => [name, name === 'status' ? 'active' : undefined]))));
  },
  // The browser's own way would put an entry without our state into the history.
  jump(element, event) {
    event.preventDefault();
    const target = document.getElementById(element.hash.slice(1));
    target?.scrollIntoView();
    target?.focus();
  },
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
    forgetAll();
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
    forgetAll();
    refresh(true);
  },
  go: (element) => go(parse(new URL(element.dataset.href, location.href).search)),
  async copy(element) {
    const table = document.getElementById(element.dataset.table);
    if (!table) return;
    try {
      await toClipboard(csvOf(table));
      announcer.textContent = 'Copied.';
      element.classList.add('done');
      setTimeout(() => element.classList.remove('done'), 2000);
    } catch {
      announcer.textContent = 'The browser does not let this page copy.';
    }
  },
  async export(element) {
    if (exporting) return;
    exporting = element.dataset.name;
    failedExport = null;
    draw();
    const { address: from, file } = viewOf(state).exports(planOf(state, viewOf(state)))[exporting];
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
  if (!state.person) return;
  // Back leads to where the person was opened; a link that opened it leads nowhere.
  if (history.state?.opensPerson) history.back();
  else go({ ...state, person: undefined, person_name: undefined }, { replace: true, earlier: history.state?.earlier });
}

document.addEventListener('click', (event) => {
  const element = event.target.closest('[data-action]');
  if (element) actions[element.dataset.action]?.(element, event);
});

// A place of a chart was chosen.
document.addEventListener('follow', ({ detail }) => go(parse(new URL(detail, location.href).search)));

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

function forgetAll() {
  forget();
  forgetAccounts();
}

function enterWithToken() {
  forgetAll();
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
  const account = given.account ?? usualAccount();
  const named = new URLSearchParams(location.search).has('view');
  const view = account && !named && grantsNoLicenses(account) ? 'usage' : given.view;
  const accountIsOurs = account !== given.account || Boolean(history.state?.accountIsOurs);
  if (account !== given.account || view !== given.view) history.replaceState({ ...history.state, accountIsOurs }, '', address({ ...given, account, view }));
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
  if (dataset.instant && event.target.validity.valid) go(change(state, { as_of: value ? `${value}:00Z` : undefined }));
});

document.addEventListener('focusout', ({ target }) => {
  if (target.dataset?.field) pending?.();
});

watchDates((days) => go(change(state, days)));

// ---- The browser ----

document.getElementById('person').addEventListener('close', () => {
  if (!locked && offered === null) closePerson();
});
window.addEventListener('popstate', () => {
  leaveFields();
  closeOrganizations();
  const before = state;
  returnTo(() => isElsewhere(state, before));
  arrive();
});
window.addEventListener('hashchange', () => {
  if (takeToken()) enterWithToken();
  else if (offered !== null) draw();
});
document.addEventListener('visibilitychange', () => {
  if (!document.hidden && state.account && state.refresh !== '0') refresh();
});
setInterval(() => {
  if (state.account && !locked && offered === null) drawFreshness(state, planOf(state, viewOf(state)).slot('ingest'), heard);
}, 5000);

keepPlace();
takeToken();
locked = lockedByToken();
enter({ spoken: false });

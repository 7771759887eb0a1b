// Brings the reports of a view and keeps them: which answers a view stands on, which of them are being fetched, and which
// could not be. The last good answer to the very same question stays until there is a better one, so nothing blanks.

import { ACCOUNTS, accountAddress } from './accounts.js';
import { ApiError, get, recently, url } from './api.js';
import { tree } from './organizations.js';
import { BEFORE_ALL, BUCKETS_MAX, addDays, automatic, daysIn, fits, presetStart } from './range.js';

const slots = new Map();
// What day it is for an account, and the first day with data, both by question: known from answers alone.
const days = new Map();
let account = null;
let generation = 0;
let version = 0; // changes with everything that a view is drawn from

// How much was counted is drawn apart from the view, and changes all the time.
const ASIDE = new Set(['ingest']);

function put(name, slot) {
  slots.set(name, slot);
  if (!ASIDE.has(name)) version += 1;
}

/** A number that is another one as soon as a view has something new to show. */
export function versionOf() {
  return version;
}

/** Forgets every answer: they belonged to another account or another token. */
export function forget() {
  generation += 1;
  slots.clear();
  days.clear();
  version += 1;
}

/** Where the reports of the account are. */
export function base(state) {
  return `/v1/accounts/${encodeURIComponent(state.account)}`;
}

/**
 * Asks for all that the view needs. `changed` is called whenever there is something new to show. Resolves to the first
 * error that closes the whole page (a token that is missing or bad), or to null. A later call overtakes an earlier one.
 */
export async function load(state, view, changed) {
  if (state.account !== account) {
    forget();
    account = state.account;
  }
  const run = ++generation;
  const current = () => run === generation;
  if (recall(state, view)) changed();
  const asked = new Set();
  let refused = null;
  const ask = async (request) => {
    asked.add(request.name + request.address);
    const error = await fill(request, current, changed);
    if (error?.kind === 'unauthorized') refused ??= error;
  };
  for (;;) {
    const wanted = needs(state, view).filter(({ name, address }) => !asked.has(name + address));
    if (wanted.length === 0 || !current() || refused) break;
    // What a view can be read without does not hold up what it cannot.
    const first = wanted.filter(({ later }) => !later);
    await Promise.all((first.length > 0 ? first : wanted).map(ask));
  }
  if (current()) drop(needs(state, view).map(({ name }) => name));
  return current() ? refused : null;
}

// What was answered a moment ago is shown at once: whoever goes back finds the page as it was.
function recall(state, view) {
  let found = false;
  for (;;) {
    const known = needs(state, view).flatMap(({ name, address }) => {
      const { key, wanted } = slots.get(name) ?? {};
      const body = key === address || wanted === address ? undefined : recently(address);
      return body ? [{ name, address, body }] : [];
    });
    if (known.length === 0) return found;
    for (const { name, address, body } of known) {
      put(name, { key: address, body, wanted: address, busy: true });
      learn(name, address, body);
    }
    found = true;
  }
}

function needs(state, view) {
  const named = accountAddress(state.account);
  const shared = [
    { name: 'organizations', address: `${base(state)}/organizations` },
    { name: 'alerts', address: `${base(state)}/alerts`, later: true },
    { name: 'ingest', address: '/v1/ingest', later: true },
    { name: 'accounts', address: ACCOUNTS, later: true },
    ...named ? [{ name: 'account', address: named, later: true }] : [],
  ];
  const plan = planOf(state, view);
  if (!plan.ready) return [...shared, ...view.extent ? dayNeeds(plan, view) : []];
  return [...shared, ...view.requests(plan)];
}

function drop(names) {
  for (const name of slots.keys()) {
    if (names.includes(name)) continue;
    slots.delete(name);
    version += 1;
  }
}

async function fill({ name, address }, current, changed) {
  const before = slots.get(name);
  if (before?.key !== address) {
    put(name, { key: before?.key, body: before?.body, wanted: address, busy: true });
    changed();
  }
  try {
    const body = await get(address);
    if (!current()) return null;
    if (before?.key === address && before.body === body && !before.error && !before.busy) return null;
    put(name, { key: address, body });
    learn(name, address, body);
  } catch (error) {
    if (!current()) return null;
    if (!(error instanceof ApiError)) throw error;
    const stays = error.passing && before?.key === address;
    put(name, { key: address, body: stays ? before.body : undefined, error });
    changed();
    return error;
  }
  changed();
  return null;
}

// A report that was asked without `to` ends today, as the account's zone has it.
function learn(name, address, body) {
  const [path, query] = address.split('?');
  const asked = new URLSearchParams(query);
  if (body.to && !asked.has('to')) days.set(`today ${path.split('/')[3]} ${asked.get('as_of') ?? ''}`, body.to);
  if (name === 'extent') days.set(`months ${address}`, body.points);
  if (name === 'first-days') days.set(`days ${address}`, body.points);
}

/**
 * The pages of a list, of which each after the first is asked for when the one before it is there: the requests, and the
 * answers so far. `page(cursor)` is the address of one.
 */
export function paged(slot, name, page, { most, later = false }) {
  const requests = [];
  const bodies = [];
  let cursor;
  while (requests.length < most) {
    const request = { name: requests.length === 0 ? name : `${name} ${requests.length}`, address: page(cursor), later: later || requests.length > 0 };
    requests.push(request);
    const { key, body } = slot(request.name);
    if (!body || (requests.length > 1 && key !== request.address)) break;
    bodies.push(body);
    cursor = body.next_cursor;
    if (!cursor || key !== request.address) break;
  }
  return { requests, bodies };
}

/** Whether something is being fetched that the page does not show yet. */
export function isBusy() {
  return [...slots.values()].some(({ busy }) => busy);
}

/** Whether something could not be fetched that may well be there in a moment. */
export function mayRecover() {
  return [...slots.values()].some(({ error }) => error?.passing);
}

/** What is known so far for the view in this state: its dates, its interval, its organizations and its answers. */
export function planOf(state, view) {
  const listed = slots.get('organizations')?.body?.organizations;
  const plan = { state, base: base(state), slot: (name) => slots.get(name) ?? { busy: true }, organizations: null };
  if (listed) plan.organizations = organizationsOf(listed);
  plan.organization = state.organization_id;
  plan.today = days.get(`today ${encodeURIComponent(state.account)} ${state.as_of ?? ''}`);
  plan.extent = view.extent?.(plan);
  plan.range = rangeOf(plan);
  plan.ready = !view.extent || plan.range !== null;
  const length = plan.range?.days ?? 30;
  const chosen = state.interval;
  plan.automatic = automatic(length, view.finest);
  plan.interval = chosen && fits(chosen, length) ? chosen : plan.automatic;
  plan.coarsened = Boolean(chosen) && chosen !== plan.interval;
  plan.query = { organization_id: state.organization_id, interval: plan.interval, as_of: state.as_of, ...plan.range?.ask };
  return plan;
}

/** The name of the chosen organization, or its id as long as no name is known; nothing where none is chosen. */
export function nameOf({ organization, organizations }) {
  return organization && (organizations?.byId.get(organization)?.name ?? organization);
}

let treeOf = {};

function organizationsOf(listed) {
  if (treeOf.listed !== listed) treeOf = { listed, tree: tree(listed) };
  return treeOf.tree;
}

// The dates to ask for; null while it is not known what day it is there. The usual 30 days need not wait for that: they
// are what the API gives unasked.
function rangeOf({ state, today, extent }) {
  const between = (from, to, ask) => ({ from, to, days: from && to ? daysIn(from, to) : undefined, ask });
  if (state.from) {
    const to = state.to ?? today;
    // How long it is decides on its interval.
    if (!to) return null;
    return between(state.from, to, { from: state.from, to: state.to });
  }
  if (state.range === '30d') return between(today && addDays(today, -29), today, {});
  if (!today) return null;
  if (state.range !== 'all') return between(presetStart(state.range, today), today, { from: presetStart(state.range, today) });
  const month = firstMonth(extent);
  if (month === undefined) return null;
  const points = month && days.get(`days ${extent.days(month)}`);
  if (month && !points) return null;
  const from = presetStart('all', today, points ? (points.find(extent.counts) ?? month).start : undefined);
  return between(from, today, { from });
}

// The first month with data: null if there is none, undefined while that is not known.
function firstMonth(extent) {
  const months = days.get(`months ${extent?.address}`);
  if (!months) return undefined;
  const month = months.find(extent.counts);
  return month && month.start !== BEFORE_ALL ? month : null;
}

function dayNeeds(plan, view) {
  if (plan.state.range === 'all' && plan.today) {
    const month = firstMonth(plan.extent);
    if (month) return [{ name: 'first-days', address: plan.extent.days(month) }];
    return [{ name: 'extent', address: plan.extent.address }];
  }
  return [{ name: 'today', address: url(plan.extent.path, { interval: 'year', as_of: plan.state.as_of }) }];
}

/**
 * The questions whose answers tell when there first was anything: all months at once, of which most are empty, then the days
 * of the first one that is not.
 */
export function extent(path, query, counts) {
  return {
    path, counts, address: url(path, { ...query, from: BEFORE_ALL, interval: 'month' }),
    days: ({ start, end }) => url(path, { ...query, from: start, to: end }),
  };
}

/** The most buckets a report has, as words. */
export const LIMIT_WORDS = `a report has at most ${BUCKETS_MAX} of them`;

// The report API. Answers are kept with their ETag, so that polling costs a 304 as long as nothing has changed.

import { learnZone } from './zone.js';

const TOKEN = 'seatmeter.token';
const KEPT_MAX = 60;
const RECENT_MS = 300_000;

/** Why a request brought no report. */
export class ApiError extends Error {
  /** `kind` is unauthorized, forbidden, not_found, bad_request, busy, server or away. */
  constructor(kind, status, problem) {
    super(problem?.detail ?? problem?.title ?? kind);
    this.kind = kind;
    this.status = status;
    this.problem = problem;
  }

  /** Whether trying again may help, so that the last figures may stay on the page. */
  get passing() {
    return this.kind === 'away' || this.kind === 'server' || this.kind === 'busy';
  }
}

// What a header can carry.
const CARRIED = /^[\x21-\x7e]+$/;

// Whether the last token that was given is none that could be sent.
let unusable = false;

// Where the browser stores nothing, the token lasts as long as the page.
let unstored = null;

/** The token of this tab, or null. */
export function token() {
  try {
    return sessionStorage.getItem(TOKEN) ?? unstored;
  } catch {
    return unstored;
  }
}

/** Whether the last token that was given is none that could be sent; it was not kept then. */
export function isTokenUnusable() {
  return unusable;
}

/** Keeps the token for this tab alone, or forgets it. Answers that it opened are forgotten with it. */
export function setToken(text) {
  const given = text?.trim() ?? '';
  unusable = given !== '' && !CARRIED.test(given);
  const wanted = unusable ? '' : given;
  kept.clear();
  unstored = null;
  try {
    if (wanted) sessionStorage.setItem(TOKEN, wanted);
    else sessionStorage.removeItem(TOKEN);
  } catch {
    unstored = wanted || null;
  }
}

/**
 * Takes a token out of the address's fragment (`#token=…`), where no server and no log sees it. Returns whether it is kept
 * now; it is only offered where it would replace another one: a link is anybody's, so that is for the person to decide.
 */
export function takeTokenFromFragment() {
  const given = new URLSearchParams(location.hash.slice(1)).get('token');
  if (given === null) return { taken: false, offered: null };
  history.replaceState(history.state, '', location.pathname + location.search);
  if (token() !== null && token() !== given.trim()) return { taken: false, offered: given };
  setToken(given);
  return { taken: true, offered: null };
}

/** The accounts that the token's grants name with a role that reads reports. */
export function grantedAccounts() {
  return [...new Set(grants().filter(({ role }) => role !== 'checker').map(({ account }) => String(account)))];
}

/** Whether the token's grants name the account, but not its licence reports. */
export function grantsNoLicenses(account) {
  const roles = grants().filter((grant) => [account, '*'].includes(String(grant.account))).map(({ role }) => role);
  return roles.length > 0 && !roles.includes('account_admin');
}

// Nothing but a suggestion: what the token really opens is the API's to say.
function grants() {
  try {
    const payload = token().split('.')[1].replaceAll('-', '+').replaceAll('_', '/');
    const claims = JSON.parse(new TextDecoder().decode(Uint8Array.from(atob(payload), (letter) => letter.charCodeAt(0))));
    return claims.grants.filter((grant) => grant?.account !== undefined);
  } catch {
    return [];
  }
}

/** The path of a report, with its query; fields without a value are left out. */
export function url(path, query = {}) {
  const fields = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    if (value !== undefined && value !== null && value !== '') fields.set(name, value);
  }
  const text = fields.toString();
  return text ? `${path}?${text}` : path;
}

const kept = new Map();

/** What the URL answered within the last minutes, to be shown until it answers again; or nothing. */
export function recently(address) {
  const before = kept.get(address);
  return before && performance.now() - before.at < RECENT_MS ? before.body : undefined;
}

/** The report at the URL; the very same object as before where it has not changed. */
export async function get(address, signal) {
  const before = kept.get(address);
  const response = await request(address, 'application/json', before?.etag, signal);
  if (response.status === 304 && before) {
    before.at = performance.now();
    return before.body;
  }
  const body = await response.json().catch((cause) => { throw asAway(cause); });
  kept.delete(address);
  const etag = response.headers.get('ETag');
  if (body.timezone) await learnZone(body.timezone);
  if (etag) kept.set(address, { etag, body, at: performance.now() });
  if (kept.size > KEPT_MAX) kept.delete(kept.keys().next().value);
  return body;
}

/** The report at the URL as CSV, saved as a file of that name and the day that the API gives its file. */
export async function download(address, name) {
  const response = await request(address, 'text/csv');
  const file = URL.createObjectURL(await response.blob().catch((cause) => { throw asAway(cause); }));
  const link = document.createElement('a');
  link.href = file;
  const [day] = /\d{4}-\d{2}-\d{2}/.exec(response.headers.get('Content-Disposition')) ?? [];
  link.download = `${day ? `${name}-${day}` : name}.csv`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(file), 60_000);
}

async function request(address, accept, etag, signal) {
  const headers = { Accept: accept };
  if (token()) headers.Authorization = `Bearer ${token()}`;
  if (etag) headers['If-None-Match'] = etag;
  let response;
  try {
    response = await fetch(address, { headers, signal, cache: 'no-store', credentials: 'omit', redirect: 'error' });
  } catch (cause) {
    throw asAway(cause);
  }
  noteClock(response.headers.get('Date'));
  if (response.ok || response.status === 304) return response;
  throw new ApiError(kindOf(response.status), response.status, await response.json().catch(() => null));
}

let server = null; // the server's clock when it last answered, and ours, which may be set differently, at that moment

function noteClock(date) {
  const at = Date.parse(date);
  if (!Number.isNaN(at)) server = { at, ours: performance.now() };
}

/** What the server's clock shows, in milliseconds; it tells whole seconds. */
export function serverNow() {
  return server ? server.at + performance.now() - server.ours : Date.now();
}

function kindOf(status) {
  const known = { 400: 'bad_request', 401: 'unauthorized', 403: 'forbidden', 404: 'not_found', 429: 'busy', 503: 'busy' };
  return known[status] ?? 'server';
}

function asAway(cause) {
  return cause.name === 'AbortError' ? cause : new ApiError('away', 0, null);
}

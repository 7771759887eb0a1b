// The accounts that the token may see, and the dialog that switches between them.

import { get, grantedAccounts, url } from './api.js';
import { h, patch } from './dom.js';
import { plural } from './format.js';
import { named, shown } from './names.js';

const RECENT = 'seatmeter.accounts';
const RECENT_MAX = 8;
const LISTED_MAX = 100;
const TYPING_PAUSE_MS = 200;

/** Where the first of them are. */
export const ACCOUNTS = url('/v1/accounts', { limit: LISTED_MAX });

let list = null; // the answer at that address, as it last was
const known = new Map(); // the accounts of all answers, by id

// A role that may only ask whether tests may run opens nothing here.
const isReadable = ({ roles }) => roles.some((role) => role !== 'checker');

/** Keeps the answer. */
export function noteAccounts(body) {
  if (!body) return;
  list = body;
  noteNames(body);
}

/** Keeps the names of an answer that is not the whole list. */
export function noteNames(body) {
  for (const account of body?.accounts ?? []) known.set(account.account_id, account);
}

/** Forgets all of them, with the token that they were given to. */
export function forgetAccounts() {
  list = null;
  known.clear();
}

/** The name of the account, or its id as long as no name is known. */
export function accountName(id) {
  return shown(known.get(id)?.name, id);
}

/** Where the account is found, if it is not among the first; or nothing. */
export function accountAddress(id) {
  const isListed = list?.accounts.some(({ account_id: one }) => one === id);
  return list?.next_cursor && !isListed ? url('/v1/accounts', { limit: 1000, search: id }) : null;
}

/** Accounts that were opened in this browser, the last one first. */
function recentAccounts() {
  try {
    const stored = JSON.parse(localStorage.getItem(RECENT));
    return Array.isArray(stored) ? stored.filter((id) => typeof id === 'string') : [];
  } catch {
    return [];
  }
}

/** Puts the account first among them. A browser that stores nothing just does not remember. */
export function rememberAccount(account) {
  const recent = [account, ...recentAccounts().filter((id) => id !== account)].slice(0, RECENT_MAX);
  try {
    localStorage.setItem(RECENT, JSON.stringify(recent));
  } catch {
    return;
  }
}

/** Takes the account out of those that were opened; whether it was one of them. */
export function forgetAccount(account) {
  const recent = recentAccounts();
  try {
    localStorage.setItem(RECENT, JSON.stringify(recent.filter((id) => id !== account)));
  } catch {
    return false;
  }
  return recent.includes(account);
}

/** The account that a link without one opens: the last used one that the token opens, or its only one; or none. */
export function usualAccount() {
  const granted = grantedAccounts();
  const recent = recentAccounts().filter((id) => granted.length === 0 || granted.includes(id) || granted.includes('*'));
  const named = granted.filter((id) => id !== '*');
  return recent[0] ?? (granted.length === 1 ? named[0] : undefined) ?? onlyAccount();
}

function onlyAccount() {
  const readable = list?.accounts.filter(isReadable) ?? [];
  return readable.length === 1 && !list.next_cursor ? readable[0].account_id : undefined;
}

/** The account in the header: its name, and where there are others a button that leads to them. */
export function accountSwitch(account) {
  const name = accountName(account);
  const others = list?.accounts.filter((one) => isReadable(one) && one.account_id !== account) ?? [];
  if (others.length === 0 && !list?.next_cursor) return h('p', { class: 'account-name', 'data-key': 'account' }, h('span', { class: 'unseen' }, 'Account '), named(name));
  return h('button', { type: 'button', class: 'choice', id: 'account-switch', 'data-key': 'switch', 'data-action': 'open-accounts', 'aria-haspopup': 'dialog', title: name },
    h('span', { class: 'unseen' }, 'Account '), h('span', { class: 'choice-name' }, named(name)));
}

/** The accounts to choose from where none is chosen yet. */
export function accountList(addressOf) {
  const readable = list?.accounts.filter(isReadable) ?? [];
  if (readable.length === 0) return null;
  return [
    h('ul', { class: 'chip-row', 'aria-label': 'Accounts' }, readable.map(({ account_id: id, name }) => h('li', null,
      h('a', { class: 'chip', href: addressOf(id), 'data-action': 'link' }, named(shown(name, id)))))),
    list.next_cursor ? h('p', null, `These are the first of ${plural(list.total, 'account', 'accounts')}.`) : null,
  ];
}

/** Opens the dialog; `choose` is called with the id of an account. */
export function openAccounts({ chosen, choose }) {
  const dialog = h('dialog', { class: 'picker', 'aria-labelledby': 'accounts-title' },
    h('div', { class: 'dialog-head' },
      h('h2', { id: 'accounts-title' }, 'Switch to another account'),
      h('button', { type: 'button', class: 'quiet', 'data-accounts': 'close' }, 'Close')),
    h('label', { class: 'field' }, h('span', { class: 'label' }, 'Search'),
      h('input', { type: 'search', id: 'accounts-search', autocomplete: 'off', autofocus: true, placeholder: 'Part of name or id' })),
    h('ul', { class: 'tree', id: 'accounts-found', 'aria-label': 'Accounts' }),
    h('p', { class: 'note', id: 'accounts-note', role: 'status' }));
  document.body.append(dialog);
  const search = dialog.querySelector('input');
  let timer = null;
  let answered = ''; // the text that is answered on the screen
  const found = (body, text = '') => {
    noteNames(body);
    answered = text;
    fill(dialog, body, chosen);
  };
  search.addEventListener('input', () => {
    clearTimeout(timer);
    timer = setTimeout(async () => {
      const typed = search.value.trim();
      const body = typed ? await get(url('/v1/accounts', { limit: LISTED_MAX, search: typed })).catch(() => null) : list;
      if (body && typed === search.value.trim()) found(body, typed);
    }, TYPING_PAUSE_MS);
  });
  dialog.addEventListener('click', ({ target }) => {
    const id = target.closest('[data-account]')?.dataset.account;
    if (id !== undefined || target.closest('[data-accounts]')) dialog.close();
    if (id !== undefined) choose(id);
  });
  dialog.addEventListener('keydown', (event) => walk(event, dialog, answered === search.value.trim()));
  dialog.addEventListener('close', () => {
    dialog.remove();
    document.getElementById('account-switch')?.focus();
  });
  found(list);
  dialog.showModal();
}

// As in the tree of organizations: arrows lead from the search into the list, Enter opens.
function walk(event, dialog, isAnswered) {
  const search = dialog.querySelector('input');
  const items = [...dialog.querySelectorAll('[data-account]')];
  const at = items.indexOf(event.target);
  if (event.target === search && event.key === 'Enter') {
    event.preventDefault();
    if (isAnswered) items[0]?.click();
    return;
  }
  if (event.target !== search && at < 0) return;
  const to = { ArrowDown: items[at + 1], ArrowUp: at < 0 ? undefined : items[at - 1] ?? search, ...at < 0 ? {} : { Home: items[0], End: items.at(-1) } };
  if (!(event.key in to)) return;
  event.preventDefault();
  to[event.key]?.focus();
}

function fill(dialog, { accounts, total }, chosen) {
  patch(dialog.querySelector('ul'), accounts.filter(isReadable).map(({ account_id: id, name, timezone }) => h('li', { 'data-key': `account-${id}` },
    h('button', { type: 'button', class: 'quiet', 'data-account': id, 'aria-current': id === chosen ? 'true' : null }, named(shown(name, id))),
    h('span', { class: 'id' }, id === name ? null : [named(id), ' · '], timezone))));
  dialog.querySelector('.note').textContent = total === 0 ? 'No account has that in its name or id.'
    : accounts.length < total ? `The first ${accounts.length} of ${total}; search for others.` : '';
}

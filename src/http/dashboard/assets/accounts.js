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

/** Keeps the answer. */
export function noteAccounts(body) {
  if (body) list = body;
}

/** Forgets it, with the token that it was given to. */
export function forgetAccounts() {
  list = null;
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

/** The account that a link without one opens: the last used one that the token opens, or its only one; or none. */
export function usualAccount() {
  const granted = grantedAccounts();
  const recent = recentAccounts().filter((id) => granted.length === 0 || granted.includes(id) || granted.includes('*'));
  const named = granted.filter((id) => id !== '*');
  return recent[0] ?? (granted.length === 1 ? named[0] : undefined) ?? (list?.total === 1 ? list.accounts[0].account_id : undefined);
}

/** The account in the header: its name, and where there are others a button that leads to them. */
export function accountSwitch(account) {
  const name = shown(list?.accounts.find(({ account_id: id }) => id === account)?.name, account);
  if (!list || list.total <= 1) return h('p', { class: 'account-name', 'data-key': 'account' }, h('span', { class: 'unseen' }, 'Account '), named(name));
  return h('button', { type: 'button', class: 'choice', id: 'account-switch', 'data-key': 'switch', 'data-action': 'open-accounts', 'aria-haspopup': 'dialog', title: name },
    h('span', { class: 'unseen' }, 'Account '), h('span', { class: 'choice-name' }, named(name)));
}

/** The accounts to choose from where none is chosen yet. */
export function accountList(addressOf) {
  if (!list?.total) return null;
  return [
    h('ul', { class: 'chip-row', 'aria-label': 'Accounts' }, list.accounts.map(({ account_id: id, name }) => h('li', null,
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
  const found = (body) => fill(dialog, body, chosen);
  const search = dialog.querySelector('input');
  let timer = null;
  search.addEventListener('input', () => {
    clearTimeout(timer);
    timer = setTimeout(async () => {
      const typed = search.value.trim();
      const body = typed ? await get(url('/v1/accounts', { limit: LISTED_MAX, search: typed })).catch(() => null) : list;
      if (body && typed === search.value.trim()) found(body);
    }, TYPING_PAUSE_MS);
  });
  dialog.addEventListener('click', ({ target }) => {
    const id = target.closest('[data-account]')?.dataset.account;
    if (id !== undefined || target.closest('[data-accounts]')) dialog.close();
    if (id !== undefined) choose(id);
  });
  dialog.addEventListener('close', () => {
    dialog.remove();
    document.getElementById('account-switch')?.focus();
  });
  found(list);
  dialog.showModal();
}

function fill(dialog, { accounts, total }, chosen) {
  patch(dialog.querySelector('ul'), accounts.map(({ account_id: id, name, timezone }) => h('li', { 'data-key': `account-${id}` },
    h('button', { type: 'button', class: 'quiet', 'data-account': id, 'aria-current': id === chosen ? 'true' : null }, named(shown(name, id))),
    h('span', { class: 'id' }, id === name ? null : [named(id), ' · '], timezone))));
  dialog.querySelector('.note').textContent = total === 0 ? 'No account has that in its name or id.'
    : accounts.length < total ? `The first ${accounts.length} of ${total}; search for others.` : '';
}

// The frame around the views: account, freshness, navigation, token.

import { accountList, accountName, accountSwitch } from './accounts.js';
import { grantsNoLicenses, serverNow, token } from './api.js';
import { h, patch } from './dom.js';
import { ago, clock, count, exactly, momentIn, plural } from './format.js';
import { TEXT_MAX, VIEWS, address, forView } from './state.js';

// An idle partition completes a flush every 10 seconds, so figures that are older than this wait for something.
const BEHIND_AFTER_S = 60;

/**
 * Draws account and navigation. An organization that nobody chose does not go along to other views. `organization` is the
 * name of the chosen one, if there is one.
 */
export function drawShell(state, { organizationIsOurs, organization }) {
  const carried = organizationIsOurs ? { ...state, organization_id: undefined } : state;
  patch(document.getElementById('account'),
    state.account ? accountSwitch(state.account) : null,
    token() ? h('button', { type: 'button', class: 'quiet small', 'data-action': 'forget-token', 'data-key': 'token' }, 'Forget token') : null);
  patch(document.getElementById('views'), state.account ? h('ul', null, viewsFor(state.account).map(([view, name]) => h('li', null,
    h('a', {
      href: address(view === state.view ? state : forView(carried, view)), 'data-action': 'link',
      'aria-current': view === state.view ? 'page' : null,
    }, name)))) : null);
  const title = state.account ? [VIEWS[state.view], organization, accountName(state.account), 'seatmeter'] : ['seatmeter'];
  document.title = title.filter(Boolean).join(' · ');
}

// Of license reports only an account admin sees anything.
function viewsFor(account) {
  const views = Object.entries(VIEWS);
  return grantsNoLicenses(account) ? views.filter(([view]) => view === 'usage') : views;
}

function accountForm() {
  return h('form', { class: 'account-form', 'data-form': 'account', 'data-key': 'form' },
    h('label', { for: 'account-id' }, 'Account'),
    h('input', { id: 'account-id', name: 'account', value: '', autocomplete: 'off', spellcheck: 'false', required: true, maxlength: TEXT_MAX, placeholder: 'Account id' }),
    h('button', { type: 'submit', class: 'button small' }, 'Open'));
}

/** Draws how fresh the figures are. `heard` is when the API last answered, in milliseconds. */
export function drawFreshness(state, { body, error, busy }, heard) {
  const target = document.getElementById('freshness');
  if (!state.account || (busy && !body)) return patch(target);
  const { tone, words, detail } = freshness(state, body, error, heard);
  const paused = state.refresh === '0';
  return patch(target,
    h('p', { class: `fresh tone-${tone}`, id: 'fresh', title: detail }, h('span', { class: 'dot', 'aria-hidden': 'true' }), h('span', { class: 'now' }, words), h('span', { class: 'unseen' }, `. ${detail}`)),
    body?.data_through ? h('p', { class: 'on-paper' }, `Counted through ${momentIn(body.data_through, 'UTC')} UTC`) : null,
    h('button', { type: 'button', class: 'quiet small', 'data-action': 'pause', 'aria-pressed': String(paused), id: 'pause' },
      paused ? 'Resume' : 'Pause', h('span', { class: 'unseen' }, ' live updates')));
}

function freshness(state, body, error, heard) {
  if (error?.passing) {
    return { tone: 'bad', words: heard ? `No answer since ${clock(heard)}` : 'No answer', detail: 'The API does not answer. This page goes on asking.' };
  }
  if (!body) return { tone: 'warn', words: 'Freshness unknown', detail: 'The API does not tell this token how far it has counted.' };
  if (!body.data_through) return { tone: 'warn', words: 'Nothing counted yet', detail: 'No flush has been completed so far.' };
  const seconds = Math.max(0, (serverNow() - Date.parse(body.data_through)) / 1000);
  const waits = body.lag === null ? 'how many records wait is not known' : plural(body.lag, 'record waits', 'records wait');
  const detail = `Counted through ${exactly(body.data_through)}; ${waits}.`;
  if (body.complete === false) {
    return { tone: 'warn', words: `Still counting · ${count(body.events)} so far`, detail: `${detail} More is being handed over, or waits to be counted.` };
  }
  if (state.refresh === '0') return { tone: 'warn', words: `Paused · counted ${ago(seconds)}`, detail };
  if (seconds >= BEHIND_AFTER_S) {
    const waiting = body.lag > 0 ? ` · ${count(body.lag)} waiting` : '';
    return { tone: 'warn', words: `Behind: counted ${ago(seconds)}${waiting}`, detail };
  }
  return { tone: 'good', words: `Live · counted ${ago(seconds)}`, detail };
}

/** What stands on the page before an account is chosen. */
export function welcome() {
  return h('section', { class: 'card state', 'data-key': 'welcome' },
    h('h1', { id: 'title', tabindex: '-1' }, 'Which account?'),
    h('p', null, 'Choose an account, or enter its id as its events carry it, to see its seats and its test quota.'),
    accountForm(),
    accountList((id) => address(forView({ account: id }, 'license-history'))));
}

/** What stands on the page while a link offers a token in place of the one that is kept. */
export function tokenOffer() {
  return h('section', { class: 'card state', 'data-key': 'token-offer' },
    h('h1', { id: 'title', tabindex: '-1' }, 'Use the token of this link?'),
    h('p', null, 'The link that you followed brings another token than the one that this tab has. With it you see what it opens, as whoever made it wants you to. If you do not know who that is, keep yours.'),
    h('div', { class: 'actions' },
      h('button', { type: 'button', class: 'button primary', 'data-action': 'keep-token', id: 'keep-token' }, 'Keep mine'),
      h('button', { type: 'button', class: 'button', 'data-action': 'take-token', id: 'take-token' }, 'Use that of the link')));
}

/** What stands on the page while a token is needed. */
export function tokenForm(tried) {
  return h('section', { class: 'card state', 'data-key': 'token-form' },
    h('h1', { id: 'title', tabindex: '-1' }, tried ? 'This token does not work' : 'A token is needed'),
    h('p', null, tried
      ? 'The API does not accept the token: it may have expired, or it was made for another place. Enter another one.'
      : 'These reports are for people who may see them. Enter the token that you were given; it stays in this tab and is forgotten with it.'),
    h('form', { class: 'token-form', 'data-form': 'token' },
      h('label', { class: 'field' }, h('span', { class: 'label' }, 'Token'),
        h('input', { type: 'password', id: 'token', name: 'token', autocomplete: 'off', required: true })),
      h('button', { type: 'submit', class: 'button primary' }, 'Continue')));
}

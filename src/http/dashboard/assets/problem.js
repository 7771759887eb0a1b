// A report that is not there: why, and what can be done.

import { accountList } from './accounts.js';
import { h } from './dom.js';
import { describe } from './messages.js';
import { stateCard } from './parts.js';
import { address, forView } from './state.js';

/** Of the questions for the days of the range, the one that could not be answered. */
export function unreadDays(plan) {
  const firstDays = plan.slot('first-days');
  if (firstDays.error) return firstDays;
  const extent = plan.slot('extent');
  return extent.error && extent.key === plan.extent?.address ? extent : plan.slot('today');
}

/** What stands instead of a report that could not be brought. */
export function problem(view, { state, organizations }, error) {
  const words = describe(error, { account: state.account, thing: view.thing });
  const others = error.kind === 'not_found' ? accountList((id) => address(forView({ account: id, refresh: state.refresh }, state.view))) : null;
  return stateCard({ ...words, key: `problem-${error.kind}` }, others ? [h('p', null, 'These accounts are there:'), others] : null, h('div', { class: 'actions' },
    words.action === 'token' ? h('button', { type: 'button', class: 'button primary', 'data-action': 'other-token' }, 'Use another token') : null,
    error.kind === 'forbidden' && state.view !== 'usage' && organizations?.byId.size > 0
      ? h('a', { class: 'button', href: address(forView({ ...state, organization_id: undefined }, 'usage')), 'data-action': 'link' }, 'See the usage of your organizations') : null,
    error.kind === 'bad_request' ? h('a', { class: 'button', href: address({ view: state.view, account: state.account }), 'data-action': 'link' }, 'Start afresh') : null,
    error.passing ? h('button', { type: 'button', class: 'button', 'data-action': 'retry' }, 'Try now') : null));
}
